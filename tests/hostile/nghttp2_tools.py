"""What nghttp2's own client and load generator make of the gateway: a library that shares no code with gRPC."""

import re
import subprocess

import frames
from world import programs

URL_PATH = frames.SERVICE + "GetNumber"
HEADERS = ["content-type: application/grpc", "te: trailers"]
SECONDS = 30
LOAD = 20_000

# What is tried: (what it is, arguments). Not what gRPC 1.51 has wrong: padding in DATA, and a table of headers that
# shrinks and grows again.
NGHTTP = (
    ("a call",),
    ("a header in several frames", "--continuation"),
    ("windows of a byte", "--window-bits=1"),
    ("windows of 255 bytes", "--window-bits=8"),
    ("without a table of headers", "--header-table-size=0", "--encoder-header-table-size=0"),
    ("priorities of RFC 7540", "--weight=256"),
    ("without them", "--no-dep"),
    ("without RFC 7540's, as SETTINGS have it", "--no-rfc7540-pri"),
    ("100 calls at once", "--multiply=100"),
    ("2,000 calls, beyond what may be at once", "--multiply=2000", "--peer-max-concurrent-streams=2000"),
)
H2LOAD = (
    ("as fast as it can, 16 connections of 32 calls", "--clients=16", "--max-concurrent-streams=32"),
    ("one connection of 1,000 calls", "--clients=1", "--max-concurrent-streams=1000"),
    ("small windows", "--clients=8", "--max-concurrent-streams=16", "--window-bits=8"),
)


def request_file(folder, number):
    file = folder / "request.bin"
    file.write_bytes(frames.message(frames.field(1, number.encode())))
    return file


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=SECONDS,
                          env=programs.without_proxies(), check=False)
    return done.returncode, done.stdout + done.stderr


def nghttp(port, file, scheme, options):
    """What is wrong; "": nothing."""
    calls = next((int(option.split("=")[1]) for option in options if option.startswith("--multiply")), 1)
    status, out = run(["nghttp", "--verbose", "--null-out", "--no-verify-peer", "--no-push", f"--data={file}", *options,
                       *(f"--header={header}" for header in HEADERS), f"{scheme}://127.0.0.1:{port}{URL_PATH}"])
    # A header of 32 KiB may be too long; but no reason to hang up.
    good = len(re.findall(r"grpc-status: [08]\b" if "--continuation" in options else r"grpc-status: 0\b", out))
    if status or good != calls:
        problems = re.findall(r"grpc-message: .*|recv GOAWAY.*\n.*|recv RST_STREAM.*\n.*|\[ERROR\].*", out)
        return f"{good} of {calls} calls answered, exit status {status}; {' '.join(problems[:2]) or out[-200:]}"
    return ""


def h2load(port, file, scheme, options):
    status, out = run(["h2load", f"--requests={LOAD}", f"--data={file}", *options,
                       *(f"--header={header}" for header in HEADERS), f"{scheme}://127.0.0.1:{port}{URL_PATH}"])
    found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out)
    if status or not found or int(found.group(1)) != LOAD:
        return found.group(0) if found else out.strip()[-200:]
    return ""


def check(port, folder, number, scheme):
    """(what was tried, what is wrong) for each."""
    file = request_file(folder, number)
    for tool, tries in ((nghttp, NGHTTP), (h2load, H2LOAD)):
        for what, *options in tries:
            try:
                yield f"{tool.__name__}: {what}", tool(port, file, scheme, options)
            except subprocess.TimeoutExpired:
                yield f"{tool.__name__}: {what}", f"not done after {SECONDS} s"
