"""What is measured: a method a workload, which starts what it compares and adds its figures."""

import concurrent.futures
import json
import statistics
import subprocess
import threading
import time
import urllib.request

import grpc

import programs
from figures import Figures
from load import Load
from programs import BenchError, die_with_parent, free_port
from servers import LONG, Servers

GET_NUMBER = "/leasegateway.v1.LeaseService/GetNumber"
LIST = "/leasegateway.v1.LeaseService/ListAvailableNumbers"
# US numbers for SMS with a good reputation, the cheapest first.
SEARCH = {
    "page_size": 50,
    "filter": {"countries": ["US"], "channels": ["sms"], "min_reputation": 0.8,
               "max_monthly_rate": {"currency_code": "USD", "units": 20}},
    "order_by": "pricing.monthly_rate",
}


class Bench(Servers, Figures):
    """One run. A class that inherits from it measures more, with the same servers and figures."""

    def __init__(self, options):
        Servers.__init__(self, options)
        Figures.__init__(self, options)
        self.step = "start"

    def say(self, step):
        self.step = step
        print(f"{time.monotonic() - self.begun:5.0f} s  {step}", flush=True)

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
        for row in self.run([programs.BENCH / "bench_refresh", "--rounds", self.rounds]):
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
            return self.run([programs.BENCH / "bench_https", "--port", sandbox.port, "--ca-file", sandbox.ca_file,
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
            [str(programs.BENCH / "bench_client"), "watch", "--target", f"127.0.0.1:{gateway.port}", "--watchers",
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

    WORKLOADS = ("hit", "tls", "observed", "start", "list", "latency", "size", "refresh", "search", "memory",
                 "stampede", "watch")
    GROUPS = {}  # a name for several of them

    def measure(self):
        self.begun = time.monotonic()
        chosen = self.options.only or self.WORKLOADS
        wanted = {name for choice in chosen for name in self.GROUPS.get(choice, (choice,))}
        for name in self.WORKLOADS:
            if name in wanted:
                getattr(self, name)()
