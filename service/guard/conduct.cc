#include "service/guard/conduct.h"

#include <algorithm>
#include <utility>

namespace leasegateway {
namespace {

// For what one thread writes at a time: no locked instruction.
template <typename T>
void Add(std::atomic<T>& counter, T value) {
  counter.store(counter.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
}

constexpr std::uint64_t Packed(std::uint32_t idle, std::uint32_t resets) {
  return std::uint64_t{resets} << 32 | idle;
}

// Of metadata, twice what a field is counted as at least.
constexpr std::uint32_t kFieldBytes = 64;

// Of SETTINGS (6.5.2), and the most that a window may be (6.9.1).
constexpr std::uint32_t kInitialWindow = 4;
constexpr std::uint32_t kMostWindow = 0x7fff'ffff;

// Of HEADERS with a priority, before its fields.
constexpr std::uint32_t kPriorityBytes = 5;

ResetAllowance::Amounts Resets(std::uint32_t max_streams, bool trusted) {
  const std::uint32_t times = Conduct::kFrame * (trusted ? Conduct::kTrusted : 1);
  return {.at_first = times * std::max(Conduct::kResets, max_streams),
          .most = times * 2 * std::max(Conduct::kResets, max_streams),
          .most_credit = times * Conduct::kResetsSaved,
          .a_millisecond = Conduct::kResetsAMillisecond * (trusted ? Conduct::kTrusted : 1),
          .bytes_a_unit = Conduct::kResetsBytesAUnit};
}

}  // namespace

Conduct::Conduct(Options options)
    : options_(std::move(options)),
      header_block_(std::max(kHeaderBlock, 2 * options_.max_metadata_bytes)),
      most_fields_(std::max(kFields, options_.max_metadata_bytes / kFieldBytes)),
      most_decoded_(std::max<std::uint64_t>(kHeaderBlock, kDecoded * options_.max_metadata_bytes)),
      resets_(Resets(options_.max_streams, options_.trusted), options_.spent.resets),
      open_calls_(options_.waiting_in_all),
      spent_(Packed(options_.spent.idle, options_.spent.resets)) {
  idle_.Start(std::max(kIdleMost - std::min(kIdleMost, options_.spent.idle), kIdleLeast));
}

Conduct::Spent Conduct::Spent::After(Clock::duration time) const {
  const auto since = static_cast<std::uint64_t>(
      std::chrono::floor<std::chrono::milliseconds>(std::max(time, Clock::duration::zero()))
          .count());
  const auto less = [since](std::uint32_t spent, std::uint32_t a_millisecond) {
    return spent -
           static_cast<std::uint32_t>(std::min<std::uint64_t>(spent, since * a_millisecond));
  };
  return {.idle = less(idle, kIdleAMillisecond), .resets = less(resets, kResetsAMillisecond)};
}

Conduct::Spent Conduct::spent(Clock::time_point now) const {
  const std::uint64_t packed = spent_.load(std::memory_order_relaxed);
  const Spent then{.idle = static_cast<std::uint32_t>(packed),
                   .resets = static_cast<std::uint32_t>(packed >> 32)};
  const Clock::rep at = spent_at_.load(std::memory_order_relaxed);
  return at == 0 ? then : then.After(now - Clock::time_point(Clock::duration(at)));
}

void Conduct::CountSpent() {
  spent_.store(Packed(kIdleMost - idle_.left(), resets_.spent()), std::memory_order_relaxed);
  spent_at_.store(passed_.time_since_epoch().count(), std::memory_order_relaxed);
}

std::optional<CutReason> Conduct::Read(std::string_view bytes, Clock::time_point now) {
  std::optional<CutReason> reason;
  {
    const std::lock_guard lock(mutex_);
    TakeAnswered();
    Pass(now);
    reason = ReadFrames(bytes);
    CountSpent();
  }
  // Who answered meanwhile did not wait.
  if (has_answered_.load(std::memory_order_acquire)) {
    const std::lock_guard lock(mutex_);
    TakeAnswered();
  }
  return reason;
}

std::optional<CutReason> Conduct::ReadFrames(std::string_view bytes) {
  if (is_in_request_ && reader_.payload_left() > 0 && !bytes.empty() &&
      unfinished_.Progressed(request_, 0, now_)) {
    Progressed();
    CountUnfinished();
  }
  for (;;) {
    if (is_in_block_) {
      if (const auto reason = ReadBlock(bytes)) return reason;
    }
    if (values_left_ > 0) ReadValues(bytes);
    FrameHeader frame;
    if (!reader_.Next(bytes, frame)) return std::nullopt;
    if (const auto reason = Judge(frame)) return reason;
  }
}

// What is at the front of `bytes` of the header block's frame under way. The reader passes it over.
std::optional<CutReason> Conduct::ReadBlock(std::string_view bytes) {
  const std::size_t priority = std::min<std::size_t>(priority_left_, bytes.size());
  priority_left_ -= static_cast<std::uint32_t>(priority);
  const std::string_view piece = bytes.substr(priority, fields_left_);
  fields_left_ -= static_cast<std::uint32_t>(piece.size());
  const std::uint32_t fields = counter_.Read(piece);
  if (fields > most_fields_ || counter_.decoded() > most_decoded_) return CutReason::kHeaderBlock;
  const std::uint64_t units = FieldUnits();
  const std::uint64_t before = std::exchange(charged_, units);
  if (units > before) {
    if (const auto reason = SpendIdle(static_cast<std::uint32_t>(units - before))) return reason;
  }
  is_in_block_ = fields_left_ > 0;
  if (is_in_block_ || is_block_open_ || !unfinished_.Grow(block_stream_, counter_.decoded())) {
    return std::nullopt;
  }
  CountUnfinished();
  if (unfinished_.bytes() <= options_.max_unfinished_bytes) return std::nullopt;
  return CutReason::kUnfinishedBytes;
}

// What the block has cost so far.
std::uint64_t Conduct::FieldUnits() const {
  const auto above = [](std::uint64_t number, std::uint64_t free) {
    return std::max(number, free) - free;
  };
  return kField * above(counter_.fields(), kManyFields) +
         above(counter_.decoded(), many_decoded_) / kPayloadBytesAUnit;
}

// What is at the front of `bytes` of the frame under way, likewise.
void Conduct::ReadValues(std::string_view bytes) {
  bytes = bytes.substr(0, values_left_);
  values_left_ -= static_cast<std::uint32_t>(bytes.size());
  const std::size_t size = frame_.type == FrameType::kSettings ? 6 : 4;
  while (!bytes.empty()) {
    const std::size_t taken = bytes.copy(value_.data() + value_bytes_, size - value_bytes_);
    bytes.remove_prefix(taken);
    value_bytes_ += taken;
    if (value_bytes_ < size) return;
    value_bytes_ = 0;
    TakeValue();
  }
  // The last of a frame's is the one that holds, and each looks at all calls.
  if (values_left_ == 0 && window_) open_calls_.SetWindow(*std::exchange(window_, std::nullopt));
}

void Conduct::TakeValue() {
  const auto number = [this](std::size_t from, std::size_t size) {
    std::uint32_t value = 0;
    for (std::size_t i = from; i < from + size; ++i) {
      value = value << 8 | static_cast<unsigned char>(value_[i]);
    }
    return value;
  };
  if (frame_.type == FrameType::kWindowUpdate) {
    open_calls_.Widen(frame_.stream, number(0, 4) & kMostWindow);
  } else if (number(0, 2) == kInitialWindow) {
    window_ = std::min(number(2, 4), kMostWindow);
  }
}

void Conduct::Pass(Clock::time_point now) {
  now_ = now;
  if (passed_ == Clock::time_point()) passed_ = turned_ = now;  // the allowances are as they began
  const auto time = std::chrono::floor<std::chrono::milliseconds>(now - passed_);
  if (time.count() <= 0) return;
  passed_ += time;
  idle_.Pass(time);
  resets_.Pass(time);
  const auto since = now - turned_;
  if (since < kRapid) return;
  const bool is_next = since < 2 * kRapid;
  young_above_ = is_next ? next_young_above_ : last_stream_;
  resets_.Turn(is_next);
  next_young_above_ = last_stream_;
  turned_ = now;
}

std::optional<CutReason> Conduct::Judge(const FrameHeader& frame) {
  is_in_request_ = false;
  if (frame.type == FrameType::kWindowUpdate || frame.type == FrameType::kSettings) {
    frame_ = frame;
    values_left_ = frame.length;
    value_bytes_ = 0;
  }
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
      if (frame.Has(FrameHeader::kAck)) {
        // gRPC 1.51 takes what it has sent so far, none of its own, as all that binds the peer.
        if (!is_answered_.load(std::memory_order_acquire)) return CutReason::kUnacknowledged;
        is_acknowledged_ = true;
      }
      return SpendIdle(kSettings + payload);
  }
  return SpendIdle(kFrame + payload);  // PING, PRIORITY, GOAWAY, and those that nobody knows
}

std::optional<CutReason> Conduct::OnData(const FrameHeader& frame) {
  // gRPC 1.51 knows no padding, and resets the call.
  if ((frame.flags & ~FrameHeader::kEndStream) != 0) return OnReset(frame);
  const bool is_last = frame.Has(FrameHeader::kEndStream);
  if (is_last && End(frame.stream)) {
    CameWhole();
    return std::nullopt;
  }
  if (frame.length > 0 ? unfinished_.Progressed(frame.stream, frame.length, now_)
                       : unfinished_.Has(frame.stream)) {
    CountUnfinished();
    if (unfinished_bytes() > options_.max_unfinished_bytes) return CutReason::kUnfinishedBytes;
    is_in_request_ = frame.length > 0;
    request_ = frame.stream;
    if (is_in_request_) Progressed();
  } else if (!ended_.Has(frame.stream)) {
    return SpendIdle(kFrame + frame.length / kPayloadBytesAUnit);
  } else if (is_last) {
    ended_.Remove(frame.stream);
    return std::nullopt;
  }
  if (frame.length >= kSmallData) return std::nullopt;
  return SpendIdle(kFrame - frame.length * kFrame / kSmallData);
}

std::optional<CutReason> Conduct::OnHeaders(const FrameHeader& frame) {
  block_bytes_ = frame.length;
  continuations_ = 0;
  if (block_bytes_ > header_block_) return CutReason::kHeaderBlock;
  counter_.Begin();
  charged_ = 0;
  many_decoded_ = is_acknowledged_ ? std::uint64_t{2} * options_.max_metadata_bytes
                                   : options_.max_metadata_bytes / 2;
  is_in_block_ = true;
  is_block_open_ = !frame.Has(FrameHeader::kEndHeaders);
  block_stream_ = 0;
  priority_left_ = frame.Has(FrameHeader::kPriority) ? kPriorityBytes : 0;
  // To gRPC 1.51 padding is fields as well.
  fields_left_ = frame.length - std::min(frame.length, priority_left_);
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
  open_calls_.Begin(frame.stream);
  if (const auto reason = is_whole ? std::nullopt : Begin(frame.stream)) return reason;
  if (is_acknowledged_ && open_calls_.open() > options_.max_streams) {
    return CutReason::kTooManyCalls;
  }
  if (!is_whole) return std::nullopt;
  CameWhole();
  return std::nullopt;
}

std::optional<CutReason> Conduct::OnContinuation(const FrameHeader& frame) {
  block_bytes_ = std::min(block_bytes_ + frame.length, header_block_ + 1);
  if (++continuations_ > kContinuations || block_bytes_ > header_block_) {
    return CutReason::kHeaderBlock;
  }
  is_in_block_ = is_block_open_;  // else gRPC closes the connection
  is_block_open_ &= !frame.Has(FrameHeader::kEndHeaders);
  priority_left_ = 0;
  fields_left_ = frame.length;
  return SpendIdle(kFrame);
}

std::optional<CutReason> Conduct::OnReset(const FrameHeader& frame) {
  open_calls_.Reset(frame.stream);
  if (!End(frame.stream)) {
    if (frame.stream % 2 == 0 || frame.stream > last_stream_) return SpendIdle(kFrame);
    if (frame.stream <= young_above_ || ended_.Remove(frame.stream)) {
      // One for each call; more of them reset what is no more.
      return ++late_resets_ <= begun_ ? std::nullopt : SpendIdle(kFrame);
    }
    resets_.TakeBack(kFrame);
  }
  ++rapid_resets_;
  if (!resets_.Spend(kFrame, options_.bytes_sent)) return CutReason::kRapidResets;
  return std::nullopt;
}

std::optional<CutReason> Conduct::Begin(std::uint32_t stream) {
  block_stream_ = stream;
  unfinished_.Begin(stream, now_);
  if (unfinished_.size() > options_.max_streams && is_acknowledged_) {
    // gRPC lets it have no more at once: one was ended from here, most likely that one.
    ended_.Add(unfinished_.oldest());
    End(unfinished_.oldest());
  }
  CountUnfinished();
  if (unfinished_.size() > options_.max_streams) return CutReason::kUnfinishedCalls;
  if (unfinished_.size() > kSilentCalls && !are_many_ && options_.bytes_sent) {
    are_many_ = true;
    Progressed();  // these are silent from now on
    sent_at_many_.store(options_.bytes_sent(), std::memory_order_relaxed);
  }
  return std::nullopt;
}

bool Conduct::End(std::uint32_t stream) {
  if (!unfinished_.End(stream)) return false;
  CountUnfinished();
  if (unfinished_.size() <= kSilentCalls / 2) are_many_ = false;
  return true;
}

void Conduct::CountUnfinished() {
  unfinished_calls_.store(unfinished_.size(), std::memory_order_relaxed);
  unfinished_bytes_.store(unfinished_.bytes(), std::memory_order_relaxed);
  oldest_progress_.store(unfinished_.oldest_progress().time_since_epoch().count(),
                         std::memory_order_relaxed);
}

void Conduct::CameWhole() {
  Add(calls_, std::uint64_t{1});
  idle_.Earn(kIdleACall);
  resets_.Earn(kFrame);
  Progressed();
}

void Conduct::Answered(std::uint32_t stream) {
  if (unfinished_calls() == 0) return;  // gRPC has answered what was read before
  {
    const std::lock_guard lock(answered_mutex_);
    answered_.push_back(stream);
    has_answered_.store(true, std::memory_order_release);
  }
  if (const std::unique_lock lock(mutex_, std::try_to_lock); lock) TakeAnswered();
}

// With `mutex_`.
void Conduct::TakeAnswered() {
  if (!has_answered_.load(std::memory_order_acquire)) return;
  std::vector<std::uint32_t> answered;
  {
    const std::lock_guard lock(answered_mutex_);
    answered.swap(answered_);
    has_answered_.store(false, std::memory_order_relaxed);
  }
  for (const std::uint32_t stream : answered) {
    if (!End(stream)) continue;
    ended_.Add(stream);
    CameWhole();
  }
  CountSpent();
}

std::uint32_t Conduct::StuckCalls(Clock::time_point now) const {
  const std::lock_guard lock(mutex_);
  return unfinished_.StuckSince(now - kStuck);
}

void Conduct::Progressed() { Add(progress_, std::uint64_t{1}); }

std::optional<CutReason> Conduct::SpendIdle(std::uint32_t units) {
  if (idle_.Spend(units, options_.bytes_sent)) return std::nullopt;
  return CutReason::kIdleFrames;
}

std::optional<CutReason> Conduct::Look(Clock::time_point now) {
  if (has_answered_.load(std::memory_order_relaxed)) {  // while it was read
    const std::lock_guard lock(mutex_);
    TakeAnswered();
  }
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
