"""The processes: a sandbox that stays, gateways that are killed, and what can be seen of them."""

import asyncio
import collections
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.parse

import limits
import names
import plan_replicas
import starvation
from postgres import free_port

# Short, so that a fault is settled soon.
OPTIONS = {
    "threads": "2",
    "resolve-timeout": "500ms",
    "connect-timeout": "500ms",
    "handshake-timeout": "600ms",
    "send-timeout": "500ms",
    "response-timeout": "500ms",
    "read-timeout": "500ms",
    "default-deadline": "2s",
    "retry-budget-floor": "50",
    # So that connections are made, and names looked up, all the time.
    "pool-max-age": "500ms",
    "log-level": "info",
}
DEFAULT_DEADLINE = 2.0
# How long a replica that is not heard of counts as alive.
OWNERSHIP_TIME = 2.0
# A request is over, whatever becomes of it, so many seconds after its first byte at the latest, because
# its sender's time-outs end it: send, response, read.
REQUEST_LIMIT = 1.5
CLOCK_MARGIN = 2.0  # of the journal, which nothing changes
CATCHING_UP = 0.5  # seconds after a freeze in which no deadline is held against a gateway
RSS_LIMIT = 512 << 20
FILES_LIMIT = 600


def off_loop(function, *arguments):
    """Awaits what blocks, on a thread."""
    return asyncio.get_running_loop().run_in_executor(None, function, *arguments)


class Sandbox:
    """`ports`: of the provider. By the one that a request came in its sender can be told."""

    def __init__(self, binary, folder, seed, numbers, ports=1, access=None):
        self.ca_file = os.path.join(folder, "ca.pem")
        self.log = open(os.path.join(folder, "sandbox.log"), "wb")
        self.process = subprocess.Popen(
            [binary, "--port", "0", "--control-port", "0", "--ca-out", self.ca_file,
             "--numbers", str(numbers), "--seed", str(seed), "--more-ports", str(ports - 1),
             "--certificate-host", names.CERTIFICATE_NAME,
             *(["--key-file", access.keys_file] if access else [])],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        said, self.urls = {}, []
        while len(said) < 3:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError("the sandbox did not start")
            key, _, value = line.strip().partition(": ")
            said[key] = value
            if key == "url":
                self.urls.append(value)
        self.key = said["key"]
        self.control = urllib.parse.urlparse(said["control"])
        self.ports = [urllib.parse.urlparse(url).port for url in self.urls]
        self.stops = []  # [from, to] in which it stood still
        self.waits = starvation.Waits()
        self.local = threading.local()

    def ask(self, method, path, body=None):
        """Blocks; each thread has a connection of its own."""
        for attempt in (0, 1):
            if not hasattr(self.local, "connection"):
                self.local.connection = http.client.HTTPConnection(
                    self.control.hostname, self.control.port, timeout=120)
                self.local.connection.connect()
                self.local.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self.local.connection.request(
                    method, "/_sandbox/" + path, json.dumps(body) if body is not None else None)
                response = self.local.connection.getresponse()
                text = response.read()
                break
            except (OSError, http.client.HTTPException):
                del self.local.connection
                if attempt:
                    raise
        if response.status != 200:
            raise RuntimeError(f"{method} {path} {body}: {text.decode()}")
        return json.loads(text)

    def ledger(self, after=0):
        return self.ask("GET", f"ledger?after={after}")["entries"]

    def writes(self, after=0):
        return self.ask("GET", f"writes?after={after}")["writes"]

    def observe(self):
        self.waits.sample(self.process.pid)

    def replica_of(self, port):
        """The index of the gateway that calls the provider by this port."""
        return self.ports.index(port)

    def stand_still(self):
        if not self.stops or self.stops[-1][1] < float("inf"):
            self.stops.append([time.monotonic(), float("inf")])
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)
        self.stops[-1][1] = time.monotonic()

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Gateway:
    """One of `replicas` that share a database; without a database, the only one, with a file.

    `name_server`: the address of the one that it asks for the provider's. `access`: whom it knows; None:
    everybody may do all.
    """

    def __init__(self, binary, folder, sandbox, name_server, index=0, database=None, access=None):
        self.binary, self.folder, self.sandbox, self.name_server = binary, folder, sandbox, name_server
        self.access = access
        self.index, self.database = index, database
        self.name = f"gateway {index}" if database else "the gateway"
        self.journal = os.path.join(folder, "journal.db")
        self.log = open(os.path.join(folder, f"gateway-{index}.log" if database else "gateway.log"), "ab")
        self.port = free_port()
        self.process = None
        self.incarnation = 0
        self.reached = {}  # account → the incarnation that the provider has answered
        self.up = False
        self.frozen = False
        self.lock = asyncio.Lock()  # one end, or freeze, at a time
        self.downs = []  # [from, to] in which it was not there
        self.max_rss = 0
        self.max_files = 0
        self.waits = starvation.Waits()

    def provider_port(self):
        """By which it reaches the provider."""
        if self.database and self.index == plan_replicas.SLEEPER:
            return self.database.proxy.provider_port
        return self.sandbox.ports[self.index]

    def knows_the_provider(self):
        """Whether the process that is there has had an answer of the provider."""
        return self.up and all(map(self.has_reached, self.access.accounts if self.access else ("",)))

    def has_reached(self, account):
        return self.reached.get(account) == self.incarnation

    def command(self, idle_timeout):
        url = urllib.parse.urlparse(self.sandbox.urls[self.index])._replace(
            netloc=f"{names.host(self.index)}:{self.provider_port()}").geturl()
        options = {**OPTIONS, "listen": f"127.0.0.1:{self.port}", "upstream-url": url,
                   "dns-servers": self.name_server,
                   "upstream-ca-file": self.sandbox.ca_file, "idle-timeout": idle_timeout}
        if self.database:
            if self.index == plan_replicas.SLEEPER:
                options["idle-timeout"] = "0ms"
            options |= {"database-url": self.database.url(self.index),
                        "ownership-time": f"{OWNERSHIP_TIME:.0f}s"}
        else:
            options["journal"] = self.journal
        if self.access:
            options |= {"callers-file": self.access.path, "file-refresh": "200ms"}
        return [self.binary] + [f"--{key}={value}" for key, value in options.items()]

    def start(self, idle_timeout="30s"):
        """Blocks until it takes calls. One that finds no database to start with is started again."""
        environment = {"PATH": os.environ.get("PATH", ""), "CONTIGUITY_API_KEY": self.sandbox.key}
        if self.database:
            environment["LEASE_GATEWAY_DATABASE_PASSWORD"] = self.database.password
        end = time.monotonic() + (60 if self.database else 20)
        self.process = None
        while True:
            if self.process is None:
                self.process = subprocess.Popen(self.command(idle_timeout), stdin=subprocess.DEVNULL,
                                                stdout=self.log, stderr=self.log, env=environment)
            code = self.process.poll()
            if code is not None and (not self.database or code < 0 or time.monotonic() > end):
                raise RuntimeError(f"{self.name} did not start: exit status {code}")
            if code is not None:
                self.process = None
                time.sleep(0.2)
                continue
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if time.monotonic() > end:
                    raise RuntimeError(f"{self.name} takes no calls in time") from None
                time.sleep(0.01)
        self.incarnation += 1
        self._mark_up()

    def _mark_down(self):
        self.up = False
        if not self.downs or self.downs[-1][1] < float("inf"):
            self.downs.append([time.monotonic(), float("inf")])

    def _mark_up(self):
        self.up, self.frozen = True, False
        if self.downs:
            self.downs[-1][1] = time.monotonic()

    def freeze(self):
        """SIGSTOP. Returns whether it was there to be frozen."""
        if not self.up or self.process.poll() is not None:
            return False
        self._mark_down()
        self.frozen = True
        self.process.send_signal(signal.SIGSTOP)
        return True

    def thaw(self):
        if self.frozen:
            self.process.send_signal(signal.SIGCONT)
            self._mark_up()
            # What it has slept through, it has to catch up with.
            self.downs[-1][1] += CATCHING_UP

    def kill(self):
        """kill -9, at once; it may be awaited elsewhere."""
        self.observe()
        self._mark_down()
        self.frozen = False
        self.process.send_signal(signal.SIGKILL)

    def buried(self):
        """Blocks until the killed process is gone."""
        self.process.wait()

    def mark_ended(self):
        """It has ended by itself."""
        self._mark_down()

    def exited(self):
        return self.up and self.process.poll() is not None

    def was_down(self, start, end):
        return any(start <= to and end >= since for since, to in self.downs)

    def observe(self):
        self.waits.sample(self.process.pid)
        try:
            with open(f"/proc/{self.process.pid}/status") as file:
                for line in file:
                    if line.startswith("VmHWM:"):
                        self.max_rss = max(self.max_rss, int(line.split()[1]) << 10)
            self.max_files = max(self.max_files, len(os.listdir(f"/proc/{self.process.pid}/fd")))
        except OSError:
            pass  # it is gone

    def stop(self):
        """SIGTERM; returns the exit status."""
        self.observe()
        self._mark_down()
        self.process.terminate()
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def journal_rows(self, parse, since=0):
        """The operations in a copy of the file, or in the database: what comes after this one finds."""
        if self.database:
            return self.database.journal_rows(since)
        copy = os.path.join(self.folder, "copy.db")
        for suffix in ("", "-wal"):
            if os.path.exists(copy + suffix):
                os.remove(copy + suffix)
            if os.path.exists(self.journal + suffix):
                shutil.copy(self.journal + suffix, copy + suffix)
        with contextlib.closing(sqlite3.connect(copy)) as database:
            rows = database.execute("SELECT operation FROM operation WHERE create_time >= ?",
                                    (since,)).fetchall()
        return [parse(row[0]) for row in rows]

    def unreserved(self):
        """Rows of limits.UNRESERVED in the copy that journal_rows has made of the file."""
        with contextlib.closing(sqlite3.connect(os.path.join(self.folder, "copy.db"))) as database:
            return database.execute(limits.UNRESERVED.format(schema="")).fetchall()


class Lag:
    """When this process's loop did not run: what its measurements must leave out."""

    def __init__(self):
        self.samples = collections.deque(maxlen=20_000)

    def add(self, now, lag):
        if lag > 0.001:
            self.samples.append((now, lag))

    def lost(self, start, end):
        """Seconds between the two in which it did not run."""
        return sum(max(0.0, min(now, end) - max(now - lag, start)) for now, lag in self.samples)

    def held_up(self, moment, soon=0.02):
        """Seconds by which something was late that was to be done soon after this moment."""
        return sum(now - max(now - lag, moment) for now, lag in self.samples
                   if now > moment and now - lag < moment + soon)
