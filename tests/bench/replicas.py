"""What replicas and the database that they share cost: gateways with a PostgreSQL against one with
a file of its own, and several against one."""

import concurrent.futures
import http.client
import json
import random
import statistics
import subprocess
import time

import grpc

import programs
from databases import Database
from programs import BenchError, Process, free_port, listening
from road import RoadBench
from servers import HUGE, LONG
from workloads import LIST

REPLICAS = 4
CREATE_LEASE = "/leasegateway.v1.LeaseService/CreateLease"
FIRST_OF_LIST = b"\x08\x01"  # page_size: 1
ASK_NOW = b"\x2a\x00"  # max_staleness: 0
LIST_ROUTE = "GET /leases"
CALLERS = 64
# Statements of transactions that no call waits for: each replica's own, and news of others'.
HOUSEKEEPING = {"journal_adopt", "journal_own", "journal_open", "journal_prune", "journal_prune_claims",
                "replica_async_commit", "replica_beat", "are_you_there", "notify_replicas", "probe",
                "lists_head", "lists_entries", "lists_prune"}
# How long the provider takes where nobody may wait for it.
SLOW_MS = 15_000


class ReplicaBench(RoadBench):
    """The workloads of RoadBench, and those with a database."""

    OURS = ("replicas_hit", "replicas_lease", "replicas_callers", "replicas_round_trips", "replicas_fetches",
            "replicas_seen", "replicas_wal", "replicas_start", "replicas_memory")
    WORKLOADS = (*RoadBench.WORKLOADS, *OURS)
    GROUPS = {**RoadBench.GROUPS, "replicas": OURS}

    def __init__(self, options):
        super().__init__(options)
        self.database = None

    def close(self):
        super().close()
        if self.database:
            self.database.stop()

    def start_database(self):
        if not self.database:
            self.say("Start PostgreSQL")
            self.database = Database(self.logs / "postgres.log")
        return self.database

    def replica(self, sandbox, name, *flags):
        """A gateway on the database of that name."""
        port = free_port()
        database = self.start_database()
        gateway = self.keep(Process(
            "lease-gateway",
            [programs.BIN / "lease-gateway", "--listen", f"127.0.0.1:{port}", "--upstream-url", sandbox.url,
             "--upstream-ca-file", sandbox.ca_file, "--database-url", database.url(name), *flags,
             *self.options.gateway_flag],
            self.log("replica"), {"CONTIGUITY_API_KEY": sandbox.key, **database.environment}))
        gateway.port, gateway.ca_file, gateway.name = port, None, name
        return gateway

    def serving(self, gateway):
        # A channel that is refused would wait for a second.
        gateway.wait_for("port", lambda: listening(gateway.port))
        with grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            if check(b"", timeout=60, wait_for_ready=True) != b"\x08\x01":
                raise BenchError("a gateway listens but is not SERVING")
        return gateway

    def replicas(self, count, sandbox, *flags):
        name = self.start_database().new()
        return [self.serving(self.replica(sandbox, name, *flags)) for _ in range(count)]

    def with_file(self, sandbox, *flags):
        """One with a SQLite journal on the disk."""
        return self.serving(self.start_gateway(
            sandbox, "--journal", self.work / f"journal-{self.started}.db", *flags))

    def ask(self, gateway, request, timeout=60):
        """A ListAvailableNumbers; the length of the reply."""
        with grpc.insecure_channel(f"127.0.0.1:{gateway.port}",
                                   [("grpc.max_receive_message_length", -1)]) as channel:
            return len(channel.unary_unary(LIST)(request, timeout=timeout, wait_for_ready=True))

    def lease(self, gateway, number):
        with grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
            request = b"\x0a" + bytes([len(number)]) + number.encode()  # phone_number
            channel.unary_unary(CREATE_LEASE)(request, timeout=60)

    def leases(self, command, gateways, numbers, *arguments):
        targets = ",".join(f"127.0.0.1:{gateway.port}" for gateway in gateways)
        rows = self.run([programs.BENCH / "bench_leases", command, "--targets", targets, "--numbers", numbers,
                         *arguments])
        return {key: value for row in rows for key, value in row.items()}

    def numbers_of(self, sandbox):
        """A file with the numbers of a sandbox, in an order at random."""
        gateway = self.start_gateway(sandbox, *LONG, *HUGE)
        path = self.work / f"numbers-of-{sandbox.port}"
        self.client("warm", gateway, "--out", path)
        self.stop(gateway)
        numbers = path.read_text().split()
        random.Random(1).shuffle(numbers)
        path.write_text("".join(number + "\n" for number in numbers))
        return path

    # --- hits and leases --------------------------------------------------------------------------

    def replicas_hit(self):
        alone = self.gateway(100)
        self.say("GetNumber from memory: with a database, without")
        shared = self.replicas(1, self.sandbox(100), *LONG, *HUGE)[0]
        self.ask(shared, FIRST_OF_LIST)
        shared.numbers, shared.request = alone.numbers, alone.request
        shared.get_number = self.work / "get-number-shared.bin"
        self.client("capture", shared, "--numbers", shared.numbers, "--out", shared.get_number)
        values = self.rates([self.hit_load("with a database", shared), self.hit_load("without", alone)])
        self.compare("GetNumber hit with a database", values, "calls/s", "with a database", "without",
                     least=0.97)
        self.stop(shared)

    def lease_turns(self, concurrency):
        """{name: [row of bench_leases a round]} of gateways with PostgreSQL and with SQLite."""
        sandbox = self.own_sandbox(100_000 if concurrency > 1 else 30_000)
        numbers = self.numbers_of(sandbox)
        gateways = {"PostgreSQL": self.replicas(1, sandbox)[0], "SQLite": self.with_file(sandbox)}
        leased = 0

        def turn(name):
            nonlocal leased
            row = self.leases("lease", [gateways[name]], numbers, "--from", leased, "--seconds",
                              2 * self.seconds, "--concurrency", concurrency)
            leased = row["next"]
            return row

        for name in gateways:  # the first ones connect and prepare
            turn(name)
        rows = self.interleave({name: lambda name=name: turn(name) for name in gateways})
        for process in (*gateways.values(), sandbox):
            self.stop(process)
        return rows

    def replicas_lease(self):
        self.say("CreateLease, one at a time: journal in PostgreSQL, in SQLite")
        rows = self.lease_turns(1)
        for key, name, bar in (("p50_us", "p50", {"most": 1.5}), ("p99_us", "p99", {})):
            values = {turn: [row[key] / 1000 for row in rows[turn]] for turn in rows}
            self.compare(f"CreateLease on PostgreSQL, {name}", values, "ms", "PostgreSQL", "SQLite", **bar)
            self.add(f"CreateLease on SQLite, {name}", statistics.median(values["SQLite"]), "ms")

    def replicas_callers(self):
        self.say(f"CreateLease, {CALLERS} callers: journal in PostgreSQL, in SQLite")
        rows = self.lease_turns(CALLERS)
        values = {turn: [row["calls_s"] for row in rows[turn]] for turn in rows}
        name = f"CreateLease on PostgreSQL, {CALLERS} callers"
        self.compare(name, values, "leases/s", "PostgreSQL", "SQLite", least=1.0)
        self.add(f"CreateLease on SQLite, {CALLERS} callers", statistics.median(values["SQLite"]), "leases/s")

    def replicas_round_trips(self):
        self.say("CreateLease: round trips to PostgreSQL before the provider's POST and after it")
        sandbox = self.own_sandbox(100)
        numbers = self.numbers_of(sandbox).read_text().split()
        gateway = self.replicas(1, sandbox)[0]
        pause = 0.5
        sandbox.control("/faults", {"route": "POST /lease/{number}", "kind": "delay", "when": "before",
                                    "delay_ms": round(pause * 1000), "fraction": 1.0})
        self.database.log_statements("all")
        before, after, names = [], [], set()
        for number in numbers[:self.rounds]:
            time.sleep(0.3)
            begun = self.database.log.stat().st_size
            self.lease(gateway, number)
            time.sleep(0.3)
            done = [(at, said) for at, said in self.database.transactions(begun)
                    if not said <= HOUSEKEEPING]
            times = [at for at, _ in done]
            gap = max(range(1, len(times)), key=lambda i: times[i] - times[i - 1])
            if times[gap] - times[gap - 1] < pause * 0.8:
                raise BenchError(f"no pause of {pause} s between statements: {done}")
            before.append(gap)
            after.append(len(times) - gap)
            names.update(name for _, said in done for name in said)
        self.database.log_statements("none")
        self.add("Round trips of a CreateLease before the POST", max(before), "", "3", max(before) / 3, most=1)
        self.add("Round trips after it", max(after), ", ".join(sorted(names)), "2", max(after) / 2, most=1)
        self.stop(gateway)
        self.stop(sandbox)

    # --- what replicas share ----------------------------------------------------------------------

    def fetches(self, count, seconds):
        """How often the provider is asked for its list while callers read at each replica."""
        sandbox = self.own_sandbox(1_000)
        gateways = self.replicas(count, sandbox, "--cache-fresh", "2s")
        end = time.monotonic() + seconds

        def read(gateway):
            with grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
                call = channel.unary_unary(LIST)
                while time.monotonic() < end:
                    call(FIRST_OF_LIST, timeout=20)
                    time.sleep(0.02)

        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            for done in [pool.submit(read, gateway) for gateway in gateways]:
                done.result()
        asked = sandbox.control("/requests")["routes"].get(LIST_ROUTE, 0)
        for process in (*gateways, sandbox):
            self.stop(process)
        return asked

    def replicas_fetches(self):
        seconds = 20 if self.options.quick else 60
        self.say(f"Readers at {REPLICAS} replicas and at one, {seconds} s each")
        many, one = self.fetches(REPLICAS, seconds), self.fetches(1, seconds)
        self.add(f"List calls of the provider, {REPLICAS} replicas", many, "calls", "one replica", many / one,
                 most=1.1)

    def replicas_seen(self):
        self.say(f"A lease at one of {REPLICAS} replicas, until each has told its watchers")
        sandbox = self.own_sandbox(10_000)
        numbers = self.numbers_of(sandbox)
        gateways = self.replicas(REPLICAS, sandbox, *LONG)
        count = 100 if self.options.quick else 300
        row = self.leases("seen", gateways, numbers, "--count", count, "--pause-ms", 50)
        self.add("Lease until the last of 4 shows it, p50", row["p50_ms"], "ms")
        self.add("Lease until the last of 4 shows it, p99", row["p99_ms"], "ms", "100 ms", row["p99_ms"] / 100,
                 most=1)
        self.add("From the first to the last of 4, p99", row["after_first_p99_ms"], "ms")
        for process in (*gateways, sandbox):
            self.stop(process)

    def replicas_wal(self):
        numbers = 10_000
        self.say(f"WAL of a refresh of {numbers:,} numbers: nothing, 1 %, all changed")
        sandbox = self.own_sandbox(numbers)
        gateway = self.replicas(1, sandbox, *LONG)[0]
        listed = self.work / "wal-list"
        self.client("warm", gateway, "--out", listed)
        listed = listed.read_text().split()
        self.ask(gateway, ASK_NOW)
        time.sleep(2)
        began, at = time.monotonic(), self.database.wal_bytes()
        time.sleep(5)
        idle = (self.database.wal_bytes() - at) / (time.monotonic() - began)
        self.add("WAL of an idle replica", idle, "bytes/s")
        draw = random.Random(1)
        compressed = self.compressed_list(gateway)
        self.add(f"List of {numbers:,}, zstd", compressed / 1024, "KiB")

        def refresh(changed, times):
            self.change(sandbox, draw.sample(listed, changed), draw)
            time.sleep(0.5)
            start, before = time.monotonic(), self.database.wal_bytes()
            for _ in range(times):
                self.ask(gateway, ASK_NOW)
            time.sleep(1)  # what is written behind the answer
            return (self.database.wal_bytes() - before - idle * (time.monotonic() - start)) / times

        for name, changed, times, most in (("nothing changed", 0, 20, 1024),
                                           ("1 % changed", numbers // 100, 1, compressed / 10),
                                           ("all changed", len(listed), 1, compressed * 1.5)):
            values = [refresh(changed, times) for _ in range(self.rounds)]
            value = statistics.median(values)
            self.add(f"WAL of a refresh, {name}", value / 1024, "KiB", f"{most / 1024:,.1f} KiB", value / most,
                     most=1)
        self.stop(gateway)
        self.stop(sandbox)

    def compressed_list(self, gateway):
        """How long the list is as bytes of Protobuf, compressed by zstd's own program."""
        path = self.work / "list-to-compress"
        with grpc.insecure_channel(f"127.0.0.1:{gateway.port}",
                                   [("grpc.max_receive_message_length", -1)]) as channel:
            path.write_bytes(channel.unary_unary(LIST)(b"", timeout=60))
        done = subprocess.run(["zstd", "-3", "-c", "-q", str(path)], capture_output=True, check=True)
        return len(done.stdout)

    def change(self, sandbox, numbers, draw):
        """Gives each of the provider's numbers another price."""
        host, port = sandbox.control_url.split("/")[2].split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        for number in numbers:
            price = {"pricing": {"monthly_rate": round(2 + draw.random() * 18, 2)}}
            connection.request("POST", f"/_sandbox/numbers/{number}", json.dumps(price))
            if (reply := connection.getresponse()).status != 200:
                raise BenchError(f"the sandbox does not change {number}: {reply.read()!r}")
            reply.read()
        connection.close()

    def replicas_start(self):
        numbers = 100_000
        self.say(f"A new replica with {numbers:,} numbers in the database, under a provider that is slow")
        sandbox = self.own_sandbox(numbers)
        first = self.replicas(1, sandbox, *LONG, *HUGE)[0]
        self.ask(first, FIRST_OF_LIST, 120)
        time.sleep(1)
        sandbox.control("/faults", {"kind": "delay", "delay_ms": SLOW_MS, "when": "before", "fraction": 1.0})
        serving, listed = [], []
        for _ in range(self.rounds):
            began = time.monotonic()
            gateway = self.serving(self.replica(sandbox, first.name, *LONG, *HUGE))
            serving.append(time.monotonic() - began)
            self.ask(gateway, FIRST_OF_LIST)
            listed.append(time.monotonic() - began)
            self.stop(gateway)
        value = statistics.median(serving)
        self.add("New replica: from start to SERVING", value * 1000, "ms", "1 s", value, most=1)
        value = statistics.median(listed)
        self.add(f"New replica: from start to its list of {numbers:,}", value * 1000, "ms", "1 s", value, most=1)
        self.stop(first)
        self.stop(sandbox)

    def replicas_memory(self):
        self.say("Memory of an idle gateway: with a database, without")
        sandbox = self.sandbox(100)
        name = self.start_database().new()

        def idle(start):
            gateway = self.serving(start())
            time.sleep(2)
            memory = gateway.resident_mib()
            self.stop(gateway)
            return memory

        values = self.interleave({"with": lambda: idle(lambda: self.replica(sandbox, name)),
                                  "without": lambda: idle(lambda: self.with_file(sandbox))})
        added = statistics.median(values["with"]) - statistics.median(values["without"])
        self.add("Memory of an idle gateway with a database", statistics.median(values["with"]), "MiB")
        self.add("Added by the database", added, "MiB", "4 MiB", added / 4, most=1)
