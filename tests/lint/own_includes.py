#!/usr/bin/env python3
"""Compiles each source by itself, as far as its syntax: it includes what it uses.

FOLDER was configured without CMAKE_UNITY_BUILD, and has the generated messages. --newest: the N sources that changed
last, they or one of our headers that they come by. Exit status 1: one does not compile; 2: it could not be tried.

The presets that build quickly compile a folder's sources as one, where an include that is missing in
one of them goes unnoticed as long as another one has it.

Of the headers that take long, those that several sources come by are compiled before, once for all of
these: nothing is seen of them by a source that does not include them itself or through our headers.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# What takes a compiler long, and many come by.
SLOW = ("absl/status/statusor.h", "boost/asio/awaitable.hpp", "boost/asio/ssl/stream.hpp",
        "boost/asio/steady_timer.hpp", "boost/beast/http/message.hpp", "gmock/gmock.h", "grpcpp/grpcpp.h",
        "gtest/gtest.h", "leasegateway/v1/lease_service.grpc.pb.h", "leasegateway/v1/resources.pb.h",
        "spdlog/spdlog.h")
ENOUGH = 12  # sources, for headers to be compiled before


def compile_commands(folder):
    """Our own sources, and the command that compiles any of them as far as its syntax: it has the options of all, as
    a header that is compiled before suits only who has the same."""
    with open(os.path.join(folder, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    sources, options = set(), {}
    for entry in entries:
        source = os.path.relpath(os.path.join(entry["directory"], entry["file"]), ROOT)
        if not re.match(r"(upstream|service|tests)/", source):
            continue
        sources.add(source)
        words = iter(shlex.split(entry["command"]))
        for word in words:
            if word == "-isystem":
                options[word, next(words)] = None
            elif word.startswith(("-I", "-D", "-std=", "-pthread")):
                options[word,] = None
    return sorted(sources), ["g++", *(word for option in options for word in option), "-w"]


def included(path, seen):
    """The headers of others, as they are named, that a file of ours comes by; it and our own are put into `seen`."""
    if path in seen:
        return set()
    seen.add(path)
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = file.read()
    found = set()
    for name in re.findall(r'^#include ["<]([^">]+)[">]', text, re.MULTILINE):
        if os.path.exists(os.path.join(ROOT, name)):
            found |= included(name, seen)
        else:
            found.add(name)
    return found


def compiled_before(sources):
    """{source: the headers to compile before it}."""
    slow = {source: frozenset(SLOW) & included(source, set()) for source in sources}
    often = [headers for headers, count in collections.Counter(slow.values()).items() if count >= ENOUGH]
    return {source: max((headers for headers in often if headers <= own), key=len, default=frozenset())
            for source, own in slow.items()}


def newest(sources, count):
    """Those of them that changed last, by the repository's history."""
    log = subprocess.run(["git", "-c", "core.quotePath=off", "log", "--format=", "--name-only"], cwd=ROOT,
                         capture_output=True, text=True, check=True)
    age = {}
    for number, path in enumerate(log.stdout.split("\n")):
        age.setdefault(path, number)

    def youngest(source):
        included(source, files := set())
        return min(age.get(path, 0) for path in files)

    return sorted(sources, key=youngest)[:count]


def complaint(command):
    """What the compiler says; empty: nothing."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else "\n".join(done.stderr.splitlines()[:6])


def main():
    parser = argparse.ArgumentParser(usage="tests/lint/own_includes.py [--newest N] FOLDER [SOURCE…]",
                                     description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--newest", type=int, metavar="N")
    parser.add_argument("folder")
    parser.add_argument("sources", nargs="*")
    options = parser.parse_args()
    try:
        sources, command = compile_commands(options.folder)
    except OSError as error:
        parser.error(str(error))
    if unknown := set(options.sources) - set(sources):
        parser.error(f"not compiled in {options.folder}: {', '.join(sorted(unknown))}")
    sources = options.sources or sources
    if options.newest is not None:
        sources = newest(sources, options.newest)
    before = compiled_before(sources)
    bad = 0
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        paths = {headers: os.path.join(folder, f"{number}.h") for number, headers in enumerate(set(before.values()))}

        def compile_headers(headers):
            with open(paths[headers], "w", encoding="utf-8") as file:
                file.writelines(f"#include <{name}>\n" for name in sorted(headers))
            return complaint([*command, "-x", "c++-header", paths[headers], "-o", paths[headers] + ".gch"])

        def compile_source(source):
            return complaint([*command, "-fsyntax-only", "-include", paths[before[source]], source])

        for work, compile_one in ((list(paths), compile_headers), (sources, compile_source)):
            for one, said in zip(work, pool.map(compile_one, work)):
                if said:
                    bad += 1
                    print(f"{one}: does not compile by itself:\n{said}", flush=True)
    if not bad:
        print(f"{len(sources)} sources compile by themselves.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
