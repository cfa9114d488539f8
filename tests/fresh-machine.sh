#!/usr/bin/env bash
# Shows that a new machine needs nothing by hand: a minimal Debian in a folder, a clone of HEAD in
# it, deploy/run.sh --once twice, then tests/run.sh. Needs root and debootstrap.
#   tests/fresh-machine.sh bookworm|trixie
# DEBIAN_MIRROR: where to take packages from; default: where this machine does.
script_name=tests/fresh-machine.sh
. "$(dirname "${BASH_SOURCE[0]}")/../deploy/common.sh"

suite=${1:-}
case "$suite" in
  bookworm | trixie) ;;
  *) echo "usage: tests/fresh-machine.sh bookworm|trixie" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || fail "needs root"
command -v debootstrap >/dev/null || fail "debootstrap is missing: run deploy/install.sh --ci"

step "Find the Debian mirror"
repositories=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sort -u)
mirror=${DEBIAN_MIRROR:-$(grep -m1 -E '/debian/?$' <<<"$repositories" || true)}
security=$(grep -m1 -E '/debian-security/?$' <<<"$repositories" || true)
[ -n "$mirror" ] || fail "found no mirror in apt's sources; set DEBIAN_MIRROR"

tree=$(mktemp -d -p "${TMPDIR:-/var/tmp}" lease-gateway-fresh.XXXXXX)
cleanup() {
  umount "$tree/proc" 2>/dev/null || umount -l "$tree/proc" 2>/dev/null || true
  if grep -qF " $tree/" /proc/self/mounts; then
    echo "$script_name: something is still mounted below $tree; left alone" >&2
  else
    rm -rf --one-file-system "$tree"
  fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cache=${XDG_CACHE_HOME:-$HOME/.cache}/lease-gateway
base=$cache/base-$suite.tar
if [ -f "$base" ]; then
  step "Unpack the cached base system"
else
  step "Make the base system of $suite" "$root/build/debootstrap-$suite.log"
  mkdir -p "$cache"
  logged timeout 600 debootstrap --variant=minbase "$suite" "$tree" "$mirror"
  rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/archives/*.deb
  tar -C "$tree" -cf "$base.part" . && mv "$base.part" "$base"
  rm -rf --one-file-system "$tree"
  mkdir "$tree"
fi
tar -C "$tree" -xf "$base"

step "Lay out the machine"
{
  echo "deb $mirror $suite main"
  echo "deb $mirror $suite-updates main"
  if [ -n "$security" ]; then echo "deb $security $suite-security main"; fi
} >"$tree/etc/apt/sources.list"
# How this machine reaches its mirror: proxies, certificates, checks of dates.
apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries)' >"$tree/etc/apt/apt.conf.d/90machine" || true
cp -L /etc/resolv.conf /etc/hosts "$tree/etc/"
mount -t proc proc "$tree/proc"
git clone -q --no-hardlinks "$root" "$tree/root/lease-gateway"
git -C "$tree/root/lease-gateway" log -1 --format='Testing %h: %s'

# inside SECONDS COMMAND…: with nothing of this machine's environment but its proxies.
inside() {
  local seconds=$1
  shift
  env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
    ${no_proxy:+no_proxy="$no_proxy"} \
    timeout --kill-after=20 "$seconds" chroot "$tree" \
    sh -c 'cd /root/lease-gateway && exec "$@"' sh "$@" </dev/null
}
started=$SECONDS
step "deploy/run.sh --once on $suite"
inside 1500 deploy/run.sh --once
first=$((SECONDS - started))
started=$SECONDS
step "The same again, which must be quick"
inside 120 deploy/run.sh --once
again=$((SECONDS - started))
started=$SECONDS
step "tests/run.sh on $suite"
inside 2400 tests/run.sh
# The line with the counts stays the last one.
echo "$suite: first run $first s, second run $again s, tests $((SECONDS - started)) s" >&2
