#ifndef LEASE_GATEWAY_SERVICE_GUARD_CUT_REASON_H_
#define LEASE_GATEWAY_SERVICE_GUARD_CUT_REASON_H_

#include <cstddef>

namespace leasegateway {

// Why a caller's connection is cut, and its word in metrics and logs.
enum class CutReason {
  kIdleFrames,       // PING, SETTINGS, empty DATA and their like, with few calls
  kHeaderBlock,      // a header in more bytes than any may have
  kRapidResets,      // calls that are begun and taken back at once
  kUnfinishedCalls,  // calls begun, and their requests not sent
  kUnfinishedBytes,  // requests that are kept half-sent
  kEmptyRecords,     // TLS that carries nothing
  kMemory,           // it costs most of a memory that is nearly used up
  kUnacknowledged,   // many calls, and what they may be at most not acknowledged, or before it came
  kTooManyCalls,     // more at once than it has acknowledged that there may be
  kUnreadAnswers,    // many calls whose answers it doesn't take, while there are too many such
  kMadeRoom,         // places are few, its address has most of them, and it asks for nothing
};
inline constexpr std::size_t kCutReasons = 11;
inline constexpr const char* kCutReasonNames[kCutReasons] = {
    "idle_frames",      "header_block",   "rapid_resets", "unfinished_calls",
    "unfinished_bytes", "empty_records",  "memory",       "unacknowledged",
    "too_many_calls",   "unread_answers", "made_room"};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_CUT_REASON_H_
