#!/usr/bin/env bash
# Writes prometheus-rule.yaml anew from alerts.yaml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
{
  cat <<'HEAD'
# Made from alerts.yaml by deploy/prometheus/update.sh.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: lease-gateway
  labels:
    app.kubernetes.io/name: lease-gateway
spec:
HEAD
  sed -e '/^#/d' -e 's/^./  &/' alerts.yaml
} >prometheus-rule.yaml
