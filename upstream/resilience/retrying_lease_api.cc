#include "upstream/resilience/retrying_lease_api.h"

#include <boost/asio/this_coro.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/cancellation.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;

absl::Status Final(absl::Status status, int attempts, std::string_view stopped) {
  AddMetadata(status, "attempts", absl::StrCat(attempts));
  AddMetadata(status, "retry_stopped", std::string(stopped));
  if (attempts > 1) AppendToMessage(status, absl::StrCat(" (after ", attempts, " attempts)"));
  return status;
}

}  // namespace

struct RetryingLeaseApi::State {
  State(const RetryPolicy& retry_policy, std::shared_ptr<RetryBudget> retry_budget,
        CallEnvironment call_environment)
      : policy(retry_policy),
        budget(std::move(retry_budget)),
        environment(std::move(call_environment)) {}

  const RetryPolicy policy;
  const std::shared_ptr<RetryBudget> budget;
  const CallEnvironment environment;
  UsualTimes usual;  // with the wait for a place among the calls of the provider
};

RetryingLeaseApi::RetryingLeaseApi(std::unique_ptr<LeaseApi> inner, const RetryPolicy& policy,
                                   std::shared_ptr<RetryBudget> budget, CallEnvironment environment)
    : inner_(std::move(inner)),
      state_(std::make_shared<State>(policy, std::move(budget), std::move(environment))) {}

asio::awaitable<absl::StatusOr<AnyReply>> RetryingLeaseApi::Call(CallContext context,
                                                                 Operation operation) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto inner = inner_;
  const auto state = state_;
  const CallEnvironment& environment = state->environment;
  state->budget->Earn();
  for (int attempts = 1;; ++attempts) {
    const auto began = environment.now();
    auto attempt = inner->Call(context, operation);
    auto reply = co_await std::move(attempt);
    const auto ended = environment.now();
    if (reply.ok()) {
      state->usual.Took(IdOf(operation), ended - began);
      co_return reply;
    }
    RetryPolicy::Failed failed;
    failed.kind = KindOf(operation);
    failed.status = reply.status();
    failed.attempts = attempts;
    failed.left = context.deadline - ended;
    failed.usual = state->usual.Of(IdOf(operation));
    failed.random = environment.random();
    RetryPolicy::Decision decision = state->policy.Decide(failed);
    if (decision.stopped.empty() && !state->budget->Take(context.background, ended)) {
      decision.stopped = retry_stopped::kBudget;
    }
    if (!decision.stopped.empty()) {
      co_return Final(std::move(failed.status), attempts, decision.stopped);
    }
    // A cancellation that came during the attempt would not end the wait.
    if (!co_await Cancelled()) {
      const auto wakeup = std::make_shared<Wakeup>(co_await asio::this_coro::executor);
      auto backoff = environment.wait(wakeup, ended + decision.wait);
      co_await std::move(backoff);
    }
    if (co_await Cancelled()) {
      auto cancelled = CancelledError("waiting to try again");
      // What was sent could not have been tried again.
      AddMetadata(cancelled, "request_sent", "false");
      co_return Final(std::move(cancelled), attempts, retry_stopped::kPermanent);
    }
  }
}

}  // namespace leasegateway
