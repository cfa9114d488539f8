#include "service/guard/unread_answers.h"

#include <algorithm>
#include <utility>

namespace leasegateway {

UnreadAnswers::Clock::duration UnreadAnswers::Stall::Look(std::uint64_t open, std::uint64_t waiting,
                                                          std::uint64_t answered,
                                                          Clock::time_point now) {
  const bool is_first = looked_ == Clock::time_point();
  const Clock::duration passed = std::min<Clock::duration>(now - looked_, 2 * kLook);
  looked_ = now;
  if (is_first || waiting <= kFew || answered - answered_ >= kTaken * open) {
    answered_ = answered;
    time_ = {};
  } else {
    time_ += passed;
  }
  return time_;
}

std::vector<std::size_t> UnreadAnswers::Choose(std::span<const Connection> connections,
                                               std::uint64_t stalled) {
  std::vector<std::size_t> chosen;
  if (stalled <= kMost) return chosen;
  for (std::size_t i = 0; i < connections.size(); ++i) {
    const Connection& one = connections[i];
    const Clock::duration patience = one.trusted || stalled <= kTooMany ? kPatience
                                     : one.proven                       ? kSooner
                                                                        : kAtOnce;
    if (one.waiting > kFew && one.stalled >= patience) chosen.push_back(i);
  }
  std::sort(chosen.begin(), chosen.end(), [&](std::size_t a, std::size_t b) {
    const Connection& one = connections[a];
    const Connection& other = connections[b];
    return one.trusted != other.trusted ? other.trusted : one.waiting > other.waiting;
  });
  std::size_t count = 0;
  for (; count < chosen.size() && stalled > kMost; ++count) {
    stalled -= std::min(stalled, connections[chosen[count]].waiting);
  }
  chosen.resize(count);
  return chosen;
}

}  // namespace leasegateway
