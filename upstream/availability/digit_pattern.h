#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_DIGIT_PATTERN_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_DIGIT_PATTERN_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace leasegateway {

// The digits of an E.164 number, four bits each from the highest bits down, and in the lowest four
// bits how many they are, 2 to 15. Different numbers have different keys, which compare as the
// texts do: "+12" before "+123" before "+13".
struct PhoneKey {
  std::uint64_t bits = 0;
  friend auto operator<=>(PhoneKey, PhoneKey) = default;
};
// Nothing unless the text matches ^\+[1-9]\d{1,14}$.
std::optional<PhoneKey> ParsePhoneKey(std::string_view e164);

// The keys of all numbers that begin with the digits: from `first` on, before `last`.
struct PhoneKeyRange {
  PhoneKey first;
  PhoneKey last;
};
// The digits are digits. None, or more than 15: no number.
PhoneKeyRange KeysBeginningWith(std::string_view digits);

// Digits, "?" for any digit and "*" for any digits or none, to match a whole number. Takes a few
// nanoseconds a number, because "?" and digits are bit masks.
class DigitPattern {
 public:
  explicit DigitPattern(std::string_view pattern);
  bool Matches(PhoneKey key) const;

 private:
  // What stands between two stars, as the digits of a key.
  struct Run {
    std::uint64_t mask = 0;
    std::uint64_t value = 0;
    std::size_t size = 0;
    // For looking at all places at once: a digit in each place, and how far into the run it is.
    std::vector<std::pair<std::uint64_t, int>> everywhere;
  };
  // The leftmost place, from `place` on, where the run is; 16 when it is nowhere.
  static std::size_t Find(const Run& run, PhoneKey key, std::size_t place);
  static Run MakeRun(std::string_view text);
  static bool RunIsAt(const Run& run, PhoneKey key, std::size_t place) {
    return (((key.bits << (4 * place)) ^ run.value) & run.mask) == 0;
  }

  Run head_;
  std::vector<Run> middle_;
  Run tail_;
  bool has_star_;
  std::size_t min_size_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_DIGIT_PATTERN_H_
