"""Shows the checker of limits records that break each of its rules, and records that break none."""

import contextlib
import dataclasses
import sqlite3
import unittest

import limits
from checker import Call, Entry, Operation
from limits import Price, State

A, B = "account-1", "account-2"
NUMBERS = ["+13050000001", "+13050000002", "+13050000003"]
PRICES = {number: Price("USD", at * 1_000_000, (2 + at) * 1_000_000) for at, number in enumerate(NUMBERS)}
EURO = "+13050000009"
PRICES[EURO] = Price("EUR", 0, 3_000_000)
TRIALS = {number: 5 for number in PRICES}
NOON = 20_000 * limits.DAY + 43_200.0  # seconds since 1970
CALLER, ACCOUNT, BOTH = limits.scopes("a", A)


def buy(at, lease_id, number=NUMBERS[0], account=A, day=20_000):
    price = PRICES[number]
    return [Entry("lease", number, lease_id, 0, at, account, price.currency, day),
            Entry("charge", number, lease_id, price.fee + price.rate, at, account, price.currency, day)]


def end(at, lease_id, number=NUMBERS[0], account=A, day=20_000):
    return [Entry("terminate", number, lease_id, 0, at, account, PRICES[number].currency, day)]


def books(ledger, owners=None, before=None):
    owners = owners or {entry.lease_id: "a" for entry in ledger}
    return limits.Books(ledger, owners, PRICES, before or {})


def dollars(**kinds):
    return {"currencies": {"USD": kinds}}


class ExceededTest(unittest.TestCase):
    """Invariant 16."""

    def broken(self, ledger, spending, scope=CALLER, owners=None, before=None):
        found = limits.check_limits(books(ledger, owners, before), {scope: spending}, TRIALS)
        self.assertTrue(all((each.invariant, each.trial) == (16, 5) for each in found), found)
        return [each.text.split(": ")[1] for each in found]

    def test_purchases_of_a_day(self):
        ledger = buy(1, "l1") + end(2, "l1") + buy(3, "l2")
        self.assertEqual(self.broken(ledger, {"purchases_per_day": 2}), [])
        self.assertEqual(self.broken(ledger, {"purchases_per_day": 1}), ["purchases_per_day"])
        tomorrow = buy(1, "l1") + end(2, "l1") + buy(3, "l2", day=20_001)
        self.assertEqual(self.broken(tomorrow, {"purchases_per_day": 1}), [])

    def test_live_leases_at_any_moment(self):
        one_by_one = buy(1, "l1") + end(2, "l1") + buy(3, "l2")
        self.assertEqual(self.broken(one_by_one, {"live_leases": 1}), [])
        # For a moment, though there is one in the end.
        together = buy(1, "l1") + buy(2, "l2", NUMBERS[1]) + end(3, "l1")
        self.assertEqual(self.broken(together, {"live_leases": 1}), ["live_leases"])
        self.assertEqual(self.broken(together, {"live_leases": 2}), [])
        self.assertEqual(self.broken(buy(1, "l1"), {"live_leases": 0}), ["live_leases"])

    def test_money_of_a_day(self):
        ledger = buy(1, "l1", NUMBERS[1]) + end(2, "l1", NUMBERS[1]) + buy(3, "l2")  # 4 and 2
        self.assertEqual(self.broken(ledger, dollars(money_per_day=6)), [])
        self.assertEqual(self.broken(ledger, dollars(money_per_day=5.99)), ["money_per_day"])

    def test_a_second_charge_is_money_of_the_day(self):
        ledger = buy(1, "l1") + buy(1, "l1")[1:]
        self.assertEqual(self.broken(ledger, dollars(money_per_day=3)), ["money_per_day"])

    def test_money_of_a_month_is_of_live_leases(self):
        one_by_one = buy(1, "l1", NUMBERS[1]) + end(2, "l1", NUMBERS[1]) + buy(3, "l2")  # 3, then 2
        self.assertEqual(self.broken(one_by_one, dollars(money_per_month=3)), [])
        together = buy(1, "l1", NUMBERS[1]) + buy(2, "l2") + end(3, "l2")
        self.assertEqual(self.broken(together, dollars(money_per_month=4.5)), ["money_per_month"])
        self.assertEqual(self.broken(together, dollars(money_per_month=5)), [])

    def test_one_purchase(self):
        ledger = buy(1, "l1", NUMBERS[2])  # upfront 2, monthly 4
        for kinds, kind in (({"monthly_rate": 3.5}, "monthly_rate"), ({"upfront_fee": 1}, "upfront_fee")):
            self.assertEqual(self.broken(ledger, dollars(**kinds)), [kind])
        self.assertEqual(self.broken(ledger, dollars(monthly_rate=4, upfront_fee=2)), [])

    def test_a_currency_without_limits(self):
        self.assertEqual(self.broken(buy(1, "l1", EURO), dollars(money_per_day=9)), ["currencies"])
        self.assertEqual(self.broken(buy(1, "l1", EURO), {"live_leases": 1}), [])
        # And each is for itself.
        ledger = buy(1, "l1", EURO) + buy(2, "l2")
        both = {"currencies": {"USD": {"money_per_day": 2}, "EUR": {"money_per_day": 3}}}
        self.assertEqual(self.broken(ledger, both), [])
        both["currencies"]["EUR"]["money_per_day"] = 2
        self.assertEqual(self.broken(ledger, both), ["money_per_day"])

    def test_each_scope_has_what_is_its_own(self):
        ledger = buy(1, "l1") + buy(2, "l2", NUMBERS[1]) + buy(3, "l3", NUMBERS[2], B)
        owners = {"l1": "a", "l2": "b", "l3": "a"}
        for scope, count in ((CALLER, 2), (("caller", "b"), 1), (ACCOUNT, 2), (("account", B), 1), (BOTH, 1),
                             (("caller_on_account", "a", B), 1), (("caller_on_account", "b", B), 0)):
            self.assertEqual(self.broken(ledger, {"live_leases": count}, scope, owners), [])
            if count:
                self.assertEqual(self.broken(ledger, {"live_leases": count - 1}, scope, owners),
                                 ["live_leases"])

    def test_what_was_bought_before_is_its_accounts(self):
        before = {A: books(buy(0, "l0") + end(0, "l0")).end(ACCOUNT)}
        spending = {"purchases_per_day": 1}
        self.assertEqual(self.broken(buy(1, "l1"), spending, ACCOUNT, before=before), ["purchases_per_day"])
        self.assertEqual(self.broken(buy(1, "l1"), spending, CALLER, before=before), [])
        self.assertEqual(self.broken(buy(1, "l1"), {"live_leases": 1}, ACCOUNT, before=before), [])


class LeakTest(unittest.TestCase):
    """Invariant 17."""

    RULES = {CALLER: {"purchases_per_day": 3, **dollars(money_per_month=5, upfront_fee=1)},
             ACCOUNT: {"live_leases": 10}, ("caller", "other"): {"live_leases": 1}}
    LEDGER = buy(1, "l1", NUMBERS[1]) + buy(2, "l2") + end(3, "l2")
    STATES = [State(CALLER, "purchases_per_day", "", 3, 2, 1),
              State(CALLER, "money_per_month", "USD", 5_000_000, 3_000_000, 2_000_000),
              State(CALLER, "upfront_fee", "USD", 1_000_000, None, None),
              State(ACCOUNT, "live_leases", "", 10, 1, 9)]

    def found(self, states, now=NOON, ledger=LEDGER):
        violations = limits.check_used(states, books(ledger), self.RULES, {CALLER, ACCOUNT, BOTH}, now, "a")
        return [each.invariant for each in violations]

    def test_accepts_what_the_ledger_says(self):
        self.assertEqual(self.found(self.STATES), [])
        nothing = [dataclasses.replace(state, used=0, left=state.limit) for state in self.STATES
                   if state.kind != "upfront_fee"] + [self.STATES[2]]
        self.assertEqual(self.found(nothing, ledger=[]), [])

    def test_finds_what_was_not_given_back_and_what_is_not_counted(self):
        for at in (0, 1, 3):
            for more in (1, -1):
                states = list(self.STATES)
                states[at] = dataclasses.replace(states[at], used=states[at].used + more,
                                                 left=states[at].left - more)
                self.assertEqual(self.found(states), [17])
                states[at] = dataclasses.replace(states[at], left=self.STATES[at].left)
                self.assertEqual(self.found(states), [17])

    def test_finds_what_is_under_way_without_a_reservation(self):
        self.assertEqual(limits.check_reservations([]), [])
        found = limits.check_reservations({(A, "r1", "UNKNOWN"), (B, "r2", "")})
        self.assertEqual([each.invariant for each in found], [17, 17])
        self.assertIn("r1 on account-1 is UNKNOWN without", found[0].text)
        self.assertIn("r2 on account-2 has a reservation", found[1].text)

    def test_what_is_under_way_and_its_reservation_are_asked_for_together(self):
        lease, end = 1, 3
        with contextlib.closing(sqlite3.connect(":memory:")) as journal:
            journal.execute("CREATE TABLE operation (account, request_id, kind, state)")
            journal.execute("CREATE TABLE spending (account, request_id, last_day)")
            journal.executemany("INSERT INTO operation VALUES (?, ?, ?, ?)", [
                (A, "intended", lease, 1), (A, "sent", lease, 2), (A, "bought", lease, 3),
                (A, "failed", lease, 4), (A, "unknown", 2, 5), (A, "ends", end, 2), (B, "sent", lease, 4)])
            held, settled = [(A, "sent", None), (A, "unknown", None)], (A, "bought", 20_000)
            for rows, found in ((held, []), (held[1:], [(A, "sent", "SENT")]),
                                (held[:1], [(A, "unknown", "UNKNOWN")]),
                                (held + [(A, "failed", None)], [(A, "failed", "")]),
                                (held + [(A, "intended", None)], [(A, "intended", "")]),
                                (held[1:] + [(B, "sent", None)], [(A, "sent", "SENT"), (B, "sent", "")])):
                journal.execute("DELETE FROM spending")
                journal.executemany("INSERT INTO spending VALUES (?, ?, ?)", [*rows, settled])
                told = journal.execute(limits.UNRESERVED.format(schema="")).fetchall()
                self.assertEqual(sorted(told), found)

    def test_finds_what_is_left_wrongly(self):
        states = [dataclasses.replace(self.STATES[0], left=2), *self.STATES[1:]]
        self.assertEqual(self.found(states), [17])

    def test_finds_another_limit_than_the_files(self):
        for at, state in enumerate(self.STATES):
            states = list(self.STATES)
            states[at] = dataclasses.replace(state, limit=state.limit + 1)
            if state.left is not None:
                states[at] = dataclasses.replace(states[at], left=state.left + 1)
            self.assertIn(17, self.found(states))

    def test_finds_limits_that_are_not_shown_or_are_not_there(self):
        for at, _ in enumerate(self.STATES):
            self.assertEqual(self.found(self.STATES[:at] + self.STATES[at + 1:]), [17])
        self.assertEqual(self.found([*self.STATES, State(BOTH, "live_leases", "", 1, 1, 0)]), [17])

    def test_asks_for_nothing_around_midnight(self):
        states = [dataclasses.replace(self.STATES[0], used=1, left=2), *self.STATES[1:]]
        for now in (NOON + 43_200 - 1, NOON + 43_200 + 1):
            self.assertEqual(self.found(states, now), [])


class RefusalTest(unittest.TestCase):
    """Invariant 18."""

    LEDGER = buy(10, "l1") + buy(20, "l2", NUMBERS[1]) + end(30, "l1")
    RULES = {CALLER: {"live_leases": 2, "purchases_per_day": 2,
                      "currencies": {"USD": {"money_per_month": 6, "money_per_day": 9, "monthly_rate": 3,
                                             "upfront_fee": 1}}},
             ACCOUNT: {"live_leases": 9}}

    def told(self, scope="caller", limit="live_leases", value="2", used="2", asked="1", **more):
        return {"scope": scope, "limit": limit, "value": value, "used": used, "asked": asked, **more}

    def money(self, limit, value, used, asked):
        return self.told(limit=limit, value=value, used=used, asked=asked, currency="USD")

    def wrong(self, told, operations=(), start=25.0, end=26.0, earlier=None, **more):
        call = Call(5, more.pop("method", "CreateLease"), more.pop("code", "FAILED_PRECONDITION"), "r",
                    more.pop("number", NUMBERS[2]), reason=more.pop("reason", limits.REFUSED),
                    start=start, end=end, caller="a", account=A, refusal=told, **more)
        calls = [call]
        if earlier is not None:
            calls.insert(0, dataclasses.replace(call, code="UNAVAILABLE", reason="", refusal=None,
                                                start=earlier, end=earlier + 1, validate_only=False))
        checked = limits.Refusals(books(self.LEDGER), self.RULES, list(operations), {"l1": "a", "l2": "a"},
                                  {5: NUMBERS}, NOON)
        found = checked.check(calls)
        self.assertTrue(all((each.invariant, each.trial) == (18, 5) for each in found))
        return found

    def test_accepts_what_is_so(self):
        for told in (self.told(), self.told(limit="purchases_per_day"),
                     self.money("money_per_month", "6", "5", "4"), self.money("money_per_day", "9", "6", "6"),
                     self.money("monthly_rate", "3", "0", "4"), self.money("upfront_fee", "1", "0", "2")):
            self.assertEqual(self.wrong(told), [], told)
        euro = self.told(limit="currencies", value="USD", used="", asked="EUR", currency="EUR")
        self.assertEqual(self.wrong(euro, number=EURO), [])

    def test_finds_what_does_not_say_which(self):
        for key in self.told():
            told = self.told()
            del told[key]
            self.assertTrue(self.wrong(told), key)
        self.assertTrue(self.wrong({}))
        self.assertTrue(self.wrong(self.told(used="some")))
        self.assertTrue(self.wrong(self.told(), code="RESOURCE_EXHAUSTED"))
        self.assertTrue(self.wrong(self.told(), method="TerminateLease"))

    def test_finds_a_limit_that_is_not_there(self):
        self.assertTrue(self.wrong(self.told(scope="caller_on_account")))
        self.assertTrue(self.wrong(self.told(scope="world")))
        self.assertTrue(self.wrong(self.told(scope="account", limit="purchases_per_day")))
        self.assertTrue(self.wrong(self.told(value="1", used="1")))
        self.assertTrue(self.wrong(self.money("money_per_month", "5.5", "5", "4")))
        euro = self.told(limit="currencies", value="USD", used="", asked="USD", currency="USD")
        self.assertTrue(self.wrong(euro))

    def test_what_an_operation_was_refused_for_is_no_refusal(self):
        call = Call(5, "GetOperation", "OK", "r", reason=limits.REFUSED, caller="a", account=A)
        checked = limits.Refusals(books(self.LEDGER), self.RULES, [], {}, {}, NOON)
        self.assertEqual(checked.check([call]), [])

    def test_finds_a_refusal_for_want_of_a_right(self):
        for code, reason in (("PERMISSION_DENIED", "NOT_ALLOWED"), ("UNAUTHENTICATED", "IDENTITY_INVALID"),
                             ("INVALID_ARGUMENT", "INVALID_ACCOUNT"),
                             ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")):
            with self.subTest(reason=reason):
                self.assertTrue(self.wrong({}, code=code, reason=reason))
                self.assertTrue(self.wrong({}, method="GetNumber", code=code, reason=reason))
        self.assertEqual(self.wrong({}, code="ABORTED", reason="OUTCOME_UNKNOWN"), [])

    def test_finds_a_price_that_is_anothers(self):
        self.assertTrue(self.wrong(self.money("money_per_month", "6", "5", "3")))
        self.assertTrue(self.wrong(self.money("monthly_rate", "3", "0", "3.5")))
        # Any of those that it may take.
        any_of_them = {"method": "LeaseAnyNumber", "number": ""}
        self.assertEqual(self.wrong(self.money("money_per_month", "6", "5", "2"), **any_of_them), [])
        self.assertTrue(self.wrong(self.money("money_per_month", "6", "5", "5"), **any_of_them))

    def test_finds_what_is_within_the_limit(self):
        self.assertTrue(self.wrong(self.told(used="1")))
        self.assertTrue(self.wrong(self.told(used="1"), start=35.0, end=36.0))
        self.assertTrue(self.wrong(self.money("money_per_month", "6", "2", "4")))
        self.assertTrue(self.wrong(self.money("monthly_rate", "3", "0", "3"), number=NUMBERS[1]))

    def test_finds_more_than_there_may_be(self):
        more = Operation("o", "LEASE", "FAILED", NUMBERS[1], caller="a", account=A, created=NOON + 25.0,
                         updated=NOON + 26.0)
        self.assertTrue(self.wrong(self.told(used="3"), [more]))

    def test_finds_what_was_not_so_at_that_time(self):
        at = {"start": 15.0, "end": 16.0}  # one was live
        self.assertTrue(self.wrong(self.told(), **at))
        self.assertTrue(self.wrong(self.told(limit="purchases_per_day"), **at))
        self.assertTrue(self.wrong(self.told(), start=35.0, end=36.0))
        # One that was asked for then may hear of it later.
        self.assertEqual(self.wrong(self.told(), start=35.0, end=36.0, earlier=28.0), [])
        # A rehearsal is for itself.
        self.assertTrue(self.wrong(self.told(), start=35.0, end=36.0, earlier=28.0, validate_only=True))
        # Less than there was.
        self.assertTrue(self.wrong(self.money("money_per_month", "6", "4", "4")))

    def test_what_is_under_way_may_be_reserved(self):
        at = {"start": 15.0, "end": 16.0}

        def operation(**more):
            return dataclasses.replace(Operation("o", "LEASE", "FAILED", NUMBERS[1], caller="a", account=A,
                                                 created=NOON + 14.0, updated=NOON + 15.5), **more)

        self.assertEqual(self.wrong(self.told(), [operation()], **at), [])
        later = operation(created=NOON + 16.5, updated=NOON + 17.0)
        for other in (operation(updated=NOON + 14.5), later, operation(caller="b"),
                      operation(request_id="r")):
            self.assertTrue(self.wrong(self.told(), [other], **at), other)
        # What was ended is free when the journal has heard of it, and a purchase of that day for good.
        at = {"start": 31.0, "end": 32.0}
        ended = operation(kind="TERMINATE", number=NUMBERS[0], lease_id="l1", caller="driver",
                          created=NOON + 29.0, updated=NOON + 31.5)
        self.assertEqual(self.wrong(self.told(), [ended], **at), [])
        self.assertTrue(self.wrong(self.told(), [dataclasses.replace(ended, lease_id="l7")], **at))
        self.assertTrue(self.wrong(self.told(), **at))


class AttributionTest(unittest.TestCase):
    """Invariant 19."""

    LEDGER = buy(1, "l1") + buy(2, "l2", NUMBERS[1])

    def found(self, change=None, ledger=LEDGER, calls=None):
        operations = [
            Operation(request_id, "LEASE", "SUCCEEDED", number, lease_id, price=price.fee + price.rate,
                      caller="a", account=A, identity_kind=limits.IDENTITY, currency=price.currency,
                      fee=price.fee, rate=price.rate)
            for request_id, lease_id, number in (("r1", "l1", NUMBERS[0]), ("r2", "l2", NUMBERS[1]))
            for price in [PRICES[number]]]
        operations[0] = dataclasses.replace(operations[0], **(change or {}))
        if calls is None:
            calls = [Call(5, "CreateLease", "OK", each.request_id, each.number, caller="a", account=A)
                     for each in operations]
        return {each.invariant for each in limits.check_attribution(calls, operations, ledger, PRICES,
                                                                    {"a", "b"})}

    def test_accepts_what_is_right(self):
        self.assertEqual(self.found(), set())
        self.assertEqual(self.found(calls=[]), set())  # the gateway made the request_id

    def test_finds_another_caller_account_identity_or_price(self):
        for change in ({"caller": "b"}, {"account": B}, {"identity_kind": "ANONYMOUS"}, {"currency": "EUR"},
                       {"fee": 7}, {"rate": 7}, {"price": 7}, {"price": None}):
            self.assertEqual(self.found(change), {19}, change)
        self.assertEqual(self.found({"caller": "z"}, calls=[]), {19})
        told = [Call(5, "CreateLease", "OK", told_request_id="r1", caller="a", account=A)]
        self.assertEqual(self.found(calls=told), set())
        self.assertEqual(self.found({"caller": "b"}, calls=told), {19})

    def test_finds_a_termination_of_another(self):
        calls = [Call(5, "TerminateLease", "OK", "t", NUMBERS[0], caller="a", account=A)]
        operation = Operation("t", "TERMINATE", "SUCCEEDED", NUMBERS[0], "l1", caller="b", account=A,
                              identity_kind=limits.IDENTITY)
        for caller, found in (("a", []), ("b", [19])):
            operation = dataclasses.replace(operation, caller=caller)
            violations = limits.check_attribution(calls, [operation], [], PRICES, {"a", "b"})
            self.assertEqual([each.invariant for each in violations], found)

    def test_finds_sums_that_differ(self):
        self.assertEqual(self.found(ledger=self.LEDGER + buy(3, "l3", NUMBERS[2])), {19})
        self.assertEqual(self.found(ledger=self.LEDGER[:2]), {19})
        self.assertEqual(self.found(ledger=self.LEDGER + self.LEDGER[1:2]), {19})

    def test_the_ledgers_lease_is_of_who_has_asked_for_it(self):
        calls = [Call(5, "CreateLease", "OK", "r1", caller="a"),
                 Call(5, "TerminateLease", "OK", "t", caller="b"),
                 Call(5, "TerminateLease", "INVALID_ARGUMENT", "r1", caller="c")]
        operations = [Operation("r1", "LEASE", "SUCCEEDED", lease_id="l1", caller="z"),
                      Operation("made", "LEASE", "SUCCEEDED", lease_id="l2", caller="b"),
                      Operation("t", "TERMINATE", "SUCCEEDED", lease_id="l1", caller="b"),
                      Operation("f", "LEASE", "FAILED", lease_id="l9", caller="b")]
        self.assertEqual(limits.owners_of(calls, operations), {"l1": "a", "l2": "b"})


if __name__ == "__main__":
    unittest.main()
