"""The gateways' ends and restarts: killed or frozen at the moment of a trial, stopped, or by themselves."""

import asyncio
import time

from leasegateway.v1 import lease_service_pb2 as service

import checker
import limits
import messages
import plan
import world

# The state in which the journal has to have an operation for a moment to have come.
ORDER = ("INTENDED", "SENT", "UNKNOWN", "SUCCEEDED", "FAILED")

CONNECTS_WITHIN = 0.1  # seconds, less than handshake_timeout
HEARS_WITHIN = 0.15  # seconds, less than plan_replicas.SLOW_LOOK takes


class Killer:
    """`database`: what several gateways share; None: there is one, with a file."""

    def __init__(self, gateways, sandbox, calls, tally, database=None):
        self.gateways, self.sandbox, self.client, self.tally = gateways, sandbox, calls, tally
        self.database = database

    async def kill_at(self, batch, trial, number):
        """kill -9, or SIGSTOP, at the moment that the trial is about, and a gateway that goes on."""
        gateway = self.gateways[trial.replica]
        if trial.scenario == "sleep" and gateway.lock.locked():
            return  # it sleeps already
        async with gateway.lock:
            await self.await_moment(batch, trial, number, gateway)
            if trial.freeze:
                why = "sleep" if trial.scenario == "sleep" else trial.kill
                await self.freeze(gateway, trial.freeze, why)
                return
            self.kill_now(gateway)
            self.tally.kills[trial.kill] += 1
            await self.bury(batch, gateway)
            await asyncio.sleep(trial.restart_after)
            await self.start(batch, gateway, "0ms" if trial.index % 3 == 0 else "30s")

    async def await_moment(self, batch, trial, number, gateway):
        booked = "terminate" if trial.kill_route == plan.TERMINATE else "charge"
        intent = trial.callers[0][1 if trial.kill_route == plan.TERMINATE else 0].intent
        account = batch.account_of(trial.index, intent)

        def strike():
            if trial.freeze:
                gateway.freeze()
            else:
                self.kill_now(gateway)

        if trial.kill == "random":
            await asyncio.sleep(trial.kill_delay * 5)
        elif trial.kill in ("apply-answer", "answer-journal"):
            await world.off_loop(self.strike_when_booked, batch, number, booked, trial.kill_delay, strike)
        elif trial.scenario == "sleep":
            await self.fall_asleep_connecting(intent, account, gateway)
        elif trial.kill == "journal-send" and self.database:
            # It is granted to send, but does not hear of it. It shall hear of what came before.
            await self.wait_for_state(intent, account, "INTENDED")
            await asyncio.sleep(HEARS_WITHIN)
            await world.off_loop(lambda: self.database.proxy.do("stall", gateway=gateway.index, seconds=2))
            await self.wait_for_state(intent, account, "SENT")
            strike()
            await world.off_loop(lambda: self.database.proxy.do("stall", gateway=gateway.index, seconds=0))
        else:
            # The provider stands still: what is intended can't be sent, at first because the look
            # at the number gets no answer, then because no connection comes about.
            stands = trial.kill == "journal-send" and trial.index % 2 == 0
            if stands:
                self.sandbox.stand_still()
            try:
                await self.wait_for_state(intent, account, "INTENDED" if stands else "SENT")
                if trial.kill == "send-apply" or stands:
                    await asyncio.sleep(trial.kill_delay)
                strike()
            finally:
                if stands:
                    self.sandbox.go_on()

    async def fall_asleep_connecting(self, intent, account, gateway):
        """It hears that it may send, and is frozen before it can: the provider takes no new connections.

        What the provider then answers to the connection waits for the gateway to wake up.
        """
        await self.wait_for_state(intent, account, "INTENDED")
        await asyncio.sleep(HEARS_WITHIN)  # the look has its connection by then
        await world.off_loop(lambda: self.database.proxy.do("hold-provider", seconds=2))
        try:
            await self.wait_for_state(intent, account, "SENT")
            await asyncio.sleep(CONNECTS_WITHIN)
            gateway.freeze()
        finally:
            await world.off_loop(lambda: self.database.proxy.do("hold-provider", seconds=0))

    @staticmethod
    def kill_now(gateway):
        if gateway.up or gateway.frozen:
            gateway.kill()

    async def freeze(self, gateway, seconds, why):
        """Or it is frozen already."""
        if gateway.frozen or gateway.freeze():
            self.tally.freezes[why] += 1
            try:
                await asyncio.sleep(seconds)
            finally:
                gateway.thaw()

    async def bury(self, batch, gateway):
        await world.off_loop(gateway.buried)
        await self.look_at_the_dead(batch, gateway)

    async def start(self, batch, gateway, idle_timeout="30s"):
        await world.off_loop(gateway.start, idle_timeout)
        batch.forget_warm(gateway.index)

    def strike_when_booked(self, batch, number, booked, delay, strike):
        end = time.monotonic() + 4
        after = batch.ledger_start
        while time.monotonic() < end:
            entries = self.sandbox.ledger(after)
            if any(entry["number"] == number and entry["kind"] == booked for entry in entries):
                time.sleep(delay)
                break
        strike()

    async def wait_for_state(self, intent, account, least):
        """Until the journal has the operation in this state, or a later one; 2 s at most."""
        end = time.monotonic() + 2
        request = service.GetOperationRequest(request_id=intent.request_id)
        while time.monotonic() < end:
            if self.database:
                state = await world.off_loop(self.database.state_of, intent.request_id)
            else:
                done = await self.client.call(-1, "GetOperation", request, 0.5, account=account)
                state = done.code == "OK" and messages.to_operation(done.reply.operation).state
            if state and ORDER.index(state) >= ORDER.index(least):
                return
            await asyncio.sleep(0.001)

    async def look_at_the_dead(self, batch, gateway):
        """What the killed gateway left in its journal: binds what comes after it."""
        rows = await world.off_loop(gateway.journal_rows, messages.parse_operation, batch.wall_start)
        claimed = {operation.lease_id for operation in rows if operation.state == "SUCCEEDED"}
        entries = await world.off_loop(self.sandbox.ledger, batch.ledger_start)
        if gateway.access and not self.database:
            self.tally.violate(limits.check_reservations(await world.off_loop(gateway.unreserved)))
        now = time.monotonic()
        for operation in rows:
            if operation.request_id in batch.ids():
                look = checker.Call(batch.trial_of_id(operation.request_id), "GetOperation", "OK",
                                    operation.request_id, reason=operation.reason,
                                    start=now, end=now)
                look.told_state, look.told_operation_lease_id = operation.state, operation.lease_id
                batch.calls.append(look)
            if operation.state in messages.OPEN_STATES:
                applied = operation.state != "INTENDED" and any(
                    entry["number"] == operation.number and entry["lease_id"] not in claimed
                    and entry["kind"] == ("terminate" if operation.kind == "TERMINATE" else "lease")
                    for entry in entries)
                self.tally.caught[f"{operation.state}{', applied' if applied else ''}"] += 1

    async def restart(self, gateway):
        """As its operators would."""
        async with gateway.lock:
            code = await world.off_loop(gateway.stop)
            if code != 0:
                self.tally.violate(
                    [checker.Violation(5, -1, f"{gateway.name} ended with {code} at SIGTERM")])
            await world.off_loop(gateway.start)

    async def restart_all(self):
        for gateway in self.gateways:
            await self.restart(gateway)
        await self.client.ready()

    async def watch_gateways(self):
        while True:
            await asyncio.sleep(0.1)
            await world.off_loop(self.sandbox.observe)
            for gateway in self.gateways:
                if gateway.up:
                    await world.off_loop(gateway.observe)
                if not gateway.exited():
                    continue
                code = gateway.process.returncode
                self.tally.violate(
                    [checker.Violation(5, -1, f"{gateway.name} ended by itself with {code}")])
                async with gateway.lock:
                    if gateway.exited():
                        gateway.mark_ended()
                        await world.off_loop(gateway.start)
