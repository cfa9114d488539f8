"""What replicas and their database suffer in a batch, and which of them callers ask."""

import dataclasses
import random
import uuid

import plan

QUIET_START = 6.0  # seconds without a blow, in which gateways fall asleep, and others take over
SPREAD = 3  # by how much the starts of a batch's trials are drawn apart, so that more meets them
FREEZES_PERCENT = 45  # of the trials that kill, those that freeze the gateway instead
# Longer than an ownership (world.OWNERSHIP_TIME), so that another takes over; the longest also than
# the time in which a request may go out that the ownership has granted.
FREEZES = ((2.5, 5.0), (5.0, 9.0), (9.0, 14.0))
# The replica that falls asleep. It makes a connection to the provider for each request, so that it can
# be frozen before its first byte.
SLEEPER = 0
SLEEPS_PERCENT = 7  # of the trials that only buy, those in which the gateway falls asleep over it
# The look before the purchase takes so long that the database's next answers can be held up, and then
# the gateway is granted what it does not hear of.
SLOW_LOOK = {"route": plan.LOOK, "kind": "delay", "delay_ms": 400, "when": "before", "count": 1,
             "number": 0}

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
        habit = rng.choices(("turn", "stay", "all"), (50, 20, 30))[0]
        for step in steps:
            step.replica, step.habit = home, habit
    if trial.kill:
        _spread_kill(trial, rng)
    elif trial.scenario == "buy" and rng.random() * 100 < SLEEPS_PERCENT:
        _put_to_sleep(trial, rng)
    return trial


def _spread_kill(trial, rng):
    """The first try is at the one that is struck; who goes on asks the others."""
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
    """A gateway sleeps between the grant to send and the first byte; others finish and give back meanwhile.

    Whoever then sends what it was granted long ago buys anew; and so does an adopter that has not
    waited for what the sleeper may still send.
    """
    trial.scenario, trial.kill, trial.kill_route = "sleep", "journal-send", plan.LEASE
    trial.start = rng.uniform(0.2, 1.5)
    trial.replica = SLEEPER
    trial.faults = [dict(SLOW_LOOK)]
    buy = plan.Intent("CreateLease", str(uuid.UUID(int=rng.getrandbits(128), version=4)), 0)
    end = plan.Intent("TerminateLease", str(uuid.UUID(int=rng.getrandbits(128), version=4)), 0,
                      bind="latest")

    def step(intent, pause, deadline, habit, attempts, away):
        return plan.Step(pause, round(deadline, 3), "client", intent, attempts=attempts, retry_pause=0.1,
                         replica=trial.replica + away, habit=habit)

    if rng.random() < 0.5:
        # It wakes up when its right to send has run out, but one who came later still waits for it.
        trial.freeze = rng.uniform(9.0, 14.0)
        granted = rng.uniform(0.8, 1.6)
        first = step(buy, 0.0, granted, "stay", 1, 0)
        stays = step(buy, 0.1, 25.0, "stay", 1, 0)
    else:
        # It wakes up when another one owns the purchase, and would send it anew after settle_time; but it
        # may still send.
        trial.freeze = rng.uniform(9.0, 12.0)
        first = step(buy, 0.0, trial.freeze + rng.uniform(2.0, 4.0), "stay", 1, 0)
        stays = step(buy, 0.1, trial.freeze + 4.0, "stay", 1, 0)
    others = [step(buy, 1.5, 3.0, "turn", 20, 1), step(end, 0.05, 3.0, "turn", 20, 1)]
    trial.callers = [[first], [stays], others]


def targets(step, attempt, replicas):
    """The replicas that one attempt asks at once."""
    if step.habit == "all":
        return list(range(replicas))
    if step.habit == "turn":
        return [(step.replica + attempt) % replicas]
    return [step.replica % replicas]
