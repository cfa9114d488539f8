"""Compares what was seen under an attack with the bars. Knows nothing of processes."""

import dataclasses
import math

GRPC = "gRPC itself"  # among the reasons: may end the connection before the guard does, and counts no cut
MEASURED = ("grpcio", "grpc-js")  # whose calls are timed


@dataclasses.dataclass(frozen=True)
class Bars:
    memory_mib: float = 256.0  # over idle, under attack
    settled_mib: float = 64.0  # over idle, SETTLE_SECONDS later
    p99_ms: float = 50.0
    longest_ms: float = 500.0
    cut_s: float = 1.0
    mild_s: float = 3.0
    stop_s: float = 0.0  # over the grace
    probe_ms: float = 100.0

    def widened(self, times):
        """For a machine that others use: calls may take so many times as long, and a cut twice."""
        return dataclasses.replace(
            self, p99_ms=self.p99_ms * times, longest_ms=self.longest_ms * times, cut_s=self.cut_s * 2,
            mild_s=self.mild_s * 2, stop_s=self.stop_s + 1, probe_ms=self.probe_ms * times)


SETTLE_SECONDS = 10.0


@dataclasses.dataclass
class Seen:
    """Of one attack, in MiB, ms and seconds. None: not measured."""

    idle_mib: float = 0.0
    peak_mib: float = 0.0
    settled_mib: float = 0.0
    others: dict = dataclasses.field(default_factory=dict)  # who: calls, failed, lost; in the whole time
    timed: list = dataclasses.field(default_factory=list)  # ms of each timed call, while two attack
    alive: bool = True
    killed: bool = False  # by the test, as it took too much
    lived_s: float | None = None  # the longest connection of those at full speed
    uncut: int = 0  # connections that lived from the attack's begin to its end
    mild_s: float | None = None
    wronged: int = 0  # connections cut of those that are to be spared
    cuts: dict = dataclasses.field(default_factory=dict)  # by reason, as metrics have it
    must_be_cut: bool = False
    reasons: tuple = ()  # of which one has to be among the cuts; none: any, also the gateway's gRPC


def percentile(values, share):
    """The nearest rank; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def missed(seen, bars, knows_reasons=True):
    """What was missed, a sentence each; nothing: passed."""
    found = []
    if seen.killed:
        found.append("it took so much memory that the test ended it")
    elif not seen.alive:
        found.append("the gateway ended")
    if seen.peak_mib - seen.idle_mib > bars.memory_mib:
        found.append(f"{seen.peak_mib - seen.idle_mib:.0f} MiB over idle")
    if seen.settled_mib - seen.idle_mib > bars.settled_mib:
        found.append(f"{seen.settled_mib - seen.idle_mib:.0f} MiB over idle {SETTLE_SECONDS:.0f} s later")
    for who, record in sorted(seen.others.items()):
        if record["failed"]:
            found.append(f"{who}: {len(record['failed'])} calls failed, such as {record['failed'][0][1]}")
        if record["lost"]:
            found.append(f"{who}: {len(record['lost'])} connections lost, such as {record['lost'][0][1]}")
        if not record["calls"] and not record["failed"] and who in MEASURED:
            found.append(f"{who}: no call ended")
    if (p99 := percentile(seen.timed, 0.99)) > bars.p99_ms:
        found.append(f"p99 {p99:.0f} ms")
    if seen.timed and max(seen.timed) > bars.longest_ms:
        found.append(f"a call of {max(seen.timed):.0f} ms")
    if seen.wronged:
        found.append(f"{seen.wronged} connections cut that only didn't read")
    if seen.must_be_cut:
        if seen.uncut:
            found.append(f"{seen.uncut} connections never cut")
        for what, lived, bar in (("cut", seen.lived_s, bars.cut_s), ("mild, cut", seen.mild_s, bars.mild_s)):
            if lived is not None and lived > bar:
                found.append(f"{what} after {lived:.1f} s")
        reasons_known = knows_reasons and seen.reasons and GRPC not in seen.reasons
        if reasons_known and not any(seen.cuts.get(reason) for reason in seen.reasons):
            found.append(f"no connection was cut for {' or '.join(seen.reasons)}")
    return found


def row(name, seen, found):
    """The line of the table of one attack."""
    def seconds(value):
        return "" if value is None or not seen.must_be_cut else f"{value:.2f}"

    failed = sum(len(record["failed"]) + len(record["lost"]) for record in seen.others.values())
    cuts = ", ".join(f"{reason} {count:.0f}" for reason, count in sorted(seen.cuts.items()) if count)
    return (name, f"{seen.peak_mib - seen.idle_mib:.0f}", f"{seen.settled_mib - seen.idle_mib:.0f}",
            f"{percentile(seen.timed, 0.5):.1f}", f"{percentile(seen.timed, 0.99):.0f}",
            f"{max(seen.timed, default=0):.0f}", f"{len(seen.timed)}", f"{failed}", seconds(seen.lived_s),
            seconds(seen.mild_s), cuts, "MISSED" if found else "pass")


HEAD = ("", "MiB over idle", "later", "p50 ms", "p99", "longest", "calls", "failed", "cut s", "mild", "cut for", "")


def table(rows):
    """Lines, columns aligned."""
    rows = [HEAD, *rows]
    widths = [max(len(each[column]) for each in rows) for column in range(len(HEAD))]
    left = {0, 10, 11}
    return ["  ".join(cell.ljust(width) if column in left else cell.rjust(width)
                      for column, (cell, width) in enumerate(zip(each, widths))).rstrip() for each in rows]
