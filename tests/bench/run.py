#!/usr/bin/python3
"""Measures the gateway against bare servers and other software, in one run on one machine.

Each figure is a median of interleaved rounds: in a round every program of a comparison has its
turn, and a ratio is the median of the rounds' ratios. The provider is a sandbox in a process of its
own. Before a program is measured, bench_client checks its replies; while the gateway is loaded,
bench_client checks random numbers; and h2load's count of bytes must be the one of right replies.

Called by run.sh, which builds and installs what this needs.
"""

import argparse
import concurrent.futures
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import grpc

import chart

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "build/release/bin"
BENCH = ROOT / "build/release/bench"
OUT = ROOT / "build/bench"
GRPC_JS = ROOT / "build/npm/node_modules"
GET_NUMBER = "/leasegateway.v1.LeaseService/GetNumber"
LIST = "/leasegateway.v1.LeaseService/ListAvailableNumbers"
LONG = ["--cache-fresh", "1h", "--cache-stale-while-revalidate", "1h", "--cache-stale-if-error", "3h"]
HUGE = ["--max-body-bytes", "256MiB", "--max-response-bytes", "256MiB"]
# US numbers for SMS with a good reputation, the cheapest first.
SEARCH = {
    "page_size": 50,
    "filter": {"countries": ["US"], "channels": ["sms"], "min_reputation": 0.8,
               "max_monthly_rate": {"currency_code": "USD", "units": 20}},
    "order_by": "pricing.monthly_rate",
}


class BenchError(Exception):
    """Why it could not be measured, in one line."""


def die_with_parent():
    """In a child: SIGTERM when this process ends, however it ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def listening(port):
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A program that serves until it is stopped, with its output in a file."""

    def __init__(self, name, command, log, env=None):
        self.name = name
        self.log = log
        self.port = None
        with open(log, "wb") as out:
            self.popen = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, env={**os.environ, **(env or {})},
                preexec_fn=die_with_parent)

    def wait_for(self, what, ready, seconds=30):
        end = time.monotonic() + seconds
        while True:
            value = ready()
            if value:
                return value
            if self.popen.poll() is not None:
                raise BenchError(f"{self.name} ended at its start, see {self.log}")
            if time.monotonic() > end:
                raise BenchError(f"{self.name}: no {what} after {seconds} s, see {self.log}")
            time.sleep(0.002)

    def said(self, pattern):
        match = re.search(pattern, pathlib.Path(self.log).read_text(errors="replace"))
        return match and match.group(1)

    def wait_for_port(self):
        self.port = int(self.wait_for("port", lambda: self.said(r"port: (\d+)\n")))
        return self

    def resident_mib(self):
        status = pathlib.Path(f"/proc/{self.popen.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1024

    def stop(self):
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


class Sandbox(Process):
    def __init__(self, numbers, work, log):
        self.numbers = numbers
        self.ca_file = work / f"ca-{numbers}.pem"
        super().__init__(f"lease-sandbox with {numbers} numbers",
                         [BIN / "lease-sandbox", "--port", 0, "--control-port", 0, "--numbers", numbers,
                          "--ca-out", self.ca_file], log)
        self.key = self.wait_for("key", lambda: self.said(r"key: (\S+)\n"))
        self.url = self.said(r"url: (\S+)\n")
        self.port = int(re.search(r":(\d+)/", self.url).group(1))
        self.control_url = self.said(r"control: (\S+)/\n")

    def control(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(self.control_url + path, data, timeout=30) as reply:
            return json.loads(reply.read())

    def requests(self):
        return self.control("/requests")["total"]


class Load:
    """What h2load sends to a server, and how many bytes of data must come back for each call, give
    or take `slack`."""

    def __init__(self, name, port, url_path, reply_bytes, request=None, clients=16, streams=100, slack=0,
                 scheme="http"):
        self.name = name
        self.port = port
        self.url = f"{scheme}://127.0.0.1:{port}{url_path}"
        self.reply_bytes = reply_bytes
        self.request = request
        self.clients = clients
        self.streams = streams
        self.slack = slack
        self.calls = 0

    def command(self, calls):
        command = ["h2load", "-n", calls, "-c", self.clients, "-m", self.streams, "-t", 1]
        if self.request is not None:
            command += ["-d", self.request, "-H", "content-type: application/grpc", "-H", "te: trailers"]
        return [str(part) for part in command + [self.url]]

    def run(self, calls=None):
        """Calls a second."""
        calls = calls or self.calls
        done = subprocess.run(self.command(calls), capture_output=True, text=True, timeout=120,
                              preexec_fn=die_with_parent, check=False)
        rate = re.search(r"([\d.]+) req/s", done.stdout)
        ok = re.search(r"status codes: (\d+) 2xx", done.stdout)
        data = re.search(r"\((\d+)\) data", done.stdout)
        if done.returncode != 0 or not (rate and ok and data):
            raise BenchError(f"h2load failed against {self.name}: {(done.stderr or done.stdout)[-200:]!r}")
        off = abs(int(data.group(1)) - calls * self.reply_bytes)
        if int(ok.group(1)) != calls or off > calls * self.slack:
            raise BenchError(f"{self.name}: {ok.group(1)} of {calls} calls are 2xx, {data.group(1)} bytes "
                             f"of data instead of {calls * self.reply_bytes}")
        return float(rate.group(1))

    def calibrate(self, seconds):
        """Chooses how many calls take about so many seconds; also the warm-up."""
        step = self.clients * 4
        calls = step
        while True:
            rate = self.run(calls)
            wanted = max(step, round(rate * seconds / self.clients) * self.clients)
            if wanted <= calls * 8:
                self.calls = wanted
                return
            calls = min(calls * 8, wanted)


class Bench:
    def __init__(self, options):
        self.options = options
        self.rounds = options.rounds or (3 if options.quick else 5)
        self.seconds = 0.6 if options.quick else 1.2
        self.processes = []
        self.results = []
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="lease-gateway-bench-"))
        self.logs = OUT / "logs"
        self.started = 0
        self.gateways = {}
        self.sandboxes = {}
        self.step = "start"

    # --- processes ---

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

    def start_gateway(self, sandbox, *flags):
        port = free_port()
        gateway = self.keep(Process(
            "lease-gateway",
            [BIN / "lease-gateway", "--listen", f"127.0.0.1:{port}", "--upstream-url", sandbox.url,
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
            program, [BENCH / program, "--get-number", gateway.get_number, "--list", gateway.list, *flags],
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
            "grpc-js", ["node", ROOT / "tests/bench/grpc_js_server.js", gateway.get_number],
            self.log("grpc-js"), {"NODE_PATH": str(GRPC_JS)})).wait_for_port()

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
        return self.run([BENCH / "bench_client", command, "--target", f"127.0.0.1:{server.port}",
                         *(["--ca-file", ca_file] if ca_file else []), *arguments])[0]

    # --- measuring ---

    def say(self, step):
        self.step = step
        print(f"{time.monotonic() - self.begun:5.0f} s  {step}", flush=True)

    def interleave(self, turns):
        """{name: function} to {name: [a value a round]}; every other round runs backwards."""
        values = {name: [] for name in turns}
        for number in range(self.rounds):
            for name in list(turns) if number % 2 == 0 else reversed(list(turns)):
                values[name].append(turns[name]())
        return values

    def rates(self, loads):
        for load in loads:
            load.calibrate(self.seconds)
        return self.interleave({load.name: load.run for load in loads})

    def add(self, name, value, unit, against="", ratio=None, least=None, most=None):
        passed = None
        if least is not None:
            passed = ratio >= least
        elif most is not None:
            passed = ratio <= most
        self.results.append({"name": name, "value": round(value, 3), "unit": unit, "against": against,
                             "ratio": None if ratio is None else round(ratio, 3),
                             "bar": least if least is not None else most, "pass": passed,
                             "at_least": least is not None})

    def compare(self, name, values, unit, subject, against, **bar):
        """Adds the medians' ratio, round by round."""
        ratio = statistics.median(a / b for a, b in zip(values[subject], values[against]))
        self.add(name, statistics.median(values[subject]), unit, against, ratio, **bar)

    def verify_under_load(self, gateway, load):
        """Random numbers, each checked, while h2load keeps the gateway busy."""
        busy = subprocess.Popen(load.command(load.calls * 3), stdout=subprocess.DEVNULL,
                                preexec_fn=die_with_parent)
        try:
            self.client("get-number", gateway, "--numbers", gateway.numbers, "--seconds", self.seconds,
                        "--concurrency", 8)
        finally:
            busy.terminate()
            busy.wait()

    def hit_load(self, name, gateway, slack=0):
        return Load(name, gateway.port, GET_NUMBER, 5 + gateway.get_number.stat().st_size, gateway.request,
                    slack=slack, scheme="https" if gateway.ca_file else "http")

    # --- workloads ---

    def hit(self):
        gateway = self.gateway(100)
        size = 5 + gateway.get_number.stat().st_size
        self.say("GetNumber from memory: gateway, bare gRPC, nginx, typed gRPC, grpc-js")
        floor = self.bare("bench_floor", gateway)
        plain = self.bare("bench_floor", gateway, "--no-metadata")
        typed = self.bare("bench_typed", gateway)
        node = self.grpc_js(gateway)
        nginx = self.nginx(gateway)
        for server in (floor, typed, node):
            self.client("get-number", server, "--numbers", gateway.numbers, "--bare", "--seconds", 0.1)
        loads = [self.hit_load("gateway", gateway)]
        for name, server in (("bare gRPC", floor), ("bare gRPC without metadata", plain),
                             ("typed gRPC", typed), ("grpc-js", node)):
            loads.append(Load(name, server.port, GET_NUMBER, size, gateway.request))
        loads.append(Load("nginx", nginx.port, "/number.json", nginx.reply_bytes))
        values = self.rates(loads)
        self.verify_under_load(gateway, loads[0])
        name = "GetNumber hit"
        self.compare(name, values, "calls/s", "gateway", "bare gRPC", least=0.95)
        self.compare(name, values, "calls/s", "gateway", "nginx", least=1.0)
        for other in ("bare gRPC without metadata", "typed gRPC", "grpc-js"):
            self.compare(name, values, "calls/s", "gateway", other)
        for load in loads[1:]:
            self.add(f"GetNumber: {load.name}", statistics.median(values[load.name]), "calls/s")
        for server in (floor, plain, typed, node, nginx):
            self.stop(server)

    def tls(self):
        cert, key = self.certificate()
        files = ("--tls-cert-file", cert, "--tls-key-file", key)
        gateway = self.gateway(100, *LONG, *files)
        self.say("GetNumber from memory over TLS: gateway, bare gRPC")
        floor = self.bare("bench_floor", gateway, *files)
        floor.ca_file = cert
        self.client("get-number", floor, "--numbers", gateway.numbers, "--bare", "--seconds", 0.1)
        loads = [self.hit_load("gateway", gateway),
                 Load("bare gRPC with TLS", floor.port, GET_NUMBER, 5 + gateway.get_number.stat().st_size,
                      gateway.request, scheme="https")]
        values = self.rates(loads)
        self.verify_under_load(gateway, loads[0])
        self.compare("GetNumber hit with TLS", values, "calls/s", "gateway", "bare gRPC with TLS", least=0.9)
        self.stop(floor)

    def observed(self):
        logged = {"metrics scraped": 0, "and one hit in 100 logged": 100, "and each hit logged": 1}
        names = ("no admin port", *logged)
        ports = {name: free_port() for name in logged}
        gateways = {names[0]: self.gateway(100)}
        for name, port in ports.items():
            gateways[name] = self.gateway(100, *LONG, "--admin-listen", f"127.0.0.1:{port}",
                                          "--access-log-hits", str(logged[name]))
        self.say("GetNumber from memory with metrics scraped each second, and with hits logged as well")
        loads = {name: self.hit_load(name, gateway) for name, gateway in gateways.items()}
        for load in loads.values():
            load.calibrate(3 * self.seconds)

        def run(name):
            stop = threading.Event()

            def scrape():
                while True:
                    with urllib.request.urlopen(f"http://127.0.0.1:{ports[name]}/metrics", timeout=10) as reply:
                        if b"grpc_server_handled_total{" not in reply.read():
                            raise BenchError("the metrics have no calls")
                    if stop.wait(1):
                        return

            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                scraping = pool.submit(scrape) if name in ports else None
                try:
                    return loads[name].run()
                finally:
                    stop.set()
                    if scraping:
                        scraping.result()

        values = self.interleave({name: lambda name=name: run(name) for name in names})
        for name in names[1:]:
            self.compare(f"GetNumber hit, {name}", values, "calls/s", name, names[0],
                         **({} if logged[name] == 1 else {"least": 0.95}))
        for name in names[1:]:
            self.stop(gateways[name])
        self.gateways = {key: gateway for key, gateway in self.gateways.items()
                         if gateway not in list(gateways.values())[1:]}

    def start(self):
        sandbox = self.sandbox(100)
        self.say("Start: until SERVING, and the memory of a gateway that nobody calls")
        times, memory = [], []
        for number in range(self.rounds):
            began = time.monotonic()
            gateway = self.start_gateway(sandbox, "--journal", self.work / f"journal-{number}.db")
            with grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
                check = channel.unary_unary("/grpc.health.v1.Health/Check")
                if check(b"", timeout=10, wait_for_ready=True) != b"\x08\x01":
                    raise BenchError("the gateway listens but is not SERVING")
            times.append((time.monotonic() - began) * 1000)
            time.sleep(1)
            memory.append(gateway.resident_mib())
            self.stop(gateway)
        self.add("From start to SERVING", statistics.median(times), "ms", "300 ms",
                 statistics.median(times) / 300, most=1)
        self.add("Memory of an idle gateway", statistics.median(memory), "MiB", "40 MiB",
                 statistics.median(memory) / 40, most=1)

    def list(self):
        for numbers, clients, streams in ((100, 16, 16), (1_000, 8, 8), (10_000, 4, 4)):
            gateway = self.gateway(numbers)
            self.say(f"ListAvailableNumbers with {numbers:,} numbers: gateway, bare gRPC, typed gRPC")
            floor = self.bare("bench_floor", gateway)
            typed = self.bare("bench_typed", gateway)
            for server in (gateway, floor, typed):
                self.client("list", server, "--expect-total", gateway.total, "--seconds", 0.1)
            request = self.work / "request-list"
            request.write_bytes(b"\0" * 5)
            size = 5 + gateway.list.stat().st_size
            values = self.rates([
                Load(name, server.port, LIST, size, request, clients, streams)
                for name, server in (("gateway", gateway), ("bare gRPC", floor), ("typed gRPC", typed))])
            bars = numbers == 10_000
            name = f"ListAvailableNumbers, {numbers:,} numbers"
            self.compare(name, values, "replies/s", "gateway", "bare gRPC",
                         **({"least": 0.95} if bars else {}))
            self.compare(name, values, "replies/s", "gateway", "typed gRPC",
                         **({"least": 8.0} if bars else {}))
            for server in ("bare gRPC", "typed gRPC"):
                self.add(f"{name}: {server}", statistics.median(values[server]), "replies/s")
            self.stop(floor)
            self.stop(typed)

    def size(self):
        few, many = self.gateway(100), self.gateway(100_000)
        self.say("GetNumber from a memory of 100,000 numbers and of 100")
        loads = [self.hit_load("100,000 numbers", many), self.hit_load("100 numbers", few)]
        values = self.rates(loads)
        self.verify_under_load(many, loads[0])
        self.compare("GetNumber hit, 100,000 numbers", values, "calls/s", "100,000 numbers",
                     "100 numbers", least=0.95)

    def refresh(self):
        calm, busy = self.gateway(10_000), self.gateway(10_000, "--cache-fresh", "1s")
        sandbox = self.sandbox(10_000)
        self.say("GetNumber while 10,000 numbers a second are refreshed, and while none are")
        # The times in the replies change with each refresh, and so does their length.
        loads = [self.hit_load("refreshed", busy, slack=8), self.hit_load("no refresh", calm)]
        for load in loads:
            load.calibrate(3 * self.seconds)
        refreshes, seconds = 0, 0.0

        def during():
            nonlocal refreshes, seconds
            before, began = sandbox.requests(), time.monotonic()
            rate = loads[0].run()
            refreshes += sandbox.requests() - before
            seconds += time.monotonic() - began
            return rate

        values = self.interleave({"refreshed": during, "no refresh": loads[1].run})
        if refreshes < seconds / 2:
            raise BenchError(f"the gateway refreshed only {refreshes} times in {seconds:.0f} s")
        self.compare("GetNumber hit, during refreshes", values, "calls/s", "refreshed", "no refresh",
                     least=0.8)
        self.add("Refreshes meanwhile", refreshes / seconds * 10_000, "numbers/s")
        self.stop(self.gateways.pop((10_000, ("--cache-fresh", "1s"))))

    def search(self):
        self.say("Search of 10,000 and 100,000 numbers, one call at a time")
        few, many = self.gateway(10_000), self.gateway(100_000)
        request = json.dumps(SEARCH)

        def find(gateway):
            return lambda: self.client("search", gateway, "--request", request, "--seconds",
                                       self.seconds)["p50_us"]

        def get(gateway):
            return lambda: self.client("get-number", gateway, "--numbers", gateway.numbers, "--seconds",
                                       self.seconds)["p50_us"]

        values = self.interleave({"10,000": find(few), "100,000": find(many), "hit": get(many)})
        self.compare("Search of 10,000, page of 50, p50", values, "µs", "10,000", "hit")
        self.compare("Search of 100,000, page of 50, p50", values, "µs", "100,000", "hit", most=5.0)

    def memory(self):
        self.say("Decode, index and serialise 10,000 and 100,000 numbers")
        for row in self.run([BENCH / "bench_refresh", "--rounds", self.rounds]):
            name = f"Snapshot of {row['numbers']:,}"
            self.add(f"{name}: decode", row["decode_ms"], "ms")
            self.add(f"{name}: index and serialise", row["build_ms"], "ms")
            self.add(f"{name}: memory", row["memory_bytes"] / 2**20, "MiB", "JSON", row["memory_ratio"],
                     most=2.5)
            self.add(f"{name}: growth of the process", row["rss_bytes"] / 2**20, "MiB", "JSON",
                     row["rss_ratio"])

    def latency(self):
        gateway = self.gateway(100)
        sandbox = self.sandbox(100)
        floor = self.bare("bench_floor", gateway)
        self.say("One call at a time: hits, misses and what they are made of")

        def calls(server, *flags):
            return lambda: self.client("get-number", server, "--numbers", gateway.numbers, "--seconds",
                                       self.seconds, *flags)

        def https():
            return self.run([BENCH / "bench_https", "--port", sandbox.port, "--ca-file", sandbox.ca_file,
                             "--numbers", gateway.numbers, "--seconds", self.seconds],
                            {"CONTIGUITY_API_KEY": sandbox.key})[0]

        rows = self.interleave({"hit": calls(gateway), "bare gRPC": calls(floor, "--bare"),
                                "miss": calls(gateway, "--fresh"), "https": https})
        for key, name in (("p50_us", "p50"), ("p99_us", "p99")):
            values = {turn: [row[key] for row in rows[turn]] for turn in rows}
            self.compare(f"GetNumber hit at low load, {name}", values, "µs", "hit", "bare gRPC")
            values["HTTPS + bare gRPC"] = [a + b for a, b in zip(values["https"], values["bare gRPC"])]
            self.compare(f"GetNumber miss at low load, {name}", values, "µs", "miss", "HTTPS + bare gRPC",
                         **({"most": 1.25} if name == "p50" else {}))
            self.add(f"HTTPS call alone, {name}", statistics.median(values["https"]), "µs")
        self.stop(floor)

    def stampede(self):
        sandbox = self.sandbox(100)
        numbers = self.gateway(100).numbers
        for method, what in (("get-number", "GetNumber"), ("list", "ListAvailableNumbers")):
            self.say(f"10,000 cold calls of {what} at once")
            times, requests = [], []
            for _ in range(self.rounds):
                gateway = self.start_gateway(sandbox, *LONG)
                before = sandbox.requests()
                row = self.client("stampede", gateway, "--method", method, "--numbers", numbers,
                                  "--calls", 10_000)
                requests.append(sandbox.requests() - before)
                times.append(row["calls"] / row["calls_s"] * 1000)
                self.stop(gateway)
            name = f"Stampede of 10,000 {what}"
            self.add(f"{name}: provider requests", max(requests), "requests", "1", max(requests), most=1)
            self.add(f"{name}: all answered", statistics.median(times), "ms")

    def watch(self):
        sandbox = self.sandbox(1_000)
        number = self.gateway(1_000).numbers.read_text().split()[0]
        self.say("1,000 watchers of 1,000 numbers")
        gateway = self.start_gateway(sandbox, "--cache-fresh", "1s")
        idle = gateway.resident_mib()
        watchers = subprocess.Popen(
            [str(BENCH / "bench_client"), "watch", "--target", f"127.0.0.1:{gateway.port}", "--watchers",
             "1000", "--expect-total", "1000"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=die_with_parent)
        try:
            def answer():
                line = watchers.stdout.readline()
                if not line:
                    raise BenchError(watchers.stderr.read().strip() or "bench_client watch ended")
                return json.loads(line)

            answer()
            all_ms, spread_ms = [], []
            for turn in range(self.rounds):
                watchers.stdin.write(number + "\n")
                watchers.stdin.flush()
                answer()
                changed = time.monotonic_ns()
                sandbox.control(f"/numbers/{number}", {"pricing": {"monthly_rate": 3.01 + turn}})
                told = answer()
                all_ms.append((told["last_ns"] - changed) / 1e6)
                spread_ms.append((told["last_ns"] - told["first_ns"]) / 1e6)
            resident = gateway.resident_mib()
            watchers.stdin.close()
            if watchers.wait(30) != 0:
                raise BenchError(watchers.stderr.read().strip())
        finally:
            watchers.kill()
            watchers.wait()
        self.add("1,000 watchers: from a change until all have it", statistics.median(all_ms), "ms")
        self.add("1,000 watchers: from the first to the last", statistics.median(spread_ms), "ms")
        self.add("1,000 watchers: gateway's memory", resident, "MiB")
        self.add("Without watchers: gateway's memory", idle, "MiB")
        self.stop(gateway)

    WORKLOADS = ("hit", "tls", "observed", "start", "list", "latency", "size", "refresh", "search", "memory", "stampede", "watch")

    def measure(self):
        self.begun = time.monotonic()
        for name in self.options.only or self.WORKLOADS:
            getattr(self, name)()


def check_needs(options):
    for name, found in (
            ("h2load (Debian package nghttp2-client)", shutil.which("h2load")),
            ("curl", shutil.which("curl")),
            ("openssl", shutil.which("openssl")),
            ("node (Debian package nodejs)", shutil.which("node")),
            ("nginx", shutil.which(options.nginx)),
            ("@grpc/grpc-js in build/npm", (GRPC_JS / "@grpc/grpc-js").is_dir()),
            *((f"{path.relative_to(ROOT)}", path.is_file()) for path in (
                BIN / "lease-gateway", BIN / "lease-sandbox",
                *(BENCH / f"bench_{name}" for name in ("client", "floor", "https", "refresh", "typed"))))):
        if not found:
            raise BenchError(f"{name} is missing; tests/bench/run.sh brings it")


def print_table(results):
    rows = [("", "value", "unit", "against", "ratio", "bar", "")]
    for result in results:
        ratio, bar, verdict = "", "", ""
        if result["ratio"] is not None:
            ratio = f"{result['ratio']:.2f}"
        if result["bar"] is not None:
            direction = "≥" if result["at_least"] else "≤"
            bar = f"{direction} {result['bar']:g}"
            verdict = "pass" if result["pass"] else "MISSED"
        rows.append((result["name"], f"{result['value']:,.{0 if result['value'] >= 100 else 2}f}",
                     result["unit"], result["against"], ratio, bar, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    left = {0, 2, 3, 6}
    for row in rows:
        print("  ".join(cell.ljust(width) if column in left else cell.rjust(width)
                        for column, (cell, width) in enumerate(zip(row, widths))).rstrip())


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, help="medians of so many (default: 5)")
    parser.add_argument("--quick", action="store_true", help="3 shorter rounds, for a first look")
    parser.add_argument("--only", action="append", choices=Bench.WORKLOADS, help="this workload; repeatable")
    parser.add_argument("--gateway-flag", action="append", default=[], metavar="--FLAG=VALUE",
                        help="one more flag of the gateway's; repeatable")
    parser.add_argument("--nginx", default="nginx", help="the program")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def main():
    options = parse(sys.argv[1:])
    OUT.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    bench = Bench(options)
    try:
        check_needs(options)
        shutil.rmtree(bench.logs, ignore_errors=True)
        bench.logs.mkdir()
        bench.measure()
    except (BenchError, OSError, subprocess.TimeoutExpired) as error:
        print(f"tests/bench/run.py: failed at \"{bench.step}\": {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        bench.close()
    print()
    print_table(bench.results)
    (OUT / "results.svg").write_text(chart.draw(bench.results))
    # The directions of the bars are in `pass`.
    public = [{key: value for key, value in result.items() if key != "at_least"} for result in bench.results]
    (OUT / "results.json").write_text(json.dumps(public, indent=1, ensure_ascii=False) + "\n")
    print(f"\nWritten: {OUT.relative_to(ROOT)}/results.json and results.svg")
    missed = sum(result["pass"] is False for result in bench.results)
    if missed:
        print(f"{missed} bars missed.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
