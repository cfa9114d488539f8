"""Callers whose programs share no code with the gateway, and who it takes them for by its callers file: python3-grpcio with
bearer tokens and certificates, @grpc/grpc-js with the same, and nginx in front that says whose certificate it has seen.

Usage: /usr/bin/python3 foreign_callers.py FOLDER python|nginx|grpc-js...

FOLDER has the gateway's program. Each identity is asked for with WhoAmI, and refused where it has no right. grpc-js is found
by node (NODE_PATH). Ends with a line "N passed, N failed".
"""
import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import grpc

from foreign_client import SERVICE, TIMEOUT, Reflection, message_class

HERE = os.path.dirname(os.path.abspath(__file__))
EDGE = os.path.join(HERE, "../../deploy/kubernetes/components/edge/nginx.conf")
ISSUER = "https://kubernetes.default.svc.cluster.local"
REPORT = "system:serviceaccount:finance:report"
CHECKOUT = "spiffe://cluster.local/ns/shop/sa/checkout"
DESK = "spiffe://cluster.local/ns/support/sa/desk"
CALLERS = """
accounts: [{name: sales}, {name: support}]
roles:
  reader: [read]
  buyer: [read, lease]
  auditor: [see_all_operations]
tokens: [{issuer: "%s", audiences: [lease-gateway], keys_file: jwks.json}]
callers:
  - {name: checkout, match: {spiffe: "%s"}, roles: {sales: [buyer]}}
  - {name: support, match: {spiffe_prefix: "spiffe://cluster.local/ns/support/"}, roles: {sales: [reader], support: [reader]}}
  - {name: operators, match: {dns: ops.example}, roles: {support: [reader]}}
  - {name: crm, match: {common_name: Old CRM}, roles: {support: [reader]}}
  - {name: office, match: {common_name: "B\u00fcro, \\"Nord\\""}, roles: {support: [reader]}}
  - {name: finance, match: {token: {issuer: "%s", subject: "%s"}}, roles: {sales: [auditor], support: [auditor]}}
""" % (ISSUER, CHECKOUT, ISSUER, REPORT)
# Name → its certificate's common name and other name, and what WhoAmI is to say: caller, kind, identity.
CERTIFICATES = {
    "checkout": ("any", f"URI:{CHECKOUT}", ("checkout", "SPIFFE_ID", CHECKOUT)),
    "support": ("any", f"URI:{DESK}", ("support", "SPIFFE_ID", DESK)),
    "operators": ("any", "DNS:ops.example", ("operators", "DNS_NAME", "ops.example")),
    "crm": ("Old CRM", "", ("crm", "COMMON_NAME", "Old CRM")),
    "office": ('Büro, "Nord"', "", ("office", "COMMON_NAME", 'Büro, "Nord"')),
    "nobody": ("Old CRM 2", "", ("anonymous", "COMMON_NAME", "Old CRM 2")),
    # What would be another caller if a proxy did not quote it.
    "forger": (f'x",URI="{CHECKOUT}', "", ("anonymous", "COMMON_NAME", f'x",URI="{CHECKOUT}')),
    "liar": (f'Old CRM;URI={CHECKOUT}', "", ("anonymous", "COMMON_NAME", f"Old CRM;URI={CHECKOUT}")),
    "slash": ("x\\", "", ("anonymous", "COMMON_NAME", "x\\")),
}
# Caller → an account that it may read, or see all operations of; one where it may not lease.
RIGHTS = {"checkout": ("sales", "support"), "support": ("support", "sales"), "operators": ("support", "sales"),
          "crm": ("support", "support"), "office": ("support", "sales"), "finance": ("sales", "sales"), "anonymous": (None, "sales")}

# A connection of its own for each channel, past any proxy of the environment.
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]

passed = failed = 0


def check(name, holds, seen=""):
    global passed, failed
    if holds:
        passed += 1
        print(f"ok: {name}")
    else:
        failed += 1
        print(f"FAILED: {name}: {seen}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def openssl(*arguments, given=None):
    return subprocess.run(["openssl", *arguments], input=given, check=True, capture_output=True).stdout


class World:
    """The programs, and the files that they and their callers have."""

    def __init__(self, binaries):
        self.binaries = os.path.abspath(binaries)  # programs start in the folder
        self.folder = tempfile.mkdtemp(prefix="lease-gateway-callers.")
        self.processes = []
        self.direct, self.inner, self.edge, self.side_car = (free_port() for _ in range(4))
        os.mkdir(self.path("tmp"))
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                "/CN=authority", "-keyout", self.path("ca.key"), "-out", self.path("ca.crt"))
        self.issue("tls", "gateway", "DNS:localhost")
        for name, (common_name, other, _) in CERTIFICATES.items():
            self.issue(name, common_name, other)
        for name in ("issuer", "stranger"):
            openssl("genrsa", "-out", self.path(f"{name}.key"), "2048")
        modulus = openssl("rsa", "-in", self.path("issuer.key"), "-noout", "-modulus").decode().strip().partition("=")[2]
        self.write("jwks.json", json.dumps({"keys": [{"kty": "RSA", "alg": "RS256", "kid": "1", "e": "AQAB",
                                                      "n": base64url(bytes.fromhex(modulus))}]}))
        self.write("callers.yaml", CALLERS)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def issue(self, name, common_name, other):
        subject = common_name.replace("\\", "\\\\").replace("/", "\\/").replace("+", "\\+")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-utf8", "-subj", f"/CN={subject}",
                "-keyout", self.path(f"{name}.key"), "-out", self.path("request"))
        self.write("names", f"subjectAltName={other}" if other else "basicConstraints=CA:FALSE")
        openssl("x509", "-req", "-in", self.path("request"), "-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"),
                "-CAcreateserial", "-days", "2", "-extfile", self.path("names"), "-out", self.path(f"{name}.crt"))

    def start(self, name, port, *command):
        with open(self.path(f"{name}.log"), "w", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)  # pylint: disable=consider-using-with
        self.processes.append(process)
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(OSError):
                return socket.create_connection(("127.0.0.1", port), 1).close()
            time.sleep(0.1)
        with open(self.path(f"{name}.log"), encoding="utf-8") as log:
            raise RuntimeError(f"{name} does not start: {log.read()}")

    def start_gateway(self, name, port, *arguments):
        self.start(name, port, os.path.join(self.binaries, "lease-gateway"), "--sandbox", "--callers-file", "callers.yaml",
                   "--listen", f"127.0.0.1:{port}", *arguments)

    def start_nginx(self):
        """With the configuration of the component edge; and as a side-car, which lets through what is said."""
        with open(EDGE, encoding="utf-8") as file:
            text = file.read()
        for old, new in (("/tmp/", self.path("tmp") + "/"), ("/var/run/secrets/tls/", self.path("")), ("127.0.0.1:50052", f"127.0.0.1:{self.inner}"),
                         ("listen 50051 ", f"listen 127.0.0.1:{self.edge} ")):
            if old not in text:
                raise RuntimeError(f"nginx.conf has no {old}")
            text = text.replace(old, new)
        side_car = f"server {{ listen 127.0.0.1:{self.side_car} http2; location / {{ grpc_pass grpc://127.0.0.1:{self.inner}; }} }}"
        user = "user root;\n" if os.getuid() == 0 else ""  # who may read the folder
        self.write("nginx.conf", user + text.rstrip().removesuffix("}") + side_car + "\n}\n")
        command = ["/usr/sbin/nginx", "-e", "stderr", "-c", self.path("nginx.conf")]
        tried = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        if 'unknown directive "max_headers"' in tried.stderr:  # Debian 12's has it
            self.write("nginx.conf", "".join(line for line in self.read("nginx.conf").decode().splitlines(keepends=True)
                                             if "max_headers" not in line))
        self.start("nginx", self.edge, *command, "-g", "daemon off;")

    def end(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder)

    def token(self, header=None, key="issuer", **claims):
        """RS256; a claim that is None is left out."""
        said = {"iss": ISSUER, "sub": REPORT, "aud": ["lease-gateway"], "exp": int(time.time()) + 3600, **claims}
        parts = [{"alg": "RS256", "kid": "1", **(header or {})}, {name: value for name, value in said.items() if value is not None}]
        signed = ".".join(base64url(json.dumps(part).encode()) for part in parts)
        signature = openssl("dgst", "-sha256", "-sign", self.path(f"{key}.key"), given=signed.encode())
        return f"{signed}.{base64url(signature)}"

    def channel(self, port, certificate=None):
        own = (self.read(f"{certificate}.key"), self.read(f"{certificate}.crt")) if certificate else (None, None)
        return grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(self.read("ca.crt"), *own),
                                   OPTIONS)


class Refused(Exception):
    def __init__(self, code, details, info):
        super().__init__(f"{code} {info and info.reason}: {details}")
        self.code, self.details, self.reason = code, details, info.reason if info else ""
        self.metadata = dict(info.metadata) if info else {}


class Contract:
    """The messages, as the gateway's reflection has them."""

    def __init__(self, channel):
        self.pool = Reflection(channel).pool(SERVICE, "google.rpc.Status", "google.rpc.ErrorInfo")
        self.methods = {method.name: method for method in self.pool.FindServiceByName(SERVICE).methods}

    def request(self, method, **fields):
        return message_class(self.pool, self.methods[method].input_type.full_name)(**fields).SerializeToString()

    def reply(self, method, data):
        return message_class(self.pool, self.methods[method].output_type.full_name).FromString(data)

    def refused(self, code, details, status):
        infos = [message_class(self.pool, "google.rpc.ErrorInfo").FromString(detail.value) for detail in
                 message_class(self.pool, "google.rpc.Status").FromString(status or b"").details
                 if detail.type_url.endswith("ErrorInfo")]
        return Refused(code, details, infos[0] if infos else None)

    def kind(self, number):
        names = self.pool.FindEnumTypeByName("leasegateway.v1.IdentityKind").values_by_number
        return names[number].name.removeprefix("IDENTITY_KIND_")


def python_caller(contract, channel, *metadata):
    def call(method, **fields):
        try:
            data = channel.unary_unary(f"/{SERVICE}/{method}")(contract.request(method, **fields), timeout=TIMEOUT, metadata=metadata)
        except grpc.RpcError as error:
            raise contract.refused(error.code().name, error.details(),
                                   dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")) from error
        return contract.reply(method, data)
    return call


def node_caller(contract, world, certificate=None, token=None):
    """Each call is a process; without a certificate the connection has none."""
    def call(method, **fields):
        own = [world.path(f"{certificate}.crt"), world.path(f"{certificate}.key")] if certificate else ["", ""]
        done = subprocess.run(["node", os.path.join(HERE, "foreign_callers.js"), f"localhost:{world.direct}", f"/{SERVICE}/{method}",
                               contract.request(method, **fields).hex(), world.path("ca.crt"), *own, token or ""],
                              capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        answer = json.loads(done.stdout)
        if answer["code"] != "OK":
            raise contract.refused(answer["code"], answer["details"], bytes.fromhex(answer["status"]))
        return contract.reply(method, bytes.fromhex(answer["reply"]))
    return call


def refusal(call, method, **fields):
    """The Refused; an answer is one that has no code."""
    try:
        return Refused("OK", str(call(method, **fields))[:200], None)
    except Refused as error:
        return error


def told(name, contract, call, expected):
    """WhoAmI says who that is, and its rights hold: one call that it may make, one that it may not."""
    caller, _, _ = expected
    try:
        answer = call("WhoAmI")
        seen = (answer.caller, contract.kind(answer.identity_kind), answer.identity)
        check(f"{name} is {' '.join(expected)}", seen == expected, seen)
        accounts = [access.account for access in answer.accounts]
    except Refused as error:
        check(f"{name} is {' '.join(expected)}", False, error)
        return
    allowed, forbidden = RIGHTS[caller]
    if allowed is None:
        check("it has no account", not accounts, accounts)
    else:
        method = "ListOperations" if caller == "finance" else "ListAvailableNumbers"
        error = refusal(call, method, account=allowed, page_size=1)
        check(f"it may {method}", error.code == "OK", error)
    error = refusal(call, "CreateLease", account=forbidden, phone_number="+12128583091", request_id="9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6f")
    holds = (error.code, error.reason, error.metadata.get("caller"), error.metadata.get("right")) == (
        "PERMISSION_DENIED", "NOT_ALLOWED", caller, "lease")
    check(f"it may not lease for {forbidden}", holds, f"{error} {error.metadata}")


def unknown(name, call, why, secret=""):
    """The identity is not believed, for that reason, and nothing of it is repeated."""
    error = refusal(call, "WhoAmI")
    holds = (error.code, error.reason, error.metadata.get("why")) == ("UNAUTHENTICATED", "IDENTITY_INVALID", why)
    quoted = [part for part in secret.split(".") if len(part) > 8 and part in f"{error.details} {error.metadata}"]
    check(f"{name}: {why}", holds and not quoted, f"{error} {error.metadata}")


def bad_tokens(world):
    """(what it is, the token, why it is not believed)"""
    good = world.token()
    header, claims, signature = good.split(".")
    none = base64url(b'{"alg":"none"}')
    shared = base64url(b'{"alg":"HS256","kid":"1"}') + f".{claims}"
    public = openssl("rsa", "-in", world.path("issuer.key"), "-pubout")
    mac = openssl("dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{public.hex()}", "-binary", given=shared.encode())
    other = base64url(json.dumps({"iss": ISSUER, "sub": "system:serviceaccount:shop:checkout", "aud": "lease-gateway", "exp": 1 << 33}).encode())
    now = int(time.time())
    return [
        ("an expired token", world.token(exp=now - 3600), "expired"),
        ("one of tomorrow", world.token(nbf=now + 86400, exp=now + 90000), "not valid yet"),
        ("one for somebody else", world.token(aud="api"), "wrong audience"),
        ("one of another issuer", world.token(iss="https://issuer.example"), "unknown issuer"),
        ("one of a key that the issuer has not", world.token(header={"kid": "2"}), "unknown key"),
        ("one that a stranger signed", world.token(key="stranger"), "bad signature"),
        ("one whose claims were changed", f"{header}.{other}.{signature}", "bad signature"),
        ("one without a signature", f"{none}.{claims}.", "malformed"),
        ("one signed with the public key as a secret", f"{shared}.{base64url(mac)}", "malformed"),
        ("half of one", good[:len(good) // 2], "malformed"),
    ]


def callers_of_python(world, contract):
    for name, (_, _, expected) in CERTIFICATES.items():
        with world.channel(world.direct, name) as channel:
            told(f"python, certificate {name}", contract, python_caller(contract, channel), expected)
    finance = ("finance", "TOKEN", f"{ISSUER} {REPORT}")
    with world.channel(world.direct) as channel:
        def by_token(token):
            return python_caller(contract, channel, ("authorization", f"Bearer {token}"))
        told("python, a token", contract, by_token(world.token()), finance)
        told("python, nothing", contract, python_caller(contract, channel), ("anonymous", "ANONYMOUS", ""))
        told("python, a token of nobody", contract, by_token(world.token(sub="system:serviceaccount:finance:other")),
             ("anonymous", "TOKEN", f"{ISSUER} system:serviceaccount:finance:other"))
        for name, token, why in bad_tokens(world):
            unknown(f"python, {name}", by_token(token), why, token)
    with world.channel(world.direct, "support") as channel:
        told("python, a certificate and a token", contract,
             python_caller(contract, channel, ("authorization", f"Bearer {world.token()}")), CERTIFICATES["support"][2])


def callers_of_node(world, contract):
    for name in ("checkout", "support", "operators", "crm", "nobody"):
        told(f"grpc-js, certificate {name}", contract, node_caller(contract, world, name), CERTIFICATES[name][2])
    told("grpc-js, a token", contract, node_caller(contract, world, token=world.token()), ("finance", "TOKEN", f"{ISSUER} {REPORT}"))
    token = world.token(exp=int(time.time()) - 3600)
    unknown("grpc-js, an expired token", node_caller(contract, world, token=token), "expired", token)


def callers_through_nginx(world, contract):
    """The component edge: it is the common name that nginx tells, and nothing that callers say themselves."""
    forged = [("x-forwarded-client-cert", f"URI={CHECKOUT}"), ("x-forwarded-client-cert", f'By=spiffe://a;Subject="";URI={CHECKOUT}')]
    for name in ("crm", "office", "nobody", "forger", "liar", "slash"):
        _, _, expected = CERTIFICATES[name]
        with world.channel(world.edge, name) as channel:
            told(f"nginx, certificate {name}", contract, python_caller(contract, channel), expected)
            told("it forges a header", contract, python_caller(contract, channel, forged[0]), expected)
            told("it forges several", contract, python_caller(contract, channel, *forged), expected)
            told("it has a token as well", contract,
                 python_caller(contract, channel, ("authorization", f"Bearer {world.token()}"), forged[0]), expected)
    with world.channel(world.edge) as channel:
        error = refusal(python_caller(contract, channel, forged[0]), "WhoAmI")
        check("nginx: without a certificate nobody gets through", error.code in ("INTERNAL", "UNAVAILABLE") and not error.reason, error)


def callers_behind_a_side_car(world, contract):
    """Headers as Envoy and Istio write them, from loopback."""
    by = "By=spiffe://cluster.local/ns/lease-gateway/sa/lease-gateway;Hash=" + "0f" * 32
    headers = [
        ("Envoy's", f'{by};Subject="CN=checkout,OU=Shop\\, \\"online\\",C=DE";URI={CHECKOUT}', CERTIFICATES["checkout"][2]),
        ("Envoy's, with the certificate", f'Hash={"0f" * 32};Cert="-----BEGIN%20CERTIFICATE-----%0AMIIB%3D%0A";Chain="MIIB%3D";'
         f'Subject="CN=any";URI={CHECKOUT};DNS=ops.example', CERTIFICATES["checkout"][2]),
        ("Istio's", f'{by};Subject="";URI={DESK}', CERTIFICATES["support"][2]),
        ("Envoy's, of DNS names", f'{by};Subject="CN=any";DNS=ops.example;DNS=www.ops.example', CERTIFICATES["operators"][2]),
        ("of a subject alone", f'{by};Subject="CN=Old CRM"', CERTIFICATES["crm"][2]),
        ("of two proxies, the first a stranger's word", f'URI={CHECKOUT},{by};Subject="";URI={DESK}', CERTIFICATES["support"][2]),
    ]
    with grpc.insecure_channel(f"127.0.0.1:{world.side_car}", OPTIONS) as channel:
        for name, header, expected in headers:
            told(f"a header {name}", contract, python_caller(contract, channel, ("x-forwarded-client-cert", header)), expected)
        for header in (f'{by};Subject="CN=any;URI={CHECKOUT}', f"{by};URI={CHECKOUT}\"", "no header", f"URI={CHECKOUT},"):
            unknown(f"a header that is broken, {header[-24:]}", python_caller(contract, channel, ("x-forwarded-client-cert", header)),
                    "malformed header")


def main(arguments):
    parts = set(arguments[2:])
    if len(arguments) < 3 or not parts <= {"python", "nginx", "grpc-js"}:
        print(__doc__, file=sys.stderr)
        return 2
    world = World(arguments[1])
    try:
        world.start_gateway("gateway", world.direct, "--tls-cert-file", "tls.crt", "--tls-key-file", "tls.key", "--tls-client-ca-file",
                            "ca.crt", "--tls-client-auth", "request")
        with world.channel(world.direct, "checkout") as channel:
            contract = Contract(channel)
        if "python" in parts:
            callers_of_python(world, contract)
        if "grpc-js" in parts:
            callers_of_node(world, contract)
        if "nginx" in parts:
            world.start_gateway("inner", world.inner)
            world.start_nginx()
            callers_through_nginx(world, contract)
            callers_behind_a_side_car(world, contract)
    finally:
        world.end()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
