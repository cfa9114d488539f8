"""A PostgreSQL of the benchmarks' own, as tests/chaos starts it, and what it says of itself."""

import os
import pathlib
import re
import secrets
import shutil
import sys
import tempfile
import time

from programs import ROOT, BenchError

sys.path.insert(0, str(ROOT / "tests/chaos"))
import postgres  # noqa: E402  (the folder of tests/chaos is no package)

PASSWORD_VARIABLE = "LEASE_GATEWAY_DATABASE_PASSWORD"


class Database:
    """A server with fsync in a temporary folder, in which each gateway, or set of replicas, has a
    database by itself. Functions block."""

    def __init__(self, log):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lease-gateway-bench-postgres-"))
        self.log = pathlib.Path(log)
        self.made = 0
        self.folder.chmod(0o711)
        if who := postgres.unprivileged():
            os.chown(self.folder, who["user"], who["group"])
        self.server = postgres.Server(str(self.folder / "data"), str(log), secrets.token_hex(8))
        try:
            self.server.init()
            with open(self.folder / "data/postgresql.conf", "a", encoding="ascii") as file:
                # No checkpoint, after which each page is written whole, comes while something is measured.
                file.write("checkpoint_timeout = 1h\nmax_wal_size = 8GB\n")
            self.server.start()
        except BaseException:
            self.stop()
            raise

    @property
    def environment(self):
        return {PASSWORD_VARIABLE: self.server.password}

    def new(self):
        """The name of one that is empty."""
        self.made += 1
        name = f"bench_{self.made}"
        self.server.ask(f"CREATE DATABASE {name}")
        return name

    def url(self, name):
        return f"postgresql://{postgres.USER}@127.0.0.1:{self.server.port}/{name}?sslmode=disable"

    def ask(self, sql, name="postgres"):
        return self.server.ask(sql, name)

    def wal_bytes(self):
        """Written since the server was made."""
        return int(self.ask("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))

    def log_statements(self, how):
        """Whether the server's log has each statement: 'all' or 'none'; since when it is so."""
        self.ask(f"ALTER SYSTEM SET log_statement = '{how}'")
        self.ask("ALTER SYSTEM SET log_line_prefix = '%m %v '")
        self.ask("SELECT pg_reload_conf()")
        end = time.monotonic() + 10
        while self.ask("SHOW log_statement") != how:
            if time.monotonic() > end:
                raise BenchError("PostgreSQL does not take log_statement")
            time.sleep(0.02)

    def transactions(self, since):
        """Of the log from byte `since` on: [(seconds, {names of statements})], each transaction once.

        The gateway sends each with all its statements at once: one round trip.
        """
        text = self.log.read_bytes()[since:].decode(errors="replace")
        found = {}
        for moment, transaction, name in re.findall(
                r"^\S+ (\d+:\d+:[\d.]+) \S+ (\d+/\d+) LOG:  execute lg_[0-9a-f]+_(\w+):", text, re.M):
            hours, minutes, seconds = moment.split(":")
            at = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            found.setdefault(transaction, (at, set()))[1].add(name)
        return sorted(found.values(), key=lambda entry: entry[0])

    def stop(self):
        self.server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
