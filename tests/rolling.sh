#!/usr/bin/env bash
# Replaces two gateways, one after the other, under load and prints what became of each call and
# each lease; then lets a third one join. Takes about 15 s once it's built.
script_name=tests/rolling.sh
. "$(dirname "${BASH_SOURCE[0]}")/../deploy/common.sh"

build release lease-gateway lease-sandbox rolling
step "Replace gateways under load"
timeout 120 "$root/build/release/tests/rolling" "$root/build/release/bin" \
  "$root/deploy/clients/service-config.json"
