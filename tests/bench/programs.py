"""The programs that serve while something is measured: how they start, say their port and stop.

BIN and BENCH are where the programs are; who measures others sets them before anything starts.
"""

import ctypes
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "build/release/bin"
BENCH = ROOT / "build/release/bench"
OUT = ROOT / "build/bench"
GRPC_JS = ROOT / "build/npm/node_modules"


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


def without_proxies():
    """The environment, but for the proxies that it names: what is measured is on this machine."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


class Process:
    """A program that serves until it is stopped, with its output in a file."""

    def __init__(self, name, command, log, env=None):
        self.name = name
        self.log = log
        self.port = None
        with open(log, "wb") as out:
            self.popen = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, env={**without_proxies(), **(env or {})},
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
    def __init__(self, numbers, work, log, *flags):
        self.numbers = numbers
        self.ca_file = work / f"ca-{numbers}.pem"
        super().__init__(f"lease-sandbox with {numbers} numbers",
                         [BIN / "lease-sandbox", "--port", 0, "--control-port", 0, "--numbers", numbers,
                          "--ca-out", self.ca_file, *flags], log)
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

    def connections(self):
        """How many it has ever had."""
        return self.control("/requests")["connections"]
