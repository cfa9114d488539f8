"""What callers prove who they are with, and the callers files that know them."""

import base64
import json
import subprocess
import time

from programs import BenchError

SPIFFE = "spiffe://bench.example/ns/team-{}/sa/service-{}"
ISSUER, AUDIENCE, SUBJECT = "https://issuer.bench.example", "bench", "system:serviceaccount:bench:caller"
# Limits that a benchmark doesn't reach.
QUOTAS = ("{reads_per_second: 1000000, reads_burst: 1000000, writes_per_second: 1000, calls_in_flight: 100000, "
          "watchers: 100, rows_per_minute: 1000000000}")


def openssl(*arguments, stdin=b""):
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"openssl {arguments[0]}: {done.stderr.decode(errors='replace').strip()[-200:]}")
    return done.stdout


def certificate(path):
    """A PEM file with the self-signed certificate of the first caller and its key."""
    key = path.with_suffix(".key")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", "/CN=caller", "-addext", f"subjectAltName=URI:{SPIFFE.format(0, 0)}", "-days", "2",
            "-out", path, "-keyout", key)
    with path.open("a") as file:
        file.write(key.read_text())
    return path


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(folder):
    """A JWKS file and a token, RS256, as Kubernetes' are."""
    key, keys = folder / "issuer.key", folder / "jwks.json"
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
    modulus = bytes.fromhex(openssl("rsa", "-in", key, "-noout", "-modulus").decode().strip().partition("=")[2])
    keys.write_text(json.dumps({"keys": [{"kty": "RSA", "kid": "bench", "alg": "RS256", "use": "sig",
                                          "n": base64url(modulus), "e": "AQAB"}]}))
    now = int(time.time())
    parts = ({"alg": "RS256", "kid": "bench", "typ": "JWT"},
             {"iss": ISSUER, "aud": [AUDIENCE], "sub": SUBJECT, "iat": now, "nbf": now, "exp": now + 3600})
    signed = ".".join(base64url(json.dumps(part).encode()) for part in parts)
    return keys, f"{signed}.{base64url(openssl('dgst', '-sha256', '-sign', key, stdin=signed.encode()))}"


def accounts(names, key_file):
    return "accounts:\n" + "".join(f"- {{name: {name}, key_file: {key_file}}}\n" for name in names)


def callers_file(path, key_file, count, keys_file=None):
    """One account and so many callers, each with rights and limits; with `keys_file` one more, by a token."""
    text = accounts(["sales"], key_file) + "roles:\n  reader: [read, watch]\n"
    if keys_file is not None:
        text += f"tokens:\n- {{issuer: \"{ISSUER}\", audiences: [{AUDIENCE}], keys_file: {keys_file}}}\n"
    text += "callers:\n"
    for index in range(count):
        text += (f"- name: service-{index}\n  match: {{spiffe: \"{SPIFFE.format(index % 100, index)}\"}}\n"
                 f"  roles: {{sales: [reader]}}\n  quotas: {QUOTAS}\n")
    if keys_file is not None:
        text += (f"- name: by-token\n  match: {{token: {{issuer: \"{ISSUER}\", subject: \"{SUBJECT}\"}}}}\n"
                 f"  roles: {{sales: [reader]}}\n  quotas: {QUOTAS}\n")
    path.write_text(text)
    return path


def accounts_file(path, key_file, names):
    """These accounts, which everybody may read."""
    roles = ", ".join(f"{name}: [reader]" for name in names)
    path.write_text(f"{accounts(names, key_file)}roles:\n  reader: [read]\n"
                    f"callers:\n- name: all\n  match: {{anonymous: true}}\n  roles: {{{roles}}}\n")
    return path


def buyers_file(path, key_file, matchers):
    """One account, on which callers with these matchers may read and lease without limits."""
    path.write_text(f"{accounts(['sales'], key_file)}roles:\n  buyer: [read, lease]\ncallers:\n" + "".join(
        f"- {{name: buyer-{index}, match: {matcher}, roles: {{sales: [buyer]}}}}\n"
        for index, matcher in enumerate(matchers)))
    return path
