#include "service/callers/policy_changes.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "service/process/error_text.h"

namespace leasegateway {
namespace {

constexpr std::int64_t kBillionthsOfOne = 1'000'000'000;

template <typename T>
bool SameLimits(const std::shared_ptr<const T>& a, const std::shared_ptr<const T>& b) {
  return a == b || (a != nullptr && b != nullptr && *a == *b);
}

bool SameEntry(const AccountSetting& a, const AccountSetting& b) {
  return a.SameStack(b) && SameLimits(a.spending, b.spending);
}

bool SameEntry(const TokenIssuer& a, const TokenIssuer& b) { return a == b; }

bool SameEntry(const CallerSetting& a, const CallerSetting& b) {
  const auto same_grant = [](const AccountGrant& one, const AccountGrant& other) {
    return one.account == other.account && one.rights == other.rights &&
           SameLimits(one.spending, other.spending);
  };
  return a.name == b.name && a.identity == b.identity && a.prefix == b.prefix &&
         a.quotas == b.quotas && SameLimits(a.spending, b.spending) &&
         std::equal(a.grants.begin(), a.grants.end(), b.grants.begin(), b.grants.end(), same_grant);
}

// The shortest decimal.
std::string Decimal(std::int64_t billionths) {
  std::string text = absl::StrCat(billionths / kBillionthsOfOne);
  std::string fraction = absl::StrCat(billionths % kBillionthsOfOne);
  fraction.insert(0, 9 - fraction.size(), '0');
  fraction.erase(fraction.find_last_not_of('0') + 1);
  return fraction.empty() ? text : absl::StrCat(text, ".", fraction);
}

template <typename T>
void AddSetting(const std::string& key, const std::optional<T>& value, EntrySettings& settings) {
  if (value) settings[key] = absl::StrCat(*value);
}

void AddSetting(const std::string& key, const std::string& value, EntrySettings& settings) {
  if (!value.empty()) settings[key] = value;
}

void AddRate(const std::string& prefix, const std::optional<double>& rate, double burst,
             EntrySettings& settings) {
  const auto decimal = [](double number) {
    return Decimal(std::llround(number * 1'000) * (kBillionthsOfOne / 1'000));
  };
  if (rate) settings[prefix + "_per_second"] = decimal(*rate);
  if (burst > 0) settings[prefix + "_burst"] = decimal(burst);
}

void AddSpending(const std::string& prefix, const std::shared_ptr<const SpendingLimits>& limits,
                 EntrySettings& settings) {
  if (limits == nullptr) return;
  AddSetting(prefix + ".purchases_per_day", limits->purchases_per_day, settings);
  AddSetting(prefix + ".live_leases", limits->live_leases, settings);
  for (const auto& [code, currency] : limits->currencies) {
    const std::string below = absl::StrCat(prefix, ".currencies.", code);
    settings[below] = "allowed";
    const auto add = [&](const char* key, const std::optional<std::int64_t>& money) {
      if (money) settings[absl::StrCat(below, ".", key)] = Decimal(*money);
    };
    add("monthly_rate", currency.monthly_rate);
    add("upfront_fee", currency.upfront_fee);
    add("money_per_day", currency.money_per_day);
    add("money_per_month", currency.money_per_month);
  }
}

const char* MatcherKey(const CallerSetting& caller) {
  switch (caller.identity.kind) {
    case v1::IDENTITY_KIND_SPIFFE_ID:
      return caller.prefix ? "match.spiffe_prefix" : "match.spiffe";
    case v1::IDENTITY_KIND_DNS_NAME:
      return "match.dns";
    case v1::IDENTITY_KIND_COMMON_NAME:
      return "match.common_name";
    case v1::IDENTITY_KIND_TOKEN:
      return "match.token";
    default:
      return "match.anonymous";
  }
}

const std::string& NameOf(const AccountSetting& account) { return account.name; }
const std::string& NameOf(const TokenIssuer& issuer) { return issuer.issuer; }
const std::string& NameOf(const CallerSetting& caller) { return caller.name; }

const AccountSetting& EntryOf(const AccountSetting& account) { return account; }
const TokenIssuer& EntryOf(const TokenIssuer& issuer) { return issuer; }
const CallerSetting& EntryOf(const std::shared_ptr<const CallerSetting>& caller) { return *caller; }

// Collects what differs, entry by entry.
class Comparison {
 public:
  explicit Comparison(std::size_t max) : max_(max) {}

  // `kind`: what the entries are. Of two sets in any order.
  template <typename Entry>
  void Compare(const std::string& kind, const std::vector<Entry>& before,
               const std::vector<Entry>& after) {
    const auto old_entries = ByName(before), new_entries = ByName(after);
    auto old_entry = old_entries.begin();
    auto new_entry = new_entries.begin();
    while (old_entry != old_entries.end() || new_entry != new_entries.end()) {
      const bool gone =
          new_entry == new_entries.end() ||
          (old_entry != old_entries.end() && NameOf(**old_entry) < NameOf(**new_entry));
      const bool added =
          !gone && (old_entry == old_entries.end() || NameOf(**new_entry) < NameOf(**old_entry));
      if (gone) {
        AddEntry({kind + "_removed", NameOf(**old_entry++), "", "", ""});
      } else if (added) {
        AddEntry({kind + "_added", NameOf(**new_entry++), "", "", ""});
      } else {
        AddSettings(kind, **old_entry++, **new_entry++);
      }
    }
  }

  PolicyChanges Result() && { return std::move(result_); }

 private:
  template <typename Entry>
  static auto ByName(const std::vector<Entry>& entries) {
    std::vector<decltype(&EntryOf(entries.front()))> sorted;
    sorted.reserve(entries.size());
    for (const Entry& entry : entries) sorted.push_back(&EntryOf(entry));
    std::sort(sorted.begin(), sorted.end(),
              [](const auto* a, const auto* b) { return NameOf(*a) < NameOf(*b); });
    return sorted;
  }

  // Whether one more is told.
  bool Counts() {
    if (entries_ == max_) {
      ++result_.more;
      return false;
    }
    ++entries_;
    return true;
  }

  void AddEntry(PolicyChange change) {
    if (Counts()) result_.changes.push_back(std::move(change));
  }

  template <typename Entry>
  void AddSettings(const std::string& kind, const Entry& before, const Entry& after) {
    if (SameEntry(before, after) || !Counts()) return;
    EntrySettings old_settings = SettingsOf(before), new_settings = SettingsOf(after);
    EntrySettings keys = old_settings;
    keys.insert(new_settings.begin(), new_settings.end());
    for (const auto& [key, value] : keys) {
      std::string& old_value = old_settings[key];
      std::string& new_value = new_settings[key];
      if (old_value == new_value) continue;
      result_.changes.push_back(
          {kind + "_changed", NameOf(before), key, std::move(old_value), std::move(new_value)});
    }
  }

  const std::size_t max_;
  std::size_t entries_ = 0;
  PolicyChanges result_;
};

}  // namespace

EntrySettings SettingsOf(const AccountSetting& account) {
  EntrySettings settings;
  AddSetting("key_file", account.key_file, settings);
  AddSetting("auth_scheme", account.auth_scheme, settings);
  AddSetting("url", account.url, settings);
  AddSpending("spending", account.spending, settings);
  return settings;
}

EntrySettings SettingsOf(const TokenIssuer& issuer) {
  return {{"audiences", absl::StrJoin(issuer.audiences, ",")}, {"keys_file", issuer.keys_file}};
}

EntrySettings SettingsOf(const CallerSetting& caller) {
  EntrySettings settings;
  const bool anonymous = caller.identity.kind == v1::IDENTITY_KIND_ANONYMOUS;
  settings[MatcherKey(caller)] = anonymous ? "true" : caller.identity.name;
  for (const AccountGrant& grant : caller.grants) {
    std::vector<std::string> rights;
    for (std::size_t i = 0; i < kRightNames.size(); ++i) {
      if (grant.rights[i]) rights.emplace_back(kRightNames[i]);
    }
    settings["rights." + grant.account] = absl::StrJoin(rights, ",");
    AddSpending("spending_on." + grant.account, grant.spending, settings);
  }
  const QuotaLimits& quotas = caller.quotas;
  AddRate("quotas.reads", quotas.reads_per_second, quotas.reads_burst, settings);
  AddRate("quotas.writes", quotas.writes_per_second, quotas.writes_burst, settings);
  AddSetting("quotas.calls_in_flight", quotas.calls_in_flight, settings);
  AddSetting("quotas.watchers", quotas.watchers, settings);
  AddSetting("quotas.rows_per_minute", quotas.rows_per_minute, settings);
  AddSpending("spending", caller.spending, settings);
  return settings;
}

PolicyChanges ChangesBetween(const CallersPolicy& before, const CallersPolicy& after,
                             std::size_t max) {
  Comparison comparison(max);
  comparison.Compare("account", before.accounts(), after.accounts());
  comparison.Compare("issuer", before.issuers(), after.issuers());
  comparison.Compare("caller", before.callers(), after.callers());
  return std::move(comparison).Result();
}

std::string AccountsDiffer(const CallersPolicy& before, const CallersPolicy& after) {
  for (const AccountSetting& account : after.accounts()) {
    const AccountSetting* const old_account = before.AccountOf(account.name);
    if (old_account == nullptr) return absl::StrCat(Quote(account.name), ": is new");
    if (!old_account->SameStack(account)) {
      return absl::StrCat(Quote(account.name), ": has another key_file, auth_scheme or url");
    }
  }
  for (const AccountSetting& account : before.accounts()) {
    if (after.AccountOf(account.name) == nullptr) {
      return absl::StrCat(Quote(account.name), ": is gone");
    }
  }
  return "";
}

}  // namespace leasegateway
