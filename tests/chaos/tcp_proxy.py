"""Stands between each gateway and each server of a database, and does what networks do.

Usage: tcp_proxy.py --gateways N --servers PORT,PORT --provider PORT

Its first line says which ports it has taken, by gateway and server, and the one that leads to the
provider. Then each line of standard input is a command in JSON, and is answered by a line. Ends when
standard input does.

It reads of PostgreSQL's protocol what frames its messages
(https://www.postgresql.org/docs/current/protocol-message-formats.html), so that it can withhold the
answer to one commit: what the server has done, the gateway can't know.
"""

import argparse
import asyncio
import collections
import json
import sys
import time

ENCRYPTION_REQUESTS = (80877103, 80877104)  # answered by a single byte
STARTUP_HEADER = 8
WRITES = (b"INSERT", b"UPDATE", b"DELETE", b"MERGE", b"COMMIT")


class Answers:
    """The messages of one server to one client, cut into cycles that end with ReadyForQuery.

    Feed it the bytes of both sides; it hands back what may go on at once, and says of a cycle that
    has committed a write, which it keeps back as a whole, that it has.
    """

    def __init__(self):
        self.greeting = bytearray()  # of the client: what it has sent before the start
        self.single_bytes = 0  # that the server answers before its first message
        self.started = False
        self.buffer = bytearray()
        self.kept = bytearray()  # from the first sign of a write on, until the cycle's end
        self.failed = False  # the cycle has an error, so it has changed nothing

    def sent(self, data):
        """By the client."""
        if self.started:
            return
        self.greeting += data
        while len(self.greeting) >= STARTUP_HEADER:
            length = int.from_bytes(self.greeting[:4], "big")
            if int.from_bytes(self.greeting[4:8], "big") not in ENCRYPTION_REQUESTS:
                self.started = True
                return
            self.single_bytes += 1
            del self.greeting[:length]

    def received(self, data, keep):
        """(what may go on, what was kept of a cycle that has committed a write), from the server.

        `keep`: whether cycles of writes are to be kept back at all.
        """
        self.buffer += data
        out, committed = bytearray(), bytearray()
        while self.single_bytes and self.buffer:
            out += self.buffer[:1]
            del self.buffer[:1]
            self.single_bytes -= 1
        while len(self.buffer) >= 5:
            length = 1 + int.from_bytes(self.buffer[1:5], "big")
            if len(self.buffer) < length:
                break
            message = bytes(self.buffer[:length])
            del self.buffer[:length]
            kind = message[:1]
            if self.kept or (keep and kind == b"C" and is_write(message)):
                self.kept += message
            else:
                out += message
            self.failed = self.failed or kind == b"E"
            if kind == b"Z":
                is_commit = message[5:6] == b"I" and not self.failed
                (committed if is_commit else out).extend(self.kept)
                self.kept.clear()
                self.failed = False
                if committed:
                    break
        return bytes(out), bytes(committed)


def is_write(message):
    """Whether a CommandComplete tells of something that was written."""
    words = message[5:-1].split()
    return words[0] in WRITES and (words[0] == b"COMMIT" or words[-1] != b"0") if words else False


class Faults:
    """What is wrong between one gateway and the database."""

    def __init__(self):
        self.stalled_until = 0.0  # answers don't come
        self.hung_until = 0.0  # nothing goes either way
        self.away_until = 0.0  # no connection is taken
        self.swallow = collections.deque()  # what is done with the next writes' answers
        self.links = set()


class Link:
    """A connection of a gateway, and its other half."""

    def __init__(self, faults, counts, client, server):
        self.faults, self.counts = faults, counts
        self.client_reader, self.client = client
        self.server_reader, self.server = server
        self.answers = Answers()
        self.silent = False

    def abort(self):
        for writer in (self.client, self.server):
            writer.transport.abort()

    async def ask(self):
        while data := await self.client_reader.read(1 << 16):
            self.answers.sent(data)
            while time.monotonic() < self.faults.hung_until:
                await asyncio.sleep(0.01)
            if self.silent:
                continue
            self.server.write(data)
            await self.server.drain()

    async def answer(self):
        while data := await self.server_reader.read(1 << 16):
            while data is not None:
                out, committed = self.answers.received(data, bool(self.faults.swallow))
                data = None
                await self.deliver(out)
                if committed:
                    await self.strike(committed)
                    data = b""  # what is left in its buffer

    async def deliver(self, data):
        while time.monotonic() < max(self.faults.stalled_until, self.faults.hung_until):
            await asyncio.sleep(0.01)
        if data and not self.silent:
            self.client.write(data)
            await self.client.drain()

    async def strike(self, committed):
        """The answer to a commit."""
        how, seconds = self.faults.swallow.popleft() if self.faults.swallow else ("late", 0.0)
        if how == "late":
            if seconds:
                self.counts["late answers to COMMIT"] += 1
                await asyncio.sleep(seconds)
            await self.deliver(committed)
            return
        self.counts["lost answers to COMMIT"] += 1
        if how == "silence":
            self.silent = True
            asyncio.get_running_loop().call_later(seconds, self.abort)
        else:
            self.abort()

    async def run(self):
        self.faults.links.add(self)
        halves = [asyncio.create_task(half) for half in (self.ask(), self.answer())]
        try:
            # The first to end takes the other one with it, once what it has read is on its way.
            await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.faults.links.discard(self)
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)
            for writer in (self.client, self.server):
                writer.close()


class Relay:
    """Passes on what one gateway and the provider say, and can keep new connections waiting."""

    def __init__(self, port):
        self.port = port
        self.held_until = 0.0
        self.listener = None

    async def listen(self):
        self.listener = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        return self.listener.sockets[0].getsockname()[1]

    async def accept(self, reader, writer):
        """The client finds itself connected, and its first bytes wait."""
        while time.monotonic() < self.held_until:
            await asyncio.sleep(0.002)
        try:
            server_reader, server = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.transport.abort()
            return
        halves = [asyncio.create_task(self.carry(*half))
                  for half in ((reader, server), (server_reader, writer))]
        try:
            await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for half in halves:
                half.cancel()
            failures = await asyncio.gather(*halves, return_exceptions=True)
            for end in (writer, server):
                if any(isinstance(failure, OSError) for failure in failures):
                    end.transport.abort()  # a reset stays one
                else:
                    end.close()

    @staticmethod
    async def carry(reader, writer):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


class Proxy:
    def __init__(self, gateways, server_ports, provider_port):
        self.server_ports = server_ports
        self.relay = Relay(provider_port)
        self.faults = [Faults() for _ in range(gateways)]
        self.counts = collections.Counter()
        self.listeners = []
        self.links = set()

    async def listen(self):
        """The ports, by gateway and server."""
        ports = []
        for faults in self.faults:
            own = []
            for server_port in self.server_ports:
                listener = await asyncio.start_server(
                    lambda reader, writer, faults=faults, port=server_port: self.accept(
                        faults, port, reader, writer), "127.0.0.1", 0)
                self.listeners.append(listener)
                own.append(listener.sockets[0].getsockname()[1])
            ports.append(own)
        return ports

    async def accept(self, faults, port, reader, writer):
        while time.monotonic() < faults.hung_until:
            await asyncio.sleep(0.01)
        if time.monotonic() < faults.away_until:
            writer.transport.abort()
            return
        try:
            server = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        await Link(faults, self.counts, (reader, writer), server).run()

    def obey(self, command):
        """Changes what is wrong with the connections of a gateway, or of all of them."""
        chosen = [self.faults[command["gateway"]]] if "gateway" in command else self.faults
        until = time.monotonic() + command.get("seconds", 0.0)
        if command["do"] == "hold-provider":
            self.relay.held_until = until
        for faults in chosen:
            match command["do"]:
                case "cut" | "away":
                    if command["do"] == "away":
                        faults.away_until = until
                    self.counts["connections cut"] += len(faults.links)
                    for link in list(faults.links):
                        link.abort()
                case "stall":
                    faults.stalled_until = until
                    self.counts["stalls"] += 1
                case "hang":
                    faults.hung_until = until
                    self.counts["stalls"] += 1
                case "swallow":
                    faults.swallow.extend([(command["how"], command.get("seconds", 0.0))]
                                          * command.get("count", 1))
                case "heal":
                    faults.stalled_until = faults.hung_until = faults.away_until = 0.0
                    faults.swallow.clear()
        return {"counts": self.counts}


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gateways", type=int, required=True)
    parser.add_argument("--servers", required=True)
    parser.add_argument("--provider", type=int, required=True)
    options = parser.parse_args()
    proxy = Proxy(options.gateways, [int(port) for port in options.servers.split(",")], options.provider)
    print(json.dumps({"ports": await proxy.listen(), "provider": await proxy.relay.listen()}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(json.dumps(proxy.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
