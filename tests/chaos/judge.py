"""After a batch: all is settled, callers ask again, and the three records are compared."""

import asyncio
import itertools
import time
import uuid

from leasegateway.v1 import lease_service_pb2 as service
from leasegateway.v1 import resources_pb2 as resources

import answers
import checker
import limits
import messages
import plan
import plan_limits
import rights
import world

LEASES_AGREE_WITHIN = 5.0  # seconds


class Judge:
    def __init__(self, gateways, sandbox, callers, tally, warm, database=None):
        self.gateways, self.sandbox, self.callers, self.tally = gateways, sandbox, callers, tally
        self.client, self.warm, self.database = callers.client, warm, database
        self.accounts = callers.accounts
        self.listed = {}  # request_id → (state, lease_id), as ListOperations had it at the end

    async def settle(self):
        """Invariant 8."""
        start, open_for, code = time.monotonic(), None, ""
        while time.monotonic() < start + 30:
            left = []
            for state, account in itertools.product(messages.OPEN_STATES, self.accounts):
                request = service.ListOperationsRequest(
                    state=resources.OperationState.Value(f"OPERATION_STATE_{state}"), page_size=1)
                done = await self.client.call(-1, "ListOperations", request, 5, account=account)
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
        for replica, account in itertools.product(range(len(self.gateways)), self.accounts):
            while time.monotonic() < start + 30:
                request = service.GetNumberRequest(phone_number=self.warm[0])
                request.max_staleness.SetInParent()
                code = (await self.client.call(-1, "GetNumber", request, 5, replica=replica,
                                               account=account)).code
                if code == "OK":
                    break
                await asyncio.sleep(0.1)
            self.tally.violate(checker.check_settled(open_for, code))

    async def agree(self):
        """Invariant 12."""
        replicas = range(len(self.gateways))
        listed = []
        for replica in replicas:
            listed.append({each.request_id: each for each in await self.operations(0, replica)})
        self.tally.violate(checker.check_agreement("the listed operation", listed))
        # What is in memory is heard of soon, not at once.
        end = time.monotonic() + LEASES_AGREE_WITHIN
        while True:
            leases = [await self.leases(replica) for replica in replicas]
            found = checker.check_agreement("the lease of", leases)
            if not found or time.monotonic() > end:
                break
            await asyncio.sleep(0.05)
        self.tally.violate(found)

    async def leases(self, replica):
        """Number → lease_id, as the replica has it in memory."""
        leases = {}
        for account in self.accounts:
            done = await self.client.call(-1, "ListLeases", service.ListLeasesRequest(), 10, replica=replica,
                                          account=account)
            if done.code != "OK":
                return {"all": f"{done.code} {done.reason}"}
            leases |= {lease.phone_number: lease.lease_id for lease in done.reply.leases}
        return leases

    async def operations(self, since, replica=None):
        """All since this time, in nanoseconds, by ListOperations; of each account the newest come first."""
        found = []
        for account in self.accounts:
            found += await self.operations_of(account, since, replica)
        return found

    async def operations_of(self, account, since, replica):
        found, token = [], ""
        while True:
            request = service.ListOperationsRequest(page_size=1000, page_token=token)
            done = await self.client.call(-1, "ListOperations", request, 10, replica=replica, account=account)
            if done.code != "OK":
                raise RuntimeError(f"the journal can't be listed: {done.code} {done.reason} {done.text}")
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
                                 lease_id=held[number], buyer=plan.GIVER)
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

    async def ledger(self, batch):
        """What was booked since the batch began."""
        entries = await world.off_loop(self.sandbox.ledger, batch.ledger_start)
        wall = time.time() - time.monotonic()
        return [checker.Entry(entry["kind"], entry["number"], entry["lease_id"],
                              round(float(entry["amount"]) * 1_000_000),
                              entry["time_ms"] / 1e3 - wall, entry["account"], entry["currency"],
                              entry["time_ms"] // (limits.DAY * 1000)) for entry in entries]

    async def judge(self, batch):
        operations = await self.operations(batch.wall_start)
        for operation in operations:
            request = service.GetOperationRequest(request_id=operation.request_id)
            for replica, gateway in enumerate(self.gateways):
                done = await self.client.call(-1, "GetOperation", request, 10, replica=replica,
                                              account=operation.account if self.client.access else "")
                shown = messages.to_operation(done.reply.operation) if done.code == "OK" else done.code
                if shown != operation:
                    trial = batch.trial_of_number.get(operation.number, -1)
                    self.tally.violate([checker.Violation(
                        2, trial, f"{operation} is shown as {shown} by {gateway.name}")])
        ledger = await self.ledger(batch)
        batch.operations, batch.ledger = operations, ledger
        self.tally.violate(checker.check(batch.calls, operations, ledger, batch.trial_of_number,
                                         batch.anonymous))
        self.check_answers(batch, ledger)
        if len(self.gateways) > 1:
            batch.sent = await self.sent(batch)
            self.tally.violate(
                checker.check_under_way(batch.sent, world.REQUEST_LIMIT, batch.trial_of_number))
            batch.written = await world.off_loop(self.database.history.since, batch.written_start)
            granted = rights.rights_of(batch.written)
            self.tally.rights.update(rights.count(granted))
            self.tally.violate(rights.check_rights(batch.sent, granted, world.CLOCK_MARGIN,
                                                   self.sandbox.stops, batch.trial_of_number))

    def check_answers(self, batch, ledger):
        """Invariant 15."""
        of_lists = [fault for fault in batch.weather if "number" not in fault]
        of_numbers = [fault for fault in batch.weather if "number" in fault]
        said = {-2: answers.said_by_the_provider(of_numbers)}
        for index, trial in batch.trials.items():
            said[index] = answers.said_by_the_provider(trial.faults)
        self.tally.violate(answers.check_answers(batch.calls, ledger, said,
                                                 answers.said_by_the_provider(of_lists),
                                                 {index: self.any_of(batch, index) for index in batch.trials}))

    def any_of(self, batch, trial):
        """Its numbers that the filters of its callers let through."""
        numbers = batch.numbers_of(trial)
        if not self.client.access:
            return numbers
        return [numbers[at] for at in plan_limits.any_of(trial % plan.BATCH)]

    async def sent(self, batch):
        """What replicas have sent to the provider in this batch, with the request_id where its trace tells."""
        by_trace = {messages.trace_of(request_id): request_id for request_id in batch.ids() if request_id}
        writes = await world.off_loop(self.sandbox.writes, batch.writes_start)
        return [checker.Sent(self.sandbox.replica_of(write["port"]), write["number"],
                             write["from_us"] / 1e6, write["to_us"] / 1e6 if write["to_us"] else None,
                             by_trace.get(write["traceparent"].split("-")[1], ""))
                for write in writes if write["route"] in (plan.LEASE, plan.TERMINATE)]

    async def finish(self):
        """The gateways end, and the journal says what they said."""
        self.tally.requests = (await world.off_loop(self.sandbox.ask, "GET", "requests"))["total"]
        await self.operations(0)
        await self.client.close()
        for gateway in self.gateways:
            code = await world.off_loop(gateway.stop)
            if code != 0:
                self.tally.violate(
                    [checker.Violation(5, -1, f"{gateway.name} ended with {code} at SIGTERM")])
        rows = await world.off_loop(self.gateways[0].journal_rows, messages.parse_operation)
        self.tally.violate(checker.check_journal_file(
            {row.request_id: (row.state, row.lease_id) for row in rows}, self.listed))
