"""Shows that the callers file says what was drawn, and that days go on from batch to batch."""

import os
import tempfile
import unittest

import yaml

import access
import limits
import plan
import plan_limits
from checker import Entry

DAY = 20_000
NOW = DAY * limits.DAY + 43_200.0


class AccessTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.access = access.Access(folder.name)
        self.trials = [plan_limits.limit(plan.draw_trial("7", index), "7", 1) for index in range(100)]

    def file(self):
        with open(self.access.path, encoding="utf-8") as file:
            return yaml.safe_load(file)

    def test_there_is_a_file_before_the_first_batch(self):
        file = self.file()
        self.assertEqual([account["name"] for account in file["accounts"]], list(plan_limits.ACCOUNTS))
        self.assertEqual(file["callers"][0], {"name": "driver", "match": {"spiffe": "spiffe://chaos/driver"},
                                              "roles": {"account-1": ["all"], "account-2": ["all"]}})

    def test_accounts_have_the_sandboxs_keys(self):
        with open(self.access.keys_file, encoding="utf-8") as file:
            keys = file.read().split()
        for account, key in zip(self.file()["accounts"], keys, strict=True):
            with open(account["key_file"], encoding="utf-8") as file:
                self.assertEqual(file.read(), key)
            self.assertEqual(os.stat(account["key_file"]).st_mode & 0o077, 0)

    def test_the_file_has_the_limits_that_were_drawn(self):
        canary = self.access.begin("7", 0, self.trials, NOW)
        file = self.file()
        callers = {caller["name"]: caller for caller in file["callers"]}
        self.assertIn(canary, callers)
        rules = {("account", account["name"]): account["spending"] for account in file["accounts"]}
        for name, caller in callers.items():
            self.assertEqual(caller["match"], {"spiffe": f"spiffe://chaos/{name}"})
            self.assertLessEqual({name for roles in caller["roles"].values() for name in roles},
                                 file["roles"].keys())
            if "spending" in caller:
                rules["caller", name] = caller["spending"]
            for account, spending in caller.get("spending_on", {}).items():
                rules["caller_on_account", name, account] = spending
        self.assertEqual(rules, self.access.rules)
        for trial in self.trials:
            for buyer in trial.buyers:
                self.assertTrue(buyer.spending or buyer.spending_on)
                self.assertIn(buyer.name, callers)
                said = f"URI={callers[buyer.name]['match']['spiffe']}"
                self.assertEqual(access.Access.metadata(buyer.name), (("x-forwarded-client-cert", said),))

    def test_what_was_bought_today_is_beside_the_limit(self):
        self.access.begin("7", 0, self.trials, NOW)
        drawn = plan_limits.draw_accounts("7", 100)["account-1"]
        prices = access.prices_of([["+1"]])
        cost = prices["+1"].fee + prices["+1"].rate
        self.access.end([Entry("lease", "+1", "l", 0, 1.0, "account-1", "USD", DAY),
                         Entry("charge", "+1", "l", cost, 1.0, "account-1", "USD", DAY),
                         Entry("terminate", "+1", "l", 0, 2.0, "account-1", "USD", DAY)], prices)
        for now, count, money in ((NOW, 1, cost / 1e6), (NOW + limits.DAY, 0, 0)):
            self.access.begin("7", 100, self.trials, now)
            rule = self.access.rules["account", "account-1"]
            dollars, drawn_dollars = rule["currencies"]["USD"], drawn["currencies"]["USD"]
            self.assertEqual(rule["purchases_per_day"], drawn["purchases_per_day"] + count)
            self.assertEqual(dollars["money_per_day"], drawn_dollars["money_per_day"] + money)
            self.assertEqual((rule["live_leases"], dollars["money_per_month"]),
                             (drawn["live_leases"], drawn_dollars["money_per_month"]))

    def test_prices_are_the_slots(self):
        prices = access.prices_of([["a", "b", "c"]] * 3 + [["d", "e", "f"]])
        self.assertEqual(prices["b"], limits.Price("USD", 1_000_000, 5_000_000))  # the last slot of its name
        self.assertEqual(prices["f"], limits.Price("EUR", 2_000_000, 7_000_000))


if __name__ == "__main__":
    unittest.main()
