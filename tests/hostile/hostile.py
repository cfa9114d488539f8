#!/usr/bin/python3
"""Attacks the gateway as hostile and broken peers do, and looks what becomes of it and of those who call it.

Each attack comes from two connections at full speed, then from 64 at once, then from one at a tenth of
full speed; who is cut comes back at once. Called by run.sh, which builds and installs what this needs.
tests/hostile/README.md says what is tried and what has to hold.
"""

import argparse
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import attacks
import judge
import scenarios
import world
from world import programs

WIDER = 4  # times as long as a bar, unless --strict: others may use the machine


class Outcomes:
    """Says each as it comes, and counts them."""

    def __init__(self):
        self.rows, self.passed, self.failed = [], 0, 0

    def add(self, name, missed, detail=""):
        if missed:
            self.failed += 1
        else:
            self.passed += 1
        text = f": {detail}" if detail else ""
        print(f"{'FAILED' if missed else 'ok'} {name}{text}", flush=True)
        for each in missed:
            print(f"    {each}", flush=True)

    def add_attack(self, name, seen, missed):
        self.rows.append(row := judge.row(name, seen, missed))
        texts = [f"{text} {cell}" for text, cell in zip(judge.HEAD[1:-1], row[1:-1]) if cell]
        self.add(name, missed, ", ".join(texts))


class Run:
    def __init__(self, options):
        self.options, self.outcomes = options, Outcomes()
        bars = judge.Bars()
        self.bars = bars if options.strict else bars.widened(WIDER)
        self.scenarios = scenarios.Scenarios(options, self.bars)

    def wanted(self, name):
        return not self.options.only or any(name == each or name.startswith(each + " ") for each in self.options.only)

    def any_wanted(self, names):
        return any(self.wanted(name) for name in names)

    def all(self):
        for mode in ("plain", "tls", "mtls"):
            self.mode(mode)

    def mode(self, mode):
        suffix = "" if mode == "plain" else f" {mode}"
        steps = [(name + suffix, lambda name=name: self.attack(name, mode)) for name in self.attacks_of(mode)]
        if mode == "mtls":
            steps = [(f"no_certificate {name}", lambda name=name: self.no_certificate(name))
                     for name in ("empty_data", "unended_streams")]
        steps.insert(0, ("peace" + suffix, lambda: self.peace(mode)))
        if mode != "mtls":
            steps.append(("nghttp2" + suffix, lambda: self.nghttp2(mode)))
        if mode == "plain":
            steps += [(f"admin {kind}", lambda kind=kind: self.admin(kind)) for kind in ("half", "drip")]
            steps += [("one_address", self.one_address), ("behind_proxy", self.behind_proxy)]
        if mode != "mtls":
            # The last ones: callers with a deadline don't outlive it.
            steps += [(f"frozen {name}{suffix}", lambda name=name: self.frozen(name, suffix))
                      for name in scenarios.FROZEN]
        steps = [(name, step) for name, step in steps if self.wanted(name)]
        failed = self.outcomes.failed
        for _, step in steps:
            self.scenarios.ensure(mode, fresh=self.outcomes.failed != failed)
            failed = self.outcomes.failed
            step()
        for name in scenarios.STOPS if not self.options.long else attacks.ATTACKS:
            if self.wanted(f"stop {name}{suffix}") and mode != "mtls" and (
                    mode == "plain" or not attacks.ATTACKS[name].right):
                took, missed = self.scenarios.stop_under(name, mode)
                self.outcomes.add(f"stop {name}{suffix}", missed, f"{took:.2f} s after SIGTERM")
        self.scenarios.stop()

    def attacks_of(self, mode):
        if mode == "mtls":
            return []
        if mode == "tls":
            return list(attacks.ATTACKS) if self.options.tls else scenarios.TLS_ATTACKS
        return [name for name, attack in attacks.ATTACKS.items() if not attack.tls_only]

    def attack(self, name, mode):
        self.judge(name + ("" if mode == "plain" else f" {mode}"), mode, name)

    def judge(self, name, mode, attack, **how):
        """On a machine that others use, an attack that misses a bar is tried once more; not one that ends the gateway."""
        def missed():
            return judge.missed(seen, self.bars, self.scenarios.knows_reasons)

        seen = self.scenarios.attack(attack, **how)
        if not self.options.strict and seen.alive and missed():
            print(f"again: {name}: {'; '.join(missed())}", flush=True)
            self.scenarios.ensure(mode, fresh=True)
            seen = self.scenarios.attack(attack, **how)
        self.outcomes.add_attack(name, seen, missed())

    def no_certificate(self, name):
        """The handshake ends it, before HTTP/2 is read at all."""
        self.judge(f"no_certificate {name}", "mtls", name, cut=True, reasons=(), with_certificate=False)

    def one_address(self):
        """An attacker behind the address of those who do nothing wrong: these keep what they have."""
        self.judge("one_address", "plain", "empty_data", sources="127.0.0.1,127.0.0.66")

    def behind_proxy(self):
        self.outcomes.add_attack("behind_proxy", *self.scenarios.behind_proxy())

    def frozen(self, name, suffix):
        seen, missed = self.scenarios.frozen(name)
        self.outcomes.add(f"frozen {name}{suffix}", missed, f"{seen.peak_mib - seen.idle_mib:.0f} MiB over idle, "
                          f"{seen.settled_mib - seen.idle_mib:.0f} later")

    def peace(self, mode):
        seconds = 300 if self.options.long and mode == "plain" else min(4, self.options.seconds)
        self.outcomes.add(f"peace{'' if mode == 'plain' else ' ' + mode}", self.scenarios.peace(seconds),
                          f"{seconds:.0f} s without an attack")

    def nghttp2(self, mode):
        for what, problem in self.scenarios.nghttp2():
            self.outcomes.add(f"{what}{'' if mode == 'plain' else ' ' + mode}", [problem] if problem else [])

    def admin(self, kind):
        connections, sources = {
            "half": (110, "127.65.0.1"),
            "drip": (scenarios.SLOW_CLIENTS, scenarios.addresses(65, 1, 200))}[kind]
        took, cut, missed = self.scenarios.admin(kind, connections, sources)
        self.outcomes.add(f"admin {kind}", missed, f"{connections} clients, cut {cut} times; {len(took)} probes, p50 "
                          f"{judge.percentile(took, 0.5):.1f} ms, longest {max(took):.0f} ms")


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tests/hostile/run.sh", description=__doc__.split("\n")[0])
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="this attack or check; repeatable. NAME tls: over TLS. Attacks: "
                             f"{', '.join(attacks.ATTACKS)}; besides: peace, nghttp2, admin half, admin drip, "
                             "one_address, behind_proxy, no_certificate, frozen NAME, stop NAME")
    parser.add_argument("--seconds", type=float, default=2.4,
                        help="each attack at full speed: half of it from two connections, half from 64 (default: 2.4)")
    parser.add_argument("--tls", action="store_true", help="all attacks over TLS as well, not only some")
    parser.add_argument("--strict", action="store_true",
                        help=f"times against the bars themselves, not {WIDER} times as much, and at the first try")
    parser.add_argument("--long", action="store_true",
                        help="5 minutes in which nobody may be cut, and SIGTERM under each attack")
    parser.add_argument("--binaries", type=pathlib.Path, default=programs.BIN, metavar="DIR",
                        help="where lease-gateway and lease-sandbox are")
    parser.add_argument("--emergency", type=int, default=3000, metavar="MIB",
                        help="memory at which the test ends the gateway, for the machine's sake (default: 3000)")
    parser.add_argument("--list", action="store_true", help="print the attacks and what each does, and end")
    options = parser.parse_args(arguments)
    for name in options.only or ():
        first = name.split()[0]
        if first not in (*attacks.ATTACKS, "peace", "nghttp2", "admin", "one_address", "behind_proxy", "no_certificate",
                         "frozen", "stop"):
            parser.error(f"there is no {name}")
    return options


def main():
    options = parse(sys.argv[1:])
    if options.list:
        for name, attack in attacks.ATTACKS.items():
            print(f"{name:20} {attack.what}{' (stood without a guard)' if attack.right else ''}")
        return 0
    programs.BIN = options.binaries.resolve()
    options.js = bool(shutil.which("node")) and (programs.GRPC_JS / "@grpc/grpc-js").is_dir()
    if not options.js:
        print("skipped: the caller with @grpc/grpc-js, which is not in build/npm")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    started, run = time.monotonic(), None
    try:
        run = Run(options)
        run.all()
    except (programs.BenchError, OSError, subprocess.TimeoutExpired) as error:
        print(f"tests/hostile/hostile.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        if run:
            run.scenarios.close()
    if run.outcomes.rows:
        print()
        print("\n".join(judge.table(run.outcomes.rows)))
    print(f"\nTook {time.monotonic() - started:.0f} s; logs in {world.ROOT / 'build/hostile/logs'}.")
    print(f"{run.outcomes.passed} passed, {run.outcomes.failed} failed")
    return 1 if run.outcomes.failed else 0


if __name__ == "__main__":
    sys.exit(main())
