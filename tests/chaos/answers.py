"""Whose answer it is: what callers may be told of the key, of an argument, of a number.

Plain data in, violations out, as checker.py. What something in between has answered in the provider's
place (a page of any status, an answer without the provider's form) must reach nobody as if the provider
had said it. So what callers are told is held against what the provider did say, on demand, and against
its ledger: whether a number is leased, the ledger knows best.
"""

from collections import defaultdict

from checker import KINDS, Violation

# Told only where the provider itself has answered with such a status, which it does on demand alone.
NEEDS = {
    "UPSTREAM_CREDENTIALS_REJECTED": {401},
    "UPSTREAM_FORBIDDEN": {403},
    "AGREEMENT_REQUIRED": set(),
    "NUMBER_NOT_FOUND": {404},
}
REFUSALS = set(range(400, 500)) - {401, 403, 404, 429}
READS = ("GetNumber", "BatchGetNumbers", "GetLease", "ListLeases", "ListAvailableNumbers")
SETTINGS = ("ConfigureFailover", "GetCallForwarding", "EnableCallForwarding", "DisableCallForwarding")
OF_NUMBERS = ("GetNumber", "BatchGetNumbers", "CreateLease", "TerminateLease", *SETTINGS)
PAGE = "<html"
# Seconds by which the ledger's clock and that of the calls may differ.
CLOCKS_DIFFER = 0.05


def said_by_the_provider(faults):
    """The statuses that these faults let the provider answer with; one with a body is somebody else's."""
    return {fault.get("status", 500) for fault in faults
            if fault["kind"] == "status" and "body" not in fault}


def leased(ledger):
    """Number → [[from, to]] in which the account had it leased, in order."""
    spans = defaultdict(list)
    for entry in ledger:
        if entry.kind == "lease":
            spans[entry.number].append([entry.time, float("inf")])
        elif entry.kind == "terminate" and spans[entry.number]:
            spans[entry.number][-1][1] = entry.time
    return spans


def check_answers(calls, ledger, said, said_to_lists=frozenset(), numbers_of=None):
    """The statuses that the provider itself may have answered with: `said` by trial, to requests about
    its numbers; `said_to_lists` to those for the two lists, which all trials share. `numbers_of`: trial →
    its numbers, which nobody else leases."""
    spans = leased(ledger)
    since = {}
    for call in calls:
        if call.request_id and call.method in KINDS:
            since[call.request_id] = min(call.start, since.get(call.request_id, call.start))
    found = []
    for call in calls:
        statuses = said.get(call.trial, set())
        if call.method not in OF_NUMBERS:
            statuses = statuses | said_to_lists
        name = f"{call.method} {call.request_id} of {call.number or 'no number'}"
        told = f"{call.code} {call.reason}"
        if PAGE in call.text.lower():
            found.append(Violation(15, call.trial, f"{name} was told a page: {call.text[:200]}"))
        if _says_that_there_is_none(call):
            free = [number for number in (numbers_of or {}).get(call.trial, ())
                    if all(a > call.end + CLOCKS_DIFFER for a, _ in spans[number])]
            if free:
                found.append(Violation(15, call.trial, f"{name} was told that there is none, but nobody "
                                       f"had leased {free[0]}"))
        if call.method in ("GetOperation", "ListOperations") or call.code == "OK":
            continue
        # What was settled once is told again.
        start, end = since.get(call.request_id, call.start) - CLOCKS_DIFFER, call.end + CLOCKS_DIFFER
        if _is_of_a_lease(call):
            if any(a <= start and b >= end for a, b in spans[call.number]):
                found.append(Violation(15, call.trial, f"{name} was told {told}, but it was leased "
                                       f"from {start:.3f} to {end:.3f}"))
        elif call.reason in NEEDS and not NEEDS[call.reason] & statuses:
            found.append(Violation(15, call.trial, f"{name} was told {told}, which the provider has "
                                   "not said"))
        elif call.reason == "UPSTREAM_REJECTED" and call.method in READS and not REFUSALS & statuses:
            found.append(Violation(15, call.trial, f"{name} was told {told}, but the provider has "
                                   "refused nothing"))
        elif call.reason == "NUMBER_NOT_AVAILABLE" and call.method == "CreateLease":
            if all(b < start or a > end for a, b in spans[call.number]):
                found.append(Violation(15, call.trial, f"{name} was told {told}, but nobody had it "
                                       f"from {start:.3f} to {end:.3f}"))
    return found


def _says_that_there_is_none(call):
    """Of those that its filter lets through, which are its trial's."""
    return call.reason == "NO_MATCHING_NUMBER" or (
        call.method == "ListAvailableNumbers" and call.code == "OK" and call.told_state == "0")


def _is_of_a_lease(call):
    """Whether it was told that the number is not leased. One who has named a lease may mean an older."""
    if call.method == "TerminateLease":
        return call.reason == "NOT_LEASED" and not call.lease_id
    return call.method in SETTINGS and call.reason in ("NOT_LEASED", "NUMBER_NOT_FOUND")
