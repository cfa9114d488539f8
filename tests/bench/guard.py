"""What the guard of callers' connections costs and gives: hits with it and without, the memory of
connections that are idle, what others wait for who call beside peers at full speed, and what nginx in
front would cost in the guard's place."""

import os
import resource
import socket
import ssl
import statistics
import struct
import subprocess
import time

import programs
from load import Load
from programs import BenchError, Process, die_with_parent, free_port, listening
from replicas import ReplicaBench
from servers import LONG
from workloads import GET_NUMBER, LIST

IDLE = 10_000  # connections, where the limit of descriptors allows as many
OTHERS = 512  # connections' worth of descriptors that the guard leaves to others
PER_ADDRESS = 100  # connections
MANY = ["--max-connections", "20000"]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, ACK = b"\0\0\0\4\0\0\0\0\0", b"\0\0\0\4\1\0\0\0\0"
FRAME = 9  # bytes of a frame's header


def idle_connections():
    """How many a gateway that is started from now on takes of a few addresses: each is two of its descriptors."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(IDLE, (hard // 2 - OTHERS) * 9 // 10)  # of the last tenth an address gets few


class IdleConnection:
    """Of a caller that has nothing to ask: both sides have said SETTINGS and confirmed them."""

    def __init__(self, port, tls, index):
        # An address may connect so often, and no more.
        source = f"127.7.{index // PER_ADDRESS}.1"
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self.socket.sendall(PREFACE + SETTINGS)
        missing, buffer = {0, 1}, b""
        while missing:
            more = self.socket.recv(4096)
            if not more:
                raise BenchError("the gateway ended a connection that does nothing")
            buffer += more
            while len(buffer) >= FRAME and len(buffer) >= FRAME + int.from_bytes(buffer[:3], "big"):
                if buffer[3] == 4:
                    missing.discard(buffer[4] & 1)
                buffer = buffer[FRAME + int.from_bytes(buffer[:3], "big"):]
        self.socket.sendall(ACK)

    def call(self, request):
        """Asks once, and reads until the call has ended."""
        def literal(name, value):
            return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value

        # POST and http of HPACK's static table.
        headers = b"\x83\x86" + b"".join(literal(*field) for field in (
            (b":path", GET_NUMBER.encode()), (b":authority", b"bench"), (b"te", b"trailers"),
            (b"content-type", b"application/grpc")))
        self.socket.sendall(struct.pack(">IBI", len(headers) << 8 | 1, 4, 1) + headers
                            + struct.pack(">IBI", len(request) << 8, 1, 1) + request)
        buffer = b""
        while True:
            more = self.socket.recv(4096)
            if not more:
                raise BenchError("the gateway ended a connection that called")
            buffer += more
            while len(buffer) >= FRAME and len(buffer) >= FRAME + int.from_bytes(buffer[:3], "big"):
                if buffer[3] == 1 and buffer[4] & 1:
                    return
                buffer = buffer[FRAME + int.from_bytes(buffer[:3], "big"):]

    def close(self):
        self.socket.close()


class GuardBench(ReplicaBench):
    """The workloads of ReplicaBench, and those of the guard."""

    GUARD = ("guard_hit", "guard_idle", "guard_busy", "guard_edge")
    WORKLOADS = (*ReplicaBench.WORKLOADS, *GUARD)
    GROUPS = {**ReplicaBench.GROUPS, "guard": GUARD}

    def guard_hit(self):
        cert, key = self.certificate()
        gateway = self.gateway(100)
        self.say("GetNumber from a bare server with the guard and without, 16 and 1,000 connections, and TLS")
        size = 5 + gateway.get_number.stat().st_size
        for name, clients, streams, flags in (("16 connections", 16, 100, ()), ("1,000 connections", 1_000, 10, ()),
                                              ("16 connections with TLS", 16, 100,
                                               ("--tls-cert-file", cert, "--tls-key-file", key))):
            servers = {"with the guard": self.bare("bench_floor", gateway, "--guard", *flags),
                       "without": self.bare("bench_floor", gateway, *flags)}
            values = self.rates([
                Load(which, server.port, GET_NUMBER, size, gateway.request, clients, streams,
                     scheme="https" if flags else "http") for which, server in servers.items()])
            # What TLS costs beside it has no bar.
            self.compare(f"Hit with the guard, {name}", values, "calls/s", "with the guard", "without",
                         **({} if flags else {"least": 0.97}))
            for server in servers.values():
                self.stop(server)

    def guard_idle(self):
        count = idle_connections()
        cert, key = self.certificate()
        trusting = ssl.create_default_context(cafile=cert)
        trusting.set_alpn_protocols(["h2"])
        files = ("--tls-cert-file", cert, "--tls-key-file", key)
        weights = {}
        for name, flags, tls in (("in cleartext", (), None), ("with TLS", files, trusting)):
            self.say(f"Memory of {count:,} idle connections {name}")
            gateway = self.gateway(100, *LONG, "--keepalive-time", "1h", *MANY, *flags)
            connections = []
            try:
                before = gateway.resident_mib()
                for index in range(count):
                    connections.append(IdleConnection(gateway.port, tls, index))
                time.sleep(1)
                idle = gateway.resident_mib()
                for connection in connections:
                    connection.call(gateway.request.read_bytes())
                time.sleep(1)
                called = gateway.resident_mib()
            finally:
                for connection in connections:
                    connection.close()
            weights[name] = (idle - before) / count * 1024
            bar = {} if tls else {"most": 1}
            self.add(f"Memory of one of {count:,} idle connections {name}", weights[name], "KiB", "30 KiB", weights[name] / 30, **bar)
            once = (called - before) / count * 1024
            self.add(f"and once it has called, {name}", once, "KiB", "30 KiB", once / 30, **bar)
            self.stop(self.gateways.pop((100, (*LONG, "--keepalive-time", "1h", *MANY, *flags))))
        self.add("What TLS adds to an idle connection", weights["with TLS"] - weights["in cleartext"], "KiB")

    def guard_busy(self):
        gateway = self.gateway(10_000)
        large = self.work / "request-large"
        body = b"\x0a\xc0\xff\x3f" + b"5" * ((1 << 20) - 64)  # a phone_number of a megabyte
        large.write_bytes(b"\0" + len(body).to_bytes(4, "big") + body)
        empty = self.work / "request-empty"
        empty.write_bytes(b"\0" * 5)
        peers = {"nobody": None, "hits": (GET_NUMBER, gateway.request, 1_000),
                 "requests of 1 MiB": (GET_NUMBER, large, 16), "lists of 10,000": (LIST, empty, 16)}
        self.say("One call at a time beside two peers at full speed")

        def beside(peer):
            busy = []
            try:
                for _ in range(2 if peer else 0):
                    path, data, streams = peer
                    load = Load("busy", gateway.port, path, 0, data, clients=1, streams=streams)
                    busy.append(subprocess.Popen(load.command(1_000_000_000), stdout=subprocess.DEVNULL,
                                                 stderr=subprocess.DEVNULL, preexec_fn=die_with_parent))
                time.sleep(0.2)
                row = self.client("get-number", gateway, "--numbers", gateway.numbers, "--seconds", self.seconds)
                if any(process.poll() is not None for process in busy):
                    raise BenchError("a peer that was to be busy has ended")
                return row
            finally:
                for process in busy:
                    process.kill()
                    process.wait()

        rows = self.interleave({name: lambda peer=peer: beside(peer) for name, peer in peers.items()})
        for name in list(peers)[1:]:
            p99 = statistics.median(row["p99_us"] for row in rows[name]) / 1000
            longest = max(row["max_us"] for row in rows[name]) / 1000
            # As many hits as two connections may ask for at once are 2,000 that came first.
            bar = {} if name == "hits" else {"most": 1}
            self.add(f"Hit beside two peers, {name}: p99", p99, "ms", "50 ms", p99 / 50, **bar)
            self.add(f"Hit beside two peers, {name}: longest", longest, "ms", "500 ms", longest / 500, most=1)
        alone = statistics.median(row["p99_us"] for row in rows["nobody"]) / 1000
        self.add("and beside nobody: p99", alone, "ms")

    def edge(self, gateway):
        """nginx as the component edge has it. It asks nobody for a certificate, as h2load has none."""
        cert, key = self.certificate()
        folder = self.work / "edge"
        folder.mkdir()
        port = free_port()
        text = (programs.ROOT / "deploy/kubernetes/components/edge/nginx.conf").read_text()
        for old, new in (("/tmp/", f"{folder}/"), ("/var/run/secrets/tls/tls.crt", str(cert)),
                         ("/var/run/secrets/tls/tls.key", str(key)), ("listen 50051 ", f"listen 127.0.0.1:{port} "),
                         ("127.0.0.1:50052", f"127.0.0.1:{gateway.port}"),
                         ("ssl_client_certificate /var/run/secrets/tls/ca.crt;", ""),
                         ("ssl_verify_client on;", "ssl_verify_client off;")):
            if old not in text:
                raise BenchError(f"nginx.conf has no {old}")
            text = text.replace(old, new)
        user = "user root;\n" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(f"{user}{text}")
        nginx = self.keep(Process("nginx", [self.options.nginx, "-g", "daemon off;", "-c", folder / "nginx.conf",
                                            "-e", "stderr"], self.log("edge")))
        nginx.wait_for("port", lambda: listening(port))
        nginx.port, nginx.ca_file = port, cert
        return nginx

    def guard_edge(self):
        cert, key = self.certificate()
        inner = self.gateway(100, *LONG, "--trusted-proxies", "127.0.0.1")
        servers = {"through nginx": self.edge(inner),
                   "straight": self.gateway(100, *LONG, "--tls-cert-file", cert, "--tls-key-file", key)}
        self.say("Hits and misses over TLS, through nginx of the component edge and straight")
        size = 5 + inner.get_number.stat().st_size
        values = self.rates([Load(which, server.port, GET_NUMBER, size, inner.request, 16, 50, scheme="https")
                             for which, server in servers.items()])
        self.compare("Hit through nginx of edge, 16 connections with TLS", values, "calls/s", "through nginx", "straight")
        for callers in (1, 8):
            def miss(server, callers=callers):
                return self.client("get-number", server, "--numbers", inner.numbers, "--fresh", "--seconds", self.seconds,
                                   "--concurrency", callers)["p50_us"]
            values = self.interleave({which: lambda server=server: miss(server) for which, server in servers.items()})
            self.compare(f"Miss through nginx of edge, {callers} at a time, p50", values, "µs", "through nginx", "straight")
        self.stop(servers["through nginx"])
