#ifndef LEASE_GATEWAY_TESTS_SUPPORT_SCRIPTED_LEASE_API_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_SCRIPTED_LEASE_API_H_

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "tests/support/typed_lease_api.h"
#include "upstream/lease_api.h"

namespace leasegateway {

// A call whose answer has been chosen and is kept back.
struct HeldCall {
  std::string operation;
  std::string call_id;
  std::string share;
  std::chrono::steady_clock::time_point deadline;
  std::shared_ptr<boost::asio::steady_timer> timer;  // that never expires; cancelled: go on
  bool released = false;
  bool cancelled = false;  // the waiting coroutine was
};

// What the provider answers, by operation, and what it was asked. One thread.
struct LeaseApiScript {
  template <typename T>
  using Answer = absl::StatusOr<Reply<T>>;

  Answer<NumberList> available = absl::UnimplementedError("not in the script");
  // When there are any, ListAvailableNumbers answers with these first, one a call.
  std::vector<Answer<NumberList>> available_first;
  Answer<v1::Number> number = absl::UnimplementedError("not in the script");
  Answer<v1::Lease> lease = absl::UnimplementedError("not in the script");
  Answer<LeaseList> leases = absl::UnimplementedError("not in the script");
  Answer<v1::Termination> termination = absl::UnimplementedError("not in the script");
  Answer<v1::Failover> failover = absl::UnimplementedError("not in the script");
  Answer<v1::CallForwarding> forwarding = absl::UnimplementedError("not in the script");

  // Each call adds one attempt, and leaves this as the provider's request id.
  std::string upstream_request_id;
  bool hold = false;                            // calls that begin now
  std::vector<std::shared_ptr<HeldCall>> held;  // the oldest first
  std::vector<std::string> calls;               // operations
  std::vector<std::string> etags;               // that lists were asked for with, or empty
  int alive = 0;                                // objects that answer from this

  // Every operation fails so.
  void Refuse(const absl::Status& status) {
    available = status;
    number = status;
    lease = status;
    leases = status;
    termination = status;
    failover = status;
    forwarding = status;
  }

  int Count(std::string_view operation) const {
    return static_cast<int>(std::count(calls.begin(), calls.end(), operation));
  }

  // Lets the oldest held call of the operation go on, with what was the answer when it began. False
  // when there is none.
  bool Release(std::string_view operation) {
    const auto at = std::find_if(held.begin(), held.end(),
                                 [&](const auto& call) { return call->operation == operation; });
    if (at == held.end()) return false;
    (*at)->released = true;
    (*at)->timer->cancel();
    held.erase(at);
    return true;
  }
};

// Answers as the script says, which outlives it.
class ScriptedLeaseApi final : public TypedLeaseApi {
 public:
  explicit ScriptedLeaseApi(LeaseApiScript* script) : script_(script) { ++script_->alive; }
  ~ScriptedLeaseApi() override { --script_->alive; }

  void AskedWith(const Validators& known) override { script_->etags.push_back(known.etag); }
  LeaseApiResult<NumberList> ListAvailableNumbers(CallContext context) override {
    auto& first = script_->available_first;
    if (first.empty()) {
      return Answer("ListAvailableNumbers", std::move(context), script_->available);
    }
    auto answer = std::move(first.front());
    first.erase(first.begin());
    return Answer("ListAvailableNumbers", std::move(context), std::move(answer));
  }
  LeaseApiResult<v1::Number> GetNumber(CallContext context, std::string) override {
    return Answer("GetNumber", std::move(context), script_->number);
  }
  LeaseApiResult<v1::Lease> CreateLease(CallContext context, std::string,
                                        v1::BillingMethod) override {
    return Answer("CreateLease", std::move(context), script_->lease);
  }
  LeaseApiResult<LeaseList> ListLeases(CallContext context) override {
    return Answer("ListLeases", std::move(context), script_->leases);
  }
  LeaseApiResult<v1::Lease> GetLease(CallContext context, std::string) override {
    return Answer("GetLease", std::move(context), script_->lease);
  }
  LeaseApiResult<v1::Termination> TerminateLease(CallContext context, std::string) override {
    return Answer("TerminateLease", std::move(context), script_->termination);
  }
  LeaseApiResult<v1::Failover> ConfigureFailover(CallContext context, std::string,
                                                 v1::Failover) override {
    return Answer("ConfigureFailover", std::move(context), script_->failover);
  }
  LeaseApiResult<v1::CallForwarding> GetCallForwarding(CallContext context, std::string) override {
    return Answer("GetCallForwarding", std::move(context), script_->forwarding);
  }
  LeaseApiResult<v1::CallForwarding> EnableCallForwarding(CallContext context, std::string,
                                                          std::string) override {
    return Answer("EnableCallForwarding", std::move(context), script_->forwarding);
  }
  LeaseApiResult<v1::CallForwarding> DisableCallForwarding(CallContext context,
                                                           std::string) override {
    return Answer("DisableCallForwarding", std::move(context), script_->forwarding);
  }

 private:
  template <typename T>
  LeaseApiResult<T> Answer(std::string operation, CallContext context,
                           absl::StatusOr<Reply<T>> answer) {
    script_->calls.push_back(operation);
    ++context.stats->attempts;
    context.stats->upstream_request_id = script_->upstream_request_id;
    if (!script_->hold) co_return answer;
    const auto call = std::make_shared<HeldCall>();
    call->operation = std::move(operation);
    call->call_id = context.call_id;
    call->share = context.share;
    call->deadline = context.deadline;
    call->timer = std::make_shared<boost::asio::steady_timer>(
        co_await boost::asio::this_coro::executor, boost::asio::steady_timer::time_point::max());
    script_->held.push_back(call);
    boost::system::error_code ignored;
    co_await call->timer->async_wait(
        boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    if (call->released) co_return answer;
    call->cancelled = true;
    std::erase(script_->held, call);
    co_return absl::CancelledError("the call was cancelled");
  }

  LeaseApiScript* const script_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_SCRIPTED_LEASE_API_H_
