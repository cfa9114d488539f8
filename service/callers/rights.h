#ifndef LEASE_GATEWAY_SERVICE_CALLERS_RIGHTS_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_RIGHTS_H_

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>

namespace leasegateway {

// What a caller may do on an account.
enum class Right : std::uint8_t {
  kRead,              // numbers, leases, where calls go
  kWatch,             // what changes among the numbers
  kLease,             // spend
  kTerminate,         // give up a lease
  kConfigure,         // failover and forwarding of a lease
  kSeeOperations,     // its own purchases and terminations
  kSeeAllOperations,  // everybody's
  kAdminister,        // holds and protection
};
inline constexpr std::array<const char*, 8> kRightNames{
    "read",      "watch", "lease", "terminate", "configure", "see_operations", "see_all_operations",
    "administer"};  // as the callers file has them

// A set of rights; the index of a bit is the right's.
using Rights = std::bitset<kRightNames.size()>;

inline const char* NameOf(Right right) { return kRightNames[static_cast<std::size_t>(right)]; }
// Who may see everybody's operations may see its own.
inline bool Has(const Rights& rights, Right right) {
  return rights[static_cast<std::size_t>(right)] ||
         (right == Right::kSeeOperations &&
          rights[static_cast<std::size_t>(Right::kSeeAllOperations)]);
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_RIGHTS_H_
