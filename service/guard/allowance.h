#ifndef LEASE_GATEWAY_SERVICE_GUARD_ALLOWANCE_H_
#define LEASE_GATEWAY_SERVICE_GUARD_ALLOWANCE_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>

namespace leasegateway {

// What a peer may still do that brings no call: so much at once, and more with time, with its calls
// and with what it is sent. In units, which the one who spends them knows. One thread.
class Allowance {
 public:
  // Bytes sent to the peer so far; empty: not known.
  using BytesSent = std::function<std::uint64_t()>;

  // Full, with `most` units. Each millisecond brings `a_millisecond`, and `bytes_a_unit` bytes that
  // the peer is sent one.
  constexpr Allowance(std::uint32_t most, std::uint32_t a_millisecond, std::uint32_t bytes_a_unit)
      : most_(most), a_millisecond_(a_millisecond), bytes_a_unit_(bytes_a_unit), left_(most) {}

  std::uint32_t left() const { return left_; }
  // As one that has no more than `units`.
  void Start(std::uint32_t units) { left_ = std::min(units, most_); }
  void Pass(std::chrono::milliseconds time) {
    const auto full = static_cast<std::int64_t>(most_ / a_millisecond_) + 1;
    Earn(static_cast<std::uint64_t>(std::min<std::int64_t>(time.count(), full)) * a_millisecond_);
  }
  void Earn(std::uint64_t units) {
    left_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(most_, left_ + units));
  }
  // Whether there was enough. `sent` is asked only when there isn't.
  bool Spend(std::uint32_t units, const BytesSent& sent) {
    if (left_ < units && sent) {
      const std::uint64_t earned = (std::max(sent(), paid_for_) - paid_for_) / bytes_a_unit_;
      paid_for_ += earned * bytes_a_unit_;
      Earn(earned);
    }
    if (left_ < units) return false;
    left_ -= units;
    return true;
  }

 private:
  std::uint32_t most_;
  std::uint32_t a_millisecond_;
  std::uint32_t bytes_a_unit_;
  std::uint32_t left_;
  std::uint64_t paid_for_ = 0;  // bytes sent that have brought their units
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_ALLOWANCE_H_
