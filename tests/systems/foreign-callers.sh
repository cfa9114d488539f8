#!/usr/bin/env bash
# Callers with @grpc/grpc-js, by certificate and by token, and who the gateway takes them for. (Those with python3-grpcio and
# behind nginx are in tests/run.sh.) Ends with a line "N passed, N failed".
#   tests/systems/foreign-callers.sh [FOLDER]   FOLDER has lease-gateway; default: build/release/bin, which is built
script_name=tests/systems/foreign-callers.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/common.sh"
npm_packages @grpc/grpc-js@1 || exit "$skipped"
[ -n "${1:-}" ] || build release lease-gateway
step "Callers with grpc-js"
NODE_PATH=$root/build/npm/node_modules timeout 120 /usr/bin/python3 "$root/tests/integration/foreign_callers.py" \
  "${1:-$root/build/release/bin}" grpc-js
