#ifndef LEASE_GATEWAY_SERVICE_RPC_ADMISSION_H_
#define LEASE_GATEWAY_SERVICE_RPC_ADMISSION_H_

#include <grpcpp/server_context.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/callers/callers.h"
#include "service/rpc/account_stack.h"
#include "service/rpc/call_caller.h"
#include "service/rpc/call_metrics.h"

namespace leasegateway {

// The one place where it is decided who calls, for which account, and whether that is allowed:
// before anything of the account is looked at. Thread-safe.
class Admission {
 public:
  // By name. `callers`: null without a callers file, when everybody may do all on the only account.
  // Both outlive this.
  Admission(std::map<std::string, AccountStack, std::less<>> accounts, Callers* callers);

  // What a call is told when it is let in or not.
  struct Verdict {
    absl::Status status;
    CallCaller caller;                      // as far as it is known
    const AccountStack* account = nullptr;  // not null where the status is OK, but for WhoAmI
  };
  // `account`: the request's field. UNAUTHENTICATED, IDENTITY_INVALID; PERMISSION_DENIED,
  // NOT_ALLOWED, which is the same for an account that is not there; INVALID_ARGUMENT,
  // INVALID_ACCOUNT, for one that has to be named; RESOURCE_EXHAUSTED, QUOTA_EXCEEDED. Takes a call
  // of the caller's quota.
  Verdict Admit(const grpc::ServerContextBase& context, Method method, std::string_view account);
  // Whether a call that was let in and goes on would be by the callers file in force: of `caller`'s
  // identity, on its account. PERMISSION_DENIED, NOT_ALLOWED. `generation`: of the file for which
  // this was OK last, of the call; 0 at first. Cheap while the file stays. Takes nothing of quotas.
  absl::Status StillAllows(Method method, const CallCaller& caller,
                           std::uint64_t* generation) const;

  const std::map<std::string, AccountStack, std::less<>>& accounts() const { return accounts_; }
  const Callers* callers() const { return callers_; }
  std::uint64_t not_allowed() const { return not_allowed_; }  // calls refused so

 private:
  Verdict AdmitAnybody(std::string_view account) const;
  absl::Status AdmitKnown(Method method, std::string_view account, Verdict* verdict) const;

  const std::map<std::string, AccountStack, std::less<>> accounts_;
  Callers* const callers_;
  mutable std::atomic<std::uint64_t> not_allowed_{0};
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_ADMISSION_H_
