#include "service/guard/unfinished_sums.h"

#include <algorithm>
#include <tuple>

namespace leasegateway {
namespace {

using Holder = UnfinishedSums::Connection;

std::uint64_t CallsOf(const Holder& connection) { return connection.calls; }
std::uint64_t BytesOf(const Holder& connection) { return connection.bytes; }

// The lowest goes first.
auto Place(const Holder& connection, std::uint64_t held) {
  const auto silent =
      std::chrono::duration<double>(std::max(connection.silent, UnfinishedSums::kLeast));
  return std::tuple(connection.trusted, connection.silent < UnfinishedSums::kSilence,
                    -static_cast<double>(held) * silent.count());
}

}  // namespace

std::vector<UnfinishedSums::Cut> UnfinishedSums::Choose(
    std::span<const Connection> connections) const {
  std::vector<Cut> cuts;
  std::vector<bool> is_cut(connections.size());
  const auto bring_down = [&](std::uint64_t limit, CutReason reason,
                              std::uint64_t (*held)(const Holder&)) {
    std::uint64_t sum = 0;
    std::vector<std::size_t> holders;
    for (std::size_t i = 0; i < connections.size(); ++i) {
      if (is_cut[i] || held(connections[i]) == 0) continue;
      sum += held(connections[i]);
      holders.push_back(i);
    }
    if (sum <= limit) return;
    std::sort(holders.begin(), holders.end(), [&](std::size_t a, std::size_t b) {
      return Place(connections[a], held(connections[a])) <
             Place(connections[b], held(connections[b]));
    });
    for (const std::size_t i : holders) {
      if (sum <= limit / 100 * kUntil) return;
      sum -= held(connections[i]);
      is_cut[i] = true;
      cuts.push_back({i, reason});
    }
  };
  bring_down(max_calls_, CutReason::kUnfinishedCalls, &CallsOf);
  bring_down(max_bytes_, CutReason::kUnfinishedBytes, &BytesOf);
  return cuts;
}

}  // namespace leasegateway
