#!/usr/bin/env bash
# Installs, builds and runs all tests. Ends with a line "N passed, N failed".
script_name=tests/run.sh
. "$(dirname "${BASH_SOURCE[0]}")/../deploy/common.sh"

step "Install"
"$root/deploy/install.sh" --tests
build release

log=$root/build/ctest.log
step "Run the tests"
failed_step=0
timeout 1500 ctest --test-dir "$root/build/release" --no-tests=error --output-on-failure \
  -j "$(nproc)" 2>&1 | tee "$log" || failed_step=1
read -r passed failed < <(ctest_counts "$log")
if [ "$failed_step" = 1 ] && [ "$failed" = 0 ]; then failed=1; fi

# check NAME COMMAND…: one more test.
check() {
  local name=$1 result=0
  shift
  step "$name"
  "$@" || result=$?
  case "$result" in
    0) passed=$((passed + 1)) ;;
    "$skipped") ;;
    *) failed=$((failed + 1)) && echo "FAILED: $name" ;;
  esac
}

foreign_client() {
  local log=$root/build/foreign-client-gateway.log port result=0
  port=$(free_port 21051)
  "$root/build/release/bin/lease-gateway" --sandbox --listen "127.0.0.1:$port" >"$log" 2>&1 &
  local gateway=$!
  timeout 60 /usr/bin/python3 "$root/tests/integration/foreign_client.py" "127.0.0.1:$port" || result=1
  stop_process "$gateway" 30 || { echo "the gateway ended badly, see $log"; result=1; }
  return "$result"
}
check "A client that shares no code with the gateway" foreign_client
foreign_callers() {
  timeout 120 /usr/bin/python3 "$root/tests/integration/foreign_callers.py" "$root/build/release/bin" python nginx
}
check "Who callers are that share no code with the gateway" foreign_callers

check "Includes go one way" /usr/bin/python3 "$root/tests/lint/includes.py"
check "An include that goes another way is noticed" /usr/bin/python3 "$root/tests/lint/includes.py" --self-test
check "Links and paths in the READMEs" /usr/bin/python3 "$root/tests/lint/links.py"
check "A link or path that leads nowhere is noticed" /usr/bin/python3 "$root/tests/lint/links.py" --self-test
check "Lint the contract" "$root/tests/lint/buf-lint.sh"

printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ] || exit 1
