"""The gateway's messages as what the checker compares."""

import dataclasses
import hashlib

import grpc
from google.rpc import error_details_pb2, status_pb2
from leasegateway.v1 import resources_pb2 as resources

import checker

CODES = {code.value[0]: code.name for code in grpc.StatusCode}
OPEN_STATES = ("INTENDED", "SENT", "UNKNOWN")


def name_of(enum, prefix, value):
    return enum.Name(value).removeprefix(prefix)


def trace_of(request_id):
    """The trace of every call with this request_id, so that what is sent for it can be told."""
    return hashlib.sha256(request_id.encode()).hexdigest()[:32]


def micros(pricing):
    """Upfront fee and monthly rate; None when one of them is not known."""
    if not (pricing.HasField("upfront_fee") and pricing.HasField("monthly_rate")):
        return None
    return sum(money.units * 1_000_000 + money.nanos // 1000
               for money in (pricing.upfront_fee, pricing.monthly_rate))


def reason_of(trailers):
    for key, value in trailers or ():
        if key == "grpc-status-details-bin":
            return reason_in(status_pb2.Status.FromString(value))
    return ""


def reason_in(status):
    for detail in status.details:
        if detail.type_url.endswith("/google.rpc.ErrorInfo"):
            return error_details_pb2.ErrorInfo.FromString(detail.value).reason
    return ""


def to_call(call, number, error):
    """What one call was told of one number, when it asked for several."""
    return dataclasses.replace(call, number=number, code=CODES[error.code],
                               reason=reason_in(error), text=error.message, told_leases=())


def to_operation(message):
    reason = reason_in(message.error)
    kind = name_of(resources.OperationKind, "OPERATION_KIND_", message.kind)
    result = message.termination if kind == "TERMINATE" else message.lease
    return checker.Operation(
        message.request_id, kind, name_of(resources.OperationState, "OPERATION_STATE_", message.state),
        message.phone_number, message.lease_id,
        name_of(resources.OperationSettlement, "OPERATION_SETTLEMENT_", message.settlement), reason,
        result.lease_id, result.phone_number,
        micros(message.price) if message.HasField("price") else None)


def parse_operation(data):
    """As the journal's file has it."""
    return to_operation(resources.Operation.FromString(data))
