#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SPENDING_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SPENDING_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace leasegateway {

// Limits in one currency, in billionths of its unit. Nothing: no limit.
struct CurrencyLimits {
  std::optional<std::int64_t> monthly_rate;   // of one purchase
  std::optional<std::int64_t> upfront_fee;    // of one purchase
  std::optional<std::int64_t> money_per_day;  // upfront fees and first monthly rates, of a UTC day
  std::optional<std::int64_t> money_per_month;  // the monthly rates of live leases

  bool operator==(const CurrencyLimits&) const = default;
};

// What may be spent by a caller, by an account, or by a caller on an account.
struct SpendingLimits {
  std::optional<std::int64_t> purchases_per_day;  // of a UTC day, by the journal's clock
  std::optional<std::int64_t> live_leases;
  // By ISO 4217 code. A purchase in another currency is refused. Empty: money has no limit.
  std::map<std::string, CurrencyLimits> currencies;

  bool operator==(const SpendingLimits&) const = default;
};

// The limits that a purchase has to keep. A null one is none.
struct SpendingRules {
  std::shared_ptr<const SpendingLimits> caller;   // on all accounts together
  std::shared_ptr<const SpendingLimits> account;  // all callers together
  std::shared_ptr<const SpendingLimits> caller_on_account;

  // For who may go on with purchases of other callers of the account: what such a caller has to
  // keep within there, by its name. Thread-safe. Null: nobody knows of any but the account's.
  std::function<std::shared_ptr<const SpendingRules>(const std::string& caller)> of_another;

  bool empty() const { return !caller && !account && !caller_on_account; }
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SPENDING_H_
