"""The road to the provider: bytes, new connections, a proxy, names, and the end of a gateway that
waits for one of them."""

import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import time

import grpc

import programs
from programs import BenchError, Process, free_port, listening
from servers import LONG, squid
from workloads import LIST, Bench

CREATE_LEASE = "/leasegateway.v1.LeaseService/CreateLease"
HOST = "api.provider.test"
COLD_CALLERS = 64
NUMBER = b"+13123614597"
# All but one read.
CALLS = [(LIST, b"")] * 7 + [(CREATE_LEASE, b"\x0a" + bytes([len(NUMBER)]) + NUMBER)]
GRACE = 3  # s
# Of each phase on the road, so that none ends by itself what shall hang.
PATIENT = [flag for phase in ("resolve", "connect", "handshake", "response") for flag in (f"--{phase}-timeout", "60s")]


class NameServer:
    """tests/support/name_server.py, which knows what it is told."""

    def __init__(self, names):
        self.popen = subprocess.Popen(
            ["/usr/bin/python3", str(programs.ROOT / "tests/support/name_server.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=programs.die_with_parent)
        port = self.popen.stdout.readline().strip()
        if not port:
            raise BenchError("the name server ended at its start")
        self.address = f"127.0.0.1:{port}"
        self.say("set " + json.dumps(names))

    def say(self, line):
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()
        return self.popen.stdout.readline()

    def asked(self):
        """[(name, type), …] of all questions so far."""
        return [(question["name"], question["type"]) for question in json.loads(self.say("asked"))]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.popen.kill()
        self.popen.wait()


class Silent:
    """A port that takes connections and never says a word; `full`: that takes none either."""

    def __init__(self, full=False):
        self.full = full
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0 if full else 128)
        self.port = self.listener.getsockname()[1]
        self.fillers = []
        while full and not self.is_full():
            if len(self.fillers) > 64:
                raise BenchError("a listener that accepts nothing goes on being connected to")

    def is_full(self):
        filler = socket.socket()
        filler.settimeout(0.5)
        self.fillers.append(filler)
        try:
            filler.connect(("127.0.0.1", self.port))
        except TimeoutError:
            filler.close()
            return True
        return False

    def reached(self):
        """Whether somebody waits for it now."""
        if not self.full:
            self.listener.setblocking(False)
            try:
                self.fillers.append(self.listener.accept()[0])
            except BlockingIOError:
                return False
            return True
        syn_sent, remote = "02", f"0100007F:{self.port:04X}"
        lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
        return any(line.split()[2:4] == [remote, syn_sent] for line in lines)

    def close(self):
        for sock in (*self.fillers, self.listener):
            sock.close()


class RoadBench(Bench):
    """The workloads of Bench, and those of the road."""

    ROAD = ("bytes", "connect", "proxy", "names", "sigterm")
    WORKLOADS = (*Bench.WORKLOADS, *ROAD)
    GROUPS = {**Bench.GROUPS, "road": ROAD}

    def bytes(self):
        self.say("Refreshes of 10,000 numbers: as they are sent, in gzip, and unchanged")
        (row,) = self.run([programs.BENCH / "bench_bytes", "--rounds", 3 * self.rounds])

        def ratio(key, plain):
            return row[key] / row[plain]

        self.add("Refresh in gzip, 1 % changed: bytes", row["slow_gzip_bytes"] / 1024, "KiB", "not compressed",
                 ratio("slow_gzip_bytes", "slow_plain_bytes"), most=0.15)
        self.add("Refresh, nothing changed: bytes", row["slow_unchanged_bytes"], "bytes", "1 KiB",
                 row["slow_unchanged_bytes"] / 1024, most=1)
        self.add("Refresh in gzip through 20 Mbit/s", row["slow_gzip_ms"], "ms", "not compressed",
                 ratio("slow_gzip_ms", "slow_plain_ms"), most=0.25)
        self.add("Refresh in gzip: CPU", row["gzip_cpu_ms"], "ms", "not compressed",
                 ratio("gzip_cpu_ms", "plain_cpu_ms"), most=1.35)
        self.add("Refresh, nothing changed: CPU", row["unchanged_cpu_ms"], "ms", "not compressed",
                 ratio("unchanged_cpu_ms", "plain_cpu_ms"), most=0.05)

    def connect(self):
        sandbox = self.sandbox(100)
        self.say("A new connection to the provider, with a session of before and without")
        kinds = {"TLS 1.3": (), "TLS 1.2": ("--tls-1-2",)}
        roads = {"": (), ", 10 ms away": ("--delay-ms", 10)}
        turns = {kind + road: (*kinds[kind], *roads[road], "--seconds", self.seconds * (2 if road else 1))
                 for kind in kinds for road in roads}
        values = {(name, key): [] for name in turns for key in ("full", "resumed")}
        for _ in range(self.rounds):
            for name, flags in turns.items():
                rows = self.run([programs.BENCH / "bench_connect", "--port", sandbox.port, "--ca-file",
                                 sandbox.ca_file, *flags])
                for key, row in zip(("full", "resumed"), rows):
                    values[name, key].append(row["p50_us"])
        for name in turns:
            pair = {"resumed": values[name, "resumed"], "full handshake": values[name, "full"]}
            # A road that is long shows round trips alone, of which TLS 1.3 has one either way.
            self.compare(f"New connection, {name}, resumed, p50", pair, "µs", "resumed", "full handshake",
                         **({} if name == "TLS 1.3, 10 ms away" else {"most": 0.7}))

    def squid(self):
        """One that lets this machine through to any port."""
        folder = self.work / "squid"
        folder.mkdir()
        folder.chmod(0o777)  # squid gives up root's rights
        port = free_port()
        (folder / "squid.conf").write_text(f"""http_port 127.0.0.1:{port}
http_access allow localhost
http_access deny all
cache deny all
memory_cache_shared off
netdb_filename none
visible_hostname localhost
access_log none
cache_log /dev/null
pid_filename none
pinger_enable off
coredump_dir {folder}
shutdown_lifetime 0 seconds
""")
        # Shared memory is named after the service, of which there may be another one.
        proxy = self.keep(Process("squid", [squid(), "-N", "-n", f"bench{os.getpid()}", "-d", 1, "-f",
                                            folder / "squid.conf"], self.log("squid")))
        proxy.wait_for("port", lambda: listening(port))
        proxy.url = f"http://127.0.0.1:{port}"
        return proxy

    def proxy(self):
        sandbox, numbers = self.sandbox(100), self.gateway(100).numbers
        self.say("Misses through squid and straight")
        proxy = self.squid()
        gateways = {"straight": self.start_gateway(sandbox, *LONG),
                    "squid": self.start_gateway(sandbox, *LONG, "--upstream-proxy", proxy.url)}
        gateways["squid"].wait_for("word of the proxy",
                                   lambda: gateways["squid"].said(f"(through the proxy {proxy.url})"))
        opened = {name: 0 for name in gateways}

        def misses(name, callers):
            def run():
                before = sandbox.connections()
                row = self.client("get-number", gateways[name], "--numbers", numbers, "--fresh", "--seconds",
                                  self.seconds, "--concurrency", callers)
                opened[name] += sandbox.connections() - before
                return row["p50_us"]
            return run

        for callers in (1, 8):
            values = self.interleave({name: misses(name, callers) for name in gateways})
            self.compare(f"Miss through squid, {callers} at a time, p50", values, "µs", "squid", "straight", most=2.2)
        self.add("Connections to the provider through squid", opened["squid"], "connections", "straight",
                 opened["squid"] / opened["straight"], most=1)
        for server in (*gateways.values(), proxy):
            self.stop(server)

    def names(self):
        self.say(f"{COLD_CALLERS} callers of a gateway that knows no address yet; a name server that takes 500 ms")
        numbers = self.gateway(100).numbers
        sandbox = self.own_sandbox(100, "--certificate-host", HOST)
        sandbox.url = f"https://{HOST}:{sandbox.port}/numbers"
        look_ups, times = [], []
        for _ in range(self.rounds):
            with NameServer({HOST: {"A": ["127.0.0.1"], "delay": {"*": 0.5}}}) as names:
                gateway = self.start_gateway(sandbox, "--dns-servers", names.address)
                row = self.client("stampede", gateway, "--fresh", "--numbers", numbers, "--calls", COLD_CALLERS)
                asked = names.asked()
                self.stop(gateway)
            if any(name != HOST for name, _ in asked):
                raise BenchError(f"the name server was asked for {sorted(set(asked))}")
            look_ups.append(max(asked.count((HOST, kind)) for kind in ("A", "AAAA")))
            times.append(row["calls"] / row["calls_s"] * 1000)
        self.add(f"{COLD_CALLERS} cold callers, DNS of 500 ms: look-ups", max(look_ups), "look-ups", "1",
                 max(look_ups), most=1)
        self.add(f"{COLD_CALLERS} cold callers, DNS of 500 ms: all answered", statistics.median(times), "ms", "700 ms",
                 statistics.median(times) / 700, most=1)
        self.stop(sandbox)

    def hang(self, what):
        """Flags of a gateway whose road hangs there, whether it does by now, and what ends that."""
        if what == "name server":
            names = NameServer({HOST: {"fault": {"*": "swallow"}}})
            return (("--upstream-url", f"https://{HOST}/numbers", "--dns-servers", names.address),
                    lambda: len(names.asked()) >= 2, lambda: names.__exit__())
        port = Silent(full=what == "connecting")
        flags = ("--upstream-url", f"https://127.0.0.1:{port.port}/numbers")
        if what == "proxy":
            flags = ("--upstream-url", f"https://{HOST}/numbers", "--upstream-proxy", f"http://127.0.0.1:{port.port}")
        return flags, port.reached, port.close

    def stop_while(self, what, timeout, before_them=True):
        """Milliseconds from SIGTERM to the exit of a gateway whose road hangs, with calls that wait so many seconds."""
        flags, hangs, end = self.hang(what)
        try:
            gateway = self.start_gateway(self.sandbox(100), *flags, *PATIENT, "--grace", f"{GRACE}s")
            with grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
                calls = [channel.unary_unary(method).future(request, timeout=timeout) for method, request in CALLS]
                gateway.wait_for("sign that it hangs", hangs, 5)
                time.sleep(0.3)
                if before_them:
                    if any(call.done() for call in calls):
                        raise BenchError(f"a call on a road that hangs has ended, see {gateway.log}")
                    began = self.terminate(gateway)
                # Nobody would answer for a channel without calls, here, so it is closed then.
                codes = {call.code() for call in calls}
            if not before_them:
                if codes != {grpc.StatusCode.DEADLINE_EXCEEDED}:
                    raise BenchError(f"calls on a road that hangs ended with {codes}, see {gateway.log}")
                began = self.terminate(gateway)
            status = gateway.popen.wait(60)
            took = (time.monotonic() - began) * 1000
            if status != 0:
                raise BenchError(f"the gateway ended with {status}, see {gateway.log}")
            self.stop(gateway)
            return took
        finally:
            end()

    @staticmethod
    def terminate(gateway):
        began = time.monotonic()
        gateway.popen.send_signal(signal.SIGTERM)
        return began

    def sigterm(self):
        rounds, late = range(min(self.rounds, 3)), []
        for what in ("name server", "proxy", "connecting", "handshake"):
            self.say(f"SIGTERM while the road hangs: {what}")
            values = {name: statistics.median(self.stop_while(what, *how) for _ in rounds)
                      for name, how in (("none", (1, False)), ("some", (1.5,)), ("long", (60,)))}
            self.add(f"SIGTERM, {what} hangs, no call left: exit", values["none"], "ms", "1 s", values["none"] / 1000,
                     most=1)
            self.add(f"SIGTERM, {what} hangs, calls of 1.5 s: exit", values["some"], "ms", f"grace, {GRACE} s",
                     values["some"] / GRACE / 1000, most=1)
            late.append(values["long"] - GRACE * 1000)
        self.add("SIGTERM, calls cancelled after the grace: exit, at most", max(late), "ms", "1 s", max(late) / 1000,
                 most=1)
