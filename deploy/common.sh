# shellcheck shell=bash
# Sourced by the scripts: steps with names, one clear line on failure, free ports, bounded waits.
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script_name=${script_name:-$(basename "$0")}
step_name=start
step_log=
mkdir -p "$root/build"

# step NAME [LOG]: says what happens next; LOG is where its output goes, if not to the terminal.
step() {
  step_name=$1
  step_log=${2:-}
  printf '\n== %s\n' "$step_name"
}

# logged COMMAND…: runs it with its output in the step's log only.
logged() { "$@" >"$step_log" 2>&1; }

# fail MESSAGE: ends the script with one line.
fail() {
  trap - ERR
  printf '%s: failed at "%s": %s%s\n' "$script_name" "$step_name" "$1" \
    "${step_log:+ (log: $step_log)}" >&2
  exit 1
}

on_error() {
  local code=$?
  [ "$BASH_SUBSHELL" = 0 ] || exit "$code"
  trap - ERR
  if [ -n "$step_log" ] && [ -s "$step_log" ]; then tail -n 25 "$step_log" >&2; fi
  fail "exit status $code"
}
trap on_error ERR

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port FIRST: the first port from FIRST on that nobody listens on.
free_port() {
  local port=$1
  while listening "$port"; do
    port=$((port + 1))
    [ "$port" -lt $(($1 + 200)) ] || return 1
  done
  echo "$port"
}

# wait_for SECONDS PID COMMAND…: until COMMAND succeeds; fails when PID ends or time is over.
wait_for() {
  local end=$((SECONDS + $1)) pid=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null || { echo "process $pid ended early" >&2; return 1; }
    [ "$SECONDS" -lt "$end" ] || { echo "timed out waiting for: $*" >&2; return 1; }
    sleep 0.1
  done
}

# stop_process PID SECONDS: SIGTERM, then SIGKILL when time is over; returns its exit status.
stop_process() {
  local end=$((SECONDS + $2))
  kill -TERM "$1" 2>/dev/null || true
  while kill -0 "$1" 2>/dev/null && [ "$SECONDS" -lt "$end" ]; do sleep 0.1; done
  kill -KILL "$1" 2>/dev/null || true
  wait "$1"
}

# build PRESET [TARGET…]: configures when that is needed and builds; logs in build/.
build() {
  local preset=$1 targets=()
  shift
  [ $# = 0 ] || targets=(--target "$@")
  step "Configure the preset $preset" "$root/build/$preset-configure.log"
  (cd "$root" && logged cmake --preset "$preset")
  step "Build $preset: ${*:-everything}" "$root/build/$preset-build.log"
  (cd "$root" && logged cmake --build "build/$preset" "${targets[@]}")
}

# ctest_counts LOG: "PASSED FAILED" as ctest's closing line has it.
ctest_counts() {
  sed -nE 's/^[0-9]+% tests passed, ([0-9]+) tests? failed out of ([0-9]+)$/\1 \2/p' "$1" |
    awk '{ failed = $1; all = $2 } END { print all - failed, failed + 0 }'
}
