#ifndef LEASE_GATEWAY_SERVICE_RPC_METHOD_RIGHTS_H_
#define LEASE_GATEWAY_SERVICE_RPC_METHOD_RIGHTS_H_

#include <array>
#include <cstddef>
#include <optional>

#include "service/callers/rights.h"
#include "service/rpc/call_metrics.h"

namespace leasegateway {

// What a method asks of its caller.
struct MethodRight {
  Method method;
  std::optional<Right> right;  // on the account; nothing: none
  bool writes = false;         // counts among the writes of a second, not the reads
  bool lists = false;          // its answer's rows count
};

inline constexpr std::array<MethodRight, kMethodNames.size()> kMethodRights{{
    {Method::kListAvailableNumbers, Right::kRead, false, true},
    {Method::kWatchAvailability, Right::kWatch},
    {Method::kGetNumber, Right::kRead},
    {Method::kBatchGetNumbers, Right::kRead, false, true},
    {Method::kCreateLease, Right::kLease, true},
    {Method::kLeaseAnyNumber, Right::kLease, true},
    {Method::kGetOperation, Right::kSeeOperations},
    {Method::kListOperations, Right::kSeeOperations, false, true},
    {Method::kListLeases, Right::kRead, false, true},
    {Method::kGetLease, Right::kRead},
    {Method::kTerminateLease, Right::kTerminate, true},
    {Method::kConfigureFailover, Right::kConfigure, true},
    {Method::kGetCallForwarding, Right::kRead},
    {Method::kEnableCallForwarding, Right::kConfigure, true},
    {Method::kDisableCallForwarding, Right::kConfigure, true},
    {Method::kWhoAmI, std::nullopt},
}};

// Whether each method has its row, in the order of Method.
constexpr bool EachMethodHasItsRow() {
  for (std::size_t i = 0; i < kMethodRights.size(); ++i) {
    if (static_cast<std::size_t>(kMethodRights[i].method) != i) return false;
  }
  return static_cast<std::size_t>(Method::kWhoAmI) + 1 == kMethodRights.size();
}
static_assert(EachMethodHasItsRow(), "a method without a row of rights");

inline const MethodRight& RightFor(Method method) {
  return kMethodRights[static_cast<std::size_t>(method)];
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_METHOD_RIGHTS_H_
