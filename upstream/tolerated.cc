#include "upstream/tolerated.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace leasegateway {
namespace {

constexpr std::chrono::minutes kBetweenLines{1};

constexpr auto& kNames = Tolerated::kNames;
constexpr std::array<std::string_view, kNames.size()> kSayings{
    "left out what can't be read", "left out a price that makes no sense",
    "left out what can't be read", "took an amount to the nearest billionth"};

}  // namespace

void Tolerated::Add(Kind kind, std::string what) {
  const auto index = static_cast<std::size_t>(kind);
  if (counts[index]++ == 0) first[index] = std::move(what);
}

void ToleratedLog::Note(UpstreamOperation operation, std::string_view route,
                        const Tolerated& tolerated, TimePoint now) {
  for (std::size_t kind = 0; kind < tolerated.counts.size(); ++kind) {
    const auto count = static_cast<std::uint64_t>(tolerated.counts[kind]);
    if (count == 0) continue;
    counts_[static_cast<std::size_t>(operation)][kind].fetch_add(count, std::memory_order_relaxed);
    KindLog& log = logs_[kind];
    log.unsaid.fetch_add(count, std::memory_order_relaxed);
    const std::int64_t time = std::chrono::nanoseconds(now.time_since_epoch()).count();
    std::int64_t due = log.next_line.load(std::memory_order_relaxed);
    const std::int64_t next = time + std::chrono::nanoseconds(kBetweenLines).count();
    if (time < due || !log.next_line.compare_exchange_strong(due, next)) continue;
    spdlog::warn("upstream {}: {} (kind {}, {} in all replies since the last such line), now {}",
                 route, kSayings[kind], kNames[kind],
                 log.unsaid.exchange(0, std::memory_order_relaxed), tolerated.first[kind]);
  }
}

std::uint64_t ToleratedLog::count(UpstreamOperation operation, Tolerated::Kind kind) const {
  return counts_[static_cast<std::size_t>(operation)][static_cast<std::size_t>(kind)].load(
      std::memory_order_relaxed);
}

}  // namespace leasegateway
