"""Shows the checker records that break each rule, one at a time, and records that break none."""

import dataclasses
import os
import unittest

import checker
import starvation
import world
from checker import Call, Entry, Operation, Sent

NUMBER, OTHER = "+13050000001", "+13050000002"


def lease(lease_id="lsd_1", number=NUMBER, amount=5_000_000):
    return [Entry("lease", number, lease_id), Entry("charge", number, lease_id, amount)]


def purchase(request_id="a", state="SUCCEEDED", lease_id="lsd_1", number=NUMBER, **more):
    return Operation(request_id, "LEASE", state, number, lease_id, result_lease_id=lease_id,
                     result_number=number, **more)


def termination(request_id="t", state="SUCCEEDED", lease_id="lsd_1", number=NUMBER, **more):
    return dataclasses.replace(purchase(request_id, state, lease_id, number, **more), kind="TERMINATE")


def call(request_id="a", code="OK", method="CreateLease", number=NUMBER, told=("lsd_1", NUMBER),
         **more):
    if code == "OK":
        more = {"told_lease_id": told[0], "told_number": told[1], "told_request_id": request_id,
                **more}
    return Call(0, method, code, request_id, number, args=more.pop("args", number), **more)


class CheckerTest(unittest.TestCase):
    def found(self, calls, operations, ledger, **more):
        violations = checker.check(calls, operations, ledger, {NUMBER: 0, OTHER: 0}, **more)
        return {violation.invariant for violation in violations}

    def test_accepts_what_is_right(self):
        ended = Entry("terminate", NUMBER, "lsd_1")
        calls = [
            call(code="ABORTED", reason="OUTCOME_UNKNOWN", start=0, end=1),
            call("a", start=2, end=3),
            call("b", "ALREADY_EXISTS"),
            call("t", method="TerminateLease", lease_id="lsd_1"),
            call("t", "DEADLINE_EXCEEDED", method="TerminateLease", lease_id="lsd_1"),
            call("a", "INVALID_ARGUMENT", reason="REQUEST_ID_REUSED", number=OTHER),
            call("c", "RESOURCE_EXHAUSTED"),
            call("d", validate_only=True, told=("", NUMBER)),
            Call(0, "GetOperation", "OK", "a", told_state="SUCCEEDED",
                 told_operation_lease_id="lsd_1"),
            Call(0, "GetOperation", "NOT_FOUND", "a", reason="OPERATION_NOT_FOUND", end=0.5),
            Call(0, "GetLease", "OK", number=NUMBER, told_leases=(("lsd_1", NUMBER),)),
        ]
        operations = [purchase(price=5_000_000), termination(),
                      purchase("b", "FAILED", "", reason="ALREADY_EXISTS")]
        self.assertEqual(self.found(calls, operations, lease() + [ended]), set())

    def test_accepts_a_purchase_without_an_id_whose_answer_was_lost(self):
        calls = [call("", "UNAVAILABLE")]
        self.assertEqual(self.found(calls, [purchase("made")], lease(), anonymous=[0]), set())
        self.assertEqual(self.found(calls, [purchase("made")], lease()), {2})

    def test_1_finds_a_second_charge(self):
        again = lease("lsd_2", OTHER)
        any_call = call("a", method="LeaseAnyNumber", number="")
        operation = dataclasses.replace(purchase(), kind="LEASE_ANY")
        self.assertEqual(self.found([any_call], [operation], lease() + again), {1, 2})
        # After its end the number was bought anew by a late copy of the request.
        calls = [call(), call("t", method="TerminateLease")]
        ledger = lease() + [Entry("terminate", NUMBER, "lsd_1")] + lease("lsd_2")
        self.assertEqual(self.found(calls, [purchase(), termination()], ledger), {1, 2})
        self.assertEqual(self.found([call()], [purchase()], lease() + lease()[1:]), {1})
        self.assertIn(1, self.found([call()], [purchase()], lease() + lease()))

    def test_2_finds_a_charge_that_the_journal_does_not_have(self):
        self.assertEqual(self.found([call(code="UNAVAILABLE")], [], lease()), {2})
        self.assertEqual(self.found([call(code="UNAVAILABLE")],
                                    [purchase(state="FAILED", lease_id="")], lease()), {2})

    def test_2_finds_a_success_that_the_journal_does_not_have(self):
        self.assertIn(2, self.found([call()], [], lease()))
        self.assertIn(2, self.found([call()], [purchase(state="FAILED", lease_id="")], lease()))
        self.assertIn(2, self.found([call(code="ABORTED", reason="OUTCOME_UNKNOWN")], [], []))

    def test_2_finds_a_charge_with_two_owners(self):
        calls = [call(), call("b", "ABORTED")]
        self.assertEqual(self.found(calls, [purchase(), purchase("b")], lease()), {2})

    def test_2_finds_operations_that_nobody_or_somebody_else_asked_for(self):
        self.assertEqual(self.found([], [purchase(state="FAILED", lease_id="")], []), {2})
        self.assertEqual(self.found([call(code="ABORTED", number=OTHER)],
                                    [purchase(state="FAILED", lease_id="")], []), {2})
        self.assertEqual(self.found([call(code="ABORTED", method="TerminateLease")],
                                    [purchase(state="FAILED", lease_id="")], []), {2})
        self.assertEqual(self.found([call()], [purchase(), purchase()], lease()), {2})

    def test_2_finds_what_was_shown_and_is_lost(self):
        look = Call(0, "GetOperation", "OK", "a", told_state="SENT")
        self.assertEqual(self.found([look], [], []), {2})
        look = Call(0, "GetOperation", "NOT_FOUND", "a", reason="OPERATION_NOT_FOUND", start=2)
        self.assertEqual(self.found([call(end=1), look], [purchase()], lease()), {2})

    def test_3_finds_a_success_that_the_ledger_does_not_have(self):
        self.assertEqual(self.found([call()], [purchase()], []), {3})
        self.assertEqual(self.found([call(code="ABORTED")], [purchase()], []), {3})
        self.assertEqual(self.found([call("t", method="TerminateLease")], [termination()], []), {3})
        self.assertIn(3, self.found([call(told=("lsd_9", NUMBER))], [purchase()], lease()))

    def test_3_finds_a_success_with_another_number(self):
        self.assertIn(3, self.found([call(told=("lsd_1", OTHER))], [purchase(number=OTHER)],
                                    lease(number=OTHER)))
        self.assertIn(3, self.found([call(code="ABORTED")], [purchase()], lease(number=OTHER)))
        far = "+13059999999"
        calls = [call(method="LeaseAnyNumber", number="", told=("lsd_1", far))]
        operation = dataclasses.replace(purchase(number=far), kind="LEASE_ANY")
        self.assertEqual(self.found(calls, [operation], lease(number=far)), {3})

    def test_3_finds_a_result_or_price_that_differs(self):
        self.assertEqual(self.found([call()], [purchase(price=1)], lease()), {3})
        broken = dataclasses.replace(purchase(), result_lease_id="lsd_7")
        self.assertEqual(self.found([call()], [broken], lease()), {3})

    def test_3_finds_a_definite_failure_that_was_charged(self):
        for code, reason in (("FAILED_PRECONDITION", "NUMBER_NOT_AVAILABLE"), ("INTERNAL", "INTERNAL"),
                             ("ALREADY_EXISTS", "ALREADY_LEASED"), ("NOT_FOUND", "NUMBER_NOT_FOUND")):
            self.assertEqual(self.found([call(code=code, reason=reason)], [purchase()], lease()), {3})
        # What is not final may be tried anew, but only by a call that comes later.
        for start, found in ((3, set()), (0, {3})):
            calls = [call(code="PERMISSION_DENIED", reason="UPSTREAM_FORBIDDEN", start=1, end=2),
                     call(start=start, end=start + 1)]
            self.assertEqual(self.found(calls, [purchase()], lease()), found)
        calls = [call(code="FAILED_PRECONDITION", reason="PRICE_CHANGED", end=1), call(start=2, end=3)]
        self.assertEqual(self.found(calls, [purchase()], lease()), {3})

    def test_3_finds_a_purchase_of_a_call_that_had_no_journal(self):
        away = {"code": "FAILED_PRECONDITION", "reason": "JOURNAL_UNAVAILABLE"}
        for start in (0, 4):
            calls = [call(start=start, end=start + 1), call(start=2, end=3, **away)]
            self.assertEqual(self.found(calls, [purchase()], lease()), set())
        self.assertEqual(self.found([call(**away)], [purchase()], lease()), {3})

    def test_3_finds_the_end_of_another_lease(self):
        ledger = lease() + lease("lsd_2") + [Entry("terminate", NUMBER, "lsd_2")]
        operations = [purchase(), purchase("b", lease_id="lsd_2"), termination(lease_id="lsd_2")]
        calls = [call(), call("b", told=("lsd_2", NUMBER)),
                 call("t", "ABORTED", method="TerminateLease", lease_id="lsd_1")]
        self.assertEqual(self.found(calls, operations, ledger), {3})
        calls[2] = call("t", method="TerminateLease", lease_id="lsd_1", told=("lsd_2", NUMBER))
        self.assertEqual(self.found(calls, operations, ledger), {3})
        # Without lease_id it is bound to the one that it had in the journal first.
        calls[2] = call("t", "ABORTED", method="TerminateLease")
        self.assertEqual(self.found(calls, operations, ledger), set())
        calls.append(Call(0, "GetOperation", "OK", "t", told_state="SENT",
                          told_operation_lease_id="lsd_1"))
        self.assertEqual(self.found(calls, operations, ledger), {3})

    def test_3_finds_an_end_without_a_record(self):
        ended = Entry("terminate", NUMBER, "lsd_1")
        self.assertEqual(self.found([call()], [purchase()], lease() + [ended]), {3})
        calls = [call(), call("t", method="TerminateLease"),
                 call("u", "ABORTED", method="TerminateLease")]
        operations = [purchase(), termination(), termination("u")]
        self.assertEqual(self.found(calls, operations, lease() + [ended]), {3})

    def test_3_finds_answers_that_differ(self):
        ledger = lease() + lease("lsd_2")
        calls = [call(), call(told=("lsd_2", NUMBER))]
        self.assertIn(3, self.found(calls, [purchase()], ledger))
        calls = [call(), call(args="another price")]
        self.assertEqual(self.found(calls, [purchase()], lease()), {3})
        calls = [call(), call(code="INVALID_ARGUMENT", reason="REQUEST_ID_REUSED")]
        self.assertEqual(self.found(calls, [purchase()], lease()), {3})
        self.assertEqual(self.found([call(told_request_id="z")], [purchase()], lease()), {3})

    def test_3_finds_a_settled_operation_that_changes(self):
        look = Call(0, "GetOperation", "OK", "a", reason="NUMBER_NOT_AVAILABLE", told_state="FAILED")
        self.assertEqual(self.found([call(), look], [purchase()], lease()), {3})
        look = Call(0, "GetOperation", "OK", "a", told_state="SUCCEEDED")
        self.assertIn(3, self.found([call(code="ABORTED"), look],
                                    [purchase(state="FAILED", lease_id="")], lease()))
        look = Call(0, "GetOperation", "OK", "a", reason="NOT_APPLIED", told_state="FAILED")
        self.assertEqual(self.found([call(), look], [purchase()], lease()), set())

    def test_3_finds_reads_and_rehearsals_that_invent_leases(self):
        read = Call(0, "ListLeases", "OK", told_leases=(("lsd_5", NUMBER),))
        self.assertEqual(self.found([read], [], []), {3})
        self.assertEqual(self.found([call(validate_only=True)], [], []), {3})
        rehearsal = call(validate_only=True, told=("", NUMBER))
        self.assertIn(3, self.found([rehearsal], [purchase(state="FAILED", lease_id="")], []))
        self.assertEqual(self.found([call(code="ALREADY_EXISTS")], [], []), {3})

    def test_4_finds_late_calls(self):
        self.assertEqual(checker.lateness(10.0, 9.0, 0.0), 0.0)
        self.assertAlmostEqual(checker.lateness(10.0, 10.4, 0.1), 0.3)
        lag = world.Lag()
        lag.add(10.3, 0.2)  # it did not run from 10.1 to 10.3
        lag.add(10.6, 0.1)
        self.assertAlmostEqual(lag.lost(10.2, 10.55), 0.15)
        self.assertAlmostEqual(lag.lost(10.31, 10.49), 0.0)
        self.assertAlmostEqual(lag.held_up(10.2), 0.1)
        self.assertAlmostEqual(lag.held_up(10.09), 0.2)
        self.assertAlmostEqual(lag.held_up(10.4), 0.0)
        self.assertEqual(checker.check_lateness(0, "CreateLease", 0.249), [])
        self.assertEqual(checker.check_lateness(0, "CreateLease", 0.251)[0].invariant, 4)

    def test_5_finds_growth(self):
        self.assertEqual(checker.check_resources(1 << 20, 10, 1 << 21, 20), [])
        self.assertEqual([v.invariant for v in checker.check_resources(1 << 22, 30, 1 << 21, 20)],
                         [5, 5])

    def test_6_finds_failed_reads_of_warm_accounts(self):
        self.assertEqual(checker.check_read("GetNumber", "OK", True), [])
        self.assertEqual(checker.check_read("GetNumber", "UNAVAILABLE", False), [])
        self.assertEqual(checker.check_read("GetNumber", "UNAVAILABLE", True)[0].invariant, 6)
        for code, seconds, excused in (
                ("DEADLINE_EXCEEDED", 0.2, False), ("DEADLINE_EXCEEDED", 0.4, True),
                ("CANCELLED", 0.4, False), ("CANCELLED", 2.9, False), ("CANCELLED", 3.1, True),
                ("UNAVAILABLE", 60, False)):
            with self.subTest(code=code, seconds=seconds):
                self.assertEqual(checker.is_excused_read(code, seconds), excused)

    def test_9_finds_a_circuit_that_poison_has_opened(self):
        self.assertEqual(checker.check_poisoned(0, "GetNumber", "UPSTREAM_MALFORMED"), [])
        self.assertEqual(checker.check_poisoned(0, "GetNumber", "CIRCUIT_OPEN")[0].invariant, 9)

    def test_8_finds_what_stays_open(self):
        self.assertEqual(self.found([call(code="ABORTED")], [purchase(state="UNKNOWN", lease_id="")],
                                    []), {8})
        self.assertEqual(checker.check_settled(4.0, "OK"), [])
        self.assertEqual(checker.check_settled(None, "OK")[0].invariant, 8)
        self.assertEqual(checker.check_settled(4.0, "UNAVAILABLE")[0].invariant, 8)

    def test_the_file_is_held_against_the_list(self):
        rows = {"a": ("SUCCEEDED", "lsd_1"), "b": ("FAILED", "")}
        self.assertEqual(checker.check_journal_file(rows, dict(rows)), [])
        for listed in ({"a": rows["a"]}, {**rows, "b": ("SENT", "")}, {**rows, "c": ("SENT", "")}):
            self.assertEqual([v.invariant for v in checker.check_journal_file(rows, listed)], [2])

    def test_10_finds_two_replicas_at_work(self):
        def check(*sent, limit=1.5):
            found = checker.check_under_way(list(sent), limit, {NUMBER: 0})
            return [violation.invariant for violation in found]

        first = Sent(0, NUMBER, 10.0, 10.4)
        self.assertEqual(check(first, Sent(1, NUMBER, 10.5, 10.6)), [])
        self.assertEqual(check(first, Sent(0, NUMBER, 10.3, 10.6)), [])
        self.assertEqual(check(first, Sent(1, OTHER, 10.3, 10.6)), [])
        self.assertEqual(check(first, Sent(1, NUMBER, 10.3, 10.6)), [10])
        self.assertEqual(check(Sent(1, NUMBER, 10.3, 10.6), first), [10])
        # One that does not end does so for its sender, in its time.
        for end in (None, 99.0):
            endless = Sent(0, NUMBER, 10.0, end)
            self.assertEqual(check(endless, Sent(1, NUMBER, 11.4, 11.5)), [10])
            self.assertEqual(check(endless, Sent(1, NUMBER, 11.6, 11.7)), [])
        # One between them does not hide the first.
        self.assertEqual(check(Sent(0, NUMBER, 10.0, 11.0), Sent(0, NUMBER, 10.1, 10.2),
                               Sent(1, NUMBER, 10.5, 10.6)), [10])
        # LeaseAnyNumber may go on with another number, but not while the first is under way.
        a, b = Sent(0, NUMBER, 10.0, 10.4, "a"), Sent(1, OTHER, 10.3, 10.6, "a")
        self.assertEqual(check(a, b), [10])
        self.assertEqual(check(a, dataclasses.replace(b, request_id="b")), [])

    def test_11_finds_what_nobody_adopts(self):
        orphans, key = checker.Orphans(), ("a", 7)
        self.assertEqual(orphans.see(100.0, {key}, True), [])
        self.assertEqual(orphans.see(114.9, {key}, True), [])
        self.assertEqual([v.invariant for v in orphans.see(115.1, {key}, True)], [11])
        self.assertEqual(orphans.see(115.2, {key}, True), [])  # said once
        # Adopted, and its new owner dead later: it counts anew.
        orphans = checker.Orphans()
        orphans.see(100.0, {key}, True)
        orphans.see(110.0, set(), True)
        self.assertEqual(orphans.see(120.0, {key}, True), [])
        self.assertEqual(orphans.see(134.0, {key}, True), [])
        self.assertEqual([v.invariant for v in orphans.see(135.1, {key}, True)], [11])
        # As long as nobody could, nobody had to.
        orphans = checker.Orphans()
        orphans.see(100.0, {key}, True)
        orphans.see(114.0, {key}, False)
        self.assertEqual(orphans.see(128.0, {key}, True), [])
        self.assertEqual([v.invariant for v in orphans.see(129.1, {key}, True)], [11])

    def test_12_finds_replicas_that_differ(self):
        self.assertEqual(checker.check_agreement("x", [{"a": 1}, {"a": 1}, {"a": 1}]), [])
        for answers in ([{"a": 1, "b": 2}, {"a": 1, "b": 2}, {"b": 2}], [{"a": 2}, {"a": 1}, {"a": 1}]):
            self.assertEqual([v.invariant for v in checker.check_agreement("x", answers)], [12])

    def test_14_finds_calls_that_a_name_has_failed(self):
        def check(text):
            return [v.invariant for v in checker.check_names(0, "GetNumber", "g0.x.test", text)]

        self.assertEqual(check(""), [])
        self.assertEqual(check("looking up g1.x.test: there is no such name"), [])
        self.assertEqual(check("looking up g0.x.test: there is no such name"), [14])
        self.assertEqual(check("connecting to g0.x.test: 127.0.0.2 port 4443: Connection refused"), [14])
        self.assertEqual(check("connecting to g0.x.test: ::1 port 4443: Connection refused"), [14])
        self.assertEqual(check("connecting to g0.x.test: 127.0.0.2 port 4443: Connection refused; "
                               "127.0.0.1 port 4443: Connection timed out"), [])
        self.assertEqual(check("the provider answered 503 to GET /{number}"), [])

    def test_15_finds_lists_without_what_nobody_leases(self):
        self.assertEqual(checker.check_listed("x", [NUMBER]), [])
        self.assertEqual([v.invariant for v in checker.check_listed("x", [])], [15])

    def test_what_a_setting_says_is_what_was_asked_for(self):
        def check(method, state):
            return [v.invariant for v in checker.check_setting(
                call(method=method, told_state=state), OTHER)]

        self.assertEqual(check("EnableCallForwarding", f"True {OTHER}"), [])
        self.assertEqual(check("EnableCallForwarding", f"True {NUMBER}"), [3])
        self.assertEqual(check("EnableCallForwarding", "False"), [3])
        self.assertEqual(check("DisableCallForwarding", "False"), [])
        self.assertEqual(check("DisableCallForwarding", f"True {OTHER}"), [3])
        self.assertEqual(check("ConfigureFailover", ""), [])

    def test_a_caller_goes_on_until_it_knows(self):
        self.assertTrue(checker.is_open(call(code="ABORTED", reason="OUTCOME_UNKNOWN")))
        self.assertTrue(checker.is_open(call(code="FAILED_PRECONDITION", reason="JOURNAL_UNAVAILABLE")))
        self.assertFalse(checker.is_open(call(code="FAILED_PRECONDITION", reason="NUMBER_NOT_AVAILABLE")))
        self.assertFalse(checker.is_open(call()))

    def test_waits_for_a_processor_are_counted_of_the_threads_that_waited_most(self):
        waits = starvation.Waits()
        self.assertEqual((waits.waited(0, 9), waits.most(0, 9)), (0, 0))
        for when, one, two, three in ((1.0, 0.5, 0.0, 0.0), (1.1, 0.5, 0.05, 0.0), (1.2, 0.6, 0.05, 0.01),
                                      (1.9, 0.9, 0.05, 0.01)):
            waits.samples.append((when, {"1": one, "2": two, "3": three}))
        self.assertAlmostEqual(waits.waited(1.0, 1.2), 0.15)
        self.assertAlmostEqual(waits.waited(1.05, 1.15), 0.15)  # what lies around
        self.assertAlmostEqual(waits.waited(1.2, 1.9), 0.3)
        self.assertAlmostEqual(waits.waited(5.0, 6.0), 0.0)
        self.assertAlmostEqual(waits.most(0.0, 1.2), 0.15)
        self.assertAlmostEqual(waits.most(1.0, 1.1), 0.05)
        waits.sample(os.getpid())
        self.assertEqual(len(waits.samples), 5)
        waits.sample(2 ** 22 + 1)  # there is none
        self.assertEqual(len(waits.samples), 5)

    def test_late_callers_get_the_same_answer(self):
        self.assertEqual(checker.check_reply_to_late(call(), purchase()), [])
        late = checker.check_reply_to_late(call(code="NOT_FOUND"), purchase())
        self.assertEqual([violation.invariant for violation in late], [2])


if __name__ == "__main__":
    unittest.main()
