"""Runs batches of trials at once on one gateway and one sandbox, and judges them."""

import asyncio
import collections
import dataclasses
import json
import os
import random
import time
import uuid

import grpc
from google.rpc import error_details_pb2, status_pb2
from leasegateway.v1 import lease_service_pb2 as service
from leasegateway.v1 import resources_pb2 as resources

import checker
import plan
import world

BATCH = plan.BATCH
WARM = 12  # numbers that are only read
OPEN_STATES = ("INTENDED", "SENT", "UNKNOWN")
CHANNELS = 4
WATCHDOG = 3.0  # seconds past its deadline at which a call is given up
POISONED = 2  # of the warm ones, in some batches: fewer than what makes it the provider's failure
LIST_KINDS = ("status", "close", "reset", "truncate", "garbage", "html", "hang")
POISONS = ("status", "close", "reset", "truncate", "garbage", "html")


def name_of(enum, prefix, value):
    return enum.Name(value).removeprefix(prefix)


def micros(pricing):
    """Upfront fee and monthly rate; None when one of them is not known."""
    if not (pricing.HasField("upfront_fee") and pricing.HasField("monthly_rate")):
        return None
    return sum(money.units * 1_000_000 + money.nanos // 1000
               for money in (pricing.upfront_fee, pricing.monthly_rate))


def reason_of(trailers):
    for key, value in trailers or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                if detail.type_url.endswith("/google.rpc.ErrorInfo"):
                    return error_details_pb2.ErrorInfo.FromString(detail.value).reason
    return ""


def to_operation(message):
    reason = ""
    for detail in message.error.details:
        if detail.type_url.endswith("/google.rpc.ErrorInfo"):
            reason = error_details_pb2.ErrorInfo.FromString(detail.value).reason
    kind = name_of(resources.OperationKind, "OPERATION_KIND_", message.kind)
    result = message.termination if kind == "TERMINATE" else message.lease
    return checker.Operation(
        message.request_id, kind, name_of(resources.OperationState, "OPERATION_STATE_", message.state),
        message.phone_number, message.lease_id,
        name_of(resources.OperationSettlement, "OPERATION_SETTLEMENT_", message.settlement), reason,
        result.lease_id, result.phone_number,
        micros(message.price) if message.HasField("price") else None)


class Driver:
    """One worker: its processes, and what it has counted."""

    def __init__(self, binaries, folder, seed):
        self.folder, self.seed = folder, seed
        self.sandbox = world.Sandbox(os.path.join(binaries, "lease-sandbox"), folder, 1,
                                     BATCH * plan.NUMBERS + WARM)
        self.gateway = world.Gateway(os.path.join(binaries, "lease-gateway"), folder, self.sandbox)
        self.lag = world.Lag()
        self.trials = 0
        self.calls = collections.Counter()
        self.kills = collections.Counter()
        self.caught = collections.Counter()
        self.faults = collections.Counter()
        self.posted = collections.Counter()
        self.late = collections.Counter()  # milliseconds → calls
        self.settled_after = 0.0
        self.gateway_calls = 0
        self.violations = []
        self.listed = {}  # request_id → (state, lease_id), as ListOperations had it at the end

    def violate(self, violations, batch=None):
        for violation in violations:
            first = self.first if batch is None else batch
            trial = violation.trial if violation.trial >= 0 else first
            self.violations.append({"invariant": violation.invariant, "trial": trial,
                                    "batch": violation.trial < 0, "text": violation.text})

    # --- the processes ---------------------------------------------------------------------------

    async def set_up(self):
        self.loop = asyncio.get_running_loop()
        self.kill_lock = asyncio.Lock()
        numbers = sorted({entry for entry in await self.inventory()})
        self.warm = numbers[:WARM]
        self.slots = [numbers[WARM + i * plan.NUMBERS:WARM + (i + 1) * plan.NUMBERS]
                      for i in range(BATCH)]
        # A word of its own for each slot, so that a filter finds these numbers and no others; and
        # prices that differ, so that the order is known.
        for i, slot in enumerate(self.slots):
            for j, number in enumerate(slot):
                await self.ask("POST", f"numbers/{number}", {
                    "carrier": f"slot-{i}", "pricing": {
                        "currency": "USD", "monthly_rate": 2 + j + i % 7, "upfront_fee": j}})
        await self.run(self.gateway.start)
        self.open_channels()

    @staticmethod
    async def end(tasks):
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    def run(self, function, *arguments):
        return self.loop.run_in_executor(None, function, *arguments)

    def ask(self, method, path, body=None):
        return self.run(self.sandbox.ask, method, path, body)

    async def inventory(self):
        """By way of a gateway that is started for that: the driver needs no TLS of its own."""
        await self.run(self.gateway.start)
        self.open_channels()
        call = await self.call(-1, "ListAvailableNumbers", service.ListAvailableNumbersRequest(), 10)
        if call.code != "OK":
            raise RuntimeError(f"the numbers can't be listed: {call.code} {call.reason}")
        await self.close_channels()
        if await self.run(self.gateway.stop) != 0:
            self.first = 0
            self.violate([checker.Violation(5, -1, "the gateway did not end with 0 at SIGTERM")])
        return [number.phone_number for number in call.reply.numbers]

    def open_channels(self):
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1),
                   ("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50),
                   ("grpc.max_reconnect_backoff_ms", 200), ("grpc.enable_http_proxy", 0)]
        self.channels = [grpc.aio.insecure_channel(f"127.0.0.1:{self.gateway.port}", options=options)
                         for _ in range(CHANNELS)]
        self.next_channel = 0
        self.stubs = {}
        for method in service.DESCRIPTOR.services_by_name["LeaseService"].methods:
            if not method.server_streaming:
                response = getattr(service, method.output_type.name)
                self.stubs[method.name] = [
                    channel.unary_unary(f"/leasegateway.v1.LeaseService/{method.name}",
                                        request_serializer=lambda request: request.SerializeToString(),
                                        response_deserializer=response.FromString)
                    for channel in self.channels]

    async def close_channels(self):
        for channel in self.channels:
            await channel.close()

    async def measure_lag(self):
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            now = time.monotonic()
            self.lag.add(now, now - before - 0.005)

    async def watch_gateway(self):
        while True:
            await asyncio.sleep(0.1)
            if self.gateway.up:
                await self.run(self.gateway.observe)
            if self.gateway.exited():
                code = self.gateway.process.returncode
                self.violate([checker.Violation(5, -1, f"the gateway ended by itself with {code}")])
                async with self.kill_lock:
                    if self.gateway.exited():
                        self.gateway.up = False
                        self.gateway.downs.append([time.monotonic(), float("inf")])
                        await self.run(self.gateway.start)

    # --- calls -----------------------------------------------------------------------------------

    async def call(self, trial, method, request, deadline, ends="client", cancel_after=None, **sent):
        """One call, and what came of it as a checker.Call with `reply`."""
        self.next_channel = (self.next_channel + 1) % CHANNELS
        stub = self.stubs[method][self.next_channel]
        start = time.monotonic()
        watchdog = cancel = None
        left = []  # whether this has cancelled the call, and not somebody the task

        def leave():
            left.append(True)
            running.cancel()

        if ends == "client":
            running = stub(request, timeout=deadline)
        else:
            # The library would end a call with a timeout by itself, and not show whether the gateway
            # does. So only the gateway is told.
            if ends == "default":
                deadline = world.DEFAULT_DEADLINE
            metadata = (("grpc-timeout", f"{deadline * 1000:.0f}m"),) if ends == "header" else ()
            running = stub(request, metadata=metadata)
            watchdog = self.loop.call_later(deadline + WATCHDOG, leave)
        if cancel_after is not None:
            cancel = self.loop.call_later(cancel_after, leave)
        reply, reason = None, ""
        try:
            reply = await running
            code = "OK"
        except grpc.aio.AioRpcError as error:
            code, reason = error.code().name, reason_of(error.trailing_metadata())
        except asyncio.CancelledError:
            if not left:
                raise
            code = "CANCELLED"
        end = time.monotonic()
        for timer in (watchdog, cancel):
            if timer:
                timer.cancel()
        if trial >= 0 or trial == -2:
            self.gateway_calls += 1
            self.calls[f"{method} {code}{' ' + reason if reason else ''}"] += 1
            if plan.is_poisoned(self.first):
                self.violate(checker.check_poisoned(trial, method, reason))
            if ends != "client" and not self.gateway.was_down(start, end):
                own = 0.0
                if end > start + deadline + 0.02:
                    # After a stall of this loop the measurement of it may be the next in turn.
                    await asyncio.sleep(0.02)
                    # The gateway counts from when the request was sent, which the loop does in its next turn.
                    own = self.lag.held_up(start)
                    own += self.lag.lost(start + own + deadline, end)
                late = checker.lateness(start + deadline, end, own)
                self.late[round(late * 1000)] += 1
                self.violate(checker.check_lateness(trial, f"{method} ({ends}, {code})", late))
        done = checker.Call(trial, method, code, reason=reason, start=start, end=end, **sent)
        done.reply = reply
        return done

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
        elif done.method == "GetOperation":
            operation = to_operation(reply.operation)
            done.told_state, done.told_operation_lease_id = operation.state, operation.lease_id
            done.reason = operation.reason
        done.told_leases = tuple((lease.lease_id, lease.phone_number) for lease in leases)

    async def read(self, batch, trial, step, deadline=None):
        number = batch.numbers_of(trial)[step.number]
        requests = {
            "GetNumber": service.GetNumberRequest(phone_number=number),
            "GetLease": service.GetLeaseRequest(phone_number=number),
            "ListLeases": service.ListLeasesRequest(),
            "ListAvailableNumbers": service.ListAvailableNumbersRequest(
                filter=resources.AvailabilityFilter(carriers=[batch.word_of(trial)])),
            "ListOperations": service.ListOperationsRequest(phone_number=number),
        }
        if step.read == "GetOperation":
            if not step.intent.request_id:
                return
            request = service.GetOperationRequest(request_id=step.intent.request_id)
        else:
            request = requests[step.read]
        if step.uncached and "max_staleness" in request.DESCRIPTOR.fields_by_name:
            request.max_staleness.SetInParent()
        done = await self.call(trial, step.read, request, step.deadline, step.ends, number=number,
                               request_id=step.intent.request_id if step.intent else "")
        if done.code == "OK":
            self.note_leases(done)
        batch.calls.append(done)

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
                slot = trial % BATCH
                amount = 2 + intent.number + slot % 7 + (1 if intent.price == "wrong" else 0)
                request.expected_price.monthly_rate.currency_code = "USD"
                request.expected_price.monthly_rate.units = amount
        else:
            request = service.LeaseAnyNumberRequest(order_by=intent.order_by)
            request.filter.carriers.append(batch.word_of(trial))
            for limit in (request.filter.max_monthly_rate, request.filter.max_upfront_fee):
                limit.currency_code, limit.units = "USD", 100
        args = f"{intent.method} {request}".replace("\n", " ")
        request.request_id = intent.request_id
        return request, dict(request_id=intent.request_id, number=number, lease_id=lease_id, args=args,
                             validate_only=intent.validate_only)

    async def write(self, batch, trial, intent, deadline, ends, cancel_after=None):
        request, sent = self.request_of(batch, trial, intent)
        done = await self.call(trial, intent.method, request, deadline, ends, cancel_after, **sent)
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

    async def act(self, batch, trial, steps):
        for step in steps:
            await asyncio.sleep(step.pause)
            if step.read:
                await self.read(batch, trial, step)
                continue
            for _ in range(step.attempts if step.intent.request_id else 1):
                done = await self.write(batch, trial, step.intent, step.deadline, step.ends,
                                        step.cancel_after)
                if done.code not in checker.OPEN_CODES:
                    break
                await asyncio.sleep(step.retry_pause)

    # --- trials ----------------------------------------------------------------------------------

    async def post_faults(self, faults):
        await self.ask("POST", "faults", faults)
        for fault in faults:
            self.posted[fault["kind"]] += fault.get("count", 0)

    async def run_trial(self, batch, trial):
        await asyncio.sleep(trial.start)
        numbers = batch.numbers_of(trial.index)
        if trial.faults:
            await self.post_faults([{**fault, "number": numbers[fault["number"]]}
                                    for fault in trial.faults])
        actors = [self.loop.create_task(self.act(batch, trial.index, steps))
                  for steps in trial.callers]
        if trial.kill:
            await self.kill_at(batch, trial, numbers[0])
        await asyncio.gather(*actors)
        self.trials += 1

    async def kill_at(self, batch, trial, number):
        """kill -9 at the moment that the trial is about, then a new gateway on the same journal."""
        booked = "terminate" if trial.kill_route == plan.TERMINATE else "charge"
        intent = trial.callers[0][-1].intent
        async with self.kill_lock:
            if trial.kill == "random":
                await asyncio.sleep(trial.kill_delay * 5)
            elif trial.kill in ("apply-answer", "answer-journal"):
                await self.run(self.kill_when_booked, batch, number, booked, trial.kill_delay)
            else:
                # The provider stands still: what is intended can't be sent, at first because the look
                # at the number gets no answer, then because no connection comes about.
                stands = trial.kill == "journal-send" and trial.index % 2 == 0
                if stands:
                    self.sandbox.process.send_signal(world.signal.SIGSTOP)
                try:
                    await self.wait_for_state(intent, "INTENDED" if stands else "SENT")
                    if trial.kill == "send-apply" or stands:
                        await asyncio.sleep(trial.kill_delay)
                    self.kill_now()
                finally:
                    if stands:
                        self.sandbox.process.send_signal(world.signal.SIGCONT)
            self.kill_now()
            self.kills[trial.kill] += 1
            await self.run(self.gateway.buried)
            await self.look_at_the_dead(batch)
            idle = "0ms" if trial.index % 3 == 0 else "30s"
            await self.run(self.gateway.start, idle)
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
            done = await self.call(-1, "GetOperation", request, 0.5)
            if done.code == "OK":
                state = to_operation(done.reply.operation).state
                if order.index(state) >= order.index(least):
                    return
            await asyncio.sleep(0.001)

    async def look_at_the_dead(self, batch):
        """What the killed gateway left in its journal: binds what comes after it."""
        rows = await self.run(self.gateway.journal_rows, resources.Operation, batch.wall_start)
        claimed = {row.lease_id for row in rows if row.state == resources.OPERATION_STATE_SUCCEEDED}
        entries = await self.run(self.sandbox.ledger, batch.ledger_start)
        for message in rows:
            operation = to_operation(message)
            if operation.request_id in batch.ids():
                look = checker.Call(batch.trial_of_id(operation.request_id), "GetOperation", "OK",
                                    operation.request_id, reason=operation.reason,
                                    start=time.monotonic())
                look.told_state, look.told_operation_lease_id = operation.state, operation.lease_id
                batch.calls.append(look)
            if operation.state in OPEN_STATES:
                applied = operation.state != "INTENDED" and any(
                    entry["number"] == operation.number and entry["lease_id"] not in claimed
                    and entry["kind"] == ("terminate" if operation.kind == "TERMINATE" else "lease")
                    for entry in entries)
                self.caught[f"{operation.state}{', applied' if applied else ''}"] += 1

    async def read_warm(self, batch, rng):
        """A caller that reads what is in memory, and must always be answered."""
        while True:
            await asyncio.sleep(rng.uniform(0.01, 0.05))
            number = rng.choice((None, *self.warm))
            method = "GetNumber" if number else "ListAvailableNumbers"
            request = (service.GetNumberRequest(phone_number=number) if number
                       else service.ListAvailableNumbersRequest(page_size=5))
            incarnation = self.gateway.incarnation
            # Warm by an earlier read, over a connection that has been made since the last restart.
            channel = (self.next_channel + 1) % CHANNELS
            needs = {(incarnation, number), (incarnation, channel)}
            was_warm = needs <= batch.warm_since
            done = await self.call(-2, method, request, 1.0, "header")
            still = self.gateway.incarnation == incarnation and not self.gateway.was_down(
                done.start, done.end)
            if done.code == "OK" and still:
                batch.warm_since |= needs
            self.violate(checker.check_read(f"{method} ({done.reason})", done.code, was_warm and still))

    async def read_uncached(self, rng):
        """Traffic without faults, as most is, so that the circuit breaker sees some."""
        while True:
            await asyncio.sleep(rng.uniform(0.01, 0.03))
            request = service.GetNumberRequest(phone_number=rng.choice(self.warm[:-POISONED]))
            request.max_staleness.SetInParent()
            await self.call(-2, "GetNumber", request, 1.0, "header")

    async def read_poison(self, rng):
        """Callers that won't leave off a number that can't be read."""
        while True:
            await asyncio.sleep(rng.uniform(0.0, 0.02))
            request = service.GetNumberRequest(phone_number=rng.choice(self.warm[-POISONED:]))
            request.max_staleness.SetInParent()
            await self.call(-2, "GetNumber", request, 1.0, "header")

    # --- batches ---------------------------------------------------------------------------------

    def draw_weather(self, rng):
        """Faults that strike now and then what is in memory."""
        routes = [("GET /leases", ""), ("GET /leased", ""),
                  *[(plan.LOOK, number) for number in self.warm[:WARM // 2]]]
        return [{"route": route, "kind": kind, "fraction": rng.choice((0.02, 0.1)),
                 "when": "before", **({"number": number} if number else {})}
                for route, number in routes for kind in rng.sample(LIST_KINDS, 2)]

    async def run_batch(self, first, indexes):
        """`first` names the batch; of its trials only `indexes` run."""
        self.first = first
        rng = random.Random(f"{self.seed}:batch:{first}")
        batch = Batch(self, (await self.run(self.sandbox.ledger))[-1:])
        trials = [plan.draw_trial(self.seed, index) for index in indexes]
        for trial in trials:
            batch.add(trial)
        violations_before = len(self.violations)
        if plan.is_poisoned(first):
            await self.restart()  # or a circuit could still be open from before
            weather = [{"route": plan.LOOK, "number": number, "kind": rng.choice(POISONS),
                        "fraction": 1} for number in self.warm[-POISONED:]]
        else:
            weather = self.draw_weather(rng)
        await self.post_faults(weather)
        readers = [self.loop.create_task(self.read_warm(batch, random.Random(rng.random())))
                   for _ in range(3)]
        readers += [self.loop.create_task(self.read_uncached(random.Random(rng.random())))]
        if plan.is_poisoned(first):
            readers += [self.loop.create_task(self.read_poison(random.Random(rng.random())))
                        for _ in range(2)]
        try:
            await asyncio.gather(*[self.run_trial(batch, trial) for trial in trials])
            for struck in (await self.ask("GET", "faults"))["faults"]:
                self.faults[struck["kind"]] += struck["hits"] if "fraction" in struck else 0
                self.posted[struck["kind"]] -= struck.get("remaining", 0)
            await self.ask("DELETE", "faults")
            await self.settle(batch)
        finally:
            await self.end(readers)
        if plan.is_limited(first):
            await self.restart()  # or what follows would have no more than is left of the rate
        operations = await self.operations(batch)
        await self.come_back(batch, {operation.request_id: operation for operation in operations}, rng)
        await self.give_all_back(batch)
        await self.judge(batch)
        self.violate(checker.check_resources(self.gateway.max_rss, self.gateway.max_files,
                                             world.RSS_LIMIT, world.FILES_LIMIT))
        if len(self.violations) > violations_before:
            batch.keep(os.path.join(self.folder, f"batch-{first}.json"))

    async def restart(self):
        """As its operators would."""
        async with self.kill_lock:
            code = await self.run(self.gateway.stop)
            if code != 0:
                self.violate([checker.Violation(5, -1, f"the gateway ended with {code} at SIGTERM")])
            await self.run(self.gateway.start)
            for channel in self.channels:
                await asyncio.wait_for(channel.channel_ready(), 10)

    async def settle(self, batch):
        """Invariant 8."""
        start, open_for, code = time.monotonic(), None, ""
        while time.monotonic() < start + 30:
            left = []
            for state in OPEN_STATES:
                request = service.ListOperationsRequest(
                    state=resources.OperationState.Value(f"OPERATION_STATE_{state}"), page_size=1)
                done = await self.call(-1, "ListOperations", request, 5)
                left += done.reply.operations if done.code == "OK" else [done.code]
            if not left:
                open_for = time.monotonic() - start
                break
            await asyncio.sleep(0.05)
        self.settled_after = max(self.settled_after, open_for or 30.0)
        # What was delayed belongs to this batch, also if it comes when nobody expects it any more.
        while time.monotonic() < start + 30:
            if (await self.ask("GET", "requests"))["in_flight"] == 0:
                break
            await asyncio.sleep(0.01)
        while time.monotonic() < start + 30:
            request = service.GetNumberRequest(phone_number=self.warm[0])
            request.max_staleness.SetInParent()
            code = (await self.call(-1, "GetNumber", request, 5)).code
            if code == "OK":
                break
            await asyncio.sleep(0.1)
        self.violate(checker.check_settled(open_for, code))

    async def operations(self, batch):
        """All of this batch, by ListOperations; the newest come first."""
        found, token = [], ""
        while True:
            request = service.ListOperationsRequest(page_size=1000, page_token=token)
            done = await self.call(-1, "ListOperations", request, 10)
            if done.code != "OK":
                raise RuntimeError(f"the journal can't be listed: {done.code} {done.reason}")
            for message in done.reply.operations:
                operation = to_operation(message)
                self.listed[operation.request_id] = (operation.state, operation.lease_id)
                if message.create_time.ToNanoseconds() >= batch.wall_start:
                    found.append(operation)
            token = done.reply.next_page_token
            old = done.reply.operations and (
                done.reply.operations[-1].create_time.ToNanoseconds() < batch.wall_start)
            if not token or old:
                return found

    async def come_back(self, batch, operations, rng):
        """Callers that ask again when all is settled get the same answer."""

        async def ask_again(trial, intent):
            done = await self.write(batch, trial, intent, 10, "client")
            if intent.request_id in operations and done.code not in ("UNAVAILABLE",
                                                                     "RESOURCE_EXHAUSTED"):
                self.violate(checker.check_reply_to_late(done, operations[intent.request_id]))

        again = [(trial, intent) for trial, intent in batch.intents
                 if intent.request_id in operations and not intent.validate_only
                 and rng.random() < 0.6]
        for at in range(0, len(again), 20):
            await asyncio.gather(*[ask_again(*each) for each in again[at:at + 20]])

    async def give_all_back(self, batch):
        """Ends the leases that are left, through the gateway: with no faults it must succeed."""
        entries = await self.run(self.sandbox.ledger, batch.ledger_start)
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
                done = await self.write(batch, trial, intent, 10, "client")
                if done.code == "OK":
                    return
                await asyncio.sleep(0.3)
            self.violate([checker.Violation(8, trial, f"{number} can't be given back without any "
                                            f"fault: {done.code} {done.reason}")])

        numbers = list(held)
        for at in range(0, len(numbers), 20):
            await asyncio.gather(*[end(number) for number in numbers[at:at + 20]])

    async def judge(self, batch):
        operations = await self.operations(batch)
        for operation in operations:
            request = service.GetOperationRequest(request_id=operation.request_id)
            done = await self.call(-1, "GetOperation", request, 10)
            shown = to_operation(done.reply.operation) if done.code == "OK" else done.code
            if shown != operation:
                self.violate([checker.Violation(2, batch.trial_of_number.get(operation.number, -1),
                                                f"{operation} is shown as {shown}")])
        entries = await self.run(self.sandbox.ledger, batch.ledger_start)
        ledger = [checker.Entry(entry["kind"], entry["number"], entry["lease_id"],
                                round(float(entry["amount"]) * 1_000_000)) for entry in entries]
        batch.operations, batch.ledger = operations, ledger
        self.violate(checker.check(batch.calls, operations, ledger, batch.trial_of_number,
                                   batch.anonymous))

    async def finish(self):
        """The gateway ends, and its file says what it said."""
        self.requests = await self.ask("GET", "requests")
        batch = Batch(self, [])
        batch.wall_start = 0
        await self.operations(batch)
        await self.close_channels()
        code = await self.run(self.gateway.stop)
        if code != 0:
            self.violate([checker.Violation(5, -1, f"the gateway ended with {code} at SIGTERM")])
        rows = await self.run(self.gateway.journal_rows, resources.Operation)
        rows = [to_operation(row) for row in rows]
        self.violate(checker.check_journal_file(
            {row.request_id: (row.state, row.lease_id) for row in rows}, self.listed))

    async def work(self, batches):
        await self.set_up()
        tasks = [self.loop.create_task(self.measure_lag()), self.loop.create_task(self.watch_gateway())]
        try:
            for first, indexes in batches:
                await self.run_batch(first, indexes)
                yield self.report()
        finally:
            await self.end(tasks)
        await self.finish()
        yield self.report()

    def report(self):
        faults = collections.Counter(self.faults)
        for kind, count in self.posted.items():
            faults[kind] += count
        return {
            "trials": self.trials, "calls": self.calls, "kills": self.kills, "caught": self.caught,
            "faults": faults, "late": self.late, "settled_after": self.settled_after,
            "violations": self.violations, "max_rss": self.gateway.max_rss,
            "max_files": self.gateway.max_files, "gateway_calls": self.gateway_calls,
            "requests": getattr(self, "requests", {}).get("total", 0),
        }

    def tear_down(self):
        if self.gateway.process and self.gateway.process.poll() is None:
            self.gateway.kill()
            self.gateway.buried()
        self.sandbox.stop()


class Batch:
    """What is recorded of trials that run at once."""

    def __init__(self, driver, last_entries):
        self.driver = driver
        self.ledger_start = last_entries[0]["seq"] if last_entries else 0
        self.wall_start = time.time_ns()
        self.calls = []
        self.intents = []  # (trial, intent)
        self.seen = {}  # number → the lease_ids that callers were told
        self.anonymous = []
        self.trial_of_number = {}
        self.trials = {}
        self.warm_since = set()
        self.operations = self.ledger = ()

    def add(self, trial):
        self.trials[trial.index] = trial
        for number in self.numbers_of(trial.index):
            self.trial_of_number[number] = trial.index
        known = set()
        for steps in trial.callers:
            for step in steps:
                if step.intent and id(step.intent) not in known:
                    known.add(id(step.intent))
                    self.intents.append((trial.index, step.intent))
        self._ids = {intent.request_id: trial for trial, intent in self.intents}

    def numbers_of(self, trial):
        return self.driver.slots[trial % BATCH]

    def word_of(self, trial):
        return f"slot-{trial % BATCH}"

    def ids(self):
        return self._ids

    def trial_of_id(self, request_id):
        return self._ids[request_id]

    def keep(self, path):
        """The three records, for whoever looks into a violation."""
        with open(path, "w", encoding="utf-8") as file:
            json.dump({
                "calls": [dataclasses.asdict(call) for call in self.calls],
                "operations": [dataclasses.asdict(each) for each in self.operations],
                "ledger": [dataclasses.asdict(each) for each in self.ledger],
                "trials": [dataclasses.asdict(each) for each in self.trials.values()],
            }, file, indent=1)
