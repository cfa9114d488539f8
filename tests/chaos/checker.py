"""Compares three records of the same purchases: what callers were told, the journal, the ledger.

Plain data in, violations out: it knows neither gRPC nor the gateway, so that its own test can show
it records of which it must complain. Times are seconds of one monotonic clock, amounts millionths.
"""

import dataclasses
import re
from collections import defaultdict

INVARIANTS = {
    1: "no request_id is charged twice",
    2: "every charge is in the journal under its request_id",
    3: "nothing is reported that the ledger does not have",
    4: "no call ends later than its deadline and 250 ms",
    5: "no crash, no leak",
    6: "reads of warm accounts never fail",
    8: "all is resolved within 30 s and the breaker is closed",
    9: "numbers that can't be read open no circuit",
    10: "no two replicas have a request for one purchase under way",
    11: "what a dead replica left open has another owner within 15 s",
    12: "all replicas say the same once it is quiet",
    13: "nothing is sent without the right to, which nobody gets before another's has run out",
    14: "a name that can't be looked up any more fails no call",
    15: "what something in between has answered is told to nobody as the provider's word",
}

PURCHASES = ("LEASE", "LEASE_ANY")
KINDS = {"CreateLease": "LEASE", "LeaseAnyNumber": "LEASE_ANY", "TerminateLease": "TERMINATE"}
# After these a caller knows nothing of the outcome, or knows that trying again may succeed.
OPEN_CODES = ("ABORTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED")
# After these the same request_id gets the same answer for ever. After other failures it may be tried
# anew, and then succeed.
FINAL_REASONS = ("UPSTREAM_REJECTED", "NUMBER_NOT_AVAILABLE", "NOT_LEASED", "NUMBER_NOT_FOUND",
                 "ALREADY_LEASED", "PRICE_CHANGED", "LEASE_CHANGED")
LATEST = 0.250
WATCHDOG = 3.0  # seconds past its deadline at which a client gives a call up
BUSY_FOR_A_CALL = 0.3
LIVING = "127.0.0.1"  # where the provider is
ADOPTED_WITHIN = 15.0


@dataclasses.dataclass
class Call:
    """What one caller asked, and what it was told."""
    trial: int
    method: str
    code: str  # "OK" or the status code's name
    request_id: str = ""  # as sent
    number: str = ""  # as sent
    lease_id: str = ""  # as sent
    args: str = ""  # all arguments but the request_id, as text
    validate_only: bool = False
    reason: str = ""
    text: str = ""  # of the error
    start: float = 0.0
    end: float = 0.0
    told_request_id: str = ""
    told_number: str = ""
    told_lease_id: str = ""
    told_leases: tuple = ()  # (lease_id, number) that a read has shown
    told_state: str = ""  # by GetOperation, with a FAILED one's `reason`
    told_operation_lease_id: str = ""
    replica: int = 0  # that was asked
    # With a callers file: who asked for which account, and the metadata of a refusal for a limit.
    caller: str = ""
    account: str = ""
    refusal: dict | None = None


def is_open(call):
    """Whether its caller goes on asking."""
    return call.code in OPEN_CODES or call.reason == "JOURNAL_UNAVAILABLE"


@dataclasses.dataclass
class Operation:
    """A row of the journal."""
    request_id: str
    kind: str
    state: str
    number: str = ""
    lease_id: str = ""
    settlement: str = ""
    reason: str = ""
    result_lease_id: str = ""  # of `lease` or `termination`
    result_number: str = ""
    price: int | None = None  # upfront fee and monthly rate
    caller: str = ""
    account: str = ""
    identity_kind: str = ""
    currency: str = ""
    fee: int = 0
    rate: int = 0
    created: float = dataclasses.field(default=0.0, compare=False, repr=False)
    updated: float = dataclasses.field(default=0.0, compare=False, repr=False)


@dataclasses.dataclass
class Entry:
    """A line of the provider's ledger."""
    kind: str
    number: str
    lease_id: str
    amount: int = 0
    time: float = 0.0
    account: str = ""
    currency: str = ""
    day: int = 0  # UTC, since 1970


@dataclasses.dataclass
class Sent:
    """A request to the provider that spends or gives back, as the provider saw it."""
    replica: int
    number: str
    start: float
    end: float | None  # None: it was never answered
    request_id: str = ""  # where it is known


@dataclasses.dataclass
class Violation:
    invariant: int
    trial: int  # -1: of no trial
    text: str


def check(calls, operations, ledger, trial_of_number, anonymous=()):
    """Everything that can be seen once nothing is under way.

    `trial_of_number` says which trial owns a number. `anonymous`: the trials of calls without a
    request_id whose answer was lost; their operations have ids that the gateway made.
    """
    return _Check(calls, operations, ledger, trial_of_number, anonymous).run()


class _Check:
    def __init__(self, calls, operations, ledger, trial_of_number, anonymous):
        self.calls = calls
        self.operations = operations
        self.trial_of_number = trial_of_number
        self.anonymous = list(anonymous)
        self.violations = []
        self.by_id = {}
        self.leases = defaultdict(list)
        self.charges = defaultdict(list)
        self.ends = defaultdict(list)
        for entry in ledger:
            book = {"lease": self.leases, "charge": self.charges, "terminate": self.ends}
            if entry.kind in book:
                book[entry.kind][entry.lease_id].append(entry)
        self.writes = [call for call in calls if call.method in KINDS and not call.validate_only]
        self.calls_of = defaultdict(list)
        for call in self.writes:
            self.calls_of[call.request_id or call.told_request_id].append(call)

    def add(self, invariant, trial, text):
        self.violations.append(Violation(invariant, trial, text))

    def trial_of(self, operation):
        for call in self.calls_of.get(operation.request_id, ()):
            return call.trial
        return self.trial_of_number.get(operation.number, -1)

    def run(self):
        self.check_journal()
        self.check_ledger()
        for call in self.calls:
            if call.validate_only:
                self.check_rehearsal(call)
            elif call.method in KINDS:
                self.check_write(call)
            elif call.method == "GetOperation":
                self.check_look(call)
            for lease_id, number in call.told_leases:
                if not any(entry.number == number for entry in self.leases.get(lease_id, ())):
                    self.add(3, call.trial, f"{call.method} has shown lease {lease_id} of {number}, "
                             "which was never made")
        self.check_same_answer()
        return self.violations

    def check_journal(self):
        for operation in self.operations:
            trial = self.trial_of(operation)
            name = f"operation {operation.request_id} ({operation.kind} {operation.number})"
            if operation.request_id in self.by_id:
                self.add(2, trial, f"{name} is in the journal twice")
            self.by_id[operation.request_id] = operation
            asked = self.calls_of.get(operation.request_id, [])
            if not asked:
                if trial in self.anonymous:
                    self.anonymous.remove(trial)
                else:
                    self.add(2, trial, f"{name} was asked for by nobody")
            elif operation.kind not in [KINDS[call.method] for call in asked]:
                self.add(2, trial, f"{name} was asked for as {asked[0].method}")
            elif operation.kind != "LEASE_ANY" and operation.number not in [
                    call.number for call in asked]:
                self.add(2, trial, f"{name} was asked for with {asked[0].number}")
            if operation.state not in ("SUCCEEDED", "FAILED"):
                self.add(8, trial, f"{name} is still {operation.state}")
            if operation.state == "SUCCEEDED":
                self.check_success(operation, trial, name)

    def check_success(self, operation, trial, name):
        book = self.leases if operation.kind in PURCHASES else self.ends
        entries = book.get(operation.lease_id, [])
        if not entries:
            self.add(3, trial, f"{name} SUCCEEDED with {operation.lease_id or 'no lease'}, which the "
                     "ledger does not have")
        elif entries[0].number != operation.number:
            self.add(3, trial, f"{name} SUCCEEDED with {operation.lease_id}, which is of "
                     f"{entries[0].number}")
        if (operation.result_lease_id, operation.result_number) != (
                operation.lease_id, operation.number):
            self.add(3, trial, f"{name} has {operation.lease_id}, but its result "
                     f"{operation.result_lease_id} of {operation.result_number}")
        if operation.kind in PURCHASES and operation.price is not None:
            amount = sum(entry.amount for entry in self.charges.get(operation.lease_id, ()))
            if entries and amount != operation.price:
                self.add(3, trial, f"{name} cost {amount} and not {operation.price} millionths")
        if operation.kind == "TERMINATE":
            bound = {call.lease_id for call in self.calls_of.get(operation.request_id, ())}
            if len(bound) == 1 and "" not in bound and operation.lease_id not in bound:
                self.add(3, trial, f"{name} ended {operation.lease_id} and not the lease that was "
                         f"asked for, {bound.pop()}")

    def check_ledger(self):
        for kinds, book, unclaimed in ((PURCHASES, self.leases, 2), (("TERMINATE",), self.ends, 3)):
            owners = defaultdict(list)
            for operation in self.operations:
                if operation.kind in kinds and operation.state == "SUCCEEDED":
                    owners[operation.lease_id].append(operation)
            for lease_id, entries in book.items():
                trial = self.trial_of_number.get(entries[0].number, -1)
                text = f"{entries[0].kind} of {entries[0].number} as {lease_id}"
                if len(entries) > 1:
                    self.add(1 if book is self.leases else 3, trial,
                             f"{text} is in the ledger {len(entries)} times")
                who = owners[lease_id]
                if len(who) > 1:
                    self.add(unclaimed, trial, f"{text} belongs to "
                             + ", ".join(each.request_id for each in who))
                if not who:
                    self.add(unclaimed, trial, f"{text} belongs to no operation that SUCCEEDED")
                    if book is self.leases:
                        self.find_second_charge(entries[0], trial)
        for lease_id, entries in self.charges.items():
            if len(entries) != 1:
                self.add(1, self.trial_of_number.get(entries[0].number, -1),
                         f"lease {lease_id} was charged {len(entries)} times")

    def find_second_charge(self, entry, trial):
        """A charge that nobody owns, of a number for which every id has its own already."""
        candidates = {
            request_id for request_id, calls in self.calls_of.items()
            for call in calls
            if KINDS[call.method] in PURCHASES and call.trial == trial
            and call.number in ("", entry.number)}
        paid = {request_id for request_id in candidates if request_id in self.by_id
                and self.by_id[request_id].state == "SUCCEEDED"}
        if candidates and candidates == paid:
            self.add(1, trial, f"{entry.number} was charged as {entry.lease_id} by one of "
                     + ", ".join(sorted(candidates)) + ", each of which has its lease already")

    def check_write(self, call):
        request_id = call.request_id or call.told_request_id
        name = f"{call.method} {request_id} of {call.number or 'any number'}"
        operation = self.by_id.get(request_id)
        if call.code == "OK":
            book = self.ends if call.method == "TerminateLease" else self.leases
            if not any(entry.number == call.told_number
                       for entry in book.get(call.told_lease_id, ())):
                self.add(3, call.trial, f"{name} said OK with {call.told_lease_id} of "
                         f"{call.told_number}, which the ledger does not have")
            if call.number and call.told_number != call.number:
                self.add(3, call.trial, f"{name} said OK for {call.told_number}")
            if call.lease_id and call.told_lease_id != call.lease_id:
                self.add(3, call.trial, f"{name} of {call.lease_id} ended {call.told_lease_id}")
            if not call.number and self.trial_of_number.get(call.told_number) != call.trial:
                self.add(3, call.trial, f"{name} got {call.told_number}, which its filter excludes")
            if call.request_id and call.told_request_id != call.request_id:
                self.add(3, call.trial, f"{name} was answered as {call.told_request_id}")
            if operation is None:
                self.add(2, call.trial, f"{name} said OK, but the journal does not know it")
            elif operation.state != "SUCCEEDED" or operation.lease_id != call.told_lease_id:
                self.add(2, call.trial, f"{name} said OK with {call.told_lease_id}, the journal "
                         f"{operation.state} with {operation.lease_id}")
        elif call.reason == "REQUEST_ID_REUSED":
            others = {other.args for other in self.calls_of[request_id]} - {call.args}
            if not others:
                self.add(3, call.trial, f"{name} was refused as reused, but was asked one thing only")
        elif call.code not in OPEN_CODES:
            # Without a journal it is said that this call has sent nothing: another one may have.
            since = float("-inf") if is_open(call) else call.end
            tried_anew = call.reason not in FINAL_REASONS and any(
                other.end > since for other in self.calls_of[request_id] if other is not call)
            if operation is not None and operation.state == "SUCCEEDED" and call.request_id and (
                    not tried_anew):
                self.add(3, call.trial, f"{name} was told {call.code} {call.reason}, but SUCCEEDED "
                         f"with {operation.lease_id}")
            if call.code == "ALREADY_EXISTS" and not any(
                    entry.number == call.number
                    for entries in self.leases.values() for entry in entries):
                self.add(3, call.trial, f"{name} said ALREADY_EXISTS of a number that was never "
                         "leased")
        if call.code == "ABORTED" and call.reason == "OUTCOME_UNKNOWN" and call.request_id and (
                operation is None):
            self.add(2, call.trial, f"{name} was told OUTCOME_UNKNOWN, but the journal does not know "
                     "it")

    def check_rehearsal(self, call):
        if call.code == "OK" and call.told_lease_id:
            self.add(3, call.trial, f"{call.method} with validate_only told of {call.told_lease_id}")
        if call.request_id in self.by_id and call.request_id not in self.calls_of:
            self.add(3, call.trial, f"{call.method} with validate_only is in the journal as "
                     f"{call.request_id}")

    def check_look(self, call):
        operation = self.by_id.get(call.request_id)
        if call.code == "OK" and operation is None:
            self.add(2, call.trial, f"operation {call.request_id} was shown and is lost")
        elif call.code == "OK":
            final = call.told_state == "SUCCEEDED" or (
                call.told_state == "FAILED" and call.reason in FINAL_REASONS)
            if final and operation.state != call.told_state:
                self.add(3, call.trial, f"operation {call.request_id} was shown as {call.told_state} "
                         f"and is {operation.state}")
            # A purchase may change its mind as long as it is open, a termination is bound.
            bound = call.told_state == "SUCCEEDED" or operation.kind == "TERMINATE"
            if bound and call.told_operation_lease_id and operation.lease_id and (
                    call.told_operation_lease_id != operation.lease_id):
                self.add(3, call.trial, f"operation {call.request_id} was shown with lease "
                         f"{call.told_operation_lease_id} and has {operation.lease_id}")
        elif call.reason == "OPERATION_NOT_FOUND":
            for before in self.calls_of.get(call.request_id, ()):
                known = before.code == "OK" or before.reason == "OUTCOME_UNKNOWN"
                if known and before.end < call.start:
                    self.add(2, call.trial, f"operation {call.request_id} was not found after "
                             f"{before.method} was told {before.code}")
                    break

    def check_same_answer(self):
        for request_id, calls in self.calls_of.items():
            answers = {(call.told_number, call.told_lease_id) for call in calls if call.code == "OK"}
            if len(answers) > 1:
                self.add(3, calls[0].trial, f"{request_id} had different answers: {sorted(answers)}")
            questions = {call.args for call in calls if call.code == "OK"}
            if len(questions) > 1:
                self.add(3, calls[0].trial, f"{request_id} said OK to different requests: "
                         f"{sorted(questions)}")


def check_reply_to_late(call, operation):
    """A caller that comes back when all is settled and calm gets what the journal says."""
    if operation.state == "SUCCEEDED" and call.code != "OK" and call.reason != "REQUEST_ID_REUSED":
        return [Violation(2, call.trial, f"{call.method} {call.request_id} SUCCEEDED with "
                          f"{operation.lease_id}, but asked again it says {call.code} {call.reason}")]
    return []


def lateness(deadline, end, own_lag):
    """Seconds by which a call ended after its deadline, without what the measuring client lost."""
    return max(0.0, end - deadline - own_lag)


def check_lateness(trial, name, late):
    if late <= LATEST:
        return []
    return [Violation(4, trial, f"{name} ended {late * 1000:.0f} ms after its deadline")]


def check_setting(call, forward_to):
    """Of a success: what it says is what was asked for."""
    wanted = {"EnableCallForwarding": f"True {forward_to}", "DisableCallForwarding": "False"}.get(
        call.method)
    if wanted is None or call.told_state == wanted:
        return []
    return [Violation(3, call.trial, f"{call.method} of {call.number} said OK with "
                      f"{call.told_state} in place of {wanted}")]


def check_read(name, code, warm):
    if not warm or code == "OK":
        return []
    return [Violation(6, -1, f"{name} of a warm account failed with {code}")]


def is_excused_read(code, kept_waiting):
    """Whether a read of a warm account ended so because the machine kept client, gateway or provider from
    running for so many seconds.

    The gateway's core ends a call at its deadline with DEADLINE_EXCEEDED, whether the gateway has seen it or
    not. CANCELLED is the client's own: its watchdog found no answer, which without a fault it does only if
    the gateway did not run until then, or the client itself did not, so that the answer and the watchdog
    were due at once.
    """
    least = {"DEADLINE_EXCEEDED": BUSY_FOR_A_CALL, "CANCELLED": WATCHDOG}.get(code, float("inf"))
    return kept_waiting > least


def check_listed(name, numbers):
    """Of a list of all numbers, some of which nobody leases."""
    return [] if numbers else [Violation(15, -1, f"{name} has shown no number")]


def check_poisoned(trial, name, reason):
    """Of a call while a few numbers can't be read, and nothing else is wrong."""
    if reason != "CIRCUIT_OPEN":
        return []
    return [Violation(9, trial, f"{name} was told CIRCUIT_OPEN because of poisonous numbers")]


def check_names(trial, name, host, text):
    """Of a call at a gateway that the provider had answered before: it knows an address that does.

    `host`: the name of the provider there. `text`: of the call's error, which may be that of an operation at
    another gateway, with another name. The living address is always among those that it could know.
    """
    found = []
    if host not in text:
        return found
    if "looking up" in text:
        found.append(Violation(14, trial, f"{name} failed though the name had been looked up: {text}"))
    tried = re.findall(r"([0-9a-f.:]+) port \d+: ", text.partition("connecting to ")[2])
    if tried and LIVING not in tried:
        found.append(Violation(14, trial, f"{name} has tried dead addresses alone: {text}"))
    return found


def check_resources(rss_bytes, files, limit_bytes, limit_files):
    found = []
    if rss_bytes > limit_bytes:
        found.append(Violation(5, -1, f"the gateway took {rss_bytes >> 20} MiB"))
    if files > limit_files:
        found.append(Violation(5, -1, f"the gateway had {files} files open"))
    return found


def check_journal_file(rows, listed):
    """`rows`: request_id → (state, lease_id) in the file, `listed`: the same by ListOperations."""
    return [Violation(2, -1, f"operation {request_id} is {rows.get(request_id)} in the journal's file "
                      f"and was listed as {listed.get(request_id)}")
            for request_id in sorted(rows.keys() | listed.keys())
            if rows.get(request_id) != listed.get(request_id)]


def check_settled(seconds_left_open, read_code):
    """After the faults: how long operations stayed open (None: for ever), how a plain read ended."""
    found = []
    if seconds_left_open is None or seconds_left_open > 30:
        found.append(Violation(8, -1, "operations were open 30 s after the last fault"))
    if read_code != "OK":
        found.append(Violation(8, -1, f"a read of the provider failed 30 s after the last fault with "
                               f"{read_code}"))
    return found


def check_under_way(sent, limit, trial_of_number):
    """That of the requests for a number, and of those for a request_id, no two of different replicas overlap.

    `limit`: seconds after which the sender has hung up at the latest, even if it is frozen and can't: what
    is not answered then is over.
    """
    found = []
    groups = defaultdict(list)
    for each in sent:
        groups["number " + each.number].append(each)
        if each.request_id:
            groups["request_id " + each.request_id].append(each)

    def over(each):
        return min(each.start + limit, each.start + limit if each.end is None else each.end)

    for name, requests in groups.items():
        requests.sort(key=lambda each: each.start)
        for at, later in enumerate(requests):
            found += [
                Violation(10, trial_of_number.get(later.number, -1),
                          f"two requests for {name}: from {earlier.replica} until {over(earlier):.3f}, "
                          f"from {later.replica} since {later.start:.3f}")
                for earlier in requests[:at]
                if earlier.replica != later.replica and over(earlier) > later.start]
    return found


class Orphans:
    """Open operations whose owner is not alive, as they are seen now and then."""

    def __init__(self):
        self.since = {}  # (request_id, owner) → when it was seen first
        self.longest = 0.0

    def see(self, now, orphans, can_be_adopted):
        """`can_be_adopted`: the database and some replica could do that all the time since the last look."""
        self.since = {key: self.since.get(key, now) if can_be_adopted else now for key in orphans}
        found = []
        for (request_id, owner), since in list(self.since.items()):
            self.longest = max(self.longest, now - since)
            if now - since > ADOPTED_WITHIN:
                self.since[request_id, owner] = float("inf")  # once
                found.append(Violation(11, -1, f"operation {request_id} of the dead owner {owner} has no "
                                       f"other for {now - since:.1f} s"))
        return found


def check_agreement(what, answers):
    """`answers`: what each replica says by name, once nothing is under way."""
    names = sorted({name for answer in answers for name in answer}, key=str)
    differ = [name for name in names if len({repr(answer.get(name)) for answer in answers}) > 1]
    return [Violation(12, -1, f"{what} {name} is " + ", ".join(
        f"{answer.get(name)} at replica {replica}" for replica, answer in enumerate(answers)))
            for name in differ]
