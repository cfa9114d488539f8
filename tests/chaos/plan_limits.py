"""Who buys in a trial, for which account and within which limits; what callers race for."""

import dataclasses
import random

import plan
import plan_replicas

ACCOUNTS = ("account-1", "account-2")  # as the sandbox calls them
COUNTS = ("purchases_per_day", "live_leases")
MONEY = ("money_per_day", "money_per_month", "monthly_rate", "upfront_fee")
KINDS = COUNTS + MONEY
BY_DAY = ("purchases_per_day", "money_per_day")
PLENTY = 1_000_000
# Scenarios of which many become races.
PLAIN = ("buy", "rivals", "return", "any", "mixed", "poison")
RACES_PERCENT = 70


@dataclasses.dataclass
class Buyer:
    """A caller of the file. Limits are as they stand there, money in units."""
    name: str
    spending: dict  # on all accounts together; empty: none
    spending_on: dict  # account → limits there


def price(slot, number):
    """Currency, upfront fee and monthly rate of a slot's number, in units."""
    return ("EUR" if number == 2 and slot % 4 == 3 else plan.CURRENCY), number, 2 + number + slot % 7


def any_of(slot):
    """The slot's numbers that LeaseAnyNumber asks for, by their place: its ceiling is of one currency."""
    return [at for at in range(plan.NUMBERS) if price(slot, at)[0] == plan.CURRENCY]


def draw_accounts(seed, first):
    """Account → the limits of all its callers together in this batch.

    Those of a day leave so much beside what was bought before.
    """
    rng = random.Random(f"{seed}:{first}:accounts")
    tight = rng.choice((None, *ACCOUNTS, *ACCOUNTS))
    return {account: _draw_account(rng, account == tight) for account in ACCOUNTS}


def _draw_account(rng, tight):
    limits = {kind: PLENTY for kind in COUNTS}
    limits["currencies"] = {"USD": {kind: PLENTY for kind in MONEY}, "EUR": {"money_per_day": PLENTY}}
    if tight:
        ranges = {"purchases_per_day": (15, 60), "live_leases": (8, 30), "money_per_day": (100, 500),
                  "money_per_month": (50, 200), "monthly_rate": (6, 9), "upfront_fee": (1, 1)}
        for kind in rng.sample(KINDS, rng.choice((1, 1, 2))):
            at = limits if kind in COUNTS else limits["currencies"]["USD"]
            at[kind] = rng.randint(*ranges[kind])
        if rng.random() < 0.2:
            del limits["currencies"]["EUR"]
    return limits


def tight_accounts(seed, first):
    return [account for account, limits in draw_accounts(seed, first).items()
            if limits != _draw_account(None, False)]


def limit(trial, seed, replicas):
    """Gives a trial's purchases buyers with limits, and makes many a trial a race for them."""
    rng = random.Random(f"{seed}:{trial.index}:limits")
    slot = trial.index % plan.BATCH
    home = rng.choice(ACCOUNTS)
    races = trial.scenario in PLAIN and rng.random() * 100 < RACES_PERCENT
    trial.accounts = (home,) * plan.NUMBERS
    if trial.scenario == "sleep":
        # It is about the sleep.
        tight = tight_accounts(seed, trial.index - slot)
        trial.accounts = (next(each for each in ACCOUNTS if each not in tight),) * plan.NUMBERS
    elif races and rng.random() < 0.3:
        # One caller, two accounts. What any number may be is not told beforehand, so nobody asks for one.
        trial.accounts = tuple(rng.sample(ACCOUNTS, 2)) + (rng.choice(ACCOUNTS),)
    count = rng.choice((1, 1, 2)) if races else 1
    trial.buyers = tuple(_draw_buyer(rng, f"t{trial.index}-{at}", slot, sorted(set(trial.accounts)),
                                     trial.scenario == "sleep") for at in range(count))
    if races:
        _race(trial, rng, seed, replicas)
    elif trial.kill and trial.scenario != "sleep":
        _rival(trial, rng, seed, replicas)
    return trial


def _draw_buyer(rng, name, slot, accounts, plenty):
    if plenty:
        return Buyer(name, _draw_account(None, False), {})
    where = rng.choices(("caller", "account", "both"), (45, 30, 25))[0]
    spending = _draw_limits(rng, slot) if where != "account" else {}
    return Buyer(name, spending, {account: _draw_limits(rng, slot) for account in accounts}
                 if where != "caller" else {})


def _draw_limits(rng, slot):
    """Of which one or two are soon reached; others are sometimes there, and are not."""
    least = 2 + slot % 7  # of a monthly rate in this slot
    drawn = {
        "purchases_per_day": rng.choice((0, 1, 1, 1, 2, 2, 2, 3)),
        "live_leases": rng.choice((1, 1, 2)),
        "money_per_day": rng.randrange(2 * least, 2 * (6 + 3 * least)) / 2,
        "money_per_month": rng.randrange(2 * least, 2 * (3 + 3 * least)) / 2,
        "monthly_rate": rng.choice((least, least + 0.5, least + 1)),
        "upfront_fee": rng.choice((0, 0.25, 1)),
    }
    limits, dollars = {}, {}
    kinds = rng.choices(KINDS, (24, 24, 20, 20, 6, 6), k=rng.choice((1, 1, 2)))
    for kind in kinds:
        (limits if kind in COUNTS else dollars)[kind] = drawn[kind]
    if rng.random() < 0.3:
        limits.setdefault("purchases_per_day", PLENTY)
        dollars.setdefault("money_per_month", PLENTY)
    if dollars:
        limits["currencies"] = {"USD": dollars}
        if rng.random() < 0.6:
            limits["currencies"]["EUR"] = {rng.choice(MONEY): rng.choice((3, PLENTY))}
    return limits


def _race(trial, rng, seed, replicas):
    """Several callers want more than there may be; some give back, and want again."""
    trial.scenario = "race" if trial.scenario != "poison" else trial.scenario
    drawing = plan.Drawing(f"{seed}:race", trial.index)
    mixed = len(set(trial.accounts)) > 1
    trial.callers = []
    for _ in range(rng.choice((3, 4, 4, 5, 6))):
        number = rng.randrange(plan.NUMBERS)
        intents = [drawing.lease_any() if not mixed and rng.random() < 0.25 else drawing.lease(number)]
        if rng.random() < 0.5:
            intents.append(drawing.terminate(number))
            if rng.random() < 0.7:
                intents.append(drawing.lease(rng.randrange(plan.NUMBERS)))
        elif rng.random() < 0.3:
            intents.append(intents[0])  # once more, when others may have given back
        if rng.random() < 0.15:
            intents.insert(0, dataclasses.replace(drawing.lease(number), validate_only=True, price=""))
        trial.callers.append(_steps(rng, drawing, intents, len(trial.buyers), replicas))
    if rng.random() < 0.3:
        read = drawing.read([intent for steps in trial.callers for intent in [steps[0].intent]])
        trial.callers[0].append(read)


def _rival(trial, rng, seed, replicas):
    """Beside the purchase that a gateway is killed over, its buyer wants others."""
    drawing = plan.Drawing(f"{seed}:rival", trial.index)
    for _ in range(rng.choice((1, 2, 2))):
        trial.callers.append(_steps(rng, drawing, [drawing.lease(rng.randrange(1, plan.NUMBERS))], 1,
                                    replicas))


def _steps(rng, drawing, intents, buyers, replicas):
    buyer = rng.randrange(buyers)
    steps = []
    for intent in intents:
        intent.buyer = buyer
        step = drawing.step(intent, pause=rng.choice((0.0, rng.uniform(0, 0.1), rng.uniform(0, 0.6))))
        steps.append(step)
    if replicas > 1:
        home = rng.randrange(replicas)
        habit = rng.choices(plan_replicas.HABITS, plan_replicas.HABITS_PERCENT)[0]
        for step in steps:
            step.replica, step.habit = home, habit
    return steps
