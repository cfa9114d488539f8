#!/usr/bin/env bash
# Several gateways that share one PostgreSQL act as one: starts all of it on this machine, kills a gateway in the
# middle of a lease and shows that there was one purchase. Started by deploy/run.sh --replicas N [--once].
script_name="deploy/run.sh --replicas"
count=$1
once=${2:-}
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

unset LEASE_GATEWAY_TOUR_PORT # no option of the gateway, which would refuse it
step "Install"
"$root/deploy/install.sh" --postgres
build release lease-gateway leasectl lease-sandbox
bin=$root/build/release/bin
postgres_bin=$(find /usr/lib/postgresql -path '*/bin/initdb' -printf '%h\n' | sort -V | tail -n 1)

folder=$(mktemp -d "${TMPDIR:-/tmp}/lease-gateway-replicas-XXXXXX")
pids=()     # of the gateways, by index; empty: it is not there
sandbox=
database=
cleanup() {
  local pid
  for pid in "${pids[@]}" $sandbox; do
    [ -z "$pid" ] || stop_process "$pid" 10 || true
  done
  # SIGINT: the server ends its connections and itself.
  if [ -n "$database" ] && kill -INT "$database" 2>/dev/null; then wait "$database" || true; fi
  rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# PostgreSQL refuses to run as root.
as_database=()
if [ "$(id -u)" = 0 ]; then
  chmod 711 "$folder"
  as_database=(setpriv --reuid=postgres --regid=postgres --init-groups --)
fi
mkdir "$folder/postgres"
data=$folder/postgres/data

log=$root/build/replicas-postgres.log
step "Start PostgreSQL in a temporary folder, $data" "$log"
LEASE_GATEWAY_DATABASE_PASSWORD=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
export LEASE_GATEWAY_DATABASE_PASSWORD # from the environment or a file, never from a flag
export PGPASSWORD=$LEASE_GATEWAY_DATABASE_PASSWORD
(umask 077 && echo "$PGPASSWORD" >"$folder/postgres/password")
if [ "$(id -u)" = 0 ]; then chown -R postgres "$folder/postgres"; fi
(
  cd /
  "${as_database[@]}" "$postgres_bin/initdb" -D "$data" -U gateway --auth=scram-sha-256 --encoding=UTF8 --locale=C \
    --pwfile="$folder/postgres/password"
) >"$log" 2>&1
database_port=$(free_port 25432)
(
  cd /
  exec "${as_database[@]}" "$postgres_bin/postgres" -D "$data" -c listen_addresses=127.0.0.1 \
    -c "port=$database_port" -c "unix_socket_directories=$folder/postgres"
) >>"$log" 2>&1 &
database=$!
query() { "$postgres_bin/psql" -X -h 127.0.0.1 -p "$database_port" -U gateway -v ON_ERROR_STOP=1 "$@"; }
wait_for 20 "$database" query -d postgres -c "SELECT 1"
query -d postgres -q -c "CREATE DATABASE leases"
url="postgresql://gateway@127.0.0.1:$database_port/leases"
echo "It is $url."

log=$root/build/replicas-sandbox.log
step "Start the sandbox: the provider that all of them share" "$log"
"$bin/lease-sandbox" --port 0 --control-port 0 --ca-out "$folder/ca.pem" >"$folder/sandbox" 2>"$log" &
sandbox=$!
wait_for 10 "$sandbox" grep -q '^key: ' "$folder/sandbox"
said() { sed -n "s/^$1: //p" "$folder/sandbox"; }
ledger() { curl -sS --fail --max-time 10 "$(said control)ledger"; }
fault() { curl -sS --fail --max-time 10 "$(said control)faults" -d "$1" >/dev/null; }

ports=()
start_gateway() {
  CONTIGUITY_API_KEY=$(said key) "$bin/lease-gateway" --listen "127.0.0.1:${ports[$1]}" \
    --upstream-url "$(said url)" --upstream-ca-file "$folder/ca.pem" --database-url "$url" --ownership-time 2s \
    --send-timeout 1s --response-timeout 3s --read-timeout 1s --access-log-hits 1 \
    >>"$root/build/replicas-gateway-$1.log" 2>&1 &
  pids[$1]=$!
  wait_for 20 "${pids[$1]}" at "$1" health
}
# at INDEX COMMAND…: leasectl at one gateway.
at() {
  local port=${ports[$1]}
  shift
  timeout 30 "$bin/leasectl" --target "127.0.0.1:$port" "$@"
}
# any COMMAND…: leasectl at the gateway whose turn it is; when that is not there, at the one after it.
turn=0
any() {
  local targets=() i
  for ((i = 0; i < count; i++)); do targets+=("127.0.0.1:${ports[$(((turn + i) % count))]}"); done
  turn=$(((turn + 1) % count))
  timeout 30 "$bin/leasectl" --target "ipv4:$(IFS=,; echo "${targets[*]}")" "$@"
}

step "Start $count gateways with that database" "$root/build/replicas-gateway-0.log"
port=50151
for ((i = 0; i < count; i++)); do
  port=$(free_port "$port")
  ports+=("$port")
  port=$((port + 1))
  : >"$root/build/replicas-gateway-$i.log"
  start_gateway "$i"
  echo "Gateway $i serves gRPC on 127.0.0.1:${ports[$i]}."
done

step "Twelve calls of a client that balances over them"
for ((i = 0; i < 12; i++)); do any available >"$folder/available"; done
awk 'NR <= 4' "$folder/available"
for ((i = 0; i < count; i++)); do
  answered=$(grep -c 'ListAvailableNumbers' "$root/build/replicas-gateway-$i.log" || true)
  echo "Gateway $i has answered $answered."
  [ "$answered" -ge 1 ] || fail "gateway $i has answered nothing"
done
json=$(any --json available)
[[ $json =~ \"phone_number\":\ *\"(\+[0-9]+)\" ]] || fail "the sandbox offers no number"
number=${BASH_REMATCH[1]}

# booked KIND: how many entries of that kind the ledger has for the number. Entries are flat objects.
booked() {
  ledger | tr -d ' \n' | tr '{}' '\n\n' | grep -F "\"number\":\"$number\"" | grep -cF "\"kind\":\"$1\"" || true
}
is_booked() { [ "$(booked "$1")" -ge 1 ]; }

step "Lease $number at gateway 0, and kill -9 it between the provider's deed and its answer"
# The provider leases at once, and takes 5 s to say so.
fault '{"route":"POST /lease/{number}","kind":"delay","delay_ms":5000,"when":"after","count":1}'
request_id=$(</proc/sys/kernel/random/uuid)
at 0 --timeout 3s lease "$number" --request-id "$request_id" >"$folder/lost" 2>&1 &
lost=$!
wait_for 10 "${pids[0]}" is_booked lease
killed=${pids[0]}
pids[0]=
kill -KILL "$killed"
wait "$killed" 2>/dev/null || true
if wait "$lost"; then fail "the call succeeded at a gateway that was killed"; fi
cat "$folder/lost"
echo "The number is leased and paid for, and its caller does not know."

step "What the database says of it: sent, by one that counts as alive until 2 s after its last sign"
query -d leases -c "SELECT o.request_id, o.state, o.phone_number, r.alive_until > clock_timestamp() AS owner_alive
  FROM lease_gateway.operations o LEFT JOIN lease_gateway.replica r ON r.id = o.owner"

step "The same request again, at whichever gateway"
started=$SECONDS
until any lease "$number" --request-id "$request_id" --timeout 10s; do
  [ $((SECONDS - started)) -lt 40 ] || fail "the request has no outcome after 40 s"
  sleep 0.5
done
echo "Another gateway has found out, $((SECONDS - started)) s later."

step "What the sandbox's ledger says was bought"
ledger
echo
[ "$(booked lease)" = 1 ] || fail "the ledger has not one lease of $number"
[ "$(booked charge)" = 1 ] || fail "the ledger has not one charge for $number"

step "Start gateway 0 again; all of them say the same"
start_gateway 0
for ((i = 0; i < count; i++)); do
  at "$i" --json operation "$request_id" >"$folder/operation-$i"
  cmp "$folder/operation-0" "$folder/operation-$i" || fail "gateways 0 and $i differ"
done
at 0 operation "$request_id"

step "Give it back at gateway 0, once nothing of the killed one can be on its way any more"
at 0 --timeout 25s terminate "$number"
gone() { ! at $((count - 1)) --json leases | grep -qF "$number"; }
wait_for 5 "${pids[0]}" gone
echo "Gateway $((count - 1)) knows."
[ "$(booked terminate)" = 1 ] || fail "the ledger has not one termination of $number"
echo "Verified: $number was leased, charged and terminated, each once."

step "How to go on"
cat <<END
Call these gateways:   build/release/bin/leasectl --target ipv4:$(printf '127.0.0.1:%s,' "${ports[@]}" | sed 's/,$//') available
Their journal:         the view lease_gateway.operations of $url
END

if [ -n "$once" ]; then
  for ((i = 0; i < count; i++)); do
    step "Stop gateway $i" "$root/build/replicas-gateway-$i.log"
    pid=${pids[$i]}
    pids[i]=
    stop_process "$pid" 30
  done
  echo "All stopped with exit status 0."
  exit 0
fi
echo
echo "Serving until Ctrl-C; logs: $root/build/replicas-*.log"
wait "${pids[@]}"
