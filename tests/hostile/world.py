"""The gateway that is attacked, its provider, those who call it, and what is seen of them from outside."""

import collections
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/bench"))

import programs  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
NUMBERS = 1000
GRACE = 4  # seconds
NO_REFRESH = ["--cache-fresh", "1h", "--cache-stale-while-revalidate", "1h", "--cache-stale-if-error", "3h"]
LOOK_EVERY = 0.01
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxies the environment names
PHONE_NUMBER = re.compile(r"\+\d{8,15}")
METRIC = re.compile(r'^(lease_gateway_\w+)(?:\{reason="(\w+)"\})? (\S+)$', re.MULTILINE)


class Certificates:
    """An authority, a certificate for 127.0.0.1 and one for callers."""

    def __init__(self, folder):
        self.folder = folder
        self.ca, self.ca_key = folder / "ca.crt", folder / "ca.key"
        self.openssl("req", "-x509", "-subj", "/CN=hostile tests", "-keyout", self.ca_key, "-out", self.ca)
        self.server = self.sign("server", "subjectAltName=IP:127.0.0.1,DNS:gateway")
        self.caller = self.sign("caller", "subjectAltName=DNS:caller")

    def openssl(self, *arguments):
        done = subprocess.run(
            ["openssl", *map(str, arguments), "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise programs.BenchError(f"openssl makes no certificate: {done.stderr.strip()[-200:]}")

    def sign(self, name, extension):
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        self.openssl("req", "-x509", "-subj", f"/CN={name}", "-addext", extension, "-addext",
                     "basicConstraints=critical,CA:FALSE", "-CA", self.ca, "-CAkey", self.ca_key,
                     "-keyout", files[1], "-out", files[0])
        return files


class Gateway(programs.Process):
    """`mode`: plain, tls or mtls."""

    def __init__(self, sandbox, log, mode, certificates, flags):
        self.grpc_port, self.admin_port = programs.free_port(), programs.free_port()
        self.mode = mode
        if mode != "plain":
            crt, key = certificates.server
            flags = [*flags, "--tls-cert-file", crt, "--tls-key-file", key]
        if mode == "mtls":
            flags = [*flags, "--tls-client-ca-file", certificates.ca]
        super().__init__(
            "lease-gateway",
            [programs.BIN / "lease-gateway", "--listen", f"127.0.0.1:{self.grpc_port}", "--admin-listen",
             f"127.0.0.1:{self.admin_port}", "--upstream-url", sandbox.url, "--upstream-ca-file", sandbox.ca_file,
             "--journal", ":memory:", "--grace", f"{GRACE}s", "--max-connection-age", "0", "--watch-heartbeat", "1s",
             "--log-level", "warn", *NO_REFRESH, *flags], log, {"CONTIGUITY_API_KEY": sandbox.key})
        self.wait_for("port", lambda: programs.listening(self.grpc_port))
        self.wait_for("readiness", lambda: self.get("readyz") is not None)

    def get(self, path, timeout=2):
        """The body; None: refused, or no answer."""
        try:
            with DIRECTLY.open(f"http://127.0.0.1:{self.admin_port}/{path}", timeout=timeout) as reply:
                return reply.read().decode()
        except (OSError, http.client.HTTPException):
            return None

    def metrics(self):
        """{(name, reason): value} of those of connections; None: can't be had."""
        text = self.get("metrics")
        if text is None:
            return None
        return {(name, reason): float(value) for name, reason, value in METRIC.findall(text)}

    def alive(self):
        return self.popen.poll() is None


class Memory:
    """Looks at how much of it the gateway has, and kills one that takes too much for the machine."""

    def __init__(self, gateway, most_mib):
        self.gateway, self.most_mib = gateway, most_mib
        self.samples = collections.deque()
        self.killed_at = None
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def now(self):
        """MiB, 0 when it is gone."""
        try:
            pages = int(pathlib.Path(f"/proc/{self.gateway.popen.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def look(self):
        while not self.stopped.wait(LOOK_EVERY):
            mib = self.now()
            self.samples.append((time.monotonic(), mib))
            if mib > self.most_mib and self.killed_at is None:
                self.killed_at = time.monotonic()
                self.gateway.popen.kill()

    def peak(self, start, end):
        return max((mib for when, mib in list(self.samples) if start <= when <= end), default=0.0)

    def stop(self):
        self.stopped.set()
        self.thread.join()


class Callers:
    """The good ones, each kind a process; what they say is kept."""

    def __init__(self, gateway, number, certificates, log_of, with_js):
        self.records = collections.defaultdict(lambda: {"calls": [], "failed": [], "lost": []})
        self.lock = threading.Lock()
        files = []
        if gateway.mode != "plain":
            files = [certificates.ca, *(certificates.caller if gateway.mode == "mtls" else [])]
        commands = {kind: [PYTHON, HERE / "callers.py", gateway.grpc_port, kind, number, *files]
                    for kind in ("calls", "watchers")}
        if with_js:
            commands["grpc-js"] = ["node", HERE / "caller.js", gateway.grpc_port, number, *files]
        self.kinds = ["grpcio", "large", "health", "odd", "pinger", "watcher", "slow link"] + (
            ["grpc-js"] if with_js else [])
        environment = {**programs.without_proxies(), "NODE_PATH": str(programs.GRPC_JS), "PYTHONDONTWRITEBYTECODE": "1"}
        self.processes, self.threads = {}, []
        for kind, command in commands.items():
            with open(log_of(f"callers-{kind}"), "wb") as log:
                process = subprocess.Popen(
                    [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                    env=environment, preexec_fn=programs.die_with_parent)
            self.processes[kind] = process
            thread = threading.Thread(target=self.read, args=[process], daemon=True)
            thread.start()
            self.threads.append(thread)

    def read(self, process):
        for line in process.stdout:
            taken = json.loads(line)
            with self.lock:
                record = self.records[taken["who"]]
                for what in ("calls", "failed", "lost"):
                    record[what] += taken[what]

    def between(self, start, end):
        """{who: {"calls", "failed", "lost"}} of what ended in that time."""
        with self.lock:
            return {who: {what: [each for each in entries if start <= each[0] <= end]
                          for what, entries in record.items()} for who, record in self.records.items()}

    def wait_until_all_call(self, seconds=30):
        end = time.monotonic() + seconds
        while True:
            with self.lock:
                missing = [kind for kind in self.kinds if not self.records[kind]["calls"]]
                watching = len(self.records["watcher"]["calls"])
            if not missing and watching >= 200:
                return
            gone = [kind for kind, process in self.processes.items() if process.poll() is not None]
            if gone or time.monotonic() > end:
                why = [self.records[who][what][-1][1] for who in missing for what in ("failed", "lost")
                       if self.records[who][what]]
                who = ", ".join(missing + gone) or "watcher"
                raise programs.BenchError(f"callers don't call: {who} {' '.join(why)}")
            time.sleep(0.02)

    def missing(self):
        return [kind for kind, process in self.processes.items() if process.poll() is not None]

    def stop(self):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for thread in self.threads:
            thread.join()


class Attackers:
    """attacker.py, once."""

    def __init__(self, attack, gateway, number, certificates, log, **more):
        command = [PYTHON, HERE / "attacker.py", attack, "--port", gateway.grpc_port, "--number", number]
        with_certificate = more.pop("with_certificate", True)
        if gateway.mode != "plain":
            command += ["--tls", "--ca", certificates.ca]
        if gateway.mode == "mtls" and with_certificate:
            command += ["--certificate", certificates.caller[0], "--key", certificates.caller[1]]
        for name, value in more.items():
            command += [f"--{name}"] if value is True else [f"--{name}", value] if value is not False else []
        with open(log, "wb") as errors:
            self.popen = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, preexec_fn=programs.die_with_parent)
        self.log = log

    def report(self, seconds):
        """What it has seen. A process that hangs is ended."""
        try:
            out, _ = self.popen.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.communicate()
            raise programs.BenchError(f"an attacker hangs, see {self.log}") from None
        if self.popen.returncode:
            raise programs.BenchError(f"an attacker failed, see {self.log}")
        return json.loads(out.splitlines()[-1])

    def stop(self):
        self.popen.terminate()
        return self.report(10)
