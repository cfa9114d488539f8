#include "upstream/availability/digit_pattern.h"

#include <algorithm>
#include <bit>

namespace leasegateway {
namespace {

constexpr std::size_t kMostDigits = 15;
constexpr std::uint64_t kLowestBits = 0x1111'1111'1111'1111;  // of each digit

// Where the digit at `place` is in a key.
int ShiftOf(std::size_t place) { return 60 - 4 * static_cast<int>(place); }

std::uint64_t Digit(char c, std::size_t place) {
  return static_cast<std::uint64_t>(c - '0') << ShiftOf(place);
}

}  // namespace

std::optional<PhoneKey> ParsePhoneKey(std::string_view e164) {
  if (e164.size() < 3 || e164.size() > kMostDigits + 1 || e164[0] != '+' || e164[1] == '0') {
    return std::nullopt;
  }
  const std::string_view digits = e164.substr(1);
  PhoneKey key{.bits = digits.size()};
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (digits[i] < '0' || digits[i] > '9') return std::nullopt;
    key.bits |= Digit(digits[i], i);
  }
  return key;
}

PhoneKeyRange KeysBeginningWith(std::string_view digits) {
  if (digits.empty() || digits.size() > kMostDigits) return {};
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) bits |= Digit(digits[i], i);
  // A shorter number has the same bits when the digits end in zeros, so the size counts as well.
  return {.first = {bits | digits.size()},
          .last = {bits + (std::uint64_t{1} << ShiftOf(digits.size() - 1))}};
}

DigitPattern::DigitPattern(std::string_view pattern) {
  const std::size_t first_star = pattern.find('*');
  has_star_ = first_star != std::string_view::npos;
  head_ = MakeRun(pattern.substr(0, first_star));
  min_size_ = head_.size;
  if (!has_star_) return;
  pattern.remove_prefix(first_star + 1);
  for (std::size_t star = pattern.find('*'); star != std::string_view::npos;
       star = pattern.find('*')) {
    if (star > 0) middle_.push_back(MakeRun(pattern.substr(0, star)));
    min_size_ += star;
    pattern.remove_prefix(star + 1);
  }
  tail_ = MakeRun(pattern);
  min_size_ += tail_.size;
}

DigitPattern::Run DigitPattern::MakeRun(std::string_view text) {
  Run run;
  run.size = text.size();
  // A longer run can't match anyway.
  for (std::size_t i = 0; i < std::min(text.size(), kMostDigits); ++i) {
    if (text[i] == '?') continue;
    run.mask |= std::uint64_t{15} << ShiftOf(i);
    run.value |= Digit(text[i], i);
    run.everywhere.emplace_back(kLowestBits * static_cast<std::uint64_t>(text[i] - '0'),
                                4 * static_cast<int>(i));
  }
  return run;
}

std::size_t DigitPattern::Find(const Run& run, PhoneKey key, std::size_t place) {
  std::uint64_t different = 0;  // bits of a digit: something differs were the run there
  for (const auto& [digits, shift] : run.everywhere) different |= (key.bits ^ digits) << shift;
  different |= different >> 1;
  different |= different >> 2;
  const std::uint64_t found = ~different & kLowestBits & (~std::uint64_t{0} >> (4 * place));
  return static_cast<std::size_t>(std::countl_zero(found)) / 4;
}

bool DigitPattern::Matches(PhoneKey key) const {
  const std::size_t size = key.bits & 15;
  if (size < min_size_ || (!has_star_ && size != min_size_)) return false;
  if (!RunIsAt(head_, key, 0)) return false;
  if (!has_star_) return true;
  const std::size_t end = size - tail_.size;
  if (!RunIsAt(tail_, key, end)) return false;
  // The leftmost place is the best for each run, since it leaves the most to those after it.
  std::size_t place = head_.size;
  for (const Run& run : middle_) {
    place = Find(run, key, place) + run.size;
    if (place > end) return false;
  }
  return true;
}

}  // namespace leasegateway
