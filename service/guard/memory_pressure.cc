#include "service/guard/memory_pressure.h"

#include <algorithm>

namespace leasegateway {

namespace {

// What gRPC 1.51 and the service take for a call with a header of some hundred bytes, whether a
// list, a number or a watch: measured with 14,400 of each, 17.3 to 17.9.
constexpr std::uint64_t kCallCost = 17 * 1024 + 512;
// What a call of an ordinary caller sends, at most.
constexpr std::uint64_t kBytesOfCall = 4 * 1024;

std::uint64_t PerCent(std::uint64_t share, std::uint64_t whole) { return whole / 100 * share; }

}  // namespace

std::uint64_t MemoryPressure::Cost(const Connection& connection) {
  const std::uint64_t calls = connection.calls * kBytesOfCall;
  const std::uint64_t open = std::max(connection.open_calls, kFewCalls) - kFewCalls;
  return connection.unfinished_bytes + open * kCallCost + connection.bytes -
         std::min(connection.bytes, calls);
}

MemoryPressure::Decision MemoryPressure::Look(const std::optional<MemoryGauge::Reading>& reading,
                                              std::span<const Connection> connections,
                                              std::uint64_t cuts, Clock::time_point now) {
  Decision decision;
  pressed_ = reading && reading->used >= PerCent(pressed_ ? kStop : kStart, reading->limit);
  if (pressed_) decision.cut = Choose(*reading, connections, now);
  decision.return_memory = ReturnIsDue(cuts, now);
  return decision;
}

std::vector<std::size_t> MemoryPressure::Choose(const MemoryGauge::Reading& reading,
                                                std::span<const Connection> connections,
                                                Clock::time_point now) {
  struct Costly {
    bool trusted;
    bool stalls;
    std::uint64_t cost;
    std::size_t index;
  };
  std::erase_if(underway_, [&](const auto& cut) { return now - cut.first >= kTakesEffect; });
  std::uint64_t excess = reading.used - PerCent(kStop, reading.limit);
  if (reading.used < PerCent(kUrgent, reading.limit)) {
    for (const auto& [at, cost] : underway_) excess -= std::min(excess, cost);
  }
  std::vector<Costly> costly;
  for (std::size_t i = 0; i < connections.size(); ++i) {
    const std::uint64_t cost = Cost(connections[i]);
    if (cost >= kLeastCost) {
      costly.push_back({connections[i].trusted, connections[i].stalls, cost, i});
    }
  }
  std::sort(costly.begin(), costly.end(), [](const Costly& a, const Costly& b) {
    if (a.trusted != b.trusted) return b.trusted;
    return a.stalls != b.stalls ? a.stalls : a.cost > b.cost;
  });
  std::vector<std::size_t> chosen;
  for (const Costly& one : costly) {
    if (excess == 0) break;
    chosen.push_back(one.index);
    underway_.emplace_back(now, one.cost);
    excess -= std::min(excess, one.cost);
  }
  return chosen;
}

bool MemoryPressure::ReturnIsDue(std::uint64_t cuts, Clock::time_point now) {
  if (cuts != cuts_ || pressed_) {
    cuts_ = cuts;
    return_at_ = std::min(return_at_, now + kReturn);
    return_after_ = kReturn;
  }
  if (now < return_at_) return false;
  return_at_ = return_after_ > kLongestReturn ? Clock::time_point::max() : now + return_after_;
  return_after_ *= 2;
  return true;
}

}  // namespace leasegateway
