#ifndef LEASE_GATEWAY_SERVICE_PROCESS_LOG_REPEATS_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_LOG_REPEATS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_set.h"

namespace leasegateway {

// Lets each distinct text be written once in an interval, and tells how often there were more. For
// what libraries say, which is as much as callers like. Thread-safe.
class LogRepeats {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::minutes kInterval{1};
  static constexpr std::size_t kTexts = 64;          // in an interval
  static constexpr std::size_t kLongestText = 1024;  // bytes, of which a text is known again

  // None: `text` is not to be written. Else: how many were left out in the interval before, which
  // is more than none only for the first of an interval.
  std::optional<std::uint64_t> Says(std::string_view text, Clock::time_point now = Clock::now()) {
    const std::lock_guard lock(mutex_);
    std::uint64_t left_out = 0;
    if (now >= next_) {
      left_out = left_out_;
      left_out_ = 0;
      said_.clear();
      next_ = now + kInterval;
    }
    if (said_.size() < kTexts && said_.emplace(text.substr(0, kLongestText)).second) {
      return left_out;
    }
    ++left_out_;
    return std::nullopt;
  }

 private:
  std::mutex mutex_;
  absl::flat_hash_set<std::string> said_;
  std::uint64_t left_out_ = 0;
  Clock::time_point next_{};
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_LOG_REPEATS_H_
