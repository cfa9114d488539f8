#ifndef LEASE_GATEWAY_SERVICE_CALLERS_TOKEN_MEMORY_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_TOKEN_MEMORY_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "service/callers/identity.h"

namespace leasegateway {

// Now, by the clock that tokens go by and by one that goes on evenly.
struct TokenTime {
  std::chrono::system_clock::time_point wall;
  std::chrono::steady_clock::time_point steady;

  static TokenTime Now() {
    return {std::chrono::system_clock::now(), std::chrono::steady_clock::now()};
  }
};

// A token whose signature is good, and when the token is: seconds since 1970.
struct KnownToken {
  absl::StatusOr<Identity> identity;  // or what is wrong with its claims at any time
  std::int64_t expires = 0;
  std::int64_t not_before = 0;  // the later one of `nbf` and `iat`
};

// The tokens that were verified a moment ago, by their digests. Thread-safe.
class TokenMemory {
 public:
  static constexpr std::chrono::minutes kLongest{1};
  static constexpr std::size_t kMaxTokens = 10'000;

  using Digest = std::array<unsigned char, 32>;
  static Digest DigestOf(absl::string_view token);  // SHA-256

  // Null: not known, or for a minute already.
  std::shared_ptr<const KnownToken> Find(const Digest& digest,
                                         std::chrono::steady_clock::time_point now) const;
  // `generation`: of the keys that it was verified with. Does nothing when they are no longer in
  // force. The oldest one makes room.
  void Add(const Digest& digest, KnownToken token, std::uint64_t generation,
           std::chrono::steady_clock::time_point now);
  // Forgets all; `generation` of the keys is in force from here on.
  void Clear(std::uint64_t generation);
  std::size_t size() const;

 private:
  // The digest is as good as random.
  struct FirstBytes {
    std::size_t operator()(const Digest& digest) const {
      std::size_t bytes = 0;
      std::memcpy(&bytes, digest.data(), sizeof(bytes));
      return bytes;
    }
  };
  struct Entry {
    std::shared_ptr<const KnownToken> token;
    std::chrono::steady_clock::time_point until;
  };
  void ForgetOldest();

  mutable std::mutex mutex_;
  // All below under mutex_.
  std::uint64_t generation_ = 0;
  std::unordered_map<Digest, Entry, FirstBytes> tokens_;
  std::deque<Digest> by_age_;  // the oldest first, each of tokens_ once
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_TOKEN_MEMORY_H_
