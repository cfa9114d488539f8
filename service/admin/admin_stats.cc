#include "service/admin/admin_stats.h"

#include <spdlog/spdlog.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace leasegateway {
namespace {

constexpr std::chrono::minutes kBetweenLines{1};

}  // namespace

void AdminStats::Note(AdminLoss why, const boost::asio::ip::address& peer, TimePoint now) {
  const auto index = static_cast<std::size_t>(why);
  losses_[index].fetch_add(1, std::memory_order_relaxed);
  ++unsaid_[index];
  if (now < next_line_) return;
  next_line_ = now + kBetweenLines;
  std::string counts;
  for (std::size_t i = 0; i < kAdminLosses; ++i) {
    if (unsaid_[i] == 0) continue;
    absl::StrAppend(&counts, counts.empty() ? "" : ", ", kAdminLossNames[i], " ", unsaid_[i]);
    unsaid_[i] = 0;
  }
  spdlog::warn(
      "the admin port refused connections or ended them early (since the last such line: {}), now "
      "one from {}",
      counts, peer.is_unspecified() ? "an address not known" : peer.to_string());
}

}  // namespace leasegateway
