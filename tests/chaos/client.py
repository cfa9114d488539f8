"""A client of the gateway: each call, what came of it and whether it ended in time."""

import asyncio
import itertools
import random
import time

import grpc
from leasegateway.v1 import lease_service_pb2 as service

import checker
import limits
import messages
import names
import plan
import world

CHANNELS = 4
# Seconds that a thread waited for a processor. The first is the least time after which a call without an
# answer speaks against the provider; the breaker remembers such a one for so long.
BUSY, CIRCUIT_REMEMBERS = 0.1, 15.0


class Client:
    """Trial -1 in a call is the driver itself; -2 a caller that belongs to no trial."""

    def __init__(self, gateways, tally, access=None):
        """`access`: whom the gateways know; None: everybody may do all."""
        self.gateways, self.tally, self.access = gateways, tally, access
        self.lag = world.Lag()
        self.channels, self.stubs = [], {}  # by gateway; by method, then by gateway
        self.next_channel = self.next_gateway = 0

    def open(self):
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1),
                   ("grpc.initial_reconnect_backoff_ms", 50),
                   # Of a connection that is slow to come about: a busy machine's may be.
                   ("grpc.min_reconnect_backoff_ms", 1000),
                   ("grpc.max_reconnect_backoff_ms", 200), ("grpc.enable_http_proxy", 0)]
        self.channels = [[grpc.aio.insecure_channel(f"127.0.0.1:{gateway.port}", options=options)
                          for _ in range(CHANNELS)] for gateway in self.gateways]
        self.next_channel = 0
        self.stubs = {}
        for method in service.DESCRIPTOR.services_by_name["LeaseService"].methods:
            if not method.server_streaming:
                response = getattr(service, method.output_type.name)
                self.stubs[method.name] = [[
                    channel.unary_unary(f"/leasegateway.v1.LeaseService/{method.name}",
                                        request_serializer=lambda request: request.SerializeToString(),
                                        response_deserializer=response.FromString)
                    for channel in channels] for channels in self.channels]

    async def close(self):
        for channel in itertools.chain.from_iterable(self.channels):
            await channel.close()

    async def ready(self):
        """Until each channel has a connection."""
        for channel in itertools.chain.from_iterable(self.channels):
            await asyncio.wait_for(channel.channel_ready(), 10)

    async def measure_lag(self):
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            now = time.monotonic()
            self.lag.add(now, now - before - 0.005)

    def next_replica(self):
        """The gateway whose turn it is, that one that is not there is left out."""
        self.next_gateway = (self.next_gateway + 1) % len(self.gateways)
        for _ in self.gateways:
            if self.gateways[self.next_gateway].up:
                break
            self.next_gateway = (self.next_gateway + 1) % len(self.gateways)
        return self.next_gateway

    def introduce(self, request, account, caller):
        """Who asks for which account, and the metadata that says so; the request says the other."""
        if not self.access:
            return account, caller, ()
        account = self.access.accounts[0] if account == "" else account
        caller = caller or self.access.DRIVER
        if account is not None:
            request.account = account
        return account, caller, self.access.metadata(caller)

    async def call(self, trial, method, request, deadline, ends="client", cancel_after=None,
                   replica=None, account="", caller="", **sent):
        """One call, of one replica or of the next, and what came of it as a checker.Call with `reply`.

        Of those whom the gateways know: `account`, empty for the first, None for none; `caller`, empty
        for the driver.
        """
        if replica is None:
            replica = self.next_replica()
        gateway = self.gateways[replica]
        self.next_channel = (self.next_channel + 1) % CHANNELS
        stub = self.stubs[method][replica][self.next_channel]
        # The gateway can't end what it has not got: what waits for its connection isn't measured.
        state = self.channels[replica][self.next_channel].get_state(try_to_connect=True)
        measured = ends != "client" and state == grpc.ChannelConnectivity.READY
        start = time.monotonic()
        watchdog = cancel = None
        left = []  # whether this has cancelled the call, and not somebody the task

        def leave():
            left.append(True)
            running.cancel()

        account, caller, traced = self.introduce(request, account, caller)
        if sent.get("request_id"):
            span = f"{random.getrandbits(64) or 1:016x}"
            traced += (("traceparent", f"00-{messages.trace_of(sent['request_id'])}-{span}-01"),)
        if ends == "client":
            running = stub(request, timeout=deadline, metadata=traced)
        else:
            # The library would end a call with a timeout by itself, and not show whether the gateway
            # does. So only the gateway is told.
            if ends == "default":
                deadline = world.DEFAULT_DEADLINE
            metadata = (("grpc-timeout", f"{deadline * 1000:.0f}m"),) if ends == "header" else ()
            running = stub(request, metadata=metadata + traced)
            watchdog = asyncio.get_running_loop().call_later(deadline + checker.WATCHDOG, leave)
        if cancel_after is not None:
            cancel = asyncio.get_running_loop().call_later(cancel_after, leave)
        reply, reason, text, refusal = None, "", "", None
        incarnation, knew = gateway.incarnation, gateway.has_reached(account)
        try:
            reply = await running
            code = "OK"
        except grpc.aio.AioRpcError as error:
            code, (reason, metadata) = error.code().name, messages.info_of(error.trailing_metadata())
            text = error.details() or ""
            refusal = metadata if reason == limits.REFUSED else None
        except asyncio.CancelledError:
            if not left:
                raise
            code = "CANCELLED"
        end = time.monotonic()
        for timer in (watchdog, cancel):
            if timer:
                timer.cancel()
        still = gateway.incarnation == incarnation and not gateway.was_down(start, end)
        if knew and still:
            self.tally.violate(checker.check_names(
                trial, f"{method} at {gateway.name}", names.host(gateway.index), text))
        elif still and code == "OK" and method == "GetNumber" and request.HasField("max_staleness"):
            gateway.reached[account] = incarnation
        if trial >= 0 or trial == -2:
            self.tally.gateway_calls += 1
            self.tally.calls[f"{method} {code}{' ' + reason if reason else ''}"] += 1
            if plan.is_poisoned(self.tally.first):
                self.check_poisoned(trial, method, reason, gateway, start, end)
            if measured and not gateway.was_down(start, end):
                what = f"{method} ({ends}, {code}) at {gateway.name}"
                await self.count_lateness(trial, what, gateway, start, end, deadline)
        done = checker.Call(trial, method, code, reason=reason, text=text, start=start, end=end,
                            replica=replica, caller=caller, account=account or "", refusal=refusal,
                            **sent)
        done.reply = reply
        return done

    def check_poisoned(self, trial, method, reason, gateway, start, end):
        """Who gets no processor does not answer in time, which opens a circuit: rightly."""
        found = checker.check_poisoned(trial, method, reason)
        if found and any(each.waits.most(start - CIRCUIT_REMEMBERS, end) > BUSY
                         for each in (gateway, gateway.sandbox)):
            self.tally.excused["CIRCUIT_OPEN"] += 1
            return
        self.tally.violate(found)

    def kept_waiting(self, gateway, start, end):
        """Seconds of a call for which the machine kept this, the gateway or the provider from running."""
        return max(self.lag.lost(start, end), *[each.waits.waited(start, end)
                                                for each in (gateway, gateway.sandbox)])

    async def count_lateness(self, trial, what, gateway, start, end, deadline):
        """Of a call that the gateway had to end."""
        own = 0.0
        if end > start + deadline + 0.02:
            # After a stall of this loop the measurement of it may be the next in turn.
            await asyncio.sleep(0.02)
            # The gateway counts from when the request was sent, which the loop does in its next turn.
            own = self.lag.held_up(start)
            own += self.lag.lost(start + own + deadline, end)
        late = checker.lateness(start + deadline, end, own)
        if late > 0.02:
            await world.off_loop(gateway.observe)
            waited = gateway.waits.waited(start + deadline, end)
            excused = max(0.0, late - waited)
            if late > checker.LATEST >= excused:
                self.tally.excused["late calls"] += 1
            late = excused
        self.tally.late[round(late * 1000)] += 1
        self.tally.violate(checker.check_lateness(trial, what, late))
