#!/usr/bin/python3
"""Attacks a port of the gateway with connections of one process, all of them at full speed.

One thread serves all connections, so that it takes a core at most. Who is cut comes back at once; who is
turned away at the door, a little later: otherwise it would be out of ports after a second. The last line
of output is JSON: what became of the connections, with times by CLOCK_MONOTONIC.
"""

import argparse
import errno
import itertools
import json
import select
import signal
import socket
import ssl
import sys
import time

from attacks import ATTACKS, Wire

BREATH = 0.01  # of a mild attack: it sends for a tenth of each
TURNED_AWAY = 0.02  # who lived no longer than that comes back after PAUSE
PAUSE = 0.005
GIVES_UP = 10.0  # on a connection that doesn't come about
NO_BIND_PORT = 24  # IP_BIND_ADDRESS_NO_PORT, which Python 3.11 has no name for
GONE = (BrokenPipeError, ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class Connection:
    """One after the other from one address. `since`: when the attack began on this one."""

    def __init__(self, options, source, poller, context):
        self.options, self.source, self.poller, self.context = options, source, poller, context
        self.attack = ATTACKS[options.attack]
        self.scratch = bytearray(1 << 18)
        self.lives, self.sent, self.ready, self.failed = [], 0, 0, {}
        self.socket = self.since = None
        self.again_at = 0.0

    def open(self):
        self.socket = socket.socket()
        try:
            self.socket.setsockopt(socket.IPPROTO_IP, NO_BIND_PORT, 1)
            self.socket.bind((self.source, 0))
            self.socket.setblocking(False)
            found = self.socket.connect_ex(("127.0.0.1", self.options.port))
        except OSError as error:
            found = error.errno
        if found not in (0, errno.EINPROGRESS):
            self.count_failure(errno.errorcode.get(found, found))
            return
        self.state, self.opened_at = "connecting", time.monotonic()
        self.pending, self.blocks = None, None
        self.interest(select.EPOLLOUT, new=True)

    def count_failure(self, what):
        self.failed[what] = self.failed.get(what, 0) + 1
        self.socket.close()
        self.socket = None
        self.again_at = time.monotonic() + 10 * PAUSE

    def interest(self, events, new=False):
        (self.poller.register if new else self.poller.modify)(self.socket, events | select.EPOLLRDHUP)
        self.events = events

    def act(self, events, may_send):
        try:
            if self.state == "connecting":
                found = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if found:
                    self.poller.unregister(self.socket)
                    self.count_failure(errno.errorcode.get(found, found))
                    return
                self.begin()
            if self.state == "handshake":
                self.shake_hands()
            if self.state == "greeting":
                self.hear_settings(events)
            if self.state == "attack":
                self.go_on(events, may_send)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except GONE as error:
            self.gone(type(error).__name__)
        except OSError as error:
            self.gone(error.__class__.__name__)

    def begin(self):
        self.since = time.monotonic()
        if self.context:
            self.socket = self.wrap()
            self.state = "handshake"
            self.interest(select.EPOLLIN | select.EPOLLOUT)
        else:
            self.wait_for_settings()

    def wrap(self):
        fd = self.socket.fileno()
        wrapped = self.context.wrap_socket(self.socket, server_hostname="gateway", do_handshake_on_connect=False)
        assert wrapped.fileno() == fd
        return wrapped

    def shake_hands(self):
        try:
            self.socket.do_handshake()
        except ssl.SSLWantReadError:
            self.interest(select.EPOLLIN)
            raise
        self.wait_for_settings()

    def wait_for_settings(self):
        """Who acknowledges them before they are there is cut for that alone."""
        self.state = "greeting"
        self.wire = Wire("https" if self.context else "http", self.options.number.encode(),
                         self.options.connections > 8)
        self.interest(select.EPOLLIN)

    def hear_settings(self, events):
        if events & (select.EPOLLERR | select.EPOLLHUP | select.EPOLLRDHUP):
            raise ConnectionError
        if not events & select.EPOLLIN:
            return
        if self.context:  # what has come may be of TLS only
            self.take(once=True)
        self.attack_now()

    def attack_now(self):
        self.state = "attack"
        self.ready += 1
        self.since = time.monotonic()
        wire = self.wire
        self.blocks = itertools.chain([self.attack.opening(wire)], self.attack.blocks(wire))
        self.pending = memoryview(b"")
        self.sending()

    def sending(self):
        reads = select.EPOLLIN if self.attack.reads or self.attack.windows else 0
        self.interest(select.EPOLLOUT | reads)

    def go_on(self, events, may_send):
        if events & (select.EPOLLERR | select.EPOLLHUP | select.EPOLLRDHUP) and not (self.attack.reads):
            self.gone("hang-up")
            return
        if events & select.EPOLLIN:
            self.take()
        if events & select.EPOLLOUT or (events & select.EPOLLIN and not self.events & select.EPOLLOUT):
            if may_send:
                self.send()

    def take(self, once=False):
        for _ in range(1 if once else 4):
            try:
                size = self.socket.recv_into(self.scratch)
            except (BlockingIOError, ssl.SSLWantReadError):
                if once:
                    raise
                return
            if size == 0:
                raise ConnectionError
            if self.attack.windows:
                self.wire.read(self.scratch[:size])

    def send(self):
        end = self.sent + (1 << 19)  # then it is another's turn
        while self.sent < end:
            if not self.pending:
                self.pending = memoryview(next(self.blocks))
                if not self.pending:
                    # Nothing until the other side has said something.
                    self.interest(select.EPOLLIN if self.attack.reads or self.attack.windows else 0)
                    return
                if not self.events & select.EPOLLOUT:
                    self.sending()
            try:
                size = self.socket.send(self.pending[:self.attack.record if self.context else 1 << 18])
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            self.sent += size
            self.pending = self.pending[size:]
            if self.attack.record == 1 and self.sent % 1024 == 0:
                return

    def look(self, now):
        """What has no event: a connection that doesn't come about."""
        if self.socket is None:
            if now >= self.again_at and not (self.options.once and self.lives):
                self.open()
        elif self.state != "attack" and now - self.opened_at > GIVES_UP:
            self.poller.unregister(self.socket)
            self.count_failure("timeout")

    def gone(self, how):
        now = time.monotonic()
        self.lives.append((self.since, now, how))
        if self.socket.fileno() >= 0:  # a wrap that fails has closed it
            self.poller.unregister(self.socket)
        self.socket.close()
        self.socket = None
        self.again_at = now + (PAUSE if now - self.since < TURNED_AWAY else 0.0)


class Attacker:
    def __init__(self, options):
        self.options = options
        self.poller = select.epoll()
        context = None
        if options.tls:
            context = ssl.create_default_context(cafile=options.ca)
            context.check_hostname = False
            context.set_alpn_protocols(["h2"])
            if options.certificate:
                context.load_cert_chain(options.certificate, options.key)
        sources = options.sources.split(",")
        self.connections = [Connection(options, sources[i % len(sources)], self.poller, context)
                            for i in range(options.connections)]
        self.stopped = False

    def run(self):
        start = time.monotonic()
        while not self.stopped and (now := time.monotonic()) < start + self.options.seconds:
            wait = 0.005
            may_send = not self.options.mild or (now - start) % BREATH < BREATH / 10
            by_descriptor = {}
            for connection in self.connections:
                connection.look(now)
                if connection.socket is not None:
                    by_descriptor[connection.socket.fileno()] = connection
            if self.options.once and not by_descriptor and all(each.lives for each in self.connections):
                break
            if not may_send:
                time.sleep(min(wait, BREATH - (now - start) % BREATH))
                wait = 0
            for descriptor, events in self.poller.poll(wait):
                connection = by_descriptor.get(descriptor)
                if connection is not None and connection.socket is not None:
                    connection.act(events, may_send)
        return start

    def report(self, start):
        end = time.monotonic()
        lives = [life for connection in self.connections for life in connection.lives]
        return {
            "attack": self.options.attack, "start": start, "end": end,
            "sent": sum(each.sent for each in self.connections), "ready": sum(each.ready for each in self.connections),
            "cut": len(lives),
            # Of those that were ready and of those that were cut: a life that isn't over counts so far.
            "longest": max([died - since for since, died, _ in lives] + self.ages(end), default=0.0),
            "alive": len(self.ages(end)), "uncut": sum(each.ready == 1 and not each.lives for each in self.connections),
            "ways": {way: sum(how == way for *_, how in lives) for way in {how for *_, how in lives}},
            "failed": {what: sum(each.failed.get(what, 0) for each in self.connections)
                       for each in self.connections for what in each.failed}}

    def ages(self, end):
        return [end - each.since for each in self.connections if each.socket is not None and each.state == "attack"]


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("attack", choices=ATTACKS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--number", required=True, help="a phone number that there is")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=2)
    parser.add_argument("--sources", default="127.66.0.1", help="addresses to come from, by turns")
    parser.add_argument("--mild", action="store_true", help="a tenth of full speed")
    parser.add_argument("--once", action="store_true", help="who was cut does not come back")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--ca", help="the authority of the gateway's certificate")
    parser.add_argument("--certificate", help="for mutual TLS")
    parser.add_argument("--key")
    return parser.parse_args(arguments)


def main():
    attacker = Attacker(parse(sys.argv[1:]))

    def stop(*_):
        attacker.stopped = True

    signal.signal(signal.SIGTERM, stop)
    start = attacker.run()
    print(json.dumps(attacker.report(start)), flush=True)


if __name__ == "__main__":
    main()
