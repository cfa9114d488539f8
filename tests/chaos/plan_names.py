"""What the name server that the gateways ask does in a batch, drawn from (seed, batch) alone.

It never says that the provider is where it is not only: each answer with addresses has the living one
among them, and no answer says that there is none.
"""

import dataclasses
import random

import plan
import plan_replicas

LIVING = "127.0.0.1"
# Behind the one nobody listens, the other takes no connection and refuses none.
REFUSES, HANGS = "127.0.0.2", "127.0.0.3"
LASTS = 12.0  # seconds of a batch, or until its trials are over; with several replicas longer, and from the end of their quiet on
LASTS_FOR_SEVERAL = 15.0
LASTS_AFTERWARDS = 30.0  # once nothing else is wrong any more
TTLS = (0, 0, 1, 1, 2)

KINDS = {
    "swallow": 4, "swallow-one": 3, "late-one": 4, "servfail": 3, "servfail-one": 2, "refused": 1,
    "nxdomain": 3, "nxdomain-ipv6": 1, "truncate": 2, "cut": 2, "garbage": 2, "wrong": 1,
    "dead": 4, "dead-ipv6": 3, "gone": 1,
}


@dataclasses.dataclass
class Span:
    """From `at` seconds after the batch's start, for so many: what befalls one gateway's questions."""
    at: float
    seconds: float
    kind: str
    replica: int = 0  # "gone": all of them
    family: str = "*"
    ttl: int = 1
    delay: float = 0.0
    dead: str = ""
    dead_first: bool = False
    # Whether a gateway that has been started meanwhile is let learn the name first. If not, nothing can
    # be had of the provider, and the circuits open.
    spares_the_ignorant: bool = True

    def about(self):
        """What the server knows of the gateway's name meanwhile."""
        known = about_living(self.ttl)
        kind = self.kind.partition("-")[0]
        if kind == "dead" and self.family == "AAAA":
            known["AAAA"] = [self.dead]
        elif kind == "dead":
            known["A"].insert(0 if self.dead_first else 1, self.dead)
        elif kind == "late":
            known["delay"] = {self.family: self.delay}
        elif kind != "gone":
            known["fault"] = {self.family: kind}
        return known


def about_living(ttl=1):
    return {"A": [LIVING], "AAAA": [], "ttl": ttl}


def is_calm(index):
    """Whether all names can be looked up in the batch."""
    return plan.is_poisoned(index) or index // plan.BATCH % 8 == 5


def draw_spans(seed, first, replicas, afterwards=False):
    """Those of the batch, in order; those of one gateway one after the other.

    `afterwards`: those that come when all else is well, so that no call may fail any more.
    """
    if is_calm(first):
        return []
    rng = random.Random(f"{seed}:{first}:names{':afterwards' if afterwards else ''}")
    spans = []
    for replica in range(replicas):
        if afterwards:
            start, lasts = 0.0, LASTS_AFTERWARDS
        elif replicas == 1:
            start, lasts = 0.0, LASTS
        else:
            start, lasts = plan_replicas.QUIET_START, LASTS_FOR_SEVERAL
        at, end = start + rng.uniform(0.0, 0.8), start + lasts
        while at < end:
            span = _draw_span(rng, at, replica)
            span.spares_the_ignorant |= afterwards
            spans.append(span)
            at += span.seconds + rng.choice((0.0, rng.uniform(0.1, 1.0)))
    return sorted(spans, key=lambda span: span.at)


def _draw_span(rng, at, replica):
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    span = Span(at, rng.choice((rng.uniform(0.2, 1.0), rng.uniform(1.0, 3.0))), kind, replica,
                ttl=rng.choice(TTLS), spares_the_ignorant=rng.random() < 0.9)
    if kind.endswith("-one"):
        span.family = rng.choice(("A", "AAAA"))
    elif kind.endswith("-ipv6"):
        span.family = "AAAA"
    if kind == "late-one":
        # Below and above the 50 ms for which one family waits for the other, and the 100 ms for which
        # a call waits for new addresses.
        span.delay = rng.choice((rng.uniform(0.01, 0.05), rng.uniform(0.05, 0.12), rng.uniform(0.12, 0.6)))
    elif kind == "dead":
        span.dead, span.dead_first = rng.choice((REFUSES, REFUSES, HANGS)), rng.random() < 0.7
    elif kind == "dead-ipv6":
        span.dead = "::1"
    return span
