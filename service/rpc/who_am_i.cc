#include "service/rpc/who_am_i.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "upstream/leasing/journal/spending_rules.h"
#include "upstream/leasing/recorded_lease_api.h"

namespace leasegateway {

namespace asio = boost::asio;

namespace {

void AddAccount(const AccountGrant& grant, v1::WhoAmIResponse& response) {
  auto& access = *response.add_accounts();
  access.set_account(grant.account);
  for (std::size_t i = 0; i < kRightNames.size(); ++i) {
    if (grant.rights[i]) access.add_rights(kRightNames[i]);
  }
}

v1::LimitAmount Count(std::int64_t count) {
  v1::LimitAmount amount;
  amount.set_count(count);
  return amount;
}

v1::LimitAmount Amount(std::int64_t billionths, const std::string& currency) {
  v1::LimitAmount amount;
  *amount.mutable_money() = ToMoney(billionths, currency);
  return amount;
}

// The limits of a scope, as LimitState. What is used is null while nobody knows it.
class LimitStates {
 public:
  LimitStates(v1::LimitScope scope, const SpendingUse* used,
              google::protobuf::RepeatedPtrField<v1::LimitState>& out)
      : scope_(scope), used_(used), out_(out) {}

  void Add(const SpendingLimits& limits) {
    if (limits.purchases_per_day) {
      auto& state = Add("purchases_per_day", Count(*limits.purchases_per_day));
      if (used_) {
        *state.mutable_used() = Count(used_->purchases_today);
        *state.mutable_left() = Count(Left(*limits.purchases_per_day, used_->purchases_today));
      }
    }
    if (limits.live_leases) {
      auto& state = Add("live_leases", Count(*limits.live_leases));
      if (used_) {
        *state.mutable_used() = Count(used_->live_leases);
        *state.mutable_left() = Count(Left(*limits.live_leases, used_->live_leases));
      }
    }
    for (const auto& [currency, money] : limits.currencies) Add(currency, money);
  }

 private:
  static std::int64_t Left(std::int64_t limit, std::int64_t used) {
    return std::max<std::int64_t>(limit - used, 0);
  }

  v1::LimitState& Add(const char* name, v1::LimitAmount limit) {
    auto& state = *out_.Add();
    state.set_scope(scope_);
    state.set_name(name);
    *state.mutable_limit() = std::move(limit);
    return state;
  }

  void Add(const std::string& currency, const CurrencyLimits& limits) {
    if (limits.monthly_rate) Add("monthly_rate", Amount(*limits.monthly_rate, currency));
    if (limits.upfront_fee) Add("upfront_fee", Amount(*limits.upfront_fee, currency));
    MoneyUse use;
    if (used_) {
      if (const auto found = used_->money.find(currency); found != used_->money.end()) {
        use = found->second;
      }
    }
    AddSum("money_per_day", currency, limits.money_per_day, use.today);
    AddSum("money_per_month", currency, limits.money_per_month, use.per_month);
  }

  void AddSum(const char* name, const std::string& currency,
              const std::optional<std::int64_t>& limit, std::int64_t used) {
    if (!limit) return;
    auto& state = Add(name, Amount(*limit, currency));
    if (!used_) return;
    *state.mutable_used() = Amount(used, currency);
    *state.mutable_left() = Amount(Left(*limit, used), currency);
  }

  const v1::LimitScope scope_;
  const SpendingUse* const used_;
  google::protobuf::RepeatedPtrField<v1::LimitState>& out_;
};

// Without a callers file everybody may do all on the only account.
void AddAll(const std::string& account, v1::WhoAmIResponse& response) {
  AccountGrant all;
  all.account = account;
  all.rights.set();
  AddAccount(all, response);
}

}  // namespace

asio::awaitable<v1::WhoAmIResponse> TellWho(const Admission& admission, CallContext call,
                                            CallCaller caller, std::string account) {
  v1::WhoAmIResponse response;
  response.set_caller(call.caller);
  if (!caller.setting) {
    AddAll(admission.accounts().begin()->first, response);
    co_return response;
  }
  response.set_identity_kind(caller.identity->kind);
  response.set_identity(caller.identity->name);
  const auto policy = admission.callers()->policy();
  bool caller_told = false;
  for (const AccountGrant& grant : caller.setting->grants) {
    if (!account.empty() && grant.account != account) continue;
    AddAccount(grant, response);
    const auto stack = admission.accounts().find(grant.account);
    if (stack == admission.accounts().end()) continue;
    auto asking = stack->second.recorded.Spent(caller.setting->name);
    const auto spent = co_await std::move(asking);
    auto& limits = *response.mutable_accounts(response.accounts_size() - 1)->mutable_limits();
    if (const auto* setting = policy->AccountOf(grant.account); setting && setting->spending) {
      LimitStates(v1::LIMIT_SCOPE_ACCOUNT, spent.ok() ? &spent->account : nullptr, limits)
          .Add(*setting->spending);
    }
    if (grant.spending) {
      LimitStates(v1::LIMIT_SCOPE_CALLER_ON_ACCOUNT,
                  spent.ok() ? &spent->caller_on_account : nullptr, limits)
          .Add(*grant.spending);
    }
    if (!caller_told && caller.setting->spending) {
      LimitStates(v1::LIMIT_SCOPE_CALLER, spent.ok() ? &spent->caller : nullptr,
                  *response.mutable_limits())
          .Add(*caller.setting->spending);
      caller_told = true;
    }
  }
  for (auto& limit : caller.use->Limits(*caller.setting, std::chrono::steady_clock::now())) {
    *response.add_limits() = std::move(limit);
  }
  co_return response;
}

}  // namespace leasegateway
