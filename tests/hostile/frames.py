"""HTTP/2 as a peer sends it (RFC 9113), in blocks of bytes that are made beforehand.

Frames come from hyperframe and headers from hpack, which python3-h2 is made of. What is sent over and
over is made once; frames for ever new streams are the same bytes but for the stream's number, which
is written into a block of thousands of them at once. So one thread of Python sends as fast as the
kernel takes it.
"""

import functools
import zlib

from hpack import Encoder
from hpack.struct import NeverIndexedHeaderTuple
from hyperframe.frame import (ContinuationFrame, DataFrame, ExtensionFrame, HeadersFrame, PingFrame,
                              PriorityFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER = 9  # bytes of a frame before its payload
MAX_FRAME = 16384
WINDOW = 65535  # that a stream and a connection begin with
CANCEL = 8
SERVICE = "/leasegateway.v1.LeaseService/"

# Of blocks for new streams: numbers from 3 up to the first are never used, and so many are in one block.
FIRST_NEW_STREAM = 1 << 16 | 1
NEW_STREAMS = 128 * 64


def preface(initial_window=None):
    settings = {} if initial_window is None else {SettingsFrame.INITIAL_WINDOW_SIZE: initial_window}
    return PREFACE + SettingsFrame(0, settings=settings).serialize()


def call_headers(method, scheme="http", more=()):
    return [(":method", "POST"), (":scheme", scheme), (":path", SERVICE + method), (":authority", "gateway"),
            ("content-type", "application/grpc"), ("te", "trailers"), *more]


def message(body, compressed=False):
    """A message of gRPC with its prefix."""
    return bytes([compressed]) + len(body).to_bytes(4, "big") + body


def field(number, value):
    """A field of Protobuf that has a length."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def headers(stream, block, *flags):
    """Flags: END_STREAM; END_HEADERS is set unless OPEN is among them."""
    flags = {flag for flag in flags if flag != "OPEN"} | (set() if "OPEN" in flags else {"END_HEADERS"})
    return HeadersFrame(stream, block, flags=sorted(flags)).serialize()


def continuation(stream, block, end=False):
    return ContinuationFrame(stream, block, flags=["END_HEADERS"] if end else []).serialize()


def data(stream, body=b"", end=False):
    return DataFrame(stream, body, flags=["END_STREAM"] if end else []).serialize()


def data_frames(stream, body, end=False):
    """A body of any length, in frames that are as long as they may be."""
    parts = [body[at:at + MAX_FRAME] for at in range(0, len(body), MAX_FRAME)] or [b""]
    return b"".join(data(stream, part, end and at == len(parts) - 1) for at, part in enumerate(parts))


def reset(stream):
    return RstStreamFrame(stream, CANCEL).serialize()


def ping(ack=False):
    return PingFrame(0, b"hostile!", flags=["ACK"] if ack else []).serialize()


def settings(values=None):
    return SettingsFrame(0, settings=values or {}).serialize()


def settings_ack():
    return SettingsFrame(0, flags=["ACK"]).serialize()


def priority(stream):
    return PriorityFrame(stream, depends_on=0, stream_weight=16).serialize()


def window_update(stream, increment=1):
    return WindowUpdateFrame(stream, increment).serialize()


def unknown(body=b"?" * 8):
    """Of a type that nobody has defined."""
    frame = ExtensionFrame(0xEE, 0, body=body)
    frame.body_len = len(body)  # hyperframe leaves that out
    return frame.serialize()


@functools.lru_cache(maxsize=4)
def literals(size):
    """A piece of a header block: headers that are never indexed, `size` bytes or a little less."""
    encoder = Encoder()
    block = bytearray()
    while len(block) < size - 160:
        block += encoder.encode([NeverIndexedHeaderTuple(f"x-{len(block)}", "0" * 128)], huffman=False)
    return bytes(block)


def deflated_zeros(size):
    """Gzip (RFC 1952) of so many zeros, a multiple of 1 MiB."""
    zeros = bytes(1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush the next block depends on nothing before it: the same bytes once more.
    checksum = 0
    for _ in range(size >> 20):
        checksum = zlib.crc32(zeros, checksum)
    last = zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    return (b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + packed * (size >> 20) + last +
            checksum.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"))


def each(buffer):
    """(type, flags, stream, payload) of each whole frame in a bytearray, which it takes out of it."""
    while len(buffer) >= HEADER:
        end = HEADER + int.from_bytes(buffer[:3], "big")
        if len(buffer) < end:
            return
        found = (buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big") & 0x7FFFFFFF, bytes(buffer[HEADER:end]))
        del buffer[:end]
        yield found


class NewStreams:
    """The same frames for one new stream after the other, a block of `count` streams at a time.

    `make(stream)` gives the frames of one; `count` is a multiple of 128. The block is written over by the
    next: send it first.
    """

    def __init__(self, make, count=NEW_STREAMS):
        template = make(1)
        self.count, self.size = count, len(template)
        self.block = bytearray(template * count)
        buffer, at, self.numbers = bytearray(template), 0, []  # where the streams' numbers are
        for _, _, _, payload in each(buffer):
            self.numbers.append(at + 5)
            at += HEADER + len(payload)
        self.next = FIRST_NEW_STREAM

    def __iter__(self):
        return self

    def __next__(self):
        first = self.next
        if first + 2 * self.count >= 1 << 31:
            raise StopIteration
        rows = [(first >> 8) + row for row in range(self.count // 128)]  # of 128 odd numbers each
        planes = [b"".join(bytes([row >> shift & 255]) * 128 for row in rows) for shift in (16, 8, 0)]
        planes.append(bytes(range(1, 256, 2)) * len(rows))
        for at in self.numbers:
            for i, plane in enumerate(planes):
                self.block[at + i::self.size] = plane
        self.next = first + 2 * self.count
        return memoryview(self.block)
