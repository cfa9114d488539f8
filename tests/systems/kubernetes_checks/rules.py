"""The rules for what is rendered: a function a rule, from an overlay to what is wrong with it."""
import json
import os
import re

import yaml

from . import accounts, edge, egress, purchases
from .callers import route_errors
from .checks import ALERTS, DASHBOARD, SERVICE, read, seconds
from .rendered import matches


def rule_workloads(r):
    errors = []
    for name, item in r.workloads.items():
        names = [container["name"] for container in item["spec"]["template"]["spec"]["containers"]]
        if len(names) != 1 and (name, names) != ("lease-gateway", ["lease-gateway", "edge"]):
            errors.append(f"{name}: containers {names}")
    unknown = set(r.workloads) - {"lease-gateway", "lease-gateway-migration", "lease-gateway-postgres"}
    return errors + [f"workload {name} is not known here" for name in unknown]


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
    targets = {}
    for name, probe in probes.items():
        if "httpGet" not in probe:
            errors.append(f"{name}: the admin port is to be asked, as callers that share the node's address may have "
                          f"made it wait at theirs")
            continue
        port, targets[name] = probe["httpGet"]["port"], probe["httpGet"]["path"]
        expected = {"readinessProbe": "/readyz"}.get(name, "/livez")
        wanted = r.ports.get("admin")
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


def pod_security_errors(pod, container):
    shared, own = pod.get("securityContext", {}), container.get("securityContext", {})
    wanted = [
        (shared.get("runAsNonRoot") is True and shared.get("runAsUser", 0) > 0, "runs as root"),
        (shared.get("seccompProfile", {}).get("type") == "RuntimeDefault", "no seccomp profile"),
        (own.get("readOnlyRootFilesystem") is True, "the root file system is writable"),
        (own.get("allowPrivilegeEscalation") is False, "may gain privileges"),
        (own.get("capabilities") == {"drop": ["ALL"]}, "keeps capabilities"),
        (not own.get("privileged"), "is privileged"),
        (not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), "shares the host's name spaces"),
        (not any("hostPath" in volume for volume in pod["volumes"]), "mounts a folder of the host"),
        (pod.get("automountServiceAccountToken") is False, "the pod mounts a token"),
        (pod.get("enableServiceLinks") is False, "environment variables of Services reach the program"),
    ]
    errors = [message for good, message in wanted if not good]
    return errors + [f"volume {volume['name']}: everybody may read the secret" for volume in pod["volumes"]
                     if "secret" in volume and volume["secret"].get("defaultMode", 0o644) & 0o007]


def rule_security(r):
    errors = []
    for name, item in r.workloads.items():
        pod = item["spec"]["template"]["spec"]
        errors += [f"{name}: {error}" for container in pod["containers"] for error in pod_security_errors(pod, container)]
    account = r.one("ServiceAccount", r.pod.get("serviceAccountName"))
    if account is None or account.get("automountServiceAccountToken") is not False:
        errors.append("the ServiceAccount is missing or mounts a token")
    return errors


def rule_selectors(r):
    errors = []

    def expect(place, selector, names=("lease-gateway",)):
        if set(r.selected(selector)) != set(names):
            errors.append(f"{place}: {selector} selects {r.selected(selector)}, not {list(names)}")

    for name, item in r.workloads.items():
        if "selector" in item["spec"]:
            expect(f"workload {name}", item["spec"]["selector"]["matchLabels"], [name])
    for constraint in r.pod.get("topologySpreadConstraints", []):
        expect("topologySpreadConstraints", constraint["labelSelector"]["matchLabels"])
    if {c["topologyKey"] for c in r.pod.get("topologySpreadConstraints", [])} != {
            "kubernetes.io/hostname", "topology.kubernetes.io/zone"}:
        errors.append("topologySpreadConstraints: not over hosts and zones")
    for service in r.all("Service"):
        name = service["metadata"]["name"]
        expect(f"Service {name}", service["spec"]["selector"], [name.removesuffix("-headless").removesuffix("-edge")])
    budget = r.one("PodDisruptionBudget")
    if budget is None:
        errors.append("PodDisruptionBudget is missing")
    else:
        expect("PodDisruptionBudget", budget["spec"]["selector"]["matchLabels"])
    headless = [s for s in r.all("Service") if s["spec"].get("clusterIP") == "None"]
    if len(headless) != 1 or r.one("Service") is None or r.one("Service") in headless:
        errors.append("there is not an ordinary and one headless Service")
    for item in r.all("PeerAuthentication"):
        expect("PeerAuthentication", item["spec"]["selector"]["matchLabels"])
    return errors


def rule_autoscaler(r):
    errors = []
    for item in r.all("HorizontalPodAutoscaler"):
        target = item["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) != (r.workload["kind"], r.workload["metadata"]["name"]):
            errors.append(f"HorizontalPodAutoscaler: there is no {target['kind']} {target['name']}")
        if "replicas" in r.workload["spec"]:
            errors.append("replicas is set, and undoes at every roll-out what the autoscaler did")
    return errors


def rule_scraped(r):
    errors = []
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
    return errors


def rule_network_policies(r):
    """Both directions of each pod are closed but for what a policy names."""
    errors = []
    for name in r.workloads:
        types = {way for policy in r.all("NetworkPolicy") for way in policy["spec"]["policyTypes"]
                 if name in r.selected(policy["spec"]["podSelector"]["matchLabels"])}
        if types != {"Ingress", "Egress"}:
            errors.append(f"NetworkPolicy is missing for {name}")
    if r.one("NetworkPolicy") is None:
        errors.append("NetworkPolicy is missing, so nobody reaches the gateway")
    for policy in r.all("NetworkPolicy"):
        selected = r.selected(policy["spec"]["podSelector"]["matchLabels"])
        if not selected:
            errors.append(f"NetworkPolicy {policy['metadata']['name']}: selects no pods")
        errors += [f"NetworkPolicy: {name} has no container port {port['port']}" for name in selected
                   for entry in policy["spec"].get("ingress", []) for port in entry["ports"]
                   if r.port(port["port"], name) is None]
    return errors


def rule_ports(r):
    errors = []
    listens = {"grpc": "listen", "admin": "admin_listen"}
    if r.edge is not None:
        del listens["grpc"]  # nginx's; rules of its own
    for name, key in listens.items():
        if str(r.config.get(key, "")).rpartition(":")[2] != str(r.ports.get(name)):
            errors.append(f"container port {name} is not the one of {key}")
        if str(r.config.get(key, "")).startswith(("127.", "localhost", "[::1]")):
            errors.append(f"{key}: nobody outside the pod reaches it")
    for service in r.all("Service"):
        for name in r.selected(service["spec"]["selector"]):
            errors += [f"Service {service['metadata']['name']}: no container port {port['targetPort']}"
                       for port in service["spec"]["ports"] if r.port(port["targetPort"], name) is None]
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
    mounted = {mount["name"] for container in r.pod["containers"] for mount in container["volumeMounts"]}
    errors += [f"volume {name} is not there" for name in mounted - claims - set(volumes)]
    errors += [f"volume {name} is not mounted" for name in (claims | set(volumes)) - mounted]
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
    return errors + r.config_errors


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
    if r.edge is None and not 0 < seconds(config.get("max_connection_age")) * 1.1 <= 60:
        errors.append("max_connection_age: a new pod does not get its share within a minute")
    return errors


def rule_images(r):
    errors = []
    for image in [container["image"] for item in r.workloads.values()
                  for container in item["spec"]["template"]["spec"]["containers"]]:
        name, _, tag = image.rpartition("/")[2].partition(":")
        if "@sha256:" not in image and not (tag and tag != "latest" and name):
            errors.append(f"image {image}: no fixed version")
    return errors


def rule_no_secret_values(r):
    # But for the trial's own, of a database that has nothing of worth.
    errors = [f"there is a Secret {item['metadata']['name']}" for item in r.all("Secret") if r.overlay != "trial"]
    text = yaml.safe_dump_all(r.objects)
    errors += [f"there is what looks like a secret: {found[:20]}…"
               for found in re.findall(r"contiguity_sk_\w+|BEGIN [A-Z ]*PRIVATE KEY|eyJ[\w-]{20,}", text)]
    errors += [f"{name}: environment {variable} has a value" for name in r.workloads
               for variable, source in r.environment(name).items()
               if re.search("(KEY|TOKEN|SECRET|PASSWORD|URL)(?!.*_FILE$)", variable) and isinstance(source, str)]
    return errors


def rule_resources(r):
    errors = []
    for container in [c for item in r.workloads.values() for c in item["spec"]["template"]["spec"]["containers"]]:
        resources = container.get("resources", {})
        errors += [f"{container['name']}: no {kind} of {what}" for kind in ("requests", "limits")
                   for what in ("cpu", "memory") if what not in resources.get(kind, {})]
    for budget in r.all("PodDisruptionBudget"):
        if budget["spec"].get("maxUnavailable") != 1:
            errors.append("PodDisruptionBudget: not one pod at a time")
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
    if r.overlay in ("sandbox", "trial"):
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


RULES = [value for module in (globals(), vars(accounts), vars(edge), vars(egress), vars(purchases)) for name, value in list(module.items())
         if name.startswith("rule_")]


def violations(rendered):
    return [f"{rule.__name__[5:]}: {error}" for rule in RULES for error in rule(rendered)]
