#ifndef LEASE_GATEWAY_TESTS_SUPPORT_SPENDING_ENTRIES_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_SPENDING_ENTRIES_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/support/journal_entries.h"
#include "upstream/leasing/journal/operation_journal.h"

namespace leasegateway {

// Purchases, and limits that they have to keep.

inline const Spender kOrders{"sales", "orders"};

inline v1::Pricing Price(int upfront_fee, int monthly_rate, const std::string& currency = "USD") {
  v1::Pricing price;
  price.mutable_upfront_fee()->set_currency_code(currency);
  price.mutable_upfront_fee()->set_units(upfront_fee);
  price.mutable_monthly_rate()->set_currency_code(currency);
  price.mutable_monthly_rate()->set_units(monthly_rate);
  return price;
}

inline SpendingLimits Count(std::optional<std::int64_t> purchases_per_day,
                            std::optional<std::int64_t> live_leases) {
  SpendingLimits limits;
  limits.purchases_per_day = purchases_per_day;
  limits.live_leases = live_leases;
  return limits;
}

// In USD.
inline SpendingLimits Money(std::optional<double> per_day, std::optional<double> per_month) {
  SpendingLimits limits;
  CurrencyLimits& money = limits.currencies["USD"];
  if (per_day) money.money_per_day = static_cast<std::int64_t>(*per_day * 1e9);
  if (per_month) money.money_per_month = static_cast<std::int64_t>(*per_month * 1e9);
  return limits;
}

struct AllLimits {
  std::optional<SpendingLimits> of_caller = std::nullopt;
  std::optional<SpendingLimits> of_account = std::nullopt;
  std::optional<SpendingLimits> of_both = std::nullopt;
};
inline std::shared_ptr<const SpendingRules> Rules(const AllLimits& limits) {
  auto rules = std::make_shared<SpendingRules>();
  if (limits.of_caller) rules->caller = std::make_shared<SpendingLimits>(*limits.of_caller);
  if (limits.of_account) rules->account = std::make_shared<SpendingLimits>(*limits.of_account);
  if (limits.of_both) rules->caller_on_account = std::make_shared<SpendingLimits>(*limits.of_both);
  return rules;
}

inline OperationJournal::Entry PurchaseOf(const std::string& id, const Spender& spender = kOrders) {
  auto entry = MakeEntry(id, spender.account);
  entry.operation.set_caller(spender.caller);
  entry.operation.set_phone_number(absl::StrCat("+", id));
  return entry;
}

inline OperationJournal::Change SendingOf(const OperationJournal::Record& record,
                                          std::shared_ptr<const SpendingRules> rules,
                                          const v1::Pricing& price) {
  auto change =
      ChangeTo(WithState(record.entry.operation, v1::OPERATION_STATE_SENT), record.revision);
  *change.operation.mutable_price() = price;
  change.may_send_for = std::chrono::seconds(1);
  change.spending = std::move(rules);
  return change;
}

// As "lsd_" and its id.
inline OperationJournal::Change BoughtOf(const OperationJournal::Record& record,
                                         const v1::Pricing& charged) {
  auto change =
      ChangeTo(WithState(record.entry.operation, v1::OPERATION_STATE_SUCCEEDED), record.revision);
  change.operation.set_lease_id(absl::StrCat("lsd_", change.operation.request_id()));
  *change.operation.mutable_price() = charged;
  return change;
}

inline std::string Show(const SpendingUse& use) {
  std::string text = absl::StrCat(use.purchases_today, " today, ", use.live_leases, " live");
  for (const auto& [currency, money] : use.money) {
    absl::StrAppend(&text, ", ", currency, " ", money.today / 1'000'000'000, " today, ",
                    money.per_month / 1'000'000'000, " a month");
  }
  return text;
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_SPENDING_ENTRIES_H_
