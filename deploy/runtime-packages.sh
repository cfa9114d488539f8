#!/usr/bin/env bash
# Prints the Debian packages that programs need to run: the owners of the libraries that they are
# linked with, a line each. APT brings what those need.
#   deploy/runtime-packages.sh PROGRAM…
set -euo pipefail
for program in "$@"; do
  needed=$(readelf -d "$program" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p')
  libraries=$(ldd "$program")
  while read -r library; do
    path=$(awk -v name="$library" '$1 == name { print $3 }' <<<"$libraries")
    # The loader, which ldd shows by its path only.
    [ -n "$path" ] || continue
    # With /usr merged, dpkg may know the file by its other name.
    owners=$(dpkg-query -S "$(realpath "$path")" "$(realpath "$path" | sed 's|^/usr||')" 2>/dev/null || true)
    [ -n "$owners" ] || { echo "$0: no package has $path" >&2; exit 1; }
    sed '1s/:.*//;1q' <<<"$owners"
  done <<<"$needed"
done | sort -u
