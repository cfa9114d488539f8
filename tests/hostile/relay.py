"""A link of 64 kbit/s to the gateway, from an address of its own."""

import asyncio
import socket

BYTES_A_SECOND = 8000
PIECE = 400  # bytes, so that it takes them 50 ms
SOURCE = "127.0.0.64"
LITTLE = 4096  # what the systems' buffers hold back, about


async def carry(reader, writer):
    try:
        while data := await reader.read(PIECE):
            await asyncio.sleep(len(data) / BYTES_A_SECOND)
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def start(port):
    """A server before that port, and the port to call instead."""
    async def serve(reader, writer):
        try:
            to_reader, to_writer = await asyncio.open_connection(
                "127.0.0.1", port, local_addr=(SOURCE, 0), limit=LITTLE)
        except OSError:
            writer.close()
            return
        to_writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE)
        await asyncio.gather(carry(reader, to_writer), carry(to_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=LITTLE)
    return server, server.sockets[0].getsockname()[1]
