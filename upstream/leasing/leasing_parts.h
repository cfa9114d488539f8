#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_LEASING_PARTS_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_LEASING_PARTS_H_

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "upstream/availability/availability.h"
#include "upstream/call_environment.h"
#include "upstream/lease_api.h"
#include "upstream/leasing/journal/operation_journal.h"

namespace leasegateway {

struct LeasingOptions {
  std::string account = "default";  // in the journal
  // A request that got lost doesn't arrive any later than this after the gateway gave it up.
  // Until then its operation keeps the number, and only then it is said that nothing was done.
  std::chrono::milliseconds settle{10'000};
  // Between two looks at a number whose operation is open: doubled from the first to the longest.
  std::chrono::milliseconds first_look{50};
  std::chrono::milliseconds longest_look{5'000};
  // Callers are told a moment before their deadline what is known by then.
  std::chrono::milliseconds margin{30};
  std::size_t max_open = 10'000;  // operations; more are refused with OVERLOADED
  int max_candidates = 20;        // numbers that LeaseAnyNumber tries
  // Between two looks for operations whose process has died; 0: the journal is this process's
  // alone, and one look at the start is enough.
  std::chrono::milliseconds adopt_interval{0};
  // Asked before a request that got lost is sent again: whether the budget of retries allows it.
  std::function<bool()> may_resend = [] { return true; };
};

// What leasing needs of memory. `availability` is awaited on a strand; the others tell memory what
// was found by looking after a write: the account's lease, somebody else's, an end.
struct LeasingMemory {
  std::function<boost::asio::awaitable<absl::StatusOr<std::shared_ptr<const Availability>>>(
      CallContext)>
      availability;
  std::function<void(const v1::Lease&)> leased;
  std::function<void(const std::string& phone_number)> taken;
  std::function<void(const std::string& phone_number, const std::string& lease_id)> ended;
};

// What became of operations between processes. Counts since the start; lock-free.
struct OwnershipCounts {
  std::atomic<std::uint64_t> adopted{0};  // of others that have died, or of an earlier process
  std::atomic<std::uint64_t> lost{0};     // that another one took over from this one
  std::atomic<std::uint64_t> joined{0};   // whose callers waited for another process
};

// What limits of spending have come to. Since the start; lock-free.
struct SpendingState {
  std::atomic<std::uint64_t> refused{0};   // purchases
  std::atomic<std::uint64_t> overruns{0};  // purchases that cost more than was asked for
  // When it may be looked next whether leases have ended elsewhere, by the environment's clock.
  std::atomic<std::chrono::steady_clock::rep> look_at{
      std::chrono::steady_clock::duration::min().count()};
};

// What all operations work with. Nothing of it changes; its parts are thread-safe.
struct LeasingParts {
  const std::shared_ptr<LeaseApi> api;  // whose memory sees the outcome of each request
  const LeasingMemory memory;
  const std::shared_ptr<OperationJournal> journal;
  const LeasingOptions options;
  const CallEnvironment environment;
  const std::shared_ptr<OwnershipCounts> counts = std::make_shared<OwnershipCounts>();
  const std::shared_ptr<SpendingState> spending = std::make_shared<SpendingState>();
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_LEASING_PARTS_H_
