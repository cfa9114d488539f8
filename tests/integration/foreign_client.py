"""Calls all ten operations of a gateway, knowing the contract only from its reflection service.

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

    def call(self, name, **fields):
        method = self.methods[name]
        request = message_class(self.pool, method.input_type.full_name)(**fields)
        stub = self.channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=message_class(
                self.pool, method.output_type.full_name).FromString)
        reply = stub(request, timeout=TIMEOUT)
        self.called.add(name)
        return reply

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


def exercise(client):
    pool = client.pool
    listed = client.call("ListAvailableNumbers")
    check("total_size counts the numbers", listed.total_size == len(listed.numbers) > 1,
          (listed.total_size, len(listed.numbers)))
    check("the reply says which exchange it came from", listed.metadata.upstream_request_id,
          listed.metadata)

    phone_number = listed.numbers[0].phone_number
    request_id = str(uuid.uuid4())
    created = client.call("CreateLease", phone_number=phone_number, request_id=request_id)
    other = listed.numbers[1].phone_number
    check("CreateLease returns the request_id", created.request_id == request_id, created)
    check("CreateLease leases that number", created.lease.phone_number == phone_number, created)
    check("the lease has an id", created.lease.lease_id, created)

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

    request_id = str(uuid.uuid4())
    ended = client.call("TerminateLease", phone_number=phone_number, request_id=request_id)
    check("TerminateLease ends that lease",
          ended.termination.lease_id == created.lease.lease_id, ended)
    check("TerminateLease returns the request_id", ended.request_id == request_id, ended)

    info = client.refused("GetLease", grpc.StatusCode.NOT_FOUND, phone_number=phone_number)
    check("the reason is NOT_LEASED", info.reason == "NOT_LEASED", info)
    info = client.refused("GetNumber", grpc.StatusCode.INVALID_ARGUMENT, phone_number="12")
    check("the reason says what is invalid", info.reason.startswith("INVALID_"), info)

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
            exercise(client)
        except (AssertionError, grpc.RpcError, grpc.FutureTimeoutError) as error:
            print(f"foreign client: {error!r}", file=sys.stderr)
            return 1
    print(f"All {len(client.called)} operations answered rightly.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
