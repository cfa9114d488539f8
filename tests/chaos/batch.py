"""The record of trials that run at once: what callers were told, and which number is whose."""

import dataclasses
import json
import time

import plan


class Batch:
    """What is recorded of trials that run at once."""

    def __init__(self, slots, last_entries, last_writes=(), last_written=0):
        self.slots = slots  # the numbers of each trial that can run at once
        self.ledger_start = last_entries[0]["seq"] if last_entries else 0
        self.writes_start = last_writes[0]["seq"] if last_writes else 0
        self.written_start = last_written
        self.weather = []  # the faults that belong to no trial
        self.sent = self.written = ()  # to the provider, and to the journal, by several replicas
        self.wall_start = time.time_ns()
        self.calls = []
        self.intents = []  # (trial, intent)
        self.seen = {}  # number → the lease_ids that callers were told
        self.anonymous = []
        self.trial_of_number = {}
        self.account_of_number = {}  # empty: no callers file
        self.trials = {}
        self.warm_since = set()
        self.operations = self.ledger = ()

    def add(self, trial):
        self.trials[trial.index] = trial
        for at, number in enumerate(self.numbers_of(trial.index)):
            self.trial_of_number[number] = trial.index
            self.account_of_number[number] = trial.accounts[at] if trial.accounts else ""
        known = set()
        for steps in trial.callers:
            for step in steps:
                if step.intent and id(step.intent) not in known:
                    known.add(id(step.intent))
                    self.intents.append((trial.index, step.intent))
        self._ids = {intent.request_id: trial for trial, intent in self.intents}

    def numbers_of(self, trial):
        return self.slots[trial % plan.BATCH]

    def account_of(self, trial, intent):
        """For which it asks; empty: no callers file."""
        accounts = self.trials[trial].accounts
        return accounts[intent.number or 0] if accounts else ""

    def buyer_of(self, trial, intent):
        """The name of who asks; empty: the driver."""
        buyers = self.trials[trial].buyers
        return buyers[intent.buyer].name if buyers and intent.buyer != plan.GIVER else ""

    def word_of(self, trial):
        return f"slot-{trial % plan.BATCH}"

    def ids(self):
        return self._ids

    def trial_of_id(self, request_id):
        return self._ids[request_id]

    def forget_warm(self, replica):
        """It has been started anew."""
        self.warm_since = {need for need in self.warm_since if need[0] != replica}

    def keep(self, path):
        """The three records, for whoever looks into a violation."""
        with open(path, "w", encoding="utf-8") as file:
            json.dump({
                "calls": [dataclasses.asdict(call) for call in self.calls],
                "operations": [dataclasses.asdict(each) for each in self.operations],
                "ledger": [dataclasses.asdict(each) for each in self.ledger],
                "sent": [dataclasses.asdict(each) for each in self.sent],
                "written": [dataclasses.asdict(each) for each in self.written],
                "trials": [dataclasses.asdict(each) for each in self.trials.values()],
            }, file, indent=1)
