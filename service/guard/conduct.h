#ifndef LEASE_GATEWAY_SERVICE_GUARD_CONDUCT_H_
#define LEASE_GATEWAY_SERVICE_GUARD_CONDUCT_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "service/guard/allowance.h"
#include "service/guard/cut_reason.h"
#include "service/guard/field_counter.h"
#include "service/guard/frame_reader.h"
#include "service/guard/open_calls.h"
#include "service/guard/recent_streams.h"
#include "service/guard/reset_allowance.h"
#include "service/guard/unfinished_calls.h"

namespace leasegateway {

// What one caller's connection has sent by HTTP/2 (RFC 9113), judged before gRPC sees it: frames
// that bring no call, header blocks, resets, calls whose requests don't come. What breaks the
// protocol is left to gRPC, which closes the connection.
//
// Read is one thread's at a time, so is Look, and so is what tells of what the peer is sent; they
// may run at once.
class Conduct {
 public:
  using Clock = std::chrono::steady_clock;
  // What is spent of the allowances that a new connection has, in units.
  struct Spent {
    std::uint32_t idle = 0;
    std::uint32_t resets = 0;
    // As it is `time` later.
    Spent After(Clock::duration time) const;
    bool operator==(const Spent&) const = default;
  };
  struct Options {
    std::uint32_t max_streams = 1'000;            // that gRPC announces
    std::uint32_t max_metadata_bytes = 16 << 10;  // that gRPC announces
    std::uint64_t max_unfinished_bytes = 64 << 20;
    // A proxy, which may carry many callers: kTrusted times the resets.
    bool trusted = false;
    // Bytes that the peer was sent so far, on the wire (TCP_INFO), from any thread. It is asked
    // when an allowance is used up, which ordinary callers' hardly is. Empty: not known; then
    // WINDOW_UPDATE is free, and silence no offence.
    Allowance::BytesSent bytes_sent;
    // Where the calls that wait for the peer are counted, if anywhere; outlives this.
    std::atomic<std::int64_t>* waiting_in_all = nullptr;
    Spent spent{};  // at the beginning
  };

  // Units that a frame without a call costs, and where its allowance comes from: 2,000 such frames
  // at once, 500 a second, 4 for each call, one for each 64 bytes that the peer is sent. (A client
  // that measures its link sends a PING for each message that it gets.)
  static constexpr std::uint32_t kFrame = 16;
  static constexpr std::uint32_t kSettings = 8 * kFrame;  // gRPC's work for it is that much more
  static constexpr std::uint32_t kWindowUpdate = 1;       // sent for what was received
  static constexpr std::uint32_t kPayloadBytesAUnit = 64;
  static constexpr std::uint32_t kIdleMost = 2'000 * kFrame;
  static constexpr std::uint32_t kIdleLeast = 4 * kSettings;  // for a beginning, whatever is spent
  static constexpr std::uint32_t kIdleAMillisecond = kFrame / 2;
  static constexpr std::uint32_t kIdleACall = 4 * kFrame;
  static constexpr std::uint32_t kIdleBytesAUnit = 4;
  // DATA below this which doesn't end its request costs the more the less it is.
  static constexpr std::uint32_t kSmallData = 256;  // bytes

  // A call is reset rapidly when it is younger than this, or than twice this, as it came; any is
  // whose request wasn't there. 1,000 (or max_streams) on a new connection, and twice that when it
  // is older; 500 a second, one for each call that isn't reset, one for each 128 bytes that the
  // peer is sent (it may have seen enough of the answer). So many calls beside that may be saved up
  // that were not reset, for when the provider is out and short deadlines pass.
  static constexpr std::chrono::milliseconds kRapid{50};
  static constexpr std::uint32_t kResets = 1'000;
  static constexpr std::uint32_t kResetsSaved = 10'000;
  static constexpr std::uint32_t kResetsAMillisecond = kFrame / 2;
  static constexpr std::uint32_t kResetsBytesAUnit = 8;
  static constexpr std::uint32_t kTrusted = 10;

  // A header block on the wire, at least; else twice what metadata may be.
  static constexpr std::uint32_t kHeaderBlock = 64 << 10;  // bytes
  static constexpr std::uint32_t kContinuations = 16;      // of a block
  // Fields of a block, each of which takes gRPC some 170 bytes, at most; else so many as
  // max_metadata bytes, of which a field takes 32 and more (RFC 9113, 6.5.2), would be half full
  // of. From kManyFields on each costs as frames without a call do.
  static constexpr std::uint32_t kFields = 256;
  static constexpr std::uint32_t kManyFields = 64;
  static constexpr std::uint32_t kField = kFrame / 8;
  // What a block's fields have when decoded (FieldCounter::decoded), at most: so many times
  // max_metadata_bytes, which gRPC holds only those to who have acknowledged it; at least as on the
  // wire. Each 64 bytes cost a unit above twice max_metadata_bytes, which gRPC refuses already, and
  // above half of it on a connection that hasn't acknowledged SETTINGS.
  static constexpr std::uint64_t kDecoded = 4;

  // Calls on a connection that hasn't acknowledged SETTINGS: so many times max_streams, which gRPC
  // demands only of those that have: these may have max_streams open, and gRPC ends who opens more.
  // Whoever reads an answer has read SETTINGS before.
  static constexpr std::uint64_t kUnacknowledged = 2;
  // So many unfinished calls may be silent: without DATA for so long, told by Looks of which each
  // counts for no more than kLook, so that a gateway that stood still blames nobody. Answers of so
  // many bytes for each call above say that it was ended from here: who reads an answer before its
  // request is out doesn't send the rest.
  static constexpr std::uint32_t kSilentCalls = 128;
  static constexpr std::chrono::milliseconds kSilence{2'000};
  static constexpr std::chrono::milliseconds kLook{250};
  static constexpr std::uint64_t kAnswer = 32;  // bytes: HEADERS and RST_STREAM are more
  // A call without DATA for so long is stuck. It is no offence of its own.
  static constexpr std::chrono::seconds kStuck{30};

  Conduct() : Conduct(Options()) {}
  explicit Conduct(Options options);
  Conduct(const Conduct&) = delete;
  Conduct& operator=(const Conduct&) = delete;

  // The next bytes as the peer sent them, without TLS; `now` may be coarse. Why the connection is
  // to be cut; none: go on. After a reason it is not called again.
  std::optional<CutReason> Read(std::string_view bytes, Clock::time_point now);
  // Each 100 ms or so: what only time makes an offence.
  std::optional<CutReason> Look(Clock::time_point now);
  // The peer is about to be sent something, of which gRPC's SETTINGS are the first. Who
  // acknowledges them before does so to be held to none of them. Any thread.
  void Answers() {
    if (!is_answered_.load(std::memory_order_relaxed)) {
      is_answered_.store(true, std::memory_order_release);
    }
  }
  // To be told what the peer is sent.
  OpenCalls& open_calls() { return open_calls_; }
  // The peer is about to be sent the end of `stream`: the last frame of its answer, or a reset. If
  // its request isn't there, it is not waited for any more. From any thread; Read isn't waited for,
  // so that it may be called with any lock held.
  void Answered(std::uint32_t stream);

  // Of the thread that reads: rapid resets so far, and how many are spent of what a new connection
  // may have.
  std::uint64_t rapid_resets() const { return rapid_resets_; }
  std::uint32_t spent_resets() const {
    return static_cast<std::uint32_t>(spent_.load(std::memory_order_relaxed) >> 32) / kFrame;
  }

  // From any thread.
  const OpenCalls& open_calls() const { return open_calls_; }
  // Of the allowances at `now`.
  Spent spent(Clock::time_point now) const;
  // Whose requests have come whole, or were answered before.
  std::uint64_t calls() const { return calls_.load(std::memory_order_relaxed); }
  // Begun, and the request not yet there.
  std::uint32_t unfinished_calls() const {
    return unfinished_calls_.load(std::memory_order_relaxed);
  }
  // Of their requests, so far: DATA, and headers as they are when decoded.
  std::uint64_t unfinished_bytes() const {
    return unfinished_bytes_.load(std::memory_order_relaxed);
  }
  // When the one began, or had DATA, that has had none for the longest time; time_point::max() when
  // there is none.
  Clock::time_point oldest_progress() const {
    return Clock::time_point(Clock::duration(oldest_progress_.load(std::memory_order_relaxed)));
  }
  // How many of them are stuck. It waits for Read, and goes through them.
  std::uint32_t StuckCalls(Clock::time_point now) const;

 private:
  using Verdict = std::optional<CutReason>;

  void Pass(Clock::time_point now);
  Verdict ReadFrames(std::string_view bytes);
  Verdict Judge(const FrameHeader& frame);
  Verdict OnData(const FrameHeader& frame);
  Verdict OnHeaders(const FrameHeader& frame);
  Verdict OnContinuation(const FrameHeader& frame);
  Verdict OnReset(const FrameHeader& frame);
  Verdict ReadBlock(std::string_view bytes);
  std::uint64_t FieldUnits() const;
  void ReadValues(std::string_view bytes);
  void TakeValue();
  Verdict Begin(std::uint32_t stream);
  bool End(std::uint32_t stream);  // whether it was unfinished
  void CameWhole();
  void CountUnfinished();
  void TakeAnswered();
  void CountSpent();
  Verdict SpendIdle(std::uint32_t units);
  void Progressed();

  const Options options_;
  const std::uint32_t header_block_;
  const std::uint32_t most_fields_;
  const std::uint64_t most_decoded_;
  // What follows is whose who reads, or takes what was answered, up to what tells otherwise.
  mutable std::mutex mutex_;
  Clock::time_point now_;
  FrameReader reader_;
  bool is_in_request_ = false;  // the last frame is DATA of an unfinished call, `request_`
  std::uint32_t request_ = 0;
  std::atomic<bool> is_answered_{false};
  bool is_acknowledged_ = false;
  bool are_many_ = false;  // since the unfinished calls were more than kSilentCalls
  Allowance idle_{kIdleMost, kIdleAMillisecond, kIdleBytesAUnit};
  ResetAllowance resets_;
  Clock::time_point passed_;  // until when the allowances have grown
  Clock::time_point turned_;
  std::uint32_t young_above_ = 0;  // streams with a higher number are younger than 2 kRapid
  std::uint32_t next_young_above_ = 0;
  std::uint32_t last_stream_ = 0;
  std::uint64_t begun_ = 0;
  std::uint64_t late_resets_ = 0;
  std::uint64_t rapid_resets_ = 0;
  std::uint32_t block_bytes_ = 0;  // of the last header block
  std::uint32_t continuations_ = 0;
  FieldCounter counter_;
  bool is_in_block_ = false;         // HEADERS or CONTINUATION is under way
  bool is_block_open_ = false;       // more of it is to come
  std::uint32_t block_stream_ = 0;   // whose unfinished call it begins; 0: none's
  std::uint32_t priority_left_ = 0;  // bytes of the frame under way before its fields
  std::uint32_t fields_left_ = 0;    // bytes of the frame under way that are fields
  std::uint64_t charged_ = 0;        // units, for the block's fields
  std::uint64_t many_decoded_ = 0;   // above which they are charged for
  UnfinishedCalls unfinished_;
  RecentStreams ended_;  // unfinished, and ended from here: what is on its way may still come
  OpenCalls open_calls_;
  FrameHeader frame_;              // the last one with values
  std::uint32_t values_left_ = 0;  // bytes of SETTINGS or WINDOW_UPDATE that are still to come
  std::optional<std::uint32_t> window_;  // that the SETTINGS under way give each call
  std::array<char, 6> value_{};          // of which each takes six, or four
  std::size_t value_bytes_ = 0;          // of it, that are there

  // Streams that were answered, and are to be taken.
  std::mutex answered_mutex_;
  std::vector<std::uint32_t> answered_;
  std::atomic<bool> has_answered_{false};

  // Written with `mutex_`.
  std::atomic<std::uint64_t> calls_{0};
  std::atomic<std::uint64_t> unfinished_bytes_{0};
  std::atomic<std::uint32_t> unfinished_calls_{0};
  std::atomic<Clock::rep> oldest_progress_{Clock::duration::max().count()};
  std::atomic<std::uint64_t> progress_{0};  // changes when a request grows or ends
  std::atomic<std::uint64_t> spent_;        // Spent: resets above idle
  std::atomic<Clock::rep> spent_at_{0};
  std::atomic<std::uint64_t> sent_at_many_{0};  // when the unfinished calls became many

  // Of the thread that looks.
  std::uint64_t progress_seen_ = ~std::uint64_t{0};  // none yet
  Clock::time_point looked_;
  Clock::duration silence_{};
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_CONDUCT_H_
