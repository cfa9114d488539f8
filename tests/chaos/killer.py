"""The gateway's ends and restarts: killed at the moment of a trial, stopped, or by itself."""

import asyncio
import signal
import time

from leasegateway.v1 import lease_service_pb2 as service
from leasegateway.v1 import resources_pb2 as resources

import checker
import messages
import plan
import world


class Killer:
    def __init__(self, gateway, sandbox, calls, tally):
        self.gateway, self.sandbox, self.client, self.tally = gateway, sandbox, calls, tally
        self.kill_lock = asyncio.Lock()  # one end at a time

    async def kill_at(self, batch, trial, number):
        """kill -9 at the moment that the trial is about, then a new gateway on the same journal."""
        booked = "terminate" if trial.kill_route == plan.TERMINATE else "charge"
        intent = trial.callers[0][-1].intent
        async with self.kill_lock:
            if trial.kill == "random":
                await asyncio.sleep(trial.kill_delay * 5)
            elif trial.kill in ("apply-answer", "answer-journal"):
                await world.off_loop(self.kill_when_booked, batch, number, booked, trial.kill_delay)
            else:
                # The provider stands still: what is intended can't be sent, at first because the look
                # at the number gets no answer, then because no connection comes about.
                stands = trial.kill == "journal-send" and trial.index % 2 == 0
                if stands:
                    self.sandbox.process.send_signal(signal.SIGSTOP)
                try:
                    await self.wait_for_state(intent, "INTENDED" if stands else "SENT")
                    if trial.kill == "send-apply" or stands:
                        await asyncio.sleep(trial.kill_delay)
                    self.kill_now()
                finally:
                    if stands:
                        self.sandbox.process.send_signal(signal.SIGCONT)
            self.kill_now()
            self.tally.kills[trial.kill] += 1
            await world.off_loop(self.gateway.buried)
            await self.look_at_the_dead(batch)
            idle = "0ms" if trial.index % 3 == 0 else "30s"
            await world.off_loop(self.gateway.start, idle)
            batch.warm_since.clear()

    def kill_now(self):
        if self.gateway.up:
            self.gateway.kill()

    def kill_when_booked(self, batch, number, booked, delay):
        end = time.monotonic() + 4
        after = batch.ledger_start
        while time.monotonic() < end:
            entries = self.sandbox.ledger(after)
            if any(entry["number"] == number and entry["kind"] == booked for entry in entries):
                time.sleep(delay)
                break
        self.kill_now()

    async def wait_for_state(self, intent, least):
        """Until the journal has the operation in this state, or a later one; 2 s at most."""
        order = ("INTENDED", "SENT", "UNKNOWN", "SUCCEEDED", "FAILED")
        end = time.monotonic() + 2
        request = service.GetOperationRequest(request_id=intent.request_id)
        while time.monotonic() < end:
            done = await self.client.call(-1, "GetOperation", request, 0.5)
            if done.code == "OK":
                state = messages.to_operation(done.reply.operation).state
                if order.index(state) >= order.index(least):
                    return
            await asyncio.sleep(0.001)

    async def look_at_the_dead(self, batch):
        """What the killed gateway left in its journal: binds what comes after it."""
        rows = await world.off_loop(self.gateway.journal_rows, resources.Operation, batch.wall_start)
        claimed = {row.lease_id for row in rows if row.state == resources.OPERATION_STATE_SUCCEEDED}
        entries = await world.off_loop(self.sandbox.ledger, batch.ledger_start)
        for message in rows:
            operation = messages.to_operation(message)
            if operation.request_id in batch.ids():
                look = checker.Call(batch.trial_of_id(operation.request_id), "GetOperation", "OK",
                                    operation.request_id, reason=operation.reason,
                                    start=time.monotonic())
                look.told_state, look.told_operation_lease_id = operation.state, operation.lease_id
                batch.calls.append(look)
            if operation.state in messages.OPEN_STATES:
                applied = operation.state != "INTENDED" and any(
                    entry["number"] == operation.number and entry["lease_id"] not in claimed
                    and entry["kind"] == ("terminate" if operation.kind == "TERMINATE" else "lease")
                    for entry in entries)
                self.tally.caught[f"{operation.state}{', applied' if applied else ''}"] += 1

    async def restart(self):
        """As its operators would."""
        async with self.kill_lock:
            code = await world.off_loop(self.gateway.stop)
            if code != 0:
                self.tally.violate(
                    [checker.Violation(5, -1, f"the gateway ended with {code} at SIGTERM")])
            await world.off_loop(self.gateway.start)
            await self.client.ready()

    async def watch_gateway(self):
        while True:
            await asyncio.sleep(0.1)
            if self.gateway.up:
                await world.off_loop(self.gateway.observe)
            if self.gateway.exited():
                code = self.gateway.process.returncode
                self.tally.violate(
                    [checker.Violation(5, -1, f"the gateway ended by itself with {code}")])
                async with self.kill_lock:
                    if self.gateway.exited():
                        self.gateway.up = False
                        self.gateway.downs.append([time.monotonic(), float("inf")])
                        await world.off_loop(self.gateway.start)
