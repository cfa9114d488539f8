"""An overlay as kustomize renders it, and what the gateway makes of its configuration."""
import functools
import json
import os
import re
import subprocess
import tempfile

import yaml

from . import accounts


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
        for name, text in (("api-key", "an-api-key-of-nobody\n"), ("credentials", "user:password\n")):
            with open(self.file(name), "w", encoding="utf-8") as file:
                file.write(text)
        # In the place of the files that Kubernetes will mount.
        self.stand_ins = {"tls_cert_file": certificate, "tls_key_file": key, "tls_client_ca_file": certificate,
                          "upstream_token_file": self.file("api-key"), "upstream_proxy_ca_file": certificate,
                          "upstream_proxy_credentials_file": self.file("credentials"), "journal": self.file("journal.db")}

    def file(self, name):
        return os.path.join(self.folder.name, name)

    def run(self, *arguments, environment=None):
        """With this environment for the gateway, and no other."""
        others = {name: value for name, value in os.environ.items()
                  if not name.startswith(("LEASE_GATEWAY_", "CONTIGUITY_"))}
        return subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=30, check=False,
                              env={**others, **(environment or {})})

    def write(self, text):
        """A file with this config.yaml, in which files stand for those that Kubernetes will mount."""
        lines = "".join(f"{key}: {json.dumps(self.stand_ins.get(key, value))}\n"
                        for key, value in yaml.safe_load(text).items())
        path = self.file("config.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(lines)
        return path

    def refuses(self, text, environment):
        """What is wrong with this config.yaml under this environment."""
        checked = self.run("--config", self.write(text), "--check-config", environment=environment)
        return [] if checked.returncode == 0 else (checked.stderr or checked.stdout).strip().splitlines()

    def resolve(self, text, environment):
        """All options in force with this config.yaml under this environment, and what is wrong with it."""
        key = (text, *sorted(environment.items()))
        if key not in self.cache:
            printed = self.run("--config", self.write(text), "--print-config", environment=environment)
            options = (yaml.safe_load(printed.stdout) or {}) if printed.returncode == 0 else {}
            self.cache[key] = ({**options, **yaml.safe_load(text)}, self.refuses(text, environment))
        return self.cache[key]


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
    def workloads(self):
        """What makes pods, by name."""
        return {item["metadata"]["name"]: item for kind in ("Deployment", "StatefulSet", "Job")
                for item in self.all(kind)}

    @property
    def workload(self):
        return self.workloads["lease-gateway"]

    @property
    def pod(self):
        return self.workload["spec"]["template"]["spec"]

    @property
    def container(self):
        return self.pod["containers"][0]

    def selected(self, selector):
        """The names of the workloads whose pods it selects."""
        return [name for name, item in self.workloads.items()
                if matches(selector, item["spec"]["template"]["metadata"]["labels"])]

    def environment(self, name="lease-gateway"):
        """Variable → what it is set from, of a workload."""
        container = self.workloads[name]["spec"]["template"]["spec"]["containers"][0]
        return {item["name"]: item.get("valueFrom", item.get("value")) for item in container.get("env", [])}

    @property
    def has_database(self):
        return "LEASE_GATEWAY_DATABASE_URL" in self.environment()

    @property
    def edge(self):
        """The container of nginx before the gateway; None: callers reach the gateway itself."""
        return next((item for item in self.pod["containers"] if item["name"] == "edge"), None)

    @property
    def ports(self):
        """The pod's, whichever container has them."""
        return {port["name"]: port["containerPort"] for container in self.pod["containers"] for port in container["ports"]}

    def port(self, port, workload="lease-gateway"):
        containers = self.workloads[workload]["spec"]["template"]["spec"]["containers"]
        ports = {item["name"]: item["containerPort"] for container in containers for item in container.get("ports", [])}
        return ports.get(port, port if port in ports.values() else None)

    @property
    def config_text(self):
        """The file that --config names; None: it isn't there."""
        arguments = self.container["args"]
        return self.mounted(self.container, arguments[arguments.index("--config") + 1] if "--config" in arguments else "")

    def mounted(self, container, path):
        """A file from the ConfigMap that is mounted there; None: it isn't there."""
        for mount in container["volumeMounts"]:
            if os.path.dirname(path) == mount["mountPath"]:
                for volume in self.pod["volumes"]:
                    if volume["name"] == mount["name"] and "configMap" in volume:
                        found = self.one("ConfigMap", volume["configMap"]["name"])
                        return found and found["data"].get(os.path.basename(path))
        return None

    @functools.cached_property
    def callers_environment(self):
        """What names the callers file, with temporary files for those that Kubernetes will mount; empty: there is none."""
        return accounts.callers_environment(self)

    @property
    def config(self):
        return self.gateway.resolve(self.config_text or "{}", self.callers_environment)[0]

    @property
    def config_errors(self):
        return self.gateway.resolve(self.config_text or "{}", self.callers_environment)[1]


def matches(selector, labels):
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())
