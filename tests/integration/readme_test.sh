#!/usr/bin/env bash
# Runs the two client programs of proto/README.md against a gateway on its sandbox, and the example of deploy/callers.md.
# Usage: readme_test.sh SOURCE_DIR BIN_DIR README_CLIENT
set -euo pipefail
source_dir=$1 bin=$2 client=$3
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

: >"$work/log" # or the first look could come before the shell in the background has made it
"$bin/lease-gateway" --sandbox --listen 127.0.0.1:0 2>>"$work/log" &
pid=$!
for _ in $(seq 100); do
  port=$(sed -n 's/.*serves gRPC on port \([0-9]*\).*/\1/p' "$work/log")
  [ -z "$port" ] || break
  sleep 0.1
done
[ -n "$port" ] || { echo "the gateway did not start:"; cat "$work/log"; exit 1; }

"$client" "127.0.0.1:$port" | tee "$work/cpp"
[ "$(grep -c '^+' "$work/cpp")" = 100 ] || { echo "the C++ program did not list 100 numbers"; exit 1; }

# These google/ protos are compiled too: Debian's Python packages lack them.
apis=/usr/share/gocode/src/github.com/gogo/googleapis
protoc -I "$source_dir/proto" -I "$apis" --python_out="$work" --grpc_python_out="$work" \
  --plugin=protoc-gen-grpc_python="$(command -v grpc_python_plugin)" \
  leasegateway/v1/resources.proto leasegateway/v1/lease_service.proto
protoc -I "$apis" --python_out="$work" google/type/money.proto google/rpc/status.proto
mv "$work/google" "$work/google_apis"
sed -n '/^```python$/,/^```$/p' "$source_dir/proto/README.md" | sed '1d;$d' > "$work/client.py"
cat > "$work/run.py" <<'PY'
# google is a package of the system; its missing parts come from beside this file.
import os, runpy, sys
import google
google.__path__.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "google_apis"))
runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), "client.py"), run_name="__main__")
PY
(cd "$work" && /usr/bin/python3 run.py "127.0.0.1:$port") | tee "$work/python"
grep -qE '^lsd_[^ ]+ \+[0-9]+$' "$work/python" || { echo "the Python program leased nothing"; exit 1; }

# The example of deploy/callers.md, as it stands there, but for the port: each line of its text blocks must be said, in
# their order.
mkdir -p "$work/example/build/release"
ln -s "$bin" "$work/example/build/release/bin"
ln -s "$source_dir/deploy" "$work/example/deploy"
example=$source_dir/deploy/callers.md
port=$(. "$source_dir/deploy/common.sh" && free_port 24051)
{
  echo 'trap "kill \$gateway 2>/dev/null" EXIT'
  sed -n '/^```sh$/,/^```$/{/^```/!p}' "$example" | sed "s/localhost:50051/localhost:$port/g"
  echo 'wait "$gateway"; echo "the gateway ended with $?"'
} >"$work/example.sh"
grep -q "listen localhost:$port " "$work/example.sh" || { echo "the example does not start a gateway"; exit 1; }
(cd "$work/example" && timeout 50 bash "$work/example.sh") 2>&1 | tee "$work/said" || true
{
  sed -n '/^```text$/,/^```$/{/^```/!p}' "$example"
  echo 'the gateway ended with 0'
} >"$work/wanted"
[ "$(wc -l <"$work/wanted")" -gt 10 ] || { echo "the example says nothing"; exit 1; }
awk 'NR == FNR { wanted[++count] = $0; next } $0 == wanted[next_one + 1] { ++next_one }
  END { if (next_one < count) { print "deploy/callers.md: was not said: " wanted[next_one + 1]; exit 1 } }' \
  "$work/wanted" "$work/said"
