#!/usr/bin/env bash
# Replaces gateways under load, without drain_wait, and prints what became of each call and each lease: two of them
# under a C++ client that leases and reads; a third one that joins; then the two in turn under callers that share
# no code with the gateway, Debian's python3-grpcio and @grpc/grpc-js (left out where npm can't bring it).
#   tests/systems/rolling.sh [--calls N]   at least N calls of the foreign ones (30,000); 30,000 take about a minute
script_name=tests/systems/rolling.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/common.sh"

calls=30000
case "${1:-}" in
  "") ;;
  --calls) calls=${2:?} ;;
  *) fail "unknown option $1; known: --calls" ;;
esac
callers=("$root/tests/systems/rolling/foreign_caller.py")
if npm_packages @grpc/grpc-js@1; then
  callers+=("$root/tests/systems/rolling/foreign_caller.js")
  export NODE_PATH=$root/build/npm/node_modules
fi

build release lease-gateway lease-sandbox rolling
step "Replace gateways under load"
timeout $((120 + calls / 500)) "$root/build/release/tests/rolling" "$root/build/release/bin" \
  "$root/proto/leasegateway/v1/service_config.json" "$calls" "${callers[@]}"
