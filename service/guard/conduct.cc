#include "service/guard/conduct.h"

#include <algorithm>
#include <utility>

namespace leasegateway {
namespace {

// For what one thread writes: no locked instruction.
template <typename T>
void Add(std::atomic<T>& counter, T value) {
  counter.store(counter.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
}

constexpr std::uint64_t Packed(std::uint32_t idle, std::uint32_t resets) {
  return std::uint64_t{resets} << 32 | idle;
}

// Of metadata, twice what a field is counted as at least.
constexpr std::uint32_t kFieldBytes = 64;

// Of HEADERS with a priority, before its fields.
constexpr std::uint32_t kPriorityBytes = 5;

}  // namespace

Conduct::Conduct(Options options)
    : options_(std::move(options)),
      header_block_(std::max(kHeaderBlock, 2 * options_.max_metadata_bytes)),
      most_fields_(std::max(kFields, options_.max_metadata_bytes / kFieldBytes)),
      left_(Packed(options_.left.idle, options_.left.resets)) {
  idle_.Start(options_.left.idle);
  resets_.Start(options_.left.resets);
}

Conduct::Left Conduct::Left::After(Clock::duration time) const {
  static_assert(Left().idle == kIdleMost && Left().resets == kResetsMost);
  const auto since =
      std::chrono::floor<std::chrono::milliseconds>(std::max(time, Clock::duration::zero()));
  Allowance idle_then(kIdleMost, kIdleAMillisecond, kIdleBytesAUnit);
  Allowance resets_then(kResetsMost, kResetsAMillisecond, kResetsBytesAUnit);
  idle_then.Start(idle);
  resets_then.Start(resets);
  idle_then.Pass(since);
  resets_then.Pass(since);
  return {.idle = idle_then.left(), .resets = resets_then.left()};
}

Conduct::Left Conduct::left(Clock::time_point now) const {
  const std::uint64_t packed = left_.load(std::memory_order_relaxed);
  const Left then{.idle = static_cast<std::uint32_t>(packed),
                  .resets = static_cast<std::uint32_t>(packed >> 32)};
  const Clock::rep at = left_at_.load(std::memory_order_relaxed);
  return at == 0 ? then : then.After(now - Clock::time_point(Clock::duration(at)));
}

std::optional<CutReason> Conduct::Read(std::string_view bytes, Clock::time_point now) {
  Pass(now);
  const auto reason = ReadFrames(bytes);
  left_.store(Packed(idle_.left(), resets_.left()), std::memory_order_relaxed);
  left_at_.store(passed_.time_since_epoch().count(), std::memory_order_relaxed);
  return reason;
}

std::optional<CutReason> Conduct::ReadFrames(std::string_view bytes) {
  if (is_in_request_ && reader_.payload_left() > 0 && !bytes.empty()) Progressed();
  for (;;) {
    if (fields_left_ > 0) {
      if (const auto reason = ReadFields(bytes)) return reason;
    }
    const auto frame = reader_.Next(bytes);
    if (!frame) return std::nullopt;
    if (const auto reason = Judge(*frame)) return reason;
  }
}

// What is at the front of `bytes` of the header block's frame under way. The reader passes it over.
std::optional<CutReason> Conduct::ReadFields(std::string_view bytes) {
  const std::size_t priority = std::min<std::size_t>(priority_left_, bytes.size());
  priority_left_ -= static_cast<std::uint32_t>(priority);
  const std::string_view piece = bytes.substr(priority, fields_left_);
  fields_left_ -= static_cast<std::uint32_t>(piece.size());
  const std::uint32_t before = std::max(std::exchange(fields_, counter_.Read(piece)), kManyFields);
  if (fields_ > most_fields_) return CutReason::kHeaderBlock;
  return fields_ > before ? SpendIdle(kField * (fields_ - before)) : std::nullopt;
}

void Conduct::Pass(Clock::time_point now) {
  if (passed_ == Clock::time_point()) passed_ = turned_ = now;  // the allowances are as they began
  const auto time = std::chrono::floor<std::chrono::milliseconds>(now - passed_);
  if (time.count() <= 0) return;
  passed_ += time;
  idle_.Pass(time);
  resets_.Pass(time);
  const auto since = now - turned_;
  if (since < kRapid) return;
  young_above_ = since < 2 * kRapid ? next_young_above_ : last_stream_;
  next_young_above_ = last_stream_;
  turned_ = now;
}

std::optional<CutReason> Conduct::Judge(const FrameHeader& frame) {
  is_in_request_ = false;
  const std::uint32_t payload = frame.length / kPayloadBytesAUnit;
  switch (frame.type) {
    case FrameType::kData:
      return OnData(frame);
    case FrameType::kHeaders:
      return OnHeaders(frame);
    case FrameType::kContinuation:
      return OnContinuation(frame);
    case FrameType::kResetStream:
      return OnReset(frame);
    case FrameType::kWindowUpdate:
      if (!options_.bytes_sent) return std::nullopt;
      return SpendIdle(kWindowUpdate + payload);
    case FrameType::kSettings:
      is_acknowledged_ |= frame.Has(FrameHeader::kAck);
      return SpendIdle(kSettings + payload);
  }
  return SpendIdle(kFrame + payload);  // PING, PRIORITY, GOAWAY, and those that nobody knows
}

std::optional<CutReason> Conduct::OnData(const FrameHeader& frame) {
  if (frame.Has(FrameHeader::kEndStream) && End(frame.stream)) {
    CameWhole();
    return std::nullopt;
  }
  const auto call = unfinished_.find(frame.stream);
  if (call == unfinished_.end()) return SpendIdle(kFrame + frame.length / kPayloadBytesAUnit);
  call->second += frame.length;
  Add(unfinished_bytes_, std::uint64_t{frame.length});
  if (unfinished_bytes() > options_.max_unfinished_bytes) return CutReason::kUnfinishedBytes;
  const std::uint32_t request = frame.length - frame.padding;
  is_in_request_ = request > 0;
  if (is_in_request_) Progressed();
  if (request >= kSmallData) return std::nullopt;
  return SpendIdle(kFrame - request * kFrame / kSmallData);
}

std::optional<CutReason> Conduct::OnHeaders(const FrameHeader& frame) {
  block_bytes_ = frame.length;
  continuations_ = 0;
  if (block_bytes_ > header_block_) return CutReason::kHeaderBlock;
  counter_.Begin();
  fields_ = 0;
  priority_left_ = frame.Has(FrameHeader::kPriority) ? kPriorityBytes : 0;
  fields_left_ = frame.length - std::min(frame.length, frame.padding + priority_left_);
  const bool is_whole = frame.Has(FrameHeader::kEndStream);
  if (frame.stream <= last_stream_ || frame.stream % 2 == 0) {
    if (!is_whole || !End(frame.stream)) return SpendIdle(kFrame);
    CameWhole();  // by trailers
    return std::nullopt;
  }
  last_stream_ = frame.stream;
  if (++begun_ > kUnacknowledged * options_.max_streams && !is_acknowledged_) {
    return CutReason::kUnacknowledged;
  }
  if (!is_whole) return Begin(frame.stream);
  CameWhole();
  return std::nullopt;
}

std::optional<CutReason> Conduct::OnContinuation(const FrameHeader& frame) {
  block_bytes_ = std::min(block_bytes_ + frame.length, header_block_ + 1);
  if (++continuations_ > kContinuations || block_bytes_ > header_block_) {
    return CutReason::kHeaderBlock;
  }
  priority_left_ = 0;
  fields_left_ = frame.length;
  return SpendIdle(kFrame);
}

std::optional<CutReason> Conduct::OnReset(const FrameHeader& frame) {
  std::uint32_t units = kFrame;
  if (!End(frame.stream)) {
    if (frame.stream % 2 == 0 || frame.stream > last_stream_) return SpendIdle(kFrame);
    if (frame.stream <= young_above_) {
      // One for each call; more of them reset what is no more.
      return ++late_resets_ <= begun_ ? std::nullopt : SpendIdle(kFrame);
    }
    units = 2 * kFrame;  // what it brought as it came whole as well
  }
  if (!resets_.Spend(units, options_.bytes_sent)) return CutReason::kRapidResets;
  return std::nullopt;
}

std::optional<CutReason> Conduct::Begin(std::uint32_t stream) {
  unfinished_.emplace(stream, 0);
  const auto calls = static_cast<std::uint32_t>(unfinished_.size());
  unfinished_calls_.store(calls, std::memory_order_relaxed);
  if (calls > options_.max_streams) return CutReason::kUnfinishedCalls;
  if (calls > kSilentCalls && !are_many_ && options_.bytes_sent) {
    are_many_ = true;
    sent_at_many_.store(options_.bytes_sent(), std::memory_order_relaxed);
  }
  return std::nullopt;
}

bool Conduct::End(std::uint32_t stream) {
  const auto call = unfinished_.find(stream);
  if (call == unfinished_.end()) return false;
  Add(unfinished_bytes_, std::uint64_t{0} - call->second);
  unfinished_.erase(call);
  unfinished_calls_.store(static_cast<std::uint32_t>(unfinished_.size()),
                          std::memory_order_relaxed);
  if (unfinished_.size() <= kSilentCalls / 2) are_many_ = false;
  return true;
}

void Conduct::CameWhole() {
  Add(calls_, std::uint64_t{1});
  idle_.Earn(kIdleACall);
  resets_.Earn(kFrame);
  Progressed();
}

void Conduct::Progressed() { Add(progress_, std::uint64_t{1}); }

std::optional<CutReason> Conduct::SpendIdle(std::uint32_t units) {
  if (idle_.Spend(units, options_.bytes_sent)) return std::nullopt;
  return CutReason::kIdleFrames;
}

std::optional<CutReason> Conduct::Look(Clock::time_point now) {
  const Clock::duration time = std::min<Clock::duration>(now - looked_, kLook);
  looked_ = now;
  const std::uint64_t progress = progress_.load(std::memory_order_relaxed);
  const std::uint32_t calls = unfinished_calls();
  if (std::exchange(progress_seen_, progress) != progress || calls <= kSilentCalls) {
    silence_ = {};
    return std::nullopt;
  }
  silence_ += time;
  if (silence_ < kSilence || !options_.bytes_sent) return std::nullopt;
  const std::uint64_t answered =
      options_.bytes_sent() - sent_at_many_.load(std::memory_order_relaxed);
  if (answered >= kAnswer * (calls - kSilentCalls)) return std::nullopt;
  return CutReason::kUnfinishedCalls;
}

}  // namespace leasegateway
