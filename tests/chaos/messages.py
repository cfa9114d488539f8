"""The gateway's messages as what the checker compares."""

import dataclasses
import hashlib

import grpc
from google.rpc import error_details_pb2, status_pb2
from leasegateway.v1 import resources_pb2 as resources

import checker
import limits

CODES = {code.value[0]: code.name for code in grpc.StatusCode}
OPEN_STATES = ("INTENDED", "SENT", "UNKNOWN")


def name_of(enum, prefix, value):
    return enum.Name(value).removeprefix(prefix)


def trace_of(request_id):
    """The trace of every call with this request_id, so that what is sent for it can be told."""
    return hashlib.sha256(request_id.encode()).hexdigest()[:32]


def micros(money):
    return money.units * 1_000_000 + money.nanos // 1000


def info_of(trailers):
    """The reason, and its metadata; both are empty where there is none."""
    for key, value in trailers or ():
        if key == "grpc-status-details-bin":
            return info_in(status_pb2.Status.FromString(value))
    return "", {}


def info_in(status):
    for detail in status.details:
        if detail.type_url.endswith("/google.rpc.ErrorInfo"):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            return info.reason, dict(info.metadata)
    return "", {}


def reason_in(status):
    return info_in(status)[0]


def to_call(call, number, error):
    """What one call was told of one number, when it asked for several."""
    return dataclasses.replace(call, number=number, code=CODES[error.code],
                               reason=reason_in(error), text=error.message, told_leases=())


def to_operation(message):
    reason = reason_in(message.error)
    kind = name_of(resources.OperationKind, "OPERATION_KIND_", message.kind)
    result = message.termination if kind == "TERMINATE" else message.lease
    price = message.price
    is_known = price.HasField("upfront_fee") and price.HasField("monthly_rate")
    fee, rate = micros(price.upfront_fee), micros(price.monthly_rate)
    return checker.Operation(
        message.request_id, kind, name_of(resources.OperationState, "OPERATION_STATE_", message.state),
        message.phone_number, message.lease_id,
        name_of(resources.OperationSettlement, "OPERATION_SETTLEMENT_", message.settlement), reason,
        result.lease_id, result.phone_number, fee + rate if is_known else None,
        message.caller, message.account,
        name_of(resources.IdentityKind, "IDENTITY_KIND_", message.identity_kind),
        price.monthly_rate.currency_code, fee, rate, message.create_time.ToNanoseconds() / 1e9,
        message.update_time.ToNanoseconds() / 1e9)


def to_states(reply):
    """The limits that WhoAmI shows, but for those of use."""
    found = []
    for account, shown in ((None, reply.limits),
                           *[(each.account, each.limits) for each in reply.accounts]):
        for limit in shown:
            scope = name_of(resources.LimitScope, "LIMIT_SCOPE_", limit.scope).lower()
            if limit.name in limits.COUNTS + limits.SUMS + limits.SINGLE:
                found.append(limits.State(
                    {"caller": ("caller", reply.caller), "account": ("account", account)}.get(
                        scope, (scope, reply.caller, account)), limit.name,
                    limit.limit.money.currency_code, _amount(limit.limit),
                    _amount(limit.used) if limit.HasField("used") else None,
                    _amount(limit.left) if limit.HasField("left") else None))
    return found


def _amount(amount):
    return micros(amount.money) if amount.HasField("money") else amount.count


def parse_operation(data):
    """As the journal's file has it."""
    return to_operation(resources.Operation.FromString(data))
