"""What happens in a trial, drawn from (seed, index) alone."""

import dataclasses
import random
import uuid

BATCH = 100  # trials that run at once
NUMBERS = 3  # of a trial, which no other trial of the batch uses
CURRENCY = "USD"  # of all of them; with limits some have another
GIVER = -1  # who gives back what a batch has left

LEASE = "POST /lease/{number}"
TERMINATE = "DELETE /leased/{number}"
LOOK = "GET /{number}"
SETTINGS = ("POST /{number}/configure", "GET /lease/{number}/call_forwarding",
            "POST /lease/{number}/call_forwarding/enable", "POST /lease/{number}/call_forwarding/disable")

# When the gateway is killed, and how many of 100 trials do so.
MOMENTS = ("random", "journal-send", "send-apply", "apply-answer", "answer-journal")
KILLS_PERCENT = 5


@dataclasses.dataclass
class Intent:
    """A purchase or termination that callers want; they share its request_id."""
    method: str  # of the service
    request_id: str  # empty: the gateway makes one
    number: int | None = None  # of the trial's; None: any of them
    bind: str = ""  # TerminateLease with the "latest" or "first" lease_id that the trial has seen
    price: str = ""  # expected_price: "right", "wrong" or none
    order_by: str = ""
    validate_only: bool = False
    lease_id: str | None = None  # what `bind` has found, for all who share it
    buyer: int = 0  # with limits: which of the trial's asks; GIVER: one of no trial


@dataclasses.dataclass
class Step:
    """One thing that a caller does; writes are tried again under the same request_id."""
    pause: float  # seconds before it
    deadline: float
    # Who ends the call at its deadline: the gateway, told by "header"; the gateway, by "default";
    # the client itself.
    ends: str
    intent: Intent | None = None
    read: str = ""
    number: int = 0
    uncached: bool = False
    attempts: int = 1
    retry_pause: float = 0.1
    cancel_after: float | None = None
    # With several replicas: which one it asks first, and whom then ("turn", "stay", "all" at once).
    replica: int = 0
    habit: str = "stay"


@dataclasses.dataclass
class Trial:
    index: int
    scenario: str
    start: float
    callers: list
    faults: list  # as the sandbox takes them, `number` an index
    kill: str = ""
    kill_route: str = LEASE
    kill_delay: float = 0.0
    # With several replicas: which one is killed, or frozen for so many seconds, and when it is back.
    replica: int = 0
    freeze: float = 0.0
    restart_after: float = 0.0
    # With limits: whose each of the numbers may become, and who buys.
    accounts: tuple = ()
    buyers: tuple = ()


def is_limited(index):
    """Whether the provider limits the rate in the trial's batch.

    One 429 slows all calls down for a minute, so most batches go without.
    """
    return index // BATCH % 4 == 2


def is_poisoned(index):
    """Whether nothing else is wrong in the trial's batch than that some numbers can't be read."""
    return index // BATCH % 8 == 1


PAGES = (200, 302, 400, 401, 403, 404, 405, 407, 409, 410, 451, 502, 503)
NOT_THE_PROVIDERS = ("", "no", "{}", '{"message":"Forbidden"}', '{"status":"ok","data":{}}',
                     '{"data":{"numbers":[]},"object":"list"}')


def draw_page(rng, index):
    """What something between the gateway and the provider answers in its place."""
    page = {"kind": "html", "status": rng.choice(PAGES)}
    if is_limited(index) and rng.random() < 0.1:
        page["status"] = 429
    if page["status"] in (429, 503) and rng.random() < 0.5:
        page["retry_after"] = rng.choice(("0", "1", "30", "soon"))
    if rng.random() < 0.5:
        page |= {"server": "squid/5.7", "via": "1.1 proxy (squid/5.7)"}
    if rng.random() < 0.3:
        page["body"] = rng.choice(NOT_THE_PROVIDERS)
    return page


REFUSALS = (400, 401, 402, 403, 404, 405, 409, 410, 412, 422, 451)


def draw_fault(rng, index):
    """One that a provider may show that does not lie in what it says of a number.

    A success of a write is true, and what a look shows. A refusal may be of a write that was applied.
    """
    route = rng.choices((LEASE, TERMINATE, LOOK, rng.choice(SETTINGS)), (4, 3, 3, 2))[0]
    is_said_of_it = route == LOOK or route in SETTINGS  # 404 would say that there is none
    kind = rng.choice(("status", "status", "status", "delay", "close", "reset", "truncate", "garbage",
                       "html", "html", "html", "drip", "hang"))
    fault = {"route": route, "kind": kind, "count": rng.choice((1, 1, 1, 2, 3)),
             "when": rng.choice(("before", "after"))}
    if kind == "status":
        refusals = (400, 403) if is_said_of_it else REFUSALS
        fault["status"] = rng.choice((rng.choice(refusals), 500, 502, 503, 503, 504))
        if not is_said_of_it and rng.random() < 0.4:
            fault["status"], fault["when"] = rng.choice(REFUSALS), "after"
        if is_limited(index) and rng.random() < 0.1:
            fault["status"] = 429
        fault["envelope"] = rng.random() < 0.7
        if route != LOOK and fault["status"] < 500 and rng.random() < 0.1:
            fault["body"] = rng.choice(("", "{}", "no"))  # as if it came from somebody in between
        if fault["status"] in (429, 503) and rng.random() < 0.5:
            fault["retry_after"] = rng.choice(("0", "1", "30", "soon"))
    elif kind == "delay":
        # Above response_timeout, so that it is applied when the gateway has given up; but within
        # the 5 s after which the gateway takes a lost request for gone.
        fault["delay_ms"] = rng.choice((rng.randint(20, 300), rng.randint(300, 900),
                                        rng.randint(900, 3000)))
    elif kind == "html":
        fault |= draw_page(rng, index)
    elif kind == "drip":
        fault["when"] = "after"
        fault["delay_ms"] = rng.choice((0, 1, 5))
    elif kind == "hang":
        fault["count"] = 1
    return fault


class Drawing:
    def __init__(self, seed, index):
        self.rng = random.Random(f"{seed}:{index}")
        self.index = index

    def request_id(self):
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def lease(self, number=0, **more):
        rng = self.rng
        price = rng.choices(("", "right", "wrong"), (85, 11, 4))[0]
        request_id = "" if rng.random() < 0.03 else self.request_id()
        return Intent("CreateLease", request_id, number, price=price, **more)

    def lease_any(self):
        order = self.rng.choice(("", "pricing.monthly_rate", "pricing.monthly_rate desc",
                                 "health.reputation desc, phone_number"))
        return Intent("LeaseAnyNumber", self.request_id(), order_by=order)

    def terminate(self, number=0):
        return Intent("TerminateLease", self.request_id(), number, bind=self.rng.choice(("", "latest")))

    def step(self, intent=None, read="", number=0, pause=None):
        rng = self.rng
        deadline = rng.choice((rng.uniform(0.15, 0.6), rng.uniform(0.6, 3.0)))
        step = Step(rng.uniform(0, 0.3) if pause is None else pause, round(deadline, 3),
                    rng.choices(("header", "default", "client"), (60, 15, 25))[0], intent, read, number)
        if intent:
            step.attempts = rng.choice((1, 2, 4, 8))
            step.retry_pause = rng.uniform(0.03, 0.4)
            if rng.random() < 0.12:
                step.cancel_after = rng.uniform(0.0, 0.5)
        else:
            step.uncached = rng.random() < 0.5
        return step

    def read(self, intents=()):
        names = ["GetNumber", "GetLease", "ListLeases", "ListAvailableNumbers", "ListOperations",
                 "BatchGetNumbers", "GetCallForwarding", "EnableCallForwarding", "DisableCallForwarding",
                 "ConfigureFailover"]
        if intents and self.rng.random() < 0.5:
            return self.step(self.rng.choice(intents), read="GetOperation")
        return self.step(read=self.rng.choice(names), number=self.rng.randrange(NUMBERS))

    def callers(self):
        """The scenario's name and what each of its callers does."""
        rng = self.rng
        name = rng.choices(
            ("buy", "rivals", "return", "again", "stale", "late", "any", "reuse", "ends", "mixed"),
            (17, 14, 14, 11, 5, 5, 14, 5, 6, 9))[0]
        if name == "buy":
            intent = self.lease()
            return name, [[self.step(intent)] for _ in range(rng.choice((1, 1, 2, 3)))]
        if name == "rivals":
            return name, [[self.step(self.lease())] for _ in range(rng.choice((2, 2, 3)))]
        if name == "return":
            buy, end = self.lease(), self.terminate()
            return name, [[self.step(buy), self.step(end)] for _ in range(rng.choice((1, 1, 2)))]
        if name == "again":
            # What was bought, returned and bought anew; then those come back who lost an answer.
            buy, end, anew = self.lease(), self.terminate(), self.lease()
            steps = [self.step(intent) for intent in (buy, end, anew)]
            late = [self.step(intent, pause=rng.uniform(0.2, 2.5)) for intent in (end, buy)]
            return name, [steps, late]
        if name == "stale":
            # One who knows only of the first lease wants it ended, when there is a newer one.
            intents = [self.lease(), self.terminate(), self.lease(), self.terminate()]
            intents[-1].bind = "first"
            steps = [self.step(intent) for intent in intents]
            for step in steps:
                step.attempts, step.cancel_after = 8, None
            return name, [steps]
        if name == "late":
            # The provider carries a request out long after the gateway has lost it: by then the number
            # may have been bought by the same request sent again, and given back.
            intents = [self.lease(), self.terminate(), self.lease(), self.terminate()]
            steps = [self.step(intent) for intent in intents[:rng.choice((2, 3, 4))]]
            for step in steps:
                step.attempts, step.retry_pause = 8, rng.uniform(0.03, 0.1)
                step.deadline = rng.uniform(0.8, 3.0)
            return name, [steps]
        if name == "any":
            intent = self.lease_any()
            callers = [[self.step(intent)] for _ in range(rng.choice((1, 2)))]
            rival = rng.choice((None, self.lease_any(), self.lease(rng.randrange(NUMBERS))))
            if rival:
                callers.append([self.step(rival)])
            return name, callers
        if name == "reuse":
            intent = self.lease()
            intent.request_id = intent.request_id or self.request_id()
            other = dataclasses.replace(
                rng.choice((self.lease(1), self.lease_any(), self.terminate())),
                request_id=intent.request_id)
            return name, [[self.step(intent)], [self.step(other)]]
        if name == "ends":
            buy = self.lease()
            return name, [[self.step(buy), self.step(self.terminate())], [self.step(self.terminate())]]
        intents = [rng.choice((self.lease, self.terminate))(rng.randrange(NUMBERS)) for _ in range(4)]
        return name, [[self.step(rng.choice(intents)) for _ in range(rng.randint(1, 4))]
                      for _ in range(rng.randint(2, 4))]


def draw_trial(seed, index):
    drawing = Drawing(seed, index)
    rng = drawing.rng
    start = rng.uniform(0, 3)
    if is_poisoned(index):
        return Trial(index, "poison", start, drawing.callers()[1], [])
    if rng.random() * 100 < KILLS_PERCENT:
        return _draw_kill(drawing, start)
    scenario, callers = drawing.callers()
    intents = [step.intent for steps in callers for step in steps]
    for _ in range(rng.choice((0, 1, 2))):
        rng.choice(callers).append(drawing.read(intents))
    if rng.random() < 0.1:
        rehearsal = dataclasses.replace(drawing.lease(), validate_only=True, price="")
        rng.choice(callers).append(drawing.step(rehearsal))
    if scenario == "late":
        return Trial(index, scenario, start, callers, [
            {"route": rng.choice((LEASE, LEASE, TERMINATE)), "kind": "delay", "when": "before",
             "delay_ms": rng.randint(600, 3500), "count": rng.choice((1, 1, 2)), "number": 0}])
    # Some of the trials are calm, or the circuit breaker would leave little to be seen.
    faults = []
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3, 4))):
        fault = draw_fault(rng, index)
        fault["number"] = rng.choice((0, 0, rng.randrange(NUMBERS)))
        faults.append(fault)
    return Trial(index, scenario, start, callers, faults)


def _draw_kill(drawing, start):
    """A trial that kills the gateway at one moment of its purchase or termination."""
    rng = drawing.rng
    moment = rng.choice(MOMENTS)
    ends = rng.random() < 0.35
    buy = drawing.lease()
    buy.price = ""
    buy.request_id = buy.request_id or drawing.request_id()
    steps = [drawing.step(buy)]
    if ends:
        steps.append(drawing.step(drawing.terminate()))
    for step in steps:
        step.ends, step.deadline, step.cancel_after = "header", rng.uniform(0.8, 3.0), None
    for step in steps[:-1]:
        step.attempts = 20
    callers = [steps]
    if not ends and rng.random() < 0.3:
        callers.append([drawing.step(buy)])
    route = TERMINATE if ends else LEASE
    faults = []
    if moment == "send-apply":
        faults = [{"route": route, "kind": "delay", "delay_ms": rng.randint(250, 2500),
                   "when": "before", "count": 1, "number": 0}]
    elif moment == "apply-answer":
        faults = [rng.choice(({"kind": "delay", "delay_ms": 450}, {"kind": "hang"}))
                  | {"route": route, "when": "after", "count": 1, "number": 0}]
    delay = rng.uniform(0, 0.003) if moment == "answer-journal" else rng.uniform(0, 0.15)
    return Trial(drawing.index, "kill", start, callers, faults, moment, route, delay)
