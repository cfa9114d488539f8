"""What all checks share: the files that they read, and the count of what passed."""
import os
import re

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
SERVICE = "leasegateway.v1.LeaseService"
# Those that have a request_id: the same request again has the answer of the first, at any replica.
LEASING = {"CreateLease", "LeaseAnyNumber", "TerminateLease"}
WRITES = {"CreateLease", "LeaseAnyNumber", "TerminateLease", "ConfigureFailover", "EnableCallForwarding",
          "DisableCallForwarding"}
# After these nothing has begun at the gateway, so even a write could go out again.
SAFE_RETRIES = {"connect-failure", "refused-stream"}
SERVICE_CONFIG = os.path.join(ROOT, "proto/leasegateway/v1/service_config.json")
ALERTS = os.path.join(ROOT, "deploy/prometheus/alerts.yaml")
EGRESS = os.path.join(ROOT, "deploy/egress.md")
DASHBOARD = os.path.join(ROOT, "deploy/grafana/dashboard.json")

passed = failed = 0


def check(name, errors):
    global passed, failed
    if errors:
        failed += 1
        print(f"FAILED: {name}")
        for error in errors:
            print(f"    {error}")
    else:
        passed += 1
        print(f"ok: {name}")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def methods():
    text = read(os.path.join(ROOT, "proto/leasegateway/v1/lease_service.proto"))
    return set(re.findall(r"^\s*rpc (\w+)", text, re.M))


def seconds(duration):
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", str(duration)))
