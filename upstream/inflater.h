#ifndef LEASE_GATEWAY_UPSTREAM_INFLATER_H_
#define LEASE_GATEWAY_UPSTREAM_INFLATER_H_

#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace leasegateway {

// Inflates a gzip file (RFC 1952), which may have several members one behind the other, or one zlib
// stream (RFC 1950), while it arrives: one that would become too large ends with the byte that
// makes it so, wherever its own end may be. No bytes at all are an empty text.
class Inflater {
 public:
  enum class Format { kGzip, kZlib };
  enum class Outcome {
    kOk,
    kTooLarge,  // more than the limit comes out
    kCorrupt,   // not the format, or its checksum or length is wrong; problem() says what
    kCutOff,    // it ends in the middle of a member
    kTrailing,  // what follows a member is not another one
  };

  // `limit`: bytes that may come out, at most.
  Inflater(Format format, std::size_t limit);
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Appends to `out` what comes out of the next bytes, in steps: `MakeRoom(n)` is where the next
  // ones belong, n if they fit; `room()` how many do, at least one; `Extend(n)` says that n were
  // written. After anything but kOk it is used no more.
  template <typename Text>
  Outcome Put(std::string_view in, Text& out) {
    while (!in.empty()) {
      if (!Begin(in)) return Outcome::kTrailing;
      Step step;
      do {
        char* const place = out.MakeRoom(std::min(kRoom, Left()));
        step = Inflate(place, std::min(out.room(), Left()));
        out.Extend(step.written);
        if (step.outcome != Outcome::kOk) return step.outcome;
      } while (step.more);
      in.remove_prefix(step.taken);
    }
    return Outcome::kOk;
  }
  // When all bytes have been put.
  Outcome Finish() const;
  // Of kCorrupt, in zlib's words: "incorrect data check".
  const std::string& problem() const { return problem_; }

 private:
  struct Step {
    Outcome outcome = Outcome::kOk;
    std::size_t written = 0;
    bool more = false;      // it wants more room
    std::size_t taken = 0;  // of the bytes that it began with, when it wants no more
  };

  static constexpr std::size_t kRoom = 16 << 10;  // the most that is asked for at once

  // One byte more than may come out, to see it.
  std::size_t Left() const { return limit_ - size_ + 1; }
  bool Begin(std::string_view in);
  Step Inflate(char* place, std::size_t room);

  const Format format_;
  const std::size_t limit_;
  std::size_t size_ = 0;   // that has come out
  std::size_t given_ = 0;  // of the input, at Begin
  z_stream stream_{};
  enum class Place { kStart, kInMember, kAfterMember } place_ = Place::kStart;
  std::string problem_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_INFLATER_H_
