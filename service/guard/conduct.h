#ifndef LEASE_GATEWAY_SERVICE_GUARD_CONDUCT_H_
#define LEASE_GATEWAY_SERVICE_GUARD_CONDUCT_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "service/guard/allowance.h"
#include "service/guard/cut_reason.h"
#include "service/guard/field_counter.h"
#include "service/guard/frame_reader.h"

namespace leasegateway {

// What one caller's connection has sent by HTTP/2 (RFC 9113), judged before gRPC sees it: frames
// that bring no call, header blocks, resets, calls whose requests don't come. What breaks the
// protocol is left to gRPC, which closes the connection.
//
// Read is one thread's at a time, and so is Look; they may run at once.
class Conduct {
 public:
  using Clock = std::chrono::steady_clock;
  // What is left of the allowances, in units.
  struct Left {
    std::uint32_t idle = 2'000 * 16;    // kIdleMost
    std::uint32_t resets = 1'000 * 16;  // kResetsMost
    // As it is `time` later.
    Left After(Clock::duration time) const;
    bool operator==(const Left&) const = default;
  };
  struct Options {
    std::uint32_t max_streams = 1'000;            // that gRPC announces
    std::uint32_t max_metadata_bytes = 16 << 10;  // that gRPC announces
    std::uint64_t max_unfinished_bytes = 64 << 20;
    // Bytes that the peer was sent so far, on the wire (TCP_INFO), from any thread. It is asked
    // when an allowance is used up, which ordinary callers' hardly is. Empty: not known; then
    // WINDOW_UPDATE is free, and silence no offence.
    Allowance::BytesSent bytes_sent;
    Left left{};  // at the beginning
  };

  // Units that a frame without a call costs, and where its allowance comes from: 2,000 such frames
  // at once, 500 a second, 4 for each call, one for each 64 bytes that the peer is sent. (A client
  // that measures its link sends a PING for each message that it gets.)
  static constexpr std::uint32_t kFrame = 16;
  static constexpr std::uint32_t kSettings = 8 * kFrame;  // gRPC's work for it is that much more
  static constexpr std::uint32_t kWindowUpdate = 1;       // sent for what was received
  static constexpr std::uint32_t kPayloadBytesAUnit = 64;
  static constexpr std::uint32_t kIdleMost = 2'000 * kFrame;
  static constexpr std::uint32_t kIdleAMillisecond = kFrame / 2;
  static constexpr std::uint32_t kIdleACall = 4 * kFrame;
  static constexpr std::uint32_t kIdleBytesAUnit = 4;
  // DATA below this, padding left out, which doesn't end its request costs the more the less it is.
  static constexpr std::uint32_t kSmallData = 256;  // bytes

  // A call is reset rapidly when it is younger than this, or than twice this, as it came; any is
  // whose request wasn't there. 1,000 at once, 500 a second, one for each call that isn't reset,
  // one for each 128 bytes that the peer is sent (it may have seen enough of the answer).
  static constexpr std::chrono::milliseconds kRapid{50};
  static constexpr std::uint32_t kResetsMost = 1'000 * kFrame;
  static constexpr std::uint32_t kResetsAMillisecond = kFrame / 2;
  static constexpr std::uint32_t kResetsBytesAUnit = 8;

  // A header block on the wire, at least; else twice what metadata may be.
  static constexpr std::uint32_t kHeaderBlock = 64 << 10;  // bytes
  static constexpr std::uint32_t kContinuations = 16;      // of a block
  // Fields of a block, each of which takes gRPC some 170 bytes, at most; else so many as
  // max_metadata bytes, of which a field takes 32 and more (RFC 9113, 6.5.2), would be half full
  // of. From kManyFields on each costs as frames without a call do.
  static constexpr std::uint32_t kFields = 256;
  static constexpr std::uint32_t kManyFields = 64;
  static constexpr std::uint32_t kField = kFrame / 8;

  // Calls on a connection that hasn't acknowledged SETTINGS: so many times max_streams, which gRPC
  // demands only of those that have. Whoever reads an answer has read SETTINGS before.
  static constexpr std::uint64_t kUnacknowledged = 2;
  // So many unfinished calls may be silent: without DATA for so long, told by Looks of which each
  // counts for no more than kLook, so that a gateway that stood still blames nobody. Answers of so
  // many bytes for each call above say that it was ended from here: who reads an answer before its
  // request is out doesn't send the rest.
  static constexpr std::uint32_t kSilentCalls = 128;
  static constexpr std::chrono::milliseconds kSilence{2'000};
  static constexpr std::chrono::milliseconds kLook{250};
  static constexpr std::uint64_t kAnswer = 32;  // bytes: HEADERS and RST_STREAM are more

  Conduct() : Conduct(Options()) {}
  explicit Conduct(Options options);
  Conduct(const Conduct&) = delete;
  Conduct& operator=(const Conduct&) = delete;

  // The next bytes as the peer sent them, without TLS; `now` may be coarse. Why the connection is
  // to be cut; none: go on. After a reason it is not called again.
  std::optional<CutReason> Read(std::string_view bytes, Clock::time_point now);
  // Each 100 ms or so: what only time makes an offence.
  std::optional<CutReason> Look(Clock::time_point now);

  // From any thread.
  // Whose requests have come whole.
  // Of the allowances at `now`.
  Left left(Clock::time_point now) const;
  std::uint64_t calls() const { return calls_.load(std::memory_order_relaxed); }
  // Begun, and the request not yet there.
  std::uint32_t unfinished_calls() const {
    return unfinished_calls_.load(std::memory_order_relaxed);
  }
  // Of their requests, so far.
  std::uint64_t unfinished_bytes() const {
    return unfinished_bytes_.load(std::memory_order_relaxed);
  }

 private:
  using Verdict = std::optional<CutReason>;

  void Pass(Clock::time_point now);
  Verdict ReadFrames(std::string_view bytes);
  Verdict Judge(const FrameHeader& frame);
  Verdict OnData(const FrameHeader& frame);
  Verdict OnHeaders(const FrameHeader& frame);
  Verdict OnContinuation(const FrameHeader& frame);
  Verdict OnReset(const FrameHeader& frame);
  Verdict ReadFields(std::string_view bytes);
  Verdict Begin(std::uint32_t stream);
  bool End(std::uint32_t stream);  // whether it was unfinished
  void CameWhole();
  Verdict SpendIdle(std::uint32_t units);
  void Progressed();

  const Options options_;
  const std::uint32_t header_block_;
  const std::uint32_t most_fields_;
  FrameReader reader_;
  bool is_in_request_ = false;  // the last frame is DATA of an unfinished call
  bool is_acknowledged_ = false;
  bool are_many_ = false;  // since the unfinished calls were more than kSilentCalls
  Allowance idle_{kIdleMost, kIdleAMillisecond, kIdleBytesAUnit};
  Allowance resets_{kResetsMost, kResetsAMillisecond, kResetsBytesAUnit};
  Clock::time_point passed_;  // until when the allowances have grown
  Clock::time_point turned_;
  std::uint32_t young_above_ = 0;  // streams with a higher number are younger than 2 kRapid
  std::uint32_t next_young_above_ = 0;
  std::uint32_t last_stream_ = 0;
  std::uint64_t begun_ = 0;
  std::uint64_t late_resets_ = 0;
  std::uint32_t block_bytes_ = 0;  // of the last header block
  std::uint32_t continuations_ = 0;
  FieldCounter counter_;
  std::uint32_t fields_ = 0;         // of the last header block, so far
  std::uint32_t priority_left_ = 0;  // bytes of the frame under way before its fields
  std::uint32_t fields_left_ = 0;    // bytes of the frame under way that are fields
  absl::flat_hash_map<std::uint32_t, std::uint64_t> unfinished_;  // bytes by stream

  // Written by the thread that reads.
  std::atomic<std::uint64_t> calls_{0};
  std::atomic<std::uint64_t> unfinished_bytes_{0};
  std::atomic<std::uint32_t> unfinished_calls_{0};
  std::atomic<std::uint64_t> progress_{0};  // changes when a request grows or ends
  std::atomic<std::uint64_t> left_;         // Left: resets above idle
  std::atomic<Clock::rep> left_at_{0};
  std::atomic<std::uint64_t> sent_at_many_{0};  // when the unfinished calls became many

  // Of the thread that looks.
  std::uint64_t progress_seen_ = ~std::uint64_t{0};  // none yet
  Clock::time_point looked_;
  Clock::duration silence_{};
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_CONDUCT_H_
