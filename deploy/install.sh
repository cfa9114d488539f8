#!/usr/bin/env bash
# Installs from Debian what building needs, and only what is missing. Debian 12 and 13, and unstable, which
# tests/systems/next-debian.sh tries.
#   deploy/install.sh                to build and run
#   deploy/install.sh --tests        and to test
#   deploy/install.sh --postgres     and a PostgreSQL server, a client and a pooler for trying it out; none is started
#   deploy/install.sh --bench        and to measure
#   deploy/install.sh --hostile      and for tests/hostile/run.sh
#   deploy/install.sh --kubernetes   and for tests/systems/kubernetes.sh
#   deploy/install.sh --ci           and for .ci/run
script_name=deploy/install.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

step "Check the Debian packages"
. /etc/os-release
case "${ID:-}:${VERSION_ID:-}" in
  debian:12) boost=1.81 ;;
  debian:13) boost=1.83 ;;
  debian: | debian:14) boost= ;; # unstable, testing and what they become: the Boost that is the default there
  *) fail "needs Debian 12 or 13, this is ${PRETTY_NAME:-unknown}" ;;
esac

packages="g++ cmake ninja-build ccache pkg-config ca-certificates curl
  libgrpc++-dev protobuf-compiler-grpc protobuf-compiler libprotobuf-dev libssl-dev
  libspdlog-dev libyaml-cpp-dev libcli11-dev libsimdjson-dev libmimalloc-dev libsqlite3-dev libpq-dev libzstd-dev libc-ares-dev zlib1g-dev librhonabwy-dev libjansson-dev libyaml-dev prometheus-cpp-dev
  golang-github-gogo-googleapis-dev
  libboost$boost-dev libboost-json$boost-dev libboost-url$boost-dev"
postgres="postgresql postgresql-client pgbouncer python3-psycopg2"
tests="libgtest-dev libgmock-dev python3 python3-grpcio python3-protobuf openssl procps nginx python3-dnslib dnsmasq-base
  squid tinyproxy-bin $postgres"
bench="nghttp2-client zstd"
hostile="python3-h2 python3-hpack python3-hyperframe nghttp2-client"
kubernetes="prometheus python3-yaml"
# Debian 12's own kubectl is too old for the manifests: tests/systems/kubernetes.sh says so and goes on without.
if [ "${VERSION_ID:-}" != 12 ] && ! command -v kubectl >/dev/null; then kubernetes="$kubernetes kubernetes-client"; fi
ci="clang clang-format debootstrap"
case "${1:-}" in
  "") ;;
  --tests) packages="$packages $tests" ;;
  --postgres) packages="$packages $postgres" ;;
  --bench) packages="$packages $tests $bench" ;;
  --hostile) packages="$packages $tests $hostile" ;;
  --kubernetes) packages="$packages $tests $kubernetes" ;;
  --ci) packages="$packages $tests $hostile $kubernetes $ci" ;;
  *) fail "unknown option $1; known: --tests, --postgres, --bench, --hostile, --kubernetes, --ci" ;;
esac
case "${1:-}" in
  # Some other package than Debian's may bring npm.
  --bench | --hostile | --ci) command -v npm >/dev/null || packages="$packages nodejs npm" ;;
esac
# shellcheck disable=SC2086  # a list of names
installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $packages 2>/dev/null || true)
missing=()
for package in $packages; do
  grep -qxF "$package installed" <<<"$installed" || missing+=("$package")
done
if [ "${#missing[@]}" = 0 ]; then
  echo "All there."
  exit 0
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || fail "needs root or sudo to install: ${missing[*]}"
  as_root=(sudo)
fi
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 "$@" \
    </dev/null >>"$step_log" 2>&1
}

# The packages would make a database in /var/lib/postgresql and start it, the pooler, nginx and squid: the tests run their
# own.
# Both files are there for the time of the installation.
no_cluster=/etc/postgresql-common/createcluster.d/lease-gateway.conf
no_services=/usr/sbin/policy-rc.d
brings() { case " ${missing[*]} " in *" $1 "*) ;; *) return 1 ;; esac }
as_root_write() { "${as_root[@]}" sh -c 'mkdir -p "$(dirname "$1")" && printf "$2" >"$1" && chmod 755 "$1"' - "$@"; }
if brings postgresql || brings pgbouncer || brings nginx || brings squid; then
  temporary=("$no_cluster")
  [ -e "$no_services" ] || temporary+=("$no_services")
  trap '"${as_root[@]}" rm -f "${temporary[@]}"' EXIT
  as_root_write "$no_cluster" 'create_main_cluster = false\n'
  [ "${#temporary[@]}" = 1 ] || as_root_write "$no_services" '#!/bin/sh\nexit 101\n'
fi

step "Install ${#missing[@]} packages: ${missing[*]}" "$root/build/install.log"
: >"$step_log"
# Package lists that are missing or old make the first try fail at once.
if ! apt install --no-install-recommends "${missing[@]}"; then
  apt update
  apt install --no-install-recommends "${missing[@]}"
fi
for service in pgbouncer nginx squid; do
  brings "$service" && command -v systemctl >/dev/null || continue
  "${as_root[@]}" systemctl --quiet disable "$service" >>"$step_log" 2>&1 || true
done
echo "Installed."
