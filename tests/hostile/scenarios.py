"""Attacks on a gateway, one after the other, while those who do nothing wrong call it."""

import contextlib
import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import h2.exceptions

import attacks
import callers
import frames
import judge
import nghttp2_tools
import odd_caller
import world
from world import programs

CROWD = 64  # connections at once
SLOW_CLIENTS = 2000
FROZEN_SECONDS = 2.0
FROZEN = ("unended_streams", "rapid_reset", "ping")
PROBE_EVERY = 0.05
MILD_SECONDS = 1.2  # over its bar: then it counts as never cut
PROXIES = "127.200.0.0/16"
PROXY = "127.200.0.1"
TLS_ATTACKS = ("unended_streams", "continuation", "rapid_reset", "settings", "empty_data", "tiny_records", "never_read")
STOPS = ("unended_streams", "empty_data")


def addresses(first, second, count):
    return ",".join(f"127.{first}.{second}.{1 + i}" for i in range(count))


class Scenarios:
    """One after the other; each gives judge.Seen, or what was missed. Until `close`."""

    def __init__(self, options, bars):
        self.options, self.bars = options, bars
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="lease-gateway-hostile-"))
        self.logs = world.ROOT / "build/hostile/logs"
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        self.count = 0  # of logs, and of addresses to come from
        self.gateway = self.memory = self.callers = self.sandbox = None
        self.certificates = world.Certificates(self.work)
        self.sandbox = programs.Sandbox(world.NUMBERS, self.work, self.log("sandbox"))
        try:
            self.number = self.a_number()
        except programs.BenchError:
            self.close()
            raise
        known = subprocess.run([programs.BIN / "lease-gateway", "--help"], capture_output=True, text=True, check=False)
        self.flags = ["--trusted-proxies", PROXIES] if "--trusted-proxies" in known.stdout else []

    def log(self, name):
        self.count += 1
        return self.logs / f"{self.count:03}-{name}.log"

    def a_number(self):
        done = subprocess.run(
            ["curl", "-sS", "--fail", "--max-time", "20", "--cacert", str(self.sandbox.ca_file), "-H", "@-",
             f"{self.sandbox.url}/leases"], input=f"Authorization: Bearer {self.sandbox.key}\n",
            capture_output=True, text=True, check=False, env=programs.without_proxies())
        found = world.PHONE_NUMBER.search(done.stdout)
        if not found:
            raise programs.BenchError(f"the sandbox has no numbers: {done.stderr.strip() or done.stdout[:200]}")
        return found.group(0)

    # What is attacked.

    def start(self, mode):
        self.gateway = world.Gateway(self.sandbox, self.log(f"gateway-{mode}"), mode, self.certificates, self.flags)
        self.memory = world.Memory(self.gateway, self.options.emergency)
        self.callers = world.Callers(self.gateway, self.number, self.certificates, self.log, self.options.js)
        self.callers.wait_until_all_call()
        time.sleep(1)
        end = time.monotonic()
        self.idle = self.memory.peak(end - 0.5, end)
        self.knows_reasons = any(name == "lease_gateway_connections_cut_total"
                                 for name, _ in self.gateway.metrics() or {})

    def stop(self):
        for each in (self.callers, self.memory, self.gateway):
            if each:
                each.stop()
        self.gateway = self.memory = self.callers = None

    def close(self):
        self.stop()
        if self.sandbox:
            self.sandbox.stop()
        shutil.rmtree(self.work, ignore_errors=True)

    def cuts(self):
        """By reason, so far."""
        return {reason: value for (name, reason), value in (self.gateway.metrics() or {}).items()
                if name == "lease_gateway_connections_cut_total"}

    def ensure(self, mode, fresh):
        """A gateway that is as it should be: another one, if it has missed a bar (`fresh`) or ended."""
        if not fresh and self.gateway and self.gateway.mode == mode and self.gateway.alive():
            return
        self.stop()
        self.start(mode)

    # What is done to it.

    def attackers(self, name, sources, **more):
        return world.Attackers(name, self.gateway, self.number, self.certificates, self.log(f"attack-{name}"),
                               sources=sources, **more)

    def attack(self, name, sources=None, cut=None, reasons=None, with_certificate=True):
        """Two peers at full speed, a crowd, and a mild one; and what is left of it later."""
        attack = attacks.ATTACKS[name]
        seconds = self.options.seconds / 2
        self.count += 1
        first = 66 + self.count % 120
        before, start = self.cuts(), time.monotonic()
        seen = judge.Seen(idle_mib=self.idle, reasons=attack.reasons if reasons is None else reasons)
        seen.must_be_cut = bool(attack.reasons) if cut is None else cut

        def run(sources, **more):
            return self.attackers(name, sources, with_certificate=with_certificate, **more).report(
                more["seconds"] + 60)

        two = run(sources or addresses(first, 0, 2), connections=2, seconds=seconds)
        run(sources or addresses(first, 1, CROWD), connections=CROWD, seconds=seconds)
        if seen.must_be_cut:
            mild = run(sources or addresses(first, 2, 1), connections=1, mild=True, once=True,
                       seconds=self.bars.mild_s + MILD_SECONDS)
            seen.mild_s = mild["longest"]
        if attack.spared:
            seen.wronged = two["cut"]
        end = time.monotonic()
        self.settle(end + judge.SETTLE_SECONDS)
        time.sleep(0.3)  # until callers have said how their calls ended
        over = time.monotonic()
        if not attack.patient:
            # Of a crowd each is as slow as a mild one.
            seen.uncut, seen.lived_s = two["uncut"], two["longest"]
        seen.settled_mib, seen.peak_mib = self.memory.now(), self.memory.peak(start, over)
        seen.alive, seen.killed = self.gateway.alive(), self.memory.killed_at is not None
        seen.others = self.callers.between(start, over)
        seen.timed = [ms for who in judge.MEASURED for when, ms in seen.others.get(who, {}).get("calls", [])
                      if two["start"] <= when and when - ms / 1000 <= two["end"]]
        after = self.cuts()
        seen.cuts = {reason: value - before.get(reason, 0) for reason, value in after.items()}
        return seen

    def settle(self, end):
        """Until it has given its memory back."""
        while self.memory.now() - self.idle > self.bars.settled_mib and time.monotonic() < end:
            time.sleep(0.05)

    def peace(self, seconds):
        """Nobody attacks: what was missed."""
        before, start = self.cuts(), time.monotonic()
        time.sleep(seconds)
        found = []
        heard = self.callers.between(start, time.monotonic())
        for who in judge.MEASURED if self.options.js else judge.MEASURED[:1]:
            if not heard[who]["calls"]:
                found.append(f"{who}: no call ended")
        # Each watcher has a heartbeat a second.
        if len(heard["watcher"]["calls"]) < callers.WATCHERS * (seconds - 1) / 2:
            found.append(f"watchers: {len(heard['watcher']['calls'])} messages in {seconds:.0f} s")
        for who, record in sorted(heard.items()):
            for what in ("failed", "lost"):
                if record[what]:
                    found.append(f"{who}: {len(record[what])} {what}, such as {record[what][0][1]}")
        cut = {reason: value - before.get(reason, 0) for reason, value in self.cuts().items()}
        if any(cut.values()):
            found.append(f"cut, by reason: {cut}")
        if missing := self.callers.missing():
            found.append(f"callers that ended: {', '.join(missing)}")
        return found

    def behind_proxy(self):
        """Of an address that many callers share: who attacks is cut, and others come from there at once."""
        seen = self.attack("empty_data", sources=PROXY)
        found = judge.missed(seen, self.bars, self.knows_reasons)
        try:
            target = callers.Target(self.gateway.grpc_port, self.number)
            with contextlib.closing(odd_caller.Client(target, PROXY)) as client:
                status = client.call(frames.field(1, self.number.encode()), large=False)
        except (OSError, h2.exceptions.ProtocolError) as error:
            status = str(error)
        if status != "0":
            found.append(f"a call from {PROXY} afterwards: {status}")
        return seen, found

    def nghttp2(self):
        """(what was tried, what is wrong) for each."""
        scheme = "http" if self.gateway.mode == "plain" else "https"
        return nghttp2_tools.check(self.gateway.grpc_port, self.work, self.number, scheme)

    def frozen(self, name):
        """What has come while the gateway stood still, of peers that are gone by then: (MiB over idle at most, later,
        what was missed)."""
        self.count += 1
        accepted = ("lease_gateway_connections_accepted_total", "")
        start = time.monotonic()
        before = (self.gateway.metrics() or {}).get(accepted, 0)
        attackers = self.attackers(name, addresses(66 + self.count % 120, 4, CROWD), connections=CROWD, once=True,
                                   mild=True, seconds=FROZEN_SECONDS)
        # Most have sent something then, and not yet too much.
        end = time.monotonic() + 2
        while (self.gateway.metrics() or {}).get(accepted, 0) < before + CROWD / 2 and time.monotonic() < end:
            time.sleep(0.01)
        self.gateway.popen.send_signal(signal.SIGSTOP)
        try:
            attackers.report(FROZEN_SECONDS + 30)
        finally:
            self.gateway.popen.send_signal(signal.SIGCONT)
        woken = time.monotonic()
        time.sleep(2)
        self.settle(woken + judge.SETTLE_SECONDS)
        seen = judge.Seen(idle_mib=self.idle, peak_mib=self.memory.peak(start, time.monotonic()),
                          settled_mib=self.memory.now(), alive=self.gateway.alive(),
                          killed=self.memory.killed_at is not None)
        return seen, judge.missed(seen, self.bars)

    def stop_under(self, name, mode):
        """SIGTERM while a crowd attacks: (seconds that it took, what was missed)."""
        self.stop()
        self.gateway = world.Gateway(self.sandbox, self.log(f"gateway-stop-{name}"), mode, self.certificates,
                                     self.flags)
        self.memory = world.Memory(self.gateway, self.options.emergency)
        self.count += 1
        attackers = self.attackers(name, addresses(66 + self.count % 120, 3, CROWD), connections=CROWD,
                                   seconds=world.GRACE + 20)
        time.sleep(0.8)
        start = time.monotonic()
        self.gateway.popen.send_signal(signal.SIGTERM)
        found = []
        try:
            status = self.gateway.popen.wait(world.GRACE + 15)
            if status and self.memory.killed_at is None:
                found.append(f"it ended with {status}")
        except subprocess.TimeoutExpired:
            found.append("it does not end")
        took = time.monotonic() - start
        attackers.stop()
        if self.memory.killed_at is not None:
            found.append("it took so much memory that the test ended it")
        if took > world.GRACE + self.bars.stop_s:
            found.append(f"{took:.1f} s, of a grace of {world.GRACE}")
        self.stop()
        return took, found

    # The admin port.

    def admin(self, kind, connections, sources):
        """Slow clients there: (ms of each probe, cuts, what was missed)."""
        command = [world.PYTHON, world.HERE / "slow_clients.py", kind, "--port", self.gateway.admin_port,
                   "--connections", connections, "--sources", sources, "--seconds", 600]
        clients = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE,
                                   preexec_fn=programs.die_with_parent)
        start = time.monotonic()
        took, found = [], []
        while (now := time.monotonic()) < start + self.options.seconds:
            path = "metrics" if len(took) % 8 == 7 else "readyz"
            if self.gateway.get(path) is None:
                found.append(path)
            took.append((time.monotonic() - now) * 1000)
            time.sleep(PROBE_EVERY)
        clients.terminate()
        cut = json.loads(clients.communicate(timeout=10)[0].splitlines()[-1])["cut"]
        missed = [f"{len(found)} of {len(took)} probes not answered, such as /{found[0]}"] if found else []
        if max(took) > self.bars.probe_ms:
            missed.append(f"a probe of {max(took):.0f} ms")
        peak = self.memory.peak(start, time.monotonic()) - self.idle
        if peak > self.bars.memory_mib:
            missed.append(f"{peak:.0f} MiB over idle")
        return took, cut, missed
