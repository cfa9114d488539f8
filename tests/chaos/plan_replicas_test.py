"""Shows that what is drawn for replicas depends on the seed alone, and leaves what is drawn for one as it is."""

import unittest

import plan
import plan_replicas


class PlanTest(unittest.TestCase):
    def draw(self, index):
        return plan_replicas.spread(plan.draw_trial("7", index), "7", 3)

    def test_the_same_seed_draws_the_same(self):
        for index in range(300):
            self.assertEqual(self.draw(index), self.draw(index))
            self.assertEqual(plan_replicas.draw_blows("7", index, 3),
                             plan_replicas.draw_blows("7", index, 3))

    def test_a_trial_asks_for_what_it_asks_one_gateway_for(self):
        for index in range(300):
            one = plan.draw_trial("7", index)
            several = self.draw(index)
            if several.scenario == "sleep":
                continue
            for steps, spread_steps in zip(one.callers, several.callers, strict=True):
                self.assertEqual([step.intent for step in steps],
                                 [step.intent for step in spread_steps])

    def test_some_gateways_fall_asleep_over_a_purchase(self):
        trials = [self.draw(index) for index in range(2000)]
        asleep = [trial for trial in trials if trial.scenario == "sleep"]
        self.assertEqual(len(asleep), sum(not plan.is_poisoned(first) for first in range(0, 2000, 100)))
        for trial in asleep:
            first = [steps[0] for steps in trial.callers if steps[0].replica == trial.replica]
            others = [steps[0] for steps in trial.callers if steps[0].replica != trial.replica]
            self.assertEqual([step.intent.number for step in first], list(range(plan.NUMBERS)))
            for step in others:
                self.assertIn(step.intent, [each.intent for each in first])
                self.assertNotEqual(plan_replicas.targets(step, 0, 3), [trial.replica])

    def test_nothing_else_strikes_meanwhile(self):
        for index in range(1000):
            trial = self.draw(index)
            if trial.kill and trial.scenario != "sleep":
                self.assertGreaterEqual(trial.start, plan_replicas.QUIET_START)
            elif trial.scenario == "sleep":
                self.assertLess(trial.start, 1.5)
                self.assertLess(trial.start + 0.5 + trial.freeze, plan_replicas.QUIET_START + 2)
        for first in range(0, 3200, plan.BATCH):
            for blow in plan_replicas.draw_blows("7", first, 3):
                self.assertGreaterEqual(blow.at, plan_replicas.QUIET_START)

    def test_calm_batches_have_no_blows_and_others_have(self):
        for first in range(0, 3200, plan.BATCH):
            blows = plan_replicas.draw_blows("7", first, 3)
            self.assertEqual(bool(blows), not plan_replicas.is_calm(first))
            self.assertEqual(blows, sorted(blows, key=lambda blow: blow.at))

    def test_all_kinds_of_blows_are_drawn(self):
        kinds = {blow.kind for first in range(0, 20_000, plan.BATCH)
                 for blow in plan_replicas.draw_blows("7", first, 3)}
        self.assertEqual(kinds, {*plan_replicas.GATEWAY_BLOWS, *plan_replicas.NETWORK_BLOWS,
                                 *plan_replicas.DATABASE_BLOWS})

    def test_a_caller_asks_by_turn_or_one_or_all(self):
        step = plan.Step(0, 1, "header", replica=1)
        for habit, asked in (("turn", [[1], [2], [0]]), ("stay", [[1]] * 3), ("all", [[0, 1, 2]] * 3)):
            step.habit = habit
            self.assertEqual([plan_replicas.targets(step, attempt, 3) for attempt in range(3)], asked)


if __name__ == "__main__":
    unittest.main()
