#!/usr/bin/env bash
# Leases through every fault of the sandbox and killed gateways, and compares what callers were told,
# the journal and the ledger. tests/README.md, "Chaos".
#   tests/chaos/run.sh [--replicas N] [--limits] [--trials N] [--seed S] [--jobs J] [--only INDEX [--alone]] [--keep FOLDER]
script_name=tests/chaos/run.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/common.sh"

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
  exec /usr/bin/python3 "$root/tests/chaos/chaos.py" --help
fi

step "Install"
"$root/deploy/install.sh" --tests

step "Test the checker, and what stands between gateways, database and names"
for test in checker_test answers_test rights_test limits_test access_test tcp_proxy_test plan_test \
  plan_replicas_test plan_limits_test names_test; do
  /usr/bin/python3 "$root/tests/chaos/$test.py"
done

build release lease-gateway lease-sandbox

step "Generate the messages"
generated=$root/build/chaos
googleapis=/usr/share/gocode/src/github.com/gogo/googleapis
mkdir -p "$generated"
protoc --python_out "$generated" -I "$root/proto" -I "$googleapis" \
  "$root"/proto/leasegateway/v1/*.proto "$googleapis"/google/rpc/{status,error_details}.proto \
  "$googleapis"/google/type/money.proto

step "Chaos"
trap - ERR
PYTHONPATH=$generated exec /usr/bin/python3 "$root/tests/chaos/chaos.py" \
  --binaries "$root/build/release/bin" "$@"
