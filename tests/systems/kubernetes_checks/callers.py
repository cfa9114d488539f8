"""What callers copy: which calls go where, are retried and have deadlines; and a client that has it."""
import json
import os
import re

import yaml

from .checks import LEASING, ROOT, SAFE_RETRIES, SERVICE, SERVICE_CONFIG, WRITES, check, methods, read, seconds


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
            if target != "lease-gateway":
                errors.append(f"route {name}: {method} goes to {target}")
        if attempts and not set(retried) <= SAFE_RETRIES:
            errors.append(f"route {name}: retries on {sorted(set(retried) - SAFE_RETRIES)}")
    errors += [f"{method} has no route" for method in methods() - set(routed)]
    return errors


def service_config_errors():
    config = json.loads(read(SERVICE_CONFIG))
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
        if method in WRITES - LEASING and policy:
            errors.append(f"{method} is retried, and has no request_id to be known again by")
        if method not in WRITES - LEASING and not policy:
            errors.append(f"{method} is not retried")
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


def client(address):
    import grpc  # pylint: disable=import-outside-toplevel
    text = read(SERVICE_CONFIG)

    def call(config, method, request=b"", timeout=5):
        options = [("grpc.service_config", config), ("grpc.enable_retries", 1)]
        with grpc.insecure_channel(f"ipv4:{address}", options) as channel:
            try:
                return channel.unary_unary(method)(request, timeout=timeout)
            except grpc.RpcError as error:
                return error

    answer = call(text, f"/{SERVICE}/ListAvailableNumbers")
    check("a client with service_config.json gets numbers", [] if isinstance(answer, bytes) and answer else [str(answer)])
    broken = call(text.replace('"maxAttempts": 3', '"maxAttempts": 1'), f"/{SERVICE}/ListAvailableNumbers")
    check("gRPC does read it: it refuses a broken one", ["it was taken"] if isinstance(broken, bytes) else [])
    for name in ("", "liveness", SERVICE):
        request = b"\x0a" + bytes([len(name)]) + name.encode() if name else b""
        answer = call("{}", "/grpc.health.v1.Health/Check", request)
        check(f"health knows {name!r}, which a probe asks for", [] if answer == b"\x08\x01" else [str(answer)])
    answer = call("{}", "/grpc.health.v1.Health/Check", b"\x0a\x04none")
    check("and no other name", [str(answer)] if isinstance(answer, bytes) else [])
