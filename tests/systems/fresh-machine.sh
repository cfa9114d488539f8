#!/usr/bin/env bash
# Shows that a new machine needs nothing by hand: a minimal Debian in a folder, a clone of HEAD in
# it, deploy/run.sh --once twice, then tests/systems/kubernetes.sh and tests/run.sh. Needs root and
# debootstrap; exit status 77 where the disk has too little room.
#   tests/systems/fresh-machine.sh bookworm|trixie
# DEBIAN_MIRROR: where to take packages from; default: where this machine does.
script_name=tests/systems/fresh-machine.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/common.sh"

suite=${1:-}
case "$suite" in
  bookworm | trixie) ;;
  *) echo "usage: tests/systems/fresh-machine.sh bookworm|trixie" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || fail "needs root"
command -v debootstrap >/dev/null || fail "debootstrap is missing: run deploy/install.sh --ci"

. "$root/tests/systems/debian-tree.sh"
find_mirrors
find_room 4000
tree=$(mktemp -d -p "$place" lease-gateway-fresh.XXXXXX)
trap 'remove_tree "$tree"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
make_tree "$suite" "$tree"

step "Lay out the machine"
share_compilations "$suite" "$tree" # a new machine takes longer
git clone -q --no-hardlinks "$root" "$tree/root/lease-gateway"
git -C "$tree/root/lease-gateway" log -1 --format='Testing %h: %s'

inside() {
  local seconds=$1
  shift
  in_tree "$seconds" "$tree" /root/lease-gateway "$@"
}
started=$SECONDS
step "deploy/run.sh --once on $suite"
inside 1500 deploy/run.sh --once
first=$((SECONDS - started))
started=$SECONDS
step "The same again, which must be quick"
inside 120 deploy/run.sh --once
again=$((SECONDS - started))
step "tests/systems/kubernetes.sh on $suite"
inside 300 deploy/install.sh --kubernetes
inside 400 tests/systems/kubernetes.sh
started=$SECONDS
step "tests/run.sh on $suite"
inside 2400 tests/run.sh
# The line with the counts stays the last one.
echo "$suite: first run $first s, second run $again s, tests $((SECONDS - started)) s" >&2
