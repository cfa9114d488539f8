"""What callers cost: hits with a callers file and without, and with a token; the memory of accounts; a file of
10,000, read anew and looked up; and what the others' calls take beside one caller that sends too many."""

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

    def callers_shares(self):
        self.say("Eight callers' calls beside a ninth that sends a thousand times as many")
        for row in self.run([programs.BENCH / "fair_shares_bench", "2"]):
            name = f"Beside a caller with a thousand times its share, {row['short']}"
            self.add(f"{name}: p99", row["p99_ms"], "ms", "without", row["ratio"], most=1.5)
            none = float(row["refused"] == 0)
            self.add(f"{name}: calls of others refused", row["refused"], "", "none", none, least=1)
