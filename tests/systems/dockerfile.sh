#!/usr/bin/env bash
# Follows deploy/Dockerfile in bare Debian 13 trees, as no container engine is needed for that: FROM, WORKDIR,
# COPY (of HEAD, as .dockerignore lets through), RUN, USER and ENTRYPOINT of both stages. Then starts
# what came out as Kubernetes does: not as root, root file system read-only, all shells gone.
# Ends with a line "N passed, N failed"; exit status 77 where the disk has too little room. Needs root and debootstrap.
script_name=tests/systems/dockerfile.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/common.sh"
. "$root/tests/systems/debian-tree.sh"
[ "$(id -u)" = 0 ] || fail "needs root"
command -v debootstrap >/dev/null || fail "debootstrap is missing: run deploy/install.sh --ci"

find_room 4000
work=$(mktemp -d -p "$place" lease-gateway-image.XXXXXX)
gateway=
declare -A trees=()
cleanup() {
  if [ -n "$gateway" ]; then stop_process "$gateway" 10 || true; fi
  for tree in "${trees[@]}"; do remove_tree "$tree"; done
  rm -rf --one-file-system "$work/context"
  rmdir "$work" || true
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
find_mirrors

step "The context, as .dockerignore lets it through"
mkdir "$work/context"
mapfile -t patterns < <(grep -vE '^(#|$)' "$root/.dockerignore")
[ "${patterns[0]}" = '*' ] || fail ".dockerignore must begin with *"
allowed=("${patterns[@]:1}")
git -C "$root" archive HEAD -- "${allowed[@]#!}" | tar -x -C "$work/context"
git -C "$root" log -1 --format='Of %h: %s'

# copy STAGE SOURCE… TARGET: as COPY does.
copy() {
  local from=$work/context to source into
  [ -z "$1" ] || from=${trees[$1]}
  shift
  local sources=("${@:1:$#-1}") target=${*: -1}
  case "$target" in /*) to=$tree$target ;; *) to=$tree$folder/$target ;; esac
  for source in "${sources[@]}"; do
    [ -e "$from/$source" ] || fail "COPY: there is no $source"
    if [ -d "$from/$source" ]; then
      mkdir -p "$to" && cp -a --no-preserve=ownership "$from/$source/." "$to"
    else
      into=$to
      if [ "${target%/}" != "$target" ] || [ "${#sources[@]}" -gt 1 ]; then into=$to/; fi
      mkdir -p "$(dirname "${into}x")" && cp -a --no-preserve=ownership "$from/$source" "$into"
    fi
  done
}

stage=0 tree='' folder=/ user='' entry=''
follow() {
  local instruction=$1 rest=$2 from='' image name
  echo "+ $instruction $rest" | cut -c 1-120
  case "$instruction" in
    FROM)
      read -r image _ name <<<"$rest"
      [ "$image" = debian:trixie-slim ] || fail "FROM $image: only debian:trixie-slim is known"
      stage=$((stage + 1)) folder=/ user='' entry=''
      tree=$work/stage-$stage
      mkdir "$tree"
      trees[${name:-$stage}]=$tree
      make_tree trixie "$tree"
      share_compilations trixie "$tree" # an image's build does without
      before=$(in_tree 60 "$tree" / dpkg-query -W -f '${Package}\n')
      ;;
    WORKDIR) folder=$rest && mkdir -p "$tree$folder" ;;
    COPY)
      if [[ $rest == --from=* ]]; then from=${rest#--from=} from=${from%% *} rest=${rest#* }; fi
      # shellcheck disable=SC2086  # a list of paths
      copy "$from" $rest
      ;;
    RUN)
      step "RUN $(cut -c 1-60 <<<"$rest")" "$root/build/dockerfile.log"
      logged in_tree 3000 "$tree" "$folder" sh -c "$rest"
      step_log=
      ;;
    USER) user=$rest ;;
    ENTRYPOINT) entry=$rest ;;
    EXPOSE) ;;
    *) fail "$instruction: not known here" ;;
  esac
}
step "Follow deploy/Dockerfile"
while read -r instruction rest <&3; do
  follow "$instruction" "$rest"
done 3< <(sed -e '/^[[:space:]]*#/d' "$root/deploy/Dockerfile" | sed -e ':join' -e '/\\$/{N;s/\\\n//;b join' -e '}' | sed '/^$/d')

passed=0
failed=0
# check NAME COMMAND…
check() {
  local name=$1
  shift
  if "$@"; then passed=$((passed + 1)) && echo "ok: $name"; else failed=$((failed + 1)) && echo "FAILED: $name"; fi
}

step "What came out"
added=$(comm -13 <(sort <<<"$before") <(in_tree 60 "$tree" / dpkg-query -W -f '${Package}\n' | sort))
echo "Packages beside the base: $(wc -l <<<"$added"); programs: $(du -cBM "$tree"/usr/local/bin/* | awk 'END { print $1 }')"
needless() { ! grep -E -- '-dev(:|$)|^(g\+\+|gcc|cpp|cmake|ninja|ccache|make|clang|binutils|git|curl)(-|$)' <<<"$added"; }
check "no compiler, header or tool in the image" needless
wanted() {
  local package
  while read -r package; do
    grep -qxF "$package" <<<"$before"$'\n'"$added" || { echo "$package is missing"; return 1; }
  done <"$tree/usr/share/lease-gateway/packages"
}
check "every package that the programs need is there" wanted
linked() {
  local program
  for program in lease-gateway leasectl; do
    ! in_tree 60 "$tree" / ldd "/usr/local/bin/$program" | grep 'not found' || return 1
  done
}
check "every library is found" linked
# What apt was asked for and the programs are not linked with.
exact() { diff <(in_tree 60 "${trees[build]}" /src deploy/runtime-packages.sh /out/bin/lease-gateway /out/bin/leasectl) "$tree/usr/share/lease-gateway/packages"; }
check "the list is the one of the stripped programs" exact
check "a user that is not root, by number" grep -qE '^[1-9][0-9]*:[1-9][0-9]*$' <<<"$user"
mapfile -t command < <(/usr/bin/python3 -c 'import json, sys; print("\n".join(json.loads(sys.argv[1])))' "$entry")
check "ENTRYPOINT in exec form, of a program" test -x "$tree${command[0]}"

step "Start it without a shell, not as root, on a read-only root" "$root/build/dockerfile-gateway.log"
umount "$tree/root/.cache/ccache"
mapfile -t shells < <(in_tree 60 "$tree" / sh -c 'for shell in sh dash bash rbash; do for path in /bin /usr/bin; do [ ! -e "$path/$shell" ] || echo "$path/$shell"; done; done')
rm -f "${shells[@]/#/$tree}"
check "no shell is left" test ! -e "$tree/usr/bin/sh" -a ! -e "$tree/usr/bin/bash" -a ! -e "$tree/usr/bin/dash"
mount --bind "$tree" "$tree"
mount -o remount,ro,bind "$tree"
mount -t tmpfs -o mode=1777,size=16m tmpfs "$tree/tmp"
port=$(free_port 22051)
as_user=(env -i "$(command -v chroot)" "--userspec=$user" --groups= "$tree")
"${as_user[@]}" "${command[@]}" --sandbox --listen "127.0.0.1:$port" >"$step_log" 2>&1 &
gateway=$!
leasectl() { timeout 20 "${as_user[@]}" /usr/local/bin/leasectl --target "127.0.0.1:$port" "$@"; }
healthy() { wait_for 20 "$gateway" leasectl health; }
check "it is SERVING" healthy
lists() { leasectl available | grep -q '^+'; }
check "it lists numbers" lists
runs_as() { [ "$(awk '/^Uid:/ { print $2 }' "/proc/$gateway/status")" = "${user%%:*}" ]; }
check "the process is of that user" runs_as
ends() {
  local pid=$gateway
  gateway=
  stop_process "$pid" 30
}
check "SIGTERM ends it with status 0" ends
printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ] || exit 1
