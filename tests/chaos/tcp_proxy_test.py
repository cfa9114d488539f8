"""Shows the proxy a server's messages, and what it makes of the answer to a commit."""

import asyncio
import time
import unittest

import tcp_proxy
from tcp_proxy import Answers


def message(kind, body=b""):
    return kind + (4 + len(body)).to_bytes(4, "big") + body


STARTUP = (8).to_bytes(4, "big") + (196608).to_bytes(4, "big")
SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
READY, IN_TRANSACTION = message(b"Z", b"I"), message(b"Z", b"T")
INSERTED, SELECTED = message(b"C", b"INSERT 0 1\0"), message(b"C", b"SELECT 1\0")
UNCHANGED, COMMITTED = message(b"C", b"UPDATE 0\0"), message(b"C", b"COMMIT\0")


class AnswersTest(unittest.TestCase):
    def answers(self, *greetings):
        answers = Answers()
        for greeting in greetings or (STARTUP,):
            answers.sent(greeting)
        return answers

    def test_lets_everything_through_unless_it_is_to_keep(self):
        all_of_it = INSERTED + READY + SELECTED + READY
        self.assertEqual(self.answers().received(all_of_it, False), (all_of_it, b""))

    def test_keeps_back_a_cycle_that_has_written(self):
        out, kept = self.answers().received(SELECTED + INSERTED + SELECTED + READY + SELECTED, True)
        self.assertEqual(out, SELECTED)
        self.assertEqual(kept, INSERTED + SELECTED + READY)

    def test_waits_for_the_end_of_a_cycle_and_of_a_message(self):
        answers = self.answers()
        wire = INSERTED + READY
        for i in range(len(wire) - 1):
            self.assertEqual(answers.received(wire[i:i + 1], True), (b"", b""))
        self.assertEqual(answers.received(wire[-1:], True), (b"", wire))

    def test_a_read_and_a_write_that_changed_nothing_go_through(self):
        for wire in (SELECTED + READY, UNCHANGED + READY):
            self.assertEqual(self.answers().received(wire, True), (wire, b""))

    def test_a_write_within_a_transaction_is_no_commit(self):
        answers = self.answers()
        self.assertEqual(answers.received(INSERTED + IN_TRANSACTION, True),
                         (INSERTED + IN_TRANSACTION, b""))
        self.assertEqual(answers.received(COMMITTED + READY, True), (b"", COMMITTED + READY))

    def test_a_write_whose_cycle_failed_is_no_commit(self):
        wire = INSERTED + message(b"E") + READY
        self.assertEqual(self.answers().received(wire, True), (wire, b""))

    def test_the_byte_that_answers_a_request_for_encryption_is_no_message(self):
        answers = self.answers(SSL_REQUEST, STARTUP)
        self.assertEqual(answers.received(b"N" + SELECTED, True), (b"N" + SELECTED, b""))


class ProxyTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        async def serve(reader, writer):
            """Answers each line by what commits it."""
            while await reader.readline():
                writer.write(INSERTED + READY)
                await writer.drain()
            writer.close()

        self.server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        self.proxy = tcp_proxy.Proxy(2, [port], port)
        self.ports = await self.proxy.listen()
        self.provider_port = await self.proxy.relay.listen()
        self.opened = []

    async def asyncTearDown(self):
        for writer in self.opened:
            writer.close()
        for listener in (self.server, *self.proxy.listeners, self.proxy.relay.listener):
            listener.close()

    async def connect(self, gateway=0):
        link = await self.open(self.ports[gateway][0])
        link[1].write(STARTUP)
        return link

    async def open(self, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.opened.append(writer)
        return reader, writer

    async def write(self, link):
        """The server's answer; None when the connection ends without."""
        reader, writer = link
        try:
            writer.write(b"\n")
            return await reader.readexactly(len(INSERTED + READY))
        except (ConnectionError, asyncio.IncompleteReadError):
            return None

    async def test_swallows_the_answer_to_a_commit(self):
        self.proxy.obey({"do": "swallow", "how": "cut", "gateway": 0})
        link = await self.connect()
        self.assertIsNone(await self.write(link))
        self.assertEqual(self.proxy.counts["lost answers to COMMIT"], 1)
        self.assertEqual(await self.write(await self.connect()), INSERTED + READY)

    async def test_says_nothing_more_for_a_while(self):
        self.proxy.obey({"do": "swallow", "how": "silence", "seconds": 0.2})
        start = time.monotonic()
        self.assertIsNone(await self.write(await self.connect(1)))
        self.assertGreaterEqual(time.monotonic() - start, 0.2)

    async def test_holds_up_an_answer(self):
        self.proxy.obey({"do": "swallow", "how": "late", "seconds": 0.2})
        link = await self.connect()
        start = time.monotonic()
        self.assertEqual(await self.write(link), INSERTED + READY)
        self.assertGreaterEqual(time.monotonic() - start, 0.2)
        self.assertEqual(await self.write(link), INSERTED + READY)

    async def test_stalls_hangs_and_heals_one_gateway(self):
        for what in ("stall", "hang"):
            links = [await self.connect(0), await self.connect(1)]
            self.proxy.obey({"do": what, "gateway": 0, "seconds": 60})
            stalled = asyncio.create_task(self.write(links[0]))
            self.assertEqual(await self.write(links[1]), INSERTED + READY)
            self.assertFalse(stalled.done())
            self.proxy.obey({"do": "heal"})
            self.assertEqual(await asyncio.wait_for(stalled, 5), INSERTED + READY)

    async def test_cuts_and_takes_no_connection_while_away(self):
        link = await self.connect()
        self.assertEqual(await self.write(link), INSERTED + READY)
        self.proxy.obey({"do": "away", "gateway": 0, "seconds": 60})
        self.assertIsNone(await self.write(link))
        self.assertIsNone(await self.write(await self.connect()))
        self.proxy.obey({"do": "heal"})
        self.assertEqual(await self.write(await self.connect()), INSERTED + READY)

    async def test_keeps_new_connections_to_the_provider_waiting(self):
        before = await self.open(self.provider_port)
        self.assertEqual(await self.write(before), INSERTED + READY)
        self.proxy.obey({"do": "hold-provider", "seconds": 60})
        after = await self.open(self.provider_port)
        waits = asyncio.create_task(self.write(after))
        self.assertEqual(await self.write(before), INSERTED + READY)
        self.assertFalse(waits.done())
        self.proxy.obey({"do": "hold-provider"})
        self.assertEqual(await asyncio.wait_for(waits, 5), INSERTED + READY)

    async def test_an_end_reaches_the_other_side(self):
        reader, writer = await self.open(self.provider_port)
        self.assertEqual(await self.write((reader, writer)), INSERTED + READY)
        writer.write_eof()
        self.assertEqual(await reader.read(), b"")


if __name__ == "__main__":
    unittest.main()
