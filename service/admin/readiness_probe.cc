#include "service/admin/readiness_probe.h"

#include <spdlog/spdlog.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace leasegateway {
namespace {

// They keep `api` until its answer is there, which nobody reads.
boost::asio::awaitable<void> AskForNumbers(std::shared_ptr<CachingLeaseApi> api,
                                           CallContext context) {
  auto asking = api->FindAvailability(std::move(context));
  const auto answer = co_await std::move(asking);
  if (!answer.ok()) spdlog::debug("refused: {}", std::string(answer.status().message()));
}
boost::asio::awaitable<void> AskForLeases(std::shared_ptr<CachingLeaseApi> api,
                                          CallContext context) {
  auto asking = api->FindLeases(std::move(context));
  const auto answer = co_await std::move(asking);
  if (!answer.ok()) spdlog::debug("refused: {}", std::string(answer.status().message()));
}

}  // namespace

ReadinessProbe::ReadinessProbe(std::chrono::milliseconds warm_age,
                               boost::asio::any_io_executor executor,
                               std::function<TimePoint()> now)
    : warm_age_(warm_age), executor_(std::move(executor)), now_(std::move(now)) {}

void ReadinessProbe::Attach(std::function<absl::Status()> purchases,
                            std::vector<Account> accounts) {
  const std::lock_guard lock(mutex_);
  purchases_ = std::move(purchases);
  accounts_.clear();
  for (Account& account : accounts) accounts_.push_back({std::move(account), std::nullopt});
}

void ReadinessProbe::Detach() {
  const std::lock_guard lock(mutex_);
  purchases_ = nullptr;
  accounts_.clear();
}

Readiness ReadinessProbe::Look() {
  if (phase_ == Phase::kStarting) return {false, "it starts\n"};
  if (phase_ == Phase::kDraining) return {false, "it drains: new calls go to another one\n"};
  const std::lock_guard lock(mutex_);
  if (accounts_.empty()) return {false, "it stops\n"};
  Readiness readiness{false, ""};
  const absl::Status purchases = purchases_();
  if (!purchases.ok()) {
    absl::StrAppend(&readiness.words, "purchases can't be written down: ", purchases.message(),
                    "\n");
  }
  std::vector<Looked*> refused;
  for (Looked& looked : accounts_) {
    const AttemptStats& attempts = looked.account.upstream->attempts;
    if (!attempts.is_key_refused()) {
      readiness.ready = true;
      continue;
    }
    refused.push_back(&looked);
    const auto age = looked.account.api->stats().available_age;
    const bool warm = age && *age <= warm_age_;
    if (warm) readiness.ready = true;
    if (accounts_.size() > 1) {
      absl::StrAppend(&readiness.words, "account ", looked.account.name, ": ");
    }
    absl::StrAppend(&readiness.words,
                    attempts.credentials_rejected.load(std::memory_order_relaxed)
                        ? "the provider does not take the gateway's API key"
                        : "the provider forbids lists to the gateway's API key",
                    warm ? "; memory still answers" : "", "\n");
  }
  for (Looked* const looked : refused) AskProvider(*looked, readiness.ready);
  return readiness;
}

void ReadinessProbe::AskProvider(Looked& looked, bool is_ready) {
  const std::chrono::seconds every(is_ready ? 60 : 5);
  const TimePoint now = now_();
  if (looked.asked && now - *looked.asked < every) return;
  looked.asked = now;
  CallContext context;
  context.call_id = "readiness";
  context.deadline = now + std::chrono::seconds(3);
  context.max_staleness = std::chrono::milliseconds(0);
  context.background = true;
  const auto ask = [this](boost::asio::awaitable<void> asking) {
    boost::asio::co_spawn(boost::asio::make_strand(executor_), std::move(asking),
                          boost::asio::detached);
  };
  const std::shared_ptr<CachingLeaseApi>& api = looked.account.api;
  const AttemptStats& attempts = looked.account.upstream->attempts;
  const bool leases_alone = !attempts.credentials_rejected.load(std::memory_order_relaxed) &&
                            !attempts.is_forbidden(UpstreamOperation::kListAvailableNumbers);
  if (!leases_alone) ask(AskForNumbers(api, context));
  context.stats = std::make_shared<CallStats>();
  if (attempts.is_forbidden(UpstreamOperation::kListLeases)) ask(AskForLeases(api, context));
}

}  // namespace leasegateway
