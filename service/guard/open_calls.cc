#include "service/guard/open_calls.h"

#include <algorithm>
#include <optional>

namespace leasegateway {

void OpenCalls::Begin(std::uint32_t stream) {
  const std::lock_guard lock(mutex_);
  if (!calls_.emplace(stream, 0).second) return;
  without_window_ += Waits(0);
  Count();
}

void OpenCalls::Reset(std::uint32_t stream) {
  const std::lock_guard lock(mutex_);
  End(stream);
  Count();
}

void OpenCalls::End(std::uint32_t stream) {
  const auto call = calls_.find(stream);
  if (call == calls_.end()) return;
  without_window_ -= Waits(call->second);
  calls_.erase(call);
}

void OpenCalls::SetWindow(std::uint32_t bytes) {
  const std::lock_guard lock(mutex_);
  window_ = bytes;
  without_window_ = static_cast<std::uint32_t>(std::count_if(
      calls_.begin(), calls_.end(), [this](const auto& call) { return Waits(call.second); }));
  Count();
}

void OpenCalls::Widen(std::uint32_t stream, std::uint32_t bytes) {
  const std::lock_guard lock(mutex_);
  if (stream == 0) {
    whole_window_ += bytes;
  } else if (const auto call = calls_.find(stream); call != calls_.end()) {
    Change(call->second, bytes);
  }
  Count();
}

void OpenCalls::Change(std::int64_t& widened, std::int64_t by) {
  without_window_ -= Waits(widened);
  widened += by;
  without_window_ += Waits(widened);
}

void OpenCalls::Send(std::string_view bytes, absl::FunctionRef<void(std::uint32_t stream)> ended) {
  std::unique_lock lock(mutex_, std::defer_lock);
  FrameHeader frame;
  while (sent_.Next(bytes, frame)) {
    if (!lock) lock.lock();
    if (OnSent(frame)) ended(frame.stream);
  }
  if (lock) Count();
}

bool OpenCalls::OnSent(const FrameHeader& frame) {
  bool has_ended = frame.type == FrameType::kResetStream;
  const bool is_data = frame.type == FrameType::kData;
  if (is_data || frame.type == FrameType::kHeaders) {
    answered_.store(answered() + frame.length, std::memory_order_relaxed);
    if (is_data) whole_window_ -= frame.length;
    has_ended = frame.Has(FrameHeader::kEndStream);
    if (has_ended) {
      answers_.store(answers() + 1, std::memory_order_relaxed);
    } else if (const auto call = calls_.find(frame.stream); is_data && call != calls_.end()) {
      Change(call->second, -std::int64_t{frame.length});
    }
  }
  if (has_ended) End(frame.stream);
  return has_ended;
}

void OpenCalls::SetFull(bool is_full) {
  if (is_full_.load(std::memory_order_relaxed) == is_full) return;
  const std::lock_guard lock(mutex_);
  is_full_.store(is_full, std::memory_order_relaxed);
  Count();
}

void OpenCalls::Close() {
  const std::lock_guard lock(mutex_);
  is_closed_ = true;
  Count();
}

void OpenCalls::Count() {
  const auto open = static_cast<std::uint32_t>(calls_.size());
  open_.store(open, std::memory_order_relaxed);
  const bool all_wait = whole_window_ <= 0 || is_full_.load(std::memory_order_relaxed);
  const std::uint32_t waiting = is_closed_ ? 0 : all_wait ? open : without_window_;
  const std::uint32_t before = this->waiting();
  if (waiting == before) return;
  waiting_.store(waiting, std::memory_order_relaxed);
  if (waiting_in_all_ != nullptr) {
    waiting_in_all_->fetch_add(std::int64_t{waiting} - before, std::memory_order_relaxed);
  }
}

}  // namespace leasegateway
