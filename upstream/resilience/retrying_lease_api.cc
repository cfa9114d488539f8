#include "upstream/resilience/retrying_lease_api.h"

#include <boost/asio/this_coro.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/cancellation.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;

OperationKind KindOf(UpstreamOperation operation) {
  switch (operation) {
    case UpstreamOperation::kCreateLease:
      return OperationKind::kSpend;
    case UpstreamOperation::kTerminateLease:
      return OperationKind::kEnd;
    case UpstreamOperation::kConfigureFailover:
    case UpstreamOperation::kEnableCallForwarding:
    case UpstreamOperation::kDisableCallForwarding:
      return OperationKind::kConfigure;
    case UpstreamOperation::kListAvailableNumbers:
    case UpstreamOperation::kGetNumber:
    case UpstreamOperation::kListLeases:
    case UpstreamOperation::kGetLease:
    case UpstreamOperation::kGetCallForwarding:
      break;
  }
  return OperationKind::kRead;
}

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

template <typename T>
LeaseApiResult<T> RetryingLeaseApi::Try(CallContext context, UpstreamOperation operation,
                                        std::function<LeaseApiResult<T>(CallContext)> call) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto state = state_;
  const CallEnvironment& environment = state->environment;
  state->budget->Earn();
  for (int attempts = 1;; ++attempts) {
    const auto began = environment.now();
    auto attempt = call(context);
    auto reply = co_await std::move(attempt);
    const auto ended = environment.now();
    if (reply.ok()) {
      state->usual.Took(operation, ended - began);
      co_return reply;
    }
    RetryPolicy::Failed failed;
    failed.kind = KindOf(operation);
    failed.status = reply.status();
    failed.attempts = attempts;
    failed.left = context.deadline - ended;
    failed.usual = state->usual.Of(operation);
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

LeaseApiResult<NumberList> RetryingLeaseApi::ListAvailableNumbers(CallContext context) {
  return Try<NumberList>(std::move(context), UpstreamOperation::kListAvailableNumbers,
                         [inner = inner_](CallContext attempt) {
                           return inner->ListAvailableNumbers(std::move(attempt));
                         });
}

LeaseApiResult<v1::Number> RetryingLeaseApi::GetNumber(CallContext context,
                                                       std::string phone_number) {
  return Try<v1::Number>(
      std::move(context), UpstreamOperation::kGetNumber,
      [inner = inner_, phone_number = std::move(phone_number)](CallContext attempt) {
        return inner->GetNumber(std::move(attempt), phone_number);
      });
}

LeaseApiResult<v1::Lease> RetryingLeaseApi::CreateLease(CallContext context,
                                                        std::string phone_number,
                                                        v1::BillingMethod method) {
  return Try<v1::Lease>(
      std::move(context), UpstreamOperation::kCreateLease,
      [inner = inner_, phone_number = std::move(phone_number), method](CallContext attempt) {
        return inner->CreateLease(std::move(attempt), phone_number, method);
      });
}

LeaseApiResult<LeaseList> RetryingLeaseApi::ListLeases(CallContext context) {
  return Try<LeaseList>(
      std::move(context), UpstreamOperation::kListLeases,
      [inner = inner_](CallContext attempt) { return inner->ListLeases(std::move(attempt)); });
}

LeaseApiResult<v1::Lease> RetryingLeaseApi::GetLease(CallContext context,
                                                     std::string phone_number) {
  return Try<v1::Lease>(
      std::move(context), UpstreamOperation::kGetLease,
      [inner = inner_, phone_number = std::move(phone_number)](CallContext attempt) {
        return inner->GetLease(std::move(attempt), phone_number);
      });
}

LeaseApiResult<v1::Termination> RetryingLeaseApi::TerminateLease(CallContext context,
                                                                 std::string phone_number) {
  return Try<v1::Termination>(
      std::move(context), UpstreamOperation::kTerminateLease,
      [inner = inner_, phone_number = std::move(phone_number)](CallContext attempt) {
        return inner->TerminateLease(std::move(attempt), phone_number);
      });
}

LeaseApiResult<v1::Failover> RetryingLeaseApi::ConfigureFailover(CallContext context,
                                                                 std::string phone_number,
                                                                 v1::Failover failover) {
  return Try<v1::Failover>(std::move(context), UpstreamOperation::kConfigureFailover,
                           [inner = inner_, phone_number = std::move(phone_number),
                            failover = std::move(failover)](CallContext attempt) {
                             return inner->ConfigureFailover(std::move(attempt), phone_number,
                                                             failover);
                           });
}

LeaseApiResult<v1::CallForwarding> RetryingLeaseApi::GetCallForwarding(CallContext context,
                                                                       std::string phone_number) {
  return Try<v1::CallForwarding>(
      std::move(context), UpstreamOperation::kGetCallForwarding,
      [inner = inner_, phone_number = std::move(phone_number)](CallContext attempt) {
        return inner->GetCallForwarding(std::move(attempt), phone_number);
      });
}

LeaseApiResult<v1::CallForwarding> RetryingLeaseApi::EnableCallForwarding(CallContext context,
                                                                          std::string phone_number,
                                                                          std::string forward_to) {
  return Try<v1::CallForwarding>(std::move(context), UpstreamOperation::kEnableCallForwarding,
                                 [inner = inner_, phone_number = std::move(phone_number),
                                  forward_to = std::move(forward_to)](CallContext attempt) {
                                   return inner->EnableCallForwarding(std::move(attempt),
                                                                      phone_number, forward_to);
                                 });
}

LeaseApiResult<v1::CallForwarding> RetryingLeaseApi::DisableCallForwarding(
    CallContext context, std::string phone_number) {
  return Try<v1::CallForwarding>(
      std::move(context), UpstreamOperation::kDisableCallForwarding,
      [inner = inner_, phone_number = std::move(phone_number)](CallContext attempt) {
        return inner->DisableCallForwarding(std::move(attempt), phone_number);
      });
}

}  // namespace leasegateway
