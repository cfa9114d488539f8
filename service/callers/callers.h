#ifndef LEASE_GATEWAY_SERVICE_CALLERS_CALLERS_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_CALLERS_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/callers/callers_policy.h"
#include "service/callers/callers_stats.h"
#include "service/callers/identity.h"
#include "service/callers/peer_identity.h"
#include "service/callers/quotas.h"
#include "service/guard/networks.h"
#include "service/process/periodic.h"

namespace leasegateway {

// Who may call, by the callers file in force. The file is read anew every `refresh` by a thread of
// its own: what has changed is in force from the next call on, if it is right; otherwise the one
// from before stays, and the log and stats() say so. Accounts stay as they were at the start, but
// for their limits. Logs changes, for the audit too. Thread-safe.
class Callers {
 public:
  struct Options {
    std::string path;  // of the callers file
    std::chrono::milliseconds refresh{10'000};
    // Peers that are believed in x-forwarded-client-cert, besides loopback and Unix sockets.
    Networks trusted_proxies{};
    bool sandbox = false;  // accounts need no key
  };
  // INVALID_ARGUMENT: as ReadCallers.
  static absl::StatusOr<std::unique_ptr<Callers>> Open(Options options);

  // Who makes a call. The setting is the one of the file that was in force when the call came.
  struct Known {
    std::shared_ptr<const Identity> identity;      // never null
    std::shared_ptr<const CallerSetting> setting;  // never null
    std::shared_ptr<CallerUse> use;                // never null; the same for all of the caller's
  };
  // UNAUTHENTICATED, IDENTITY_INVALID, as IdentityReader. Counts these. Waits for no file.
  absl::StatusOr<Known> Identify(const PeerFacts& facts) const;

  std::shared_ptr<const CallersPolicy> policy() const { return InForce()->policy; }
  // Another number with each file that comes into force, and no other object's: what Identify found
  // before holds as long as it stays, but for a token, which may expire.
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  // But for the refusals of others: NOT_ALLOWED, SPEND_LIMIT_EXCEEDED.
  CallersStats stats() const;

  // Reads the file now.
  void Refresh();

 private:
  // What a file makes. Does not change.
  struct Force {
    std::shared_ptr<const CallersPolicy> policy;
    std::shared_ptr<TokenVerifier> tokens;  // null: no issuers
    std::shared_ptr<const IdentityReader> identities;
    absl::flat_hash_map<const CallerSetting*, std::shared_ptr<CallerUse>> uses;
  };

  explicit Callers(Options options) : options_(std::move(options)) {}
  std::shared_ptr<const Force> InForce() const;
  // What `text` makes in the place of `old` (null: nothing). INVALID_ARGUMENT: a line each problem.
  absl::StatusOr<std::shared_ptr<const Force>> Make(const std::string& text, const Force* old);
  void Replace(std::shared_ptr<const Force> force, std::string text);
  // The file from before stays: `problems` are lines.
  void Refuse(const std::string& text, const std::string& problems);
  void Audit(const CallersPolicy& before, const CallersPolicy& after) const;
  void KeepTokenStats(const TokenVerifier& tokens);

  const Options options_;
  const std::shared_ptr<QuotaCounts> quota_counts_ = std::make_shared<QuotaCounts>();
  mutable std::mutex force_mutex_;  // for the time that a pointer is copied
  std::shared_ptr<const Force> force_;
  std::mutex refresh_mutex_;  // guards what only Refresh() uses, down to refused_problems_
  std::string text_;          // that force_ is of
  // The one before, until the next look: no call ends it, which would wait for a thread of its.
  std::shared_ptr<const Force> retired_;
  std::string refused_text_;
  std::string refused_problems_;  // of it; empty: the last file was right
  mutable std::mutex token_stats_mutex_;
  TokenStats past_token_stats_;  // of verifiers that are gone
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<bool> file_ok_{true};
  std::atomic<std::uint64_t> reloads_{0};
  std::atomic<std::uint64_t> refused_reloads_{0};
  mutable std::array<std::atomic<std::uint64_t>, kIdentityFailureNames.size()> identity_failures_{};
  std::optional<Periodic> refreshing_;  // last: its thread uses the others
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_CALLERS_H_
