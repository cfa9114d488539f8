"""The rules for a callers file: the gateway takes it with the files that are mounted beside it, and reads it anew; and the
example of a caller that has a projected token."""
import base64
import json
import os
import subprocess
import tempfile

import yaml

from .checks import ROOT, read

CALLERS_FILE = "LEASE_GATEWAY_CALLERS_FILE"
COMPONENT = os.path.join(ROOT, "deploy/kubernetes/components/callers/callers.yaml")
PROJECTED_TOKEN = os.path.join(ROOT, "deploy/clients/projected-token.yaml")
# What kubectl makes, by the comment of the component: ConfigMap → its keys.
MADE_BY_KUBECTL = {"lease-gateway-token-keys": ["jwks.json"]}


def callers_path(r):
    """Where the gateway looks for the file; empty: it has none."""
    return str(r.environment().get(CALLERS_FILE) or "")


def entries(callers, key):
    return [entry for entry in callers.get(key) or [] if isinstance(entry, dict)]


def mount_of(r, folder):
    """(mount, volume) of that folder; None: it isn't there."""
    volumes = {volume["name"]: volume for volume in r.pod["volumes"]}
    for mount in r.container["volumeMounts"]:
        if mount["mountPath"] == folder and mount["name"] in volumes:
            return mount, volumes[mount["name"]]
    return None


def jwks(gateway):
    """A key set with one key of RS256."""
    key = gateway.file("issuer.key")
    if not os.path.exists(key):
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    shown = subprocess.run(["openssl", "rsa", "-in", key, "-noout", "-modulus"], check=True, capture_output=True, text=True)
    modulus = base64.urlsafe_b64encode(bytes.fromhex(shown.stdout.strip().partition("=")[2])).decode().rstrip("=")
    return json.dumps({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1", "n": modulus, "e": "AQAB"}]})


def callers_environment(r):
    """The variable that names the callers file, whose folders are temporary ones here, filled with what Kubernetes mounts."""
    text = r.mounted(r.container, callers_path(r))
    if text is None:
        return {}
    callers = yaml.safe_load(text)
    named = [entry["key_file"] for entry in entries(callers, "accounts")] + [entry["keys_file"] for entry in entries(callers, "tokens")]
    own = tempfile.mkdtemp(dir=r.gateway.folder.name)
    for number, folder in enumerate(sorted({os.path.dirname(path) for path in named})):
        os.mkdir(os.path.join(own, str(number)))
        text = text.replace(f"{folder}/", f"{own}/{number}/")
        for name, content in mounted_files(r, folder, callers).items():
            with open(os.path.join(own, str(number), name), "w", encoding="utf-8") as file:
                file.write(content)
    path = os.path.join(own, "callers.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return {CALLERS_FILE: path}


def mounted_files(r, folder, callers):
    """Name → content of what is mounted there. The Secret has a key for each account, as the component says."""
    _, volume = mount_of(r, folder) or (None, {})
    if "secret" in volume:
        names = [item["path"] for item in volume["secret"].get("items", [])] or [
            entry["name"] for entry in entries(callers, "accounts")]
        return {name: "an-api-key-of-nobody\n" for name in names}
    return {name: jwks(r.gateway) for name in MADE_BY_KUBECTL.get(volume.get("configMap", {}).get("name"), [])}


def mount_errors(r, callers):
    """Keys of accounts and of tokens come from where they belong, and arrive anew."""
    errors = []
    for account in entries(callers, "accounts"):
        folder, name = os.path.split(account.get("key_file", ""))
        _, volume = mount_of(r, folder) or (None, {})
        items = volume.get("secret", {}).get("items")
        if "secret" not in volume:
            errors.append(f"account {account['name']}: no Secret is mounted at {folder}")
        elif name != account["name"] or (items is not None and {"key": name, "path": name} not in items):
            errors.append(f"account {account['name']}: its key is not of its name in the Secret")
    for issuer in entries(callers, "tokens"):
        folder, name = os.path.split(issuer["keys_file"])
        _, volume = mount_of(r, folder) or (None, {})
        if name not in MADE_BY_KUBECTL.get(volume.get("configMap", {}).get("name"), []):
            errors.append(f"tokens of {issuer['issuer']}: no ConfigMap with {name} is mounted at {folder}")
    return errors


def rule_callers_file(r):
    path = callers_path(r)
    if not path:
        return ["the callers file is mounted, and not named"] if r.one("ConfigMap", "lease-gateway-callers") else []
    found = mount_of(r, os.path.dirname(path))
    text = r.mounted(r.container, path)
    if found is None or text is None:
        return [f"{path} is in no ConfigMap that is mounted"]
    mount, volume = found
    callers = yaml.safe_load(text)
    errors = mount_errors(r, callers)
    for folder in [os.path.dirname(path)] + [os.path.dirname(issuer["keys_file"]) for issuer in entries(callers, "tokens")]:
        other, _ = mount_of(r, folder) or ({}, None)
        if "subPath" in other:
            errors.append(f"{folder}: a subPath never changes in a pod that runs")
    if volume["configMap"]["name"] != "lease-gateway-callers" or "subPath" in mount:
        errors.append("the ConfigMap's name has a hash: a change would roll the pods, and is to be read anew")
    return errors


def rule_callers_tls(r):
    """Tokens are for callers without a certificate, and for nobody on the way; certificates are believed as well."""
    if not callers_path(r) or "listen" not in r.config:
        return []
    text = r.mounted(r.container, callers_path(r))
    callers = yaml.safe_load(text or "{}")
    matchers = {key for caller in entries(callers, "callers") for key in caller["match"]}
    errors = []
    if r.overlay == "callers":
        if not r.config.get("tls_cert_file"):
            errors.append("tls_cert_file: anybody on the way could read the tokens")
        if matchers & {"spiffe", "spiffe_prefix", "dns", "common_name"} and not r.config.get("tls_client_ca_file"):
            errors.append("tls_client_ca_file: nobody has a certificate")
    if "token" in matchers and r.config.get("tls_client_ca_file") and r.config.get("tls_client_auth") != "request":
        errors.append("tls_client_auth: who has a token alone gets no connection")
    return errors


def example_errors(text=None, callers_text=None):
    """What is wrong with the caller that has a projected token, as the component's callers file knows it."""
    objects = {item["kind"]: item for item in yaml.safe_load_all(read(PROJECTED_TOKEN) if text is None else text)}
    callers = yaml.safe_load(read(COMPONENT) if callers_text is None else callers_text)
    workload, account = objects["Deployment"], objects["ServiceAccount"]["metadata"]
    template = workload["spec"]["template"]
    pod, labels = template["spec"], template["metadata"]["labels"]
    container = pod["containers"][0]
    environment = {item["name"]: item["value"] for item in container["env"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    folder, name = os.path.split(environment.get("LEASECTL_TOKEN_FILE", ""))
    sources = volumes.get(mounts.get(folder), {}).get("projected", {}).get("sources", [])
    token = next((source["serviceAccountToken"] for source in sources if "serviceAccountToken" in source), {})
    ca_folder = os.path.dirname(environment.get("LEASECTL_CA_FILE", ""))
    subject = f"system:serviceaccount:{workload['metadata']['namespace']}:{pod.get('serviceAccountName')}"
    known = [caller["match"]["token"] for caller in callers["callers"] if "token" in caller["match"]]
    issuers = [entry for entry in known if entry["subject"] == subject]
    audiences = {audience for issuer in callers["tokens"] if issuer["issuer"] in [entry["issuer"] for entry in issuers]
                 for audience in issuer["audiences"]}
    wanted = [
        (token.get("path") == name and name, "LEASECTL_TOKEN_FILE: no token is projected there"),
        (bool(issuers), f"{subject} is no caller of the component's file"),
        (token.get("audience") in audiences, "the token's audience is none of the file's"),
        (token.get("expirationSeconds") == 3600, "the token's life is not an hour"),
        ((account["name"], account["namespace"]) == (pod.get("serviceAccountName"), workload["metadata"]["namespace"]),
         "the ServiceAccount is another one"),
        (pod.get("automountServiceAccountToken") is False, "the token for the Kubernetes API is mounted"),
        (labels.get("lease-gateway-caller") == "true", "the NetworkPolicy keeps it out"),
        (workload["spec"]["selector"]["matchLabels"].items() <= labels.items(), "its selector selects other pods"),
        (environment.get("LEASECTL_TLS") == "true" and "configMap" in volumes.get(mounts.get(ca_folder), {}),
         "the token would not go over verified TLS"),
        (pod["securityContext"].get("runAsNonRoot") is True and pod["securityContext"].get("fsGroup"),
         "it runs as root, or can't read its token"),
        (container["securityContext"].get("readOnlyRootFilesystem") is True, "the root file system is writable"),
    ]
    return [message for good, message in wanted if not good]


# The example broken in one way each, and what is to be said of it.
EXAMPLE_MUTATIONS = [
    ("audience: lease-gateway", "audience: api", "audience is none"), ("path: lease-gateway}", "path: token}", "no token is projected"),
    ("expirationSeconds: 3600", "expirationSeconds: 86400", "not an hour"), ("serviceAccountName: report", "serviceAccountName: other", "is no caller"),
    ("  name: report\n  namespace: finance\nautomount", "  name: job\n  namespace: finance\nautomount", "another one"),
    ('lease-gateway-caller: "true"', 'lease-gateway-caller: "no"', "keeps it out"), ('LEASECTL_TLS, value: "true"', 'LEASECTL_TLS, value: "false"', "verified TLS"),
    ("      automountServiceAccountToken: false\n", "", "Kubernetes API"), ("        fsGroup: 65532\n", "", "can't read its token"),
    ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "is writable"),
    ("    matchLabels:\n      app.kubernetes.io/name: report", "    matchLabels:\n      app.kubernetes.io/name: other", "selects other pods"),
]


def unnoticed_in_example():
    text, missed = read(PROJECTED_TOKEN), []
    for old, new, expected in EXAMPLE_MUTATIONS:
        found = example_errors(text.replace(old, new))
        if old not in text or not any(expected in error for error in found):
            missed.append(f"{new!r}: {expected!r} is not noticed, but {found}")
    if not example_errors(callers_text=read(COMPONENT).replace("serviceaccount:finance:report", "serviceaccount:finance:other")):
        missed.append("another subject in callers.yaml is not noticed")
    return missed
