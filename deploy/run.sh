#!/usr/bin/env bash
# From a fresh clone to a served lease: installs, builds, starts the gateway with its embedded
# sandbox and shows what it does. Nothing is bought: the sandbox stands in for the provider.
script_name=deploy/run.sh
once=
replicas=
usage() { echo "deploy/run.sh: $1; see --help" >&2 && exit 2; }
while [ $# != 0 ]; do
  case "$1" in
    --once) once=1 ;;
    --replicas)
      [[ ${2:-} =~ ^[2-9]$ ]] || usage "--replicas must be a number from 2 to 9"
      replicas=$2
      shift
      ;;
    --help | -h)
      cat <<'HELP'
Usage: deploy/run.sh [--replicas N] [--once]

Installs what is missing, builds, starts lease-gateway with its embedded sandbox, shows a tour and
serves until Ctrl-C.

  --replicas N   start PostgreSQL in a temporary folder and 2 to 9 gateways that share it, kill one in
                 the middle of a lease, and show that there was one purchase
  --once         stop after the tour; exit status 0 when all of it was right

Environment:
  LEASE_GATEWAY_TOUR_PORT   port to serve on (default: 50051, or the next free one)
HELP
      exit 0
      ;;
    *) usage "unknown option $1" ;;
  esac
  shift
done
if [ -n "$replicas" ]; then
  exec "$(dirname "${BASH_SOURCE[0]}")/replicas.sh" "$replicas" $once
fi
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

step "Install"
"$root/deploy/install.sh"
build release lease-gateway leasectl lease-sandbox
bin=$root/build/release/bin

gateway=
cleanup() { if [ -n "$gateway" ]; then stop_process "$gateway" 10 || true; fi; }
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

log=$root/build/tour-gateway.log
step "Start the gateway with the embedded sandbox" "$log"
port=${LEASE_GATEWAY_TOUR_PORT:-$(free_port 50051)}
unset LEASE_GATEWAY_TOUR_PORT # no option of the gateway, which would refuse it
control_port=$(free_port $((port + 1)))
target=127.0.0.1:$port
admin_port=$(free_port $((control_port + 1)))
"$bin/lease-gateway" --sandbox --listen "$target" --sandbox-control-port "$control_port" \
  --admin-listen "127.0.0.1:$admin_port" \
  >"$log" 2>&1 &
gateway=$!
leasectl() { timeout 30 "$bin/leasectl" --target "$target" "$@"; }
ledger() { curl -sS --fail --max-time 10 "http://127.0.0.1:$control_port/_sandbox/ledger"; }
wait_for 20 "$gateway" leasectl health
echo "It serves gRPC on $target."

step "Health"
leasectl health

step "Numbers that can be leased, the first five"
leasectl available | awk 'NR <= 6'
json=$(leasectl --json available)
[[ $json =~ \"phone_number\":\ *\"(\+[0-9]+)\" ]] || fail "the sandbox offers no number"
number=${BASH_REMATCH[1]}

step "Those with SMS for at most 20 USD a month, the five cheapest"
leasectl available --channel sms --max-monthly "20 USD" \
  --order-by "pricing.monthly_rate, health.reputation desc" | awk 'NR <= 6'

step "The same list again comes from memory"
cache_status=$(leasectl -v available 2>&1 >/dev/null)
echo "$cache_status"
[[ $cache_status == *"lease-gateway; hit"* ]] || fail "the list did not come from memory"

events=$root/build/tour-watch.log
step "Watch what changes, in the background" "$events"
leasectl watch --count 1 --for 20s >"$events" 2>&1 &
watch=$!
wait_for 10 "$watch" grep -q state "$events"
echo "It has the state."

step "What it would cost"
leasectl lease "$number" --validate-only

step "Lease $number, under a name of our own"
request_id=$(</proc/sys/kernel/random/uuid)
leasectl lease "$number" --request-id "$request_id"

step "What the watch saw of it" "$events"
wait "$watch" || fail "leasectl watch ended badly"
cat "$events"
grep "removed .*$number" "$events" >/dev/null || fail "the watch did not see the lease of $number"

lease_id() { grep -oE '"lease_id": *"lsd_[0-9]+"'; }
step "The same request again: the same lease, paid for once"
leasectl lease "$number" --request-id "$request_id"
again=$(leasectl --json lease "$number" --request-id "$request_id" | lease_id)
shown=$(leasectl --json show "$number" | lease_id)
[ -n "$again" ] && [ "$again" = "$shown" ] || fail "the same request was another lease"

step "Show the lease of $number"
leasectl show "$number"

# booked KIND: how many entries of that kind the ledger has for the number. Entries are flat objects.
booked() {
  ledger | tr -d ' \n' | tr '{}' '\n\n' | grep -F "\"number\":\"$number\"" |
    grep -cF "\"kind\":\"$1\"" || true
}

step "What the sandbox's ledger says was bought"
ledger
echo
[ "$(booked lease)" = 1 ] || fail "the ledger has not one lease of $number"
[ "$(booked charge)" = 1 ] || fail "the ledger has not one charge for $number"
[ "$(booked terminate)" = 0 ] || fail "the ledger already has a termination of $number"

step "Give it back"
leasectl terminate "$number"

step "The ledger again"
ledger
echo
[ "$(booked terminate)" = 1 ] || fail "the ledger has not one termination of $number"
echo "Verified: $number was leased, charged and terminated, each once."

step "What the gateway's journal says of it"
leasectl operations
[ "$(leasectl --json operations --number "$number" --state succeeded | grep -c '"request_id"')" = 2 ] ||
  fail "the journal has not two operations for $number"

step "What the gateway's metrics say of it"
metrics=$(curl -sS --fail --max-time 10 "http://127.0.0.1:$admin_port/metrics")
grep -E '^lease_gateway_(cache_requests_total|journal_operations|upstream_connections)\{' <<<"$metrics"
grep -qF 'lease_gateway_journal_operations{state="succeeded"} 2' <<<"$metrics" ||
  fail "the metrics have not two operations"

step "How to go on"
cat <<END
Call this gateway:         build/release/bin/leasectl --target $target available
                           build/release/bin/leasectl --help
Metrics, readiness:        curl http://127.0.0.1:$admin_port/
Serve the real provider:   CONTIGUITY_API_KEY=… build/release/bin/lease-gateway
END

if [ -n "$once" ]; then
  step "Stop the gateway" "$log"
  pid=$gateway
  gateway=
  stop_process "$pid" 30
  echo "Stopped with exit status 0."
  exit 0
fi
echo
echo "Serving on $target until Ctrl-C; its log: $log"
wait "$gateway"
