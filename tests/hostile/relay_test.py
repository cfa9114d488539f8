"""Shows that the slow link is as slow as it says, and passes on what it gets."""

import asyncio
import time
import unittest

import relay


class RelayTest(unittest.TestCase):
    def test_it_passes_on_both_ways_and_takes_its_time(self):
        size = 4000

        async def answer(reader, writer):
            writer.write(await reader.readexactly(size))
            await writer.drain()
            peers.append(writer.get_extra_info("peername")[0])
            writer.close()

        async def ask():
            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            link, port = await relay.start(server.sockets[0].getsockname()[1])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            start = time.monotonic()
            writer.write(bytes(range(250)) * (size // 250))
            self.assertEqual(await reader.readexactly(size),
                             bytes(range(250)) * (size // 250))
            self.assertEqual(await reader.read(), b"")
            writer.close()
            await writer.wait_closed()
            server.close()
            link.close()
            return time.monotonic() - start

        peers = []
        took = asyncio.run(asyncio.wait_for(ask(), 20))
        self.assertGreaterEqual(took, 2 * size / relay.BYTES_A_SECOND - 0.1)  # the ways overlap by a piece
        self.assertEqual(peers, [relay.SOURCE])

    def test_it_hangs_up_when_nobody_listens_behind_it(self):
        async def ask():
            server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            server.close()
            await server.wait_closed()
            link, port = await relay.start(port)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            heard = await reader.read()
            writer.close()
            await writer.wait_closed()
            link.close()
            return heard

        self.assertEqual(asyncio.run(asyncio.wait_for(ask(), 20)), b"")


if __name__ == "__main__":
    unittest.main()
