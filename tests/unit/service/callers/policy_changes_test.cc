#include "service/callers/policy_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "service/callers/read_callers.h"

namespace leasegateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

CallersPolicy Policy(const std::string& text) {
  auto policy = ParseCallers(text, "f", {.reads_files = false});
  EXPECT_TRUE(policy.ok()) << policy.status();
  return policy.ok() ? *std::move(policy) : CallersPolicy({});
}

constexpr char kBefore[] = R"(
accounts:
  - {name: a, key_file: /a, spending: {live_leases: 1}}
  - {name: b, key_file: /b, url: "https://b"}
roles: {reader: [read], buyer: [read, lease]}
tokens: [{issuer: i, audiences: [x, y], keys_file: /i}]
callers:
  - name: one
    match: {dns: one}
    roles: {a: [reader]}
    quotas: {reads_per_second: 1.5, reads_burst: 2, writes_per_second: 3, writes_burst: 4,
             calls_in_flight: 5, watchers: 6, rows_per_minute: 7}
    spending: {purchases_per_day: 8, currencies: {USD: {monthly_rate: 1.050, upfront_fee: 2,
               money_per_day: 0.000000001, money_per_month: 10}, EUR: {}}}
    spending_on: {a: {live_leases: 9}}
  - {name: two, match: {spiffe_prefix: "spiffe://p/"}, roles: {b: [buyer]}}
  - {name: three, match: {token: {issuer: i, subject: s}}, roles: {}}
)";

// What differs once `from` is `to`.
PolicyChanges Changes(const std::string& from, const std::string& to, std::size_t max = 100) {
  const std::string after = absl::StrReplaceAll(kBefore, {{from, to}});
  EXPECT_NE(after, kBefore) << from;
  return ChangesBetween(Policy(kBefore), Policy(after), max);
}

TEST(PolicyChangesTest, SettingsAreNamedAsInTheFile) {
  const CallersPolicy policy = Policy(kBefore);
  EXPECT_THAT(SettingsOf(policy.accounts()[0]),
              ElementsAre(Pair("key_file", "/a"), Pair("spending.live_leases", "1")));
  EXPECT_THAT(SettingsOf(policy.accounts()[1]),
              ElementsAre(Pair("key_file", "/b"), Pair("url", "https://b")));
  EXPECT_THAT(SettingsOf(policy.issuers()[0]),
              ElementsAre(Pair("audiences", "x,y"), Pair("keys_file", "/i")));
  EXPECT_THAT(
      SettingsOf(*policy.callers()[0]),
      ElementsAre(Pair("match.dns", "one"), Pair("quotas.calls_in_flight", "5"),
                  Pair("quotas.reads_burst", "2"), Pair("quotas.reads_per_second", "1.5"),
                  Pair("quotas.rows_per_minute", "7"), Pair("quotas.watchers", "6"),
                  Pair("quotas.writes_burst", "4"), Pair("quotas.writes_per_second", "3"),
                  Pair("rights.a", "read"), Pair("spending.currencies.EUR", "allowed"),
                  Pair("spending.currencies.USD", "allowed"),
                  Pair("spending.currencies.USD.money_per_day", "0.000000001"),
                  Pair("spending.currencies.USD.money_per_month", "10"),
                  Pair("spending.currencies.USD.monthly_rate", "1.05"),
                  Pair("spending.currencies.USD.upfront_fee", "2"),
                  Pair("spending.purchases_per_day", "8"), Pair("spending_on.a.live_leases", "9")));
  EXPECT_THAT(
      SettingsOf(*policy.callers()[1]),
      ElementsAre(Pair("match.spiffe_prefix", "spiffe://p/"), Pair("rights.b", "read,lease")));
  EXPECT_THAT(SettingsOf(*policy.callers()[2]), ElementsAre(Pair("match.token", "i s")));
}

TEST(PolicyChangesTest, NothingDiffersFromTheSame) {
  const PolicyChanges changes = ChangesBetween(Policy(kBefore), Policy(kBefore), 100);
  EXPECT_THAT(changes.changes, IsEmpty());
  EXPECT_EQ(changes.more, 0);
}

TEST(PolicyChangesTest, EachSettingIsTold) {
  const struct {
    const char* from;
    const char* to;
    PolicyChange change;
  } kCases[] = {
      {"live_leases: 1}",
       "live_leases: 2}",
       {"account_changed", "a", "spending.live_leases", "1", "2"}},
      {"audiences: [x, y]", "audiences: [x]", {"issuer_changed", "i", "audiences", "x,y", "x"}},
      {"/i", "/j", {"issuer_changed", "i", "keys_file", "/i", "/j"}},
      {"dns: one", "dns: eins", {"caller_changed", "one", "match.dns", "one", "eins"}},
      {"a: [reader]", "a: [buyer]", {"caller_changed", "one", "rights.a", "read", "read,lease"}},
      {"buyer: [read, lease]",
       "buyer: [lease]",
       {"caller_changed", "two", "rights.b", "read,lease", "lease"}},
      {", watchers: 6", "", {"caller_changed", "one", "quotas.watchers", "6", ""}},
      {"reads_burst: 2",
       "reads_burst: 3",
       {"caller_changed", "one", "quotas.reads_burst", "2", "3"}},
      {"reads_burst: 2",
       "reads_burst: 1000000",
       {"caller_changed", "one", "quotas.reads_burst", "2", "1000000"}},
      {"reads_per_second: 1.5",
       "reads_per_second: 123456.789",
       {"caller_changed", "one", "quotas.reads_per_second", "1.5", "123456.789"}},
      {"monthly_rate: 1.050",
       "monthly_rate: 2",
       {"caller_changed", "one", "spending.currencies.USD.monthly_rate", "1.05", "2"}},
      {", EUR: {}", "", {"caller_changed", "one", "spending.currencies.EUR", "allowed", ""}},
      {"live_leases: 9",
       "live_leases: 10",
       {"caller_changed", "one", "spending_on.a.live_leases", "9", "10"}},
  };
  for (const auto& [from, to, change] : kCases) {
    const PolicyChanges changes = Changes(from, to);
    EXPECT_THAT(changes.changes, ElementsAre(change)) << from;
    EXPECT_EQ(changes.more, 0);
  }
}

TEST(PolicyChangesTest, EntriesComeAndGo) {
  EXPECT_THAT(Changes("  - {name: two,", "  - {name: four,").changes,
              ElementsAre(PolicyChange{"caller_added", "four", "", "", ""},
                          PolicyChange{"caller_removed", "two", "", "", ""}));
  EXPECT_THAT(Changes("issuer: i", "issuer: h").changes,
              ElementsAre(PolicyChange{"issuer_added", "h", "", "", ""},
                          PolicyChange{"issuer_removed", "i", "", "", ""},
                          PolicyChange{"caller_changed", "three", "match.token", "i s", "h s"}));
  const std::string last =
      "  - {name: three, match: {token: {issuer: i, subject: s}}, roles: {}}\n";
  EXPECT_THAT(Changes(last, "").changes,
              ElementsAre(PolicyChange{"caller_removed", "three", "", "", ""}));
}

TEST(PolicyChangesTest, TheOrderOfTheFileIsNone) {
  const char* const one =
      "  - {name: two, match: {spiffe_prefix: \"spiffe://p/\"}, roles: {b: [buyer]}}\n";
  const char* const other =
      "  - {name: three, match: {token: {issuer: i, subject: s}}, roles: {}}\n";
  EXPECT_THAT(Changes(absl::StrCat(one, other), absl::StrCat(other, one)).changes, IsEmpty());
}

TEST(PolicyChangesTest, ManyAreCounted) {
  std::string before = "accounts: [{name: a, key_file: /a}]\ncallers:\n", after = before;
  for (int i = 0; i < 1'000; ++i) {
    absl::StrAppend(&before, "- {name: c", i, ", match: {dns: c", i, "}, roles: {}}\n");
    absl::StrAppend(&after, "- {name: c", i, ", match: {dns: d", i, "}, roles: {}}\n");
  }
  const PolicyChanges changes = ChangesBetween(Policy(before), Policy(after), 100);
  EXPECT_THAT(changes.changes, SizeIs(100));
  EXPECT_EQ(changes.more, 900);
}

TEST(PolicyChangesTest, AccountsThatDiffer) {
  const auto differ = [](const std::string& from, const std::string& to) {
    return AccountsDiffer(Policy(kBefore), Policy(absl::StrReplaceAll(kBefore, {{from, to}})));
  };
  EXPECT_EQ(differ("/a", "/c"), "\"a\": has another key_file, auth_scheme or url");
  EXPECT_EQ(differ("key_file: /a", "key_file: /a, auth_scheme: Token"),
            "\"a\": has another key_file, auth_scheme or url");
  EXPECT_EQ(differ("https://b", "https://c"), "\"b\": has another key_file, auth_scheme or url");
  EXPECT_EQ(differ("accounts:\n", "accounts:\n  - {name: c, key_file: /a}\n"), "\"c\": is new");
  EXPECT_EQ(
      AccountsDiffer(Policy(absl::StrReplaceAll(
                         kBefore, {{"accounts:\n", "accounts:\n  - {name: c, key_file: /a}\n"}})),
                     Policy(kBefore)),
      "\"c\": is gone");
  EXPECT_EQ(differ("live_leases: 1}", "live_leases: 2}"), "");
  EXPECT_EQ(differ("dns: one", "dns: two"), "");
}

}  // namespace
}  // namespace leasegateway
