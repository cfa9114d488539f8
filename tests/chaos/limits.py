"""Limits of spending: what the ledger says of them, what callers were told of them.

Plain data in, violations out, as checker.py. A limit is of a scope, which is named by a tuple: ("caller",
NAME), ("account", ACCOUNT) or ("caller_on_account", NAME, ACCOUNT); `rules` is scope → the limits as the
callers file has them. Money in them is in units of its currency; all other amounts are millionths.
Who bought a lease is known from what the test itself has asked for, and where the gateway has made
the request_id and nobody was told it, from the journal.
"""

import dataclasses
from collections import Counter, defaultdict

from checker import KINDS, PURCHASES, Violation

INVARIANTS = {
    16: "no limit of spending is exceeded at any moment",
    17: "a purchase has its reservation as long as its outcome is open, and none is left once it is quiet",
    18: "who is refused for a limit is told which, and rightly; nobody for want of a right",
    19: "what was spent is its caller's and account's, and all of it is the ledger's",
}

COUNTS = ("purchases_per_day", "live_leases")
SUMS = ("money_per_day", "money_per_month")
SINGLE = ("monthly_rate", "upfront_fee")  # of one purchase
BY_DAY = ("purchases_per_day", "money_per_day")
REFUSED = "SPEND_LIMIT_EXCEEDED"
# Nobody is told these: all have the rights that they need, say for which account, and have no quotas.
NEVER = ("IDENTITY_INVALID", "INVALID_ACCOUNT", "NOT_ALLOWED", "QUOTA_EXCEEDED")
IDENTITY = "SPIFFE_ID"
CLOCKS_DIFFER = 0.05  # seconds, between the ledger's clock, the database's and the callers'
DAY = 86_400
MIDNIGHT = 15.0  # seconds; longer than an operation that nothing has struck, so that a day is no question

# Purchases whose outcome is open and that have no reservation, and reservations of nothing that is open:
# account, request_id, and the state of the purchase if there is one. It is one snapshot of either journal, so
# there are none at any moment.
UNRESERVED = """
SELECT coalesce(o.account, s.account), coalesce(o.request_id, s.request_id),
       CASE o.state WHEN 2 THEN 'SENT' WHEN 5 THEN 'UNKNOWN' ELSE '' END
FROM (SELECT account, request_id, state FROM {schema}operation
      WHERE kind IN (1, 2) AND state IN (2, 5)) o
FULL JOIN (SELECT account, request_id FROM {schema}spending WHERE last_day IS NULL) s
  ON s.account = o.account AND s.request_id = o.request_id
WHERE o.request_id IS NULL OR s.request_id IS NULL
"""


@dataclasses.dataclass(frozen=True)
class Price:
    currency: str
    fee: int
    rate: int

    def counts(self, kind):
        """What a purchase takes of a limit of that kind."""
        return {"money_per_day": self.fee + self.rate, "money_per_month": self.rate,
                "monthly_rate": self.rate, "upfront_fee": self.fee}.get(kind, 1)


@dataclasses.dataclass
class State:
    """A limit as WhoAmI shows it."""
    scope: tuple
    kind: str
    currency: str  # empty: it is no money
    limit: int
    used: int | None
    left: int | None


def scopes(caller, account):
    return (("caller", caller), ("account", account), ("caller_on_account", caller, account))


def value_of(spending, kind, currency=""):
    """The limit; None: there is none."""
    if kind in COUNTS:
        return spending.get(kind)
    amount = spending.get("currencies", {}).get(currency, {}).get(kind)
    return None if amount is None else round(amount * 1_000_000)


def limits_of(spending):
    """(kind, currency, value) of all that there are."""
    found = [(kind, "", spending[kind]) for kind in COUNTS if kind in spending]
    for currency, limits in spending.get("currencies", {}).items():
        found += [(kind, currency, value_of(spending, kind, currency)) for kind in limits]
    return found


class Sums:
    """What is used by one scope."""

    def __init__(self):
        self.purchases = Counter()  # by day
        self.live = 0
        self.spent = Counter()  # by currency and day
        self.monthly = Counter()  # by currency

    def copy(self):
        other = Sums()
        other.purchases, other.live = Counter(self.purchases), self.live
        other.spent, other.monthly = Counter(self.spent), Counter(self.monthly)
        return other

    def follow(self, entry, price):
        if entry.kind == "lease":
            self.purchases[entry.day] += 1
            self.live += 1
            self.monthly[price.currency] += price.rate
        elif entry.kind == "charge":
            self.spent[price.currency, entry.day] += entry.amount
        elif entry.kind == "terminate":
            self.live -= 1
            self.monthly[price.currency] -= price.rate

    def used(self, kind, currency, day):
        return {"purchases_per_day": self.purchases[day], "live_leases": self.live,
                "money_per_day": self.spent[currency, day],
                "money_per_month": self.monthly[currency]}[kind]


def id_of(call):
    """The request_id that it was sent with, or that the gateway has made for it; empty: nobody was told."""
    return call.request_id or call.told_request_id


def owners_of(calls, operations):
    """lease_id → who bought it, by the request_id that it was bought with."""
    asked = {id_of(call): call.caller for call in calls
             if id_of(call) and KINDS.get(call.method) in PURCHASES}
    return {each.lease_id: asked.get(each.request_id, each.caller) for each in operations
            if each.kind in PURCHASES and each.state == "SUCCEEDED"}


class Books:
    """What the ledger says of each scope, from entry to entry.

    `prices`: number → Price. `before`: account → Sums, of what was bought before; no caller has any.
    """

    def __init__(self, ledger, owners, prices, before):
        self.prices = prices
        self.before = {("account", account): sums for account, sums in before.items()}
        self.entries = defaultdict(list)
        for entry in ledger:
            for scope in scopes(owners.get(entry.lease_id, ""), entry.account):
                self.entries[scope].append(entry)

    def walk(self, scope):
        """(entry, sums with it), one by one; the sums are one object, which goes on changing."""
        sums = self.start(scope)
        for entry in self.entries[scope]:
            sums.follow(entry, self.prices[entry.number])
            yield entry, sums

    def start(self, scope):
        return self.before[scope].copy() if scope in self.before else Sums()

    def end(self, scope):
        sums = self.start(scope)
        for _, sums in self.walk(scope):
            pass
        return sums

    def between(self, scope, kind, currency, start, end, day):
        """The least and the most that was used from one moment to the other."""
        sums = self.start(scope)
        least = most = sums.used(kind, currency, day)
        for entry, sums in self.walk(scope):
            used = sums.used(kind, currency, day)
            if entry.time <= start:
                least = most = used
            elif entry.time <= end:
                least, most = min(least, used), max(most, used)
        return least, most


def check_limits(books, rules, trial_of_number):
    """Invariant 16."""
    found = []
    for scope, spending in rules.items():
        known = set()
        for entry, sums in books.walk(scope):
            if entry.kind not in ("lease", "charge"):
                continue
            price = books.prices[entry.number]
            trial = trial_of_number.get(entry.number, -1)
            broken = _broken_by_one(spending, price) if entry.kind == "lease" else []
            for kind, currency, value in limits_of(spending):
                if kind in SINGLE or currency not in ("", price.currency):
                    continue
                used = sums.used(kind, currency, entry.day)
                if used > value:
                    broken.append((kind, f"{used} of {value} {currency}".strip()))
            for kind, text in broken:
                if kind not in known:
                    found.append(Violation(16, trial, f"{_show(scope)}: {kind}: {text} at {entry.time:.3f}, "
                                           f"with {entry.number} as {entry.lease_id}"))
                known.add(kind)
    return found


def _broken_by_one(spending, price):
    currencies = spending.get("currencies")
    if not currencies:
        return []
    if price.currency not in currencies:
        return [("currencies", f"{price.currency} and not {', '.join(sorted(currencies))}")]
    return [(kind, f"{price.counts(kind)} of {value} {price.currency}") for kind in SINGLE
            if (value := value_of(spending, kind, price.currency)) is not None
            and price.counts(kind) > value]


def _show(scope):
    kind, *names = scope
    return f"{kind} {' on '.join(names)}"


def check_reservations(rows):
    """Invariant 17. `rows`: of UNRESERVED."""
    return [Violation(17, -1, f"{request_id} on {account} " + (
        f"is {state} without a reservation" if state else "has a reservation, and is not open"))
            for account, request_id, state in sorted(rows)]


def check_used(states, books, rules, scopes_shown, now, who):
    """Invariant 17. `states`: what WhoAmI has shown when nothing was under way; `now`: seconds since 1970.

    `scopes_shown`: of which it has to show all limits.
    """
    found = []
    day, since_midnight = divmod(now, DAY)
    if min(since_midnight, DAY - since_midnight) < MIDNIGHT:
        return []  # a purchase of both days counts on both
    wanted = {(scope, kind, currency): value for scope in scopes_shown if scope in rules
              for kind, currency, value in limits_of(rules[scope])}
    shown = {(state.scope, state.kind, state.currency): state for state in states}
    for key in sorted(wanted.keys() ^ shown.keys()):
        found.append(Violation(17, -1, f"{who} was {'not ' if key in wanted else ''}shown the limit "
                               f"{key[1]} {key[2]} of {_show(key[0])}, which is "
                               f"{wanted.get(key, 'none')}"))
    ends = {}
    for key in sorted(wanted.keys() & shown.keys()):
        scope, kind, currency = key
        state = shown[key]
        name = f"{who} was shown of {_show(scope)}: {kind} {currency}".strip()
        if state.limit != wanted[key]:
            found.append(Violation(17, -1, f"{name}: a limit of {state.limit} and not {wanted[key]}"))
        if kind in SINGLE:
            continue
        if scope not in ends:
            ends[scope] = books.end(scope)
        used = ends[scope].used(kind, currency, int(day))
        if state.used != used:
            found.append(Violation(17, -1, f"{name}: {state.used} used, by the ledger it is {used}"))
        elif state.left != max(0, wanted[key] - used):
            found.append(Violation(17, -1, f"{name}: {state.left} left with {used} used of {wanted[key]}"))
    return found


@dataclasses.dataclass
class Refusals:
    """What is needed to judge them."""
    books: Books
    rules: dict
    operations: list
    owners: dict
    numbers_of: dict  # trial → its numbers
    wall: float  # to be added to the calls' clock for seconds since 1970

    def check(self, calls):
        """Invariant 18."""
        since = {}
        for call in calls:
            if call.request_id and call.method in KINDS and not call.validate_only:
                key = (call.account, call.request_id)
                since[key] = min(call.start, since.get(key, call.start))
        found = []
        for call in calls:
            if call.code == "OK":
                continue  # GetOperation tells what another was refused for
            if call.reason in NEVER:
                found.append(Violation(18, call.trial, f"{call.method} for {call.caller} on {call.account} "
                                       f"was told {call.code} {call.reason}: {call.text}"))
            if call.reason != REFUSED:
                continue
            start = call.start if call.validate_only else since.get((call.account, call.request_id),
                                                                    call.start)
            wrong = self.wrong(call, start)
            if wrong:
                found.append(Violation(18, call.trial, f"{call.method} {call.request_id} of "
                                       f"{call.number or 'any number'} for {call.caller} on {call.account} "
                                       f"was told {call.refusal}: {wrong}"))
        return found

    def wrong(self, call, start):
        """What is wrong with it; empty: nothing. It may be told again of what was so at any time since."""
        told = call.refusal
        if call.code != "FAILED_PRECONDITION":
            return f"the code is {call.code}"
        if KINDS.get(call.method) not in PURCHASES:
            return "this spends nothing"
        missing = [key for key in ("scope", "limit", "value", "used", "asked") if key not in told]
        if missing:
            return f"without {', '.join(missing)}"
        scope = next((each for each in scopes(call.caller, call.account) if each[0] == told["scope"]), None)
        if scope not in self.rules:
            return "there is no limit of that scope"
        kind, currency = told["limit"], told.get("currency", "")
        prices = self.prices(call)
        if kind == "currencies":
            known = self.rules[scope].get("currencies", {})
            without = {price.currency for price in prices} - known.keys()
            return "" if known and told["asked"] in without else "its currency has limits"
        value = value_of(self.rules[scope], kind, currency)
        if value is None:
            return "there is no such limit"
        amounts = [_amount(told[key], kind) for key in ("value", "used", "asked")]
        if None in amounts:
            return "an amount is no number"
        if amounts[0] != value:
            return f"the limit is {value}"
        asked = {price.counts(kind) for price in prices if currency in ("", price.currency)}
        if amounts[2] not in asked:
            return f"it asked for {' or '.join(map(str, sorted(asked)))}"
        if kind in SINGLE:
            return "" if amounts[2] > value else "it is within the limit"
        return self.wrong_use(call, scope, kind, currency, start, amounts)

    def wrong_use(self, call, scope, kind, currency, start, amounts):
        value, used, asked = amounts
        if used + asked <= value:
            return "it is within the limit"
        if used > value:
            return "more is used than there may be"
        start, end = start - CLOCKS_DIFFER, call.end + CLOCKS_DIFFER
        day = (call.end + self.wall) // DAY
        if kind in BY_DAY and (start + self.wall - MIDNIGHT) // DAY != (end + self.wall + MIDNIGHT) // DAY:
            return ""
        least, most = self.books.between(scope, kind, currency, start, end, int(day))
        most += self.under_way(call, scope, kind, currency, start, end)
        if not least <= used <= most:
            return f"{least} to {most} were used by the ledger, and by what was under way"
        return ""

    def under_way(self, call, scope, kind, currency, start, end):
        """The most that may have been reserved beside what the ledger has."""
        total = 0
        for each in self.operations:
            if each.request_id == call.request_id or (
                    each.updated - self.wall < start or each.created - self.wall > end):
                continue
            if each.kind in PURCHASES:
                of = scopes(each.caller, each.account)
            elif kind in ("live_leases", "money_per_month"):
                # It is free again only when the journal has heard of its end.
                of = scopes(self.owners.get(each.lease_id, ""), each.account)
            else:
                continue
            if scope in of:
                numbers = [each.number] if each.kind != "LEASE_ANY" else self.numbers_beside(each.number)
                prices = [self.books.prices[number] for number in numbers if number in self.books.prices]
                total += max([price.counts(kind) for price in prices
                              if currency in ("", price.currency)] or [0])
        return total

    def numbers_beside(self, number):
        """It may have tried any of its trial's; before the first, any at all."""
        for numbers in self.numbers_of.values():
            if number in numbers:
                return numbers
        return list(self.books.prices)

    def prices(self, call):
        numbers = [call.number] if call.number else self.numbers_of.get(call.trial, [])
        return [self.books.prices[number] for number in numbers if number in self.books.prices]


def _amount(text, kind):
    """As a refusal has it; None: it is no number."""
    try:
        return int(text) if kind in COUNTS else round(float(text) * 1_000_000)
    except ValueError:
        return None


def check_attribution(calls, operations, ledger, prices, callers):
    """Invariant 19. `callers`: the names that are in the file."""
    found = []
    asked = defaultdict(set)
    trials = {}
    for call in calls:
        if call.method in KINDS and not call.validate_only and id_of(call):
            asked[id_of(call)].add((call.caller, call.account))
            trials[id_of(call)] = call.trial
    for each in operations:
        trial = trials.get(each.request_id, -1)
        name = f"operation {each.request_id} ({each.kind} {each.number})"
        who = (each.caller, each.account)
        if each.request_id in asked and who not in asked[each.request_id]:
            found.append(Violation(19, trial, f"{name} is of {who} and was asked for by "
                                   f"{sorted(asked[each.request_id])}"))
        elif each.caller not in callers:
            found.append(Violation(19, trial, f"{name} is of {each.caller}, whom nobody knows"))
        if each.identity_kind != IDENTITY:
            found.append(Violation(19, trial, f"{name} is of an identity of the kind {each.identity_kind}"))
        if each.state == "SUCCEEDED" and each.kind in PURCHASES and each.number in prices and (
                (each.currency, each.fee, each.rate) != dataclasses.astuple(prices[each.number])):
            found.append(Violation(19, trial, f"{name} has the price {each.currency} {each.fee} and "
                                   f"{each.rate} a month in place of {prices[each.number]}"))
    return found + _check_report(calls, operations, ledger)


def _check_report(calls, operations, ledger):
    """A report over the operations against the ledger: by caller, account, currency."""
    owners = owners_of(calls, operations)
    report, charged = Counter(), Counter()
    for each in operations:
        if each.kind in PURCHASES and each.state == "SUCCEEDED":
            report[each.caller, each.account, each.currency] += each.price or 0
            report[each.caller, each.account, "leases"] += 1
    for entry in ledger:
        who = owners.get(entry.lease_id, "nobody")
        if entry.kind == "charge":
            charged[who, entry.account, entry.currency] += entry.amount
        elif entry.kind == "lease":
            charged[who, entry.account, "leases"] += 1
    return [Violation(19, -1, f"by the journal {key[0]} on {key[1]} has bought {report[key]} {key[2]}, by "
                      f"the ledger {charged[key]}")
            for key in sorted(report.keys() | charged.keys()) if report[key] != charged[key]]
