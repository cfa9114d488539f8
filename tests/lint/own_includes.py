#!/usr/bin/env python3
"""Compiles each source by itself, as far as its syntax: it includes what it uses.

  tests/lint/own_includes.py FOLDER [SOURCE…]   FOLDER was configured without CMAKE_UNITY_BUILD, and has the generated messages

The presets that build quickly compile a folder's sources as one, where an include that is missing in
one of them goes unnoticed as long as another one has it.
"""

import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def commands(folder):
    """{source: its command, as far as the syntax}, of our own sources."""
    with open(os.path.join(folder, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    found = {}
    for entry in entries:
        source = os.path.relpath(os.path.join(entry["directory"], entry["file"]), ROOT)
        if not re.match(r"(upstream|service|tests)/", source):
            continue
        words = [word for word in shlex.split(entry["command"]) if not word.endswith("ccache")]
        at = words.index("-o")
        del words[at:at + 2]
        found[source] = (words + ["-fsyntax-only", "-w", "-O0"], entry["directory"])
    return found


def complain(job):
    """What the compiler says of a source; empty: nothing."""
    source, (command, directory) = job
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    return f"{source}: does not compile by itself:\n" + "\n".join(done.stderr.splitlines()[:6])


def main():
    if len(sys.argv) < 2 or not os.path.isdir(sys.argv[1]):
        print(__doc__, file=sys.stderr)
        return 2
    jobs = commands(sys.argv[1])
    named = sys.argv[2:] or list(jobs)
    unknown = [source for source in named if source not in jobs]
    if unknown:
        print(f"not compiled in {sys.argv[1]}: {', '.join(unknown)}", file=sys.stderr)
        return 2
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for complaint in pool.map(complain, sorted((source, jobs[source]) for source in named)):
            if complaint:
                bad += 1
                print(complaint, flush=True)
    if not bad:
        print(f"{len(named)} sources compile by themselves.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
