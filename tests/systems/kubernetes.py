#!/usr/bin/python3
"""Holds the rendered manifests, the alerts, the dashboard and what callers copy to rules of our own.

  tests/systems/kubernetes.py rules FOLDER GATEWAY     FOLDER has OVERLAY.yaml for each overlay, as rendered
  tests/systems/kubernetes.py typescript FOLDER        the same as FOLDER/OVERLAY.ts, for a check of types
  tests/systems/kubernetes.py metrics SCRAPE…          files with what /metrics said, of one gateway each
  tests/systems/kubernetes.py prometheus ADDRESS       of a Prometheus that scrapes the gateways
  tests/systems/kubernetes.py client ADDRESS           of a gateway
  tests/systems/kubernetes.py retries LANGUAGE…        python, grpc-js: as found by node
  tests/systems/kubernetes.py edge FILE FOLDER         the overlay edge, as rendered, and where the programs are

Ends with a line "N passed, N failed".
"""
import copy
import glob
import json
import os
import sys

import yaml

from kubernetes_checks import checks
from kubernetes_checks.accounts import example_errors, unnoticed_in_example
from kubernetes_checks.callers import client, envoy_errors, service_config_errors
from kubernetes_checks.checks import EGRESS, check, read
from kubernetes_checks.edge_trial import tried
from kubernetes_checks.egress import page_errors
from kubernetes_checks.metrics import alert_test_errors, metrics, prometheus
from kubernetes_checks.mutations import MUTATIONS
from kubernetes_checks.rendered import Gateway, Rendered
from kubernetes_checks.retries import retries
from kubernetes_checks.rules import RULES, violations

# The npm package that has the types, by the end of the API group's name.
PACKAGES = (("monitoring.coreos.com", "@kubernetes-models/prometheus-operator"), ("istio.io", "@kubernetes-models/istio"))


def rules(folder, program):
    gateway = Gateway(program)
    rendered = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.yaml"))):
        overlay = os.path.basename(path)[:-5]
        rendered[overlay] = list(yaml.safe_load_all(read(path)))
    overlays = {"sandbox", "single", "trial", "production", "proxy", "mesh", "edge", "callers",
                "mesh-callers", "edge-callers", "single-callers"}
    check("all overlays", [] if set(rendered) == overlays else [str(set(rendered))])
    for overlay, objects in rendered.items():
        check(f"overlay {overlay}, {len(objects)} objects, {len(RULES)} rules",
              violations(Rendered(overlay, objects, gateway)))
    missed = []
    for overlay, mutate, expected in MUTATIONS:
        broken = Rendered(overlay, copy.deepcopy(rendered[overlay]), gateway)
        mutate(broken)
        found = violations(broken)
        if not any(expected in error for error in found):
            missed.append(f"{overlay}: {expected!r} is not noticed, but {found}")
    check(f"the rules refuse each of {len(MUTATIONS)} broken manifests", missed)
    check("deploy/egress.md names what there is", page_errors(gateway, read(EGRESS)))
    check("a wrong name in it is noticed", [old for old, new in (
        ("`dns_ttl`", "`dns_tll`"), ("`OUTCOME_UNKNOWN`", "`OUTCOME_UNCLEAR`"), ("_lookups_total`", "_lookup_total`"),
        ("`LeaseGatewayNameLookupsFailing`", "`LeaseGatewayNamesFailing`"), ("`credentials_rejected`", "`credentials_bad`"))
        if not page_errors(gateway, read(EGRESS).replace(old, new))])
    check("service_config.json", service_config_errors())
    check("envoy-routes.yaml", envoy_errors())
    check("projected-token.yaml", example_errors())
    check("what is wrong with it is noticed", unnoticed_in_example())
    check("each alert has a test that fires and one that is silent", alert_test_errors())


def typescript(folder):
    for path in glob.glob(os.path.join(folder, "*.yaml")):
        text = []
        for index, item in enumerate(yaml.safe_load_all(read(path))):
            # The package has Istio's v1 under its older name.
            item["apiVersion"] = item["apiVersion"].replace("istio.io/v1", "istio.io/v1beta1")
            version, kind = item["apiVersion"], item["kind"]
            package = next((name for suffix, name in PACKAGES if version.split("/")[0].endswith(suffix)),
                           "kubernetes-models")
            text.append(f'import type {{ I{kind} as T{index} }} from "{package}/{version}/{kind}";')
            text.append(f"export const o{index}: T{index} = {json.dumps(item, indent=1)};")
        with open(path[:-5] + ".ts", "w", encoding="utf-8") as file:
            file.write("\n".join(text) + "\n")


def main():
    command, *arguments = sys.argv[1:]
    {"rules": rules, "typescript": typescript, "metrics": metrics, "prometheus": prometheus,
     "client": client, "retries": retries, "edge": tried}[command](*arguments)
    if command != "typescript":
        print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
