#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_WRITE_OVERLAY_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_WRITE_OVERLAY_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/lease_api.h"

namespace leasegateway {

// What a write did, for what memory has.
struct Write {
  enum class Effect {
    kLeased,      // the account has it now
    kGone,        // somebody has it
    kEnded,       // the account has it no more; whether it can be leased is not known
    kUnknown,     // nobody knows
    kConfigured,  // still leased, but what the provider says of it may differ
  };
  Effect effect = Effect::kUnknown;
  std::string phone_number;
  v1::Lease lease;  // kLeased: the lease with its number; kEnded: `lease_id`, if it is known
  std::uint64_t sequence = 0;
  // Its entry in the shared log; nothing: it is not there yet, or there is none.
  std::optional<std::uint64_t> logged;
  std::chrono::steady_clock::time_point time;

  bool takes_from_available() const { return effect == Effect::kLeased || effect == Effect::kGone; }
  bool changes_leases() const { return effect == Effect::kLeased || effect == Effect::kEnded; }
};

// What an operation that ended so did. Nothing: it is a read, or was not done.
std::optional<Write> WriteOf(const Operation& operation, const absl::StatusOr<AnyReply>& reply);

// Puts a write that changes_leases() into a list of leases that may or may not show it already.
void ApplyTo(v1::ListLeasesResponse& list, const Write& write);

// The writes that have returned, and the latest of them: what the provider was asked for before
// they returned doesn't show them, so they are laid over it when it comes. Not thread-safe.
class WriteOverlay {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // Numbers it. Those that returned `kept_for` ago or longer are forgotten.
  const Write& Add(Write write, TimePoint now, TimePoint::duration kept_for);
  std::uint64_t count() const { return count_; }
  // Of those that are kept, the ones after number `sequence`.
  std::vector<Write> After(std::uint64_t sequence) const;

  // With a shared log. The write with this number has become an entry there; those before it will
  // not any more.
  void SetLogged(std::uint64_t sequence, std::uint64_t entry);
  // Those that are entries after `entry`, up to `last`, in the log's order.
  std::vector<Write> LoggedBetween(std::uint64_t entry, std::uint64_t last) const;
  // No entry is later than `last`.
  void LimitLogged(std::uint64_t last);
  // The number up to which all writes are entries not after `entry`.
  std::uint64_t SeenBy(std::uint64_t entry) const;

 private:
  std::uint64_t count_ = 0;  // that have returned
  std::deque<Write> recent_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_WRITE_OVERLAY_H_
