"""What replicas and their database suffer in a batch, and which of them callers ask."""

import dataclasses
import random
import uuid

import plan

QUIET_START = 6.0  # seconds in which one gateway sleeps, and nothing else strikes
SPREAD = 3  # by how much the starts of a batch's trials are drawn apart, so that more meets them
FREEZES_PERCENT = 45  # of the trials that kill, those that freeze the gateway instead
# Longer than an ownership (world.OWNERSHIP_TIME), so that another takes over; the longest also than
# the time in which a request may go out that the ownership has granted.
FREEZES = ((2.5, 5.0), (5.0, 9.0), (9.0, 14.0))
# The replica that falls asleep. It makes a connection to the provider for each request, so that it can
# be frozen before its first byte.
SLEEPER = 0
SLEEPS = 7  # the trial of a batch in which it falls asleep over its purchases
# Longer than the right to send and a request's time together, which is all that a stop excuses; shorter
# than the sandbox waits for a handshake, 10 s.
SLEEPS_FOR = (4.0, 6.0)
# The look before the purchase takes so long that the database's next answers can be held up, and then
# the gateway is granted what it does not hear of.
SLOW_LOOK = {"route": plan.LOOK, "kind": "delay", "delay_ms": 400, "when": "before", "count": 1,
             "number": 0}

HABITS, HABITS_PERCENT = ("turn", "stay", "all"), (50, 20, 30)

# To a gateway, between it and the database, to the database.
GATEWAY_BLOWS = ("kill", "freeze")
NETWORK_BLOWS = ("cut", "away", "stall", "hang", "lost", "silence", "late")
DATABASE_BLOWS = ("restart", "hang-database", "fail-over", "fail-over-hung")


@dataclasses.dataclass
class Blow:
    at: float  # seconds after the batch's start
    kind: str
    replica: int = 0
    seconds: float = 0.0
    count: int = 1


def is_calm(index):
    """Whether the batch has no blows: there, all that goes wrong is the provider's doing."""
    return plan.is_poisoned(index) or index // plan.BATCH % 8 == 4


def draw_blows(seed, first, replicas):
    """Those of the batch, in order."""
    if is_calm(first):
        return []
    rng = random.Random(f"{seed}:{first}:blows")
    end = 3.0 * SPREAD
    blows = []

    def add(kind, times, low, high, count=1):
        for _ in range(times):
            blows.append(Blow(QUIET_START + rng.uniform(0.2, end), kind, rng.randrange(replicas),
                              rng.uniform(low, high), count))

    add("kill", rng.choice((1, 1, 2, 3)), 0.0, 4.0)
    add("freeze", rng.choice((0, 1, 1)), *rng.choice(FREEZES))
    add("cut", rng.choice((0, 1, 2, 3)), 0, 0)
    add("away", rng.choice((0, 0, 1)), 0.3, 5.0)
    add("stall", rng.choice((0, 1, 2)), 0.2, 5.0)
    add("hang", rng.choice((0, 0, 1)), 0.2, 5.0)
    add("lost", rng.choice((2, 3, 5)), 0, 0, rng.choice((1, 2)))
    add("silence", rng.choice((0, 1)), 0.5, 8.0)
    add("late", rng.choice((1, 3)), 0.1, 3.0)
    # The second fail-over of a batch finds no standby, and is left out.
    for _ in range(rng.choice((0, 1, 1, 2))):
        kind = rng.choices(DATABASE_BLOWS, (3, 2, 4, 2))[0]
        add(kind, 1, *((0.0, 1.5) if kind == "restart" else (0.5, 4.0)))
    return sorted(blows, key=lambda blow: blow.at)


def spread(trial, seed, replicas):
    """Makes a trial for one gateway one for several: whom its callers ask, and what is killed."""
    rng = random.Random(f"{seed}:{trial.index}:replicas")
    trial.start *= SPREAD
    trial.replica = rng.randrange(replicas)
    for steps in trial.callers:
        home = rng.randrange(replicas)
        # A caller balances, or has one connection, or sends the same to all at once.
        habit = rng.choices(HABITS, HABITS_PERCENT)[0]
        for step in steps:
            step.replica, step.habit = home, habit
    if trial.index % plan.BATCH == SLEEPS and not plan.is_poisoned(trial.index):
        _put_to_sleep(trial, rng)
    elif trial.kill:
        _spread_kill(trial, rng)
    return trial


def _spread_kill(trial, rng):
    """The first try is at the one that is struck; who goes on asks the others."""
    trial.start = QUIET_START + trial.start / SPREAD
    if rng.random() * 100 < FREEZES_PERCENT:
        trial.freeze = rng.uniform(*rng.choice(FREEZES))
    trial.restart_after = rng.choice((0.0, rng.uniform(0.0, 2.0), rng.uniform(2.0, 6.0)))
    for step in (step for steps in trial.callers for step in steps):
        step.habit, step.attempts, step.retry_pause = "turn", 20, max(step.retry_pause, 0.1)
    for step in trial.callers[0]:
        step.replica = trial.replica
    if trial.kill == "journal-send":
        trial.faults.append(dict(SLOW_LOOK))


def _put_to_sleep(trial, rng):
    """A gateway sleeps between the grant to send and the first byte; others go on with what it has begun.

    When it wakes up it must not send any more, and they must not before its time is over.
    """
    trial.scenario, trial.kill, trial.kill_route = "sleep", "journal-send", plan.LEASE
    trial.start = rng.uniform(0.2, 1.0)  # before the storm
    trial.replica = SLEEPER
    trial.freeze = rng.uniform(*SLEEPS_FOR)
    trial.faults, trial.callers = [], []
    for number in range(plan.NUMBERS):
        trial.faults.append({**SLOW_LOOK, "number": number})
        buy, end = (plan.Intent(method, str(uuid.UUID(int=rng.getrandbits(128), version=4)), number,
                                bind=bind)
                    for method, bind in (("CreateLease", ""), ("TerminateLease", "latest")))

        def step(intent, pause, deadline, attempts, away):
            return plan.Step(pause, round(deadline, 3), "client", intent, attempts=attempts,
                             retry_pause=0.1, replica=SLEEPER + away, habit="stay")

        trial.callers.append([step(buy, 0.0, rng.uniform(1.3, 2.0), 1, 0)])
        # Others wait at whichever takes it over.
        for away in (1, 2):
            trial.callers.append([step(buy, 0.6, trial.freeze + 2.0, 1, away),
                                  step(end, 0.05, 2.0, 2, away)])


def targets(step, attempt, replicas):
    """The replicas that one attempt asks at once."""
    if step.habit == "all":
        return list(range(replicas))
    if step.habit == "turn":
        return [(step.replica + attempt) % replicas]
    return [step.replica % replicas]
