"""What callers cost: hits with a callers file and without, and with a token; the memory of accounts; a file of
10,000, read anew and looked up; and what the others' calls take beside one caller that sends too many."""

import concurrent.futures
import itertools
import re
import statistics
import time
import urllib.request

import grpc

import identities
import programs
from guard import GuardBench
from load import Load
from programs import BenchError, free_port
from servers import HUGE, LONG
from workloads import GET_NUMBER, LIST

STARTS = 3  # processes that are started alike aren't alike
SHORT = 0.7  # seconds of a round
ACCOUNTS = 100  # besides the first
MINUTE = 61  # seconds: a token is remembered for one at most
# Who share one provider: the first is the greedy one.
SHARING_PREFIX = "spiffe://bench.example/"
SHARING = [f"{SHARING_PREFIX}buyer-{index}" for index in range(9)]
OTHERS_RATE = 2 * (len(SHARING) - 1)  # calls a second of the eight, half of them purchases
GREEDY_RATE = 2_000  # of the one; one in eight is a purchase
SHARES_POOL = 8  # connections, which carry 400 calls a second
SHARES_RATE = 400  # calls a second, where the rate is what is short: twice the connections then
SHARES_SECONDS = 6  # of a round
SHARES_NUMBERS = 20_000


def percentile(values, share):
    if not values:
        raise BenchError("none of the others' calls was answered")
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class CallersBench(GuardBench):
    """The workloads of GuardBench, and those of callers."""

    CALLERS = ("callers_hit", "callers_token", "callers_memory", "callers_file", "callers_shares")
    WORKLOADS = (*GuardBench.WORKLOADS, *CALLERS)
    GROUPS = {**GuardBench.GROUPS, "callers": CALLERS}

    def caller(self):
        """The PEM file of a caller's certificate and key, and the file of the provider's key."""
        files = self.work / "caller.pem", self.work / "provider-key"
        if not files[0].exists():
            identities.certificate(files[0])
            files[1].write_text(self.sandbox(100).key)
        return files

    def mutual(self, *flags):
        """A gateway that verifies callers' certificates, with the list of 100 in its memory."""
        cert, key = self.certificate()
        certificate, _ = self.caller()
        server = self.start_gateway(self.sandbox(100), *LONG, *HUGE, "--tls-cert-file", cert, "--tls-key-file", key,
                                    "--tls-client-ca-file", certificate, *flags)
        pem = certificate.read_bytes()
        trust = grpc.ssl_channel_credentials(cert.read_bytes(), pem, pem)
        with grpc.secure_channel(f"127.0.0.1:{server.port}", trust) as channel:
            channel.unary_unary(LIST)(b"", timeout=20)
            reply, call = channel.unary_unary(GET_NUMBER).with_call(self.asked()[5:], timeout=20)
        if "; hit" not in dict(call.initial_metadata()).get("cache-status", ""):
            raise BenchError("a number of the list isn't in memory")
        server.reply_bytes = 5 + len(reply)
        return server

    def asked(self):
        """GetNumber's request, framed."""
        return self.gateway(100).request.read_bytes()

    def mutual_load(self, name, server, **by):
        return Load(name, server.port, GET_NUMBER, server.reply_bytes, self.gateway(100).request, scheme="https", **by)

    def callers_hit(self):
        certificate, key_file = self.caller()
        files = {f"{count:,} callers": identities.callers_file(self.work / f"callers-{count}.yaml", key_file, count)
                 for count in (1, 10_000)}
        values = {name: [] for name in ("no file", *files)}
        self.say(f"GetNumber by mutual TLS without a callers file, with one caller and with 10,000, {STARTS} starts")
        for start in range(STARTS):
            names = list(values)
            names = names[start % 3:] + names[:start % 3]
            servers = {name: self.mutual(*(["--callers-file", files[name]] if name in files else [])) for name in names}
            loads = {name: self.mutual_load(name, server, certificate=certificate) for name, server in servers.items()}
            for load in loads.values():
                load.calibrate(SHORT)
            for name, rates in self.interleave({name: load.run for name, load in loads.items()}).items():
                values[name] += rates
            for server in servers.values():
                self.stop(server)
        unit = "calls/s"
        self.compare("Hit by mutual TLS with a callers file", values, unit, "1 callers", "no file", least=0.95)
        self.compare("Hit with 10,000 callers in the file", values, unit, "10,000 callers", "1 callers", least=0.97)

    def verifications(self, port):
        """{result: how many tokens}"""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            text = reply.read().decode()
        return {name: int(float(value)) for name, value in re.findall(
            r'^lease_gateway_token_verifications_total\{result="(\w+)"\} (\S+)', text, re.MULTILINE)}

    def callers_token(self):
        certificate, key_file = self.caller()
        keys_file, token = identities.token(self.work)
        admin = free_port()
        file = identities.callers_file(self.work / "callers-token.yaml", key_file, 1, keys_file)
        server = self.mutual("--callers-file", file, "--tls-client-auth", "request",
                             "--admin-listen", f"127.0.0.1:{admin}")
        loads = {"a token": self.mutual_load("a token", server, headers=[f"authorization: Bearer {token}"]),
                 "a certificate": self.mutual_load("a certificate", server, certificate=certificate)}
        self.say("GetNumber with a token and with a certificate, for longer than a minute")
        began = time.monotonic()
        loads["a token"].run(1600)
        for load in loads.values():
            load.calibrate(self.seconds)
        values, order = {name: [] for name in loads}, list(loads)
        while time.monotonic() - began < MINUTE:
            for name in order:
                values[name].append(loads[name].run())
            order.reverse()
        count = self.verifications(admin)
        minutes = 1 + int((time.monotonic() - began) // 60)
        if count["refused"] or count["remembered"] < sum(len(rates) for rates in values.values()):
            raise BenchError(f"the tokens that were verified: {count}")
        self.compare("Hit with a token", values, "calls/s", "a token", "a certificate")
        calls = count["verified"] + count["remembered"]
        self.add(f"Times the token was verified, {calls:,} calls", count["verified"], "", f"once a minute: {minutes}",
                 count["verified"] / minutes, most=1)
        self.stop(server)

    def callers_memory(self):
        key_file = self.caller()[1]
        self.say(f"Memory of a gateway with one account and with {1 + ACCOUNTS}, {STARTS} starts")

        def weigh(names):
            file = identities.accounts_file(self.work / f"accounts-{len(names)}.yaml", key_file, names)
            server = self.start_gateway(self.sandbox(100), *LONG, "--callers-file", file)
            time.sleep(0.5)
            idle = server.resident_mib()
            with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                for name in names:
                    request = b"\x3a" + bytes([len(name)]) + name.encode()  # account
                    channel.unary_unary(LIST)(request, timeout=20)
            time.sleep(0.5)
            asked = server.resident_mib()
            self.stop(server)
            return idle, asked

        one, many = ["team-0"], [f"team-{index}" for index in range(1 + ACCOUNTS)]
        pairs = [(weigh(one), weigh(many)) for _ in range(STARTS)]
        for index, name in enumerate(("nothing asked", "its list of 100 asked for once")):
            kib = statistics.median(after[index] - before[index] for before, after in pairs) * 1024 / ACCOUNTS
            bar = {"most": 1} if index == 0 else {}
            self.add(f"Memory of an account, {name}", kib, "KiB", "256 KiB", kib / 256, **bar)

    def callers_file(self):
        self.say("A callers file of 10,000 is read anew, and calls find their caller in it")
        reload, look = self.run([programs.BENCH / "callers_bench", str(3 * self.rounds)])
        self.add("Callers file of 10,000: until a new one is in force", reload["reload_ms"], "ms", "200 ms",
                 reload["reload_ms"] / 200, most=1)
        self.add("Who calls, of 10,000", look["many_ns"], "ns", "of one", look["ratio"], least=0.97)
        self.add("of 10,000, each in turn", look["all_ns"], "ns")

    def shares_gateway(self, matchers, *flags):
        """A gateway whose provider takes 10 or 30 ms for each request, and the file of its numbers."""
        sandbox = self.own_sandbox(SHARES_NUMBERS)
        numbers, key_file = self.work / "shares-numbers", self.work / "shares-key"
        lister = self.start_gateway(sandbox)
        self.client("warm", lister, "--out", numbers)
        self.stop(lister)
        key_file.write_text(sandbox.key)
        sandbox.control("/faults", [{"kind": "delay", "delay_ms": 10, "fraction": 0.5},
                                    {"kind": "delay", "delay_ms": 30, "fraction": 1}])
        file = identities.buyers_file(self.work / "shares.yaml", key_file, matchers)
        server = self.start_gateway(sandbox, *LONG, "--callers-file", file, *flags)
        return server, numbers

    def shares_pairs(self, matchers, pairs, *flags):
        """What the others' calls took, each time in a round without the greedy one and in one with it."""
        server, numbers = self.shares_gateway(matchers, *flags)
        half = SHARES_NUMBERS // 2
        rounds = itertools.count()

        def command(callers, rate, purchase_every, begin, count):
            return [programs.BENCH / "bench_shares", "--target", f"127.0.0.1:{server.port}", "--numbers", numbers,
                    "--callers", ",".join(callers), "--rate", str(rate), "--purchase-every", str(purchase_every),
                    "--seconds", str(SHARES_SECONDS), "--from", str(begin), "--count", str(count)]

        def others(with_greedy):
            count = int(SHARES_SECONDS * OTHERS_RATE)  # each round leases others
            mine = command(SHARING[1:], OTHERS_RATE, 2, next(rounds) * count % (half - count), count)
            if not with_greedy:
                return self.run(mine)[0]
            with concurrent.futures.ThreadPoolExecutor() as pool:
                greedy = pool.submit(self.run, command(SHARING[:1], GREEDY_RATE, 8, half, half))
                measured = self.run(mine)[0]
                measured["greedy"] = greedy.result()[0]
            return measured

        others(False)  # connections, and what a call usually takes
        measured = []
        for index in range(pairs):
            turns = {greedy: others(greedy) for greedy in ((False, True) if index % 2 == 0 else (True, False))}
            measured.append((turns[False], turns[True]))
        self.stop(server)
        return measured

    def callers_shares(self):
        self.say("Eight callers' reads and purchases beside a ninth that sends a thousand times as many")
        each = [f"{{spiffe: \"{caller}\"}}" for caller in SHARING]
        together = [f"{{spiffe_prefix: \"{SHARING_PREFIX}\"}}"]
        rate = ("--pool-size", 2 * SHARES_POOL, "--upstream-rate", SHARES_RATE)
        name = "Beside a caller with a thousand times its share"
        every = []
        for short, flags in ((f"{SHARES_POOL} connections", ("--pool-size", SHARES_POOL)),
                             (f"{SHARES_RATE} calls a second", rate)):
            pairs = self.shares_pairs(each, self.rounds, *flags)
            every += pairs
            for kind in ("reads", "purchases"):
                # Of all rounds, as one has too few for a percentile.
                alone, beside = ([took for pair in pairs for took in pair[which][kind]] for which in (0, 1))
                for text, share, bar in (("p50", 0.5, {}), ("p99", 0.99, {"most": 1.5})):
                    before, after = percentile(alone, share), percentile(beside, share)
                    self.add(f"{name}, {short}: others' {kind}, {text}", after, "ms", f"without, {before:.1f} ms",
                             after / before, **bar)
        refused, sent = self.shares_refused(every)
        self.add(f"{name}: others' calls refused, of {sent:,}", refused, "", "none", float(refused == 0), least=1)
        self.add(f"{name}: its calls a second", statistics.median(beside["greedy"]["sent"] for _, beside in every)
                 / SHARES_SECONDS, "", f"{GREEDY_RATE:,}")
        refused, sent = self.shares_refused(self.shares_pairs(together, 1, *rate))
        self.add(f"{name}, all as one caller: others' calls refused, of {sent}", refused, "")

    @staticmethod
    def shares_refused(pairs):
        """How many of the others' calls beside the greedy one were refused, and how many there were."""
        others = [beside for _, beside in pairs]
        return sum(one["refused"] for one in others), sum(one["sent"] for one in others)
