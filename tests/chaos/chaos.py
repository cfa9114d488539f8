"""Leases through faults and killed gateways, and compares the three records of it.

Usage: chaos.py --binaries FOLDER [--replicas N] [--limits] [--trials N] [--seed S] [--jobs J]
                [--only INDEX [--alone]] [--time-limit SECONDS] [--keep FOLDER]

--replicas N: so many gateways at one database, all of which is struck too. --limits: a callers file with
two accounts, and limits of spending for which callers race. --only INDEX runs the batch of that trial
again, --alone only the trial itself. The last line is
"trials=N kills=N faults=N pages=N name_faults=N violations=N", with --replicas also "freezes=N
restarts=N failovers=N lost_commits=N", with --limits also "refusals=N"; exit status 1 on any violation.
"""

import argparse
import asyncio
import collections
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

COUNTERS = ("calls", "kills", "caught", "faults", "late", "freezes", "blows", "network", "rights",
            "limits", "names", "spans", "excused")
P99_LATE = 50  # milliseconds
SHOWN = 10  # violations of each invariant, at once


def parse(arguments):
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--help", "-h", action="version", version=__doc__)
    parser.add_argument("--binaries", required=True)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--limits", action="store_true")
    parser.add_argument("--only", type=int)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--time-limit", type=float)
    parser.add_argument("--keep")
    parser.add_argument("--worker", type=int)
    parser.add_argument("--folder")
    options = parser.parse_args(arguments)
    if options.trials < 1 or options.jobs < 1 or options.replicas < 1:
        parser.error("--trials, --jobs and --replicas must be 1 or more")
    if options.keep and os.path.isdir(options.keep) and os.listdir(options.keep):
        parser.error("--keep must be a folder that is empty or not there: an old journal would be read")
    return options


def batches(options, batch):
    """(the batch's first trial, those of its trials that run), of this worker."""
    if options.only is not None:
        first = options.only - options.only % batch
        indexes = [options.only] if options.alone else range(first, first + batch)
        return [(first, indexes)]
    all_batches = [(first, range(first, min(first + batch, options.trials)))
                   for first in range(0, options.trials, batch)]
    return all_batches[options.worker::options.jobs]


def work(options):
    """A worker: its gateways and one sandbox; a line of JSON after each batch."""
    import driver  # needs the generated messages

    worker = driver.Driver(options.binaries, options.folder, options.seed, options.replicas,
                           options.limits)

    async def run():
        async for report in worker.work(batches(options, driver.BATCH)):
            print(json.dumps(report), flush=True)

    try:
        asyncio.run(run())
    finally:
        worker.tear_down()


def start_worker(options, number, folder, reports):
    os.makedirs(folder, exist_ok=True)
    command = [sys.executable, os.path.abspath(__file__), "--binaries", options.binaries,
               "--trials", str(options.trials), "--seed", options.seed, "--jobs", str(options.jobs),
               "--replicas", str(options.replicas), "--worker", str(number), "--folder", folder]
    if options.limits:
        command.append("--limits")
    if options.only is not None:
        command += ["--only", str(options.only)] + (["--alone"] if options.alone else [])
    # A session of its own, so that all it has started can be ended.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True,
                               stdin=subprocess.DEVNULL)

    def listen():
        for line in process.stdout:
            reports.put((number, json.loads(line)))
        reports.put((number, None))

    threading.Thread(target=listen, daemon=True).start()
    return process


def merge(reports):
    total = {name: collections.Counter() for name in COUNTERS}
    total["violations"] = []
    for report in reports:
        for name in COUNTERS:
            total[name].update(report[name])
        total["violations"] += report["violations"]
    for name, join in (("trials", sum), ("gateway_calls", sum), ("requests", sum), ("max_rss", max),
                       ("max_files", max), ("settled_after", max), ("longest_orphaned", max)):
        total[name] = join([report[name] for report in reports] or [0])
    return total


def percentile(late, share):
    """Of a counter of milliseconds."""
    left = sum(late.values()) * share
    for milliseconds in sorted(late, key=int):
        left -= late[milliseconds]
        if left <= 0:
            return int(milliseconds)
    return 0


def show(title, counter):
    print(f"{title}: " + ", ".join(f"{name} {count}" for name, count in sorted(
        counter.items(), key=lambda item: -item[1]) if count))


def replay(options, violation):
    more = f"--replicas {options.replicas} " if options.replicas > 1 else ""
    more += "--limits " if options.limits else ""
    return f"tests/chaos/run.sh {more}--seed {options.seed} --only {violation['trial']}"


def summarise(options, total, seconds):
    from checker import INVARIANTS
    from limits import INVARIANTS as OF_LIMITS

    print(f"\nseed {options.seed}, {seconds:.0f} s, {total['trials'] / seconds:.1f} trials a second")
    show("faults", total["faults"])
    show("kills", total["kills"])
    show("the provider's name", total["spans"])
    show("questions for it", total["names"])
    show("excused, as the machine was too busy", total["excused"])
    if options.replicas > 1:
        show("freezes", total["freezes"])
        show("to the database", total["blows"])
        show("between gateways and database", total["network"])
        show("rights to send", total["rights"])
        print(f"without a living owner: {total['longest_orphaned']:.1f} s at most")
    if options.limits:
        used_up = total["limits"].pop("used up", 0)
        show("refused for limits", total["limits"])
        print(f"used up once it was quiet: {used_up} limits of callers")
    show("operations caught by a kill", total["caught"])
    methods = collections.defaultdict(collections.Counter)
    for name, count in total["calls"].items():
        method, _, outcome = name.partition(" ")
        methods[method][outcome] += count
    for method, outcomes in sorted(methods.items()):
        show(method, outcomes)
    p99 = percentile(total["late"], 0.99)
    print(f"late by: p50 {percentile(total['late'], 0.5)} ms, p99 {p99} ms, most "
          f"{max(map(int, total['late'] or [0]))} ms, of {sum(total['late'].values())} calls that the "
          "gateway had to end")
    print(f"memory {total['max_rss'] >> 20} MiB, files {total['max_files']} at most; "
          f"{total['requests'] / max(1, total['gateway_calls']):.2f} requests to the provider a call; "
          f"settled {total['settled_after']:.1f} s after the last fault at most")
    if p99 > P99_LATE:
        total["violations"].append({"invariant": 4, "trial": 0, "batch": True,
                                    "text": f"a hundredth of the calls end {p99} ms late or more"})
        show_violation(options, total["violations"][-1])
    count = collections.Counter(violation["invariant"] for violation in total["violations"])
    for invariant, text in {**INVARIANTS, **(OF_LIMITS if options.limits else {})}.items():
        print(f"invariant {invariant}, {text}: {count[invariant]} violations")


def show_violation(options, violation):
    import plan
    import plan_limits
    import plan_replicas

    trial = plan.draw_trial(options.seed, violation["trial"])
    if options.replicas > 1:
        plan_replicas.spread(trial, options.seed, options.replicas)
    if options.limits:
        plan_limits.limit(trial, options.seed, options.replicas)
    print(f"VIOLATION of {violation['invariant']}, "
          f"{'batch of ' if violation['batch'] else ''}trial {violation['trial']} ({trial.scenario}): "
          f"{violation['text']}\n  replay: {replay(options, violation)}", flush=True)


def collect(options, workers, reports, started):
    """Until all workers are done or time is over: their last reports, and what went wrong."""
    limit = options.time_limit or 120 + options.trials * (0.5 if options.replicas == 1 else 2)
    latest, ended, broken = {}, set(), []
    shown = 0
    shown_violations = collections.Counter()
    try:
        while len(ended) < len(workers):
            try:
                number, report = reports.get(timeout=max(0.0, started + limit - time.monotonic()))
            except queue.Empty:
                broken.append(f"not done after {limit:.0f} s")
                break
            if report is None:
                ended.add(number)
                if workers[number].wait() != 0:
                    broken.append(f"worker {number} failed with {workers[number].returncode}")
                continue
            known = len(latest[number]["violations"]) if number in latest else 0
            for violation in report["violations"][known:]:
                shown_violations[violation["invariant"]] += 1
                if shown_violations[violation["invariant"]] <= SHOWN:
                    show_violation(options, violation)
            latest[number] = report
            total = merge(latest.values())
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                print(f"{shown - started:5.0f} s: {total['trials']} trials, "
                      f"{sum(total['kills'].values())} kills, {len(total['violations'])} violations",
                      flush=True)
    except KeyboardInterrupt:
        broken.append("ended early")
    return latest.values(), broken


def main(arguments):
    options = parse(arguments)
    if options.worker is not None:
        work(options)
        return 0
    if options.only is not None:
        options.jobs = 1
    # So that it ends its processes, and sums up, when it is ended.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    folder = options.keep or tempfile.mkdtemp(prefix="chaos-")
    started = time.monotonic()
    reports = queue.Queue()
    workers = [start_worker(options, number, os.path.join(folder, str(number)), reports)
               for number in range(options.jobs)]
    try:
        last, broken = collect(options, workers, reports, started)
    finally:
        for process in workers:
            if process.poll() is None:
                os.killpg(process.pid, 9)
                process.wait()
    total = merge(last)
    summarise(options, total, time.monotonic() - started)
    for text in broken:
        print(f"BROKEN: {text}")
    violations = len(total["violations"]) + len(broken)
    if violations:
        print(f"logs and records: {folder}")
    elif not options.keep:
        shutil.rmtree(folder)
    more = ""
    if options.replicas > 1:
        blows = total["blows"]
        more = (f"freezes={sum(total['freezes'].values())} restarts={blows['restart']} "
                f"failovers={blows['fail-over'] + blows['fail-over-hung']} "
                f"lost_commits={total['network']['lost answers to COMMIT']} ")
    if options.limits:
        more += f"refusals={sum(total['limits'].values())} "
    print(f"trials={total['trials']} kills={sum(total['kills'].values())} {more}"
          f"faults={sum(total['faults'].values())} pages={total['faults']['html']} "
          f"name_faults={sum(total['names'].values())} violations={violations}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
