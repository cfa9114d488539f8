#ifndef LEASE_GATEWAY_SERVICE_CALLERS_POLICY_CHANGES_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_POLICY_CHANGES_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "service/callers/callers_policy.h"

namespace leasegateway {

// The settings of one entry of the callers file, by their keys: `quotas.watchers`: `4`. Money is a
// decimal, and `rights.ACCOUNT` are the rights that the roles add up to.
using EntrySettings = std::map<std::string, std::string>;
EntrySettings SettingsOf(const AccountSetting& account);
EntrySettings SettingsOf(const TokenIssuer& issuer);
EntrySettings SettingsOf(const CallerSetting& caller);

// One thing that differs between two callers files. None is a secret.
struct PolicyChange {
  std::string what;    // "account", "issuer" or "caller", and "_added", "_removed" or "_changed"
  std::string name;    // of the entry
  std::string key;     // of the setting; empty: the whole entry
  std::string before;  // the setting; empty: none
  std::string after;

  bool operator==(const PolicyChange&) const = default;
};

struct PolicyChanges {
  std::vector<PolicyChange> changes;  // the first ones
  std::size_t more = 0;               // entries whose changes are not among them
};

// What differs, accounts, issuers and callers each in the order of their names: that of `max`
// entries at most.
PolicyChanges ChangesBetween(const CallersPolicy& before, const CallersPolicy& after,
                             std::size_t max);

// Empty: the stacks of the accounts can go on with the other file. Otherwise the first account that
// is new, gone or another, as `"NAME": rule`.
std::string AccountsDiffer(const CallersPolicy& before, const CallersPolicy& after);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_POLICY_CHANGES_H_
