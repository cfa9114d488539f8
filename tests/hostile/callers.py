#!/usr/bin/python3
"""Callers that do nothing wrong, until SIGTERM: what is attacked may neither fail nor cut them.

Usage: callers.py PORT KIND NUMBER [CA CERTIFICATE KEY]

KIND `calls`: Debian's python3-grpcio reads and asks for health; one sends requests of 1 MiB; some have a
connection that they only ping; and one, written with python3-h2, sends what is rare but right. KIND
`watchers`: 100 callers with a connection and a watch each, and one on a link of 64 kbit/s.

Prints a line of JSON now and then: {"who", "calls": [[end, milliseconds]], "failed": [[when, why]],
"lost": [[when, which]]}, times by CLOCK_MONOTONIC. A call that fails is in `failed`, a connection that
ends in `lost`.
"""

import asyncio
import json
import pathlib
import signal
import sys
import threading
import time

import grpc

import frames
import odd_caller
import relay

WATCHERS = 100
PINGERS = 3
PACE = 0.003  # between two calls of one caller
LARGE_PACE = 0.1
LARGE = (1 << 20) - 64  # bytes of a request, below max_request_bytes' default
DEADLINE, LONG_DEADLINE = 5, 30
REPORT_EVERY = 0.2
LIST_PAGE = b"\x08\x32"  # ListAvailableNumbersRequest{page_size: 50}
HEALTH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
UNKNOWN_FIELD = 1000


class Record:
    """What became of one caller's calls. From any thread."""

    def __init__(self, who):
        self.who, self.lock = who, threading.Lock()
        self.calls, self.failed, self.lost = [], [], []

    def call(self, start):
        now = time.monotonic()
        with self.lock:
            self.calls.append([round(now, 4), round((now - start) * 1000, 3)])

    def fail(self, why):
        with self.lock:
            self.failed.append([time.monotonic(), str(why)[:200]])

    def lose(self, which):
        with self.lock:
            self.lost.append([time.monotonic(), which])

    def take(self):
        with self.lock:
            taken = {"who": self.who, "calls": self.calls, "failed": self.failed, "lost": self.lost}
            self.calls, self.failed, self.lost = [], [], []
        return taken


class Target:
    def __init__(self, port, number, ca=None, certificate=None, key=None):
        self.port, self.number = int(port), number.encode()
        self.files = ca, certificate, key
        self.get_number = frames.field(1, self.number)
        self.credentials = None
        if ca:
            # PEM of all three, or of the authority alone.
            read = [pathlib.Path(file).read_bytes() if file else None for file in (ca, key, certificate)]
            self.credentials = grpc.ssl_channel_credentials(*read)

    def options(self, **more):
        options = {"grpc.enable_retries": 0, "grpc.use_local_subchannel_pool": 1, "grpc.enable_http_proxy": 0,
                   "grpc.initial_reconnect_backoff_ms": 50, "grpc.max_reconnect_backoff_ms": 200,
                   "grpc.min_reconnect_backoff_ms": 2000}
        return [*options.items(), *((f"grpc.{name}", value) for name, value in more.items())]

    def channel(self, module, port=None, **more):
        """Of grpc or of grpc.aio."""
        target = f"127.0.0.1:{port or self.port}"
        if self.credentials:
            return module.secure_channel(target, self.credentials, options=self.options(**more))
        return module.insecure_channel(target, options=self.options(**more))


def describe(error):
    return f"{error.code().name} {error.details()}"


class Calls:
    """One thread a caller."""

    def __init__(self, target):
        self.target = target
        self.stopped = threading.Event()
        self.records = []

    def start(self):
        for who, requests, pace in (
                ("grpcio", [("GetNumber", self.target.get_number), ("ListAvailableNumbers", LIST_PAGE)], PACE),
                ("large", [("GetNumber", self.target.get_number + frames.field(UNKNOWN_FIELD, bytes(LARGE)))],
                 LARGE_PACE)):
            self.thread(who, self.call, requests, pace)
        self.thread("health", self.ask_health)
        self.thread("odd", odd_caller.call, self.target, self.stopped)
        for _ in range(PINGERS):
            self.thread("pinger", self.ping)

    def thread(self, who, function, *arguments):
        record = Record(who)
        self.records.append(record)
        threading.Thread(target=function, args=[record, *arguments], daemon=True).start()

    def open(self, record, **more):
        channel = self.target.channel(grpc, **more)
        seen = []

        def changed(state):
            if seen and seen[-1] is grpc.ChannelConnectivity.READY and not self.stopped.is_set():
                record.lose(f"its connection became {state.name}")
            seen.append(state)

        channel.subscribe(changed, try_to_connect=True)
        return channel

    def call(self, record, requests, pace):
        with self.open(record) as channel:
            stubs = [(channel.unary_unary(frames.SERVICE + method), body) for method, body in requests]
            while not self.stopped.is_set():
                for stub, body in stubs:
                    start = time.monotonic()
                    try:
                        if not stub(body, timeout=DEADLINE, wait_for_ready=False):
                            record.fail("an empty reply")
                        record.call(start)
                    except grpc.RpcError as error:
                        record.fail(describe(error))
                    self.stopped.wait(pace)

    def ask_health(self, record):
        with self.open(record) as channel:
            stub = channel.unary_unary(HEALTH)
            while not self.stopped.wait(0.25):
                start = time.monotonic()
                try:
                    if stub(b"", timeout=1) != SERVING:
                        record.fail("not SERVING")
                    record.call(start)
                except grpc.RpcError as error:
                    record.fail(describe(error))

    def ping(self, record):
        """A connection without calls, but for one in the beginning."""
        with self.open(record, keepalive_time_ms=10_000, keepalive_permit_without_calls=1,
                       **{"http2.max_pings_without_data": 0}) as channel:
            start = time.monotonic()
            try:
                channel.unary_unary(HEALTH)(b"", timeout=DEADLINE, wait_for_ready=True)
                record.call(start)
            except grpc.RpcError as error:
                record.fail(describe(error))
            self.stopped.wait()


class Watchers:
    def __init__(self, target):
        self.target = target
        self.records = [Record("watcher"), Record("slow link")]
        self.tasks = []

    async def run(self, stopped):
        server, link = await relay.start(self.target.port)
        self.tasks = [asyncio.create_task(self.watch()) for _ in range(WATCHERS)]
        self.tasks.append(asyncio.create_task(self.call_slowly(link)))
        await stopped.wait()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        server.close()

    async def watch(self):
        record = self.records[0]
        async with self.target.channel(grpc.aio) as channel:
            stub = channel.unary_stream(frames.SERVICE + "WatchAvailability")
            while True:
                start = time.monotonic()
                try:
                    async for _ in stub(b"", wait_for_ready=True):
                        record.call(start)  # what the last one took is of no meaning
                    record.lose("its watch ended")
                except grpc.aio.AioRpcError as error:
                    record.lose(f"its watch ended: {describe(error)}")
                await asyncio.sleep(0.1)

    async def call_slowly(self, port):
        record = self.records[1]
        async with self.target.channel(grpc.aio, port) as channel:
            get = channel.unary_unary(frames.SERVICE + "GetNumber")
            page = channel.unary_unary(frames.SERVICE + "ListAvailableNumbers")
            while True:
                for stub, body in ((get, self.target.get_number), (page, LIST_PAGE)):
                    start = time.monotonic()
                    try:
                        await stub(body, timeout=LONG_DEADLINE, wait_for_ready=True)
                        record.call(start)
                    except grpc.aio.AioRpcError as error:
                        record.fail(describe(error))
                        await asyncio.sleep(0.1)


def report(records):
    for record in records:
        taken = record.take()
        if taken["calls"] or taken["failed"] or taken["lost"]:
            print(json.dumps(taken), flush=True)


async def watch(target):
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    watchers = Watchers(target)
    running = asyncio.create_task(watchers.run(stopped))
    while not running.done():
        await asyncio.sleep(REPORT_EVERY)
        report(watchers.records)
    await running


def call(target):
    calls = Calls(target)
    signal.signal(signal.SIGTERM, lambda *_: calls.stopped.set())
    calls.start()
    while not calls.stopped.wait(REPORT_EVERY):
        report(calls.records)
    report(calls.records)


def main(port, kind, *rest):
    target = Target(port, *rest)
    if kind == "watchers":
        asyncio.run(watch(target))
    else:
        call(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
