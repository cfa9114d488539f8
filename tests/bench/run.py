#!/usr/bin/python3
"""Measures the gateway against bare servers and other software, in one run on one machine.

Each figure is a median of interleaved rounds: in a round every program of a comparison has its
turn, and a ratio is the median of the rounds' ratios. The provider is a sandbox in a process of its
own. Before a program is measured, bench_client checks its replies; while the gateway is loaded,
bench_client checks random numbers; and h2load's count of bytes must be the one of right replies.

Called by run.sh, which builds and installs what this needs.
"""

import argparse
import shutil
import signal
import subprocess
import sys

from callers import CallersBench
from figures import print_table, write
from programs import OUT, ROOT, BenchError
from servers import check_needs


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, help="medians of so many (default: 5)")
    parser.add_argument("--quick", action="store_true", help="3 shorter rounds, for a first look")
    groups = "; ".join(f"{name}: {', '.join(members)}" for name, members in CallersBench.GROUPS.items())
    parser.add_argument("--only", action="append", metavar="NAME",
                        choices=[*CallersBench.WORKLOADS, *CallersBench.GROUPS],
                        help=f"this workload or this group of them; repeatable; workloads: "
                             f"{', '.join(CallersBench.WORKLOADS)}; groups: {groups}")
    parser.add_argument("--gateway-flag", action="append", default=[], metavar="--FLAG=VALUE",
                        help="one more flag of the gateway's; repeatable")
    parser.add_argument("--nginx", default="nginx", help="the program")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def main():
    options = parse(sys.argv[1:])
    OUT.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    bench = CallersBench(options)
    try:
        check_needs(options)
        shutil.rmtree(bench.logs, ignore_errors=True)
        bench.logs.mkdir()
        bench.measure()
    except (BenchError, OSError, subprocess.TimeoutExpired) as error:
        print(f"tests/bench/run.py: failed at \"{bench.step}\": {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        bench.close()
    print()
    print_table(bench.results)
    write(bench.results, OUT)
    print(f"\nWritten: {OUT.relative_to(ROOT)}/results.json and results.svg")
    missed = sum(result["pass"] is False for result in bench.results)
    if missed:
        print(f"{missed} bars missed.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
