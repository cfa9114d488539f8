#!/usr/bin/env python3
"""Holds what the READMEs say of files against the files.

  tests/lint/links.py              fails on a link, an anchor or a path that leads nowhere, a room
                                   without README, an arrow between rooms that isn't drawn, a top
                                   README that has grown too long, an error reason without a row
  tests/lint/links.py --self-test  breaks each of these, and fails when that goes unnoticed
"""

import fnmatch
import os
import posixpath
import re
import sys

import includes

ROOT = includes.ROOT
TOP_LINES = 200
TOP = {".ci", "deploy", "proto", "service", "tests", "upstream"}
ERRORS = "proto/README.md"
REASONS = "upstream/upstream_error.h"

# The folders that have a README: those of CMakeLists.txt, not the rooms further below.
FOLDERS = ["proto", "service", "deploy", "tests", "tests/bench", "tests/hostile"] + [
    room for room in includes.ROOMS
    if room.startswith("upstream") and room.count("/") < 2 and os.path.isdir(os.path.join(ROOT, room))]

SOURCE = (".h", ".cc", ".py", ".sh", ".proto", ".js")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^()\s]+)\)")
# A README as a comment names it, and the section, if any.
MENTION = re.compile(r'(?:\$\{?\w+\}?/|SOURCE_DIR "/)?([\w./-]*README\.md)(?:, "([^"\n]+)")?')
REASON = re.compile(r'std::string_view k\w+ = "([A-Z_]+)"')


def anchors_of(text):
    """The anchors that GitHub makes of a file's headings."""
    anchors = []
    for heading in re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", LINK.sub("]", heading).lower()).strip().replace(" ", "-")
        count = sum(1 for anchor in anchors if re.fullmatch(re.escape(plain) + r"(-\d+)?", anchor))
        anchors.append(f"{plain}-{count}" if count else plain)
    return anchors


def folders_of(paths):
    folders = set()
    for path in paths:
        while "/" in path:
            path = path.rsplit("/", 1)[0]
            folders.add(path)
    return folders


def exists(path, paths, folders):
    """NAME, a star and an ellipsis stand for anything."""
    path = path.rstrip("/")
    if path in paths or path in folders or path in includes.ROOMS or path == "":
        return True
    pattern = re.sub(r"NAME|…", "*", path)
    return "*" in pattern and bool(fnmatch.filter(paths, pattern) or fnmatch.filter(folders, pattern))


def link_problems(name, text, files, paths, folders):
    for target in LINK.findall(CODE.sub("", FENCE.sub("", text))):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
        if path.startswith("../") or not exists(path, paths, folders):
            yield f"{name}: links to {target}, which is not there"
        elif anchor and anchor not in anchors_of(files.get(path, "")):
            yield f"{name}: links to {target}, but {path} has no such heading"


def path_problems(name, text, paths, folders):
    """Of what stands in backticks, or as a word of an example, and looks like a path from the top or
    from the file's own folder."""
    here = posixpath.dirname(name)
    beside = {posixpath.relpath(path, here or ".").split("/")[0] for path in paths | folders
              if not here or path.startswith(here + "/")}
    basenames = {posixpath.basename(path) for path in paths}
    words = {code.split()[0] for code in CODE.findall(FENCE.sub("", text)) if code.strip()}
    for fence in FENCE.findall(text):
        words |= {word for word in fence.split() if word.split("/")[0] in TOP and "/" in word}
    for word in sorted(words):
        if not re.fullmatch(r"[\w.*…-]+(/[\w.*…-]+)*/?", word):
            continue
        first, _, rest = word.partition("/")
        if not rest and not word.endswith("/"):
            if re.fullmatch(r"[\w-]+\.\w+", word) and word.endswith(SOURCE) and word not in basenames:
                yield f"{name}: names {word}, and no file is called so"
        elif first in TOP | beside or word.endswith(SOURCE) and first not in ("build", "google"):
            if not exists(word, paths, folders) and not exists(posixpath.join(here, word), paths, folders):
                yield f"{name}: names {word}, which is not there"


def mention_problems(name, text, files):
    for path, section in MENTION.findall(text):
        if path not in files:
            yield f"{name}: speaks of {path}, which is not there"
        elif section and section.lower().replace(" ", "-") not in anchors_of(files[path]):
            yield f"{name}: speaks of {path}, \"{section}\", which is no heading there"


def reason_problems(files):
    known = set(REASON.findall(files.get(REASONS, "")))
    section = re.search(r"^## Errors$(.*?)^## ", files.get(ERRORS, "") + "\n## ", re.MULTILINE | re.DOTALL)
    told = set()
    for row in re.findall(r"^\|[^|]*\|([^|]*)\|", section.group(1) if section else "", re.MULTILINE):
        told.update(CODE.findall(row))
    for reason in sorted(known - told):
        yield f"{ERRORS}: the table of errors lacks {reason}"
    for reason in sorted(told - known):
        yield f"{ERRORS}: the table of errors has {reason}, which {REASONS} has not"


def arrows_of(folder):
    """The arrows of tests/lint/includes.py out of the rooms of a folder, but for those to the words of
    upstream/ itself."""
    return {(room, other) for room, below in includes.ROOMS.items() for other in below
            if room.split("/")[0] == folder and other != "upstream"}


def arrow_problems(files):
    for folder in ("upstream", "service"):
        drawn = set()
        text = files.get(folder + "/README.md", "").partition("## What may include what")[2].partition("\n## ")[0]
        for left, right in re.findall(r"^ (.*?) ─+▶ (.*)$", text, re.MULTILINE):
            rooms = [folder if name in ("main", "server") else f"{folder}/{name}" for name in left.split(", ")]
            others = [other for name in right.split(", ") for other in (f"{folder}/{name}", name)
                      if other in includes.ROOMS]
            drawn |= {(room, other) for room in rooms for other in others}
        for room, other in sorted(arrows_of(folder) - drawn):
            yield f"{folder}/README.md: lacks the arrow from {room} to {other}"
        for room, other in sorted(drawn - arrows_of(folder)):
            yield f"{folder}/README.md: has an arrow from {room} to {other}, which includes.py has not"


def check(files, paths):
    """The problems of {path: text} among all `paths`."""
    problems = []
    folders = folders_of(paths)
    for name, text in sorted(files.items()):
        if name.endswith(".md"):
            problems += link_problems(name, text, files, paths, folders)
            problems += path_problems(name, text, paths, folders)
        else:
            problems += mention_problems(name, text, files)
    for folder in FOLDERS:
        if folder + "/README.md" not in files:
            problems.append(f"{folder}: has no README.md")
    length = files.get("README.md", "").count("\n")
    if length > TOP_LINES:
        problems.append(f"README.md: has {length} lines; {TOP_LINES} are what a newcomer reads")
    return problems + list(reason_problems(files)) + list(arrow_problems(files))


def read_files():
    """The texts that are checked, and the names of all files."""
    paths = includes.paths_below(*TOP)
    paths |= {name for name in os.listdir(ROOT) if os.path.isfile(os.path.join(ROOT, name))}
    files = {path: includes.read(path) for path in paths
             if path.endswith(SOURCE + (".md", ".yaml", ".txt")) or path == ".ci/run"}
    # What this file says of READMEs is what it breaks.
    return {path: text for path, text in files.items() if path != "tests/lint/links.py" and (
        path.endswith(".md") or path == REASONS or "README" in text)}, paths


def mutations(files, paths):
    """(what, files, paths, a part of the problem that must be found)"""
    def changed(name, old, new):
        return {**files, name: files[name].replace(old, new)}

    for name, text in sorted(files.items()):
        if name.endswith(".md"):
            for target in sorted(set(LINK.findall(CODE.sub("", FENCE.sub("", text))))):
                if not re.match(r"\w+:", target):
                    yield (f"{name}: a link to {target}-gone", changed(name, f"]({target})", f"]({target}-gone)"),
                           paths, f"{name}: links to {target}-gone")
            for path in sorted(set(CODE.findall(FENCE.sub("", text))) & paths):
                if "/" in path:
                    yield f"{name}: {path} is away", files, paths - {path}, f"{name}: names {path}"
        else:
            for path, _ in MENTION.findall(text):
                yield (f"{name}: {path} is away", {key: files[key] for key in files if key != path}, paths,
                       f"{name}: speaks of {path}")
    for folder in FOLDERS:
        without = {key: files[key] for key in files if key != folder + "/README.md"}
        yield f"{folder} without a README", without, paths, f"{folder}: has no README.md"
    yield ("a README of too many lines", {**files, "README.md": files["README.md"] + "\n" * TOP_LINES}, paths,
           "README.md: has ")
    yield ("a heading that is renamed", changed(ERRORS, "\n## Errors\n", "\n## Faults\n"), paths,
           f"links to {ERRORS}#errors, but")
    for named, word in (("`no_such_file.h`", "no_such_file.h"), ("`tests/no-such/`", "tests/no-such/"),
                        ("\n```sh\ndeploy/no-such.sh --once\n```", "deploy/no-such.sh")):
        yield (f"{word}, which is not there", {**files, "README.md": files["README.md"] + named + "\n"}, paths,
               f"README.md: names {word}")
    yield ("an arrow that is not drawn", changed("service/README.md", " config ────────▶ callers, process, upstream/postgres\n", ""),
           paths, "lacks the arrow from service/config to service/process")
    yield ("an arrow that there is not",
           changed("upstream/README.md", "▶ transport\n", "▶ transport, sandbox\n"),
           paths, "has an arrow from upstream/provider to upstream/sandbox")
    for reason in REASON.findall(files[REASONS]):
        yield f"no row for {reason}", changed(ERRORS, f"`{reason}`", "` `"), paths, f"lacks {reason}"
    yield ("a row for no reason", changed(ERRORS, "| `PRICE_CHANGED` |", "| `NO_SUCH_REASON` |"), paths,
           "has NO_SUCH_REASON, which")


def self_test(files, paths):
    """What check() overlooks of all that can be broken."""
    return [what for what, broken, left, expected in mutations(files, paths)
            if not any(expected in problem for problem in check(broken, left))]


def main():
    files, paths = read_files()
    problems = check(files, paths)
    if not problems and sys.argv[1:] == ["--self-test"]:
        problems = ["goes unnoticed: " + what for what in self_test(files, paths)]
    elif sys.argv[1:] not in ([], ["--self-test"]):
        print(__doc__, file=sys.stderr)
        return 2
    for problem in problems:
        print(problem)
    if not problems:
        readmes = sum(name.endswith(".md") for name in files)
        print(f"{readmes} READMEs lead where they say.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
