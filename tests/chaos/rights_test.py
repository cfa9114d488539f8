"""Shows check_rights records that break its rule, one at a time, and records that break none."""

import dataclasses
import unittest

import rights
from checker import Sent
from rights import INTENDED, Written

NUMBER, OTHER = "+13050000001", "+13050000002"
SENT, SUCCEEDED, FAILED = 2, 3, 4
MARGIN = 2.0
A, B = 71, 72  # runs of replicas 0 and 1

# Granted at 10 until 13.5, and given back at 10.4.
INTENT = Written(9.9, 0, "a", NUMBER, INTENDED, A)
GRANT = Written(10.0, 0, "a", NUMBER, SENT, A, A, 13.5)
OUTCOME = Written(10.4, 0, "a", NUMBER, SUCCEEDED, None, A)
REQUEST = Sent(0, NUMBER, 10.1, 10.3, "a")
# Replica 1 takes it over.
TAKEN = Written(12.2, 1, "a", NUMBER, SENT, B, A, 13.5)
LATER_GRANT = Written(13.6, 1, "a", NUMBER, SENT, B, B, 17.1)
LATER_REQUEST = Sent(1, NUMBER, 13.7, 13.8, "a")


def moved(what, seconds):
    return dataclasses.replace(what, **{name: getattr(what, name) + seconds
                                        for name in ("at", "send_until", "start", "end")
                                        if getattr(what, name, None) is not None})


class RightsTest(unittest.TestCase):
    def found(self, sent, history, stops=()):
        return [violation.trial for violation in rights.check_rights(
            sent, rights.rights_of(history), MARGIN, stops, {NUMBER: 0, OTHER: 1})]

    def test_accepts_what_is_right(self):
        self.assertEqual(self.found([REQUEST], [INTENT, GRANT, OUTCOME]), [])
        self.assertEqual(self.found([REQUEST, LATER_REQUEST], [INTENT, GRANT, TAKEN, LATER_GRANT]), [])
        self.assertEqual(self.found([dataclasses.replace(REQUEST, request_id="")], [GRANT]), [])

    def test_finds_what_was_never_granted(self):
        self.assertEqual(self.found([REQUEST], [INTENT]), [0])
        self.assertEqual(self.found([REQUEST], [moved(GRANT, 0.2)]), [0])
        for other in (Sent(1, NUMBER, 10.1, 10.3, "a"), Sent(0, OTHER, 10.1, 10.3, "a"),
                      Sent(0, NUMBER, 10.1, 10.3, "b")):
            self.assertEqual(len(self.found([REQUEST, other], [GRANT])), 1)

    def test_finds_what_is_sent_after_its_right(self):
        # Until 11.5 if it has been stopped after it has looked at the clock.
        self.assertEqual(self.found([moved(REQUEST, 1.35)], [GRANT]), [])
        self.assertEqual(self.found([moved(REQUEST, 1.5)], [GRANT]), [0])
        # That another owner may send by now, or has, makes no difference.
        self.assertEqual(self.found([moved(REQUEST, 3.0)], [GRANT, TAKEN]), [0])
        self.assertEqual(self.found([moved(REQUEST, 9.0)], [GRANT, TAKEN, LATER_GRANT]), [0])
        # It may, if it is granted anew.
        again = dataclasses.replace(GRANT, at=14.0, send_until=17.5)
        self.assertEqual(self.found([REQUEST, moved(REQUEST, 4.5)], [GRANT, again]), [])

    def test_who_stopped_the_provider_does_not_know_when_it_was_sent(self):
        late = moved(REQUEST, 1.9)  # at 12.0
        self.assertEqual(self.found([late], [GRANT], [[11.0, 11.9]]), [])
        self.assertEqual(self.found([late], [GRANT], [[11.0, float("inf")]]), [])
        self.assertEqual(self.found([late], [GRANT], [[11.0, 11.5]]), [0])
        self.assertEqual(self.found([late], [GRANT], [[11.8, 11.9]]), [0])
        self.assertEqual(self.found([late], [GRANT], [[12.1, 12.9]]), [0])

    def test_finds_who_does_not_wait_for_a_former_owner(self):
        self.assertEqual(self.found([], [GRANT, TAKEN, moved(LATER_GRANT, -0.2)]), [0])
        # It has given the operation back itself, for another caller to try, or for another number.
        for state in (INTENDED, FAILED):
            back = dataclasses.replace(OUTCOME, state=state, owner=A if state == INTENDED else None,
                                       send_until=13.5 if state == INTENDED else None)
            self.assertEqual(self.found([], [GRANT, back, moved(LATER_GRANT, -2.0)]), [])
        # The new owner can't do that for it.
        for state in (INTENDED, FAILED):
            back = dataclasses.replace(TAKEN, at=12.3, state=state)
            self.assertEqual(self.found([], [GRANT, TAKEN, back, moved(LATER_GRANT, -1.0)]), [0])
        # The same replica after a new start is another one.
        restarted = dataclasses.replace(LATER_GRANT, replica=0)
        self.assertEqual(self.found([], [GRANT, moved(restarted, -0.2)]), [0])
        # What it was granted in between doesn't hide the first.
        third = Written(13.0, 2, "a", NUMBER, SENT, 73, 73, 16.5)
        self.assertEqual(len(self.found([], [GRANT, moved(LATER_GRANT, -0.7), third])), 3)

    def test_finds_two_operations_that_may_send_for_a_number(self):
        other = dataclasses.replace(LATER_GRANT, request_id="b", at=12.0)
        self.assertEqual(self.found([], [GRANT, other]), [0])
        self.assertEqual(self.found([], [GRANT, OUTCOME, other]), [])
        self.assertEqual(self.found([], [GRANT, dataclasses.replace(other, number=OTHER)]), [])
        self.assertEqual(self.found([], [GRANT, dataclasses.replace(other, at=13.6)]), [])

    def test_an_operation_goes_on_with_another_number(self):
        candidate = dataclasses.replace(GRANT, at=10.6, number=OTHER, send_until=14.1)
        back = dataclasses.replace(GRANT, at=10.5, state=INTENDED)
        for history in ([GRANT, candidate], [GRANT, back, candidate]):
            granted = rights.rights_of(history)
            self.assertEqual([(right.number, right.over) for right in granted],
                             [(NUMBER, history[1].at), (OTHER, rights.NEVER)])

    def test_what_has_run_out_is_no_new_right(self):
        # A row of long ago, with what a former owner could once do, and its number in other hands.
        old = dataclasses.replace(GRANT, request_id="old", sender=73, at=14.0, state=SUCCEEDED)
        self.assertEqual(self.found([], [LATER_GRANT, old]), [])

    def test_counts_what_there_was(self):
        def waited(*history):
            return rights.count(rights.rights_of(history))["to another, once a former one had run out"]

        self.assertEqual(waited(GRANT, TAKEN, LATER_GRANT), 1)
        self.assertEqual(waited(GRANT, OUTCOME, LATER_GRANT), 0)
        self.assertEqual(waited(GRANT, dataclasses.replace(GRANT, at=13.6, send_until=17.1)), 0)


if __name__ == "__main__":
    unittest.main()
