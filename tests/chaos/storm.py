"""What strikes replicas, their database and the network between the two, in a batch."""

import asyncio
import time

import checker
import limits
import plan_replicas
import world

STEP = 0.25  # seconds between two looks for what nobody has adopted
GLANCE = 0.05  # and for reservations


class Storm:
    def __init__(self, gateways, database, killer, tally):
        self.gateways, self.database, self.killer, self.tally = gateways, database, killer, tally
        self.cut_off_until = [0.0] * len(gateways)  # when each reaches the database again
        self.orphans = checker.Orphans()

    async def strike(self, batch, blows):
        """All of them, each in its time, until the last is over."""
        start = time.monotonic()

        async def one(blow):
            await asyncio.sleep(max(0.0, start + blow.at - time.monotonic()))
            if blow.kind in plan_replicas.GATEWAY_BLOWS:
                await self.strike_gateway(batch, blow)
            elif blow.kind in plan_replicas.DATABASE_BLOWS:
                await self.strike_database(blow)
            else:
                await self.strike_network(blow)

        await asyncio.gather(*[one(blow) for blow in blows])

    async def strike_gateway(self, batch, blow):
        gateway = self.gateways[blow.replica]
        async with gateway.lock:
            if blow.kind == "freeze":
                await self.killer.freeze(gateway, blow.seconds, "random")
                return
            self.killer.kill_now(gateway)
            self.tally.kills["random"] += 1
            await self.killer.bury(batch, gateway)
            await asyncio.sleep(blow.seconds)
            await self.killer.start(batch, gateway)

    async def strike_database(self, blow):
        pair = self.database.pair
        if blow.kind == "restart":
            await world.off_loop(pair.restart, blow.seconds)
        elif blow.kind == "hang-database":
            await world.off_loop(pair.hang, blow.seconds)
        elif not await world.off_loop(pair.fail_over, blow.kind == "fail-over-hung"):
            return
        self.tally.blows[blow.kind] += 1

    async def strike_network(self, blow):
        command = {"gateway": blow.replica, "seconds": blow.seconds}
        if blow.kind in ("lost", "silence", "late"):
            command |= {"do": "swallow", "how": "cut" if blow.kind == "lost" else blow.kind,
                        "count": blow.count}
        else:
            command["do"] = blow.kind
            self.cut_off_until[blow.replica] = max(self.cut_off_until[blow.replica],
                                                   time.monotonic() + blow.seconds)
        await world.off_loop(lambda: self.database.proxy.do(**command))

    async def end(self):
        """All is well again, with a standby that can be promoted the next time."""
        await world.off_loop(lambda: self.database.proxy.do("heal"))
        self.cut_off_until = [0.0] * len(self.gateways)
        await world.off_loop(self.database.pair.build_standby)

    def can_adopt(self, since):
        """Whether some replica has reached the database since then, and before long enough to know it."""
        now = time.monotonic()
        pair = self.database.pair
        if not pair.is_up() or any(to > since - world.OWNERSHIP_TIME for _, to in pair.downs[-1:]):
            return False
        return any(gateway.up and not gateway.was_down(since - 1.0, now) and cut_off < since - 1.0
                   for gateway, cut_off in zip(self.gateways, self.cut_off_until))

    async def watch_reservations(self):
        """Invariant 17: of purchases that are under way."""
        known = set()
        while True:
            await asyncio.sleep(GLANCE)
            rows = set(await world.off_loop(self.database.unreserved)) - known
            known |= rows
            self.tally.violate(limits.check_reservations(rows))

    async def watch_orphans(self):
        """Invariant 11."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(STEP)
            orphans = await world.off_loop(self.database.orphans)
            now = time.monotonic()
            if orphans is None:
                self.orphans = checker.Orphans()  # nobody can read them
            else:
                self.tally.violate(self.orphans.see(now, orphans, self.can_adopt(last)))
                self.tally.longest_orphaned = max(self.tally.longest_orphaned, self.orphans.longest)
            last = now
