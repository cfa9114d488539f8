"""The database as a worker has it: two servers, the proxy before each gateway, a reader of its own."""

import json
import os
import subprocess
import sys
import threading
import time

import psycopg2

import checker
import history
import limits
import postgres

# Operations that are open and whose owner is not alive, of which there may be none for long.
ORPHANS = """
SELECT o.request_id, o.owner FROM lease_gateway.operations o
LEFT JOIN lease_gateway.replica r ON r.id = o.owner
WHERE o.state IN ('INTENDED', 'SENT', 'UNKNOWN') AND (r.id IS NULL OR r.alive_until < clock_timestamp())
"""


class Proxy:
    """The process of tcp_proxy.py. Functions block; thread-safe."""

    def __init__(self, replicas, server_ports, provider_port, log):
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "tcp_proxy.py"),
             "--gateways", str(replicas), "--servers", ",".join(map(str, server_ports)),
             "--provider", str(provider_port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        said = json.loads(self.process.stdout.readline())
        self.ports, self.provider_port = said["ports"], said["provider"]
        self.counts = {}

    def do(self, do, **more):
        with self.lock:
            self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self.process.stdin.flush()
            self.counts = json.loads(self.process.stdout.readline())["counts"]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)


class Database:
    """`provider_port`: of the gateway that can be kept from connecting to the provider."""

    def __init__(self, folder, replicas, provider_port):
        self.provider_port = provider_port
        self.pair = postgres.Pair(folder)
        self.log = open(os.path.join(folder, "proxy.log"), "wb")
        self.proxy = None
        self.history = history.History(self)
        self.replicas = replicas
        self.local = threading.local()

    def start(self):
        self.pair.start()
        self.proxy = Proxy(self.replicas, [server.port for server in self.pair.servers],
                           self.provider_port, self.log)

    @property
    def password(self):
        return self.pair.password

    def url(self, replica):
        """The replica's own way to whichever server takes writes."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.proxy.ports[replica])
        return (f"postgresql://{postgres.USER}@{hosts}/{postgres.DATABASE}"
                "?target_session_attrs=read-write&sslmode=disable"
                f"&application_name={history.PREFIX}{replica}")

    def ask(self, sql, *arguments):
        """All rows. Blocks until the database answers, 60 s at most."""
        end = time.monotonic() + 60
        while True:
            try:
                connection = self.pair.connect()
                try:
                    with connection.cursor() as cursor:
                        cursor.execute(sql, arguments)
                        return cursor.fetchall()
                finally:
                    connection.close()
            except psycopg2.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def journal_rows(self, since=0):
        """The operations, as a client outside the project reads them; `since` in nanoseconds."""
        rows = self.ask("SELECT request_id, kind, state, phone_number, lease_id "
                        "FROM lease_gateway.operations "
                        "WHERE create_time >= to_timestamp(%s::numeric / 1000000)", since // 1000)
        return [checker.Operation(*row) for row in rows]

    def try_to_ask(self, sql, *arguments):
        """All rows; None when the database can't be asked now. Each thread has a connection of its own."""
        try:
            if not hasattr(self.local, "connection"):
                self.local.connection = self.pair.connect()
            with self.local.connection.cursor() as cursor:
                cursor.execute(sql, arguments)
                return cursor.fetchall()
        except psycopg2.Error:
            if hasattr(self.local, "connection"):
                self.local.connection.close()
                del self.local.connection
            return None

    def state_of(self, request_id):
        """Nothing when it is not there, or can't be read now."""
        rows = self.try_to_ask("SELECT state FROM lease_gateway.operations WHERE request_id = %s",
                               request_id)
        return rows[0][0] if rows else None

    def orphans(self):
        """{(request_id, owner)} of open operations with no living owner; None: it can't be read."""
        rows = self.try_to_ask(ORPHANS)
        return None if rows is None else set(rows)

    def unreserved(self):
        """Rows of limits.UNRESERVED; none, too, when the database can't be asked now."""
        return self.try_to_ask(limits.UNRESERVED.format(schema="lease_gateway.")) or []

    def stop(self):
        if self.proxy:
            self.proxy.stop()
        self.pair.stop()
