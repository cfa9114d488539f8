# shellcheck shell=bash
# Sourced by the scripts: steps with names, one clear line on failure, free ports, bounded waits.
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script_name=${script_name:-$(basename "$0")}
step_name=start
step_log=
mkdir -p "$root/build"

# What was compiled in one checkout serves another one, in whatever folder.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1

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

# free_port FIRST: the first port from FIRST on that no socket has, connections that ended a minute ago included: no
# server could bind it. Below 32768, where the system takes no ports for connections, it stays free.
free_port() {
  local port=$1
  while grep -qsE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$port") " /proc/net/tcp /proc/net/tcp6; do
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

# What a check exits with that can't run here; it has said why in a line that begins with "skipped: ".
skipped=77

# npm_packages PACKAGE…: sees that build/npm has them, and tries twice. When it can't, says so and returns 1.
npm_packages() {
  local npm=$root/build/npm log=$root/build/npm.log missing=() package tries=2
  command -v npm >/dev/null || { echo "skipped: $script_name: npm is missing"; return 1; }
  mkdir -p "$npm"
  for package in "$@"; do
    grep -qxF "$package" "$npm/installed" 2>/dev/null || missing+=("$package")
  done
  [ "${#missing[@]}" != 0 ] || return 0
  step "Install from npm: ${missing[*]}"
  until timeout 300 npm install --prefix "$npm" --no-audit --no-fund "${missing[@]}" </dev/null >"$log" 2>&1; do
    tries=$((tries - 1))
    if [ "$tries" = 0 ]; then
      tail -n 8 "$log"
      echo "skipped: $script_name: npm could not install ${missing[*]}; its log: $log"
      return 1
    fi
    sleep 10
  done
  printf '%s\n' "${missing[@]}" >>"$npm/installed"
}

# ctest_counts LOG: "PASSED FAILED" as ctest's closing line has it.
ctest_counts() {
  sed -nE 's/^[0-9]+% tests passed, ([0-9]+) tests? failed out of ([0-9]+)$/\1 \2/p' "$1" |
    awk '{ failed = $1; all = $2 } END { print all - failed, failed + 0 }'
}
