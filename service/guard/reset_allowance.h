#ifndef LEASE_GATEWAY_SERVICE_GUARD_RESET_ALLOWANCE_H_
#define LEASE_GATEWAY_SERVICE_GUARD_RESET_ALLOWANCE_H_

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>

#include "service/guard/allowance.h"

namespace leasegateway {

// What a peer may still reset of its calls, in units. Time and calls fill an allowance, and what
// calls bring above that is credit, which nothing else fills: who had many calls that it didn't
// reset outlasts a bad time. A call that is reset after all brings nothing. One thread.
class ResetAllowance {
 public:
  struct Amounts {
    std::uint32_t at_first;       // as a connection begins
    std::uint32_t most;           // of the allowance
    std::uint32_t most_credit;    // beside it
    std::uint32_t a_millisecond;  // what time brings,
    std::uint32_t bytes_a_unit;   // and what the peer is sent
  };
  // `spent`: of what there is at first, by those before whose allowance this goes on with.
  explicit ResetAllowance(const Amounts& amounts, std::uint32_t spent = 0)
      : at_first_(amounts.at_first),
        most_credit_(amounts.most_credit),
        allowance_(amounts.most, amounts.a_millisecond, amounts.bytes_a_unit) {
    allowance_.Start(amounts.at_first - std::min(amounts.at_first, spent));
  }

  void Pass(std::chrono::milliseconds time) { allowance_.Pass(time); }
  // A call came that brings `units`, if there is room for them.
  void Earn(std::uint32_t units) {
    const std::uint32_t before = left();
    allowance_.Earn(units);
    credit_ = std::min(most_credit_, credit_ + units - (left() - before));
    earned_[0] += left() - before;
  }
  // Calls that came before the last turn are young no more; nor are those since, if it isn't the
  // next one after that.
  void Turn(bool is_next) { earned_ = {0, is_next ? earned_[0] : 0}; }
  // A call that came whole is reset: what it brought is taken back, at most `units`. Which of the
  // young calls found room is not known, and these bring in all what they have found room for.
  void TakeBack(std::uint32_t units) {
    for (std::uint64_t& earned : earned_) {
      const auto taken = static_cast<std::uint32_t>(std::min<std::uint64_t>(earned, units));
      earned -= taken;
      units -= taken;
      Take(std::min(taken, left()));
    }
  }
  // Whether there was enough.
  bool Spend(std::uint32_t units, const Allowance::BytesSent& sent) {
    if (allowance_.Spend(units, {})) return true;
    if (credit_ < units) return allowance_.Spend(units, sent);
    credit_ -= units;
    return true;
  }

  std::uint32_t left() const { return allowance_.left() + credit_; }
  // Of what there was at first.
  std::uint32_t spent() const { return at_first_ - std::min(at_first_, left()); }

 private:
  void Take(std::uint32_t units) {
    const std::uint32_t of_credit = std::min(units, credit_);
    credit_ -= of_credit;
    allowance_.Start(allowance_.left() - (units - of_credit));
  }

  std::uint32_t at_first_;
  std::uint32_t most_credit_;
  Allowance allowance_;
  std::uint32_t credit_ = 0;
  std::array<std::uint64_t, 2> earned_{};  // by young calls: since the last Turn, and before
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_RESET_ALLOWANCE_H_
