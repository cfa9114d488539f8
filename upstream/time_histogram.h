#ifndef LEASE_GATEWAY_UPSTREAM_TIME_HISTOGRAM_H_
#define LEASE_GATEWAY_UPSTREAM_TIME_HISTOGRAM_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace leasegateway {

// Counts durations by buckets that are the same for all. Thread-safe; never waits. A snapshot may
// have a duration in its bucket and not yet in the sum.
class TimeHistogram {
 public:
  // Upper bounds, included: from a read out of memory to a call that gets all the time there is.
  static constexpr std::array<std::chrono::microseconds, 15> kBounds{
      std::chrono::microseconds(50),        std::chrono::microseconds(250),
      std::chrono::microseconds(1'000),     std::chrono::microseconds(2'500),
      std::chrono::microseconds(5'000),     std::chrono::microseconds(10'000),
      std::chrono::microseconds(25'000),    std::chrono::microseconds(50'000),
      std::chrono::microseconds(100'000),   std::chrono::microseconds(250'000),
      std::chrono::microseconds(500'000),   std::chrono::microseconds(1'000'000),
      std::chrono::microseconds(2'500'000), std::chrono::microseconds(5'000'000),
      std::chrono::microseconds(10'000'000)};

  struct Snapshot {
    std::array<std::uint64_t, kBounds.size() + 1> buckets{};  // the last: longer than all bounds
    std::chrono::nanoseconds sum{0};

    std::uint64_t count() const {
      std::uint64_t all = 0;
      for (const std::uint64_t bucket : buckets) all += bucket;
      return all;
    }
    Snapshot& operator+=(const Snapshot& other) {
      for (std::size_t i = 0; i < buckets.size(); ++i) buckets[i] += other.buckets[i];
      sum += other.sum;
      return *this;
    }
  };

  void Observe(std::chrono::nanoseconds time) {
    std::size_t bucket = 0;
    while (bucket < kBounds.size() && time > kBounds[bucket]) ++bucket;
    buckets_[bucket].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(time.count(), std::memory_order_relaxed);
  }

  Snapshot snapshot() const {
    Snapshot snapshot;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      snapshot.buckets[i] = buckets_[i].load(std::memory_order_relaxed);
    }
    snapshot.sum = std::chrono::nanoseconds(sum_.load(std::memory_order_relaxed));
    return snapshot;
  }

 private:
  std::array<std::atomic<std::uint64_t>, kBounds.size() + 1> buckets_{};
  std::atomic<std::int64_t> sum_{0};  // nanoseconds
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TIME_HISTOGRAM_H_
