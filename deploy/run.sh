#!/usr/bin/env bash
# From a fresh clone to a served lease: installs, builds, starts the gateway with its embedded
# sandbox and shows what it does. Nothing is bought: the sandbox stands in for the provider.
script_name=deploy/run.sh
once=
case "${1:-}" in
  "") ;;
  --once) once=1 ;;
  --help | -h)
    cat <<'HELP'
Usage: deploy/run.sh [--once]

Installs what is missing, builds, starts lease-gateway with its embedded sandbox, shows a tour and
serves until Ctrl-C.

  --once   stop after the tour; exit status 0 when all of it was right

Environment:
  LEASE_GATEWAY_TOUR_PORT   port to serve on (default: 50051, or the next free one)
HELP
    exit 0
    ;;
  *) echo "deploy/run.sh: unknown option $1; see --help" >&2; exit 2 ;;
esac
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
control_port=$(free_port $((port + 1)))
target=127.0.0.1:$port
"$bin/lease-gateway" --sandbox --listen "$target" --sandbox-control-port "$control_port" \
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

step "Lease $number"
leasectl lease "$number"

step "Show the lease of $number"
leasectl show "$number"

# booked KIND: whether the ledger has an entry of that kind for the number. Entries are flat objects.
booked() {
  ledger | tr -d ' \n' | tr '{}' '\n\n' | grep -F "\"number\":\"$number\"" |
    grep -F "\"kind\":\"$1\"" >/dev/null
}

step "What the sandbox's ledger says was bought"
ledger
echo
booked lease || fail "the ledger has no lease of $number"
booked charge || fail "the ledger has no charge for $number"
if booked terminate; then fail "the ledger already has a termination of $number"; fi

step "Give it back"
leasectl terminate "$number"

step "The ledger again"
ledger
echo
booked terminate || fail "the ledger has no termination of $number"
echo "Verified: $number was leased, charged and terminated."

step "How to go on"
cat <<END
Call this gateway:         build/release/bin/leasectl --target $target available
                           build/release/bin/leasectl --help
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
