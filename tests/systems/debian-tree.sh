# shellcheck shell=bash
# Sourced after deploy/common.sh by what needs bare Debian systems in folders. Needs root and debootstrap.

room() { df -BM --output=avail "$1" | tail -n 1 | tr -dc 0-9; }

# find_room MEGABYTES: sets `place`, a folder for trees: TMPDIR, else build/ or /var/tmp, whichever has more room. Ends
# the script as skipped where there is too little.
find_room() {
  place=${TMPDIR:-/var/tmp}
  if [ -z "${TMPDIR:-}" ] && [ "$(room "$root/build")" -gt "$(room "$place")" ]; then place=$root/build; fi
  [ "$(room "$place")" -ge "$1" ] || {
    echo "skipped: $script_name: needs $1 MB in $place, which has $(room "$place"); TMPDIR names another folder"
    exit "$skipped"
  }
}

# find_mirrors: sets `mirror` and `security`. DEBIAN_MIRROR: where to take packages from; default: where
# this machine does.
find_mirrors() {
  step "Find the Debian mirror"
  local repositories
  repositories=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sort -u)
  mirror=${DEBIAN_MIRROR:-$(grep -m1 -E '/debian/?$' <<<"$repositories" || true)}
  security=$(grep -m1 -E '/debian-security/?$' <<<"$repositories" || true)
  [ -n "$mirror" ] || fail "found no mirror in apt's sources; set DEBIAN_MIRROR"
}

# base_system SUITE TREE: in the empty folder TREE; cached, but for sid, which is another one every few hours.
base_system() {
  local suite=$1 tree=$2 cache=${XDG_CACHE_HOME:-$HOME/.cache}/lease-gateway
  local base=$cache/base-$suite.tar
  if [ "$suite" != sid ] && [ -f "$base" ]; then
    step "Unpack the cached base system"
    tar -C "$tree" -xf "$base"
    return
  fi
  step "Make the base system of $suite" "$root/build/debootstrap-$suite.log"
  logged timeout 600 debootstrap --variant=minbase "$suite" "$tree" "$mirror"
  rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/archives/*.deb
  [ "$suite" != sid ] || return 0
  mkdir -p "$cache"
  tar -C "$tree" -cf "$base.part" . && mv "$base.part" "$base"
}

# make_tree SUITE TREE: a minimal Debian in the empty folder TREE, which reaches the mirror as this machine does.
make_tree() {
  local suite=$1 tree=$2
  base_system "$suite" "$tree"
  chmod 755 "$tree" # the folder was made, and its archive keeps it, as private as mktemp makes them
  echo "deb $mirror $suite main" >"$tree/etc/apt/sources.list"
  if [ "$suite" != sid ]; then # which has neither
    echo "deb $mirror $suite-updates main" >>"$tree/etc/apt/sources.list"
    [ -z "$security" ] || echo "deb $security $suite-security main" >>"$tree/etc/apt/sources.list"
  fi
  # How this machine reaches its mirror: proxies, certificates, checks of dates.
  apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries)' >"$tree/etc/apt/apt.conf.d/90machine" || true
  # As in Debian's own images: nobody needs these trees after a crash.
  echo force-unsafe-io >"$tree/etc/dpkg/dpkg.cfg.d/docker-apt-speedup"
  cp -L /etc/resolv.conf /etc/hosts "$tree/etc/"
  mount -t proc proc "$tree/proc"
  # As real machines have; glibc looks there for the number of processors.
  mount -t sysfs -o ro sysfs "$tree/sys"
  # Without it PostgreSQL takes System V's shared memory, which outlives the tree.
  mkdir -p "$tree/dev/shm"
  mount -t tmpfs -o mode=1777 tmpfs "$tree/dev/shm"
}

# share_compilations SUITE TREE: what g++ made in one tree of the suite is there for the next one, whatever folder it
# builds in. remove_tree unmounts it.
share_compilations() {
  local tree=$2 cache=${XDG_CACHE_HOME:-$HOME/.cache}/lease-gateway/ccache-$1
  mkdir -p "$cache" "$tree/root/.cache/ccache" "$tree/root/.config/ccache"
  printf 'base_dir = /\nhash_dir = false\n' >"$tree/root/.config/ccache/ccache.conf"
  mount --bind "$cache" "$tree/root/.cache/ccache"
}

# remove_tree TREE: with what is mounted below it.
remove_tree() {
  local tree=$1 mounted
  while read -r mounted; do
    umount "$mounted" 2>/dev/null || umount -l "$mounted" 2>/dev/null || true
  done < <(awk -v tree="$tree" '$2 == tree || index($2, tree "/") == 1 { print $2 }' /proc/self/mounts | tac)
  if awk -v tree="$tree" '$2 == tree || index($2, tree "/") == 1 { found = 1 } END { exit !found }' /proc/self/mounts; then
    echo "$script_name: something is still mounted at $tree; left alone" >&2
  else
    rm -rf --one-file-system "$tree"
  fi
}

# in_tree SECONDS TREE FOLDER COMMAND…: as root, with nothing of this machine's environment but its proxies.
in_tree() {
  local seconds=$1 tree=$2 folder=$3
  shift 3
  env -i HOME=/root PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
    ${no_proxy:+no_proxy="$no_proxy"} \
    timeout --kill-after=20 "$seconds" chroot "$tree" \
    sh -c 'cd "$0" && exec "$@"' "$folder" "$@" </dev/null
}
