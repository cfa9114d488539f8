"""What callers do: those of a trial, step by step, and those who read all the time."""

import asyncio

from leasegateway.v1 import lease_service_pb2 as service
from leasegateway.v1 import resources_pb2 as resources

import checker
import messages
import plan
import plan_limits
import plan_replicas
import world
from client import CHANNELS
from provider import POISONED


class Callers:
    """`warm`: the numbers that are only read; the last of them may be poisoned."""

    def __init__(self, gateways, calls, tally, warm):
        self.gateways, self.client, self.tally, self.warm = gateways, calls, tally, warm
        self.accounts = calls.access.accounts if calls.access else ("",)

    async def act(self, batch, trial, steps):
        for step in steps:
            await asyncio.sleep(step.pause)
            if step.read:
                await self.read(batch, trial, step)
                continue
            for attempt in range(step.attempts if step.intent.request_id else 1):
                if await self.attempt(batch, trial, step, attempt):
                    break
                await asyncio.sleep(step.retry_pause)

    async def attempt(self, batch, trial, step, attempt):
        """Asks one replica, or several at once. Returns whether one of them knows the outcome."""
        asked = plan_replicas.targets(step, attempt, len(self.gateways))
        if not step.intent.request_id:
            asked = asked[:1]  # each would buy one
        answers = await asyncio.gather(*[
            self.write(batch, trial, step.intent, step.deadline, step.ends, step.cancel_after, replica)
            for replica in asked])
        return any(not checker.is_open(done) for done in answers)

    async def read(self, batch, trial, step, deadline=None):
        number = batch.numbers_of(trial)[step.number]
        other = batch.numbers_of(trial)[(step.number + 1) % plan.NUMBERS]
        requests = {
            "GetNumber": service.GetNumberRequest(phone_number=number),
            "GetLease": service.GetLeaseRequest(phone_number=number),
            "ListLeases": service.ListLeasesRequest(),
            "ListAvailableNumbers": service.ListAvailableNumbersRequest(
                filter=resources.AvailabilityFilter(carriers=[batch.word_of(trial)])),
            "ListOperations": service.ListOperationsRequest(phone_number=number),
            "BatchGetNumbers": service.BatchGetNumbersRequest(phone_numbers=batch.numbers_of(trial)),
            "ConfigureFailover": service.ConfigureFailoverRequest(
                phone_number=number, failover=resources.Failover(
                    enabled=True, mode=resources.FAILOVER_MODE_SELECTIVE, phone_numbers=[other])),
            "GetCallForwarding": service.GetCallForwardingRequest(phone_number=number),
            "EnableCallForwarding": service.EnableCallForwardingRequest(
                phone_number=number, forward_to=other),
            "DisableCallForwarding": service.DisableCallForwardingRequest(phone_number=number),
        }
        account = batch.account_of_number[number]
        if step.read == "GetOperation":
            if not step.intent.request_id:
                return
            account = batch.account_of(trial, step.intent)
            request = service.GetOperationRequest(request_id=step.intent.request_id)
        else:
            request = requests[step.read]
        if step.uncached and "max_staleness" in request.DESCRIPTOR.fields_by_name:
            request.max_staleness.SetInParent()
        done = await self.client.call(trial, step.read, request, step.deadline, step.ends, number=number,
                               account=account,
                               request_id=step.intent.request_id if step.intent else "")
        if done.code == "OK":
            self.note_leases(done)
            self.tally.violate(checker.check_setting(done, other))
        batch.calls.append(done)
        if done.code == "OK" and step.read == "BatchGetNumbers":
            batch.calls += [messages.to_call(done, each.phone_number, each.error)
                            for each in done.reply.results if each.HasField("error")]

    def note_leases(self, done):
        """What a read has shown of leases and operations."""
        reply = done.reply
        leases = []
        if done.method == "GetNumber" and reply.number.HasField("lease"):
            leases = [reply.number.lease]
        elif done.method == "GetLease":
            leases = [reply.lease]
        elif done.method == "ListLeases":
            leases = reply.leases
        elif done.method == "BatchGetNumbers":
            leases = [each.number.lease for each in reply.results if each.number.HasField("lease")]
        elif done.method == "ListAvailableNumbers":
            done.told_state = str(len(reply.numbers))
        elif done.method in ("EnableCallForwarding", "DisableCallForwarding"):
            done.told_state = f"{reply.call_forwarding.enabled} {reply.call_forwarding.forward_to}".strip()
        elif done.method == "GetOperation":
            operation = messages.to_operation(reply.operation)
            done.told_state, done.told_operation_lease_id = operation.state, operation.lease_id
            done.reason = operation.reason
        done.told_leases = tuple((lease.lease_id, lease.phone_number) for lease in leases)

    def request_of(self, batch, trial, intent):
        """The request, and what of it the checker compares."""
        numbers = batch.numbers_of(trial)
        number = numbers[intent.number] if intent.number is not None else ""
        lease_id = ""
        if intent.method == "TerminateLease":
            if intent.lease_id is None:
                seen = batch.seen.get(number)
                intent.lease_id = seen[0 if intent.bind == "first" else -1] if intent.bind and seen else ""
            lease_id = intent.lease_id
            request = service.TerminateLeaseRequest(phone_number=number, lease_id=lease_id)
        elif intent.method == "CreateLease":
            request = service.CreateLeaseRequest(phone_number=number,
                                                 validate_only=intent.validate_only)
            if intent.price:
                slot = trial % plan.BATCH
                amount = 2 + intent.number + slot % 7 + (1 if intent.price == "wrong" else 0)
                currency = plan.CURRENCY
                if self.client.access:
                    currency = plan_limits.price(slot, intent.number)[0]
                request.expected_price.monthly_rate.currency_code = currency
                request.expected_price.monthly_rate.units = amount
        else:
            request = service.LeaseAnyNumberRequest(order_by=intent.order_by)
            request.filter.carriers.append(batch.word_of(trial))
            for limit in (request.filter.max_monthly_rate, request.filter.max_upfront_fee):
                limit.currency_code, limit.units = plan.CURRENCY, 100
        args = f"{intent.method} {request}".replace("\n", " ")
        request.request_id = intent.request_id
        return request, dict(request_id=intent.request_id, number=number, lease_id=lease_id, args=args,
                             validate_only=intent.validate_only, account=batch.account_of(trial, intent),
                             caller=batch.buyer_of(trial, intent))

    async def write(self, batch, trial, intent, deadline, ends, cancel_after=None, replica=None):
        request, sent = self.request_of(batch, trial, intent)
        done = await self.client.call(trial, intent.method, request, deadline, ends, cancel_after,
                                      replica, **sent)
        if done.code == "OK":
            result = done.reply.termination if intent.method == "TerminateLease" else done.reply.lease
            done.told_request_id = done.reply.request_id
            done.told_lease_id, done.told_number = result.lease_id, result.phone_number
            if intent.method != "TerminateLease" and done.told_lease_id:
                seen = batch.seen.setdefault(done.told_number, [])
                if done.told_lease_id not in seen:
                    seen.append(done.told_lease_id)
        elif not intent.request_id:
            batch.anonymous.append(trial)
        batch.calls.append(done)
        return done

    async def read_warm(self, batch, rng):
        """A caller that reads what is in memory, and must always be answered."""
        while True:
            await asyncio.sleep(rng.uniform(0.01, 0.05))
            number = rng.choice((None, *self.warm))
            account = rng.choice(self.accounts) if len(self.accounts) > 1 else ""
            method = "GetNumber" if number else "ListAvailableNumbers"
            request = (service.GetNumberRequest(phone_number=number) if number
                       else service.ListAvailableNumbersRequest(page_size=5))
            replica = rng.randrange(len(self.gateways))
            gateway = self.gateways[replica]
            incarnation = gateway.incarnation
            # Warm by an earlier read, over a connection that has been made since the last restart.
            channel = (self.client.next_channel + 1) % CHANNELS
            needs = {(replica, incarnation, account, number), (replica, incarnation, channel)}
            was_warm = needs <= batch.warm_since
            done = await self.client.call(-2, method, request, 1.0, "header", replica=replica,
                                          account=account)
            still = gateway.incarnation == incarnation and not gateway.was_down(done.start, done.end)
            if done.code == "OK" and still:
                batch.warm_since |= needs
            if done.code == "OK" and not number:
                self.tally.violate(checker.check_listed(method, done.reply.numbers))
            found = checker.check_read(f"{method} at {gateway.name} ({done.reason})", done.code,
                                       was_warm and still)
            if found:
                await world.off_loop(gateway.observe)
                waited = self.client.kept_waiting(gateway, done.start, done.end)
                if checker.is_excused_read(done.code, waited):
                    self.tally.excused["reads of warm accounts"] += 1
                    continue
            self.tally.violate(found)

    async def read_uncached(self, batch, rng):
        """Traffic without faults, as most is, so that the circuit breaker sees some."""
        while True:
            await asyncio.sleep(rng.uniform(0.01, 0.03))
            number = rng.choice(self.warm[:-POISONED])
            request = service.GetNumberRequest(phone_number=number)
            request.max_staleness.SetInParent()
            done = await self.client.call(-2, "GetNumber", request, 1.0, "header", number=number,
                                          account=rng.choice(self.accounts))
            if done.code != "OK":
                batch.calls.append(done)

    async def reach_the_provider(self):
        """Each gateway asks it once, so that those that were started anew know its name."""
        for replica in range(len(self.gateways)):
            for account in self.accounts:
                request = service.GetNumberRequest(phone_number=self.warm[0])
                request.max_staleness.SetInParent()
                await self.client.call(-1, "GetNumber", request, 10, replica=replica, account=account)

    async def read_poison(self, rng):
        """Callers that won't leave off a number that can't be read."""
        while True:
            await asyncio.sleep(rng.uniform(0.0, 0.02))
            request = service.GetNumberRequest(phone_number=rng.choice(self.warm[-POISONED:]))
            request.max_staleness.SetInParent()
            await self.client.call(-2, "GetNumber", request, 1.0, "header",
                                   account=rng.choice(self.accounts))
