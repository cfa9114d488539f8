#include "upstream/leasing/journal/spending_rules.h"

#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace {

constexpr std::int64_t kBillion = 1'000'000'000;

constexpr char kCaller[] = "caller";
constexpr char kAccount[] = "account";
constexpr char kCallerOnAccount[] = "caller_on_account";

constexpr char kPurchasesPerDay[] = "purchases_per_day";
constexpr char kLiveLeases[] = "live_leases";
constexpr char kCurrencies[] = "currencies";
constexpr char kMonthlyRate[] = "monthly_rate";
constexpr char kUpfrontFee[] = "upfront_fee";
constexpr char kMoneyPerDay[] = "money_per_day";
constexpr char kMoneyPerMonth[] = "money_per_month";

// A decimal number, without zeros at its end.
std::string ShowMoney(std::int64_t billionths) {
  std::string text = absl::StrFormat("%d.%09d", billionths / kBillion, billionths % kBillion);
  while (text.ends_with('0')) text.pop_back();
  if (text.ends_with('.')) text.pop_back();
  return text;
}

// One scope's limits, and whose they are.
struct Scope {
  const char* name;
  std::string subject;
  const SpendingLimits* limits;
  const SpendingUse* used;
};

std::vector<Scope> ScopesOf(const SpendingRules& rules, const Spender& spender,
                            const SpendingCounts& used) {
  return {
      {kCaller, absl::StrCat("caller \"", spender.caller, "\""), rules.caller.get(), &used.caller},
      {kAccount, absl::StrCat("account \"", spender.account, "\""), rules.account.get(),
       &used.account},
      {kCallerOnAccount,
       absl::StrCat("caller \"", spender.caller, "\" on account \"", spender.account, "\""),
       rules.caller_on_account.get(), &used.caller_on_account}};
}

absl::Status Refuse(const Scope& scope, const char* limit, const std::string& message,
                    ErrorMetadata metadata) {
  metadata["scope"] = scope.name;
  metadata["limit"] = limit;
  auto status = MakeError(absl::StatusCode::kFailedPrecondition, reason::kSpendLimitExceeded,
                          message, metadata);
  AddPrecondition(status, reason::kSpendLimitExceeded, scope.subject, message);
  return status;
}

// Of a purchase that has no limit to keep, or no price to compare.
absl::Status RefuseCurrency(const Scope& scope, const SpendingPrice& price) {
  const std::string known =
      absl::StrJoin(scope.limits->currencies, ", ",
                    [](std::string* out, const auto& entry) { out->append(entry.first); });
  if (!price.is_known) {
    return Refuse(scope, kCurrencies,
                  absl::StrCat("the price of the purchase is not known, and ", scope.subject,
                               " may spend only in ", known, ", within limits"),
                  {{"value", known}, {"used", ""}, {"asked", "unknown"}});
  }
  return Refuse(
      scope, kCurrencies,
      absl::StrCat("the purchase costs ", price.currency, ", and ", scope.subject,
                   " may spend only in ", known),
      {{"currency", price.currency}, {"value", known}, {"used", ""}, {"asked", price.currency}});
}

absl::Status CheckCeiling(const Scope& scope, const char* limit, const std::string& currency,
                          std::optional<std::int64_t> value, std::int64_t asked) {
  if (!value || asked <= *value) return absl::OkStatus();
  return Refuse(
      scope, limit,
      absl::StrCat("one purchase of ", scope.subject, " may have a ", limit, " of ",
                   ShowMoney(*value), " ", currency, " at most, this one has ", ShowMoney(asked)),
      {{"currency", currency},
       {"value", ShowMoney(*value)},
       {"used", "0"},
       {"asked", ShowMoney(asked)}});
}

absl::Status CheckOne(const Scope& scope, const SpendingPrice& price) {
  if (scope.limits == nullptr || scope.limits->currencies.empty()) return absl::OkStatus();
  const auto at = scope.limits->currencies.find(price.currency);
  if (!price.is_known || at == scope.limits->currencies.end()) return RefuseCurrency(scope, price);
  auto status = CheckCeiling(scope, kMonthlyRate, price.currency, at->second.monthly_rate,
                             price.monthly_rate);
  if (!status.ok()) return status;
  return CheckCeiling(scope, kUpfrontFee, price.currency, at->second.upfront_fee,
                      price.upfront_fee);
}

// Subtracts, for the sum could be more than there is room for.
bool Exceeds(std::optional<std::int64_t> value, std::int64_t used, std::int64_t asked) {
  return value && (asked > *value || used > *value - asked);
}

absl::Status CheckCount(const Scope& scope, const char* limit, std::optional<std::int64_t> value,
                        std::int64_t used, const char* what) {
  if (!Exceeds(value, used, 1)) return absl::OkStatus();
  return Refuse(
      scope, limit,
      absl::StrCat(scope.subject, " may have ", *value, " ", what, ", and has ", used, " already"),
      {{"value", absl::StrCat(*value)}, {"used", absl::StrCat(used)}, {"asked", "1"}});
}

absl::Status CheckMoney(const Scope& scope, const char* limit, const std::string& currency,
                        std::optional<std::int64_t> value, std::int64_t used, std::int64_t asked,
                        const char* what) {
  if (!Exceeds(value, used, asked)) return absl::OkStatus();
  return Refuse(
      scope, limit,
      absl::StrCat(scope.subject, " may spend ", ShowMoney(*value), " ", currency, " ", what,
                   ", of which ", ShowMoney(used), " are used, and this takes ", ShowMoney(asked)),
      {{"currency", currency},
       {"value", ShowMoney(*value)},
       {"used", ShowMoney(used)},
       {"asked", ShowMoney(asked)}});
}

absl::Status CheckSums(const Scope& scope, const SpendingPrice& price) {
  if (scope.limits == nullptr) return absl::OkStatus();
  const SpendingLimits& limits = *scope.limits;
  const SpendingUse& used = *scope.used;
  auto status = CheckCount(scope, kPurchasesPerDay, limits.purchases_per_day, used.purchases_today,
                           "purchases a day (UTC)");
  if (status.ok()) {
    status = CheckCount(scope, kLiveLeases, limits.live_leases, used.live_leases, "live leases");
  }
  const auto at = limits.currencies.find(price.currency);
  if (!status.ok() || at == limits.currencies.end()) return status;
  const auto money = used.money.find(price.currency);
  const MoneyUse use = money == used.money.end() ? MoneyUse() : money->second;
  status = CheckMoney(scope, kMoneyPerDay, price.currency, at->second.money_per_day, use.today,
                      price.fee() + price.rate(), "a day (UTC)");
  if (!status.ok()) return status;
  return CheckMoney(scope, kMoneyPerMonth, price.currency, at->second.money_per_month,
                    use.per_month, price.rate(), "a month");
}

}  // namespace

std::optional<std::int64_t> ToBillionths(const google::type::Money& money) {
  if (money.units() < 0 || money.units() >= kBillion || money.nanos() < 0 ||
      money.nanos() >= kBillion) {
    return std::nullopt;
  }
  return money.units() * kBillion + money.nanos();
}

std::string ShowMoney(std::int64_t billionths, const std::string& currency) {
  return absl::StrCat(ShowMoney(billionths), " ", currency);
}

google::type::Money ToMoney(std::int64_t billionths, const std::string& currency) {
  google::type::Money money;
  money.set_currency_code(currency);
  money.set_units(billionths / kBillion);
  money.set_nanos(static_cast<std::int32_t>(billionths % kBillion));
  return money;
}

SpendingPrice PriceOf(const v1::Pricing& pricing, v1::BillingMethod method) {
  SpendingPrice price;
  price.is_charged =
      method != v1::BILLING_METHOD_SERVICE_CONTRACT && method != v1::BILLING_METHOD_GOODWILL;
  if (!pricing.has_upfront_fee() || !pricing.has_monthly_rate()) return price;
  const std::string& currency = pricing.monthly_rate().currency_code();
  const auto fee = ToBillionths(pricing.upfront_fee());
  const auto rate = ToBillionths(pricing.monthly_rate());
  if (!fee || !rate || currency.empty() || currency != pricing.upfront_fee().currency_code()) {
    return price;
  }
  price.is_known = true;
  price.currency = currency;
  price.upfront_fee = *fee;
  price.monthly_rate = *rate;
  return price;
}

SpendingPrice PriceOf(const v1::Operation& operation) {
  const v1::BillingMethod method = operation.lease().billing().method();
  return PriceOf(operation.price(),
                 method == v1::BILLING_METHOD_UNSPECIFIED ? operation.billing_method() : method);
}

bool IsOverrun(const SpendingPrice& asked, const SpendingPrice& charged) {
  if (!charged.is_known || !charged.is_charged) return false;
  if (!asked.is_known) return false;
  return asked.currency != charged.currency || charged.fee() > asked.fee() ||
         charged.rate() > asked.rate();
}

absl::Status CheckOnePurchase(const SpendingRules& rules, const Spender& spender,
                              const SpendingPrice& price) {
  for (const Scope& scope : ScopesOf(rules, spender, {})) {
    if (auto status = CheckOne(scope, price); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CheckSpending(const SpendingRules& rules, const Spender& spender,
                           const SpendingPrice& price, const SpendingCounts& used) {
  if (auto status = CheckOnePurchase(rules, spender, price); !status.ok()) return status;
  for (const Scope& scope : ScopesOf(rules, spender, used)) {
    if (auto status = CheckSums(scope, price); !status.ok()) return status;
  }
  return absl::OkStatus();
}

bool LimitsSums(const SpendingLimits* limits, const std::string& currency) {
  if (limits == nullptr) return false;
  if (limits->purchases_per_day || limits->live_leases) return true;
  const auto at = limits->currencies.find(currency);
  return at != limits->currencies.end() && (at->second.money_per_day || at->second.money_per_month);
}

bool LimitsSums(const SpendingRules& rules, const std::string& currency) {
  return LimitsSums(rules.caller.get(), currency) || LimitsSums(rules.account.get(), currency) ||
         LimitsSums(rules.caller_on_account.get(), currency);
}

bool IsForItsPrice(const absl::Status& refusal) {
  if (ReasonOf(refusal) != reason::kSpendLimitExceeded) return false;
  const std::string limit = MetadataOf(refusal)["limit"];
  return limit != kPurchasesPerDay && limit != kLiveLeases;
}

bool IsForLiveLeases(const absl::Status& refusal) {
  if (ReasonOf(refusal) != reason::kSpendLimitExceeded) return false;
  const std::string limit = MetadataOf(refusal)["limit"];
  return limit == kLiveLeases || limit == kMoneyPerMonth;
}

SpendingStep StepOf(const v1::Operation& operation, bool may_send) {
  if (operation.kind() == v1::OPERATION_KIND_TERMINATE) {
    return operation.state() == v1::OPERATION_STATE_SUCCEEDED ? SpendingStep::kEnd
                                                              : SpendingStep::kNone;
  }
  if (may_send) return SpendingStep::kReserve;
  switch (operation.state()) {
    case v1::OPERATION_STATE_INTENDED:
    case v1::OPERATION_STATE_FAILED:
      return SpendingStep::kGiveBack;
    case v1::OPERATION_STATE_SUCCEEDED:
      return SpendingStep::kSettle;
    default:
      return SpendingStep::kNone;
  }
}

const std::string& EndedLeaseOf(const v1::Operation& operation) {
  const std::string& ended = operation.termination().lease_id();
  return ended.empty() ? operation.lease_id() : ended;
}

}  // namespace leasegateway
