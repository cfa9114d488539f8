#include "service/rpc/lease_service.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "service/rpc/call_bodies.h"
#include "service/rpc/call_record.h"
#include "service/rpc/consistency.h"
#include "service/rpc/pinned_slice.h"
#include "service/rpc/raw_request.h"
#include "service/rpc/validation.h"
#include "service/rpc/who_am_i.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

namespace {

// The attempt before may have been carried out by a gateway that then died.
absl::Status RepeatedUnnamedError() {
  return MakeError(absl::StatusCode::kAborted, reason::kOutcomeUnknown,
                   "the client sends this again without a request_id, so nobody can tell what came "
                   "of the attempt before; ListOperations may show it");
}

// How long a write's reply waits for its place in the log that replicas share.
constexpr std::chrono::milliseconds kTokenPatience{250};

template <typename Request>
concept Writes = std::is_same_v<Request, v1::CreateLeaseRequest> ||
    std::is_same_v<Request, v1::LeaseAnyNumberRequest> ||
    std::is_same_v<Request, v1::TerminateLeaseRequest> ||
    std::is_same_v<Request, v1::ConfigureFailoverRequest> ||
    std::is_same_v<Request, v1::EnableCallForwardingRequest> ||
    std::is_same_v<Request, v1::DisableCallForwardingRequest>;

template <typename Request>
auto& ApiFor(const AccountStack& account) {
  if constexpr (Recorded<Request>) {
    return account.recorded;
  } else {
    return account.api;
  }
}

}  // namespace

template <typename Request, typename Response>
asio::awaitable<absl::Status> LeaseService::Answer(const AccountStack& account, CallContext call,
                                                   Missing missing,
                                                   Messages<Request, Response>& messages,
                                                   CallbackServerContext* context,
                                                   ByteBuffer* response) {
  auto including = Included(account, std::move(call), missing);
  call = co_await std::move(including);
  const auto deadline = call.deadline;
  const auto stats = call.stats;
  auto doing = Do(ApiFor<Request>(account), std::move(call), &messages.request, &messages.response);
  absl::Status status = co_await std::move(doing);
  if (!status.ok()) co_return status;
  if constexpr (Writes<Request>) {
    auto seeing =
        ConsistencyNow(account.api.account(), stats->settled_at,
                       std::min(deadline, std::chrono::steady_clock::now() + kTokenPatience));
    std::string token = EncodeConsistency(co_await std::move(seeing), account.name);
    context->AddTrailingMetadata(kConsistencyMetadata, token);
    messages.response.mutable_metadata()->set_consistency_token(std::move(token));
  }
  *response = ToByteBuffer(messages.response.SerializeAsString());
  co_return status;
}

template <typename Request>
absl::StatusOr<LeaseService::Missing> LeaseService::MissingOf(const AccountStack& account,
                                                              const CallbackServerContext& context,
                                                              const Request& request) {
  if constexpr (requires { request.consistency_token(); }) {
    auto wanted = ConsistencyOf(context, request.consistency_token(), account.name);
    if (wanted.ok() && *wanted && account.api.account().HasSeen((*wanted)->seen)) {
      return std::nullopt;
    }
    return wanted;
  }
  return std::nullopt;
}

asio::awaitable<CallContext> LeaseService::Included(const AccountStack& account, CallContext call,
                                                    Missing missing) {
  if (!missing) co_return call;
  auto including = Include(account.api.account(), *missing, std::move(call));
  co_return co_await std::move(including);
}

template <typename Request>
Admission::Verdict LeaseService::Admit(const CallbackServerContext& context, Method method,
                                       const ByteBuffer& bytes, Request* request) {
  absl::Status read = Parse(bytes, runtime_.max_request_bytes, request);
  if (!read.ok()) return {std::move(read), {}, nullptr};
  return admission_.Admit(context, method, request->account());
}

template <typename Request, typename Response>
ServerUnaryReactor* LeaseService::Start(CallbackServerContext* context, Method method,
                                        const ByteBuffer* bytes, ByteBuffer* response) {
  const auto messages = std::make_shared<Messages<Request, Response>>();
  const Request& request = messages->request;
  auto admitted = Admit(*context, method, *bytes, &messages->request);
  if (!admitted.status.ok()) {
    return Fail(context, method, std::move(admitted.caller), std::move(admitted.status));
  }
  const AccountStack& account = *admitted.account;
  UnaryCall::Description description;
  description.method = method;
  description.caller = std::move(admitted.caller);
  description.response = response;
  description.may_be_repeated = !IsUnnamed(request);
  if (!description.may_be_repeated && PreviousAttempts(*context) > 0) {
    description.valid = RepeatedUnnamedError();
  } else {
    description.request_id = NameRequest(&messages->request);
    description.valid = Validate(request);
  }
  description.max_staleness = MaxStalenessOf(request);
  const auto missing = MissingOf(account, *context, request);
  if (description.valid.ok()) description.valid = missing.status();
  return UnaryCall::Start(
      runtime_, context, std::move(description),
      [this, &account, messages, missing = missing.ok() ? *missing : std::nullopt, context,
       response](CallContext call) {
        return Answer(account, std::move(call), missing, *messages, context, response);
      });
}

ServerUnaryReactor* LeaseService::Hit(CallbackServerContext* context, Method method,
                                      const CallCaller& caller, const BytesAnswer& hit,
                                      std::chrono::steady_clock::time_point started,
                                      ByteBuffer* response) {
  *response = ToByteBuffer(hit.reply);
  return UnaryCall::FinishHit(runtime_, context, method, caller, *response, hit.outcome, started);
}

ServerUnaryReactor* LeaseService::Fail(CallbackServerContext* context, Method method,
                                       CallCaller caller, absl::Status status) {
  UnaryCall::Description description{
      .method = method, .caller = std::move(caller), .valid = std::move(status)};
  return UnaryCall::Start(runtime_, context, std::move(description), nullptr);
}

ByteBuffer LeaseService::Searched(const AccountStack& account,
                                  const AvailabilitySearch::Query& query,
                                  const AvailabilityAnswer& answer) {
  // Unless there is a next page, nobody asks for the entry.
  const auto entry =
      query.page_size > 0 ? account.api.account().EntryOf(answer.version) : std::nullopt;
  return ToByteBuffer(account.search.Answer(query, answer.numbers, entry));
}

asio::awaitable<absl::Status> LeaseService::FindNumbers(const AccountStack& account,
                                                        CallContext call, Missing missing,
                                                        bool plain,
                                                        const AvailabilitySearch::Query& query,
                                                        ByteBuffer* response) {
  auto including = Included(account, std::move(call), missing);
  call = co_await std::move(including);
  auto answer = co_await account.api.FindAvailability(std::move(call));
  if (!answer.ok()) co_return answer.status();
  *response =
      plain ? ToByteBuffer(answer->numbers->list_reply()) : Searched(account, query, *answer);
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> LeaseService::FindPage(const AccountStack& account, CallContext call,
                                                     AvailabilitySearch::Query query,
                                                     ByteBuffer* response) {
  auto restoring = account.api.account().NumbersAt(*query.entry, call.deadline);
  const auto numbers = co_await std::move(restoring);
  if (!numbers) co_return AvailabilitySearch::Expired();
  account.search.Continue(&query, numbers);
  *response = ToByteBuffer(account.search.Answer(query, numbers, query.entry));
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> LeaseService::FindNumber(const AccountStack& account,
                                                       CallContext call, Missing missing,
                                                       std::string phone_number,
                                                       ByteBuffer* response) {
  auto including = Included(account, std::move(call), missing);
  call = co_await std::move(including);
  auto finding = account.api.FindNumber(std::move(call), std::move(phone_number));
  const auto answer = co_await std::move(finding);
  if (!answer.ok()) co_return answer.status();
  *response = ToByteBuffer(answer->reply);
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> LeaseService::FindLeases(const AccountStack& account,
                                                       CallContext call, Missing missing,
                                                       ByteBuffer* response) {
  auto including = Included(account, std::move(call), missing);
  call = co_await std::move(including);
  const auto answer = co_await account.api.FindLeases(std::move(call));
  if (!answer.ok()) co_return answer.status();
  *response = ToByteBuffer(answer->reply);
  co_return absl::OkStatus();
}

ServerUnaryReactor* LeaseService::ListAvailableNumbers(CallbackServerContext* context,
                                                       const ByteBuffer* bytes,
                                                       ByteBuffer* response) {
  constexpr Method kMethod = Method::kListAvailableNumbers;
  const auto started = std::chrono::steady_clock::now();
  v1::ListAvailableNumbersRequest request;
  auto [admitted, caller, stack] = Admit(*context, kMethod, *bytes, &request);
  if (!admitted.ok()) return Fail(context, kMethod, std::move(caller), std::move(admitted));
  const AccountStack& account = *stack;
  const auto max_staleness = MaxStalenessOf(request);
  const bool plain = !request.has_filter() && request.order_by().empty() &&
                     request.page_size() == 0 && request.page_token().empty();
  const absl::Status valid = Validate(request);
  if (!valid.ok()) return Fail(context, kMethod, std::move(caller), valid);
  const auto missing = MissingOf(account, *context, request);
  if (!missing.ok()) return Fail(context, kMethod, std::move(caller), missing.status());
  if (plain && !*missing) {
    if (const auto hit = account.api.PeekAvailability(max_staleness)) {
      *response = ToByteBuffer(hit->numbers->list_reply());
      return UnaryCall::FinishHit(runtime_, context, kMethod, caller, *response, hit->outcome,
                                  started);
    }
  }
  auto query = account.search.Prepare(std::move(request));
  if (!query.ok()) return Fail(context, kMethod, std::move(caller), query.status());
  if (query->numbers) {
    *response = ToByteBuffer(account.search.Answer(*query, query->numbers, query->entry));
    CacheOutcome outcome;
    outcome.forward = CacheOutcome::Forward::kHit;
    return UnaryCall::FinishHit(runtime_, context, kMethod, caller, *response, outcome, started);
  }
  UnaryCall::Description description{.method = kMethod,
                                     .caller = std::move(caller),
                                     .max_staleness = max_staleness,
                                     .response = response};
  if (query->entry) {
    description.max_staleness.reset();
    return UnaryCall::Start(
        runtime_, context, std::move(description),
        [this, &account, query = *std::move(query), response](CallContext call) {
          return FindPage(account, std::move(call), query, response);
        });
  }
  if (!plain && !*missing) {
    if (const auto hit = account.api.PeekAvailability(max_staleness)) {
      *response = Searched(account, *query, *hit);
      return UnaryCall::FinishHit(runtime_, context, kMethod, description.caller, *response,
                                  hit->outcome, started);
    }
  }
  return UnaryCall::Start(runtime_, context, std::move(description),
                          [this, &account, missing = *missing, plain, query = *std::move(query),
                           response](CallContext call) {
                            return FindNumbers(account, std::move(call), missing, plain, query,
                                               response);
                          });
}

ServerUnaryReactor* LeaseService::GetNumber(CallbackServerContext* context, const ByteBuffer* bytes,
                                            ByteBuffer* response) {
  constexpr Method kMethod = Method::kGetNumber;
  const auto started = std::chrono::steady_clock::now();
  v1::GetNumberRequest request;
  auto [admitted, caller, stack] = Admit(*context, kMethod, *bytes, &request);
  if (!admitted.ok()) return Fail(context, kMethod, std::move(caller), std::move(admitted));
  const AccountStack& account = *stack;
  // Memory has valid numbers only, so most hits need no validation.
  const auto missing = MissingOf(account, *context, request);
  if (!missing.ok()) return Fail(context, kMethod, std::move(caller), missing.status());
  const bool no_bound = !request.has_max_staleness() && !*missing;
  auto hit = no_bound ? account.api.PeekNumber(request.phone_number(), std::nullopt) : std::nullopt;
  if (hit) return Hit(context, kMethod, caller, *hit, started, response);
  const absl::Status valid = Validate(request);
  if (!valid.ok()) return Fail(context, kMethod, std::move(caller), valid);
  const auto max_staleness = MaxStalenessOf(request);
  if (!no_bound && !*missing) hit = account.api.PeekNumber(request.phone_number(), max_staleness);
  if (hit) return Hit(context, kMethod, caller, *hit, started, response);
  UnaryCall::Description description{
      .method = kMethod, .caller = std::move(caller), .max_staleness = max_staleness};
  return UnaryCall::Start(
      runtime_, context, std::move(description),
      [this, &account, missing = *missing,
       phone_number = std::move(*request.mutable_phone_number()), response](CallContext call) {
        return FindNumber(account, std::move(call), missing, phone_number, response);
      });
}

ServerUnaryReactor* LeaseService::ListLeases(CallbackServerContext* context,
                                             const ByteBuffer* bytes, ByteBuffer* response) {
  constexpr Method kMethod = Method::kListLeases;
  const auto started = std::chrono::steady_clock::now();
  v1::ListLeasesRequest request;
  auto [admitted, caller, stack] = Admit(*context, kMethod, *bytes, &request);
  if (!admitted.ok()) return Fail(context, kMethod, std::move(caller), std::move(admitted));
  const AccountStack& account = *stack;
  const absl::Status valid = Validate(request);
  if (!valid.ok()) return Fail(context, kMethod, std::move(caller), valid);
  const auto missing = MissingOf(account, *context, request);
  if (!missing.ok()) return Fail(context, kMethod, std::move(caller), missing.status());
  const auto max_staleness = MaxStalenessOf(request);
  auto hit = *missing ? std::nullopt : account.api.PeekLeases(max_staleness);
  if (hit) return Hit(context, kMethod, caller, *hit, started, response);
  UnaryCall::Description description{.method = kMethod,
                                     .caller = std::move(caller),
                                     .max_staleness = max_staleness,
                                     .response = response};
  return UnaryCall::Start(runtime_, context, std::move(description),
                          [this, &account, missing = *missing, response](CallContext call) {
                            return FindLeases(account, std::move(call), missing, response);
                          });
}

grpc::ServerWriteReactor<ByteBuffer>* LeaseService::WatchAvailability(
    CallbackServerContext* context, const ByteBuffer* bytes) {
  v1::WatchAvailabilityRequest request;
  auto [valid, caller, stack] = Admit(*context, Method::kWatchAvailability, *bytes, &request);
  // One that is not let in has no account: any hub ends it.
  const AccountStack& account = stack ? *stack : admission_.accounts().begin()->second;
  if (valid.ok()) valid = Validate(request);
  Missing missing;
  if (valid.ok()) {
    auto found = MissingOf(account, *context, request);
    valid = found.status();
    if (found.ok()) missing = *found;
  }
  auto allowed = [this, caller = caller, generation = std::uint64_t{0}]() mutable {
    return admission_.StillAllows(Method::kWatchAvailability, caller, &generation);
  };
  return account.watches.Watch(context, std::move(request), missing, std::move(caller),
                               std::move(allowed), std::move(valid));
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

ServerUnaryReactor* LeaseService::WhoAmI(CallbackServerContext* context, const ByteBuffer* bytes,
                                         ByteBuffer* response) {
  constexpr Method kMethod = Method::kWhoAmI;
  v1::WhoAmIRequest request;
  auto admitted = Admit(*context, kMethod, *bytes, &request);
  if (!admitted.status.ok()) {
    return Fail(context, kMethod, std::move(admitted.caller), std::move(admitted.status));
  }
  UnaryCall::Description description{.method = kMethod, .caller = admitted.caller};
  return UnaryCall::Start(
      runtime_, context, std::move(description),
      [this, caller = std::move(admitted.caller), request = std::move(request), response](
          CallContext call) { return Tell(std::move(call), caller, request.account(), response); });
}

asio::awaitable<absl::Status> LeaseService::Tell(CallContext call, CallCaller caller,
                                                 std::string account, ByteBuffer* response) {
  auto telling = TellWho(admission_, std::move(call), std::move(caller), std::move(account));
  const v1::WhoAmIResponse told = co_await std::move(telling);
  *response = ToByteBuffer(told.SerializeAsString());
  co_return absl::OkStatus();
}

}  // namespace leasegateway
