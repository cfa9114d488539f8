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

// Keeps `api` until its answer is there, which nobody reads.
boost::asio::awaitable<void> Ask(std::shared_ptr<CachingLeaseApi> api, CallContext context) {
  auto asking = api->FindAvailability(std::move(context));
  const auto answer = co_await std::move(asking);
  if (!answer.ok()) spdlog::debug("not ready: {}", std::string(answer.status().message()));
}

}  // namespace

ReadinessProbe::ReadinessProbe(std::chrono::milliseconds warm_age,
                               boost::asio::any_io_executor executor)
    : warm_age_(warm_age), executor_(std::move(executor)) {}

void ReadinessProbe::Attach(std::function<absl::Status()> purchases,
                            std::shared_ptr<CachingLeaseApi> api,
                            std::shared_ptr<const UpstreamStats> upstream) {
  const std::lock_guard lock(mutex_);
  purchases_ = std::move(purchases);
  api_ = std::move(api);
  upstream_ = std::move(upstream);
}

void ReadinessProbe::Detach() {
  const std::lock_guard lock(mutex_);
  purchases_ = nullptr;
  api_.reset();
  upstream_.reset();
}

Readiness ReadinessProbe::Look() {
  if (phase_ == Phase::kStarting) return {false, "it starts\n"};
  if (phase_ == Phase::kDraining) return {false, "it drains: new calls go to another one\n"};
  const std::lock_guard lock(mutex_);
  if (!api_) return {false, "it stops\n"};
  Readiness readiness{true, ""};
  const absl::Status purchases = purchases_();
  if (!purchases.ok()) {
    absl::StrAppend(&readiness.words, "purchases can't be written down: ", purchases.message(),
                    "\n");
  }
  const AttemptStats& attempts = upstream_->attempts;
  if (attempts.is_key_refused()) {
    const auto age = api_->stats().available_age;
    const bool warm = age && *age <= warm_age_;
    readiness.ready = readiness.ready && warm;
    absl::StrAppend(&readiness.words,
                    attempts.credentials_rejected.load(std::memory_order_relaxed)
                        ? "the provider does not take the gateway's API key"
                        : "the provider forbids lists to the gateway's API key",
                    warm ? "; memory still answers" : "", "\n");
    if (!warm) AskProvider();
  }
  return readiness;
}

void ReadinessProbe::AskProvider() {
  constexpr std::chrono::seconds kEvery{5};
  const auto now = std::chrono::steady_clock::now();
  if (now - asked_ < kEvery) return;
  asked_ = now;
  CallContext context;
  context.call_id = "readiness";
  context.deadline = now + std::chrono::seconds(3);
  auto asking = Ask(api_, std::move(context));
  boost::asio::co_spawn(boost::asio::make_strand(executor_), std::move(asking),
                        boost::asio::detached);
}

}  // namespace leasegateway
