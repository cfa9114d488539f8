"""How long the threads of a process were ready to run and had no processor: the machine's doing, not theirs."""

import collections
import os
import time


class Waits:
    """Samples of a process. Linux counts it for each thread (/proc/PID/task/TID/schedstat)."""

    def __init__(self):
        self.samples = collections.deque(maxlen=3000)  # (when, thread → seconds that it has waited)

    def sample(self, pid):
        """Thread-safe. A process that is gone has none."""
        waited = {}
        folder = f"/proc/{pid}/task"
        try:
            for thread in os.listdir(folder):
                with open(f"{folder}/{thread}/schedstat", encoding="ascii") as file:
                    waited[thread] = int(file.read().split()[1]) / 1e9
        except (OSError, IndexError):
            return
        self.samples.append((time.monotonic(), waited))

    def waited(self, start, end):
        """Seconds for which its two most unlucky threads waited, between the samples around: one may
        have waited for the other."""
        samples = list(self.samples)
        before = [waited for when, waited in samples if when <= start][-1:] or [
            waited for _, waited in samples[:1]]
        after = [waited for when, waited in samples if when >= end][:1] or [
            waited for _, waited in samples[-1:]]
        return _longest(before[0], after[0]) if samples else 0.0

    def most(self, start, end, within=0.5):
        """The most that it waited in so short a time, of all that lie between the two."""
        samples = [each for each in list(self.samples) if start <= each[0] <= end]
        most = 0.0
        for at, (when, before) in enumerate(samples):
            for later, after in samples[at + 1:]:
                most = max(most, _longest(before, after))
                if later - when > within:
                    break
        return most


def _longest(before, after):
    """Of the two longest waits. A thread that is new since then counts from its start."""
    return sum(sorted(max(0.0, waited - before.get(thread, 0.0)) for thread, waited in after.items())[-2:])
