#!/usr/bin/env python3
"""Holds the admin port against slow clients: probes are answered while they drip, hang and don't read.

  tests/hostile/admin_flood.py build/release/bin [--clients 2000] [--back 0.5]
                                                 [--seconds 20] [--bar 0.1]

Starts a sandboxed gateway of its own. The clients come from 127.1.0.0/16, 16 an address, each of one
kind; a client that is cut comes back after a while (--back; 0: at once, which is a flood of tens of
thousands a second). Meanwhile probes from 127.0.0.1 ask for /livez, /readyz and
/metrics in turn, each on a connection of its own. Fails when one has no answer of 200, or when the
slowest of a page took longer than the bar, in seconds.
"""

import argparse
import collections
import errno
import os
import re
import resource
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time

HALF = b"GET /readyz HTTP/1.1\r\nhost: "
BODY = b"PUT /loglevel HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nlevel="
ASK = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"

# What a client sends at first, and whether it drips on.
KINDS = {
    "silent": (b"", False),
    "half a header": (HALF, False),
    "drips a header": (HALF, True),
    "half a body": (BODY, False),
    "drips a body": (BODY, True),
    "reads no answer": (ASK, False),
    "asks on and reads nothing": (ASK * 20, False),
}


class Client:
    """A slow client, which comes back when it is cut."""

    def __init__(self, number, port):
        self.address = f"127.1.{number // 16 // 250}.{number // 16 % 250 + 1}"
        self.first, self.drips = list(KINDS.values())[number % len(KINDS)]
        self.port = port
        self.times = 0
        self.socket = None
        self.sent = False

    def connect(self, poll):
        self.times += 1
        self.sent = False
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self.socket.setblocking(False)
        self.socket.bind((self.address, 0))
        failure = self.socket.connect_ex(("127.0.0.1", self.port))
        if failure not in (0, errno.EINPROGRESS):
            raise OSError(failure, os.strerror(failure))
        # Edges alone: what it doesn't read stays.
        poll.register(self.socket, select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
        return self.socket.fileno()

    def step(self, events):
        """False: it was cut."""
        if events & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP):
            return False
        if not self.sent and events & select.EPOLLOUT:
            self.sent = True
            return self.send(self.first)
        return True

    def send(self, bytes_):
        try:
            if bytes_:
                self.socket.send(bytes_)
            return True
        except BlockingIOError:
            return True
        except OSError:
            return False


def crowd(port, count, back, stop, cuts):
    """All the slow clients, until `stop`; each drips a byte every 200 ms."""
    poll = select.epoll()
    clients = {}
    for number in range(count):
        client = Client(number, port)
        clients[client.connect(poll)] = client
    away = collections.deque()  # when each that was cut comes back
    drip = time.monotonic()
    while not stop.is_set():
        for descriptor, events in poll.poll(0.02):
            client = clients[descriptor]
            if client.step(events):
                continue
            del clients[descriptor]
            poll.unregister(descriptor)
            client.socket.close()
            away.append((time.monotonic() + back, client))
            cuts[0] += 1
        while away and away[0][0] <= time.monotonic():
            client = away.popleft()[1]
            clients[client.connect(poll)] = client
        if time.monotonic() - drip >= 0.2:
            drip = time.monotonic()
            for client in clients.values():
                if client.drips and client.sent:
                    client.send(b"x")  # one that is cut is told by the poll
    for client in clients.values():
        client.socket.close()


def probe(port, page):
    """The status and how long it took."""
    began = time.monotonic()
    status, where = b"none", "connecting"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
            where = "asking"
            peer.sendall(b"GET " + page + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            answer = b""
            where = "reading"
            while part := peer.recv(65536):
                answer += part
            if answer:
                status = answer.split()[1]
    except OSError as error:
        status = f"{where}: {error}".encode()
    return status, time.monotonic() - began


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4 // 1024


def cpu(pid):
    """Seconds that the process has computed."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(port, pid, arguments):
    stop, cuts = threading.Event(), [0]
    idle, computed = resident(pid), cpu(pid)
    # Of its own, so that the probes don't wait for Python's lock.
    child = os.fork()
    if child == 0:
        timer = threading.Timer(arguments.seconds + 3, stop.set)
        timer.start()
        crowd(port, arguments.clients, arguments.back, stop, cuts)
        print(f"{cuts[0]} times one was cut and came back", flush=True)
        os._exit(0)
    time.sleep(1)
    failed = 0
    times = {b"/livez": [], b"/readyz": [], b"/metrics": []}
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        for page, taken in times.items():
            status, seconds = probe(port, page)
            taken.append(seconds)
            if status != b"200":
                failed += 1
                print(f"{page.decode()}: {status.decode()} after {seconds * 1000:.0f} ms")
        time.sleep(0.02)
    memory, computed = resident(pid), cpu(pid) - computed
    os.waitpid(child, 0)
    for page, taken in times.items():
        taken.sort()
        print(f"{page.decode():9} {len(taken)} probes: p50 {taken[len(taken) // 2] * 1000:.1f} ms, "
              f"p99 {taken[len(taken) * 99 // 100] * 1000:.1f} ms, slowest {taken[-1] * 1000:.1f} ms")
    print(f"memory: {idle} MiB idle, {memory} MiB then; {computed:.2f} s of CPU; "
          f"{failed} probes failed")
    return failed == 0 and max(taken[-1] for taken in times.values()) <= arguments.bar


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binaries")
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--back", type=float, default=0.5)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--bar", type=float, default=0.1)
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, arguments.clients + 1000), hard))
    with tempfile.TemporaryDirectory() as folder:
        command = [os.path.join(arguments.binaries, "lease-gateway"), "--sandbox",
                   "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--allow-plaintext",
                   f"--journal={folder}/journal.db", "--log-level=info"]
        with open(f"{folder}/log", "w+", encoding="utf-8") as log:
            with subprocess.Popen(command, stderr=log, stdout=log) as gateway:
                try:
                    for _ in range(200):
                        time.sleep(0.05)
                        with open(log.name, encoding="utf-8") as text:
                            ports = re.findall(r"the admin port is (\d+) of", text.read())
                        if ports:
                            break
                    else:
                        sys.exit("the gateway did not start: " + open(log.name).read())
                    good = run(int(ports[0]), gateway.pid, arguments)
                finally:
                    gateway.terminate()
            with open(log.name, encoding="utf-8") as text:
                for line in text:
                    if "the admin port" in line:
                        print("log:", line.strip()[:200])
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
