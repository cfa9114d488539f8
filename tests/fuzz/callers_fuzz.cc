// Any text as a callers file: what is refused is refused with lines that say where, what is read
// is by the rules, and written down again it reads the same.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "service/callers/policy_changes.h"
#include "service/callers/read_callers.h"

namespace {

using leasegateway::CallerSetting;
using leasegateway::CallersPolicy;
using leasegateway::SpendingLimits;

constexpr char kFile[] = "FILE";

void Demand(bool holds) {
  if (!holds) std::abort();
}

absl::StatusOr<CallersPolicy> Parse(const std::string& text) {
  // With the sandbox more is right.
  return leasegateway::ParseCallers(text, kFile, {.sandbox = true, .reads_files = false});
}

// FILE:LINE:COLUMN: something printable.
void CheckProblem(std::string_view line) {
  const std::vector<std::string> parts = absl::StrSplit(std::string(line), absl::MaxSplits(':', 3));
  Demand(parts.size() == 4 && parts[0] == kFile && parts[3].size() > 2 && parts[3][0] == ' ');
  for (int i = 1; i < 3; ++i) {
    Demand(!parts[i].empty() && parts[i][0] != '0' &&
           parts[i].find_first_not_of("0123456789") == std::string::npos);
  }
  for (const char c : parts[3]) Demand(c >= ' ' && c <= '~');
  Demand(line.size() < 1'024);
}

// As a scalar of YAML, in quotes.
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto first = static_cast<std::uint8_t>(text[at]);
    if (first < 0x80) {
      if (first == '"' || first == '\\') quoted += '\\';
      quoted += text[at];
      continue;
    }
    std::size_t more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    std::uint32_t character = first & (0x3F >> more);
    for (; more > 0; --more) character = character << 6 | (text[++at] & 0x3F);
    char escape[11];
    std::snprintf(escape, sizeof(escape), "\\U%08x", character);
    quoted += escape;
  }
  return quoted + "\"";
}

std::string Money(std::int64_t billionths) {
  char text[32];
  std::snprintf(text, sizeof(text), "%lld.%09lld",
                static_cast<long long>(billionths / 1'000'000'000),
                static_cast<long long>(billionths % 1'000'000'000));
  return text;
}

// {key: value, …}
using Members = std::vector<std::string>;
std::string Mapping(const Members& members) {
  std::string text = "{";
  for (const std::string& member : members) absl::StrAppend(&text, member, ", ");
  return text + "}";
}

std::string Spending(const SpendingLimits& limits) {
  Members members;
  if (limits.purchases_per_day) {
    members.push_back(absl::StrCat("purchases_per_day: ", *limits.purchases_per_day));
  }
  if (limits.live_leases) members.push_back(absl::StrCat("live_leases: ", *limits.live_leases));
  Members currencies;
  for (const auto& [code, currency] : limits.currencies) {
    Demand(code.size() == 3);
    Members money;
    const auto add = [&](const char* key, const std::optional<std::int64_t>& limit) {
      Demand(!limit || *limit >= 0);
      if (limit) money.push_back(absl::StrCat(key, ": ", Money(*limit)));
    };
    add("monthly_rate", currency.monthly_rate);
    add("upfront_fee", currency.upfront_fee);
    add("money_per_day", currency.money_per_day);
    add("money_per_month", currency.money_per_month);
    currencies.push_back(absl::StrCat(Quoted(code), ": ", Mapping(money)));
  }
  if (!currencies.empty()) members.push_back(absl::StrCat("currencies: ", Mapping(currencies)));
  Demand(!members.empty());
  return Mapping(members);
}

void AddSpending(const char* key, const std::shared_ptr<const SpendingLimits>& limits,
                 Members& members) {
  if (limits != nullptr) members.push_back(absl::StrCat(key, ": ", Spending(*limits)));
}

std::string Matcher(const CallerSetting& caller) {
  const std::string& name = caller.identity.name;
  const std::size_t space = name.find(' ');
  switch (caller.identity.kind) {
    case leasegateway::v1::IDENTITY_KIND_SPIFFE_ID:
      return absl::StrCat(caller.prefix ? "{spiffe_prefix: " : "{spiffe: ", Quoted(name), "}");
    case leasegateway::v1::IDENTITY_KIND_DNS_NAME:
      return absl::StrCat("{dns: ", Quoted(name), "}");
    case leasegateway::v1::IDENTITY_KIND_COMMON_NAME:
      return absl::StrCat("{common_name: ", Quoted(name), "}");
    case leasegateway::v1::IDENTITY_KIND_TOKEN:
      Demand(space != name.npos);
      return absl::StrCat("{token: {issuer: ", Quoted(name.substr(0, space)),
                          ", subject: ", Quoted(name.substr(space + 1)), "}}");
    default:
      Demand(caller.identity == leasegateway::Identity());
      return "{anonymous: true}";
  }
}

std::string Quotas(const leasegateway::QuotaLimits& quotas) {
  Members members;
  char text[64];
  const auto rate = [&](const char* kind, const std::optional<double>& limit, double burst) {
    Demand(limit || burst == 0);
    if (!limit) return;
    Demand(*limit >= 0.001 && *limit <= 1e6);
    std::snprintf(text, sizeof(text), "%s_per_second: %.3f", kind, *limit);
    members.emplace_back(text);
    std::snprintf(text, sizeof(text), "%s_burst: %.0f", kind, burst);
    if (burst > 0) members.emplace_back(text);
  };
  rate("reads", quotas.reads_per_second, quotas.reads_burst);
  rate("writes", quotas.writes_per_second, quotas.writes_burst);
  const auto count = [&](const char* key, const std::optional<std::int64_t>& limit) {
    if (limit) members.push_back(absl::StrCat(key, ": ", *limit));
  };
  count("calls_in_flight", quotas.calls_in_flight);
  count("watchers", quotas.watchers);
  count("rows_per_minute", quotas.rows_per_minute);
  return members.empty() ? "" : Mapping(members);
}

// The roles are not kept: one of each set of rights.
std::string RoleOf(const leasegateway::Rights& rights) { return "r" + rights.to_string(); }

std::string Caller(const CallerSetting& caller, std::map<std::string, std::string>& roles) {
  Members members{absl::StrCat("name: ", Quoted(caller.name)),
                  absl::StrCat("match: ", Matcher(caller))};
  Members grants, spending_on;
  for (const auto& grant : caller.grants) {
    Demand(grant.rights.any() && caller.GrantOn(grant.account) == &grant);
    Members rights;
    for (std::size_t i = 0; i < grant.rights.size(); ++i) {
      if (grant.rights[i]) rights.push_back(leasegateway::kRightNames[i]);
    }
    std::string& role = roles[RoleOf(grant.rights)];
    role = "[";
    for (const std::string& right : rights) absl::StrAppend(&role, right, ", ");
    role += "]";
    grants.push_back(absl::StrCat(Quoted(grant.account), ": [", RoleOf(grant.rights), "]"));
    AddSpending(Quoted(grant.account).c_str(), grant.spending, spending_on);
  }
  members.push_back(absl::StrCat("roles: ", Mapping(grants)));
  const std::string quotas = Quotas(caller.quotas);
  if (!quotas.empty()) members.push_back(absl::StrCat("quotas: ", quotas));
  AddSpending("spending", caller.spending, members);
  if (!spending_on.empty()) members.push_back(absl::StrCat("spending_on: ", Mapping(spending_on)));
  return Mapping(members);
}

// A file that says the same.
std::string Write(const CallersPolicy& policy) {
  std::string accounts = "accounts:\n", issuers, callers = "callers:\n", all_roles;
  for (const auto& account : policy.accounts()) {
    Members members{absl::StrCat("name: ", Quoted(account.name))};
    const auto add = [&](const char* key, const std::string& value) {
      if (!value.empty()) members.push_back(absl::StrCat(key, ": ", Quoted(value)));
    };
    add("key_file", account.key_file);
    add("auth_scheme", account.auth_scheme);
    add("url", account.url);
    AddSpending("spending", account.spending, members);
    absl::StrAppend(&accounts, "- ", Mapping(members), "\n");
  }
  for (const auto& issuer : policy.issuers()) {
    std::string audiences;
    for (const std::string& one : issuer.audiences) absl::StrAppend(&audiences, Quoted(one), ", ");
    absl::StrAppend(&issuers, issuers.empty() ? "tokens:\n" : "",
                    "- {issuer: ", Quoted(issuer.issuer), ", audiences: [", audiences,
                    "], keys_file: ", Quoted(issuer.keys_file), "}\n");
  }
  std::map<std::string, std::string> roles;
  for (const auto& caller : policy.callers()) {
    absl::StrAppend(&callers, "- ", Caller(*caller, roles), "\n");
  }
  for (const auto& [name, rights] : roles) {
    absl::StrAppend(&all_roles, all_roles.empty() ? "roles:\n" : "", "  ", name, ": ", rights,
                    "\n");
  }
  return absl::StrCat(accounts, all_roles, issuers, callers);
}

void CheckPolicy(const CallersPolicy& policy) {
  Demand(!policy.accounts().empty() && !policy.callers().empty());
  for (const auto& account : policy.accounts()) Demand(policy.AccountOf(account.name) == &account);
  for (const auto& caller : policy.callers()) {
    leasegateway::Identity identity = caller->identity;
    if (!caller->prefix) Demand(policy.Find(identity) == caller);
    if (caller->prefix) Demand(identity.name.back() == '/' && policy.Find(identity) != caller);
    for (const auto& grant : caller->grants) Demand(policy.AccountOf(grant.account) != nullptr);
  }
  const auto again = Parse(Write(policy));
  Demand(again.ok());
  Demand(leasegateway::ChangesBetween(policy, *again, 1).changes.empty());
  Demand(leasegateway::AccountsDiffer(policy, *again).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto policy = Parse(text);
  if (policy.ok()) {
    CheckPolicy(*policy);
    return 0;
  }
  const std::vector<std::string> lines = absl::StrSplit(policy.status().message(), '\n');
  Demand(lines.size() <= 20);
  for (const std::string& line : lines) CheckProblem(line);
  return 0;
}
