"""The provider's name as gateways see it: a name server of the run's own, and what befalls it.

tests/support/name_server.py answers, in a process of its own. Each gateway has a name of its own for the
provider, so that what befalls one's questions leaves the others alone; one certificate has them all.
"""

import asyncio
import collections
import json
import os
import socket
import subprocess
import sys
import threading
import time

import plan_names
from postgres import free_port

DOMAIN = "provider.chaos.test"
CERTIFICATE_NAME = f"*.{DOMAIN}"
PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support",
                       "name_server.py")
STEP = 0.02  # seconds between two looks whether a gateway knows the name


def host(replica):
    """The provider's name for this gateway."""
    return f"g{replica}.{DOMAIN}"


def off_loop(function, *arguments):
    return asyncio.get_running_loop().run_in_executor(None, function, *arguments)


class Hanging:
    """An address and port whose connections come to nothing: its queue is full, and nobody takes any."""

    def __init__(self, address, port):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(0)
        self.waiting = []
        for _ in range(4):
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex((address, port))
            self.waiting.append(connection)

    def close(self):
        for each in (self.listener, *self.waiting):
            each.close()


class NameServer:
    """The process. Functions block; thread-safe."""

    def __init__(self, replicas, log):
        self.lock = threading.Lock()
        self.log = log
        self.counts = collections.Counter()  # questions by the fault that they met
        self.known = {host(replica): plan_names.about_living() for replica in range(replicas)}
        self.port = free_port()
        self.process = None
        self.start()

    def start(self):
        """On its port, also where it was there before."""
        with self.lock:
            end = time.monotonic() + 20
            while self.process is None:
                process = subprocess.Popen(
                    [sys.executable, PROGRAM, "--port", str(self.port)], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=self.log, text=True)
                if process.stdout.readline():
                    self.process = process
                    break
                process.wait()
                if time.monotonic() > end:
                    raise RuntimeError("the name server did not start")
                time.sleep(0.1)
            self._do("set " + json.dumps(self.known))

    def stop(self):
        """Nobody listens at its port any more."""
        with self.lock:
            if self.process is None:
                return
            self._count()
            self.process.stdin.close()
            self.process.wait(20)
            self.process.stdout.close()
            self.process = None

    def tell(self, name, about):
        """What it knows of a name from now on; while it is stopped, once it is there again."""
        with self.lock:
            self.known[name] = about
            if self.process:
                self._do("set " + json.dumps(self.known))

    def count(self):
        """Questions by the fault that they met, so far."""
        with self.lock:
            counts = collections.Counter(self.counts)
            if self.process:
                counts.update(json.loads(self._do("counted")))
            return counts

    def _count(self):
        self.counts.update(json.loads(self._do("counted")))

    def _do(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()


class Names:
    """What befalls the names of a batch's gateways, span by span."""

    def __init__(self, replicas, log):
        self.replicas = replicas
        self.server = NameServer(replicas, log)
        self.hanging = []
        self.spans = collections.Counter()
        self.gone = 0  # how many spans want the server to be so
        self.under_way = set()  # what it is being told, also by who was cancelled meanwhile

    @property
    def address(self):
        return f"127.0.0.1:{self.server.port}"

    def hang(self, ports):
        """`ports`: by which the gateways reach the provider; none of them answers at this address."""
        self.hanging = [Hanging(plan_names.HANGS, port) for port in sorted(set(ports))]

    async def strike(self, spans, knows):
        """All of them, each in its time. Who ends it early has to `heal`.

        `knows(replica)`: whether that gateway has had an answer with the provider's address.
        """
        start = time.monotonic()

        async def in_turn(replica):
            for span in spans:
                if span.replica == replica:
                    await asyncio.sleep(max(0.0, start + span.at - time.monotonic()))
                    await self._strike_one(span, start + span.at + span.seconds, knows)

        await asyncio.gather(*[in_turn(replica) for replica in range(self.replicas)])

    async def _strike_one(self, span, end, knows):
        strikes = False
        try:
            while (now := time.monotonic()) < end:
                wanted = not span.spares_the_ignorant or knows(span.replica)
                if wanted and not strikes:
                    self.spans[span.kind] += 1
                if wanted != strikes:
                    strikes = wanted
                    await self._set(span, strikes)
                await asyncio.sleep(min(STEP, end - now))
        finally:
            if strikes:
                await self._set(span, False)

    async def _set(self, span, strikes):
        if span.kind != "gone":
            doing = off_loop(self.server.tell, host(span.replica),
                             span.about() if strikes else plan_names.about_living())
        else:
            self.gone += 1 if strikes else -1
            doing = off_loop(self.server.start if self.gone == 0 else self.server.stop)
        self.under_way.add(doing)
        doing.add_done_callback(self.under_way.discard)
        await asyncio.shield(doing)

    async def heal(self):
        """Once nothing strikes any more: all names can be looked up."""
        await asyncio.gather(*self.under_way)
        self.gone = 0
        await off_loop(self.server.start)
        for replica in range(self.replicas):
            await off_loop(self.server.tell, host(replica), plan_names.about_living())

    def stop(self):
        self.server.stop()
        for each in self.hanging:
            each.close()
