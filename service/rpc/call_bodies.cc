#include "service/rpc/call_bodies.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "service/rpc/status.h"
#include "service/rpc/validation.h"
#include "service/rpc/violations.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;

namespace {

template <typename Response>
asio::awaitable<absl::Status> Take(asio::awaitable<absl::StatusOr<Response>> answering,
                                   Response* response) {
  auto answer = co_await std::move(answering);
  if (!answer.ok()) co_return answer.status();
  *response = *std::move(answer);
  co_return absl::OkStatus();
}

// A number of a batch that memory did not have.
asio::awaitable<void> FindOne(CachingLeaseApi& api, CallContext context,
                              v1::BatchGetNumbersResult* result) {
  context.stats = std::make_shared<CallStats>();
  auto found =
      co_await api.Perform(std::move(context), operation::GetNumber{result->phone_number()});
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

}  // namespace

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
  auto reply =
      co_await api.Perform(std::move(context), operation::GetLease{request->phone_number()});
  if (!reply.ok()) co_return reply.status();
  *response->mutable_lease() = std::move(reply->value);
  *response->mutable_metadata() = std::move(reply->metadata);
  co_return absl::OkStatus();
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
      auto parsed = ParseReply<v1::GetNumberResponse>(found->reply);
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
  auto reply = co_await api.Perform(
      std::move(context),
      operation::ConfigureFailover{request->phone_number(), request->failover()});
  if (!reply.ok()) co_return reply.status();
  response->set_phone_number(request->phone_number());
  if (reply->value.ByteSizeLong() > 0) {
    *response->mutable_failover() = std::move(reply->value);
  }
  *response->mutable_metadata() = std::move(reply->metadata);
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> Do(CachingLeaseApi& api, CallContext context,
                                 const v1::GetCallForwardingRequest* request,
                                 v1::GetCallForwardingResponse* response) {
  auto reply = co_await api.Perform(std::move(context),
                                    operation::GetCallForwarding{request->phone_number()});
  co_return TakeCallForwarding(request->phone_number(), std::move(reply), response);
}

asio::awaitable<absl::Status> Do(CachingLeaseApi& api, CallContext context,
                                 const v1::EnableCallForwardingRequest* request,
                                 v1::EnableCallForwardingResponse* response) {
  auto reply = co_await api.Perform(
      std::move(context),
      operation::EnableCallForwarding{request->phone_number(), request->forward_to()});
  co_return TakeCallForwarding(request->phone_number(), std::move(reply), response);
}

asio::awaitable<absl::Status> Do(CachingLeaseApi& api, CallContext context,
                                 const v1::DisableCallForwardingRequest* request,
                                 v1::DisableCallForwardingResponse* response) {
  auto reply = co_await api.Perform(std::move(context),
                                    operation::DisableCallForwarding{request->phone_number()});
  co_return TakeCallForwarding(request->phone_number(), std::move(reply), response);
}

}  // namespace leasegateway
