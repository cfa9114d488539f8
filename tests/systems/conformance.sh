#!/usr/bin/env bash
# Checks the wire between the gateway and its sandbox against the provider's own OpenAPI document:
# leasectl -> lease-gateway -> TLS -> Prism (validating proxy) -> lease-sandbox. Fails when Prism sees
# a violation in a request or in a reply. Exit status 77 where npm can't bring Prism or the document is
# missing: LEASE_GATEWAY_OPENAPI names it; default: in shared/ beside this folder.
script_name=tests/systems/conformance.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/common.sh"

document=${LEASE_GATEWAY_OPENAPI:-$root/../shared/upstream-api/openapi-numbers.json}
unset LEASE_GATEWAY_OPENAPI # no option of the gateway, which would refuse it
[ -f "$document" ] || { echo "skipped: $script_name: there is no $document"; exit "$skipped"; }
npm_packages @stoplight/prism-cli@5 || exit "$skipped"

build release lease-gateway leasectl lease-sandbox
bin=$root/build/release/bin
prism=$root/build/npm/node_modules/.bin/prism

work=$(mktemp -d)
logs=$root/build/conformance
mkdir -p "$logs"
pids=()
cleanup() {
  local i
  for ((i = ${#pids[@]} - 1; i >= 0; --i)); do stop_process "${pids[i]}" 10 || true; done
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step "Start the sandbox" "$logs/sandbox.log"
sandbox_port=$(free_port 24051)
control_port=$(free_port $((sandbox_port + 1)))
"$bin/lease-sandbox" --port "$sandbox_port" --control-port "$control_port" \
  --ca-out "$work/sandbox-ca.pem" >"$step_log" 2>&1 &
pids+=($!)
wait_for 20 "${pids[-1]}" grep -qE 'contiguity_sk_[A-Za-z0-9_]+' "$step_log"
wait_for 20 "${pids[-1]}" test -s "$work/sandbox-ca.pem"
key=$(grep -m1 -oE 'contiguity_sk_[A-Za-z0-9_]+' "$step_log")

step "Start Prism before it" "$logs/prism.log"
prism_port=$(free_port $((control_port + 1)))
NODE_EXTRA_CA_CERTS=$work/sandbox-ca.pem node "$prism" proxy "$document" \
  "https://localhost:$sandbox_port/numbers" --port "$prism_port" --host 127.0.0.1 \
  >"$step_log" 2>&1 &
pids+=($!)
wait_for 60 "${pids[-1]}" listening "$prism_port"

step "Start TLS before Prism" "$logs/tls.log"
violations=$logs/violations.log
: >"$violations"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 \
  -subj /CN=localhost -addext subjectAltName=DNS:localhost \
  -keyout "$work/key.pem" -out "$work/cert.pem" 2>"$step_log"
cat >"$work/tls.js" <<'END'
// HTTPS to HTTP; drops the base path, which Prism adds; writes Prism's verdicts to a file.
const [port, prism, cert, key, violations] = process.argv.slice(2);
const fs = require('fs');
const http = require('http');
require('https').createServer({cert: fs.readFileSync(cert), key: fs.readFileSync(key)}, (from, to) => {
  const path = from.url.replace(/^\/numbers/, '');
  const request = http.request(
      {host: '127.0.0.1', port: prism, method: from.method, path, headers: from.headers}, (reply) => {
        console.log(`${from.method} ${path} ${reply.statusCode}`);
        const found = reply.headers['sl-violations'];
        if (found) fs.appendFileSync(violations, `${from.method} ${path}: ${found}\n`);
        to.writeHead(reply.statusCode, reply.headers);
        reply.pipe(to);
      });
  request.on('error', (error) => {
    fs.appendFileSync(violations, `${from.method} ${path}: ${error.message}\n`);
    to.destroy();
  });
  from.pipe(request);
}).listen(port, '127.0.0.1');
END
tls_port=$(free_port $((prism_port + 1)))
node "$work/tls.js" "$tls_port" "$prism_port" "$work/cert.pem" "$work/key.pem" "$violations" \
  >"$step_log" 2>&1 &
pids+=($!)
wait_for 20 "${pids[-1]}" listening "$tls_port"

step "See that a violation is seen"
curl -sS -o "$logs/bad-reply.json" --max-time 20 --cacert "$work/cert.pem" \
  -H "Authorization: Bearer $key" -H 'Content-Type: application/json' \
  -d '{"failover":"no object"}' "https://localhost:$tls_port/numbers/+13059478667/configure"
[ -s "$violations" ] || fail "Prism said nothing of a malformed request"
echo "Yes: $(head -c 200 "$violations")…"
: >"$violations"

step "Start the gateway before TLS" "$logs/gateway.log"
port=$(free_port $((tls_port + 1)))
CONTIGUITY_API_KEY=$key "$bin/lease-gateway" --listen "127.0.0.1:$port" \
  --upstream-url "https://localhost:$tls_port/numbers" --upstream-ca-file "$work/cert.pem" \
  --journal "$work/journal.db" \
  >"$step_log" 2>&1 &
pids+=($!)
leasectl() { timeout 30 "$bin/leasectl" --target "127.0.0.1:$port" "$@"; }
wait_for 20 "${pids[-1]}" leasectl health

step "Call all ten operations"
json=$(leasectl --json available)
mapfile -t numbers < <(grep -oE '"phone_number": *"\+[0-9]+"' <<<"$json" | grep -oE '\+[0-9]+')
[ "${#numbers[@]}" -gt 1 ] || fail "the sandbox offers fewer than two numbers"
number=${numbers[0]}
operations=0
call() {
  echo "leasectl $*"
  leasectl "$@" >/dev/null
  operations=$((operations + 1))
}
call available
call get "$number"
call lease "$number"
# Stays leased: that an empty list is a 404 is not in the document.
call lease-any --max-monthly 1000USD --max-upfront 1000USD
call leases
call show "$number"
call failover "$number" --enable --mode all
call failover "$number" --enable --cover "${numbers[1]}"
call failover "$number" --disable
call forwarding enable "$number" --to "${numbers[1]}"
call forwarding get "$number"
call forwarding disable "$number"
call terminate "$number"

step "Prism's verdict" "$violations"
if [ -s "$violations" ]; then
  fail "$(wc -l <"$violations") exchanges break the provider's contract"
fi
echo "No violation in $operations calls."
