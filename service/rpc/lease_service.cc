#include "service/rpc/lease_service.h"

#include <memory>
#include <optional>
#include <utility>

#include "service/rpc/call_bodies.h"
#include "service/rpc/call_record.h"
#include "service/rpc/pinned_slice.h"
#include "service/rpc/raw_request.h"
#include "service/rpc/validation.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

namespace {

absl::Status UnreadableError() {
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidRequest,
                   "the request is no message of this method");
}

// The attempt before may have been carried out by a gateway that then died.
absl::Status RepeatedUnnamedError() {
  return MakeError(absl::StatusCode::kAborted, reason::kOutcomeUnknown,
                   "the client sends this again without a request_id, so nobody can tell what came "
                   "of the attempt before; ListOperations may show it");
}

}  // namespace

template <typename Request>
auto& LeaseService::ApiFor() {
  if constexpr (Recorded<Request>) {
    return recorded_;
  } else {
    return api_;
  }
}

template <typename Request, typename Response>
asio::awaitable<absl::Status> LeaseService::Answer(CallContext call,
                                                   Messages<Request, Response>& messages,
                                                   ByteBuffer* response) {
  auto& api = ApiFor<Request>();
  auto doing = Do(api, std::move(call), &messages.request, &messages.response);
  absl::Status status = co_await std::move(doing);
  if (status.ok()) *response = ToByteBuffer(messages.response.SerializeAsString());
  co_return status;
}

template <typename Request, typename Response>
ServerUnaryReactor* LeaseService::Start(CallbackServerContext* context, Method method,
                                        const ByteBuffer* bytes, ByteBuffer* response) {
  const auto messages = std::make_shared<Messages<Request, Response>>();
  const Request& request = messages->request;
  if (!Parse(*bytes, &messages->request)) return Unreadable(context, method);
  UnaryCall::Description description;
  description.method = method;
  description.may_be_repeated = !IsUnnamed(request);
  if (!description.may_be_repeated && PreviousAttempts(*context) > 0) {
    description.valid = RepeatedUnnamedError();
  } else {
    description.request_id = NameRequest(&messages->request);
    description.valid = Validate(request);
  }
  description.max_staleness = MaxStalenessOf(request);
  return UnaryCall::Start(runtime_, context, std::move(description),
                          [this, messages, response](CallContext call) {
                            return Answer(std::move(call), *messages, response);
                          });
}

ServerUnaryReactor* LeaseService::Hit(CallbackServerContext* context, Method method,
                                      const BytesAnswer& hit,
                                      std::chrono::steady_clock::time_point started,
                                      ByteBuffer* response) {
  *response = ToByteBuffer(*hit.bytes, hit.range);
  return UnaryCall::FinishHit(runtime_, context, method, hit.outcome, started);
}

ServerUnaryReactor* LeaseService::Fail(CallbackServerContext* context, Method method,
                                       absl::Status status) {
  UnaryCall::Description description{.method = method, .valid = std::move(status)};
  return UnaryCall::Start(runtime_, context, std::move(description), nullptr);
}

ServerUnaryReactor* LeaseService::Unreadable(CallbackServerContext* context, Method method) {
  return Fail(context, method, UnreadableError());
}

asio::awaitable<absl::Status> LeaseService::FindNumbers(CallContext context, bool plain,
                                                        const AvailabilitySearch::Query& query,
                                                        ByteBuffer* response) {
  auto answer = co_await api_.FindAvailability(std::move(context));
  if (!answer.ok()) co_return answer.status();
  *response = plain ? ToByteBuffer(*answer->numbers->list_reply())
                    : ToByteBuffer(search_.Answer(query, answer->numbers));
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> LeaseService::Send(
    asio::awaitable<absl::StatusOr<BytesAnswer>> finding, ByteBuffer* response) {
  const auto answer = co_await std::move(finding);
  if (!answer.ok()) co_return answer.status();
  *response = ToByteBuffer(*answer->bytes, answer->range);
  co_return absl::OkStatus();
}

ServerUnaryReactor* LeaseService::ListAvailableNumbers(CallbackServerContext* context,
                                                       const ByteBuffer* bytes,
                                                       ByteBuffer* response) {
  constexpr Method kMethod = Method::kListAvailableNumbers;
  const auto started = std::chrono::steady_clock::now();
  v1::ListAvailableNumbersRequest request;
  if (!Parse(*bytes, &request)) return Unreadable(context, kMethod);
  const auto max_staleness = MaxStalenessOf(request);
  const bool plain = !request.has_filter() && request.order_by().empty() &&
                     request.page_size() == 0 && request.page_token().empty();
  const absl::Status valid = Validate(request);
  if (!valid.ok()) return Fail(context, kMethod, valid);
  if (plain) {
    if (const auto hit = api_.PeekAvailability(max_staleness)) {
      *response = ToByteBuffer(*hit->numbers->list_reply());
      return UnaryCall::FinishHit(runtime_, context, kMethod, hit->outcome, started);
    }
  }
  auto query = search_.Prepare(std::move(request));
  if (!query.ok()) return Fail(context, kMethod, query.status());
  if (query->numbers) {
    *response = ToByteBuffer(search_.Answer(*query, query->numbers));
    CacheOutcome outcome;
    outcome.forward = CacheOutcome::Forward::kHit;
    return UnaryCall::FinishHit(runtime_, context, kMethod, outcome, started);
  }
  if (!plain) {
    if (const auto hit = api_.PeekAvailability(max_staleness)) {
      *response = ToByteBuffer(search_.Answer(*query, hit->numbers));
      return UnaryCall::FinishHit(runtime_, context, kMethod, hit->outcome, started);
    }
  }
  UnaryCall::Description description{.method = kMethod, .max_staleness = max_staleness};
  return UnaryCall::Start(runtime_, context, std::move(description),
                          [this, plain, query = *std::move(query), response](CallContext call) {
                            return FindNumbers(std::move(call), plain, query, response);
                          });
}

ServerUnaryReactor* LeaseService::GetNumber(CallbackServerContext* context, const ByteBuffer* bytes,
                                            ByteBuffer* response) {
  constexpr Method kMethod = Method::kGetNumber;
  const auto started = std::chrono::steady_clock::now();
  v1::GetNumberRequest request;
  if (!Parse(*bytes, &request)) return Unreadable(context, kMethod);
  // Memory has valid numbers only, so most hits need no validation.
  const bool no_bound = !request.has_max_staleness();
  auto hit = no_bound ? api_.PeekNumber(request.phone_number(), std::nullopt) : std::nullopt;
  if (hit) return Hit(context, kMethod, *hit, started, response);
  const absl::Status valid = Validate(request);
  if (!valid.ok()) return Fail(context, kMethod, valid);
  const auto max_staleness = MaxStalenessOf(request);
  if (!no_bound) hit = api_.PeekNumber(request.phone_number(), max_staleness);
  if (hit) return Hit(context, kMethod, *hit, started, response);
  UnaryCall::Description description{.method = kMethod, .max_staleness = max_staleness};
  return UnaryCall::Start(runtime_, context, std::move(description),
                          [this, phone_number = std::move(*request.mutable_phone_number()),
                           response](CallContext call) {
                            return Send(api_.FindNumber(std::move(call), phone_number), response);
                          });
}

ServerUnaryReactor* LeaseService::ListLeases(CallbackServerContext* context,
                                             const ByteBuffer* bytes, ByteBuffer* response) {
  constexpr Method kMethod = Method::kListLeases;
  const auto started = std::chrono::steady_clock::now();
  v1::ListLeasesRequest request;
  if (!Parse(*bytes, &request)) return Unreadable(context, kMethod);
  const absl::Status valid = Validate(request);
  if (!valid.ok()) return Fail(context, kMethod, valid);
  const auto max_staleness = MaxStalenessOf(request);
  if (const auto hit = api_.PeekLeases(max_staleness)) {
    return Hit(context, kMethod, *hit, started, response);
  }
  UnaryCall::Description description{.method = kMethod, .max_staleness = max_staleness};
  return UnaryCall::Start(runtime_, context, std::move(description),
                          [this, response](CallContext call) {
                            return Send(api_.FindLeases(std::move(call)), response);
                          });
}

grpc::ServerWriteReactor<ByteBuffer>* LeaseService::WatchAvailability(
    CallbackServerContext* context, const ByteBuffer* bytes) {
  v1::WatchAvailabilityRequest request;
  absl::Status valid = Parse(*bytes, &request) ? Validate(request) : UnreadableError();
  return watches_.Watch(context, std::move(request), std::move(valid));
}

ServerUnaryReactor* LeaseService::BatchGetNumbers(CallbackServerContext* context,
                                                  const ByteBuffer* bytes, ByteBuffer* response) {
  return Start<v1::BatchGetNumbersRequest, v1::BatchGetNumbersResponse>(
      context, Method::kBatchGetNumbers, bytes, response);
}

ServerUnaryReactor* LeaseService::CreateLease(CallbackServerContext* context,
                                              const ByteBuffer* bytes, ByteBuffer* response) {
  return Start<v1::CreateLeaseRequest, v1::CreateLeaseResponse>(context, Method::kCreateLease,
                                                                bytes, response);
}

ServerUnaryReactor* LeaseService::LeaseAnyNumber(CallbackServerContext* context,
                                                 const ByteBuffer* bytes, ByteBuffer* response) {
  return Start<v1::LeaseAnyNumberRequest, v1::LeaseAnyNumberResponse>(
      context, Method::kLeaseAnyNumber, bytes, response);
}

ServerUnaryReactor* LeaseService::GetOperation(CallbackServerContext* context,
                                               const ByteBuffer* bytes, ByteBuffer* response) {
  return Start<v1::GetOperationRequest, v1::GetOperationResponse>(context, Method::kGetOperation,
                                                                  bytes, response);
}

ServerUnaryReactor* LeaseService::ListOperations(CallbackServerContext* context,
                                                 const ByteBuffer* bytes, ByteBuffer* response) {
  return Start<v1::ListOperationsRequest, v1::ListOperationsResponse>(
      context, Method::kListOperations, bytes, response);
}

ServerUnaryReactor* LeaseService::GetLease(CallbackServerContext* context, const ByteBuffer* bytes,
                                           ByteBuffer* response) {
  return Start<v1::GetLeaseRequest, v1::GetLeaseResponse>(context, Method::kGetLease, bytes,
                                                          response);
}

ServerUnaryReactor* LeaseService::TerminateLease(CallbackServerContext* context,
                                                 const ByteBuffer* bytes, ByteBuffer* response) {
  return Start<v1::TerminateLeaseRequest, v1::TerminateLeaseResponse>(
      context, Method::kTerminateLease, bytes, response);
}

ServerUnaryReactor* LeaseService::ConfigureFailover(CallbackServerContext* context,
                                                    const ByteBuffer* bytes, ByteBuffer* response) {
  return Start<v1::ConfigureFailoverRequest, v1::ConfigureFailoverResponse>(
      context, Method::kConfigureFailover, bytes, response);
}

ServerUnaryReactor* LeaseService::GetCallForwarding(CallbackServerContext* context,
                                                    const ByteBuffer* bytes, ByteBuffer* response) {
  return Start<v1::GetCallForwardingRequest, v1::GetCallForwardingResponse>(
      context, Method::kGetCallForwarding, bytes, response);
}

ServerUnaryReactor* LeaseService::EnableCallForwarding(CallbackServerContext* context,
                                                       const ByteBuffer* bytes,
                                                       ByteBuffer* response) {
  return Start<v1::EnableCallForwardingRequest, v1::EnableCallForwardingResponse>(
      context, Method::kEnableCallForwarding, bytes, response);
}

ServerUnaryReactor* LeaseService::DisableCallForwarding(CallbackServerContext* context,
                                                        const ByteBuffer* bytes,
                                                        ByteBuffer* response) {
  return Start<v1::DisableCallForwardingRequest, v1::DisableCallForwardingResponse>(
      context, Method::kDisableCallForwarding, bytes, response);
}

}  // namespace leasegateway
