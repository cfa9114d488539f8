"""Shows check_answers what callers must not be told, one at a time, and what they may be."""

import dataclasses
import unittest

import answers
from checker import Call, Entry

NUMBER, OTHER = "+13050000001", "+13050000002"
# Leased from 10 to 20, and from 30 on.
LEDGER = [Entry("lease", NUMBER, "lsd_1", time=10.0), Entry("charge", NUMBER, "lsd_1", time=10.0),
          Entry("terminate", NUMBER, "lsd_1", time=20.0), Entry("lease", NUMBER, "lsd_2", time=30.0)]


def call(method="TerminateLease", reason="NOT_LEASED", start=12.0, end=13.0, **more):
    return Call(0, method, more.pop("code", "FAILED_PRECONDITION"), more.pop("request_id", "a"), NUMBER,
                reason=reason, start=start, end=end, **more)


class AnswersTest(unittest.TestCase):
    def found(self, *calls, said=()):
        return [violation.invariant
                for violation in answers.check_answers(calls, LEDGER, {0: set(said)})]

    def test_what_is_leased_is_not_told_to_be_free(self):
        self.assertEqual(self.found(call()), [15])
        for method in answers.SETTINGS:
            for reason in ("NOT_LEASED", "NUMBER_NOT_FOUND"):
                self.assertEqual(self.found(call(method, reason)), [15])
        self.assertEqual(self.found(call(start=40, end=41)), [15])

    def test_what_was_free_at_some_moment_may_be_told_so(self):
        for start, end in ((9, 11), (19, 21), (5, 6), (22, 23), (15, 35), (9.98, 11), (10.02, 19.98)):
            self.assertEqual(self.found(call(start=start, end=end)), [])
        # It was told so before, and is told so again.
        first = call(code="UNAVAILABLE", reason="", start=9, end=9.5)
        self.assertEqual(self.found(first, call()), [])
        self.assertEqual(self.found(dataclasses.replace(first, request_id="b"), call()), [15])
        # One who means an older lease.
        self.assertEqual(self.found(call(lease_id="lsd_0")), [])

    def test_what_is_free_is_not_told_to_be_taken(self):
        taken = dict(method="CreateLease", reason="NUMBER_NOT_AVAILABLE")
        self.assertEqual(self.found(call(**taken, start=22, end=23)), [15])
        for start, end in ((12, 13), (9, 11), (19, 21), (25, 31), (5, 40), (20.02, 29.98)):
            self.assertEqual(self.found(call(**taken, start=start, end=end)), [])
        self.assertEqual(self.found(call(**{**taken, "method": "LeaseAnyNumber"}, start=22, end=23)), [])

    def test_what_the_provider_has_not_said_is_told_to_nobody(self):
        for reason, status in (("UPSTREAM_CREDENTIALS_REJECTED", 401), ("UPSTREAM_FORBIDDEN", 403),
                               ("NUMBER_NOT_FOUND", 404)):
            for method in ("CreateLease", "TerminateLease", "GetNumber", "ListLeases"):
                self.assertEqual(self.found(call(method, reason)), [15])
                self.assertEqual(self.found(call(method, reason), said=[400, 410]), [15])
                self.assertEqual(self.found(call(method, reason), said=[status]), [])
        self.assertEqual(self.found(call("GetNumber", "AGREEMENT_REQUIRED"), said=[403]), [15])

    def test_what_the_provider_says_of_a_list_it_says_of_no_number(self):
        for method in (*answers.OF_NUMBERS, "ListLeases", "LeaseAnyNumber"):
            found = answers.check_answers([call(method, "UPSTREAM_FORBIDDEN")], LEDGER, {0: set()}, {403})
            self.assertEqual(len(found), method in answers.OF_NUMBERS)

    def test_nobody_is_told_that_there_is_no_number_while_one_is_free(self):
        def check(numbers, **more):
            return [each.invariant for each in answers.check_answers(
                [call(**more)], LEDGER, {}, numbers_of={0: numbers})]

        for told in (dict(method="LeaseAnyNumber", reason="NO_MATCHING_NUMBER"),
                     dict(method="ListAvailableNumbers", code="OK", reason="", told_state="0")):
            self.assertEqual(check([NUMBER, OTHER], **told), [15])
            self.assertEqual(check([NUMBER], **told), [])  # it was leased at some time
            self.assertEqual(check([NUMBER], **told, start=5, end=6), [15])
            self.assertEqual(check([], **told), [])
        self.assertEqual(check([OTHER], method="ListAvailableNumbers", code="OK", reason="", told_state="1"), [])

    def test_a_read_is_refused_by_the_provider_alone(self):
        refused = call("GetNumber", "UPSTREAM_REJECTED")
        self.assertEqual(self.found(refused), [15])
        self.assertEqual(self.found(refused, said=[401, 403, 500]), [15])
        self.assertEqual(self.found(refused, said=[400]), [])
        # A write may have been refused for what is true.
        self.assertEqual(self.found(call("CreateLease", "UPSTREAM_REJECTED")), [])

    def test_nobody_is_told_a_page(self):
        page = call("GetNumber", "UPSTREAM_INTERMEDIARY", code="UNAVAILABLE", text="404: <HTML><body>")
        self.assertEqual(self.found(page), [15])
        self.assertEqual(self.found(dataclasses.replace(page, text="404 text/html, squid/5.7")), [])

    def test_what_is_right_is_accepted(self):
        self.assertEqual(self.found(
            call(code="OK", reason=""), call(code="ABORTED", reason="OUTCOME_UNKNOWN"),
            call("GetNumber", "UPSTREAM_INTERMEDIARY", code="UNAVAILABLE"),
            call("GetOperation", "NOT_LEASED", code="OK")), [])

    def test_the_provider_says_what_has_its_form(self):
        self.assertEqual(answers.said_by_the_provider([
            {"kind": "status", "status": 401}, {"kind": "html", "status": 403},
            {"kind": "status", "status": 404, "body": "no"}, {"kind": "delay", "delay_ms": 5}]), {401})


if __name__ == "__main__":
    unittest.main()
