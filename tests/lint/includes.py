#!/usr/bin/env python3
"""Holds the #include lines of upstream/ and service/ against the arrows between the rooms.

  tests/lint/includes.py              fails on an arrow that goes up, sideways or in a circle
  tests/lint/includes.py --self-test  turns each arrow round, and fails when that goes unnoticed
"""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# From the ground up: a room, and the rooms below that it may include. upstream/README.md and
# service/README.md have the pictures.
ROOMS = {
    "upstream": [],  # the words that all share
    "upstream/names": ["upstream"],
    "upstream/transport/egress": [],  # which road is taken: chosen where the configuration is read
    "upstream/transport": ["upstream", "upstream/names", "upstream/transport/egress"],
    "upstream/provider": ["upstream", "upstream/transport"],
    "upstream/resilience": ["upstream"],
    "upstream/availability": ["upstream"],
    "upstream/postgres": ["upstream"],
    "upstream/cluster": ["upstream", "upstream/availability", "upstream/postgres"],
    "upstream/leasing/journal/spending": [],  # limits: read with the callers file
    "upstream/leasing/journal": ["upstream", "upstream/leasing/journal/spending"],
    "upstream/leasing/journal/sqlite": ["upstream", "upstream/leasing/journal", "upstream/leasing/journal/spending"],
    "upstream/leasing/journal/postgres": ["upstream", "upstream/leasing/journal", "upstream/leasing/journal/spending",
                                          "upstream/postgres", "upstream/cluster"],
    "upstream/leasing": ["upstream", "upstream/availability", "upstream/leasing/journal", "upstream/leasing/journal/spending"],
    # The one place where the order of the layers is visible.
    "upstream/lease_api_factory": ["upstream", "upstream/transport", "upstream/transport/egress",
                                   "upstream/provider", "upstream/resilience",
                                   "upstream/availability"],
    "upstream/sandbox": [],  # an emulator shares nothing with what is tried against it
    "service/process": [],
    "service/guard/networks": [],  # checked where the configuration is read
    "service/guard": ["service/guard/networks"],
    "service/callers": ["service/process", "service/guard/networks", "upstream", "upstream/leasing/journal/spending"],
    "service/config": ["service/process", "service/callers", "service/guard/networks", "upstream/postgres", "upstream/transport/egress"],
    "service/rpc": ["service/process", "service/callers", "upstream/leasing/journal", "upstream/leasing/journal/spending", "upstream", "upstream/availability", "upstream/leasing"],
    "service/admin": ["service/process", "service/guard", "service/guard/networks", "service/callers", "service/rpc", "upstream", "upstream/availability",
                      "upstream/leasing", "upstream/leasing/journal/sqlite",
                      "upstream/lease_api_factory"],
    "service": ["service/process", "service/guard", "service/guard/networks", "service/config", "service/callers", "service/rpc", "service/admin", "upstream", "upstream/availability",
                "upstream/leasing", "upstream/leasing/journal",
                "upstream/leasing/journal/sqlite", "upstream/leasing/journal/postgres",
                "upstream/cluster", "upstream/postgres", "upstream/lease_api_factory",
                "upstream/sandbox"],
    "service/leasectl": [],  # a client: it shares only the contract
}

# Headers of others that a room must not know, by the beginning of the name.
FOREIGN = [
    (r"upstream/", ("grpcpp/", "grpc/"), "upstream/ knows nothing of gRPC"),
    (r"service/(?!admin/)", ("boost/beast",), "only the admin port speaks HTTP to callers"),
    (r"(?!upstream/sandbox/|upstream/transport/|upstream/provider/|upstream/boost_compiled)upstream/",
     ("boost/beast", "boost/asio/ssl"), "only transport/ and provider/ speak HTTP to the provider"),
    (r"(?!upstream/provider/|upstream/sandbox/)upstream/", ("boost/json", "simdjson"),
     "JSON meets the messages in upstream/provider/ alone"),
]


def room_of(path):
    """The room that a file belongs to; None: no such room."""
    stem = path.rsplit(".", 1)[0]
    if stem in ROOMS:
        return stem
    folder = os.path.dirname(path)
    return folder if folder in ROOMS else None


def includes_of(text):
    return re.findall(r'^\s*#\s*include\s+["<]([^">]+)[">]', text, re.MULTILINE)


def find_circle(graph):
    """One circle of a graph {node: [node…]}, as a list that begins and ends alike; empty: none."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return path[path.index(node):] + [node]
        if node in done:
            return []
        path.append(node)
        for other in graph.get(node, []):
            circle = visit(other)
            if circle:
                return circle
        path.pop()
        done.add(node)
        return []

    for node in graph:
        circle = visit(node)
        if circle:
            return circle
    return []


def check(files):
    """The problems of {path: text}."""
    problems = []
    graph = {}
    for path, text in sorted(files.items()):
        room = room_of(path)
        if room is None:
            problems.append(f"{path}: its folder is no room of tests/lint/includes.py")
            continue
        # A header and its source are one: they may not need each other through a third.
        stem = path.rsplit(".", 1)[0]
        graph.setdefault(stem, [])
        for include in includes_of(text):
            for pattern, names, rule in FOREIGN:
                if re.match(pattern, path) and include.startswith(names):
                    problems.append(f"{path}: includes {include}: {rule}")
            if include.startswith("tests/"):
                problems.append(f"{path}: includes {include}: that is for tests")
            if not include.startswith(("upstream/", "service/")):
                continue
            if include.endswith(".pb.h") and os.path.exists(
                    os.path.join(ROOT, include.replace(".pb.h", ".proto"))):
                continue  # made of a message's file there
            if include not in files:
                problems.append(f"{path}: includes {include}, which is not there")
                continue
            if include.rsplit(".", 1)[0] != stem:
                graph[stem].append(include.rsplit(".", 1)[0])
            other = room_of(include)
            if other not in (room, None) and other not in ROOMS[room]:
                problems.append(f"{path}: includes {include}: {room} may not know {other}")
    circle = find_circle(graph)
    if circle:
        problems.append("a circle: " + " -> ".join(circle))
    return problems


def paths_below(*folders):
    """The files in the folders and below, from the top; not what Python compiled."""
    return {os.path.relpath(os.path.join(folder, name), ROOT)
            for top in folders for folder, _, names in os.walk(os.path.join(ROOT, top))
            for name in names if not name.endswith(".pyc")}


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def read_files():
    return {path: read(path) for path in paths_below("upstream", "service")
            if path.endswith((".cc", ".h"))}


def header_of(room, files):
    """A header of a room, or None."""
    return next((path for path in sorted(files)
                 if path.endswith(".h") and room_of(path) == room), None)


def self_test(files):
    """What check() overlooks when each arrow is turned round."""
    overlooked = []
    for room, below in ROOMS.items():
        upper = header_of(room, files)
        for other in below:
            lower = header_of(other, files)
            if upper is None or lower is None:
                continue
            turned = dict(files)
            turned[lower] += f'\n#include "{upper}"\n'
            if not any(problem.startswith(lower) and upper in problem for problem in check(turned)):
                overlooked.append(f"{lower} including {upper}")
    pair = [path for path in sorted(files) if path.endswith(".h") and room_of(path) == "upstream"][:2]
    turned = dict(files)
    for one, other in (pair, reversed(pair)):
        turned[one] += f'\n#include "{other}"\n'
    if not any(problem.startswith("a circle") for problem in check(turned)):
        overlooked.append("a circle of " + " and ".join(pair))
    return overlooked


def main():
    rooms = list(ROOMS)
    for at, (room, below) in enumerate(ROOMS.items()):
        for other in below:
            assert rooms.index(other) < at, f"{room} stands below {other}"
    files = read_files()
    problems = check(files)
    if not problems and sys.argv[1:] == ["--self-test"]:
        problems = ["goes unnoticed: " + what for what in self_test(files)]
    elif sys.argv[1:] not in ([], ["--self-test"]):
        print(__doc__, file=sys.stderr)
        return 2
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{len(files)} files in {len(ROOMS)} rooms include what they may.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
