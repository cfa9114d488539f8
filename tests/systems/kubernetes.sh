#!/usr/bin/env bash
# Checks what is in deploy/ for Kubernetes and Prometheus without a cluster: kustomize renders every overlay, the
# objects have the types of the Kubernetes API and keep to rules of our own (tests/systems/kubernetes.py), promtool
# checks and tests the alerts, and a real Prometheus scrapes running gateways, one with a PostgreSQL and one alone,
# which have every metric that alerts and dashboard name. Ends with a line "N passed, N failed".
#   tests/systems/kubernetes.sh [FOLDER]   FOLDER has the programs; default: build/release/bin
script_name=tests/systems/kubernetes.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/common.sh"
. "$root/deploy/postgres.sh"
bin=${1:-$root/build/release/bin}
for program in lease-gateway leasectl lease-sandbox; do
  [ -x "$bin/$program" ] || fail "$bin/$program is missing: build it first"
done

out=$root/build/kubernetes
rm -rf "$out"
mkdir -p "$out"
passed=0
failed=0
gateway=
prometheus=
edge=
sandbox=
alone=
database=$(mktemp -d)
cleanup() {
  for pid in $edge $prometheus $gateway $alone $sandbox; do stop_process "$pid" 30 || true; done
  stop_postgres
  rm -rf "$database"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

good() { passed=$((passed + 1)) && echo "ok: $1"; }
bad() { failed=$((failed + 1)) && echo "FAILED: $1"; }
check() {
  local name=$1
  shift
  if "$@"; then good "$name"; else bad "$name"; fi
}
# python COMMAND…: what tests/systems/kubernetes.py counted is added up.
python() {
  timeout 180 /usr/bin/python3 "$root/tests/systems/kubernetes.py" "$@" >"$out/$1.log" 2>&1 || true
  count "$1" "$out/$1.log"
}
# count COMMAND LOG
count() {
  local log=$2 counts
  cat "$log"
  counts=$(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$log")
  if [ -z "$counts" ]; then
    bad "tests/systems/kubernetes.py $1"
  else
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
  fi
}
overlays=(sandbox single trial production proxy mesh edge callers)

step "Render every overlay"
rendered=
if ! command -v kubectl >/dev/null; then
  echo "skipped: kubectl is missing: run deploy/install.sh --kubernetes"
elif ! kubectl version --client -o json 2>/dev/null | grep -q '"kustomizeVersion": "v[5-9]'; then
  # Debian 12's own kubectl is of 2021 and has kustomize 2, which knows no components.
  echo "skipped: rendering, and what needs it: $(kubectl version --client --short 2>/dev/null | head -n 1) has no kustomize 5"
else
  rendered=1
  for overlay in "${overlays[@]}"; do
    # A warning is about a field that goes away.
    if kubectl kustomize "$root/deploy/kubernetes/overlays/$overlay" >"$out/$overlay.yaml" 2>"$out/$overlay.err" &&
      [ ! -s "$out/$overlay.err" ]; then
      good "$overlay"
    else
      bad "$overlay: $(cat "$out/$overlay.err")"
    fi
  done
  # through_proxy OVERLAY: the component on top of it, as deploy/egress.md has it for those without one of their own.
  through_proxy() {
    local folder=$out/through-proxy/$1
    mkdir -p "$folder"
    printf '%s\n' 'apiVersion: kustomize.config.k8s.io/v1beta1' 'kind: Kustomization' \
      "resources: [../../../../deploy/kubernetes/overlays/$1]" \
      'components: [../../../../deploy/kubernetes/components/egress-proxy]' >"$folder/kustomization.yaml"
    kubectl kustomize "$folder" >"$folder/rendered.yaml" && grep -q 'mountPath: /var/run/secrets/lease-gateway-proxy' \
      "$folder/rendered.yaml" && ! grep -q 'cidr: 0.0.0.0/0' "$folder/rendered.yaml"
  }
  for overlay in single trial mesh; do check "$overlay, through a proxy" through_proxy "$overlay"; done
  # The overlay edge, with a file instead of a database, as deploy/README.md has it.
  edge_alone() {
    local folder=$out/edge-alone
    mkdir -p "$folder"
    {
      printf '%s\n' 'apiVersion: kustomize.config.k8s.io/v1beta1' 'kind: Kustomization' 'namespace: lease-gateway' \
        'resources: [../../../deploy/kubernetes/base]' 'components:'
      printf '  - ../../../deploy/kubernetes/components/%s\n' provider edge journal-per-replica egress-proxy
    } >"$folder/kustomization.yaml"
    kubectl kustomize "$folder" >"$folder/rendered.yaml" && grep -q 'kind: StatefulSet' "$folder/rendered.yaml" &&
      grep -q 'image: lease-gateway-edge' "$folder/rendered.yaml"
  }
  check "edge, with a journal of its own and through a proxy" edge_alone
  # The component callers in the place of provider, as deploy/README.md has it.
  told_apart() {
    local folder=$out/told-apart/$1
    mkdir -p "$folder"
    cp "$root/deploy/kubernetes/overlays/$1"/*.yaml "$folder"
    sed -i -e '/^upstream_token_file:/d' -e '/^tls_client_ca_file:/a tls_client_auth: request' "$folder/config.yaml"
    sed -i -e 's#- \.\./\.\./\([a-z]\)#- ../../../../deploy/kubernetes/\1#' -e 's#- \.\./\.\./\.\./\([a-z]\)#- ../../../../deploy/\1#' \
      -e 's#components/provider$#components/callers#' "$folder/kustomization.yaml"
    kubectl kustomize "$folder" >"$out/$1-callers.yaml"
  }
  for overlay in mesh edge single; do check "$overlay, with callers told apart" told_apart "$overlay"; done
fi

if [ -n "$rendered" ]; then
  step "Rules of our own"
  python rules "$out" "$bin/lease-gateway"

  step "Types of the Kubernetes API, of the Prometheus operator and of Istio"
  npm=$root/build/npm
  if npm_packages kubernetes-models@5.1.0 @kubernetes-models/prometheus-operator@6.0.0 \
    @kubernetes-models/istio@2.3.0 typescript@5.9.3; then
    types=$npm/types
    rm -rf "$types"
    mkdir -p "$types/good" "$types/bad"
    cp "$out"/*.yaml "$root/deploy/clients/projected-token.yaml" "$types/good"
    sed -e 's/topologyKey: kubernetes/topologyKeys: kubernetes/' -e 's/periodSeconds: 2$/periodSeconds: "2"/' \
      "$out/production.yaml" >"$types/bad/production.yaml"
    for folder in good bad; do /usr/bin/python3 "$root/tests/systems/kubernetes.py" typescript "$types/$folder"; done
    typed() {
      timeout 120 "$npm/node_modules/.bin/tsc" --noEmit --strict --skipLibCheck --target es2022 \
        --module nodenext --moduleResolution nodenext "$@"
    }
    check "every field is known and has the right type" typed "$types"/good/*.ts
    mistakes=$(typed "$types"/bad/*.ts || true)
    check "an unknown field is noticed" grep -q topologyKeys <<<"$mistakes"
    check "a wrong type is noticed" grep -q "'string' is not assignable to type 'number'" <<<"$mistakes"
  fi
fi

# A minute and a half, most of it a watch that nothing happens to; the checks below go on meanwhile.
if [ -z "$rendered" ]; then
  :
elif [ ! -x /usr/sbin/nginx ]; then
  echo "skipped: nginx of the component edge: it is missing: run deploy/install.sh --tests"
else
  timeout 600 /usr/bin/python3 "$root/tests/systems/kubernetes.py" edge "$out/edge.yaml" "$bin" >"$out/edge.log" 2>&1 &
  edge=$!
fi

step "Clients with the service config"
languages=(python)
if npm_packages @grpc/grpc-js@1; then
  languages+=(grpc-js)
  export NODE_PATH=$root/build/npm/node_modules
fi
python retries "${languages[@]}"

if ! command -v promtool >/dev/null; then
  echo "skipped: promtool is missing: run deploy/install.sh --kubernetes"
else
  step "Alerts"
  check "promtool check rules" promtool check rules "$root/deploy/prometheus/alerts.yaml"
  tested() { (cd "$root/deploy/prometheus" && promtool test rules "$1"); }
  check "promtool test rules" tested alerts_test.yaml
fi

step "Migrate, as the Job does" "$out/migration.log"
start_postgres "$database" "$out/postgres.log" || fail "PostgreSQL does not start (log: $out/postgres.log)"
# with_database COMMAND…: in the place of this shell.
with_database() {
  LEASE_GATEWAY_DATABASE_URL=$database_url LEASE_GATEWAY_DATABASE_PASSWORD=$database_password exec "$@"
}
migrate() { (with_database timeout 30 "$bin/lease-gateway" --migrate >>"$step_log" 2>&1); }
check "the schema is applied" migrate
check "a second time, nothing is left to do" migrate

step "A provider" "$out/sandbox.log"
"$bin/lease-sandbox" --port 0 --control-port 0 --ca-out "$out/ca.pem" >"$step_log" 2>&1 &
sandbox=$!
of_sandbox() { sed -n "s/^$1: //p" "$out/sandbox.log" | grep .; }
wait_for 20 "$sandbox" of_sandbox key

step "A running gateway" "$out/gateway.log"
port=$(free_port 23051)
admin=$(free_port $((port + 1)))
CONTIGUITY_API_KEY=$(of_sandbox key) with_database "$bin/lease-gateway" --upstream-url "$(of_sandbox url)" \
  --upstream-ca-file "$out/ca.pem" --listen "127.0.0.1:$port" --admin-listen "127.0.0.1:$admin" --drain-wait 5s \
  >"$step_log" 2>&1 &
gateway=$!
alone_admin=$(free_port $((admin + 1)))
"$bin/lease-gateway" --sandbox --listen 127.0.0.1:0 --admin-listen "127.0.0.1:$alone_admin" \
  >"$out/gateway-alone.log" 2>&1 &
alone=$!
leasectl() { timeout 20 "$bin/leasectl" --target "127.0.0.1:$port" "$@"; }
if ! wait_for 20 "$gateway" leasectl health; then
  cat "$step_log"
  gateway=
  bad "the gateway with an admin port"
else
  python client "127.0.0.1:$port"
  # A bit of everything, a refused call included.
  traffic() { some_calls >>"$out/traffic.log" 2>&1; }
  some_calls() {
    leasectl available && leasectl available && leasectl leases && leasectl watch --for 1s || return 1
    ! leasectl show +19999999999 || return 1
    leasectl lease "$(leasectl available | grep -m1 -o '+[0-9]*')"
  }
  check "some traffic" traffic
  scrape() { curl -sS --fail --max-time 10 "http://127.0.0.1:$1/metrics"; }
  check "a gateway without a database" wait_for 20 "$alone" scrape "$alone_admin"
  scrape "$admin" >"$out/scrape.txt"
  scrape "$alone_admin" >"$out/scrape-alone.txt"
  python metrics "$out/scrape.txt" "$out/scrape-alone.txt"
  if command -v promtool >/dev/null; then
    metrics_lint() { promtool check metrics <"$1"; }
    check "promtool finds nothing amiss in the scrape" metrics_lint "$out/scrape.txt"
    check "nor in the other's" metrics_lint "$out/scrape-alone.txt"
  fi
  for path in livez readyz; do
    check "the admin port answers /$path, which probes ask" curl -sS --fail --max-time 10 -o "$out/$path.txt" "http://127.0.0.1:$admin/$path"
  done
fi

if [ -n "$gateway" ] && command -v prometheus >/dev/null; then
  step "A real Prometheus" "$out/prometheus.log"
  cat >"$out/prometheus.yml" <<END
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [$root/deploy/prometheus/alerts.yaml]
scrape_configs:
  - job_name: lease-gateway
    static_configs:
      - {targets: ["127.0.0.1:$admin"], labels: {pod: lease-gateway-6d5f9c7b8-x2x7k}}
      - {targets: ["127.0.0.1:$alone_admin"], labels: {pod: lease-gateway-0}}
END
  web=$(free_port $((alone_admin + 1)))
  prometheus --config.file="$out/prometheus.yml" --storage.tsdb.path="$out/tsdb" --storage.tsdb.retention.time=1h \
    --web.listen-address="127.0.0.1:$web" >"$step_log" 2>&1 &
  prometheus=$!
  more_traffic() { for _ in 1 2 3 4 5 6; do traffic && sleep 0.8; done; }
  check "traffic meanwhile" more_traffic
  python prometheus "127.0.0.1:$web"
elif [ -n "$gateway" ]; then
  echo "skipped: prometheus is missing: run deploy/install.sh --kubernetes"
fi

if [ -n "$gateway" ]; then
  step "The gateway drains" "$out/gateway.log"
  kill -TERM "$gateway"
  # Its exit status is that of a failure then.
  not_ready() { { leasectl health --service leasegateway.v1.LeaseService 2>&1 || true; } | grep NOT_SERVING; }
  check "it is no longer ready" wait_for 3 "$gateway" not_ready
  check "it is alive" leasectl health --service liveness
  ended() { wait "$gateway"; }
  check "it ends with status 0" ended
  gateway=
fi

if [ -n "$edge" ]; then
  step "nginx of the component edge before a gateway" "$out/edge.log"
  wait "$edge" || true
  edge=
  count edge "$step_log"
fi

printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ] || exit 1
