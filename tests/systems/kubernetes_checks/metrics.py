"""The metrics that alerts and dashboard name, against what the gateway and a Prometheus have."""
import json
import os
import re
import time
import urllib.parse
import urllib.request

import yaml

from .checks import ALERTS, DASHBOARD, ROOT, check, read

# Labels that come from Prometheus, not from the gateway.
TARGET_LABELS = {"job", "pod", "instance", "namespace"}
WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "offset", "bool"}


def alert_test_errors():
    tests = yaml.safe_load(read(os.path.join(ROOT, "deploy/prometheus/alerts_test.yaml")))["tests"]
    fires, silent = set(), set()
    for test in tests:
        for case in test["alert_rule_test"]:
            (fires if case.get("exp_alerts") else silent).add(case["alertname"])
    errors = []
    for group in yaml.safe_load(read(ALERTS))["groups"]:
        for rule in group["rules"]:
            name = rule["alert"]
            errors += [f"{name}: no test where it {what}" for what, names in (("fires", fires), ("is silent", silent))
                       if name not in names]
            if rule["labels"].get("severity") not in ("critical", "warning") or not {
                    "summary", "action"} <= set(rule["annotations"]):
                errors.append(f"{name}: needs a severity, a summary and an action")
    return errors


def expressions():
    for group in yaml.safe_load(read(ALERTS))["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in json.loads(read(DASHBOARD))["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def parse_scrape(text):
    """Metric → label → values."""
    found = {}
    for line in text.splitlines():
        sample = re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ", line)
        if not sample or line.startswith("#"):
            continue
        labels = found.setdefault(sample[1], {})
        for name, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', sample[2] or ""):
            labels.setdefault(name, set()).add(value)
    return found


def metrics_of(expression):
    """(metric, [(label, operator, value)]) for each selector, and the labels that it groups by."""
    text = re.sub(r"\[[^\]]*\]|\boffset\s+\w+", " ", expression)
    grouped = set()
    for match in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", text):
        grouped |= {label.strip() for label in match.split(",") if label.strip()}
    text = re.sub(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)", " ", text)
    selectors = []
    for name, matchers in re.findall(r"([a-zA-Z_:][\w:]*)(?!\w)(?!\s*\()\s*(\{(?:[^}\"]|\"[^\"]*\")*\})?",
                                     re.sub(r'(\{[^}]*\})|"[^"]*"', lambda match: match[1] or "", text)):
        if name not in WORDS and not re.fullmatch(r"e\d+", name):
            selectors.append((name, re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', matchers)))
    return selectors, grouped


def metric_errors(scraped, named):
    errors = []
    for place, expression in named:
        selectors, grouped = metrics_of(expression)
        if not selectors:
            errors.append(f"{place}: names no metric")
        known = set(TARGET_LABELS)
        for metric, matchers in selectors:
            if metric == "up":
                continue
            if metric not in scraped:
                errors.append(f"{place}: the gateway has no metric {metric}")
                continue
            known |= set(scraped[metric])
            for label, operator, value in matchers:
                if label in TARGET_LABELS:
                    continue
                if label not in scraped[metric]:
                    errors.append(f"{place}: {metric} has no label {label}")
                # A code has samples only once it occurred; a dashboard's variable has what is there.
                elif label != "grpc_code" and not value.startswith("$"):
                    values = value.split("|") if "~" in operator else [value]
                    errors += [f"{place}: {metric} has no {label}=\"{one}\"" for one in values
                               if one not in scraped[metric][label]]
        if selectors != [("up", [("job", "=", "lease-gateway")])]:
            errors += [f"{place}: no metric in it has the label {label}" for label in grouped - known]
    return errors


def metrics(*paths):
    scraped = parse_scrape("".join(read(path) for path in paths))
    named = list(expressions())
    check(f"{len(named)} expressions name what the gateway has", metric_errors(scraped, named))
    broken = [('lease_gateway_no_such_total{job="lease-gateway"}', "has no metric"),
              ('sum(rate(grpc_server_handled_total{grpc_codes="OK"}[5m]))', "has no label grpc_codes"),
              ('sum by (code) (grpc_server_handled_total)', "has the label code"),
              ('lease_gateway_upstream_queue{state="none"}', 'has no state="none"'),
              ('lease_gateway_upstream_queue{job="lease-gateway", state="none"}', 'has no state="none"')]
    check("a wrong name is noticed", [expression for expression, expected in broken
                                      if not any(expected in e for e in metric_errors(scraped, [("", expression)]))])


def ask(address, path, **query):
    url = f"http://{address}{path}?" + urllib.parse.urlencode(query)
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)["data"]


def prometheus(address):
    """Waits until the gateways were scraped often enough for rates."""
    deadline = time.monotonic() + 60
    count = 0
    while count < 6 and time.monotonic() < deadline:
        time.sleep(0.5)
        try:
            result = ask(address, "/api/v1/query", query='min(count_over_time(up{job="lease-gateway"}[1m]))')["result"]
        except OSError:
            continue
        count = int(result[0]["value"][1]) if result else 0
    targets = ask(address, "/api/v1/targets")["activeTargets"]
    check("Prometheus scrapes the gateways", [f"{t['scrapeUrl']}: {t['health']} {t['lastError']}" for t in targets
                                             if t["health"] != "up"] or ([] if targets else ["no target"]))
    empty = []
    for panel in json.loads(read(DASHBOARD))["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"].replace("$__rate_interval", "30s").replace("$pod", ".*").replace(
                "$account", ".*")
            if not ask(address, "/api/v1/query", query=query)["result"]:
                empty.append(f"{panel['title']}: {query}")
    check("every panel of the dashboard shows something", empty)
    alerts = [rule for group in ask(address, "/api/v1/rules")["groups"] for rule in group["rules"]]
    wrong = [f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}" for rule in alerts if rule["health"] != "ok"]
    check(f"{len(alerts)} alerts are evaluated", wrong if alerts else ["there are none"])
    # One lease was refused on purpose; nothing of that is an alarm.
    check("none of them fires at a healthy gateway", [rule["name"] for rule in alerts if rule["state"] == "firing"])
