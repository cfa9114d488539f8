#!/usr/bin/python3
"""Holds the rendered manifests, the alerts, the dashboard and what callers copy to rules of our own.

  tests/systems/kubernetes.py rules FOLDER GATEWAY     FOLDER has OVERLAY.yaml for each overlay, as rendered
  tests/systems/kubernetes.py typescript FOLDER        the same as FOLDER/OVERLAY.ts, for a check of types
  tests/systems/kubernetes.py metrics SCRAPE           a file with what /metrics said
  tests/systems/kubernetes.py prometheus ADDRESS       of a Prometheus that scrapes the gateway
  tests/systems/kubernetes.py client ADDRESS           of a gateway

Ends with a line "N passed, N failed".
"""
import copy
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVICE = "leasegateway.v1.LeaseService"
LEASING = {"CreateLease", "LeaseAnyNumber", "TerminateLease", "GetOperation", "ListOperations"}
WRITES = {"CreateLease", "LeaseAnyNumber", "TerminateLease", "ConfigureFailover", "EnableCallForwarding",
          "DisableCallForwarding"}
# After these nothing has begun at the gateway, so even a write could go out again.
SAFE_RETRIES = {"connect-failure", "refused-stream"}
ALERTS = os.path.join(ROOT, "deploy/prometheus/alerts.yaml")
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


# --- the rendered objects ------------------------------------------------------------------------


class Gateway:
    """The program: what it says about a configuration."""

    def __init__(self, program):
        self.program = program
        self.folder = tempfile.TemporaryDirectory()
        self.flags = set(re.findall(r"^  (--[a-z-]+)", self.run("--help").stdout, re.M))
        self.cache = {}
        key, certificate = self.file("tls.key"), self.file("tls.crt")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-subj", "/CN=lease-gateway", "-days", "2", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True)
        with open(self.file("api-key"), "w", encoding="utf-8") as file:
            file.write("an-api-key-of-nobody\n")
        # In the place of the files that Kubernetes will mount.
        self.stand_ins = {"tls_cert_file": certificate, "tls_key_file": key, "tls_client_ca_file": certificate,
                          "upstream_token_file": self.file("api-key"), "journal": self.file("journal.db")}

    def file(self, name):
        return os.path.join(self.folder.name, name)

    def run(self, *arguments):
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("LEASE_GATEWAY_", "CONTIGUITY_"))}
        return subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=30, check=False,
                              env=environment)

    def resolve(self, text):
        """All options in force with this config.yaml, and what is wrong with it."""
        if text not in self.cache:
            given = yaml.safe_load(text)
            lines = "".join(f"{key}: {json.dumps(self.stand_ins.get(key, value))}\n" for key, value in given.items())
            path = self.file("config.yaml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(lines)
            checked = self.run("--config", path, "--check-config")
            printed = self.run("--config", path, "--print-config")
            errors = [] if checked.returncode == 0 else (checked.stderr or checked.stdout).strip().splitlines()
            options = (yaml.safe_load(printed.stdout) or {}) if printed.returncode == 0 else {}
            self.cache[text] = ({**options, **given}, errors)
        return self.cache[text]


class Rendered:
    def __init__(self, overlay, objects, gateway):
        self.overlay = overlay
        self.objects = objects
        self.gateway = gateway

    def all(self, kind):
        return [item for item in self.objects if item["kind"] == kind]

    def one(self, kind, name="lease-gateway"):
        return next((item for item in self.all(kind) if item["metadata"]["name"] == name), None)

    @property
    def workload(self):
        return (self.all("Deployment") + self.all("StatefulSet"))[0]

    @property
    def pod(self):
        return self.workload["spec"]["template"]["spec"]

    @property
    def container(self):
        return self.pod["containers"][0]

    @property
    def labels(self):
        labels = dict(self.workload["spec"]["template"]["metadata"]["labels"])
        if self.workload["kind"] == "StatefulSet":
            labels["statefulset.kubernetes.io/pod-name"] = self.workload["metadata"]["name"] + "-0"
        return labels

    @property
    def ports(self):
        return {port["name"]: port["containerPort"] for port in self.container["ports"]}

    def port(self, port):
        return self.ports.get(port, port if port in self.ports.values() else None)

    @property
    def config_text(self):
        """The file that --config names, from the ConfigMap that is mounted there; None: it isn't there."""
        arguments = self.container["args"]
        path = arguments[arguments.index("--config") + 1] if "--config" in arguments else ""
        for mount in self.container["volumeMounts"]:
            if os.path.dirname(path) == mount["mountPath"]:
                for volume in self.pod["volumes"]:
                    if volume["name"] == mount["name"] and "configMap" in volume:
                        found = self.one("ConfigMap", volume["configMap"]["name"])
                        return found and found["data"].get(os.path.basename(path))
        return None

    @property
    def config(self):
        return self.gateway.resolve(self.config_text or "{}")[0]


def matches(selector, labels):
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def rule_one_workload(r):
    count = len(r.all("Deployment")) + len(r.all("StatefulSet"))
    return [] if count == 1 and len(r.pod["containers"]) == 1 else [f"{count} workloads, one is expected"]


def rule_namespace(r):
    errors = []
    namespaces = r.all("Namespace")
    if len(namespaces) != 1:
        return ["there is not one Namespace"]
    if namespaces[0]["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
        errors.append("the Namespace does not enforce restricted Pod Security")
    for item in r.objects:
        if item["kind"] != "Namespace" and item["metadata"].get("namespace") != namespaces[0]["metadata"]["name"]:
            errors.append(f"{item['kind']} {item['metadata']['name']} is in another namespace")
    return errors


def rule_probes(r):
    errors = []
    probes = {name: r.container.get(name) for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    if not all(probes.values()):
        return [f"{name} is missing" for name, probe in probes.items() if not probe]
    tls = bool(r.config.get("tls_cert_file"))
    targets = {}
    for name, probe in probes.items():
        if "grpc" in probe and not tls:
            port, targets[name] = probe["grpc"]["port"], probe["grpc"].get("service", "")
            expected = {"readinessProbe": SERVICE}.get(name, "liveness")
            wanted = r.ports.get("grpc")
        elif "httpGet" in probe and tls:
            port, targets[name] = probe["httpGet"]["port"], probe["httpGet"]["path"]
            expected = {"readinessProbe": "/readyz"}.get(name, "/livez")
            wanted = r.ports.get("admin")
        else:
            errors.append(f"{name}: gRPC where the port is plain, httpGet where it has TLS, which the kubelet "
                          f"does not speak in gRPC probes")
            continue
        if r.port(port) != wanted or wanted is None:
            errors.append(f"{name}: port {port} is not the one to ask")
        if targets[name] != expected:
            errors.append(f"{name}: asks {targets[name]!r}, not {expected!r}")
    if targets.get("livenessProbe") == targets.get("readinessProbe"):
        errors.append("livenessProbe and readinessProbe ask the same")

    def patience(probe):
        return probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)

    if patience(probes["startupProbe"]) < 60:
        errors.append("startupProbe: operations that were left open may take longer than that")
    if patience(probes["livenessProbe"]) < 30:
        errors.append("livenessProbe: kills a gateway that is busy")
    if patience(probes["readinessProbe"]) > seconds(r.config.get("drain_wait", "0")):
        errors.append("readinessProbe: does not notice within drain_wait that the gateway drains")
    return errors


def rule_security(r):
    errors = []
    pod, own = r.pod.get("securityContext", {}), r.container.get("securityContext", {})
    wanted = [
        (pod.get("runAsNonRoot") is True and pod.get("runAsUser", 0) > 0, "runs as root"),
        (pod.get("seccompProfile", {}).get("type") == "RuntimeDefault", "no seccomp profile"),
        (own.get("readOnlyRootFilesystem") is True, "the root file system is writable"),
        (own.get("allowPrivilegeEscalation") is False, "may gain privileges"),
        (own.get("capabilities") == {"drop": ["ALL"]}, "keeps capabilities"),
        (not own.get("privileged"), "is privileged"),
        (not any(r.pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), "shares the host's name spaces"),
        (not any("hostPath" in volume for volume in r.pod["volumes"]), "mounts a folder of the host"),
        (r.pod.get("automountServiceAccountToken") is False, "the pod mounts a token"),
        (r.pod.get("enableServiceLinks") is False, "environment variables of Services reach the gateway"),
    ]
    errors += [message for good, message in wanted if not good]
    account = r.one("ServiceAccount", r.pod.get("serviceAccountName"))
    if account is None or account.get("automountServiceAccountToken") is not False:
        errors.append("the ServiceAccount is missing or mounts a token")
    for volume in r.pod["volumes"]:
        if "secret" in volume and volume["secret"].get("defaultMode", 0o644) & 0o007:
            errors.append(f"volume {volume['name']}: everybody may read the secret")
    return errors


def rule_selectors(r):
    errors = []
    labels = r.labels

    def expect(place, selector):
        if not matches(selector, labels):
            errors.append(f"{place}: {selector} does not select the pods")

    expect("workload", r.workload["spec"]["selector"]["matchLabels"])
    for constraint in r.pod.get("topologySpreadConstraints", []):
        expect("topologySpreadConstraints", constraint["labelSelector"]["matchLabels"])
    if {c["topologyKey"] for c in r.pod.get("topologySpreadConstraints", [])} != {
            "kubernetes.io/hostname", "topology.kubernetes.io/zone"}:
        errors.append("topologySpreadConstraints: not over hosts and zones")
    for service in r.all("Service"):
        expect(f"Service {service['metadata']['name']}", service["spec"]["selector"])
    for kind, key in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        if not r.all(kind):
            errors.append(f"{kind} is missing")
        for item in r.all(kind):
            expect(kind, item["spec"][key]["matchLabels"])
    for item in r.all("HorizontalPodAutoscaler"):
        target = item["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) != (r.workload["kind"], r.workload["metadata"]["name"]):
            errors.append(f"HorizontalPodAutoscaler: there is no {target['kind']} {target['name']}")
        if "replicas" in r.workload["spec"]:
            errors.append("replicas is set, and undoes at every roll-out what the autoscaler did")
    headless = [s for s in r.all("Service") if s["spec"].get("clusterIP") == "None"]
    if len(headless) != 1 or not any(s["spec"].get("clusterIP") != "None" for s in r.all("Service")):
        errors.append("there is not an ordinary and one headless Service")
    for item in r.all("ServiceMonitor"):
        selected = [s for s in r.all("Service")
                    if matches(item["spec"]["selector"]["matchLabels"], s["metadata"].get("labels", {}))]
        if len(selected) != 1:
            errors.append(f"ServiceMonitor: selects {len(selected)} Services, so pods are scraped as often")
            continue
        for endpoint in item["spec"]["endpoints"]:
            if endpoint["port"] not in [port["name"] for port in selected[0]["spec"]["ports"]]:
                errors.append(f"ServiceMonitor: the Service has no port {endpoint['port']}")
        if selected[0]["metadata"]["labels"].get(item["spec"].get("jobLabel")) != "lease-gateway":
            errors.append('ServiceMonitor: the job is not "lease-gateway", which the alerts ask for')
    for item in r.all("PeerAuthentication"):
        expect("PeerAuthentication", item["spec"]["selector"]["matchLabels"])
    return errors


def rule_ports(r):
    errors = []
    listens = {"grpc": "listen", "admin": "admin_listen"}
    for name, key in listens.items():
        if str(r.config.get(key, "")).rpartition(":")[2] != str(r.ports.get(name)):
            errors.append(f"container port {name} is not the one of {key}")
        if str(r.config.get(key, "")).startswith(("127.", "localhost", "[::1]")):
            errors.append(f"{key}: nobody outside the pod reaches it")
    for service in r.all("Service"):
        for port in service["spec"]["ports"]:
            if r.port(port["targetPort"]) is None:
                errors.append(f"Service {service['metadata']['name']}: no container port {port['targetPort']}")
    for policy in r.all("NetworkPolicy"):
        for entry in policy["spec"]["ingress"]:
            for port in entry["ports"]:
                if r.port(port["port"]) is None:
                    errors.append(f"NetworkPolicy: no container port {port['port']}")
    for item in r.all("PeerAuthentication"):
        for port in item["spec"].get("portLevelMtls", {}):
            if int(port) not in r.ports.values():
                errors.append(f"PeerAuthentication: no container port {port}")
    return errors


def rule_mounts(r):
    errors = []
    claims = {c["metadata"]["name"] for c in r.workload["spec"].get("volumeClaimTemplates", [])}
    volumes = {volume["name"]: volume for volume in r.pod["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in r.container["volumeMounts"]}
    errors += [f"volume {name} is not there" for name in mounts.values() if name not in claims | set(volumes)]
    errors += [f"volume {name} is not mounted" for name in claims | set(volumes) if name not in mounts.values()]
    if r.config_text is None:
        errors.append("the file of --config is not in a mounted ConfigMap")
    for key, value in yaml.safe_load(r.config_text or "{}").items():
        if not isinstance(value, str) or not value.startswith("/"):
            continue
        folder, name = os.path.split(value)
        volume = volumes.get(mounts.get(folder))
        if folder not in mounts:
            errors.append(f"{key}: nothing is mounted at {folder}")
        elif key == "journal":
            if mounts[folder] not in claims:
                errors.append("journal: not on a volume that outlives the pod")
        elif not volume or name not in [item["path"] for item in volume.get("secret", {}).get("items", [])]:
            errors.append(f"{key}: no Secret has {name} at {folder}")
    return errors


def rule_configuration(r):
    errors = [f"{flag} is no flag of lease-gateway" for flag in r.container["args"]
              if flag.startswith("--") and flag.split("=")[0] not in r.gateway.flags]
    return errors + r.gateway.resolve(r.config_text or "{}")[1]


def rule_drain(r):
    config = r.config
    pre_stop = r.container.get("lifecycle", {}).get("preStop", {})
    if "sleep" not in pre_stop:
        return ["preStop: no sleep; exec would need a shell"]
    needed = (pre_stop["sleep"]["seconds"] + seconds(config.get("drain_wait")) + seconds(config.get("grace"))
              + seconds(config.get("response_timeout", "10s")))
    errors = []
    if r.pod["terminationGracePeriodSeconds"] < needed + 5:
        errors.append(f"terminationGracePeriodSeconds: the end takes up to {needed:g} s")
    if not seconds(config.get("drain_wait")):
        errors.append("drain_wait is 0")
    if not 0 < seconds(config.get("max_connection_age")) * 1.1 <= 60:
        errors.append("max_connection_age: a new pod does not get its share within a minute")
    return errors


def rule_images(r):
    image = r.container["image"]
    name, _, tag = image.rpartition("/")[2].partition(":")
    return [] if "@sha256:" in image or (tag and tag != "latest" and name) else [f"image {image}: no fixed version"]


def rule_no_secret_values(r):
    errors = [f"there is a Secret {item['metadata']['name']}" for item in r.all("Secret")]
    text = yaml.safe_dump_all(r.objects)
    errors += [f"there is what looks like a secret: {found[:20]}…"
               for found in re.findall(r"contiguity_sk_\w+|BEGIN [A-Z ]*PRIVATE KEY|eyJ[\w-]{20,}", text)]
    errors += [f"environment {item['name']} has a value" for item in r.container.get("env", [])
               if re.search("KEY|TOKEN|SECRET|PASSWORD", item["name"]) and "value" in item]
    return errors


def rule_resources(r):
    errors = [f"resources: no {kind} of {what}" for kind in ("requests", "limits") for what in ("cpu", "memory")
              if what not in r.container.get("resources", {}).get(kind, {})]
    for budget in r.all("PodDisruptionBudget"):
        if budget["spec"].get("maxUnavailable") != 1:
            errors.append("PodDisruptionBudget: not one pod at a time")
    return errors


def rule_journals(r):
    """A journal belongs to one replica, and a request_id must find its own again."""
    spec = r.workload["spec"]
    if r.config.get("sandbox"):
        good = spec.get("replicas") == 1 and not r.all("HorizontalPodAutoscaler")
        return [] if good else ["sandbox: each replica has an inventory of its own, so there must be one"]
    errors = []
    if r.workload["kind"] != "StatefulSet" or not spec.get("volumeClaimTemplates"):
        return ["replicas that lease have no volume each"]
    if spec.get("persistentVolumeClaimRetentionPolicy") != {"whenDeleted": "Retain", "whenScaled": "Retain"}:
        errors.append("the journals go with their pods")
    headless = r.one("Service", spec.get("serviceName"))
    if headless is None or headless["spec"].get("clusterIP") != "None":
        errors.append("serviceName is not the headless Service")
    leasing = r.one("Service", "lease-gateway-leasing")
    if leasing is None or leasing["spec"]["selector"].get("statefulset.kubernetes.io/pod-name") != "lease-gateway-0":
        errors.append("lease-gateway-leasing does not select the one pod that leases")
    if not r.all("HorizontalPodAutoscaler"):
        errors.append("HorizontalPodAutoscaler is missing")
    return errors


def route_errors(routes):
    """Routes as (name, methods or None for the rest, retries, what is retried, where to), in their order."""
    errors = []
    routed = {}
    for name, listed, attempts, retried, target in routes:
        covered = (methods() if listed is None else listed) - set(routed)
        errors += [f"route {name}: there is no method {method}" for method in covered - methods()]
        for method in covered & methods():
            routed[method] = name
            if method in WRITES and attempts:
                errors.append(f"route {name}: {method} is retried")
            if (method in LEASING) != (target == "lease-gateway-leasing"):
                errors.append(f"route {name}: {method} goes to {target}")
        if attempts and not set(retried) <= SAFE_RETRIES:
            errors.append(f"route {name}: retries on {sorted(set(retried) - SAFE_RETRIES)}")
    errors += [f"{method} has no route" for method in methods() - set(routed)]
    return errors


def rule_mesh_routes(r):
    if r.overlay != "mesh":
        return []
    service = r.one("VirtualService")
    if service is None:
        return ["VirtualService is missing"]
    names = {item["metadata"]["name"] for item in r.all("Service")}
    if set(service["spec"]["hosts"]) != names:
        return [f"the hosts of VirtualService are {service['spec']['hosts']}, the Services {sorted(names)}"]
    routes = []
    for route in service["spec"]["http"]:
        listed = {m["uri"]["exact"].rpartition("/")[2] for m in route["match"]} if "match" in route else None
        for match in route.get("match", []):
            if not match["uri"]["exact"].startswith(f"/{SERVICE}/"):
                return [f"route {route['name']}: {match['uri']['exact']} is no method"]
        # Without a word Istio tries twice more.
        retries = route.get("retries", {"attempts": 2, "retryOn": "unavailable"})
        host = route["route"][0]["destination"]["host"]
        if r.one("Service", host) is None:
            return [f"route {route['name']}: there is no Service {host}"]
        routes.append((route["name"], listed, retries["attempts"],
                       [word for word in retries.get("retryOn", "").split(",") if word], host))
    return route_errors(routes)


def rule_monitoring(r):
    if r.config.get("sandbox"):
        return []
    errors = []
    alerts = r.one("PrometheusRule")
    if alerts is None or alerts["spec"] != yaml.safe_load(read(ALERTS)):
        errors.append("PrometheusRule is not alerts.yaml: run deploy/prometheus/update.sh")
    if not r.all("ServiceMonitor"):
        errors.append("ServiceMonitor is missing")
    dashboard = r.one("ConfigMap", "lease-gateway-dashboard")
    if dashboard is None or json.loads(dashboard["data"]["dashboard.json"]) != json.loads(read(DASHBOARD)):
        errors.append("the ConfigMap of the dashboard is not dashboard.json")
    return errors


RULES = [value for name, value in list(globals().items()) if name.startswith("rule_")]


def violations(rendered):
    return [f"{rule.__name__[5:]}: {error}" for rule in RULES for error in rule(rendered)]


# --- the rules refuse what they should -----------------------------------------------------------


def change(path, value):
    """Sets, or with None removes, what is at `path` of the workload's container or of an object."""
    def apply(r):
        kind, *keys = path
        place = {"container": lambda: r.container, "pod": lambda: r.pod,
                 "workload": lambda: r.workload["spec"]}.get(kind, lambda: r.one(*kind.split("/"))["spec"])()
        for key in keys[:-1]:
            place = place[key]
        if value is None:
            del place[keys[-1]]
        else:
            place[keys[-1]] = value
    return apply


def configure(pattern, text):
    def apply(r):
        for item in r.all("ConfigMap"):
            if "config.yaml" in item["data"]:
                replaced = re.sub(pattern, text, item["data"]["config.yaml"])
                assert replaced != item["data"]["config.yaml"], pattern
                item["data"]["config.yaml"] = replaced
    return apply


def remove(kind, name="lease-gateway"):
    return lambda r: r.objects.remove(r.one(kind, name))


MUTATIONS = [
    ("production", change(("container", "livenessProbe"), None), "livenessProbe is missing"),
    ("production", change(("container", "readinessProbe", "httpGet", "path"), "/livez"), "ask the same"),
    ("production", change(("container", "livenessProbe"), {"grpc": {"port": 50051}}), "livenessProbe: gRPC where"),
    ("sandbox", change(("container", "readinessProbe", "grpc", "service"), "liveness"), "readinessProbe: asks"),
    ("sandbox", change(("container", "startupProbe", "grpc", "port"), 50052), "startupProbe: port 50052"),
    ("sandbox", change(("container", "startupProbe", "failureThreshold"), 3), "startupProbe: operations"),
    ("production", change(("container", "securityContext", "readOnlyRootFilesystem"), False), "file system is writable"),
    ("production", change(("pod", "securityContext", "runAsNonRoot"), False), "runs as root"),
    ("production", change(("pod", "securityContext", "seccompProfile"), None), "seccomp"),
    ("production", change(("pod", "automountServiceAccountToken"), None), "the pod mounts a token"),
    ("production", change(("pod", "enableServiceLinks"), None), "variables of Services"),
    ("production", remove("ServiceAccount"), "the ServiceAccount is missing"),
    ("production", change(("Service", "selector"), {"app": "other"}), "does not select the pods"),
    ("production", change(("Service/lease-gateway-leasing", "selector"), {"app.kubernetes.io/name": "lease-gateway"}),
     "does not select the one pod"),
    ("production", change(("HorizontalPodAutoscaler", "scaleTargetRef", "kind"), "Deployment"), "there is no Deployment"),
    ("production", change(("workload", "replicas"), 3), "replicas is set"),
    ("production", change(("ServiceMonitor", "endpoints", 0, "port"), "metrics"), "no port metrics"),
    ("production", change(("ServiceMonitor", "selector", "matchLabels"), {"app.kubernetes.io/name": "lease-gateway"}),
     "selects 3 Services"),
    ("production", change(("Service", "ports", 0, "targetPort"), "http"), "no container port http"),
    ("production", configure("listen: 0.0.0.0:50051", "listen: 0.0.0.0:50052"), "not the one of listen"),
    ("production", configure("admin_listen: 0.0.0.0:9464", "admin_listen: 127.0.0.1:9464"), "nobody outside"),
    ("production", configure("/api-key", "/key"), "no Secret has key"),
    ("production", configure("/var/lib/lease-gateway/", "/tmp/"), "journal: not on a volume"),
    ("production", change(("container", "volumeMounts", 0, "name"), "other"), "volume other is not there"),
    ("production", change(("container", "args"), ["--config", "/etc/lease-gateway/other.yaml"]), "not in a mounted"),
    ("production", change(("container", "args", 0), "--configuration"), "--configuration is no flag"),
    ("production", configure("grace:", "gracious:"), "gracious"),
    ("production", configure("drain_wait: 10s", "drain_wait: soon"), "drain_wait"),
    ("production", configure("grace: 20s", "grace: 40s"), "the end takes up to"),
    ("production", configure("max_connection_age: 30s", "max_connection_age: 10m"), "share within a minute"),
    ("mesh", change(("VirtualService", "hosts"), ["lease-gateway"]), "the hosts of VirtualService"),
    ("mesh", configure("allow_plaintext: true", "allow_plaintext: false"), "beyond loopback"),
    ("sandbox", configure("allow_plaintext: true", "allow_plaintext: false"), "beyond loopback"),
    ("production", configure("tls_key_file: .*", ""), "tls_key_file: must be set"),
    ("production", change(("container", "lifecycle", "preStop"), {"exec": {"command": ["sleep", "5"]}}), "need a shell"),
    ("production", change(("container", "image"), "registry.example:5000/lease-gateway"), "no fixed version"),
    ("production", lambda r: r.objects.append({"kind": "Secret", "apiVersion": "v1", "metadata": {
        "name": "key", "namespace": "lease-gateway"}}), "there is a Secret"),
    ("production", configure("$", "\n# contiguity_sk_1234"), "looks like a secret"),
    ("production", change(("container", "resources", "limits", "memory"), None), "no limits of memory"),
    ("production", change(("workload", "volumeClaimTemplates"), []), "no volume each"),
    ("production", change(("workload", "persistentVolumeClaimRetentionPolicy", "whenScaled"), "Delete"), "go with their pods"),
    ("sandbox", change(("workload", "replicas"), 2), "there must be one"),
    ("production", change(("PrometheusRule", "groups"), []), "is not alerts.yaml"),
    ("production", remove("NetworkPolicy"), "NetworkPolicy is missing"),
    ("production", remove("PodDisruptionBudget"), "PodDisruptionBudget is missing"),
    ("mesh", change(("VirtualService", "http", 0, "retries"), None), "CreateLease is retried"),
    ("mesh", change(("VirtualService", "http", 1, "retries", "retryOn"), "unavailable"), "retries on"),
    ("mesh", change(("VirtualService", "http", 0, "route", 0, "destination", "host"), "lease-gateway"),
     "CreateLease goes to lease-gateway"),
    ("mesh", change(("VirtualService", "http", 2, "retries", "attempts"), 1), "ConfigureFailover is retried"),
]


# --- what callers copy ---------------------------------------------------------------------------


def service_config_errors():
    config = json.loads(read(os.path.join(ROOT, "deploy/clients/service-config.json")))
    errors = []
    listed = {}
    for entry in config["methodConfig"]:
        for name in entry["name"]:
            listed[name["method"]] = entry
            if name["service"] != SERVICE or name["method"] not in methods():
                errors.append(f"there is no method {name['service']}/{name['method']}")
    # A watch has no end, so no deadline, and begins anew by itself.
    errors += [f"{method} is not in it" for method in methods() - set(listed) - {"WatchAvailability"}]
    for method, entry in listed.items():
        policy = entry.get("retryPolicy", {})
        if method in WRITES and policy:
            errors.append(f"{method} is retried, with whatever request_id the gateway makes")
        if not set(policy.get("retryableStatusCodes", [])) <= {"UNAVAILABLE", "RESOURCE_EXHAUSTED"}:
            errors.append(f"{method}: retries what must not be retried")
        if not seconds(entry.get("timeout", "")):
            errors.append(f"{method} has no deadline")
    if config["healthCheckConfig"]["serviceName"] != SERVICE:
        errors.append("healthCheckConfig asks for a name that the gateway does not know")
    return errors


def envoy_errors():
    host = yaml.safe_load(read(os.path.join(ROOT, "deploy/clients/envoy-routes.yaml")))
    routes = []
    for route in host["routes"]:
        regex = route["match"].get("safe_regex", {}).get("regex")
        listed = {m for m in methods() if re.fullmatch(regex, f"/{SERVICE}/{m}")} if regex else None
        policy = route["route"].get("retry_policy", {"num_retries": 0, "retry_on": ""})
        routes.append((route["name"], listed, policy["num_retries"],
                       [word for word in policy["retry_on"].split(",") if word], route["route"]["cluster"]))
    return route_errors(routes)


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


def rules(folder, program):
    gateway = Gateway(program)
    rendered = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.yaml"))):
        overlay = os.path.basename(path)[:-5]
        rendered[overlay] = list(yaml.safe_load_all(read(path)))
    check("three overlays", [] if set(rendered) == {"sandbox", "production", "mesh"} else [str(set(rendered))])
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
    check("service-config.json", service_config_errors())
    check("envoy-routes.yaml", envoy_errors())
    check("each alert has a test that fires and one that is silent", alert_test_errors())


# --- types ---------------------------------------------------------------------------------------

PACKAGES = (("monitoring.coreos.com", "@kubernetes-models/prometheus-operator"), ("istio.io", "@kubernetes-models/istio"))


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


# --- metrics -------------------------------------------------------------------------------------

# Labels that come from Prometheus, not from the gateway.
TARGET_LABELS = {"job", "pod", "instance", "namespace"}
WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "offset", "bool"}


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
                                     re.sub(r'(?<![=~\{,\s])"[^"]*"', "", text)):
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
                # A code has samples only once it occurred.
                elif label != "grpc_code":
                    values = value.split("|") if "~" in operator else [value]
                    errors += [f"{place}: {metric} has no {label}=\"{one}\"" for one in values
                               if one not in scraped[metric][label]]
        if selectors != [("up", [("job", "=", "lease-gateway")])]:
            errors += [f"{place}: no metric in it has the label {label}" for label in grouped - known]
    return errors


def metrics(path):
    scraped = parse_scrape(read(path))
    named = list(expressions())
    check(f"{len(named)} expressions name what the gateway has", metric_errors(scraped, named))
    broken = [('lease_gateway_no_such_total{job="lease-gateway"}', "has no metric"),
              ('sum(rate(grpc_server_handled_total{grpc_codes="OK"}[5m]))', "has no label grpc_codes"),
              ('sum by (code) (grpc_server_handled_total)', "has the label code"),
              ('lease_gateway_upstream_queue{state="none"}', 'has no state="none"')]
    check("a wrong name is noticed", [expression for expression, expected in broken
                                      if not any(expected in e for e in metric_errors(scraped, [("", expression)]))])


def ask(address, path, **query):
    url = f"http://{address}{path}?" + urllib.parse.urlencode(query)
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)["data"]


def prometheus(address):
    """Waits until the gateway was scraped often enough for rates."""
    deadline = time.monotonic() + 60
    count = 0
    while count < 6 and time.monotonic() < deadline:
        time.sleep(0.5)
        try:
            result = ask(address, "/api/v1/query", query='count_over_time(up{job="lease-gateway"}[1m])')["result"]
        except OSError:
            continue
        count = int(result[0]["value"][1]) if result else 0
    targets = ask(address, "/api/v1/targets")["activeTargets"]
    check("Prometheus scrapes the gateway", [f"{t['scrapeUrl']}: {t['health']} {t['lastError']}" for t in targets
                                             if t["health"] != "up"] or ([] if targets else ["no target"]))
    empty = []
    for panel in json.loads(read(DASHBOARD))["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"].replace("$__rate_interval", "30s").replace("$pod", ".*")
            if not ask(address, "/api/v1/query", query=query)["result"]:
                empty.append(f"{panel['title']}: {query}")
    check("every panel of the dashboard shows something", empty)
    alerts = [rule for group in ask(address, "/api/v1/rules")["groups"] for rule in group["rules"]]
    wrong = [f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}" for rule in alerts if rule["health"] != "ok"]
    check(f"{len(alerts)} alerts are evaluated", wrong if alerts else ["there are none"])
    # One lease was refused on purpose; nothing of that is an alarm.
    check("none of them fires at a healthy gateway", [rule["name"] for rule in alerts if rule["state"] == "firing"])


# --- a client with the service config ------------------------------------------------------------


def client(address):
    import grpc  # pylint: disable=import-outside-toplevel
    text = read(os.path.join(ROOT, "deploy/clients/service-config.json"))

    def call(config, method, request=b"", timeout=5):
        options = [("grpc.service_config", config), ("grpc.enable_retries", 1)]
        with grpc.insecure_channel(f"ipv4:{address}", options) as channel:
            try:
                return channel.unary_unary(method)(request, timeout=timeout)
            except grpc.RpcError as error:
                return error

    answer = call(text, f"/{SERVICE}/ListAvailableNumbers")
    check("a client with service-config.json gets numbers", [] if isinstance(answer, bytes) and answer else [str(answer)])
    broken = call(text.replace('"maxAttempts": 3', '"maxAttempts": 1'), f"/{SERVICE}/ListAvailableNumbers")
    check("gRPC does read it: it refuses a broken one", ["it was taken"] if isinstance(broken, bytes) else [])
    for name in ("", "liveness", SERVICE):
        request = b"\x0a" + bytes([len(name)]) + name.encode() if name else b""
        answer = call("{}", "/grpc.health.v1.Health/Check", request)
        check(f"health knows {name!r}, which a probe asks for", [] if answer == b"\x08\x01" else [str(answer)])
    answer = call("{}", "/grpc.health.v1.Health/Check", b"\x0a\x04none")
    check("and no other name", [str(answer)] if isinstance(answer, bytes) else [])


def main():
    command, *arguments = sys.argv[1:]
    {"rules": rules, "typescript": typescript, "metrics": metrics, "prometheus": prometheus,
     "client": client}[command](*arguments)
    if command != "typescript":
        print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
