"""Manifests that are broken in one way each, and what the rules must say of them."""
import re


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
