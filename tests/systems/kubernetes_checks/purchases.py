"""The rules for where purchases are written down: the sandbox's memory, one pod's volume, or a database that replicas
share."""
import base64
import math
import os

from .rendered import matches

URL, PASSWORD_FILE = "LEASE_GATEWAY_DATABASE_URL", "LEASE_GATEWAY_DATABASE_PASSWORD_FILE"
# What PostgreSQL lets in by default, without those kept for its superusers.
SERVER_CONNECTIONS = 97


def rule_sandbox(r):
    if not r.config.get("sandbox"):
        return []
    good = r.workload["spec"].get("replicas") == 1 and not r.all("HorizontalPodAutoscaler") and not r.has_database
    return [] if good else ["each replica has an inventory of its own, so there must be one"]


def rule_one_journal(r):
    """Without a database one process at a time has the file, and the file outlives it."""
    if r.config.get("sandbox") or r.has_database:
        return []
    spec = r.workload["spec"]
    errors = []
    if r.workload["kind"] != "StatefulSet" or not spec.get("volumeClaimTemplates"):
        return ["a journal without a volume that stays, or that two pods could open"]
    if spec.get("replicas") != 1 or r.all("HorizontalPodAutoscaler"):
        errors.append("a second pod would have another journal, so there must be one")
    if spec.get("persistentVolumeClaimRetentionPolicy") != {"whenDeleted": "Retain", "whenScaled": "Retain"}:
        errors.append("the journal goes with its pod")
    headless = r.one("Service", spec.get("serviceName"))
    if headless is None or headless["spec"].get("clusterIP") != "None":
        errors.append("serviceName is not the headless Service")
    if not r.config.get("journal"):
        errors.append("journal is not set")
    return errors


def rule_replicas(r):
    """With a database all pods are alike, and there is no moment without them."""
    if not r.has_database:
        return []
    spec = r.workload["spec"]
    errors = []
    if r.workload["kind"] != "Deployment":
        return ["pods with names of their own, although all are alike"]
    rolling = spec.get("strategy", {}).get("rollingUpdate", {})
    if (rolling.get("maxUnavailable"), rolling.get("maxSurge")) != (0, 1):
        errors.append("an update does not put one pod beside those that run")
    if r.config.get("journal"):
        errors.append("journal and database_url are both set")
    scaler = r.one("HorizontalPodAutoscaler")
    if scaler is None or scaler["spec"]["minReplicas"] < 2:
        return errors + ["HorizontalPodAutoscaler is missing, or content with one pod"]
    # With the pod that an update puts beside them, and those that have not ended yet when the next ones go; one more
    # each for LISTEN, for a pod that starts, and for the migration.
    ending = math.ceil(r.pod["terminationGracePeriodSeconds"] / max(spec.get("minReadySeconds", 0), 1))
    pods = scaler["spec"]["maxReplicas"] + 1 + ending
    connections = pods * (int(r.config.get("database_connections", 4)) + 1) + 2
    if connections > SERVER_CONNECTIONS:
        errors.append(f"up to {connections} connections, and a server takes {SERVER_CONNECTIONS} by default")
    return errors


def database_environment_errors(r, workload):
    environment = r.environment(workload)
    sources = {URL: secret_name(environment.get(URL), "url"), PASSWORD_FILE: password_secret(r, workload)}
    errors = [f"{workload}: {variable} does not come from the Secret" for variable, name in sources.items() if not name]
    made = {item["metadata"]["name"] for item in r.all("Secret")}
    errors += [f"{workload}: there is no Secret that {variable} could come from" for variable, name in sources.items()
               if r.overlay == "trial" and name not in made]
    for variable in environment:
        flag = "--" + variable.removeprefix("LEASE_GATEWAY_").lower().replace("_", "-")
        if flag not in r.gateway.flags:
            errors.append(f"{workload}: the gateway knows no {variable}")
    return errors


def password_secret(r, workload):
    """The Secret whose `password` is the file that the gateway reads, again and again; empty: there is none."""
    folder, name = os.path.split(str(r.environment(workload).get(PASSWORD_FILE, "")))
    pod = r.workloads[workload]["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    secrets = [volume["secret"] for volume in pod["volumes"] if volume["name"] == mounts.get(folder) and "secret" in volume]
    return next((secret["secretName"] for secret in secrets if {"key": "password", "path": name} in secret["items"]), "")


def secret_name(source, key):
    reference = source.get("secretKeyRef", {}) if isinstance(source, dict) else {}
    return reference.get("name", "") if reference.get("key") == key and not reference.get("optional") else ""


def rule_migration(r):
    job = r.one("Job", "lease-gateway-migration")
    if not r.has_database:
        return ["a migration without a database"] if job else []
    errors = database_environment_errors(r, "lease-gateway")
    if job is None:
        return errors + ["the Job of the migration is missing"]
    errors += database_environment_errors(r, "lease-gateway-migration")
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    if container["image"] != r.container["image"]:
        errors.append("the migration is of another version")
    if "--migrate" not in container["args"] or "--migrate" not in r.gateway.flags:
        errors.append("the Job does not migrate")
    if pod.get("restartPolicy") != "Never" or not job["spec"].get("activeDeadlineSeconds"):
        errors.append("the Job has no end")
    if not job["spec"].get("ttlSecondsAfterFinished"):
        errors.append("the Job stays, and the next version's can't be applied")
    if r.overlay == "mesh" and job["spec"]["template"]["metadata"]["labels"].get("sidecar.istio.io/inject") != "false":
        errors.append("a side-car keeps the Job from ending")
    return errors


def rule_way_to_the_database(r):
    if not r.has_database:
        return []
    errors = []
    for name in ("lease-gateway", "lease-gateway-migration"):
        ports = {port["port"] for policy in r.all("NetworkPolicy") for entry in policy["spec"].get("egress", [])
                 for port in entry.get("ports", []) if name in r.selected(policy["spec"]["podSelector"]["matchLabels"])}
        errors += [f"{name}: no NetworkPolicy lets it out to port {port}" for port in (53, 5432) if port not in ports]
    server = r.workloads.get("lease-gateway-postgres")
    if server is None:
        return errors
    if r.overlay != "trial":
        errors.append("a database for trying out, outside of the trial")
    policy = r.one("NetworkPolicy", "lease-gateway-postgres")
    sources = [source["podSelector"]["matchLabels"] for entry in policy["spec"].get("ingress", [])
               for source in entry["from"]]
    gateway = r.workload["spec"]["template"]["metadata"]["labels"]
    if len(sources) != 1 or not matches(sources[0], gateway):
        errors.append("others than the gateway reach the database")
    container = server["spec"]["template"]["spec"]["containers"][0]
    errors += [f"{server['metadata']['name']}: {probe} is missing"
               for probe in ("startupProbe", "livenessProbe", "readinessProbe") if probe not in container]
    if not server["spec"].get("volumeClaimTemplates") or server["spec"].get("replicas") != 1:
        errors.append("the trial's database is not one server with a volume")
    if secret_name(r.environment("lease-gateway-postgres")["POSTGRES_PASSWORD"], "password") != password_secret(
            r, "lease-gateway"):
        errors.append("gateway and database have different passwords")
    return errors


def rule_trial(r):
    """The gateway takes the database that the trial brings: the one overlay that says where it is."""
    if r.overlay != "trial" or not r.all("Secret"):
        return []
    values = {key: base64.b64decode(value).decode() for key, value in r.all("Secret")[0]["data"].items()}
    sources = {variable: source if isinstance(source, str) else values.get(source["secretKeyRef"]["key"])
               for variable, source in r.environment().items()}
    sources[PASSWORD_FILE] = r.gateway.file("database-password")
    with open(sources[PASSWORD_FILE], "w", encoding="utf-8") as file:
        file.write(values["password"])
    return r.gateway.refuses(r.config_text or "{}", {variable: value for variable, value in sources.items() if value})
