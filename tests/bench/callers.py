"""What callers cost: a callers file of 10,000, read anew and looked up."""

import programs
from guard import GuardBench


class CallersBench(GuardBench):
    """The workloads of GuardBench, and those of callers."""

    CALLERS = ("callers_file",)
    WORKLOADS = (*GuardBench.WORKLOADS, *CALLERS)
    GROUPS = {**GuardBench.GROUPS, "callers": CALLERS}

    def callers_file(self):
        self.say("A callers file of 10,000 is read anew, and calls find their caller in it")
        reload, look = self.run([programs.BENCH / "callers_bench", str(3 * self.rounds)])
        self.add("Callers file of 10,000: until a new one is in force", reload["reload_ms"], "ms", "200 ms",
                 reload["reload_ms"] / 200, most=1)
        self.add("Who calls, of 10,000", look["many_ns"], "ns", "of one", look["ratio"], least=0.97)
        self.add("of 10,000, each in turn", look["all_ns"], "ns")
