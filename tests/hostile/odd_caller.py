"""A caller written with python3-h2 that sends what few clients send, and all of which is right."""

import contextlib
import itertools
import socket
import ssl
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions

import frames

PACE = 0.02
SOURCE = "127.0.0.65"
LARGE_HEADER = "0" * 7000  # characters
LARGE_EVERY = 10  # calls


def call(record, target, stopped):
    """Until it is stopped. A connection that ends is lost, and a new one begun."""
    while not stopped.is_set():
        try:
            with contextlib.closing(Client(target)) as client:
                for number in itertools.count(1):
                    if stopped.wait(PACE):
                        return
                    start = time.monotonic()
                    status = client.call(target.get_number, large=number % LARGE_EVERY == 0)
                    if status == "0":
                        record.call(start)
                    else:
                        record.fail(f"grpc-status {status}")
        except (OSError, h2.exceptions.ProtocolError) as error:
            record.lose(f"{type(error).__name__}: {error}")
            stopped.wait(0.1)


class Client:
    def __init__(self, target, source=SOURCE):
        self.socket = socket.create_connection(("127.0.0.1", target.port), 5, source_address=(source, 0))
        if target.credentials:
            ca, certificate, key = target.files
            context = ssl.create_default_context(cafile=ca)
            context.set_alpn_protocols(["h2"])
            if certificate:
                context.load_cert_chain(certificate, key)
            self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self.scheme = "https" if target.credentials else "http"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.flush()

    def close(self):
        self.socket.close()

    def flush(self, more=b""):
        self.socket.sendall(self.h2.data_to_send() + more)

    def call(self, body, large):
        """The status that it ends with."""
        stream = self.h2.get_next_available_stream_id()
        more = [("x-large", LARGE_HEADER)] if large else []
        self.h2.send_headers(stream, frames.call_headers("GetNumber", self.scheme, more),
                             priority_weight=100, priority_depends_on=0, priority_exclusive=False)
        self.flush(frames.unknown())
        message = frames.message(body)
        # In three frames, of which one is empty. (gRPC 1.51 takes no padding in DATA.)
        self.h2.send_data(stream, message[:3])
        self.h2.send_data(stream, b"")
        self.h2.send_data(stream, message[3:], end_stream=True)
        self.h2.prioritize(stream, weight=30)
        self.flush()
        status = None
        while True:
            received = self.socket.recv(65536)
            if not received:
                raise ConnectionError("the gateway has hung up")
            for event in self.h2.receive_data(received):
                if isinstance(event, h2.events.DataReceived):
                    # As clients do that measure the bandwidth: a ping for each reply.
                    self.h2.ping(b"bandwidt")
                    self.h2.increment_flow_control_window(event.flow_controlled_length)
                elif isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    status = dict(event.headers).get("grpc-status", status)
                elif isinstance(event, h2.events.ConnectionTerminated):
                    raise ConnectionError(f"GOAWAY {event.error_code} {event.additional_data}")
                elif isinstance(event, h2.events.StreamReset) and event.stream_id == stream:
                    return status if status is not None else f"RST_STREAM {event.error_code}"
                elif isinstance(event, h2.events.StreamEnded) and event.stream_id == stream:
                    self.flush()
                    return status
            self.flush()
