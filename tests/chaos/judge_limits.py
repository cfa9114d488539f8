"""Of a batch with limits: that gateways go by them, what callers are shown, whether they have held."""

import asyncio
import time

from leasegateway.v1 import lease_service_pb2 as service

import checker
import limits
import messages
import world

LOADED_WITHIN = 20.0  # seconds


class LimitsJudge:
    """`prices`: number → limits.Price."""

    def __init__(self, gateways, client, tally, access, prices):
        self.gateways, self.client, self.tally = gateways, client, tally
        self.access, self.prices = access, prices

    async def begin(self, seed, first, trials):
        """The limits of a batch, once every gateway goes by them."""
        canary = await world.off_loop(self.access.begin, seed, first, trials, time.time())
        end = time.monotonic() + LOADED_WITHIN
        for replica, gateway in enumerate(self.gateways):
            while True:
                done = await self.client.call(-1, "WhoAmI", service.WhoAmIRequest(), 5, replica=replica,
                                              account=None, caller=canary)
                if done.code == "OK" and done.reply.caller == canary:  # anybody may ask
                    break
                if time.monotonic() > end:
                    raise RuntimeError(f"{gateway.name} does not read the callers file: {done.code} "
                                       f"{done.reason}")
                await asyncio.sleep(0.05)

    def books(self, batch, operations, ledger):
        return limits.Books(ledger, limits.owners_of(batch.calls, operations), self.prices,
                            self.access.before)

    async def check_quiet(self, batch, operations, ledger):
        """Invariant 17: nothing is under way, and each caller's limits are used as the ledger has it."""
        books = self.books(batch, operations, ledger)

        async def ask(name, replica):
            now = time.time()
            done = await self.client.call(-1, "WhoAmI", service.WhoAmIRequest(), 10, replica=replica,
                                          account=None, caller=name)
            who = f"{name} at {self.gateways[replica].name}"
            if done.code != "OK":
                self.tally.violate([checker.Violation(17, -1, f"{who} can't see its limits: {done.code} "
                                                      f"{done.reason}")])
                return
            states = messages.to_states(done.reply)
            shown = {scope for account in self.access.accounts for scope in limits.scopes(name, account)}
            self.tally.violate(limits.check_used(states, books, self.access.rules, shown, now, who))
            self.tally.limits["used up"] += sum(state.left == 0 for state in states
                                                if state.scope[0] != "account")

        asked = [(buyer.name, at % len(self.gateways)) for at, buyer in enumerate(self.access.buyers)]
        asked += [(self.access.DRIVER, replica) for replica in range(len(self.gateways))]
        for at in range(0, len(asked), 20):
            await asyncio.gather(*[ask(*each) for each in asked[at:at + 20]])

    async def judge(self, batch):
        """Of all that the batch has recorded."""
        operations, ledger = batch.operations, batch.ledger
        books = self.books(batch, operations, ledger)
        self.tally.violate(limits.check_limits(books, self.access.rules, batch.trial_of_number))
        refusals = limits.Refusals(books, self.access.rules, operations,
                                   limits.owners_of(batch.calls, operations),
                                   {index: batch.numbers_of(index) for index in batch.trials},
                                   time.time() - time.monotonic())
        self.tally.violate(refusals.check(batch.calls))
        self.tally.violate(limits.check_attribution(batch.calls, operations, ledger, self.prices,
                                                    self.access.names()))
        for call in batch.calls:
            if call.reason == limits.REFUSED and call.code != "OK":
                told = call.refusal or {}
                self.tally.limits[f"{told.get('scope')} {told.get('limit')}"] += 1
        await self.check_quiet(batch, operations, ledger)
        self.access.end(ledger, self.prices)
