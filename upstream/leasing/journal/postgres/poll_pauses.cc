#include "upstream/leasing/journal/postgres/poll_pauses.h"

#include <algorithm>

namespace leasegateway {

namespace {

constexpr std::chrono::milliseconds kFirstPause{50};
constexpr std::chrono::milliseconds kLongestPause{1'000};
constexpr std::chrono::seconds kForgottenAfter{5};

}  // namespace

std::chrono::milliseconds PollPauses::Next(const std::string& topic, TimePoint now) {
  const std::lock_guard lock(mutex_);
  std::erase_if(pauses_,
                [&](const auto& each) { return now - each.second.asked_at > kForgottenAfter; });
  Pause& pause = pauses_[topic];
  pause.asked_at = now;
  pause.length =
      pause.length == pause.length.zero() ? kFirstPause : std::min(2 * pause.length, kLongestPause);
  return pause.length;
}

}  // namespace leasegateway
