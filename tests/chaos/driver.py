"""Runs batches of trials at once on a gateway, or several, and one sandbox, and judges them."""

import asyncio
import os
import random

from leasegateway.v1 import lease_service_pb2 as service

import checker
import names
import plan
import plan_limits
import plan_names
import plan_replicas
import provider
import world
from access import Access, prices_of
from batch import Batch
from callers import Callers
from client import Client
from database import Database
from judge import Judge
from judge_limits import LimitsJudge
from killer import Killer
from storm import Storm
from tally import Tally

BATCH = plan.BATCH
WARM = 12  # numbers that are only read


class Driver:
    """One worker: its processes, and who acts on them."""

    def __init__(self, binaries, folder, seed, replicas=1, limited=False):
        """With several `replicas` there is a database, and what strikes it. `limited`: buyers have limits."""
        self.folder, self.seed, self.replicas = folder, seed, replicas
        self.access = Access(folder) if limited else None
        self.sandbox = world.Sandbox(os.path.join(binaries, "lease-sandbox"), folder, 1,
                                     BATCH * plan.NUMBERS + WARM, replicas, self.access)
        self.database = Database(folder, replicas, self.sandbox.ports[plan_replicas.SLEEPER]) if (
            replicas > 1) else None
        self.names = names.Names(replicas, open(os.path.join(folder, "name-server.log"), "wb"))
        self.gateways = [world.Gateway(os.path.join(binaries, "lease-gateway"), folder, self.sandbox,
                                       self.names.address, index, self.database, self.access)
                         for index in range(replicas)]
        self.tally = Tally()
        self.client = Client(self.gateways, self.tally, self.access)

    async def set_up(self):
        if self.database:
            await world.off_loop(self.database.start)
        self.names.hang([gateway.provider_port() for gateway in self.gateways])
        numbers = sorted({entry for entry in await self.inventory()})
        if self.database:
            await world.off_loop(self.database.history.start)
        warm = numbers[:WARM]
        self.slots = [numbers[WARM + i * plan.NUMBERS:WARM + (i + 1) * plan.NUMBERS]
                      for i in range(BATCH)]
        # A word of its own for each slot, so that a filter finds these numbers and no others; and
        # prices that differ, so that the order is known.
        for i, slot in enumerate(self.slots):
            for j, number in enumerate(slot):
                currency, fee, rate = plan_limits.price(i, j)
                await world.off_loop(self.sandbox.ask, "POST", f"numbers/{number}", {
                    "carrier": f"slot-{i}", "pricing": {
                        "currency": currency if self.access else plan.CURRENCY, "monthly_rate": rate,
                        "upfront_fee": fee}})
        self.faults = provider.Faults(self.sandbox, self.tally, warm)
        self.callers = Callers(self.gateways, self.client, self.tally, warm)
        self.killer = Killer(self.gateways, self.sandbox, self.client, self.tally, self.database)
        self.judge = Judge(self.gateways, self.sandbox, self.callers, self.tally, warm, self.database)
        self.limits = LimitsJudge(self.gateways, self.client, self.tally, self.access,
                                  prices_of(self.slots)) if self.access else None
        self.storm = Storm(self.gateways, self.database, self.killer, self.tally)
        await self.start()

    async def start(self):
        await asyncio.gather(*[world.off_loop(gateway.start) for gateway in self.gateways])
        self.client.open()

    async def inventory(self):
        """By way of a gateway that is started for that: the driver needs no TLS of its own."""
        await self.start()
        call = await self.client.call(-1, "ListAvailableNumbers",
                                      service.ListAvailableNumbersRequest(), 10)
        if call.code != "OK":
            raise RuntimeError(f"the numbers can't be listed: {call.code} {call.reason}")
        await self.client.close()
        for gateway in self.gateways:
            if await world.off_loop(gateway.stop) != 0:
                self.tally.violate(
                    [checker.Violation(5, -1, f"{gateway.name} did not end with 0 at SIGTERM")])
        return [number.phone_number for number in call.reply.numbers]

    async def run_batch(self, first, indexes):
        """`first` names the batch; of its trials only `indexes` run."""
        self.tally.first = first
        rng = random.Random(f"{self.seed}:batch:{first}")
        batch = Batch(self.slots, (await world.off_loop(self.sandbox.ledger))[-1:],
                      (await world.off_loop(self.sandbox.writes))[-1:],
                      await world.off_loop(self.database.history.last) if self.database else 0)
        trials = [self.draw_trial(index) for index in indexes]
        for trial in trials:
            batch.add(trial)
        if self.limits:
            await self.limits.begin(self.seed, first, trials)
        violations_before = len(self.tally.violations)
        if plan.is_poisoned(first):
            await self.killer.restart_all()  # or a circuit could still be open from before
            weather = self.faults.draw_poison(rng)
        else:
            weather = self.faults.draw_weather(rng, first)
        await self.faults.post(weather)
        batch.weather = weather
        readers = [asyncio.create_task(self.callers.read_warm(batch, random.Random(rng.random())))
                   for _ in range(3)]
        readers += [asyncio.create_task(self.callers.read_uncached(batch, random.Random(rng.random())))]
        if plan.is_poisoned(first):
            readers += [asyncio.create_task(self.callers.read_poison(random.Random(rng.random())))
                        for _ in range(2)]
        try:
            storm = asyncio.create_task(self.storm.strike(
                batch, plan_replicas.draw_blows(self.seed, first, self.replicas)
                if self.database else []))
            names_go = self.strike_names(first)
            try:
                await asyncio.gather(*[self.run_trial(batch, trial) for trial in trials])
                await storm
            finally:
                await self.end([storm, names_go])
            await self.names.heal()
            await self.faults.end()
            if self.database:
                await self.storm.end()
            await self.judge.settle()
        finally:
            await self.end(readers)
        if plan.is_limited(first):
            await self.killer.restart_all()  # or what follows would have no more than is left of the rate
        names_go = self.strike_names(first, afterwards=True)
        try:
            await self.see_it_through(batch, rng)
        finally:
            await self.end([names_go])
        await self.names.heal()
        await self.judge.judge(batch)
        if self.limits:
            await self.limits.judge(batch)
        for gateway in self.gateways:
            self.tally.violate(checker.check_resources(gateway.max_rss, gateway.max_files,
                                                       world.RSS_LIMIT, world.FILES_LIMIT))
        if len(self.tally.violations) > violations_before:
            batch.keep(os.path.join(self.folder, f"batch-{first}.json"))

    async def see_it_through(self, batch, rng):
        """Callers come back and all is given back, with nothing wrong but names that can't be looked up."""
        await self.client.ready()  # a busy machine may still be connecting anew to who was frozen
        await self.callers.reach_the_provider()
        operations = await self.judge.operations(batch.wall_start)
        if self.limits:
            await self.limits.check_quiet(batch, operations, await self.judge.ledger(batch))
        await self.judge.come_back(
            batch, {operation.request_id: operation for operation in operations}, rng)
        if self.database:
            await self.judge.agree()
        await self.judge.give_all_back(batch)
        if self.database:
            await self.judge.agree()

    def strike_names(self, first, afterwards=False):
        """A task."""
        return asyncio.create_task(self.names.strike(
            plan_names.draw_spans(self.seed, first, self.replicas, afterwards),
            lambda replica: self.gateways[replica].knows_the_provider()))

    def draw_trial(self, index):
        trial = plan.draw_trial(self.seed, index)
        if self.database:
            plan_replicas.spread(trial, self.seed, self.replicas)
        return plan_limits.limit(trial, self.seed, self.replicas) if self.access else trial

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
                 asyncio.create_task(self.killer.watch_gateways())]
        if self.database:
            tasks.append(asyncio.create_task(self.storm.watch_orphans()))
        if self.database and self.access:
            tasks.append(asyncio.create_task(self.storm.watch_reservations()))
        try:
            for first, indexes in batches:
                await self.run_batch(first, indexes)
                yield self.report()
        finally:
            await self.end(tasks)
        await self.judge.finish()
        yield self.report()

    def report(self):
        if self.database:
            self.tally.network = self.database.proxy.counts
        self.tally.names = self.names.server.count()
        self.tally.spans = self.names.spans
        return self.tally.report(self.gateways)

    @staticmethod
    async def end(tasks):
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    def tear_down(self):
        for gateway in self.gateways:
            if gateway.process and gateway.process.poll() is None:
                gateway.kill()
                gateway.buried()
        self.sandbox.stop()
        self.names.stop()
        if self.database:
            self.database.stop()
