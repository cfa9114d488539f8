#!/usr/bin/env python3
"""A name server with faults on demand (Debian's python3-dnslib), for tests and for chaos.

  /usr/bin/python3 tests/support/name_server.py [--address 127.0.0.1] [--port 0]

Its first line is the port of UDP and TCP. Then it takes lines on its input, answers each with one
line, and ends with it:

  set {"NAME": {"A": ["192.0.2.1"], "AAAA": [], "CNAME": "OTHER", "ttl": 30,
                "delay": {"A": 0.5}, "fault": {"AAAA": "swallow"}}}   what it knows from now on
  asked                                                               its questions so far, as JSON
  counted                                          how many questions met which fault, as JSON

A name that it does not know does not exist. Times are in seconds. Faults, by type or for all with
"*": swallow, servfail, refused, nxdomain, truncate (over UDP; TCP has it all), cut (truncated over UDP,
and TCP ends without an answer), wrong (another name's answer first), garbage (bytes that are no
answer, and the true one under another question's id; nothing else). A delay counts as a fault too.
"""

import argparse
import collections
import json
import os
import socket
import socketserver
import struct
import sys
import threading
import time

from dnslib import AAAA, CNAME, QTYPE, RCODE, RR, A, DNSRecord

CODES = {"servfail": RCODE.SERVFAIL, "refused": RCODE.REFUSED, "nxdomain": RCODE.NXDOMAIN}


class Zone:
    """What the server knows, and what it was asked."""

    def __init__(self):
        self.lock = threading.Lock()
        self.names = {}
        self.asked = []
        self.counted = collections.Counter()

    def set(self, names):
        with self.lock:
            self.names = {name.lower().rstrip("."): about for name, about in names.items()}

    def answers(self, packet, over):
        """The packets that answer one, after their delay; None: the connection ends."""
        question = DNSRecord.parse(packet)
        name = str(question.q.qname).lower().rstrip(".")
        kind = QTYPE[question.q.qtype]
        with self.lock:
            self.asked.append({"name": name, "type": kind, "over": over})
            about = self.names.get(name)
        reply = question.reply()
        if about is None:
            reply.header.rcode = RCODE.NXDOMAIN
            return [reply.pack()]
        pick = lambda values: values.get(kind, values.get("*"))
        delay = pick(about.get("delay", {})) or 0
        fault = pick(about.get("fault", {}))
        with self.lock:
            self.counted.update([fault] * bool(fault) + ["delay"] * bool(delay))
        time.sleep(delay)
        if fault == "cut" and over == "tcp":
            return None
        if fault == "swallow":
            return []
        if fault in CODES:
            reply.header.rcode = CODES[fault]
            return [reply.pack()]
        if fault in ("truncate", "cut") and over == "udp":
            reply.header.tc = 1
            return [reply.pack()]
        ttl = about.get("ttl", 30)
        owner = question.q.qname
        if "CNAME" in about:
            reply.add_answer(RR(owner, QTYPE.CNAME, rdata=CNAME(about["CNAME"]),
                                ttl=about.get("cname_ttl", ttl)))
            owner = about["CNAME"]
        record = {"A": A, "AAAA": AAAA}.get(kind)
        for address in about.get(kind, []):
            reply.add_answer(RR(owner, question.q.qtype, rdata=record(address), ttl=ttl))
        packets = [reply.pack()]
        if fault == "garbage":
            reply.header.id ^= 0x5555
            return [os.urandom(40), reply.pack()]
        if fault == "wrong":
            other = DNSRecord.question("other.test", kind).reply()
            other.header.id = question.header.id
            other.add_answer(RR("other.test", question.q.qtype, rdata=record(about[kind][0]), ttl=ttl))
            packets.insert(0, other.pack())
        return packets


class OverUdp(socketserver.BaseRequestHandler):
    def handle(self):
        packet, sender = self.request
        for answer in self.server.zone.answers(packet, "udp"):
            sender.sendto(answer, self.client_address)


class OverTcp(socketserver.StreamRequestHandler):
    def handle(self):
        while len(length := self.rfile.read(2)) == 2:
            packet = self.rfile.read(struct.unpack("!H", length)[0])
            answers = self.server.zone.answers(packet, "tcp")
            if answers is None:
                return
            for answer in answers:
                self.wfile.write(struct.pack("!H", len(answer)) + answer)


class UdpServer(socketserver.ThreadingUDPServer):
    daemon_threads = True
    max_packet_size = 65535


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def serve(address, port, zone):
    """Both servers, on one port, each on a thread of its own."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    UdpServer.address_family = TcpServer.address_family = family
    for _ in range(100):
        udp = UdpServer((address, port), OverUdp)
        try:
            tcp = TcpServer((address, udp.server_address[1]), OverTcp)
        except OSError:  # taken over TCP by somebody else
            udp.server_close()
            if port:
                raise
            continue
        for server in udp, tcp:
            server.zone = zone
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return udp.server_address[1]
    raise OSError("no port is free over both UDP and TCP")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    zone = Zone()
    print(serve(arguments.address, arguments.port, zone), flush=True)
    for line in sys.stdin:
        command, _, rest = line.strip().partition(" ")
        if command == "set":
            zone.set(json.loads(rest))
            print("ok", flush=True)
        elif command == "asked":
            with zone.lock:
                print(json.dumps(zone.asked), flush=True)
        elif command == "counted":
            with zone.lock:
                print(json.dumps(zone.counted), flush=True)
        else:
            print("unknown", flush=True)


if __name__ == "__main__":
    main()
