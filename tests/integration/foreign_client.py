"""Calls every operation of a gateway, knowing the contract only from its reflection service.

Usage: /usr/bin/python3 foreign_client.py HOST:PORT

The gateway must serve a sandbox: this leases a number and gives it back. Exit status 0 when every
reply was right, 1 otherwise.
"""

import sys
import uuid

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "leasegateway.v1.LeaseService"
TIMEOUT = 20  # seconds, a call


def message_class(pool, name):
    descriptor = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):  # Protobuf 4.22 and newer
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def reflection_classes():
    """The two messages of grpc.reflection.v1alpha that are needed, as far as they are needed."""
    kinds = descriptor_pb2.FieldDescriptorProto
    package = "grpc.reflection.v1alpha"
    file = descriptor_pb2.FileDescriptorProto(
        name="reflection_subset.proto", package=package, syntax="proto3")

    def add(message_name, *fields):
        message = file.message_type.add(name=message_name)
        for number, name, kind, repeated in fields:
            field = message.field.add(
                name=name, number=number,
                label=kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL)
            if isinstance(kind, str):
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                field.type = kind

    add("ServerReflectionRequest")
    request = file.message_type[0]
    request.oneof_decl.add(name="message_request")  # keeps presence of an empty string
    for number, name in ((3, "file_by_filename"), (4, "file_containing_symbol"), (7, "list_services")):
        request.field.add(name=name, number=number, type=kinds.TYPE_STRING,
                          label=kinds.LABEL_OPTIONAL, oneof_index=0)
    add("FileDescriptorResponse", (1, "file_descriptor_proto", kinds.TYPE_BYTES, True))
    add("ServiceResponse", (1, "name", kinds.TYPE_STRING, False))
    add("ListServiceResponse", (1, "service", "ServiceResponse", True))
    add("ErrorResponse", (1, "error_code", kinds.TYPE_INT32, False),
        (2, "error_message", kinds.TYPE_STRING, False))
    add("ServerReflectionResponse",
        (4, "file_descriptor_response", "FileDescriptorResponse", False),
        (6, "list_services_response", "ListServiceResponse", False),
        (7, "error_response", "ErrorResponse", False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return (message_class(pool, f"{package}.ServerReflectionRequest"),
            message_class(pool, f"{package}.ServerReflectionResponse"))


class Reflection:
    def __init__(self, channel):
        self.request_class, response_class = reflection_classes()
        self.stream = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=self.request_class.SerializeToString,
            response_deserializer=response_class.FromString)

    def ask(self, **question):
        (response,) = self.stream(iter([self.request_class(**question)]), timeout=TIMEOUT)
        if response.HasField("error_response"):
            raise AssertionError(f"reflection of {question}: {response.error_response}")
        return response

    def services(self):
        response = self.ask(list_services="*")
        return [service.name for service in response.list_services_response.service]

    def pool(self, *symbols):
        """A pool with the files of the symbols and all that these import."""
        files = {}

        def keep(response):
            for data in response.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(data)
                files[file.name] = file

        for symbol in symbols:
            keep(self.ask(file_containing_symbol=symbol))
        pool = descriptor_pool.DescriptorPool()
        added = set()

        def add(name):
            if name in added:
                return
            added.add(name)
            if name not in files:
                keep(self.ask(file_by_filename=name))
            for dependency in files[name].dependency:
                add(dependency)
            pool.Add(files[name])

        for name in list(files):
            add(name)
        return pool


class Client:
    def __init__(self, channel, pool):
        self.channel = channel
        self.pool = pool
        self.called = set()
        self.methods = {method.name: method
                        for method in pool.FindServiceByName(SERVICE).methods}

    def stub(self, name, kind):
        """The method's callable and the class of its requests."""
        method = self.methods[name]
        request_class = message_class(self.pool, method.input_type.full_name)
        response_class = message_class(self.pool, method.output_type.full_name)
        self.called.add(name)
        return kind(f"/{SERVICE}/{name}", request_serializer=request_class.SerializeToString,
                    response_deserializer=response_class.FromString), request_class

    def call(self, name, **fields):
        return self.call_with_metadata(name, **fields)[0]

    def call_with_metadata(self, name, **fields):
        """The reply, and the initial metadata as a dictionary."""
        stub, request_class = self.stub(name, self.channel.unary_unary)
        reply, call = stub.with_call(request_class(**fields), timeout=TIMEOUT)
        return reply, dict(call.initial_metadata())

    def stream(self, name, **fields):
        stub, request_class = self.stub(name, self.channel.unary_stream)
        return stub(request_class(**fields), timeout=TIMEOUT)

    def refused(self, name, code, **fields):
        """The google.rpc.ErrorInfo of a call that must fail with `code`."""
        try:
            reply = self.call(name, **fields)
        except grpc.RpcError as error:
            check(f"{name}{fields} is {code.name}", error.code() == code, error)
            details = dict(error.trailing_metadata()).get("grpc-status-details-bin")
            check(f"{name}{fields} carries a google.rpc.Status", details is not None, error)
            status = message_class(self.pool, "google.rpc.Status").FromString(details)
            check("the google.rpc.Status repeats the code", status.code == code.value[0], status)
            info_class = message_class(self.pool, "google.rpc.ErrorInfo")
            infos = [info_class.FromString(detail.value) for detail in status.details
                     if detail.type_url.endswith("/google.rpc.ErrorInfo")]
            check("there is one ErrorInfo", len(infos) == 1, status)
            check("its domain is leasegateway", infos[0].domain == "leasegateway", infos[0])
            return infos[0]
        raise AssertionError(f"{name}{fields} succeeded: {reply}")


def check(claim, holds, seen):
    if not holds:
        raise AssertionError(f"{claim}: no, saw {seen}")


def enum_value(pool, enum, name):
    return pool.FindEnumTypeByName(f"leasegateway.v1.{enum}").values_by_name[name].number


def search(client):
    """Searches what is listed, and compares with a filter of Python's own."""
    pool = client.pool
    listed = client.call("ListAvailableNumbers").numbers
    reply, metadata = client.call_with_metadata("ListAvailableNumbers")
    check("a list is a hit the second time",
          metadata.get("cache-status", "").startswith("lease-gateway; hit; ttl="), metadata)
    reply, metadata = client.call_with_metadata("ListAvailableNumbers", max_staleness={"seconds": 0})
    check("max_staleness 0 asks the provider",
          "; fwd=request" in metadata.get("cache-status", ""), metadata)

    country, channel = listed[0].location.country, listed[0].capabilities.channels[0]
    expected = {number.phone_number for number in listed
                if number.location.country == country
                and channel in number.capabilities.channels
                and number.health.reputation >= 0.5}
    fields = {
        "filter": message_class(pool, "leasegateway.v1.AvailabilityFilter")(
            countries=[country.lower()], channels=[channel], min_reputation=0.5),
        "order_by": "health.reputation desc, phone_number",
    }
    found = client.call("ListAvailableNumbers", **fields)
    check("a search finds what matches", {n.phone_number for n in found.numbers} == expected,
          found.numbers)
    check("not all numbers match", 2 < len(expected) < len(listed), (len(expected), len(listed)))
    keys = [(-number.health.reputation, number.phone_number) for number in found.numbers]
    check("they are in the order asked for", keys == sorted(keys), keys)

    pages, token = [], ""
    while True:
        page = client.call("ListAvailableNumbers", page_size=2, page_token=token, **fields)
        check("every page knows the total", page.total_size == len(expected), page.total_size)
        check("a page has at most page_size numbers", 0 < len(page.numbers) <= 2, page.numbers)
        pages.extend(number.phone_number for number in page.numbers)
        token = page.next_page_token
        if not token:
            break
    check("the pages are the search", pages == [n.phone_number for n in found.numbers], pages)
    info = client.refused("ListAvailableNumbers", grpc.StatusCode.INVALID_ARGUMENT,
                          page_token="garbage")
    check("the reason is INVALID_PAGE_TOKEN", info.reason == "INVALID_PAGE_TOKEN", info)

    asked = [listed[0].phone_number, "+19999999999", listed[1].phone_number, "12"]
    results = client.call("BatchGetNumbers", phone_numbers=asked).results
    check("a batch keeps the order", [r.phone_number for r in results] == asked, results)
    check("one that fails does not fail the others",
          [r.WhichOneof("result") for r in results] == ["number", "error", "number", "error"],
          results)
    check("a batch returns the numbers",
          [results[i].number.phone_number for i in (0, 2)] == [asked[0], asked[2]], results)
    check("a batch says why", [results[i].error.code for i in (1, 3)] ==
          [grpc.StatusCode.NOT_FOUND.value[0], grpc.StatusCode.INVALID_ARGUMENT.value[0]], results)


def watch(client):
    """Follows the numbers through a lease and its end; leaves nothing leased."""
    stream = client.stream("WatchAvailability")
    have = set()
    for i, message in enumerate(stream):
        check("the first message alone has reset", message.reset == (i == 0), message.reset)
        check("a state is added only", not message.removed and not message.changed, message)
        have.update(number.phone_number for number in message.added)
        if message.resume_token:
            break
    listed = {number.phone_number for number in client.call("ListAvailableNumbers").numbers}
    check("a watch begins with the list", have == listed, have ^ listed)

    def until_change():
        for message in stream:
            if message.added or message.changed or message.removed:
                return message
        raise AssertionError("the watch ended without a change")

    phone_number = min(have)
    client.call("CreateLease", phone_number=phone_number, request_id=str(uuid.uuid4()))
    change = until_change()
    check("a lease removes the number", list(change.removed) == [phone_number], change)
    check("it removes nothing else", not change.added and not change.changed, change)
    check("a change has a token", change.resume_token, change)
    client.call("TerminateLease", phone_number=phone_number, request_id=str(uuid.uuid4()))
    change = until_change()
    check("the lease's end adds it again",
          [number.phone_number for number in change.added] == [phone_number], change)
    stream.cancel()


def buy(client, phone_number):
    pool = client.pool
    request_id = str(uuid.uuid4())
    created = client.call("CreateLease", phone_number=phone_number, request_id=request_id)
    check("CreateLease returns the request_id", created.request_id == request_id, created)
    again = client.call("CreateLease", phone_number=phone_number, request_id=request_id)
    check("the same request again is the same lease", again.lease == created.lease, again)
    operation = client.call("GetOperation", request_id=request_id).operation
    check("GetOperation knows the purchase", operation.lease_id == created.lease.lease_id, operation)
    check("it succeeded", operation.state ==
          enum_value(pool, "OperationState", "OPERATION_STATE_SUCCEEDED"), operation)
    check("CreateLease leases that number", created.lease.phone_number == phone_number, created)
    check("the lease has an id", created.lease.lease_id, created)
    return created


def read(client, phone_number, created):
    pool = client.pool
    got = client.call("GetNumber", phone_number=phone_number)
    check("GetNumber returns the number", got.number.phone_number == phone_number, got)
    check("GetNumber shows the lease", got.number.HasField("lease"), got)

    leases = client.call("ListLeases")
    check("ListLeases has the lease",
          created.lease.lease_id in [lease.lease_id for lease in leases.leases], leases)

    lease = client.call("GetLease", phone_number=phone_number).lease
    check("GetLease returns the lease", lease.lease_id == created.lease.lease_id, lease)
    check("GetLease shows the number", lease.number.phone_number == phone_number, lease)
    check("it is in force",
          lease.status == enum_value(pool, "LeaseStatus", "LEASE_STATUS_ACTIVE"), lease)


def configure(client, phone_number, other):
    pool = client.pool
    failover_class = message_class(pool, "leasegateway.v1.Failover")
    mode = enum_value(pool, "FailoverMode", "FAILOVER_MODE_ALL")
    configured = client.call("ConfigureFailover", phone_number=phone_number,
                             failover=failover_class(enabled=True, mode=mode))
    check("ConfigureFailover returns the number", configured.phone_number == phone_number,
          configured)
    if configured.HasField("failover"):
        check("failover is enabled", configured.failover.enabled, configured)

    enabled = client.call("EnableCallForwarding", phone_number=phone_number, forward_to=other)
    check("EnableCallForwarding forwards there", enabled.call_forwarding.forward_to == other, enabled)
    forwarding = client.call("GetCallForwarding", phone_number=phone_number)
    check("GetCallForwarding returns the number", forwarding.phone_number == phone_number,
          forwarding)
    disabled = client.call("DisableCallForwarding", phone_number=phone_number)
    check("DisableCallForwarding forwards nothing", not disabled.call_forwarding.enabled, disabled)


def give_back(client, phone_number, created):
    request_id = str(uuid.uuid4())
    ended = client.call("TerminateLease", phone_number=phone_number, request_id=request_id)
    check("TerminateLease ends that lease",
          ended.termination.lease_id == created.lease.lease_id, ended)
    check("TerminateLease returns the request_id", ended.request_id == request_id, ended)

    operations = client.call("ListOperations", phone_number=phone_number, page_size=1000).operations
    check("ListOperations has both, the newest first",
          [o.request_id for o in operations][:2] == [ended.request_id, created.request_id],
          operations)


def buy_any(client):
    check("nothing is bought without a ceiling", client.refused(
        "LeaseAnyNumber", grpc.StatusCode.INVALID_ARGUMENT).reason == "PRICE_CEILING_MISSING", "")
    ceiling = {"currency_code": "USD", "units": 1_000_000}
    filter_class = message_class(client.pool, "leasegateway.v1.AvailabilityFilter")
    leased = client.call("LeaseAnyNumber", order_by="pricing.monthly_rate", filter=filter_class(
        max_monthly_rate=ceiling, max_upfront_fee=ceiling))
    check("the gateway names a request without a name", leased.request_id, leased)
    client.call("TerminateLease", phone_number=leased.lease.phone_number,
                lease_id=leased.lease.lease_id)


def exercise(client):
    listed = client.call("ListAvailableNumbers")
    check("total_size counts the numbers", listed.total_size == len(listed.numbers) > 1,
          (listed.total_size, len(listed.numbers)))
    check("the reply says which exchange it came from", listed.metadata.upstream_request_id,
          listed.metadata)

    phone_number, other = listed.numbers[0].phone_number, listed.numbers[1].phone_number
    created = buy(client, phone_number)
    read(client, phone_number, created)
    configure(client, phone_number, other)
    give_back(client, phone_number, created)
    buy_any(client)

    info = client.refused("GetLease", grpc.StatusCode.NOT_FOUND, phone_number=phone_number)
    check("the reason is NOT_LEASED", info.reason == "NOT_LEASED", info)
    info = client.refused("GetNumber", grpc.StatusCode.INVALID_ARGUMENT, phone_number="12")
    check("the reason says what is invalid", info.reason.startswith("INVALID_"), info)

    who = client.call("WhoAmI")
    check("WhoAmI has one account with all rights", [len(a.rights) for a in who.accounts] == [8], who)

    missed = set(client.methods) - client.called
    check("every operation was called", not missed, missed)


def main(arguments):
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    with grpc.insecure_channel(arguments[1]) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=TIMEOUT)
            reflection = Reflection(channel)
            services = reflection.services()
            check("reflection lists the service", SERVICE in services, services)
            pool = reflection.pool(SERVICE, "google.rpc.Status", "google.rpc.ErrorInfo")
            client = Client(channel, pool)
            search(client)
            watch(client)
            exercise(client)
        except (AssertionError, grpc.RpcError, grpc.FutureTimeoutError) as error:
            print(f"foreign client: {error!r}", file=sys.stderr)
            return 1
    print(f"All {len(client.called)} operations answered rightly.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
