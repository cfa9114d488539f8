#include "upstream/leasing/ended_leases.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using TimePoint = CallEnvironment::TimePoint;

namespace {

// Of numbers, at a time.
constexpr int kMaxLooks = 20;

bool MayLook(const LeasingParts& parts, TimePoint now) {
  auto& next = parts.spending->look_at;
  auto due = next.load();
  const auto ticks = now.time_since_epoch().count();
  return due <= ticks &&
         next.compare_exchange_strong(due, (now + parts.options.settle).time_since_epoch().count());
}

bool HasEnded(const HeldLease& held, const absl::StatusOr<Reply<v1::Number>>& look) {
  if (!look.ok()) return ReasonOf(look.status()) == reason::kNumberNotFound;
  return !look->value.has_lease() || look->value.lease().lease_id() != held.lease_id;
}

}  // namespace

asio::awaitable<bool> FindEndedLeases(std::shared_ptr<const LeasingParts> parts,
                                      CallContext context) {
  const TimePoint now = parts->environment.now();
  if (!MayLook(*parts, now)) co_return false;
  context.max_staleness = std::chrono::milliseconds(0);
  auto listing = parts->api->Perform(context, operation::ListLeases());
  const auto list = co_await std::move(listing);
  if (!list.ok()) co_return false;
  std::vector<std::string> live;
  for (const v1::Lease& lease : list->value) live.push_back(lease.lease_id());
  const std::string& account = parts->options.account;
  auto asking =
      parts->journal->HeldWithout(account, std::move(live), now - parts->options.settle, kMaxLooks);
  const auto held = co_await std::move(asking);
  if (!held.ok()) co_return false;
  std::vector<std::string> ended;
  for (const HeldLease& lease : *held) {
    auto looking = parts->api->Perform(context, operation::GetNumber{lease.phone_number});
    const auto look = co_await std::move(looking);
    if (HasEnded(lease, look)) ended.push_back(lease.lease_id);
  }
  if (ended.empty()) co_return false;
  spdlog::info("{} leases of account {} have ended outside the gateway", ended.size(), account);
  auto ending = parts->journal->EndedElsewhere(account, std::move(ended));
  const absl::Status status = co_await std::move(ending);
  co_return status.ok();
}

}  // namespace leasegateway
