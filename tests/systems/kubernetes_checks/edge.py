"""The rules for who stands between callers and the gateway, and for what memory it takes to hold them."""
import ipaddress
import os
import re

from .checks import seconds

MIB = 1 << 20
# What a caller's connection costs while it is idle, in bytes.
PLAIN, TLS = 30 << 10, 70 << 10
# nginx's: a connection with TLS, a call under way with its buffers.
EDGE_CONNECTION, EDGE_CALL = 29 << 10, 94 << 10
# Without them nginx 1.22 has none, or one that is not ours.
LIMITS = ("http2_max_concurrent_streams", "client_header_timeout", "client_body_timeout", "send_timeout", "keepalive_requests",
          "keepalive_time", "keepalive_timeout", "limit_conn", "client_max_body_size", "large_client_header_buffers",
          "max_headers", "worker_connections", "worker_shutdown_timeout", "grpc_read_timeout")


def size(text):
    """Bytes, as nginx, Kubernetes and the gateway write them."""
    number, unit = re.fullmatch(r"(\d+)\s*([kKmMgG]?)(?:i|iB)?", str(text)).groups()
    return int(number) << {"": 0, "k": 10, "m": 20, "g": 30}[unit.lower()]


def directives(text):
    """Name → the arguments of each of its uses; braces end a name's arguments as semicolons do."""
    found = {}
    for statement in re.split(r"[;{}]", re.sub(r"#[^\n]*", "", text)):
        words = statement.split()
        if words:
            found.setdefault(words[0], []).append(words[1:])
    return found


def first(found, name):
    return (found.get(name) or [[""]])[0][0]


def is_loopback(listen):
    host = listen.rpartition(":")[0].strip("[]")
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def file_errors(r, found):
    """What nginx reads is mounted, and what it writes is where it may."""
    errors, mounts = [], {mount["mountPath"]: mount["name"] for mount in r.edge["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in r.pod["volumes"]}
    named = re.findall(r"/var/run/secrets/[^\s;]+", " ".join(word for uses in found.values() for use in uses for word in use))
    for path in named:
        items = volumes.get(mounts.get(os.path.dirname(path)), {}).get("secret", {}).get("items", [])
        if os.path.basename(path) not in [item["path"] for item in items]:
            errors.append(f"{path} is in no Secret that is mounted")
    written = [first(found, "pid")] + [first(found, f"{kind}_temp_path")
                                       for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
    errors += [f"it would write {path or 'where nginx was built to'}" for path in written
               if "emptyDir" not in volumes.get(mounts.get(os.path.dirname(path)), {})]
    return errors


def limit_errors(r, found):
    errors = [f"{name} is not set" for name in LIMITS if name not in found]
    if errors:
        return errors
    calls = {use[0]: int(use[1]) for use in found["limit_conn"]}
    connections, config = int(first(found, "worker_connections")), r.config
    wanted = [
        (0 < calls.get("peer", 0) <= calls.get("all", 0) < int(config["max_connections"]),
         f"limit_conn {calls}: each call is a connection to the gateway, which takes {config['max_connections']}"),
        (connections >= 2 * calls.get("all", 0), "worker_connections: calls leave none for callers"),
        (size(first(found, "client_max_body_size")) > size(config["max_request_bytes"]),
         "client_max_body_size: nginx refuses what the gateway takes"),
        (size(found["large_client_header_buffers"][0][1]) >= size(config["max_metadata_bytes"]),
         "large_client_header_buffers: nginx refuses what the gateway takes"),
        (int(first(found, "http2_max_concurrent_streams")) <= int(config["max_streams"]),
         "http2_max_concurrent_streams: more than max_streams"),
        (seconds(first(found, "client_header_timeout")) <= 30, "client_header_timeout: who says nothing is waited for"),
        (seconds(first(found, "keepalive_time")) * 1.1 <= 60, "keepalive_time: a new pod does not get its share within a minute"),
        (seconds(first(found, "grpc_read_timeout")) >= 3600, "grpc_read_timeout: nginx ends what the caller's deadline does not"),
        (seconds(first(found, "worker_shutdown_timeout")) < seconds(config["drain_wait"]) + seconds(config["grace"]),
         "worker_shutdown_timeout: calls at nginx outlive the gateway"),
        (calls.get("all", 0) * EDGE_CALL + (connections - calls.get("all", 0)) * EDGE_CONNECTION
         <= size(r.edge["resources"]["limits"].get("memory", "0")), "nginx's memory: less than its connections and calls take"),
    ]
    return [message for good, message in wanted if not good]


def rule_edge(r):
    """Strangers reach nginx alone, which hands their calls to a gateway that knows it for one who has many callers."""
    if "listen" not in r.config:
        return []  # the gateway refuses the configuration
    if r.edge is None:
        return ["listen: on loopback, and nothing is before it"] if is_loopback(str(r.config["listen"])) else []
    text = r.mounted(r.edge, "/etc/lease-gateway-edge/nginx.conf")
    if text is None:
        return ["nginx.conf is in no ConfigMap that is mounted"]
    found, config = directives(text), r.config
    listen = str(config["listen"])
    wanted = [
        (is_loopback(listen), "listen: strangers reach the gateway past nginx"),
        (first(found, "grpc_pass") == f"grpc://{listen}", f"grpc_pass: the gateway listens on {listen}"),
        ("127.0.0.1" in str(config["trusted_proxies"]), "trusted_proxies: all callers have one address's share"),
        (not config.get("tls_cert_file"), "tls_cert_file: nginx speaks plain text to the gateway"),
        (first(found, "listen") == str(r.ports.get("grpc")) and {"ssl", "http2"} <= set(found["listen"][0]),
         "listen: not TLS and HTTP/2 on the container port grpc"),
        (first(found, "ssl_verify_client") == "on", "ssl_verify_client: anybody may buy"),
        (["x-forwarded-client-cert", "'Subject=\"$ssl_client_s_dn\"'"] in found.get("grpc_set_header", []),
         "grpc_set_header: what a caller says of its certificate is believed"),
        ("upstream" not in found, "upstream: on connections that are kept a call pays for the one before"),
        (first(found, "grpc_next_upstream") == "off", "grpc_next_upstream: a call may be sent twice"),
        (r.edge.get("lifecycle") == r.container.get("lifecycle"), "lifecycle: nginx and the gateway don't drain together"),
        (all("tcpSocket" in r.edge.get(probe, {}) for probe in ("startupProbe", "livenessProbe")), "nginx has no probes"),
    ]
    errors = [message for good, message in wanted if not good]
    return errors + file_errors(r, found) + limit_errors(r, found)


def rule_side_car(r):
    """In a mesh all callers come from the side-car's own address."""
    trusted = set(re.split(r"[\s,]+", str(r.config.get("trusted_proxies", "127.0.0.6,::6"))))
    if r.overlay == "mesh" and not {"127.0.0.6", "::6"} <= trusted:
        return ["trusted_proxies: the side-car has one address's share"]
    return []


def rule_memory(r):
    """Below 80 % of the container's memory the guard cuts nobody for it. That holds what is idle, the lists, their history,
    the most callers' connections, and what attacks may take."""
    config = r.config
    if "max_connections" not in config:
        return []
    connection = TLS if config.get("tls_cert_file") else PLAIN
    held = (50 + 100 + 256) * MIB + size(config["cache_history_bytes"]) + int(config["max_connections"]) * connection
    limit = size(r.container["resources"].get("limits", {}).get("memory", "0"))
    if limit * 4 // 5 < held:
        return [f"limits.memory: {held // MIB} MiB and a quarter are needed"]
    return []
