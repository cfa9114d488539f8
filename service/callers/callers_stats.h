#ifndef LEASE_GATEWAY_SERVICE_CALLERS_CALLERS_STATS_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_CALLERS_STATS_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "service/callers/quotas.h"

namespace leasegateway {

// Why a caller's identity was not taken: the values of the metric's label, each of one or several
// `why` in the metadata of IDENTITY_INVALID. The last stands for all that are not among them.
inline constexpr std::array<const char*, 9> kIdentityFailureNames{
    "expired",       "not_yet_valid", "wrong_audience", "unknown_issuer", "unknown_key",
    "bad_signature", "malformed",     "not_trusted",    "other"};

// The index of one of them.
inline std::size_t IdentityFailureOf(std::string_view name) {
  const auto found =
      std::find(kIdentityFailureNames.begin(), kIdentityFailureNames.end() - 1, name);
  return static_cast<std::size_t>(found - kIdentityFailureNames.begin());
}

// What metrics tell of callers, since the start. Without a callers file all is zero and the file is
// in order.
struct CallersStats {
  bool file_ok = true;  // the last look found nothing to refuse in the callers file and keys files
  std::uint64_t reloads = 0;          // a changed file that is in force since
  std::uint64_t refused_reloads = 0;  // one that is not: the old one stays
  std::array<std::uint64_t, kIdentityFailureNames.size()> identity_failures{};
  std::uint64_t tokens_verified = 0;  // signatures that were checked, good or bad
  std::uint64_t tokens_refused = 0;   // tokens that were not taken, of these and of the remembered
  std::uint64_t tokens_remembered = 0;  // that had been verified a moment ago
  std::uint64_t not_allowed = 0;        // calls refused with NOT_ALLOWED
  std::array<std::uint64_t, kQuotaLimitNames.size()> quota_refusals{};
  std::uint64_t spend_refusals = 0;  // purchases refused with SPEND_LIMIT_EXCEEDED
  std::uint64_t spend_overruns = 0;  // the provider charged more than was reserved
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_CALLERS_STATS_H_
