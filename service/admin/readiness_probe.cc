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

namespace asio = boost::asio;
using std::chrono::seconds;

// Between two tries of a key that was refused: for callers that wait for it, and for the alert.
constexpr seconds kEveryWhenCold{5};
constexpr seconds kEveryWhenWarm{10};
constexpr seconds kPatience{3};

// What is asked past memory goes to the provider itself. Nobody reads the answer: what counts is
// what is known of the key then. They keep memory, which is stopped with its layer, and end then.
CallContext PastMemory() {
  CallContext context;
  context.call_id = "readiness";
  context.deadline = std::chrono::steady_clock::now() + kPatience;
  context.max_staleness = std::chrono::milliseconds(0);
  return context;
}
void LogAnswer(const absl::Status& status) {
  spdlog::debug("asked whether the key is taken again: {}", std::string(status.message()));
}
asio::awaitable<void> AskForNumbers(std::shared_ptr<CachedAccount> account) {
  auto asking = account->FindAvailable(PastMemory());
  const auto answer = co_await std::move(asking);
  if (!answer.ok()) LogAnswer(answer.status());
}
asio::awaitable<void> AskForLeases(std::shared_ptr<CachedAccount> account) {
  auto asking = account->FindLeases(PastMemory());
  const auto answer = co_await std::move(asking);
  if (!answer.ok()) LogAnswer(answer.status());
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
    const bool warm = IsWarmLocked();
    readiness.ready = readiness.ready && warm;
    absl::StrAppend(&readiness.words,
                    attempts.credentials_rejected.load(std::memory_order_relaxed)
                        ? "the provider does not take the gateway's API key"
                        : "the provider forbids lists to the gateway's API key",
                    warm ? "; memory still answers" : "", "\n");
    AskWhileRefusedLocked(warm);
  }
  return readiness;
}

bool ReadinessProbe::IsWarmLocked() const {
  const auto age = api_->stats().available_age;
  return age && *age <= warm_age_;
}

void ReadinessProbe::AskWhileRefused() {
  const std::lock_guard lock(mutex_);
  if (!api_ || !upstream_->attempts.is_key_refused()) return;
  AskWhileRefusedLocked(IsWarmLocked());
}

void ReadinessProbe::AskWhileRefusedLocked(bool warm) {
  const auto now = std::chrono::steady_clock::now();
  if (now - asked_ < (warm ? kEveryWhenWarm : kEveryWhenCold)) return;
  asked_ = now;
  const AttemptStats& attempts = upstream_->attempts;
  const auto account = api_->account().shared_from_this();
  const auto strand = asio::make_strand(executor_);
  // Any answer but a refusal shows that the key is known, that of a list what it may have.
  if (attempts.credentials_rejected.load(std::memory_order_relaxed) ||
      attempts.is_forbidden(UpstreamOperation::kListAvailableNumbers)) {
    asio::co_spawn(strand, AskForNumbers(account), asio::detached);
  }
  if (attempts.is_forbidden(UpstreamOperation::kListLeases)) {
    asio::co_spawn(strand, AskForLeases(account), asio::detached);
  }
}

}  // namespace leasegateway
