#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SPENDING_RULES_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SPENDING_RULES_H_

#include <google/type/money.pb.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "leasegateway/v1/resources.pb.h"
#include "upstream/leasing/journal/spending.h"

namespace leasegateway {

// What limits of spending count and what they refuse. Pure functions, which every journal goes by.

// In billionths of the unit. Nothing for what is negative, makes no sense, or is a billion units or
// more.
std::optional<std::int64_t> ToBillionths(const google::type::Money& money);
google::type::Money ToMoney(std::int64_t billionths, const std::string& currency);
// For people: "12.5 USD".
std::string ShowMoney(std::int64_t billionths, const std::string& currency);

// What one purchase costs, in billionths.
struct SpendingPrice {
  bool is_known = false;  // both amounts, in one currency
  std::string currency;
  std::int64_t upfront_fee = 0;
  std::int64_t monthly_rate = 0;
  // False: a contract pays for it by its own terms, or nobody does. Then only the limits of one
  // purchase look at the amounts, and no sum has them.
  bool is_charged = true;

  // What sums have of it: the upfront fee and the first monthly rate at once, a rate every month.
  std::int64_t fee() const { return is_charged ? upfront_fee : 0; }
  std::int64_t rate() const { return is_charged ? monthly_rate : 0; }
};
SpendingPrice PriceOf(const v1::Pricing& pricing, v1::BillingMethod method);
// Of a purchase, as far as it is known by now.
SpendingPrice PriceOf(const v1::Operation& operation);
// Whether the provider charged more than was asked for.
bool IsOverrun(const SpendingPrice& asked, const SpendingPrice& charged);

// What is used now, reservations of open purchases included.
struct MoneyUse {
  std::int64_t today = 0;      // upfront fees and first monthly rates
  std::int64_t per_month = 0;  // the monthly rates of live leases
};
struct SpendingUse {
  std::int64_t purchases_today = 0;
  std::int64_t live_leases = 0;
  std::map<std::string, MoneyUse> money;  // by currency
};
struct SpendingCounts {
  SpendingUse caller;  // on all accounts together
  SpendingUse account;
  SpendingUse caller_on_account;
};

// Who buys, and for whom.
struct Spender {
  std::string account;
  std::string caller;
};

// Whether a purchase at that price keeps the limits of a single one. FAILED_PRECONDITION,
// SPEND_LIMIT_EXCEEDED: its metadata has `scope` ("caller", "account" or "caller_on_account"),
// `limit` (its key in the callers file), `currency` (of money), `value`, `used`, `asked`.
absl::Status CheckOnePurchase(const SpendingRules& rules, const Spender& spender,
                              const SpendingPrice& price);
// The same, and whether it keeps the limits of sums, where so much is used without it.
absl::Status CheckSpending(const SpendingRules& rules, const Spender& spender,
                           const SpendingPrice& price, const SpendingCounts& used);
// Whether any limit of theirs is of a sum, for a purchase in that currency. Null: no.
bool LimitsSums(const SpendingLimits* limits, const std::string& currency);
bool LimitsSums(const SpendingRules& rules, const std::string& currency);

// Whether a purchase that was refused so could be made at a lower price, or in another currency.
bool IsForItsPrice(const absl::Status& refusal);
// Whether it was refused because of leases that are live: some may have ended outside the gateway.
bool IsForLiveLeases(const absl::Status& refusal);

// What a write to an operation does to what is counted.
enum class SpendingStep {
  kNone,
  kReserve,   // a purchase may go out
  kGiveBack,  // nothing was bought
  kSettle,    // a lease was bought: what was reserved becomes what was charged
  kEnd,       // a lease was ended
};
SpendingStep StepOf(const v1::Operation& operation, bool may_send);
// Of kEnd: the lease.
const std::string& EndedLeaseOf(const v1::Operation& operation);

// Whose use of limits is asked for.
using SpendingQuery = Spender;

// A lease that the gateway bought and that counts as live.
struct HeldLease {
  std::string lease_id;
  std::string phone_number;

  bool operator==(const HeldLease&) const = default;
};

// Rows of what was bought are kept so many UTC days after the last one that they count on, when
// their lease has ended.
inline constexpr std::int64_t kSpendingDays = 2;

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SPENDING_RULES_H_
