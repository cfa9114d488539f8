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


def edge(pattern, text):
    """In nginx's configuration."""
    def apply(r):
        for item in r.all("ConfigMap"):
            if "nginx.conf" in item["data"]:
                replaced = re.sub(pattern, text, item["data"]["nginx.conf"])
                assert replaced != item["data"]["nginx.conf"], pattern
                item["data"]["nginx.conf"] = replaced
    return apply


def callers(pattern, text):
    """In the callers file."""
    def apply(r):
        data = r.one("ConfigMap", "lease-gateway-callers")["data"]
        replaced = re.sub(pattern, text, data["callers.yaml"])
        assert replaced != data["callers.yaml"], pattern
        data["callers.yaml"] = replaced
    return apply


def volume(name, change_it):
    """In a volume of the pod."""
    return lambda r: change_it(next(item for item in r.pod["volumes"] if item["name"] == name))


def mounted_at(path, change_it):
    """In a mount of the container."""
    return lambda r: change_it(next(item for item in r.container["volumeMounts"] if item["mountPath"] == path))


def hashed(r):
    """As kustomize names a ConfigMap that rolls the pods."""
    r.one("ConfigMap", "lease-gateway-callers")["metadata"]["name"] += "-5m9k8t7f2b"
    volume("callers", lambda item: item["configMap"].update(name="lease-gateway-callers-5m9k8t7f2b"))(r)


def remove(kind, name="lease-gateway"):
    return lambda r: r.objects.remove(r.one(kind, name))


MIGRATION = ("Job/lease-gateway-migration", "template")
SERVER = ("StatefulSet/lease-gateway-postgres", "template")

PRIVATE = {"ipBlock": {"cidr": "10.0.0.0/8"}}

MUTATIONS = [
    ("production", change(("container", "livenessProbe"), None), "livenessProbe is missing"),
    ("production", change(("container", "readinessProbe", "httpGet", "path"), "/livez"), "ask the same"),
    ("production", change(("container", "livenessProbe"), {"grpc": {"port": 50051}}), "livenessProbe: the admin port"),
    ("sandbox", change(("container", "readinessProbe", "httpGet", "path"), "/livez"), "readinessProbe: asks"),
    ("sandbox", change(("container", "livenessProbe"), {"grpc": {"port": 50051}}), "livenessProbe: the admin port"),
    ("sandbox", change(("container", "startupProbe", "httpGet", "port"), 50052), "startupProbe: port 50052"),
    ("sandbox", change(("container", "startupProbe", "failureThreshold"), 3), "startupProbe: operations"),
    ("production", change(("container", "securityContext", "readOnlyRootFilesystem"), False), "file system is writable"),
    ("production", change(("pod", "securityContext", "runAsNonRoot"), False), "runs as root"),
    ("production", change(("pod", "securityContext", "seccompProfile"), None), "seccomp"),
    ("production", change(("pod", "automountServiceAccountToken"), None), "the pod mounts a token"),
    ("production", change(("pod", "enableServiceLinks"), None), "variables of Services"),
    ("production", remove("ServiceAccount"), "the ServiceAccount is missing"),
    ("production", change(("Service", "selector"), {"app": "other"}), "selects []"),
    ("trial", change(("Service", "selector"), {"app.kubernetes.io/name": "lease-gateway-postgres"}), "Service lease-gateway: "),
    ("production", change(("HorizontalPodAutoscaler", "scaleTargetRef", "kind"), "StatefulSet"), "there is no StatefulSet"),
    ("production", change(("workload", "replicas"), 3), "replicas is set"),
    ("production", change(("ServiceMonitor", "endpoints", 0, "port"), "metrics"), "no port metrics"),
    ("production", change(("ServiceMonitor", "selector", "matchLabels"), {"app.kubernetes.io/name": "lease-gateway"}),
     "selects 2 Services"),
    ("production", change(("Service", "ports", 0, "targetPort"), "http"), "no container port http"),
    ("production", configure("listen: 0.0.0.0:50051", "listen: 0.0.0.0:50052"), "not the one of listen"),
    ("production", configure("admin_listen: 0.0.0.0:9464", "admin_listen: 127.0.0.1:9464"), "nobody outside"),
    ("production", configure("/api-key", "/key"), "no Secret has key"),
    ("single", configure("/var/lib/lease-gateway/", "/tmp/"), "journal: not on a volume"),
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
    ("production", change(("container", "resources", "limits", "memory"), None), "lease-gateway: no limits of memory"),
    ("single", change(("workload", "volumeClaimTemplates"), []), "without a volume that stays"),
    ("single", change(("workload", "persistentVolumeClaimRetentionPolicy", "whenScaled"), "Delete"), "goes with its pod"),
    ("single", change(("workload", "replicas"), 3), "a second pod would have another journal"),
    ("single", configure("journal: .*", ""), "journal is not set"),
    ("single", change(("workload", "serviceName"), "lease-gateway"), "not the headless Service"),
    ("production", configure("$", "\njournal: /var/lib/lease-gateway/journal.db"), "both set"),
    ("production", change(("workload", "strategy", "rollingUpdate", "maxUnavailable"), 1), "does not put one pod beside"),
    ("production", remove("HorizontalPodAutoscaler"), "HorizontalPodAutoscaler is missing"),
    ("production", change(("HorizontalPodAutoscaler", "minReplicas"), 1), "content with one pod"),
    ("production", change(("HorizontalPodAutoscaler", "maxReplicas"), 30), "up to 167 connections"),
    ("production", change(("container", "env", 1), {"name": "LEASE_GATEWAY_DATABASE_PASSWORD", "value": "secret"}),
     "LEASE_GATEWAY_DATABASE_PASSWORD has a value"),
    ("production", change(("container", "env", 0, "valueFrom", "secretKeyRef", "key"), "uri"), "does not come from the Secret"),
    ("production", change(("container", "env", 1, "value"), "/var/run/secrets/tls/password"), "PASSWORD_FILE does not come"),
    ("production", change((*MIGRATION, "spec", "volumes", 0, "secret", "items", 0, "key"), "pass"),
     "lease-gateway-migration: LEASE_GATEWAY_DATABASE_PASSWORD_FILE does not come"),
    ("production", change(("container", "env", 2, "name"), "LEASE_GATEWAY_DATABASE_URI"), "knows no LEASE_GATEWAY_DATABASE_URI"),
    ("trial", lambda r: r.objects.remove(r.all("Secret")[0]), "there is no Secret"),
    ("production", remove("Job", "lease-gateway-migration"), "Job of the migration is missing"),
    ("production", change((*MIGRATION, "spec", "containers", 0, "image"), "lease-gateway:0.2.0"), "of another version"),
    ("production", change((*MIGRATION, "spec", "containers", 0, "args"), ["--check-config"]), "does not migrate"),
    ("production", change(("Job/lease-gateway-migration", "ttlSecondsAfterFinished"), None), "next version's can't be applied"),
    ("production", change(("Job/lease-gateway-migration", "activeDeadlineSeconds"), None), "has no end"),
    ("trial", change((*MIGRATION, "spec", "containers", 0, "securityContext"), {}), "lease-gateway-migration: may gain"),
    ("mesh", change((*MIGRATION, "metadata", "labels", "sidecar.istio.io/inject"), None), "side-car keeps the Job"),
    ("production", remove("NetworkPolicy", "lease-gateway-database"), "lets it out to port 5432"),
    ("production", change(("NetworkPolicy/lease-gateway-database", "egress", 1, "ports", 0, "port"), 5433), "out to port 5432"),
    ("trial", change(("NetworkPolicy/lease-gateway-postgres", "ingress", 0, "from", 0, "podSelector"),
                     {"matchLabels": {}}), "others than the gateway"),
    ("trial", change(("container", "env", 3), None), "does not verify the server"),
    ("trial", change((*SERVER, "spec", "containers", 0, "readinessProbe"), None), "readinessProbe is missing"),
    ("trial", change((*SERVER, "spec", "securityContext", "runAsUser"), 0), "lease-gateway-postgres: runs as root"),
    ("trial", change((*SERVER, "spec", "containers", 0, "image"), "postgres"), "image postgres: no fixed version"),
    ("trial", change(("StatefulSet/lease-gateway-postgres", "volumeClaimTemplates"), []), "not one server with a volume"),
    ("sandbox", change(("workload", "replicas"), 2), "there must be one"),
    ("production", change(("PrometheusRule", "groups"), []), "is not alerts.yaml"),
    ("production", remove("NetworkPolicy"), "NetworkPolicy is missing"),
    ("production", change(("NetworkPolicy", "egress", 1, "to", 0, "ipBlock", "except"), ["10.0.0.0/8"]), "where clouds keep credentials may"),
    ("production", change(("NetworkPolicy", "egress", 1, "to", 1, "ipBlock", "except"), ["fe80::/10"]), "addresses private may"),
    ("production", change(("NetworkPolicy", "egress", 1, "ports"), None), "reached at every port"),
    ("production", change(("NetworkPolicy", "egress", 1, "ports", 0, "port"), 8443), "to port 443 of its provider"),
    ("mesh", change(("NetworkPolicy", "egress", 1, "to"), [PRIVATE]), "to port 443 of its provider"),
    ("single", change(("NetworkPolicy", "egress", 0), None), "ask for the address of api.contiguity.com over UDP"),
    ("production", change(("pod", "dnsConfig"), None), "with ndots 5 api.contiguity.com is asked for"),
    ("sandbox", change(("NetworkPolicy", "egress"), [{"to": [PRIVATE], "ports": [{"protocol": "TCP", "port": 443}]}]), "calls nobody"),
    ("proxy", change(("NetworkPolicy", "egress", 1, "to"), [PRIVATE, {"ipBlock": {"cidr": "203.0.113.0/24"}}]), "out past its proxy"),
    ("proxy", change(("NetworkPolicy", "egress", 1, "ports", 0, "port"), 443), "to port 3129 of its proxy"),
    ("proxy", configure(":3129", ":3128"), "to port 3128 of its proxy"),
    ("proxy", configure("upstream_proxy: .*", "upstream_proxy: direct"), "to port 443 of its provider"),
    ("proxy", lambda r: [change((f"NetworkPolicy/{name}", "egress", 0, "ports"), [{"protocol": "UDP", "port": 53}])(r)
                         for name in ("lease-gateway", "lease-gateway-database")], "proxy.example.com over TCP"),
    ("proxy", configure("https://proxy", "http://proxy"), "password would go over the network"),
    ("proxy", configure("https://proxy", "https://user:password@proxy"), "upstream_proxy: has a user"),
    ("proxy", change(("container", "env", 2), {"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"}), "HTTPS_PROXY is set"),
    ("proxy", change(("pod", "volumes", -1, "secret", "items", 0, "path"), "user"), "no Secret has credentials"),
    ("proxy", change(("pod", "volumes", -1, "secret", "defaultMode"), 0o444), "volume proxy: everybody may read"),
    ("proxy", change(("pod", "dnsConfig"), None), "with ndots 5 proxy.example.com is asked for"),
    ("production", remove("PodDisruptionBudget"), "PodDisruptionBudget is missing"),
    ("mesh", change(("VirtualService", "http", 1, "retries"), None), "CreateLease is retried"),
    ("mesh", change(("VirtualService", "http", 0, "retries", "retryOn"), "unavailable"), "retries on"),
    ("mesh", change(("VirtualService", "http", 1, "route", 0, "destination", "host"), "lease-gateway-headless"),
     "CreateLease goes to lease-gateway-headless"),
    ("mesh", change(("VirtualService", "http", 1, "retries", "attempts"), 1), "ConfigureFailover is retried"),
    ("edge", configure("listen: 127.0.0.1:50052", "listen: 0.0.0.0:50052\nallow_plaintext: true"), "strangers reach the gateway"),
    ("edge", configure("listen: 127.0.0.1:50052", "listen: 127.0.0.1:50053"), "grpc_pass: the gateway listens on 127.0.0.1:50053"),
    ("edge", configure("trusted_proxies: .*", ""), "all callers have one address's share"),
    ("edge", configure("grace: 20s", "grace: 10s"), "calls at nginx outlive the gateway"),
    ("edge", configure("$", "\nmax_connections: 5000"), "which takes 5000"),
    ("edge", configure("$", "\nmax_request_bytes: 4MiB"), "client_max_body_size: nginx refuses"),
    ("edge", configure("$", "\nmax_metadata_bytes: 64KiB"), "large_client_header_buffers: nginx refuses"),
    ("edge", configure("$", "\nmax_streams: 100"), "more than max_streams"),
    ("edge", edge("ssl_verify_client on", "ssl_verify_client optional"), "anybody may buy"),
    ("edge", edge("listen 50051 ssl http2", "listen 50051 http2"), "not TLS and HTTP/2"),
    ("edge", edge("limit_conn peer", "# limit_conn peer"), "limit_conn {'all': 6000}"),
    ("edge", edge("max_headers [^;]*;", ""), "max_headers is not set"),
    ("edge", edge("client_header_timeout 20s", "client_header_timeout 60s"), "who says nothing is waited for"),
    ("edge", edge("keepalive_time 30s", "keepalive_time 1h"), "keepalive_time: a new pod"),
    ("edge", edge("grpc_read_timeout 1h", "grpc_read_timeout 60s"), "nginx ends what the caller's deadline"),
    ("edge", edge("grpc_next_upstream off", "grpc_next_upstream error"), "sent twice"),
    ("edge", edge("grpc_set_header [^;]*;", ""), "what a caller says of its certificate is believed"),
    ("edge", edge("'Subject=\"[^;]*;", "$http_x_forwarded_client_cert;"), "what a caller says of its certificate is believed"),
    ("edge", edge("server {", "upstream gateway { server 127.0.0.1:50052; keepalive 64; }\nserver {"), "connections that are kept"),
    ("edge", edge("worker_connections 16384", "worker_connections 10000"), "calls leave none for callers"),
    ("edge", edge("worker_connections 16384", "worker_connections 65536"), "nginx's memory"),
    ("edge", edge("secrets/tls/tls.key", "secrets/tls/key.pem"), "key.pem is in no Secret"),
    ("edge", edge("pid /tmp", "pid /run"), "it would write /run/nginx.pid"),
    ("edge", change(("pod", "containers", 1, "lifecycle"), {"preStop": {"sleep": {"seconds": 1}}}), "don't drain together"),
    ("edge", change(("pod", "containers", 1, "livenessProbe"), {"grpc": {"port": 50051}}), "nginx has no probes"),
    ("edge", change(("pod", "containers", 1, "securityContext", "readOnlyRootFilesystem"), False), "file system is writable"),
    ("edge", change(("pod", "containers", 1, "resources", "limits"), {"cpu": "1"}), "edge: no limits of memory"),
    ("edge", change(("pod", "containers", 1, "image"), "nginx"), "image nginx: no fixed version"),
    ("edge", change(("container", "readinessProbe"), {"grpc": {"port": 50052}}), "readinessProbe: the admin port"),
    ("edge", remove("Service", "lease-gateway-headless"), "one headless Service"),
    ("edge", change(("pod", "containers", 1, "name"), "nginx"), "containers ['lease-gateway', 'nginx']"),
    ("trial", configure("listen: 0.0.0.0:50051", "listen: 127.0.0.1:50051"), "on loopback, and nothing is before it"),
    ("production", change(("container", "resources", "limits", "memory"), "1Gi"), "1016 MiB and a quarter"),
    ("production", configure("$", "\ncache_history_bytes: 1024MiB"), "1976 MiB and a quarter"),
    ("mesh", configure("trusted_proxies: .*", ""), "the side-car has one address's share"),
    ("callers", callers("lease, terminate", "leas, terminate"), 'roles.buyer[2]: "leas"'),
    ("callers", callers("spiffe: spiffe://", "spiffe: http://"), "callers[0].match.spiffe"),
    ("callers", callers("accounts/sales", "accounts/key"), "account sales: its key is not of its name"),
    ("callers", callers("secrets/accounts/support", "secrets/keys/support"), "account support: no Secret is mounted at /var/run/secrets/keys"),
    ("callers", volume("accounts", lambda item: item["secret"].update(items=[{"key": "sales", "path": "sales"}])),
     "account support: its key is not of its name"),
    ("callers", volume("accounts", lambda item: item["secret"].update(items=[{"key": "sales", "path": "sales"}])),
     "accounts[1].key_file"),
    ("callers", volume("accounts", lambda item: item["secret"].update(defaultMode=0o444)), "volume accounts: everybody may read"),
    ("callers", callers("token-keys/jwks.json", "token-keys/keys.json"), "no ConfigMap with keys.json is mounted"),
    ("callers", callers("token-keys/jwks.json", "token-keys/keys.json"), "tokens[0].keys_file"),
    ("callers", mounted_at("/etc/lease-gateway-token-keys", lambda item: item.update(mountPath="/etc/token-keys")),
     "is mounted at /etc/lease-gateway-token-keys"),
    ("callers", mounted_at("/etc/lease-gateway-callers", lambda item: item.update(mountPath="/etc/callers")), "callers.yaml is in no ConfigMap"),
    ("callers", mounted_at("/etc/lease-gateway-token-keys", lambda item: item.update(subPath="jwks.json")), "a subPath never changes"),
    ("callers", mounted_at("/etc/lease-gateway-callers", lambda item: item.update(subPath="callers.yaml")), "a subPath never changes"),
    ("callers", hashed, "has a hash"),
    ("callers", lambda r: r.container["env"].remove(next(item for item in r.container["env"] if item["name"] == "LEASE_GATEWAY_CALLERS_FILE")),
     "is mounted, and not named"),
    ("callers", configure("tls_client_auth: request", "tls_client_auth: require"), "who has a token alone gets no connection"),
    ("callers", configure("tls_client_auth: request", ""), "who has a token alone gets no connection"),
    ("callers", configure("tls_client_(ca_file|auth): .*", ""), "nobody has a certificate"),
    ("callers", configure("tls_[a-z_]*: .*", "allow_plaintext: true"), "could read the tokens"),
    ("callers", configure("$", "\nupstream_token_file: /var/run/secrets/accounts/sales"), "cannot be combined with callers_file"),
]
