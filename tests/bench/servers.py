"""The gateways and what they are measured against, each started as a measurement needs it."""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import programs
from programs import BenchError, Process, Sandbox, die_with_parent, free_port, listening

LONG = ["--cache-fresh", "1h", "--cache-stale-while-revalidate", "1h", "--cache-stale-if-error", "3h"]
HUGE = ["--max-body-bytes", "256MiB", "--max-response-bytes", "256MiB"]


def squid():
    """The program, which Debian has beside the path of who isn't root; None: there is none."""
    return shutil.which("squid") or shutil.which("squid", path="/usr/sbin")


class Servers:
    """What runs, until `close`."""

    def __init__(self, options):
        self.options = options
        self.processes = []
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="lease-gateway-bench-"))
        self.logs = programs.OUT / "logs"
        self.started = 0
        self.gateways = {}
        self.sandboxes = {}

    def log(self, name):
        self.started += 1
        return self.logs / f"{self.started:02}-{name}.log"

    def keep(self, process):
        self.processes.append(process)
        return process

    def stop(self, process):
        process.stop()
        self.processes.remove(process)

    def close(self):
        for process in reversed(self.processes):
            process.stop()
        shutil.rmtree(self.work, ignore_errors=True)

    def sandbox(self, numbers):
        if numbers not in self.sandboxes:
            self.sandboxes[numbers] = self.keep(
                Sandbox(numbers, self.work, self.log(f"sandbox-{numbers}")))
        return self.sandboxes[numbers]

    def own_sandbox(self, numbers, *flags):
        """One that only this workload changes."""
        folder = self.work / f"sandbox-{self.started}"
        folder.mkdir()
        return self.keep(Sandbox(numbers, folder, self.log(f"sandbox-{numbers}"), *flags))

    def start_gateway(self, sandbox, *flags):
        port = free_port()
        gateway = self.keep(Process(
            "lease-gateway",
            [programs.BIN / "lease-gateway", "--listen", f"127.0.0.1:{port}", "--upstream-url", sandbox.url,
             "--upstream-ca-file", sandbox.ca_file, *flags, *self.options.gateway_flag,
             *([] if "--journal" in flags else ["--journal", ":memory:"])],
            self.log("gateway"), {"CONTIGUITY_API_KEY": sandbox.key}))
        gateway.wait_for("port", lambda: listening(port))
        gateway.port = port
        gateway.ca_file = self.certificate()[0] if "--tls-cert-file" in flags else None
        return gateway

    def certificate(self):
        """The files of a self-signed certificate for 127.0.0.1, and of its key."""
        files = self.work / "tls.crt", self.work / "tls.key"
        if not files[0].exists():
            made = subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-subj", "/CN=benchmark", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                 "-out", files[0], "-keyout", files[1]], capture_output=True, text=True, check=False)
            if made.returncode != 0:
                raise BenchError(f"openssl makes no certificate: {made.stderr.strip()[-200:]}")
        return files

    def gateway(self, numbers, *flags):
        """One with the whole list in its memory, where it stays fresh unless flags say otherwise."""
        key = (numbers, flags)
        if key not in self.gateways:
            sandbox = self.sandbox(numbers)
            gateway = self.start_gateway(sandbox, *(flags or LONG), *HUGE)
            name = f"{numbers}-{len(self.gateways)}"
            gateway.numbers = self.work / f"numbers-{name}"
            gateway.total = self.client("warm", gateway, "--out", gateway.numbers)["numbers"]
            gateway.get_number = self.work / f"get-number-{name}.bin"
            gateway.list = self.work / f"list-{name}.bin"
            number = gateway.numbers.read_text().split()[0].encode()
            gateway.request = self.work / f"request-{name}"
            message = b"\x0a" + bytes([len(number)]) + number
            gateway.request.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
            self.gateways[key] = gateway
        gateway = self.gateways[key]
        # Each time: what another workload has fetched since may be longer or shorter.
        self.client("capture", gateway, "--numbers", gateway.numbers, "--out", gateway.get_number)
        self.client("capture", gateway, "--method", "list", "--out", gateway.list)
        return gateway

    def bare(self, program, gateway, *flags):
        return self.keep(Process(
            program, [programs.BENCH / program, "--get-number", gateway.get_number, "--list", gateway.list, *flags],
            self.log(program))).wait_for_port()

    def nginx(self, gateway):
        """Serves the provider's JSON of the gateway's first number from its cache."""
        sandbox = self.sandbox(100)
        number = gateway.numbers.read_text().split()[0]
        folder = self.work / "nginx"
        folder.mkdir()
        record = subprocess.run(
            ["curl", "-sS", "--fail", "--max-time", "20", "--cacert", sandbox.ca_file, "-H", "@-",
             f"{sandbox.url}/{number}"], input=f"Authorization: Bearer {sandbox.key}\n",
            capture_output=True, text=True, check=False)
        if record.returncode != 0:
            raise BenchError(f"the sandbox does not answer: {record.stderr.strip()}")
        (folder / "number.json").write_text(record.stdout)
        port, origin = free_port(), free_port()
        temporary = "".join(f"  {kind}_temp_path {folder}/{kind};\n"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;\n" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(f"""{user}worker_processes 2;
daemon off;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
{temporary}  access_log off;
  keepalive_requests 1000000000;
  default_type application/json;
  proxy_cache_path {folder}/cache keys_zone=numbers:1m inactive=1d;
  server {{
    listen 127.0.0.1:{origin};
    root {folder};
  }}
  server {{
    listen 127.0.0.1:{port} http2;
    location / {{
      proxy_pass http://127.0.0.1:{origin};
      proxy_cache numbers;
      proxy_cache_valid 200 1d;
      add_header Cache-Status "nginx; $upstream_cache_status" always;
    }}
  }}
}}
""")
        nginx = self.keep(Process("nginx", [self.options.nginx, "-p", folder, "-c", folder / "nginx.conf",
                                            "-e", "stderr"], self.log("nginx")))
        nginx.wait_for("port", lambda: listening(port))
        nginx.port = port
        url = f"http://127.0.0.1:{port}/number.json"
        for _ in range(2):
            reply = subprocess.run(["curl", "-sS", "-i", "--http2-prior-knowledge", "--max-time", "20", url],
                                   capture_output=True, text=True, check=False).stdout
        if "nginx; HIT" not in reply or not reply.endswith(record.stdout):
            raise BenchError(f"nginx does not answer from its cache: {reply[:200]!r}")
        nginx.reply_bytes = len(record.stdout.encode())
        return nginx

    def grpc_js(self, gateway):
        return self.keep(Process(
            "grpc-js", ["node", programs.ROOT / "tests/bench/grpc_js_server.js", gateway.get_number],
            self.log("grpc-js"), {"NODE_PATH": str(programs.GRPC_JS)})).wait_for_port()

    def run(self, command, env=None):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                              timeout=180, env={**os.environ, **(env or {})},
                              preexec_fn=die_with_parent, check=False)
        if done.returncode != 0:
            raise BenchError(done.stderr.strip().splitlines()[-1] if done.stderr.strip()
                             else f"{command[0]} ended with {done.returncode}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def client(self, command, server, *arguments):
        ca_file = getattr(server, "ca_file", None)
        return self.run([programs.BENCH / "bench_client", command, "--target", f"127.0.0.1:{server.port}",
                         *(["--ca-file", ca_file] if ca_file else []), *arguments])[0]


def check_needs(options):
    def measures(*names):
        return not options.only or any(name in options.only for name in names)

    compared = (
        ("node (Debian package nodejs)", shutil.which("node")),
        ("nginx", shutil.which(options.nginx)),
        ("@grpc/grpc-js in build/npm", (programs.GRPC_JS / "@grpc/grpc-js").is_dir()))
    road = (
        *((("squid", squid()),) if measures("road", "proxy") else ()),
        *((("dnslib (Debian package python3-dnslib)", importlib.util.find_spec("dnslib")),)
          if measures("road", "names", "sigterm") else ()))
    for name, found in (
            *(compared if measures("hit") else ()),
            *((("nginx", shutil.which(options.nginx)),) if measures("guard", "guard_edge") else ()),
            *road,
            ("h2load (Debian package nghttp2-client)", shutil.which("h2load")),
            ("curl", shutil.which("curl")),
            ("openssl", shutil.which("openssl")),
            *((f"{path.relative_to(programs.ROOT)}", path.is_file()) for path in (
                programs.BIN / "lease-gateway", programs.BIN / "lease-sandbox",
                *(programs.BENCH / name for name in (
                    "bench_client_certificate.so", "callers_bench")),
                *(programs.BENCH / f"bench_{name}" for name in (
                    "bytes", "client", "connect", "floor", "https", "leases", "refresh", "shares", "typed"))))):
        if not found:
            raise BenchError(f"{name} is missing; tests/bench/run.sh brings it")
