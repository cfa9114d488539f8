"""Shows that what stands in between answers with every status, on every route, before and after."""

import itertools
import random
import unittest

import plan
import provider

# What the gateway asks the provider for.
NUMBERS_ROUTES = (plan.LEASE, plan.TERMINATE, plan.LOOK, *plan.SETTINGS)
LIST_ROUTES = ("GET /leases", "GET /leased")
ASKED_FOR = {200, 302, 400, 401, 403, 404, 407, 410, 429, 502, 503}


class PagesTest(unittest.TestCase):
    def test_the_statuses_that_matter_are_among_them(self):
        self.assertLessEqual(ASKED_FOR, {*plan.PAGES, 429})

    def test_all_are_drawn_for_each_route_of_a_number(self):
        drawn = {(fault["route"], fault["status"], fault["when"])
                 for index in range(30_000) for fault in plan.draw_trial("7", index).faults
                 if fault["kind"] == "html"}
        for wanted in itertools.product(NUMBERS_ROUTES, plan.PAGES, ("before", "after")):
            self.assertIn(wanted, drawn)
        for route in NUMBERS_ROUTES:
            self.assertIn((route, 429), {(route, status) for route, status, _ in drawn})

    def test_all_are_drawn_for_each_list(self):
        faults = provider.Faults(None, None, [f"+1305000000{i}" for i in range(4)])
        rng = random.Random("7")
        drawn = {(fault["route"], fault["status"], fault["when"])
                 for index in range(0, 400_000, plan.BATCH) for fault in faults.draw_weather(rng, index)
                 if fault["kind"] == "html"}
        for wanted in itertools.product((*LIST_ROUTES, plan.LOOK), {*plan.PAGES, 429}, ("before", "after")):
            self.assertIn(wanted, drawn)

    def test_429_is_drawn_only_where_the_rate_is_limited(self):
        for index in range(5_000):
            for fault in plan.draw_trial("7", index).faults:
                self.assertTrue(fault.get("status") != 429 or plan.is_limited(index))

    def test_no_provider_says_that_a_number_is_not_there(self):
        for index in range(5_000):
            for fault in plan.draw_trial("7", index).faults:
                if fault["kind"] == "status" and fault["route"] not in (plan.LEASE, plan.TERMINATE):
                    self.assertNotEqual(fault["status"], 404)


if __name__ == "__main__":
    unittest.main()
