#include "service/guard/unfinished_calls.h"

namespace leasegateway {

void UnfinishedCalls::Begin(std::uint32_t stream, Clock::time_point now) {
  std::uint32_t slot = static_cast<std::uint32_t>(calls_.size());
  if (free_.empty()) {
    calls_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  slots_.emplace(stream, slot);
  calls_[slot] = {.progressed = now, .stream = stream};
  Append(slot);
}

bool UnfinishedCalls::Grow(std::uint32_t stream, std::uint64_t bytes) {
  const auto found = slots_.find(stream);
  if (found == slots_.end()) return false;
  calls_[found->second].bytes += bytes;
  bytes_ += bytes;
  return true;
}

bool UnfinishedCalls::Progressed(std::uint32_t stream, std::uint64_t bytes, Clock::time_point now) {
  const auto found = slots_.find(stream);
  if (found == slots_.end()) return false;
  Call& call = calls_[found->second];
  call.bytes += bytes;
  bytes_ += bytes;
  call.progressed = now;
  Unlink(found->second);
  Append(found->second);
  return true;
}

bool UnfinishedCalls::End(std::uint32_t stream) {
  const auto found = slots_.find(stream);
  if (found == slots_.end()) return false;
  const std::uint32_t slot = found->second;
  bytes_ -= calls_[slot].bytes;
  Unlink(slot);
  free_.push_back(slot);
  slots_.erase(found);
  if (slots_.empty() && calls_.size() > kKept) *this = UnfinishedCalls();
  return true;
}

std::uint32_t UnfinishedCalls::StuckSince(Clock::time_point time) const {
  std::uint32_t calls = 0;
  for (std::uint32_t slot = calls_[kEnds].next; slot != kEnds; slot = calls_[slot].next) {
    if (calls_[slot].progressed > time) break;
    ++calls;
  }
  return calls;
}

void UnfinishedCalls::Append(std::uint32_t slot) {
  Call& call = calls_[slot];
  call.previous = calls_[kEnds].previous;
  call.next = kEnds;
  calls_[call.previous].next = slot;
  calls_[kEnds].previous = slot;
}

void UnfinishedCalls::Unlink(std::uint32_t slot) {
  const Call& call = calls_[slot];
  calls_[call.previous].next = call.next;
  calls_[call.next].previous = call.previous;
}

}  // namespace leasegateway
