"""The right to send: by what the journal's rows said at each moment, and what the provider got.

Plain data in, violations out, as checker.py. Times are seconds of the clock that `checker.Sent` has.

What is held against replicas, by postgres_journal.h ("Why two replicas never have a request …"): a
write that grants says `send_until`, which is the last moment for the first byte, and `request_limit`,
and `clock_margin`. A replica may be stopped for `request_limit`, and no longer, between asking for the
time and the first byte. Nobody sets clocks here, so what comes later than `send_until` without
`clock_margin` was sent without asking, or by one that was stopped too long in the very microseconds
between: that would be reported too, for the bytes don't tell. A freeze at any other moment is no excuse.
What a busy machine adds on the way counts against `request_limit`; that the provider was stopped
doesn't count, for then nobody knows since when the bytes lay there.
"""

import dataclasses
from collections import defaultdict

from checker import Violation

INTENDED = 1
NEVER = float("inf")
CLOCKS_DIFFER = 0.05  # seconds, between the database's clock and the provider's, at most
PROVIDER_WAKES_UP = 0.3  # seconds after it was stopped, in which it takes what lay there


@dataclasses.dataclass
class Written:
    """A row of the journal as a write has left it; of one operation in the order of the writes."""
    at: float
    replica: int  # that wrote it
    request_id: str
    number: str
    state: int
    owner: int | None = None  # of this and the next: a replica's run
    sender: int | None = None
    send_until: float | None = None


@dataclasses.dataclass
class Right:
    """What a write has granted to the run `sender` of a replica."""
    request_id: str
    number: str
    replica: int
    sender: int
    since: float
    until: float  # the `send_until`
    over: float = NEVER  # when the sender has given it back, because its request was over or never begun


def rights_of(history):
    """In the order in which they were granted."""
    rights, latest = [], {}
    for row in history:
        right = latest.get(row.request_id)
        if row.send_until is None:
            if right:
                right.over = min(right.over, row.at)
                del latest[row.request_id]
        elif row.send_until <= row.at:
            continue  # what a former one could has run out
        elif right is None or (right.sender, right.until) != (row.sender, row.send_until):
            if right and right.sender == row.sender:
                right.over = min(right.over, row.at)  # it sends one at a time
            latest[row.request_id] = Right(row.request_id, row.number, row.replica, row.sender, row.at,
                                           row.send_until)
            rights.append(latest[row.request_id])
        elif row.state == INTENDED and row.owner == row.sender:
            right.over = min(right.over, row.at)
    return rights


def count(rights):
    """What there was to be checked."""
    former, counts = {}, {"granted": len(rights), "to another, once a former one had run out": 0}
    for right in rights:
        before = former.get(right.request_id, right)
        if before.sender != right.sender and before.over > before.until:
            counts["to another, once a former one had run out"] += 1
        former[right.request_id] = right
    return counts


def check_rights(sent, rights, clock_margin, provider_stops, trial_of_number):
    """`provider_stops`: [from, to] in which it took nothing."""
    found = _check_grants(rights, trial_of_number)
    granted = defaultdict(list)
    for right in rights:
        granted[right.replica, right.number].append(right)
    for each in sent:
        before = [right for right in granted[each.replica, each.number]
                  if right.since < each.start + CLOCKS_DIFFER
                  and each.request_id in ("", right.request_id)]
        who = f"a request for {each.number} ({each.request_id or 'of whom is not known'}) from {each.replica}"
        if not before:
            found.append(Violation(13, trial_of_number.get(each.number, -1),
                                   f"{who} at {each.start:.3f}, which was never granted"))
            continue
        late = _left(each, provider_stops) - (before[-1].until - clock_margin)
        if late > CLOCKS_DIFFER:
            found.append(Violation(13, trial_of_number.get(each.number, -1),
                                   f"{who} at {each.start:.3f}, {late:.3f} s after its right to send"))
    return found


def _left(each, provider_stops):
    """The first moment at which it may have been sent, as far as one can tell."""
    return min([each.start] + [begin for begin, end in provider_stops
                               if begin < each.start < end + PROVIDER_WAKES_UP])


def _check_grants(rights, trial_of_number):
    found = []
    groups = defaultdict(list)
    for right in rights:
        groups[right.number].append(right)
        groups[right.request_id].append(right)
    for name, granted in groups.items():
        granted.sort(key=lambda right: right.since)
        for at, later in enumerate(granted):
            found += [
                Violation(13, trial_of_number.get(later.number, -1),
                          f"{later.replica} was granted to send {later.request_id} for {later.number} at "
                          f"{later.since:.3f}, while {earlier.replica} could send {earlier.request_id} "
                          f"until {earlier.until:.3f}")
                for earlier in granted[:at]
                if earlier.sender != later.sender and min(earlier.over, earlier.until) > later.since
                and (name == later.request_id or earlier.request_id != later.request_id)]
    return found
