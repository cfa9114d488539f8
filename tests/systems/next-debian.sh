#!/usr/bin/env bash
# Shows that Debian's next release can build this: a bare tree of unstable with gRPC and Protobuf from experimental, a
# clone of HEAD in it, all targets with warnings as errors, unit and integration tests; then all targets once more with
# experimental's OpenSSL. Says with which versions. No part of .ci/run, as the suite changes every few hours; what is
# known to differ there: tests/README.md. Ends with a line "N passed, N failed"; exit status 77 where the disk has too
# little room. Needs root and debootstrap.
#   tests/systems/next-debian.sh [JOBS]   compilers and tests at a time; default: as many as processors
# DEBIAN_MIRROR: where to take packages from; default: where this machine does.
script_name=tests/systems/next-debian.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/common.sh"
. "$root/tests/systems/debian-tree.sh"
jobs=${1:-$(nproc)}
[[ $jobs =~ ^[1-9][0-9]*$ ]] || { echo "usage: tests/systems/next-debian.sh [JOBS]" >&2; exit 2; }
[ "$(id -u)" = 0 ] || fail "needs root"
command -v debootstrap >/dev/null || fail "debootstrap is missing: run deploy/install.sh --ci"

# Tests that are known to fail there; tests/README.md says why.
known=()

find_mirrors
find_room 8000
tree=$(mktemp -d -p "$place" lease-gateway-next.XXXXXX)
trap 'remove_tree "$tree"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
make_tree sid "$tree"
share_compilations sid "$tree"

step "Take gRPC and Protobuf from experimental"
echo "deb $mirror experimental main" >>"$tree/etc/apt/sources.list"
printf 'Package: src:grpc src:protobuf\nPin: release a=experimental\nPin-Priority: 990\n' \
  >"$tree/etc/apt/preferences.d/experimental"
git clone -q --no-hardlinks "$root" "$tree/root/lease-gateway"
git -C "$tree/root/lease-gateway" log -1 --format='Testing %h: %s'
inside() {
  local seconds=$1
  shift
  in_tree "$seconds" "$tree" /root/lease-gateway "$@"
}
step "Install"
inside 2400 deploy/install.sh --tests

# versions PACKAGE…: as installed.
versions() { inside 60 dpkg-query -W -f '  ${Package} ${Version}\n' "$@"; }
what=(g++ cmake libc6-dev libgrpc++-dev libprotobuf-dev libabsl-dev libboost-dev libssl-dev libc-ares-dev libpq-dev
  libsqlite3-dev libspdlog-dev libfmt-dev libsimdjson-dev libyaml-cpp-dev libcli11-dev libmimalloc-dev
  prometheus-cpp-dev libgtest-dev postgresql python3-grpcio)
step "The versions"
versions "${what[@]}"

passed=0
failed=0
# build_all NAME: all targets. One that fails doesn't keep the others from being tried.
build_all() {
  local log=$root/build/next-debian-build.log
  step "Build all targets with $1" "$log"
  started=$SECONDS
  if (logged inside 300 cmake --preset release && inside 7200 cmake --build build/release -j "$jobs" -- -k 0 >>"$log" 2>&1); then
    passed=$((passed + 1))
    echo "ok: built without a warning in $((SECONDS - started)) s"
  else
    failed=$((failed + 1))
    grep -E '(error|warning|FAILED): |undefined reference' "$log" | sort | uniq -c | sort -rn | head -n 40
    echo "FAILED: not all is built, see $log"
  fi
  step_log=
}
build_all "gRPC of experimental"

step "Unit and integration tests"
log=$root/build/next-debian-tests.log
inside 3000 ctest --test-dir build/release --no-tests=error --output-on-failure -j "$jobs" >"$log" 2>&1 || true
read -r good bad < <(ctest_counts "$log")
[ $((good + bad)) != 0 ] || bad=1
# ctest lists them at the end, as "	 12 - Suite.Test (Failed)".
mapfile -t broken < <(sed -nE 's/^[[:space:]]+[0-9]+ - (.*) \([A-Z][^)]*\).*$/\1/p' "$log")
for name in "${broken[@]}"; do
  if printf '%s\n' "${known[@]}" | grep -qxF -- "$name"; then
    echo "as known: $name fails"
    bad=$((bad - 1))
  else
    echo "FAILED: $name"
  fi
done
[ "$bad" = 0 ] || echo "See $log"
passed=$((passed + good))
failed=$((failed + bad))

# gRPC's own package is linked with unstable's OpenSSL, and one process has no use for two: not run.
step "Take OpenSSL from experimental" "$root/build/next-debian-openssl.log"
logged inside 600 apt-get -q -y install --no-install-recommends -t experimental libssl-dev
step_log=
versions libssl-dev
build_all "OpenSSL of experimental"

step "The tree is $(du -sm --one-file-system "$tree" | cut -f 1) MB"
printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ] || exit 1
