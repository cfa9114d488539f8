"""The processes: a sandbox that stays, a gateway that is killed, and what can be seen of them."""

import asyncio
import collections
import http.client
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.parse

# Short, so that a fault is settled soon.
OPTIONS = {
    "threads": "2",
    "connect-timeout": "500ms",
    "handshake-timeout": "600ms",
    "send-timeout": "500ms",
    "response-timeout": "500ms",
    "read-timeout": "500ms",
    "default-deadline": "2s",
    "retry-budget-floor": "50",
    "log-level": "info",
}
DEFAULT_DEADLINE = 2.0
RSS_LIMIT = 512 << 20
FILES_LIMIT = 600


def off_loop(function, *arguments):
    """Awaits what blocks, on a thread."""
    return asyncio.get_running_loop().run_in_executor(None, function, *arguments)


class Sandbox:
    def __init__(self, binary, folder, seed, numbers):
        self.ca_file = os.path.join(folder, "ca.pem")
        self.log = open(os.path.join(folder, "sandbox.log"), "wb")
        self.process = subprocess.Popen(
            [binary, "--port", "0", "--control-port", "0", "--ca-out", self.ca_file,
             "--numbers", str(numbers), "--seed", str(seed)],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        said = {}
        while len(said) < 3:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError("the sandbox did not start")
            key, _, value = line.strip().partition(": ")
            said[key] = value
        self.url, self.key = said["url"], said["key"]
        self.control = urllib.parse.urlparse(said["control"])
        self.local = threading.local()

    def ask(self, method, path, body=None):
        """Blocks; each thread has a connection of its own."""
        for attempt in (0, 1):
            if not hasattr(self.local, "connection"):
                self.local.connection = http.client.HTTPConnection(
                    self.control.hostname, self.control.port, timeout=20)
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

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port():
    """One that stays free for a gateway that starts again: the system takes none below 32768 for connections."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Gateway:
    def __init__(self, binary, folder, sandbox):
        self.binary, self.folder, self.sandbox = binary, folder, sandbox
        self.journal = os.path.join(folder, "journal.db")
        self.log = open(os.path.join(folder, "gateway.log"), "ab")
        self.port = free_port()
        self.process = None
        self.incarnation = 0
        self.up = False
        self.downs = []  # [from, to] in which it was not there
        self.max_rss = 0
        self.max_files = 0

    def start(self, idle_timeout="30s"):
        """Blocks until it takes calls."""
        options = {**OPTIONS, "listen": f"127.0.0.1:{self.port}", "upstream-url": self.sandbox.url,
                   "upstream-ca-file": self.sandbox.ca_file, "journal": self.journal,
                   "idle-timeout": idle_timeout}
        arguments = [self.binary] + [f"--{key}={value}" for key, value in options.items()]
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env={"PATH": os.environ.get("PATH", ""), "CONTIGUITY_API_KEY": self.sandbox.key})
        end = time.monotonic() + 20
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"the gateway did not start: exit status {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if time.monotonic() > end:
                    raise RuntimeError("the gateway takes no calls after 20 s") from None
                time.sleep(0.01)
        self.incarnation += 1
        if self.downs:
            self.downs[-1][1] = time.monotonic()
        self.up = True

    def kill(self):
        """kill -9, at once; it may be awaited elsewhere."""
        self.observe()
        self.up = False
        self.downs.append([time.monotonic(), float("inf")])
        self.process.send_signal(signal.SIGKILL)

    def buried(self):
        """Blocks until the killed process is gone."""
        self.process.wait()

    def exited(self):
        return self.up and self.process.poll() is not None

    def was_down(self, start, end):
        return any(start <= to and end >= since for since, to in self.downs)

    def observe(self):
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
        self.up = False
        self.downs.append([time.monotonic(), float("inf")])
        self.process.terminate()
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def journal_rows(self, operation_class, since=0):
        """The operations in a copy of the file: what a process that comes after this one finds."""
        copy = os.path.join(self.folder, "copy.db")
        for suffix in ("", "-wal"):
            if os.path.exists(copy + suffix):
                os.remove(copy + suffix)
            if os.path.exists(self.journal + suffix):
                shutil.copy(self.journal + suffix, copy + suffix)
        with sqlite3.connect(copy) as database:
            rows = database.execute("SELECT operation FROM operation WHERE create_time >= ?",
                                    (since,)).fetchall()
        database.close()
        return [operation_class.FromString(row[0]) for row in rows]


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
