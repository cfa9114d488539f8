#!/usr/bin/env bash
# Checks proto/ against buf's STANDARD rules. The google/ files that it imports are a second module,
# which is not linted. Exit status 77 where npm can't bring buf.
script_name=tests/lint/buf-lint.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/common.sh"

googleapis=/usr/share/gocode/src/github.com/gogo/googleapis
[ -d "$googleapis/google/rpc" ] || fail "golang-github-gogo-googleapis-dev is missing: run deploy/install.sh"

npm_packages @bufbuild/buf@1 || exit "$skipped"

step "buf lint"
workspace=$(mktemp -d)
trap 'rm -rf "$workspace"' EXIT
mkdir -p "$workspace/googleapis/google"
cp -r "$root/proto" "$workspace/proto"
(cd "$googleapis" && cp --parents google/rpc/*.proto google/type/*.proto "$workspace/googleapis")
cat >"$workspace/buf.yaml" <<'END'
version: v2
modules:
  - path: proto
  - path: googleapis
lint:
  use: [STANDARD]
END
(cd "$workspace" && timeout 60 "$root/build/npm/node_modules/.bin/buf" lint proto)
echo "proto/ follows the STANDARD rules."
