#!/usr/bin/env bash
# Attacks the gateway as hostile and broken peers do, beside callers that do nothing wrong: installs what is missing,
# builds, then runs hostile.py, which has the arguments (--help). Ends with a line "N passed, M failed"; exit status 1
# when a bar is missed, 2 when it could not be tried. tests/hostile/README.md.
script_name=tests/hostile/run.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/common.sh"

case " $* " in
  *" --help "* | *" -h "* | *" --list "*) exec /usr/bin/python3 "$root/tests/hostile/hostile.py" "$@" ;;
esac

step "Install"
"$root/deploy/install.sh" --hostile
# Without it the caller in JavaScript is left out.
npm_packages @grpc/grpc-js@1 || true

step "Test the frames and the judge"
for test in frames_test judge_test relay_test; do
  /usr/bin/python3 "$root/tests/hostile/$test.py"
done

case " $* " in
  *" --binaries"*) ;;
  *) build release lease-gateway lease-sandbox ;;
esac

step "Attack"
trap - ERR
ulimit -n "$(ulimit -Hn)"
exec /usr/bin/python3 "$root/tests/hostile/hostile.py" "$@"
