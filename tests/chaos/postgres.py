"""PostgreSQL in a temporary folder: a primary, and a standby that takes over when it is told to."""

import ctypes
import glob
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import psycopg2

USER = DATABASE = "chaos"
# What a commit has promised survives a fail-over: the standby has it before the client hears of it.
# Dynamic shared memory is files of its folder: a server that is killed would leave it in /dev/shm.
SETTINGS = """
listen_addresses = '127.0.0.1'
fsync = on
synchronous_commit = on
full_page_writes = on
max_connections = 100
shared_buffers = 32MB
dynamic_shared_memory_type = mmap
wal_level = replica
max_wal_senders = 8
wal_keep_size = 256MB
hot_standby = on
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
log_line_prefix = '%m [%p] '
include_if_exists = 'own.conf'
"""

_given = set()  # ports whose servers may not have started yet


def programs():
    """The folder of the newest server's programs."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    if not found:
        raise RuntimeError("PostgreSQL is not installed: deploy/install.sh --postgres")
    return os.path.dirname(max(found, key=lambda path: int(path.split("/")[4])))


def unprivileged():
    """How to start what refuses to run as root: arguments of subprocess."""
    if os.geteuid() != 0:
        return {}
    names = [entry.pw_name for entry in pwd.getpwall()]
    account = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def free_port():
    """One that stays free for a server that starts again: the system takes none below 32768 for connections."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                _given.add(port)
                return port
            except OSError:
                pass


def remove_shared_memory_of(processes):
    """The System V shared memory that these made and nobody has attached.

    A server removes its own at its end, but not one that is killed; the system has 4,096.
    """
    with open("/proc/sysvipc/shm", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    for row in rows:
        shm_id, creator, attached = int(row[1]), int(row[4]), int(row[6])
        if creator in processes and attached == 0:
            ctypes.CDLL(None).shmctl(shm_id, 0, None)  # IPC_RMID


def await_end(process, seconds=10):
    """Of one that need not be a child of this one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with open(f"/proc/{process}/stat", encoding="latin-1") as file:
                if file.read().rpartition(")")[2].split()[0] in "ZX":
                    return
        except OSError:
            return
        time.sleep(0.005)


class Server:
    """One server's data, port and process. All functions block."""

    def __init__(self, folder, log_path, password):
        self.folder, self.password = folder, password
        self.log = open(log_path, "ab")
        self.port = free_port()
        self.process = None
        self.bin = programs()

    def run(self, program, *arguments, **more):
        done = subprocess.run([os.path.join(self.bin, program), *arguments], stdin=subprocess.DEVNULL,
                              stdout=self.log, stderr=self.log, timeout=60, cwd="/",
                              **unprivileged(), **more)
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed with {done.returncode}; see {self.log.name}")

    def init(self):
        password_file = self.folder + ".password"
        with open(password_file, "w", encoding="ascii") as file:
            file.write(self.password)
        if os.geteuid() == 0:
            os.chown(password_file, unprivileged()["user"], -1)
        self.run("initdb", "-D", self.folder, "-U", USER, "--auth=scram-sha-256", "--no-sync",
                 "--encoding=UTF8", "--locale=C", f"--pwfile={password_file}")
        os.remove(password_file)
        with open(os.path.join(self.folder, "postgresql.conf"), "a", encoding="ascii") as file:
            file.write(SETTINGS)
        self.configure(False)

    def configure(self, is_synchronous):
        """What this server has of its own: its port, and whether a commit waits for a standby."""
        path = os.path.join(self.folder, "own.conf")
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(f"port = {self.port}\nunix_socket_directories = '{os.path.dirname(self.folder)}'\n"
                       f"synchronous_standby_names = '{'*' if is_synchronous else ''}'\n")
        os.replace(path + ".new", path)
        os.chmod(path, 0o644)
        if self.process:
            self.process.send_signal(signal.SIGHUP)

    def start(self):
        self.process = subprocess.Popen(
            [os.path.join(self.bin, "postgres"), "-D", self.folder], stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log, cwd="/", start_new_session=True, **unprivileged())
        end = time.monotonic() + 60
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg2.OperationalError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"PostgreSQL did not start; see {self.log.name}") from None
                time.sleep(0.02)

    def connect(self, database=DATABASE):
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user=USER, dbname=database,
                                      password=self.password, connect_timeout=5)
        connection.autocommit = True
        return connection

    def ask(self, sql, database="postgres"):
        """The first column of the first row."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                row = cursor.fetchone() if cursor.description else None
                return row[0] if row else None
        finally:
            connection.close()

    def signal_all(self, number):
        """To the server and its children, each of which is in a session of its own; their ids."""
        children = []
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(path, encoding="latin-1") as file:
                    fields = file.read().rpartition(")")[2].split()
                if int(fields[1]) == self.process.pid:
                    children.append(int(path.split("/")[2]))
            except OSError:
                pass  # it has ended
        for pid in (self.process.pid, *children):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        return [self.process.pid, *children]

    def kill(self):
        """kill -9 of all its processes; none of its shared memory stays behind."""
        if self.process and self.process.poll() is None:
            self.signal_all(signal.SIGSTOP)  # so that no child is missed
            processes = self.signal_all(signal.SIGKILL)
            self.process.wait()
            for process in processes:
                await_end(process)
            remove_shared_memory_of(processes)


class Pair:
    """A primary with a synchronous standby, one of which is always the one to write to.

    Functions block; one disturbance at a time.
    """

    def __init__(self, log_folder):
        self.folder = tempfile.mkdtemp(prefix="chaos-postgres-")
        self.password = f"{random.SystemRandom().getrandbits(64):016x}"
        if os.geteuid() == 0:
            os.chown(self.folder, unprivileged()["user"], unprivileged()["group"])
        self.primary, self.standby = [
            Server(os.path.join(self.folder, name), os.path.join(log_folder, f"postgres-{name}.log"),
                   self.password) for name in ("a", "b")]
        self.servers = (self.primary, self.standby)  # whose places do not change
        self.lock = threading.Lock()
        self.has_standby = False
        self.downs = []  # [from, to] in which it could not be written to

    def start(self):
        self.primary.init()
        self.primary.start()
        self.primary.ask(f"CREATE DATABASE {DATABASE}")
        self.build_standby()

    def build_standby(self):
        """Copies the primary, and from then on no commit is answered that the copy does not have."""
        with self.lock:
            if self.has_standby:
                return
            self.standby.kill()
            shutil.rmtree(self.standby.folder, ignore_errors=True)
            self.standby.run(
                "pg_basebackup", "-D", self.standby.folder, "-h", "127.0.0.1", "-p",
                str(self.primary.port), "-U", USER, "--checkpoint=fast", "--no-sync", "--write-recovery-conf",
                env={**os.environ, "PGPASSWORD": self.password})
            self.standby.process = None
            self.standby.configure(False)
            self.standby.start()
            self.await_standby()
            self.primary.configure(True)
            end = time.monotonic() + 20
            while self.primary.ask("SHOW synchronous_standby_names") != "*":
                if time.monotonic() > end:
                    raise RuntimeError("the primary does not wait for its standby")
                time.sleep(0.02)
            self.has_standby = True

    def await_standby(self):
        """Until it has all that the primary has."""
        end = time.monotonic() + 30
        behind = ("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' "
                  "AND flush_lsn >= pg_current_wal_flush_lsn()")
        while not self.primary.ask(behind):
            if time.monotonic() > end:
                raise RuntimeError("the standby does not follow the primary")
            time.sleep(0.02)

    def _down(self):
        self.downs.append([time.monotonic(), float("inf")])

    def _up(self):
        self.downs[-1][1] = time.monotonic()

    def is_up(self):
        return not self.downs or self.downs[-1][1] < float("inf")

    def restart(self, pause):
        """kill -9 of the primary, and a new start on its files after `pause` seconds."""
        with self.lock:
            self._down()
            self.primary.kill()
            time.sleep(pause)
            self.primary.start()
            self._up()
            # What the crashed server had written, but not answered, can be read from now on. A
            # fail-over before the standby has it too would take it back.
            if self.has_standby:
                self.await_standby()

    def hang(self, seconds):
        with self.lock:
            self._down()
            self.primary.signal_all(signal.SIGSTOP)
            time.sleep(seconds)
            self.primary.signal_all(signal.SIGCONT)
            self._up()

    def fail_over(self, hangs):
        """The standby becomes the primary; the one before hangs for a while first, or dies at once.

        Returns false when there is no standby to promote.
        """
        with self.lock:
            if not self.has_standby:
                return False
            self._down()
            if hangs:
                self.primary.signal_all(signal.SIGSTOP)
            else:
                self.primary.kill()
            self.standby.ask("SELECT pg_promote(true, 30)")
            old = self.primary
            self.primary, self.standby, self.has_standby = self.standby, old, False
            old.kill()
            self._up()
            return True

    def connect(self):
        """A connection to whichever takes writes."""
        connection = psycopg2.connect(
            host="127.0.0.1,127.0.0.1", port=",".join(str(server.port) for server in self.servers),
            user=USER, dbname=DATABASE, password=self.password, connect_timeout=3,
            target_session_attrs="read-write", options="-c statement_timeout=10s")
        connection.autocommit = True
        return connection

    def stop(self):
        for server in self.servers:
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
