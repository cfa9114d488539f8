#ifndef LEASE_GATEWAY_UPSTREAM_TOLERATED_H_
#define LEASE_GATEWAY_UPSTREAM_TOLERATED_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "upstream/upstream_stats.h"

namespace leasegateway {

// What a reply of the provider was taken in spite of. json_codec.h has the rule.
struct Tolerated {
  enum class Kind {
    kItem,     // of a list: left out, because it doesn't say which number or lease it is
    kAmount,   // left out, so that the price is unknown
    kField,    // any other that was left out
    kRounded,  // an amount of more than nine decimals, taken to the nearest billionth
  };
  static constexpr std::array<std::string_view, 4> kNames{"item", "amount", "field", "rounded"};

  std::array<int, kNames.size()> counts{};
  // Of each kind, the place and what is wrong with it; empty: none.
  std::array<std::string, kNames.size()> first;

  int of(Kind kind) const { return counts[static_cast<std::size_t>(kind)]; }
  const std::string& first_of(Kind kind) const { return first[static_cast<std::size_t>(kind)]; }
  void Add(Kind kind, std::string what);
};

// Counts it over all replies, and names each kind in the log once a minute at most. Thread-safe.
class ToleratedLog {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `route` is for the log: "GET /leases".
  void Note(UpstreamOperation operation, std::string_view route, const Tolerated& tolerated,
            TimePoint now);
  std::uint64_t count(UpstreamOperation operation, Tolerated::Kind kind) const;

 private:
  struct KindLog {
    std::atomic<std::int64_t> next_line{0};  // nanoseconds of the clock; before it there is none
    std::atomic<std::uint64_t> unsaid{0};    // since the last line
  };
  std::array<std::array<std::atomic<std::uint64_t>, Tolerated::kNames.size()>,
             kUpstreamOperationNames.size()>
      counts_{};
  std::array<KindLog, Tolerated::kNames.size()> logs_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TOLERATED_H_
