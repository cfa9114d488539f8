"""nginx with the configuration of the overlay `edge`, as rendered, before a gateway with its config.yaml: what callers of
every kind get through it, and what strangers don't."""
import contextlib
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

import yaml

from .checks import SERVICE, check
from .rendered import Gateway, Rendered

POD_USER = 65532
NUMBERS = 8000
# Longer than what nginx's timeouts are by default, 60 s.
SILENCE = 66


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(condition, limit=20):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if condition():
                return True
        time.sleep(0.1)
    return False


class Trial:
    """The two programs, and the files that Kubernetes would mount for them."""

    def __init__(self, rendered, binaries):
        self.folder = tempfile.mkdtemp(prefix="lease-gateway-edge.")
        self.binaries = binaries
        self.port, self.inner, self.admin = free_port(), free_port(), free_port()
        self.processes = []
        for name in ("tls", "tmp", "next"):
            os.mkdir(self.path(name))
        self.openssl("req", "-x509", "-days", "2", "-subj", "/CN=authority", "-addext",
                     "keyUsage=critical,keyCertSign", "-keyout", self.path("ca.key"), "-out",
                     self.path("tls", "ca.crt"))
        self.issue("tls", "tls")
        self.issue("next", "tls")
        self.issue("", "caller")
        objects = list(yaml.safe_load_all(rendered))
        gateway = Gateway(os.path.join(binaries, "lease-gateway"))
        self.edge = Rendered("edge", objects, gateway)
        self.nginx_conf = self.write("nginx.conf", self.placed(self.edge.mounted(self.edge.edge, "/etc/lease-gateway-edge/nginx.conf")))
        # The provider is a sandbox here, and wants no key.
        self.config = gateway.write("".join(line for line in self.edge.config_text.splitlines(keepends=True)
                                            if not line.startswith("upstream_token_file:")))
        os.chmod(self.folder, 0o755)
        if os.getuid() == 0:
            for folder, folders, files in os.walk(self.folder):
                for name in (*folders, *files):
                    os.chown(os.path.join(folder, name), POD_USER, POD_USER)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def placed(self, text):
        """The configuration with this trial's ports and folders in it."""
        for old, new in (("/tmp/", self.path("tmp") + "/"), ("/var/run/secrets/tls/", self.path("tls") + "/"),
                         ("listen 50051 ", f"listen 127.0.0.1:{self.port} "), ("127.0.0.1:50052", f"127.0.0.1:{self.inner}")):
            if old not in text:
                raise AssertionError(f"nginx.conf has no {old}")
            text = text.replace(old, new)
        return text

    def openssl(self, command, *arguments):
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes") if command == "req" else ()
        subprocess.run(["openssl", command, *key, *arguments], check=True, capture_output=True)

    def issue(self, folder, name):
        crt, key = self.path(folder, f"{name}.crt"), self.path(folder, f"{name}.key")
        names = self.write("names", "subjectAltName=DNS:localhost")
        self.openssl("req", "-subj", f"/CN={name}", "-keyout", key, "-out", self.path("request"))
        self.openssl("x509", "-req", "-in", self.path("request"), "-CA", self.path("tls", "ca.crt"), "-CAkey",
                     self.path("ca.key"), "-CAcreateserial", "-days", "2", "-extfile", names, "-out", crt)

    def start(self, name, *command, **options):
        with open(self.path(f"{name}.log"), "w", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, **options)  # pylint: disable=consider-using-with
        self.processes.append(process)
        return process

    def begin(self):
        """Whether both serve."""
        self.start("gateway", os.path.join(self.binaries, "lease-gateway"), "--config", self.config, "--sandbox",
                   "--sandbox-numbers", str(NUMBERS), "--listen", f"127.0.0.1:{self.inner}", "--admin-listen",
                   f"127.0.0.1:{self.admin}", "--watch-heartbeat", f"{SILENCE}s", "--drain-wait", "1s", "--log-format", "text")
        as_in_the_pod = {"user": POD_USER, "group": POD_USER, "extra_groups": []} if os.getuid() == 0 else {}
        self.nginx = self.start("nginx", "/usr/sbin/nginx", "-e", "stderr", "-c", self.nginx_conf, "-g", "daemon off;",
                                **as_in_the_pod)
        return all(eventually(lambda p=port: socket.create_connection(("127.0.0.1", p), 1).close() is None)
                   for port in (self.inner, self.port))

    def end(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder)

    def log(self, name):
        with open(self.path(f"{name}.log"), encoding="utf-8") as file:
            return file.read()

    def read(self, *names):
        with open(self.path(*names), "rb") as file:
            return file.read()

    def resident(self):
        """MiB of nginx's processes."""
        with open(f"/proc/{self.nginx.pid}/task/{self.nginx.pid}/children", encoding="utf-8") as file:
            pids = [self.nginx.pid, *map(int, file.read().split())]
        pages = 0
        for pid in pids:
            with open(f"/proc/{pid}/statm", encoding="utf-8") as file:
                pages += int(file.read().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") >> 20

    def leasectl(self, *arguments):
        return subprocess.run([os.path.join(self.binaries, "leasectl"), "--target", f"localhost:{self.port}", "--tls", "--ca-file",
                               self.path("tls", "ca.crt"), "--cert-file", self.path("caller.crt"), "--key-file",
                               self.path("caller.key"), "--timeout", "60s", *arguments], capture_output=True, text=True,
                              timeout=90, check=False)

    def channel(self, certified=True):
        import grpc  # pylint: disable=import-outside-toplevel
        own = (self.read("caller.key"), self.read("caller.crt")) if certified else (None, None)
        return grpc.secure_channel(f"localhost:{self.port}", grpc.ssl_channel_credentials(self.read("tls", "ca.crt"), *own),
                                   [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 << 20)])

    def stranger(self, address="127.0.0.3"):
        """A connection from an address of its own, as one whose certificate was stolen has it."""
        context = ssl.create_default_context(cafile=self.path("tls", "ca.crt"))
        context.load_cert_chain(self.path("caller.crt"), self.path("caller.key"))
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", self.port), 10, source_address=(address, 0))
        connection = context.wrap_socket(plain, server_hostname="localhost")
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
        return connection


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header_block(method):
    """In HPACK, of literals alone."""
    def literal(name, value):
        return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
    path = f"/{SERVICE}/{method}".encode()
    return b"\x83\x87" + b"".join(literal(name, value) for name, value in (
        (b":path", path), (b":authority", b"localhost"), (b"content-type", b"application/grpc"), (b"te", b"trailers")))


def call(channel, method, request=b"", timeout=60, **options):
    """The answer, or the error."""
    import grpc  # pylint: disable=import-outside-toplevel
    try:
        return channel.unary_unary(f"/{SERVICE}/{method}")(request, timeout=timeout, **options)
    except grpc.RpcError as error:
        return error


def code(answer):
    return "OK" if isinstance(answer, bytes) else answer.code().name


def closed_within(connection, limit):
    """Seconds until the peer ended the connection; None: it has not."""
    begin = time.monotonic()
    try:
        while (left := begin + limit - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(1 << 16):
                return time.monotonic() - begin
    except (TimeoutError, socket.timeout):
        return None
    except OSError:
        return time.monotonic() - begin
    return None


def heard(connection, end):
    """What the peer says, up to this."""
    said = b""
    connection.settimeout(20)
    with contextlib.suppress(OSError):
        while end not in said:
            received = connection.recv(1 << 16)
            if not received:
                break
            said += received
    return said


def flooded(connection, data, most):
    """Whether nginx ends the connection before it has taken so many bytes. (What comes later it reads and drops.)"""
    sent = 0
    try:
        while sent < most:
            connection.settimeout(10)
            connection.sendall(data)
            sent += len(data)
            connection.settimeout(0.01)
            with contextlib.suppress(TimeoutError, socket.timeout, ssl.SSLWantReadError):
                if not connection.recv(1 << 16):
                    return True
    except OSError:
        return True
    return False


class Watch(threading.Thread):
    """Counts what WatchAvailability says."""

    def __init__(self, channel, timeout=None):
        super().__init__(daemon=True)
        self.stream = channel.unary_stream(f"/{SERVICE}/WatchAvailability")(b"", timeout=timeout)
        self.messages, self.error, self.last = 0, None, time.monotonic()
        self.silence = 0
        self.start()

    def run(self):
        import grpc  # pylint: disable=import-outside-toplevel
        try:
            for _ in self.stream:
                self.silence = max(self.silence, time.monotonic() - self.last)
                self.last = time.monotonic()
                self.messages += 1
        except grpc.RpcError as error:
            self.error = error


def callers(trial):
    numbers = trial.leasectl("available", "--page-size", "10")
    lines = [line.split()[0] for line in numbers.stdout.splitlines() if line.startswith("+")]
    check("through nginx: leasectl lists", [] if lines else [numbers.stderr])
    bought = trial.leasectl("lease", lines[0] if lines else "+1")
    check("it leases", [] if bought.returncode == 0 and "active" in bought.stdout else [bought.stderr])
    missing = trial.leasectl("show", "+19999999999")
    check("an error has its reason and details",
          [] if "NUMBER_NOT_FOUND" in missing.stderr and "http status: 404" in missing.stderr else [missing.stderr])
    channel = trial.channel()
    answer = call(channel, "ListAvailableNumbers")
    check("a reply of a megabyte", [] if code(answer) == "OK" and len(answer) > 1 << 20 else [str(answer)[:200]])
    answer = call(channel, "GetNumber", b"\x0a\x0c+19999999999" + b"\x7a\xc0\xff\x3f" + b"x" * ((1 << 20) - 64))
    check("a request as long as the gateway takes", [] if code(answer) == "NOT_FOUND" else [str(answer)])
    answer = call(channel, "ListLeases", metadata=(("x-long", "b" * 7000),))
    check("long metadata", [] if code(answer) == "OK" else [str(answer)])
    answer = call(channel, "NoSuchMethod")
    check("a method that there is not", [] if code(answer) == "UNIMPLEMENTED" else [str(answer)])
    refused = call(trial.channel(certified=False), "ListLeases", timeout=30)
    check("without a certificate nobody is served", [] if code(refused) in ("INTERNAL", "UNAVAILABLE") else [str(refused)])
    failed = []

    def many():
        with trial.channel() as own:
            for _ in range(100):
                answer = call(own, "ListLeases")
                if code(answer) != "OK":
                    failed.append(str(answer))
                call(own, "ListAvailableNumbers", timeout=0.002)  # given up

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("calls that others give up disturb none of 400", failed[:3])


def strangers(trial):
    idle = trial.resident()
    silent = trial.stranger("127.0.0.4")
    hold = []
    for _ in range(5):
        hold.append(trial.stranger())
        hold[-1].sendall(b"".join(frame(1, 4, 1 + 2 * index, header_block("ListLeases")) for index in range(256)))
    time.sleep(1)
    one_more = trial.stranger()
    one_more.sendall(frame(1, 5, 1, header_block("ListLeases")))
    check("an address with a thousand calls begun gets no more", [] if b"<h1>429" in heard(one_more, b"</html>") else ["it does"])
    with trial.channel() as other:
        begin = time.monotonic()
        answer = call(other, "ListLeases")
        check("others are served meanwhile", [] if code(answer) == "OK" and time.monotonic() - begin < 5 else [str(answer)])
    block = header_block("ListLeases")
    floods = {
        "SETTINGS": (b"", frame(4, 0, 0) * 5000),
        "CONTINUATION": (frame(1, 0, 1, block), frame(9, 0, 1, b"\x00\x01a\x01b" * 200)),
    }
    for name, (first, data) in floods.items():
        connection = trial.stranger("127.0.0.4")
        connection.sendall(first)
        check(f"{name} without end ends the connection", [] if flooded(connection, data, 64 << 20) else ["64 MiB were taken"])
    many = trial.stranger("127.0.0.4")
    # A byte each, and some hundred in gRPC's memory.
    many.sendall(frame(1, 5, 1, block + b"\x40\x01a\x00" + b"\xbe" * 500))
    check("a call with hundreds of header fields is refused", [] if b"<h1>400" in heard(many, b"</html>") else ["it is not"])
    seconds = closed_within(silent, 60)
    check("who says nothing is not waited for", [] if seconds is not None else ["for a minute"])
    grown = trial.resident() - idle
    check(f"nginx takes {grown} MiB more at that", [] if grown <= 256 else ["more than 256"])
    for connection in (*hold, one_more):
        connection.close()


def renewed(trial):
    def serial():
        context = ssl.create_default_context(cafile=trial.path("tls", "ca.crt"))
        with socket.create_connection(("127.0.0.1", trial.port), 10) as plain, \
                context.wrap_socket(plain, server_hostname="localhost") as connection:
            return connection.getpeercert()["serialNumber"]
    before = serial()
    for name in ("tls.key", "tls.crt"):
        os.replace(trial.path("next", name), trial.path("tls", name))
    check("a renewed certificate is shown without a restart", [] if eventually(lambda: serial() != before, 5) else ["the old one"])


def drained(trial):
    with trial.channel() as channel:
        watch = Watch(channel)
        eventually(lambda: watch.messages)
        os.kill(trial.nginx.pid, signal.SIGQUIT)

        def refused():
            try:
                socket.create_connection(("127.0.0.1", trial.port), 1).close()
            except ConnectionRefusedError:
                return True
            return False
        check("at SIGQUIT nginx takes no more connections", [] if eventually(refused, 5) else ["it does"])
        time.sleep(1)
        check("what is under way goes on", [] if watch.error is None and trial.nginx.poll() is None else [str(watch.error)])
        watch.stream.cancel()
    try:
        status = trial.nginx.wait(10)
        check("and nginx ends with the last call", [] if status == 0 else [f"status {status}"])
    except subprocess.TimeoutExpired:
        check("and nginx ends with the last call", ["it does not"])


def tried(rendered, binaries):
    """`rendered`: the overlay's file; `binaries`: the folder of the programs."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and ends what it has started
    with open(rendered, encoding="utf-8") as file:
        trial = Trial(file.read(), binaries)
    try:
        if not trial.begin():
            check("nginx and the gateway start", [trial.log("nginx"), trial.log("gateway")])
            return
        begin = time.monotonic()
        with trial.channel() as channel:
            watch = Watch(channel)
            callers(trial)
            strangers(trial)
            renewed(trial)
            eventually(lambda: watch.silence > 60 or watch.error, SILENCE + 10 - (time.monotonic() - begin))
            check(f"a watch without a word for {SILENCE} s goes on",
                  [] if watch.silence > 60 and watch.error is None else [f"{watch.silence:.1f} s, {watch.error}"])
            watch.stream.cancel()
        drained(trial)
        wrong = [line for line in trial.log("nginx").splitlines() if "[emerg]" in line or "[alert]" in line]
        check("nginx found nothing wrong with itself", wrong[:3])
    finally:
        trial.end()
