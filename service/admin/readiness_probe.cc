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
    AskProvider(warm);
  }
  return readiness;
}

void ReadinessProbe::AskProvider(bool is_ready) {
  const std::chrono::seconds every(is_ready ? 60 : 5);
  const auto now = std::chrono::steady_clock::now();
  if (asked_ && now - *asked_ < every) return;
  asked_ = now;
  CallContext context;
  context.call_id = "readiness";
  context.deadline = now + std::chrono::seconds(3);
  context.max_staleness = std::chrono::milliseconds(0);
  context.background = true;
  const auto ask = [this](boost::asio::awaitable<void> asking) {
    boost::asio::co_spawn(boost::asio::make_strand(executor_), std::move(asking),
                          boost::asio::detached);
  };
  const AttemptStats& attempts = upstream_->attempts;
  const bool leases_alone = !attempts.credentials_rejected.load(std::memory_order_relaxed) &&
                            !attempts.is_forbidden(UpstreamOperation::kListAvailableNumbers);
  if (!leases_alone) ask(AskForNumbers(api_, context));
  context.stats = std::make_shared<CallStats>();
  if (attempts.is_forbidden(UpstreamOperation::kListLeases)) ask(AskForLeases(api_, context));
}

}  // namespace leasegateway
