#ifndef LEASE_GATEWAY_TESTS_SUPPORT_CONDUCT_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_CONDUCT_FIXTURE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include "service/guard/conduct.h"

namespace leasegateway {

inline void PrintTo(CutReason reason, std::ostream* out) {
  *out << kCutReasonNames[static_cast<std::size_t>(reason)];
}

// What a client sends, by frames (RFC 9113).
namespace conduct_test {

using Reason = std::optional<CutReason>;

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
inline constexpr int kData = 0, kHeaders = 1, kPriority = 2, kReset = 3, kSettings = 4, kPing = 6,
                     kGoaway = 7, kWindowUpdate = 8, kContinuation = 9, kUnknown = 0xfa;
inline constexpr int kNone = 0, kAck = 1, kEnd = 1, kEndHeaders = 4, kPadded = 8;

inline std::string Frame(int type, int flags, std::uint32_t stream, const std::string& payload) {
  std::string frame;
  for (const int shift : {16, 8, 0}) frame += static_cast<char>(payload.size() >> shift);
  frame += static_cast<char>(type);
  frame += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) frame += static_cast<char>(stream >> shift);
  return frame + payload;
}
// A payload of nothing in particular; of HEADERS, the beginning of a field that is longer still.
inline std::string Frame(int type, int flags, std::uint32_t stream, std::size_t length = 0) {
  std::string payload(length, 'x');
  if (type == kHeaders)
    payload.replace(0, 8, std::string("\0\1n\x7f\xff\xff\xff\x7f", 8), 0, length);
  return Frame(type, flags, stream, payload);
}
inline std::string Ping() { return Frame(kPing, kNone, 0, 8); }
inline std::string Call(std::uint32_t stream) {
  return Frame(kHeaders, kEndHeaders, stream, 60) + Frame(kData, kEnd, stream, 30);
}
inline std::string Begun(std::uint32_t stream) { return Frame(kHeaders, kEndHeaders, stream, 60); }
inline std::string Reset(std::uint32_t stream) { return Frame(kReset, kNone, stream, 4); }

// A connection that has sent its preface, at a time of its own.
class ConductTest : public testing::Test {
 protected:
  ConductTest() { Open({}); }

  void Open(Conduct::Options options) {
    conduct_.emplace(std::move(options));
    conduct_->Answers();
    stream_ = 0;
    EXPECT_EQ(Read(kPreface), Reason());
  }
  // Beside a peer that is sent `sent_` bytes.
  void OpenWithBytesSent() {
    Conduct::Options options;
    options.bytes_sent = [this] {
      ++asked_;
      return sent_;
    };
    Open(std::move(options));
  }
  // A call's answer, to its end.
  void Answer(std::uint32_t stream) {
    conduct_->open_calls().Send(Frame(kHeaders, kEndHeaders | kEnd, stream, 20));
  }
  Reason Read(std::string_view bytes) { return conduct_->Read(bytes, now_); }
  std::uint32_t NextStream() { return std::exchange(stream_, stream_ == 0 ? 3 : stream_ + 2) | 1; }

  // How many times `frames` may be sent until it is cut, and why; at most `most`.
  std::pair<int, Reason> Repeat(const std::string& frames, int most = 100'000) {
    for (int i = 0; i < most; ++i) {
      if (const Reason reason = Read(frames)) return {i, reason};
    }
    return {most, {}};
  }
  // Looks each 100 ms of `time`.
  Reason LookFor(std::chrono::milliseconds time) {
    for (std::chrono::milliseconds passed{0}; passed < time;
         passed += std::chrono::milliseconds(100)) {
      now_ += std::chrono::milliseconds(100);
      if (const Reason reason = conduct_->Look(now_)) return reason;
    }
    return {};
  }

  Conduct::Clock::time_point now_{std::chrono::hours(1)};
  std::uint64_t sent_ = 1'000;
  int asked_ = 0;
  std::optional<Conduct> conduct_;
  std::uint32_t stream_ = 0;
};

inline std::pair<int, Reason> CutAfter(int times, CutReason reason) { return {times, reason}; }
inline std::pair<int, Reason> NotCut(int times) { return {times, {}}; }

}  // namespace conduct_test
}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_CONDUCT_FIXTURE_H_
