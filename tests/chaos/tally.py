"""What a worker has counted, and what it found broken."""

import collections


class Tally:
    def __init__(self):
        self.first = 0  # names the batch that runs
        self.trials = 0
        self.calls = collections.Counter()
        self.kills = collections.Counter()
        self.freezes = collections.Counter()
        self.blows = collections.Counter()  # to the database
        self.network = {}  # what became of connections between gateways and database
        self.rights = collections.Counter()  # to send
        self.names = {}  # questions for the provider's name, by the fault that they met
        self.spans = {}  # in which something befell them
        self.limits = collections.Counter()  # refusals by scope and limit
        self.excused = collections.Counter()  # what the machine was too busy for
        self.longest_orphaned = 0.0  # seconds
        self.caught = collections.Counter()
        self.faults = collections.Counter()
        self.posted = collections.Counter()
        self.late = collections.Counter()  # milliseconds → calls
        self.settled_after = 0.0
        self.gateway_calls = 0
        self.requests = 0  # to the provider
        self.violations = []

    def violate(self, violations):
        for violation in violations:
            trial = violation.trial if violation.trial >= 0 else self.first
            self.violations.append({"invariant": violation.invariant, "trial": trial,
                                    "batch": violation.trial < 0, "text": violation.text})

    def report(self, gateways):
        faults = collections.Counter(self.faults)
        for kind, count in self.posted.items():
            faults[kind] += count
        return {
            "trials": self.trials, "calls": self.calls, "kills": self.kills, "caught": self.caught,
            "freezes": self.freezes, "blows": self.blows, "network": self.network,
            "rights": self.rights, "names": self.names, "spans": self.spans, "excused": self.excused,
            "limits": self.limits,
            "longest_orphaned": self.longest_orphaned,
            "faults": faults, "late": self.late, "settled_after": self.settled_after,
            "violations": self.violations, "max_rss": max(each.max_rss for each in gateways),
            "max_files": max(each.max_files for each in gateways), "gateway_calls": self.gateway_calls,
            "requests": self.requests,
        }
