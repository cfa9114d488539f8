"""Runs batches of trials at once on one gateway and one sandbox, and judges them."""

import asyncio
import os
import random

from leasegateway.v1 import lease_service_pb2 as service

import checker
import plan
import provider
import world
from batch import Batch
from callers import Callers
from client import Client
from judge import Judge
from killer import Killer
from tally import Tally

BATCH = plan.BATCH
WARM = 12  # numbers that are only read


class Driver:
    """One worker: its processes, and who acts on them."""

    def __init__(self, binaries, folder, seed):
        self.folder, self.seed = folder, seed
        self.sandbox = world.Sandbox(os.path.join(binaries, "lease-sandbox"), folder, 1,
                                     BATCH * plan.NUMBERS + WARM)
        self.gateway = world.Gateway(os.path.join(binaries, "lease-gateway"), folder, self.sandbox)
        self.tally = Tally()
        self.client = Client(self.gateway, self.tally)

    async def set_up(self):
        numbers = sorted({entry for entry in await self.inventory()})
        warm = numbers[:WARM]
        self.slots = [numbers[WARM + i * plan.NUMBERS:WARM + (i + 1) * plan.NUMBERS]
                      for i in range(BATCH)]
        # A word of its own for each slot, so that a filter finds these numbers and no others; and
        # prices that differ, so that the order is known.
        for i, slot in enumerate(self.slots):
            for j, number in enumerate(slot):
                await world.off_loop(self.sandbox.ask, "POST", f"numbers/{number}", {
                    "carrier": f"slot-{i}", "pricing": {
                        "currency": "USD", "monthly_rate": 2 + j + i % 7, "upfront_fee": j}})
        self.faults = provider.Faults(self.sandbox, self.tally, warm)
        self.callers = Callers(self.gateway, self.client, self.tally, warm)
        self.killer = Killer(self.gateway, self.sandbox, self.client, self.tally)
        self.judge = Judge(self.gateway, self.sandbox, self.callers, self.tally, warm)
        await world.off_loop(self.gateway.start)
        self.client.open()

    async def inventory(self):
        """By way of a gateway that is started for that: the driver needs no TLS of its own."""
        await world.off_loop(self.gateway.start)
        self.client.open()
        call = await self.client.call(-1, "ListAvailableNumbers",
                                      service.ListAvailableNumbersRequest(), 10)
        if call.code != "OK":
            raise RuntimeError(f"the numbers can't be listed: {call.code} {call.reason}")
        await self.client.close()
        if await world.off_loop(self.gateway.stop) != 0:
            self.tally.violate(
                [checker.Violation(5, -1, "the gateway did not end with 0 at SIGTERM")])
        return [number.phone_number for number in call.reply.numbers]

    async def run_batch(self, first, indexes):
        """`first` names the batch; of its trials only `indexes` run."""
        self.tally.first = first
        rng = random.Random(f"{self.seed}:batch:{first}")
        batch = Batch(self.slots, (await world.off_loop(self.sandbox.ledger))[-1:])
        trials = [plan.draw_trial(self.seed, index) for index in indexes]
        for trial in trials:
            batch.add(trial)
        violations_before = len(self.tally.violations)
        if plan.is_poisoned(first):
            await self.killer.restart()  # or a circuit could still be open from before
            weather = self.faults.draw_poison(rng)
        else:
            weather = self.faults.draw_weather(rng)
        await self.faults.post(weather)
        readers = [asyncio.create_task(self.callers.read_warm(batch, random.Random(rng.random())))
                   for _ in range(3)]
        readers += [asyncio.create_task(self.callers.read_uncached(random.Random(rng.random())))]
        if plan.is_poisoned(first):
            readers += [asyncio.create_task(self.callers.read_poison(random.Random(rng.random())))
                        for _ in range(2)]
        try:
            await asyncio.gather(*[self.run_trial(batch, trial) for trial in trials])
            await self.faults.end()
            await self.judge.settle()
        finally:
            await self.end(readers)
        if plan.is_limited(first):
            await self.killer.restart()  # or what follows would have no more than is left of the rate
        operations = await self.judge.operations(batch.wall_start)
        await self.judge.come_back(
            batch, {operation.request_id: operation for operation in operations}, rng)
        await self.judge.give_all_back(batch)
        await self.judge.judge(batch)
        self.tally.violate(checker.check_resources(self.gateway.max_rss, self.gateway.max_files,
                                                   world.RSS_LIMIT, world.FILES_LIMIT))
        if len(self.tally.violations) > violations_before:
            batch.keep(os.path.join(self.folder, f"batch-{first}.json"))

    async def run_trial(self, batch, trial):
        await asyncio.sleep(trial.start)
        numbers = batch.numbers_of(trial.index)
        if trial.faults:
            await self.faults.post([{**fault, "number": numbers[fault["number"]]}
                                    for fault in trial.faults])
        actors = [asyncio.create_task(self.callers.act(batch, trial.index, steps))
                  for steps in trial.callers]
        if trial.kill:
            await self.killer.kill_at(batch, trial, numbers[0])
        await asyncio.gather(*actors)
        self.tally.trials += 1

    async def work(self, batches):
        await self.set_up()
        tasks = [asyncio.create_task(self.client.measure_lag()),
                 asyncio.create_task(self.killer.watch_gateway())]
        try:
            for first, indexes in batches:
                await self.run_batch(first, indexes)
                yield self.tally.report(self.gateway)
        finally:
            await self.end(tasks)
        await self.judge.finish()
        yield self.tally.report(self.gateway)

    @staticmethod
    async def end(tasks):
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    def tear_down(self):
        if self.gateway.process and self.gateway.process.poll() is None:
            self.gateway.kill()
            self.gateway.buried()
        self.sandbox.stop()
