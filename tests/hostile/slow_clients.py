#!/usr/bin/python3
"""Clients of the admin port that never end their request, until SIGTERM: `half` sends half a header, `drip` a byte
of one now and then. Who is cut comes back after a moment. The last line of output is JSON."""

import argparse
import json
import select
import signal
import socket
import sys
import time

HALF = b"GET /metrics HTTP/1.1\r\nHost: admin\r\nX-Slow: "
DRIP_EVERY = 0.5
BACK_AFTER = 0.05
NO_BIND_PORT = 24  # IP_BIND_ADDRESS_NO_PORT


class Client:
    def __init__(self, port, source, kind):
        self.port, self.source, self.kind = port, source, kind
        self.socket, self.back_at, self.cuts = None, 0.0, 0

    def open(self, poller):
        self.socket = socket.socket()
        try:
            self.socket.setsockopt(socket.IPPROTO_IP, NO_BIND_PORT, 1)
            self.socket.bind((self.source, 0))
            self.socket.setblocking(False)
            self.socket.connect_ex(("127.0.0.1", self.port))
        except OSError:
            self.close()
            return
        poller.register(self.socket, select.EPOLLIN | select.EPOLLRDHUP)
        self.left, self.next = iter(HALF + b"x" * 1_000_000), 0.0

    def close(self):
        self.socket.close()
        self.socket = None
        self.cuts += 1
        self.back_at = time.monotonic() + BACK_AFTER

    def send(self, now):
        if now < self.next:
            return
        self.next = now + DRIP_EVERY
        try:
            if self.kind == "drip":
                self.socket.send(bytes([next(self.left)]))
            else:
                self.socket.send(HALF)
                self.next = float("inf")
        except BlockingIOError:
            pass  # it isn't connected yet
        except OSError:
            self.close()


def run(options, stopped):
    poller = select.epoll()
    sources = options.sources.split(",")
    clients = [Client(options.port, sources[i % len(sources)], options.kind) for i in range(options.connections)]
    end = time.monotonic() + options.seconds
    while not stopped and (now := time.monotonic()) < end:
        by_descriptor = {}
        for client in clients:
            if client.socket is None and now >= client.back_at:
                client.open(poller)
            if client.socket is not None:
                client.send(now)
            if client.socket is not None:
                by_descriptor[client.socket.fileno()] = client
        for descriptor, _ in poller.poll(0.02):
            client = by_descriptor.get(descriptor)
            # An answer (408) is the end of it too.
            if client is not None and client.socket is not None:
                client.close()
    return {"cut": sum(client.cuts for client in clients)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=("half", "drip"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=110)
    parser.add_argument("--sources", default="127.65.0.1")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    print(json.dumps(run(options, stopped)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
