"""After a batch: all is settled, callers ask again, and the three records are compared."""

import asyncio
import time
import uuid

from leasegateway.v1 import lease_service_pb2 as service
from leasegateway.v1 import resources_pb2 as resources

import checker
import messages
import plan
import world


class Judge:
    def __init__(self, gateway, sandbox, callers, tally, warm):
        self.gateway, self.sandbox, self.callers, self.tally = gateway, sandbox, callers, tally
        self.client, self.warm = callers.client, warm
        self.listed = {}  # request_id → (state, lease_id), as ListOperations had it at the end

    async def settle(self):
        """Invariant 8."""
        start, open_for, code = time.monotonic(), None, ""
        while time.monotonic() < start + 30:
            left = []
            for state in messages.OPEN_STATES:
                request = service.ListOperationsRequest(
                    state=resources.OperationState.Value(f"OPERATION_STATE_{state}"), page_size=1)
                done = await self.client.call(-1, "ListOperations", request, 5)
                left += done.reply.operations if done.code == "OK" else [done.code]
            if not left:
                open_for = time.monotonic() - start
                break
            await asyncio.sleep(0.05)
        self.tally.settled_after = max(self.tally.settled_after, open_for or 30.0)
        # What was delayed belongs to this batch, also if it comes when nobody expects it any more.
        while time.monotonic() < start + 30:
            if (await world.off_loop(self.sandbox.ask, "GET", "requests"))["in_flight"] == 0:
                break
            await asyncio.sleep(0.01)
        while time.monotonic() < start + 30:
            request = service.GetNumberRequest(phone_number=self.warm[0])
            request.max_staleness.SetInParent()
            code = (await self.client.call(-1, "GetNumber", request, 5)).code
            if code == "OK":
                break
            await asyncio.sleep(0.1)
        self.tally.violate(checker.check_settled(open_for, code))

    async def operations(self, since):
        """All since this time, in nanoseconds, by ListOperations; the newest come first."""
        found, token = [], ""
        while True:
            request = service.ListOperationsRequest(page_size=1000, page_token=token)
            done = await self.client.call(-1, "ListOperations", request, 10)
            if done.code != "OK":
                raise RuntimeError(f"the journal can't be listed: {done.code} {done.reason}")
            for message in done.reply.operations:
                operation = messages.to_operation(message)
                self.listed[operation.request_id] = (operation.state, operation.lease_id)
                if message.create_time.ToNanoseconds() >= since:
                    found.append(operation)
            token = done.reply.next_page_token
            old = done.reply.operations and (
                done.reply.operations[-1].create_time.ToNanoseconds() < since)
            if not token or old:
                return found

    async def come_back(self, batch, operations, rng):
        """Callers that ask again when all is settled get the same answer."""

        async def ask_again(trial, intent):
            done = await self.callers.write(batch, trial, intent, 10, "client")
            if intent.request_id in operations and done.code not in ("UNAVAILABLE",
                                                                     "RESOURCE_EXHAUSTED"):
                self.tally.violate(checker.check_reply_to_late(done, operations[intent.request_id]))

        again = [(trial, intent) for trial, intent in batch.intents
                 if intent.request_id in operations and not intent.validate_only
                 and rng.random() < 0.6]
        for at in range(0, len(again), 20):
            await asyncio.gather(*[ask_again(*each) for each in again[at:at + 20]])

    async def give_all_back(self, batch):
        """Ends the leases that are left, through the gateway: with no faults it must succeed."""
        entries = await world.off_loop(self.sandbox.ledger, batch.ledger_start)
        held = {}
        for entry in entries:
            if entry["kind"] == "lease":
                held[entry["number"]] = entry["lease_id"]
            elif entry["kind"] == "terminate":
                held.pop(entry["number"], None)

        async def end(number):
            trial = batch.trial_of_number[number]
            intent = plan.Intent("TerminateLease", str(uuid.uuid4()),
                                 batch.numbers_of(trial).index(number), bind="latest",
                                 lease_id=held[number])
            for _ in range(5):
                done = await self.callers.write(batch, trial, intent, 10, "client")
                if done.code == "OK":
                    return
                await asyncio.sleep(0.3)
            self.tally.violate([checker.Violation(8, trial, f"{number} can't be given back without any "
                                                  f"fault: {done.code} {done.reason}")])

        numbers = list(held)
        for at in range(0, len(numbers), 20):
            await asyncio.gather(*[end(number) for number in numbers[at:at + 20]])

    async def judge(self, batch):
        operations = await self.operations(batch.wall_start)
        for operation in operations:
            request = service.GetOperationRequest(request_id=operation.request_id)
            done = await self.client.call(-1, "GetOperation", request, 10)
            shown = messages.to_operation(done.reply.operation) if done.code == "OK" else done.code
            if shown != operation:
                trial = batch.trial_of_number.get(operation.number, -1)
                self.tally.violate(
                    [checker.Violation(2, trial, f"{operation} is shown as {shown}")])
        entries = await world.off_loop(self.sandbox.ledger, batch.ledger_start)
        ledger = [checker.Entry(entry["kind"], entry["number"], entry["lease_id"],
                                round(float(entry["amount"]) * 1_000_000)) for entry in entries]
        batch.operations, batch.ledger = operations, ledger
        self.tally.violate(checker.check(batch.calls, operations, ledger, batch.trial_of_number,
                                         batch.anonymous))

    async def finish(self):
        """The gateway ends, and its file says what it said."""
        self.tally.requests = (await world.off_loop(self.sandbox.ask, "GET", "requests"))["total"]
        await self.operations(0)
        await self.client.close()
        code = await world.off_loop(self.gateway.stop)
        if code != 0:
            self.tally.violate(
                [checker.Violation(5, -1, f"the gateway ended with {code} at SIGTERM")])
        rows = await world.off_loop(self.gateway.journal_rows, resources.Operation)
        rows = [messages.to_operation(row) for row in rows]
        self.tally.violate(checker.check_journal_file(
            {row.request_id: (row.state, row.lease_id) for row in rows}, self.listed))
