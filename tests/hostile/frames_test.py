"""Reads with python3-h2, as a server does, what the attackers' frames are made of."""

import gzip
import unittest

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from hpack import Encoder

import attacks
import frames


def server():
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, validate_inbound_headers=True))
    connection.initiate_connection()
    return connection


def events_of(connection, data):
    return [event for event in connection.receive_data(bytes(data)) if not isinstance(
        event, (h2.events.RemoteSettingsChanged, h2.events.SettingsAcknowledged))]


class FramesTest(unittest.TestCase):
    def setUp(self):
        self.server = server()
        self.encoder = Encoder()
        events_of(self.server, frames.preface())

    def test_a_call_is_one_that_a_server_understands(self):
        block = self.encoder.encode(frames.call_headers("GetNumber"))
        body = frames.message(frames.field(1, b"+15550001111"))
        events = events_of(self.server, frames.headers(1, block) + frames.data(1, body, end=True))
        self.assertEqual([type(event) for event in events], [
            h2.events.RequestReceived, h2.events.DataReceived, h2.events.StreamEnded])
        self.assertIn((b":path", b"/leasegateway.v1.LeaseService/GetNumber"), events[0].headers)
        self.assertEqual(events[1].data, b"\0\0\0\0\x0e\x0a\x0c+15550001111")

    def test_a_header_in_pieces_is_one_header(self):
        block = self.encoder.encode(frames.call_headers("GetNumber"))
        piece = frames.literals(4000)
        self.assertLess(len(piece), 4001)
        events = events_of(self.server, frames.headers(1, block, "OPEN") + frames.continuation(1, piece))
        self.assertEqual(events, [])
        events = events_of(self.server, frames.continuation(1, b"", end=True))
        self.assertEqual(type(events[0]), h2.events.RequestReceived)
        self.assertGreater(len(events[0].headers), 20)

    def test_a_long_body_is_in_frames_of_the_longest(self):
        block = self.encoder.encode(frames.call_headers("GetNumber"))
        body = bytes(range(256)) * 150
        events = events_of(self.server, frames.headers(1, block) + frames.data_frames(1, body, end=True))
        self.assertEqual(b"".join(event.data for event in events if isinstance(
            event, h2.events.DataReceived)), body)
        self.assertIsInstance(events[-1], h2.events.StreamEnded)

    def test_frames_that_bring_nothing_are_right_ones(self):
        for frame, kind in ((frames.ping(), h2.events.PingReceived), (frames.unknown(), h2.events.UnknownFrameReceived),
                            (frames.window_update(0), h2.events.WindowUpdated),
                            (frames.priority(1), h2.events.PriorityUpdated)):
            self.assertEqual([type(event) for event in events_of(self.server, frame)], [kind])
        self.assertEqual([type(event) for event in self.server.receive_data(frames.settings({3: 100}))],
                         [h2.events.RemoteSettingsChanged])

    def test_new_streams_count_up_without_a_gap(self):
        streams = frames.NewStreams(lambda stream: frames.headers(stream, b"\x83") + frames.reset(stream), 128 * 3)
        seen = []
        for _ in range(400):  # past the second byte of the number
            buffer = bytearray(next(streams))
            self.assertEqual(len(buffer), 128 * 3 * (10 + 13))
            both = [(kind, stream) for kind, _, stream, _ in frames.each(buffer)]
            self.assertEqual([kind for kind, _ in both], [1, 3] * (128 * 3))
            self.assertEqual([stream for _, stream in both[::2]], [stream for _, stream in both[1::2]])
            seen += [stream for _, stream in both[::2]]
        self.assertEqual(seen, list(range(frames.FIRST_NEW_STREAM, frames.FIRST_NEW_STREAM + 2 * 400 * 128 * 3, 2)))

    def test_a_frame_that_is_not_whole_is_left(self):
        buffer = bytearray(frames.ping() + frames.data(7, b"abc")[:-1])
        self.assertEqual([kind for kind, *_ in frames.each(buffer)], [6])
        buffer += b"c"
        self.assertEqual(list(frames.each(buffer)), [(0, 0, 7, b"abc")])

    def test_the_bomb_is_gzip_of_zeros(self):
        packed = frames.deflated_zeros(3 << 20)
        self.assertLess(len(packed), 8000)
        self.assertEqual(gzip.decompress(packed), bytes(3 << 20))


class AttacksTest(unittest.TestCase):
    """What each attack begins with is something that HTTP/2 allows: so limits alone can end it."""

    def test_each_begins_as_http2_has_it(self):
        refused = set()
        for attack in attacks.ATTACKS.values():
            wire = attacks.Wire("http", b"+15550001111")
            connection = server()
            try:
                connection.receive_data(bytes(attack.opening(wire)))
                connection.receive_data(bytes(next(iter(attack.blocks(wire)))[:1400]))
            except h2.exceptions.ProtocolError:
                refused.add(attack.name)
        # A window of no bytes more is against the rules.
        self.assertEqual(refused, {"garbage", "made_to_reset"})

    def test_each_has_a_word_of_what_it_does_and_what_ends_it(self):
        for name, attack in attacks.ATTACKS.items():
            self.assertEqual(name, attack.name)
            self.assertGreater(len(attack.what), 10)
            self.assertFalse(attack.right and attack.reasons, name)

    def test_a_half_sent_request_keeps_to_the_window(self):
        wire = attacks.Wire("http", b"+15550001111")
        blocks = attacks.ATTACKS["half_sent"].blocks(wire)

        def sent():
            total = 0
            for _ in range(300):
                buffer = bytearray(next(blocks))
                total += sum(len(payload) for kind, _, _, payload in frames.each(buffer) if kind == 0)
            return total

        self.assertEqual(sent(), frames.WINDOW)
        wire.read(frames.window_update(0, 1 << 20))
        self.assertEqual(sent(), 1 << 20)


if __name__ == "__main__":
    unittest.main()
