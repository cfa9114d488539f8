"""What clients of gRPC make of proto/leasegateway/v1/service_config.json: Python's, and grpc-js where node has it. Those
of C++ are in tests/integration/service_config_test.cc."""
import concurrent.futures
import os
import subprocess

import grpc

from .checks import SERVICE, SERVICE_CONFIG, check, read

# Method, what the server answers before OK, what the caller is told, attempts.
CASES = [
    ("GetNumber", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"], "OK", 3),
    ("CreateLease", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"], "OK", 3),
    ("LeaseAnyNumber", ["UNAVAILABLE"], "OK", 2),
    ("TerminateLease", ["UNAVAILABLE"], "OK", 2),
    ("CreateLease", ["ABORTED"], "ABORTED", 1),
    ("LeaseAnyNumber", ["DEADLINE_EXCEEDED"], "DEADLINE_EXCEEDED", 1),
    ("TerminateLease", ["UNAVAILABLE, never again"], "UNAVAILABLE", 1),
    ("ConfigureFailover", ["UNAVAILABLE"], "UNAVAILABLE", 1),
]


class Scripted(grpc.GenericRpcHandler):
    """Answers a request by the script that it was given under its bytes, and counts."""

    def __init__(self):
        self.scripts = {}
        self.seen = []

    def service(self, handler_call_details):
        method = handler_call_details.method
        if not method.startswith(f"/{SERVICE}/"):
            return None

        def answer(request, context):
            self.seen.append((method, request))
            left = self.scripts.get((method, request))
            if left:
                code, _, never = left.pop(0).partition(", ")
                if never:
                    context.set_trailing_metadata([("grpc-retry-pushback-ms", "-1")])
                context.abort(grpc.StatusCode[code], "as scripted")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


def python_caller(target, calls):
    codes = []
    with grpc.insecure_channel(target, [("grpc.service_config", read(SERVICE_CONFIG))]) as channel:
        for method, request in calls:
            try:
                channel.unary_unary(method)(request)
                codes.append("OK")
            except grpc.RpcError as error:
                codes.append(error.code().name)
    return codes


def node_caller(target, calls):
    program = os.path.join(os.path.dirname(__file__), "retrying_caller.js")
    pairs = [f"{method}={request.hex()}" for method, request in calls]
    done = subprocess.run(["node", program, target, SERVICE_CONFIG, *pairs], capture_output=True, text=True,
                          timeout=60, check=False)
    return done.stdout.split() or [done.stderr]


def retry_errors(caller):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    scripted = Scripted()
    server.add_generic_rpc_handlers((scripted,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # A field of a number that no message has tells the cases apart.
    calls = [(f"/{SERVICE}/{method}", b"\xf8\x07" + bytes([index])) for index, (method, *_) in enumerate(CASES)]
    scripted.scripts = {call: list(case[1]) for call, case in zip(calls, CASES)}
    codes = caller(f"ipv4:127.0.0.1:{port}", calls)
    server.stop(0)
    if len(codes) != len(CASES):
        return [str(codes)]
    return [f"{method} after {script}: {code} after {scripted.seen.count(call)} attempts, not {wanted} after {attempts}"
            for call, code, (method, script, wanted, attempts) in zip(calls, codes, CASES)
            if (code, scripted.seen.count(call)) != (wanted, attempts)]


def retries(*languages):
    callers = {"python": python_caller, "grpc-js": node_caller}
    for language in languages:
        check(f"{language} tries again what may be tried again, and nothing else", retry_errors(callers[language]))
