#!/usr/bin/env bash
# Measures the gateway against bare servers and other software on this machine, in one run: installs
# what is missing, builds, then runs run.py, which has the arguments (--help). Writes
# build/bench/results.json and build/bench/results.svg. Exit status 1 when a bar is missed, 2 when
# it could not be measured.
script_name=tests/bench/run.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/common.sh"

step "Install"
"$root/deploy/install.sh" --bench
mkdir -p "$root/build/bench"

# Debian's package would start a web server on port 80, so its program is only unpacked.
nginx=$(command -v nginx || true)
if [ -z "$nginx" ]; then
  nginx=$root/build/bench/nginx/usr/sbin/nginx
  if [ ! -x "$nginx" ]; then
    step "Fetch nginx" "$root/build/bench/nginx.log"
    mkdir -p "$root/build/bench/nginx"
    (cd "$root/build/bench/nginx" && logged apt-get -q download nginx && dpkg -x nginx_*.deb .)
  fi
fi
npm_packages @grpc/grpc-js@1 || exit 2

build release lease-gateway lease-sandbox bench_bytes bench_client bench_connect bench_floor bench_https \
  bench_leases bench_refresh bench_shares bench_typed bench_client_certificate callers_bench
exec /usr/bin/python3 "$root/tests/bench/run.py" --nginx "$nginx" "$@"
