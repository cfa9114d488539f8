#ifndef LEASE_GATEWAY_SERVICE_CALLERS_CALLERS_POLICY_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_CALLERS_POLICY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "service/callers/identity.h"
#include "service/callers/rights.h"
#include "upstream/leasing/journal/spending.h"

namespace leasegateway {

// An account at the provider, as the callers file has it.
struct AccountSetting {
  std::string name = {};         // [a-z0-9]([-a-z0-9]*[a-z0-9])?, at most 63
  std::string key_file = {};     // of its API key; not needed with the sandbox
  std::string auth_scheme = {};  // empty: `upstream_auth_scheme`
  std::string url = {};          // empty: `upstream_url`
  std::shared_ptr<const SpendingLimits> spending = {};  // of all callers together; null: none

  // But for the limits: a stack that runs can go on with the other.
  bool SameStack(const AccountSetting& other) const {
    return name == other.name && key_file == other.key_file && auth_scheme == other.auth_scheme &&
           url == other.url;
  }
};

// Limits of use by a caller, on all accounts together. Nothing: no limit.
struct QuotaLimits {
  std::optional<double> reads_per_second;
  double reads_burst = 0;  // calls at once; 0: as many as a second allows, one at least
  std::optional<double> writes_per_second;
  double writes_burst = 0;
  std::optional<std::int64_t> calls_in_flight;
  std::optional<std::int64_t> watchers;
  std::optional<std::int64_t> rows_per_minute;  // of lists

  bool operator==(const QuotaLimits&) const = default;
};

// What a caller has on one account.
struct AccountGrant {
  std::string account = {};
  Rights rights = {};                                   // at least one
  std::shared_ptr<const SpendingLimits> spending = {};  // of the caller there; null: none
};

// An entry of `callers`: all whom its matcher fits are this one caller, with one share of each
// limit.
struct CallerSetting {
  std::string name;
  Identity identity;                 // that it fits
  bool prefix = false;               // of a SPIFFE ID: all that begin with it
  std::vector<AccountGrant> grants;  // by account, ascending
  QuotaLimits quotas;
  std::shared_ptr<const SpendingLimits> spending;  // on all accounts together; null: none

  const AccountGrant* GrantOn(std::string_view account) const;  // null: it has no right there
};

// Its name when the file has no entry for it; no other entry has it.
inline constexpr char kAnonymousCaller[] = "anonymous";

// Who issues tokens.
struct TokenIssuer {
  std::string issuer;                  // the claim `iss`
  std::vector<std::string> audiences;  // the claim `aud` has one of them
  std::string keys_file;               // a JWKS (RFC 7517)

  bool operator==(const TokenIssuer&) const = default;
};

// A callers file that has been read. Does not change; thread-safe.
class CallersPolicy {
 public:
  // Valid: as ReadCallers makes it.
  struct Parts {
    std::vector<AccountSetting> accounts;
    std::vector<TokenIssuer> issuers;
    std::vector<std::shared_ptr<const CallerSetting>> callers;
  };
  explicit CallersPolicy(Parts parts);

  const std::vector<AccountSetting>& accounts() const { return parts_.accounts; }
  const std::vector<TokenIssuer>& issuers() const { return parts_.issuers; }
  const std::vector<std::shared_ptr<const CallerSetting>>& callers() const {
    return parts_.callers;
  }
  const AccountSetting* AccountOf(std::string_view name) const;  // null: none of that name
  // Null: none of that name. Takes the longer the more there are.
  const CallerSetting* CallerNamed(std::string_view name) const;

  // The caller that an identity is: the one with just that matcher, else the one with the longest
  // prefix, else `anonymous`, which may stand in the file without any. Never null. Takes the same
  // time however many there are.
  std::shared_ptr<const CallerSetting> Find(const Identity& identity) const;

 private:
  using CallerPointer = std::shared_ptr<const CallerSetting>;

  Parts parts_;
  absl::flat_hash_map<std::string, std::size_t> account_indexes_;
  // By name, of each kind.
  std::array<absl::flat_hash_map<std::string, CallerPointer>, v1::IdentityKind_ARRAYSIZE> exact_;
  absl::flat_hash_map<std::string, CallerPointer> prefixes_;
  std::vector<bool> prefix_sizes_;  // that there are
  CallerPointer anonymous_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_CALLERS_POLICY_H_
