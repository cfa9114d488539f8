#ifndef LEASE_GATEWAY_SERVICE_CALLERS_BEARER_TOKEN_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_BEARER_TOKEN_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "service/callers/callers_policy.h"
#include "service/callers/identity.h"
#include "service/callers/token_keys.h"
#include "service/callers/token_memory.h"
#include "service/process/periodic.h"

namespace leasegateway {

inline constexpr std::size_t kMaxTokenBytes = 16 << 10;

struct TokenStats {
  std::uint64_t verified = 0;     // signatures checked, good or bad
  std::uint64_t from_memory = 0;  // tokens known from before
  std::uint64_t refused = 0;
  std::size_t remembered = 0;  // tokens now
  std::uint64_t key_changes = 0;
  bool key_files_ok = true;  // at the last look
};

// Verifies bearer tokens: JWTs (RFC 7519, RFC 8725) that are signed with RS256, ES256 or EdDSA by a
// key in the file of their issuer. A token with a good signature is remembered for a minute, with
// what is wrong with its claims; its times are looked at each time. Thread-safe.
class TokenVerifier {
 public:
  static constexpr std::chrono::seconds kLeeway{60};  // between the issuer's clock and ours

  // The files are read now, and anew every `refresh`: new keys are in force from the next token on,
  // and nothing from before is remembered. Of a file that is no longer good the keys from before
  // stay. Logs both, for the audit too. The error: `keys_file: "FILE": RULE`.
  static absl::StatusOr<std::unique_ptr<TokenVerifier>> Open(std::vector<TokenIssuer> issuers,
                                                             std::chrono::milliseconds refresh);

  // UNAUTHENTICATED, IDENTITY_INVALID: no good token. `why` in its metadata is one of: malformed,
  // unknown issuer, unknown key, bad signature, expired, not valid yet, wrong audience.
  absl::StatusOr<Identity> Verify(absl::string_view token, TokenTime now);

  // Reads the files now. For one thread at a time.
  void Refresh();

  TokenStats stats() const;

 private:
  struct Issuer {
    TokenIssuer setting;
    std::shared_ptr<const TokenKeys> keys;  // under keys_mutex_
    std::string last_error = {};            // of the thread that refreshes
  };
  struct Key {  // that a token names, and what keeps it
    std::shared_ptr<const TokenKeys> keys;
    const TokenKey* key = nullptr;  // in `keys`
    std::uint64_t generation = 0;
  };
  struct Parts;  // of a token

  explicit TokenVerifier(std::vector<Issuer> issuers) : issuers_(std::move(issuers)) {}
  absl::StatusOr<Identity> VerifyNew(const TokenMemory::Digest& digest, absl::string_view token,
                                     TokenTime now);
  absl::StatusOr<Key> FindKey(const Parts& parts, const Issuer& issuer) const;

  std::vector<Issuer> issuers_;
  mutable std::mutex keys_mutex_;
  std::uint64_t generation_ = 0;  // of all keys, under keys_mutex_
  TokenMemory memory_;
  // Callers that come with one token at the same time wait for the first, who verifies it.
  std::array<std::mutex, 64> verifying_;
  std::atomic<std::uint64_t> verified_{0};
  std::atomic<std::uint64_t> from_memory_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> key_changes_{0};
  std::atomic<bool> key_files_ok_{true};
  std::optional<Periodic> refreshing_;  // last: its thread uses the others
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_BEARER_TOKEN_H_
