"""Calls one method of the gateways over and over, until SIGTERM.

Usage: /usr/bin/python3 foreign_caller.py TARGET SERVICE_CONFIG METHOD REQUEST

REQUEST is the serialised message, in hexadecimal. Prints a line "process ID" when a gateway has
answered that had not before, "calls N" now and then, "FAILED ..." for a call that failed, and at the
end "ended N".
"""

import pathlib
import signal
import sys
import threading

import grpc

THREADS = 4  # so that several calls are on a connection when it ends
EVERY = 100  # calls, from line to line


def main(target, service_config, method, request):
    stopped = threading.Event()
    lock = threading.Lock()
    seen = set()
    calls = 0

    def count(metadata):
        nonlocal calls
        gateway = dict(metadata or ()).get("lease-gateway-call-id", "").split("-")[0]
        with lock:
            calls += 1
            if gateway and gateway not in seen:
                seen.add(gateway)
                print("process", gateway, flush=True)
            if calls % EVERY == 0:
                print("calls", calls, flush=True)

    def call_until_stopped(stub):
        while not stopped.is_set():
            try:
                _, call = stub.with_call(request, timeout=10)
                count(call.trailing_metadata())
            except grpc.RpcError as error:
                with lock:
                    print("FAILED", error.code().name, error.debug_error_string(), flush=True)
                count(error.trailing_metadata())

    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    config = pathlib.Path(service_config).read_text()
    with grpc.insecure_channel(target, options=[("grpc.service_config", config)]) as channel:
        stub = channel.unary_unary(method)
        threads = [threading.Thread(target=call_until_stopped, args=[stub]) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        stopped.wait()
        for thread in threads:
            thread.join()
    print("ended", calls, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:4], bytes.fromhex(sys.argv[4]))
