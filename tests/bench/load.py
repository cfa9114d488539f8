"""h2load: sends so many calls and says how many a second were answered rightly."""

import os
import re
import subprocess

import programs
from programs import BenchError, die_with_parent


class Load:
    """What h2load sends to a server, and how many bytes of data must come back for each call, give
    or take `slack`. `certificate`: PEM file of the caller's certificate and key."""

    def __init__(self, name, port, url_path, reply_bytes, request=None, clients=16, streams=100, slack=0,
                 scheme="http", headers=(), certificate=None):
        self.name = name
        self.port = port
        self.url = f"{scheme}://127.0.0.1:{port}{url_path}"
        self.reply_bytes = reply_bytes
        self.request = request
        self.clients = clients
        self.streams = streams
        self.slack = slack
        self.headers = headers
        self.environment = None if certificate is None else {
            **os.environ, "LD_PRELOAD": str(programs.BENCH / "bench_client_certificate.so"),
            "BENCH_CLIENT_CERTIFICATE": str(certificate)}
        self.calls = 0

    def command(self, calls):
        command = ["h2load", "-n", calls, "-c", self.clients, "-m", self.streams, "-t", 1]
        if self.request is not None:
            command += ["-d", self.request, "-H", "content-type: application/grpc", "-H", "te: trailers"]
        for header in self.headers:
            command += ["-H", header]
        return [str(part) for part in command + [self.url]]

    def run(self, calls=None):
        """Calls a second."""
        calls = calls or self.calls
        done = subprocess.run(self.command(calls), capture_output=True, text=True, timeout=120,
                              env=self.environment, preexec_fn=die_with_parent, check=False)
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
            if wanted <= calls * 2:  # what it takes to connect counts little
                self.calls = wanted
                return
            calls = min(calls * 8, wanted)
