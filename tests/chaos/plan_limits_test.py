"""Shows that what is drawn of buyers and limits depends on the seed alone, and that all are raced for."""

import collections
import unittest

import plan
import plan_limits
import plan_replicas


def draw(index, replicas=3):
    trial = plan.draw_trial("7", index)
    if replicas > 1:
        plan_replicas.spread(trial, "7", replicas)
    return plan_limits.limit(trial, "7", replicas)


def intents(trial):
    return [step.intent for steps in trial.callers for step in steps if step.intent and not step.read]


class PlanTest(unittest.TestCase):
    def test_the_same_seed_draws_the_same(self):
        for index in range(300):
            self.assertEqual(draw(index), draw(index))
            self.assertEqual(plan_limits.draw_accounts("7", index), plan_limits.draw_accounts("7", index))

    def test_every_purchase_has_a_buyer_and_every_number_an_account(self):
        for index in range(1000):
            trial = draw(index)
            self.assertEqual(len(trial.accounts), plan.NUMBERS)
            self.assertLessEqual(set(trial.accounts), set(plan_limits.ACCOUNTS))
            for intent in intents(trial):
                self.assertIn(intent.buyer, range(len(trial.buyers)))

    def test_callers_are_a_trials_own(self):
        names = [buyer.name for index in range(1000) for buyer in draw(index).buyers]
        self.assertEqual(len(names), len(set(names)))

    def test_who_shares_a_request_id_is_one_caller_on_one_account(self):
        for index in range(2000):
            trial = draw(index)
            of = collections.defaultdict(set)
            for intent in intents(trial):
                if intent.request_id:
                    of[intent.request_id].add((intent.buyer, trial.accounts[intent.number or 0]))
            self.assertTrue(all(len(each) == 1 for each in of.values()), index)

    def test_any_number_is_asked_for_on_one_account_alone(self):
        for index in range(2000):
            trial = draw(index)
            if len(set(trial.accounts)) > 1:
                self.assertNotIn("LeaseAnyNumber", [intent.method for intent in intents(trial)])

    def test_some_callers_race_on_two_accounts_and_some_trials_have_two_callers(self):
        trials = [draw(index) for index in range(1000)]
        races = [trial for trial in trials if trial.scenario == "race"]
        self.assertGreater(len(races), 200)
        self.assertGreater(sum(len(set(trial.accounts)) > 1 for trial in races), 50)
        self.assertGreater(sum(len(trial.buyers) > 1 for trial in races), 50)
        methods = {intent.method for trial in races for intent in intents(trial)}
        self.assertEqual(methods, {"CreateLease", "LeaseAnyNumber", "TerminateLease"})
        self.assertTrue(any(intent.validate_only for trial in races for intent in intents(trial)))

    def test_each_kind_is_drawn_for_each_scope(self):
        kinds = collections.defaultdict(set)

        def note(scope, spending):
            kinds[scope] |= {kind for kind in plan_limits.COUNTS
                             if spending.get(kind, plan_limits.PLENTY) < plan_limits.PLENTY}
            for limits in spending.get("currencies", {}).values():
                kinds[scope] |= {kind for kind, value in limits.items() if value < plan_limits.PLENTY}

        for index in range(1000):
            for buyer in draw(index).buyers:
                note("caller", buyer.spending)
                for spending in buyer.spending_on.values():
                    note("caller_on_account", spending)
        for first in range(0, 10_000, plan.BATCH):
            for spending in plan_limits.draw_accounts("7", first).values():
                note("account", spending)
        self.assertEqual(kinds, {scope: set(plan_limits.KINDS)
                                 for scope in ("caller", "caller_on_account", "account")})

    def test_one_account_is_not_short_of_anything(self):
        for first in range(0, 10_000, plan.BATCH):
            self.assertLess(len(plan_limits.tight_accounts("7", first)), 2)
        self.assertEqual({len(plan_limits.tight_accounts("7", first)) for first in range(0, 10_000, 100)},
                         {0, 1})

    def test_kills_and_sleeps_stay_as_they_are(self):
        for index in range(2000):
            spread = plan_replicas.spread(plan.draw_trial("7", index), "7", 3)
            trial = draw(index)
            if not spread.kill:
                continue
            self.assertEqual((trial.kill, trial.freeze, trial.replica, trial.start, trial.scenario),
                             (spread.kill, spread.freeze, spread.replica, spread.start, spread.scenario))
            self.assertEqual(trial.callers[:len(spread.callers)], spread.callers)
            if trial.scenario == "sleep":
                tight = plan_limits.tight_accounts("7", index - index % plan.BATCH)
                self.assertFalse(set(trial.accounts) & set(tight))
                self.assertEqual(len(trial.callers), len(spread.callers))
            else:
                self.assertGreater(len(trial.callers), len(spread.callers))

    def test_without_replicas_nobody_asks_another(self):
        for index in range(300):
            for steps in draw(index, replicas=1).callers:
                self.assertEqual({(step.replica, step.habit) for step in steps}, {(0, "stay")})


if __name__ == "__main__":
    unittest.main()
