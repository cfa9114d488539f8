#include "service/rpc/lease_service.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "service/rpc/formats.h"
#include "service/rpc/pinned_slice.h"
#include "service/rpc/status.h"
#include "service/rpc/validation.h"
#include "service/rpc/violations.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

// One coroutine an RPC: awaits the provider, moves its answer into the response.

template <typename Response>
asio::awaitable<absl::Status> Take(asio::awaitable<absl::StatusOr<Response>> answering,
                                   Response* response) {
  auto answer = co_await std::move(answering);
  if (!answer.ok()) co_return answer.status();
  *response = *std::move(answer);
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> Do(RecordedLeaseApi& api, CallContext context,
                                 const v1::CreateLeaseRequest* request,
                                 v1::CreateLeaseResponse* response) {
  return Take(api.CreateLease(std::move(context), *request), response);
}

asio::awaitable<absl::Status> Do(RecordedLeaseApi& api, CallContext context,
                                 const v1::LeaseAnyNumberRequest* request,
                                 v1::LeaseAnyNumberResponse* response) {
  return Take(api.LeaseAnyNumber(std::move(context), *request), response);
}

asio::awaitable<absl::Status> Do(RecordedLeaseApi& api, CallContext context,
                                 const v1::TerminateLeaseRequest* request,
                                 v1::TerminateLeaseResponse* response) {
  return Take(api.TerminateLease(std::move(context), *request), response);
}

asio::awaitable<absl::Status> Do(RecordedLeaseApi& api, CallContext context,
                                 const v1::GetOperationRequest* request,
                                 v1::GetOperationResponse* response) {
  return Take(api.GetOperation(std::move(context), request->request_id()),
              response->mutable_operation());
}

asio::awaitable<absl::Status> Do(RecordedLeaseApi& api, CallContext context,
                                 const v1::ListOperationsRequest* request,
                                 v1::ListOperationsResponse* response) {
  auto answer = co_await api.ListOperations(std::move(context), *request);
  if (answer.ok()) {
    *response = *std::move(answer);
  } else if (ReasonOf(answer.status()) == reason::kInvalidPageToken) {
    co_return FieldViolation("page_token", reason::kInvalidPageToken,
                             "is none that this gateway gave out: begin without it");
  }
  co_return answer.status();
}

asio::awaitable<absl::Status> Do(CachingLeaseApi& api, CallContext context,
                                 const v1::GetLeaseRequest* request,
                                 v1::GetLeaseResponse* response) {
  auto reply = co_await api.GetLease(std::move(context), request->phone_number());
  if (!reply.ok()) co_return reply.status();
  *response->mutable_lease() = std::move(reply->value);
  *response->mutable_metadata() = std::move(reply->metadata);
  co_return absl::OkStatus();
}

// A number of a batch that memory did not have.
asio::awaitable<void> FindOne(CachingLeaseApi& api, CallContext context,
                              v1::BatchGetNumbersResult* result) {
  context.stats = std::make_shared<CallStats>();
  auto found = co_await api.GetNumber(std::move(context), result->phone_number());
  if (found.ok()) {
    *result->mutable_number() = std::move(found->value);
    *result->mutable_metadata() = std::move(found->metadata);
  } else {
    *result->mutable_error() = ToStatusProto(found.status());
  }
}

// Takes from `missing` until it is empty. Asks nothing more for a caller who has gone away, or
// after the deadline.
asio::awaitable<void> FindSome(CachingLeaseApi& api, CallContext context,
                               std::vector<v1::BatchGetNumbersResult*>* missing) {
  co_await asio::this_coro::throw_if_cancelled(false);
  while (!missing->empty()) {
    v1::BatchGetNumbersResult* const next = missing->back();
    missing->pop_back();
    const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return;
    if (std::chrono::steady_clock::now() >= context.deadline) {
      *next->mutable_error() = ToStatusProto(DeadlineError("getting a batch of numbers"));
      continue;
    }
    co_await FindOne(api, context, next);
  }
}

asio::awaitable<absl::Status> Do(CachingLeaseApi& api, CallContext context,
                                 const v1::BatchGetNumbersRequest* request,
                                 v1::BatchGetNumbersResponse* response) {
  constexpr std::size_t kAtOnce = 16;
  co_await asio::this_coro::throw_if_cancelled(false);
  for (const std::string& phone_number : request->phone_numbers()) {
    auto& result = *response->add_results();
    result.set_phone_number(phone_number);
    const absl::Status valid = CheckPhoneNumber(phone_number);
    if (!valid.ok()) *result.mutable_error() = ToStatusProto(valid);
  }
  const auto look = [&] {
    std::vector<v1::BatchGetNumbersResult*> missing;
    for (auto& result : *response->mutable_results()) {
      if (result.result_case() != v1::BatchGetNumbersResult::RESULT_NOT_SET) continue;
      auto found = api.PeekNumber(result.phone_number(), context.max_staleness);
      if (!found) {
        missing.push_back(&result);
        continue;
      }
      v1::GetNumberResponse parsed;
      const auto view = found->bytes->view().substr(found->range.offset, found->range.size);
      parsed.ParseFromArray(view.data(), static_cast<int>(view.size()));
      result.mutable_number()->Swap(parsed.mutable_number());
      result.mutable_metadata()->Swap(parsed.mutable_metadata());
    }
    return missing;
  };
  auto missing = look();
  if (missing.size() > kAtOnce && !context.max_staleness &&
      !api.PeekAvailability(context.max_staleness)) {
    // One request that may answer for most of them.
    CallContext list_context = context;
    co_await api.FindAvailability(std::move(list_context));
    missing = look();
  }
  const asio::any_io_executor strand = co_await asio::this_coro::executor;
  const auto deferred = [&] {
    return asio::co_spawn(strand, FindSome(api, context, &missing), asio::deferred);
  };
  std::vector<decltype(deferred())> finders;
  for (std::size_t i = 0; i < std::min(kAtOnce, missing.size()); ++i) finders.push_back(deferred());
  if (!finders.empty()) {
    auto all = asio::experimental::make_parallel_group(std::move(finders));
    co_await all.async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
  }
  const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) {
    co_return CancelledError("getting a batch of numbers");
  }
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> Do(CachingLeaseApi& api, CallContext context,
                                 const v1::ConfigureFailoverRequest* request,
                                 v1::ConfigureFailoverResponse* response) {
  auto reply = co_await api.ConfigureFailover(std::move(context), request->phone_number(),
                                              request->failover());
  if (!reply.ok()) co_return reply.status();
  response->set_phone_number(request->phone_number());
  if (reply->value.ByteSizeLong() > 0) {
    *response->mutable_failover() = std::move(reply->value);
  }
  *response->mutable_metadata() = std::move(reply->metadata);
  co_return absl::OkStatus();
}

template <typename Response>
absl::Status TakeCallForwarding(const std::string& phone_number,
                                absl::StatusOr<Reply<v1::CallForwarding>> reply,
                                Response* response) {
  if (!reply.ok()) return reply.status();
  response->set_phone_number(phone_number);
  *response->mutable_call_forwarding() = std::move(reply->value);
  *response->mutable_metadata() = std::move(reply->metadata);
  return absl::OkStatus();
}

asio::awaitable<absl::Status> Do(CachingLeaseApi& api, CallContext context,
                                 const v1::GetCallForwardingRequest* request,
                                 v1::GetCallForwardingResponse* response) {
  auto reply = co_await api.GetCallForwarding(std::move(context), request->phone_number());
  co_return TakeCallForwarding(request->phone_number(), std::move(reply), response);
}

asio::awaitable<absl::Status> Do(CachingLeaseApi& api, CallContext context,
                                 const v1::EnableCallForwardingRequest* request,
                                 v1::EnableCallForwardingResponse* response) {
  auto reply = co_await api.EnableCallForwarding(std::move(context), request->phone_number(),
                                                 request->forward_to());
  co_return TakeCallForwarding(request->phone_number(), std::move(reply), response);
}

asio::awaitable<absl::Status> Do(CachingLeaseApi& api, CallContext context,
                                 const v1::DisableCallForwardingRequest* request,
                                 v1::DisableCallForwardingResponse* response) {
  auto reply = co_await api.DisableCallForwarding(std::move(context), request->phone_number());
  co_return TakeCallForwarding(request->phone_number(), std::move(reply), response);
}

// Whether RecordedLeaseApi answers it.
template <typename Request>
concept Recorded = std::is_same_v<Request, v1::CreateLeaseRequest> ||
    std::is_same_v<Request, v1::LeaseAnyNumberRequest> ||
    std::is_same_v<Request, v1::TerminateLeaseRequest> ||
    std::is_same_v<Request, v1::GetOperationRequest> ||
    std::is_same_v<Request, v1::ListOperationsRequest>;

// Names what has to have a name, so that the caller can find out about it whatever it is told; a
// UUID is the same one in upper and in lower case. Returns the name; empty: none, or not a UUID.
template <typename Request>
std::string NameRequest(Request* request) {
  if constexpr (requires { request->mutable_request_id(); }) {
    std::string& id = *request->mutable_request_id();
    if (id.empty() && !std::is_same_v<Request, v1::GetOperationRequest>) {
      thread_local boost::uuids::random_generator make;
      id = boost::uuids::to_string(make());
    }
    if (IsUuid(id)) {
      absl::AsciiStrToLower(&id);
      return id;
    }
  }
  return "";
}

// Of a request whose max_staleness has been validated, or will be. A year is the most: memory keeps
// nothing for so long, and it can be told in nanoseconds, in which ages are compared.
template <typename Request>
CachingLeaseApi::MaxStaleness MaxStalenessOf(const Request& request) {
  if constexpr (requires { request.max_staleness(); }) {
    if (!request.has_max_staleness()) return std::nullopt;
    constexpr std::int64_t kYear = 366 * 86'400;
    return std::chrono::seconds(std::clamp(request.max_staleness().seconds(), -kYear, kYear)) +
           std::chrono::milliseconds(request.max_staleness().nanos() / 1'000'000);
  }
  return std::nullopt;
}

// A request as it came over the wire. False: it is not one.
template <typename Request>
bool Parse(const ByteBuffer& bytes, Request* request) {
  grpc::Slice slice;
  if (bytes.TrySingleSlice(&slice).ok()) {
    return request->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
  }
  ByteBuffer copy(bytes);
  return grpc::SerializationTraits<Request>::Deserialize(&copy, request).ok();
}

// All methods in raw form: nothing is serialised for a hit, and a request that can't be read gets
// an error with a reason like any other, where gRPC would say UNIMPLEMENTED.
template <template <typename> class... Methods>
struct RawMethods {
  using Service = v1::LeaseService::Service;
};
template <template <typename> class First, template <typename> class... Rest>
struct RawMethods<First, Rest...> {
  using Service = First<typename RawMethods<Rest...>::Service>;
};
using Methods = v1::LeaseService;
using RawService = RawMethods<
    Methods::WithRawCallbackMethod_ListAvailableNumbers,
    Methods::WithRawCallbackMethod_WatchAvailability, Methods::WithRawCallbackMethod_GetNumber,
    Methods::WithRawCallbackMethod_BatchGetNumbers, Methods::WithRawCallbackMethod_CreateLease,
    Methods::WithRawCallbackMethod_LeaseAnyNumber, Methods::WithRawCallbackMethod_GetOperation,
    Methods::WithRawCallbackMethod_ListOperations, Methods::WithRawCallbackMethod_ListLeases,
    Methods::WithRawCallbackMethod_GetLease, Methods::WithRawCallbackMethod_TerminateLease,
    Methods::WithRawCallbackMethod_ConfigureFailover,
    Methods::WithRawCallbackMethod_GetCallForwarding,
    Methods::WithRawCallbackMethod_EnableCallForwarding,
    Methods::WithRawCallbackMethod_DisableCallForwarding>::Service;

class LeaseServiceImpl final : public RawService {
 public:
  LeaseServiceImpl(const CallRuntime& runtime, CachingLeaseApi& api, RecordedLeaseApi& recorded,
                   AvailabilitySearch& search, WatchHub& watches)
      : runtime_(runtime), api_(api), recorded_(recorded), search_(search), watches_(watches) {}

  ServerUnaryReactor* ListAvailableNumbers(CallbackServerContext* context, const ByteBuffer* bytes,
                                           ByteBuffer* response) override {
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

  ServerUnaryReactor* GetNumber(CallbackServerContext* context, const ByteBuffer* bytes,
                                ByteBuffer* response) override {
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

  ServerUnaryReactor* ListLeases(CallbackServerContext* context, const ByteBuffer* bytes,
                                 ByteBuffer* response) override {
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

  grpc::ServerWriteReactor<ByteBuffer>* WatchAvailability(CallbackServerContext* context,
                                                          const ByteBuffer* bytes) override {
    v1::WatchAvailabilityRequest request;
    absl::Status valid = Parse(*bytes, &request) ? Validate(request) : UnreadableError();
    return watches_.Watch(context, std::move(request), std::move(valid));
  }

  ServerUnaryReactor* BatchGetNumbers(CallbackServerContext* context, const ByteBuffer* bytes,
                                      ByteBuffer* response) override {
    return Start<v1::BatchGetNumbersRequest, v1::BatchGetNumbersResponse>(
        context, Method::kBatchGetNumbers, bytes, response);
  }
  ServerUnaryReactor* CreateLease(CallbackServerContext* context, const ByteBuffer* bytes,
                                  ByteBuffer* response) override {
    return Start<v1::CreateLeaseRequest, v1::CreateLeaseResponse>(context, Method::kCreateLease,
                                                                  bytes, response);
  }
  ServerUnaryReactor* LeaseAnyNumber(CallbackServerContext* context, const ByteBuffer* bytes,
                                     ByteBuffer* response) override {
    return Start<v1::LeaseAnyNumberRequest, v1::LeaseAnyNumberResponse>(
        context, Method::kLeaseAnyNumber, bytes, response);
  }
  ServerUnaryReactor* GetOperation(CallbackServerContext* context, const ByteBuffer* bytes,
                                   ByteBuffer* response) override {
    return Start<v1::GetOperationRequest, v1::GetOperationResponse>(context, Method::kGetOperation,
                                                                    bytes, response);
  }
  ServerUnaryReactor* ListOperations(CallbackServerContext* context, const ByteBuffer* bytes,
                                     ByteBuffer* response) override {
    return Start<v1::ListOperationsRequest, v1::ListOperationsResponse>(
        context, Method::kListOperations, bytes, response);
  }
  ServerUnaryReactor* GetLease(CallbackServerContext* context, const ByteBuffer* bytes,
                               ByteBuffer* response) override {
    return Start<v1::GetLeaseRequest, v1::GetLeaseResponse>(context, Method::kGetLease, bytes,
                                                            response);
  }
  ServerUnaryReactor* TerminateLease(CallbackServerContext* context, const ByteBuffer* bytes,
                                     ByteBuffer* response) override {
    return Start<v1::TerminateLeaseRequest, v1::TerminateLeaseResponse>(
        context, Method::kTerminateLease, bytes, response);
  }
  ServerUnaryReactor* ConfigureFailover(CallbackServerContext* context, const ByteBuffer* bytes,
                                        ByteBuffer* response) override {
    return Start<v1::ConfigureFailoverRequest, v1::ConfigureFailoverResponse>(
        context, Method::kConfigureFailover, bytes, response);
  }
  ServerUnaryReactor* GetCallForwarding(CallbackServerContext* context, const ByteBuffer* bytes,
                                        ByteBuffer* response) override {
    return Start<v1::GetCallForwardingRequest, v1::GetCallForwardingResponse>(
        context, Method::kGetCallForwarding, bytes, response);
  }
  ServerUnaryReactor* EnableCallForwarding(CallbackServerContext* context, const ByteBuffer* bytes,
                                           ByteBuffer* response) override {
    return Start<v1::EnableCallForwardingRequest, v1::EnableCallForwardingResponse>(
        context, Method::kEnableCallForwarding, bytes, response);
  }
  ServerUnaryReactor* DisableCallForwarding(CallbackServerContext* context, const ByteBuffer* bytes,
                                            ByteBuffer* response) override {
    return Start<v1::DisableCallForwardingRequest, v1::DisableCallForwardingResponse>(
        context, Method::kDisableCallForwarding, bytes, response);
  }

 private:
  template <typename Request, typename Response>
  struct Messages {
    Request request;
    Response response;
  };

  template <typename Request>
  auto& ApiFor() {
    if constexpr (Recorded<Request>) {
      return recorded_;
    } else {
      return api_;
    }
  }

  template <typename Request, typename Response>
  ServerUnaryReactor* Start(CallbackServerContext* context, Method method, const ByteBuffer* bytes,
                            ByteBuffer* response) {
    const auto messages = std::make_shared<Messages<Request, Response>>();
    const Request& request = messages->request;
    if (!Parse(*bytes, &messages->request)) return Unreadable(context, method);
    UnaryCall::Description description;
    description.method = method;
    description.request_id = NameRequest(&messages->request);
    description.valid = Validate(request);
    description.max_staleness = MaxStalenessOf(request);
    return UnaryCall::Start(runtime_, context, std::move(description),
                            [this, messages, response](CallContext call) {
                              return Answer(std::move(call), *messages, response);
                            });
  }

  template <typename Request, typename Response>
  asio::awaitable<absl::Status> Answer(CallContext call, Messages<Request, Response>& messages,
                                       ByteBuffer* response) {
    auto& api = ApiFor<Request>();
    auto doing = Do(api, std::move(call), &messages.request, &messages.response);
    absl::Status status = co_await std::move(doing);
    if (status.ok()) *response = ToByteBuffer(messages.response.SerializeAsString());
    co_return status;
  }

  ServerUnaryReactor* Hit(CallbackServerContext* context, Method method, const BytesAnswer& hit,
                          std::chrono::steady_clock::time_point started, ByteBuffer* response) {
    *response = ToByteBuffer(*hit.bytes, hit.range);
    return UnaryCall::FinishHit(runtime_, context, method, hit.outcome, started);
  }

  ServerUnaryReactor* Fail(CallbackServerContext* context, Method method, absl::Status status) {
    UnaryCall::Description description{.method = method, .valid = std::move(status)};
    return UnaryCall::Start(runtime_, context, std::move(description), nullptr);
  }

  static absl::Status UnreadableError() {
    return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidRequest,
                     "the request is no message of this method");
  }
  ServerUnaryReactor* Unreadable(CallbackServerContext* context, Method method) {
    return Fail(context, method, UnreadableError());
  }

  asio::awaitable<absl::Status> FindNumbers(CallContext context, bool plain,
                                            const AvailabilitySearch::Query& query,
                                            ByteBuffer* response) {
    auto answer = co_await api_.FindAvailability(std::move(context));
    if (!answer.ok()) co_return answer.status();
    *response = plain ? ToByteBuffer(*answer->numbers->list_reply())
                      : ToByteBuffer(search_.Answer(query, answer->numbers));
    co_return absl::OkStatus();
  }

  static asio::awaitable<absl::Status> Send(asio::awaitable<absl::StatusOr<BytesAnswer>> finding,
                                            ByteBuffer* response) {
    const auto answer = co_await std::move(finding);
    if (!answer.ok()) co_return answer.status();
    *response = ToByteBuffer(*answer->bytes, answer->range);
    co_return absl::OkStatus();
  }

  const CallRuntime& runtime_;
  CachingLeaseApi& api_;
  RecordedLeaseApi& recorded_;
  AvailabilitySearch& search_;
  WatchHub& watches_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeLeaseService(const CallRuntime& runtime, CachingLeaseApi& api,
                                                RecordedLeaseApi& recorded,
                                                AvailabilitySearch& search, WatchHub& watches) {
  return std::make_unique<LeaseServiceImpl>(runtime, api, recorded, search, watches);
}

}  // namespace leasegateway
