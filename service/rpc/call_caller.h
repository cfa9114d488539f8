#ifndef LEASE_GATEWAY_SERVICE_RPC_CALL_CALLER_H_
#define LEASE_GATEWAY_SERVICE_RPC_CALL_CALLER_H_

#include <memory>
#include <string>

#include "leasegateway/v1/resources.pb.h"
#include "service/callers/callers_policy.h"
#include "service/callers/quotas.h"

namespace leasegateway {

// Whose call it is, and on which account. Without a callers file, and of a call whose caller is not
// known, all is empty and nothing is limited.
struct CallCaller {
  std::shared_ptr<const CallerSetting> setting;
  std::shared_ptr<CallerUse> use;            // null where `setting` is
  std::shared_ptr<const Identity> identity;  // likewise
  std::string account;                       // on which it has a right; empty: none that is known
  bool sees_all_operations = true;
  std::shared_ptr<const SpendingRules> spending;  // of a purchase; null: not limited
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_CALL_CALLER_H_
