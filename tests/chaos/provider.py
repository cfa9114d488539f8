"""The provider's side: the faults that strike, and how often they did."""

import plan
import world

POISONED = 2  # of the warm ones, in some batches: fewer than what makes it the provider's failure
LIST_KINDS = ("status", "close", "reset", "truncate", "garbage", "hang")
POISONS = ("status", "close", "reset", "truncate", "garbage", "html")


class Faults:
    """`warm`: the numbers that are only read, which faults of its own strike."""

    def __init__(self, sandbox, tally, warm):
        self.sandbox, self.tally, self.warm = sandbox, tally, warm

    async def post(self, faults):
        await world.off_loop(self.sandbox.ask, "POST", "faults", faults)
        for fault in faults:
            self.tally.posted[fault["kind"]] += fault.get("count", 0)

    async def end(self):
        """Counts what has struck; nothing more does."""
        for struck in (await world.off_loop(self.sandbox.ask, "GET", "faults"))["faults"]:
            self.tally.faults[struck["kind"]] += struck["hits"] if "fraction" in struck else 0
            self.tally.posted[struck["kind"]] -= struck.get("remaining", 0)
        await world.off_loop(self.sandbox.ask, "DELETE", "faults")

    def draw_poison(self, rng):
        """Numbers that can't be read."""
        return [{"route": plan.LOOK, "number": number, "kind": rng.choice(POISONS), "fraction": 1}
                for number in self.warm[-POISONED:]]

    def draw_weather(self, rng, first):
        """Faults that strike now and then what is in memory. `first`: the batch's first trial."""
        routes = [("GET /leases", ""), ("GET /leased", ""),
                  *[(plan.LOOK, number) for number in self.warm[:len(self.warm) // 2]]]
        return [{"route": route, **self.draw_kind(rng, kind, route, first),
                 "fraction": rng.choice((0.02, 0.1)),
                 "when": rng.choice(("before", "after")), **({"number": number} if number else {})}
                for route, number in routes for kind in ("html", rng.choice(LIST_KINDS))]

    @staticmethod
    def draw_kind(rng, kind, route, first):
        if kind == "html":
            return plan.draw_page(rng, first)
        if kind != "status":
            return {"kind": kind}
        # The provider itself also refuses the key, and lists, which have no argument.
        refusals = (401, 403) if route == plan.LOOK else (400, 401, 403, 410)
        return {"kind": kind, "status": rng.choice((500, 503) + refusals)}
