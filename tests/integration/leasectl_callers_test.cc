// leasectl as somebody, to a gateway with a callers file: tokens, rights, and sums of what was
// bought beside what the provider charged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/support/callers_fixture.h"
#include "tests/support/programs.h"
#include "tests/support/token_maker.h"

namespace leasegateway {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// `orders` and `returns` buy, `audit` sees what everybody bought.
constexpr char kTokenCallers[] = R"(
roles:
  reader: [read]
  buyer: [read, lease, terminate, see_operations]
  auditor: [see_all_operations]
callers:
  - name: orders
    match: {token: {issuer: "https://issuer.example", subject: orders}}
    roles: {sales: [buyer], support: [reader]}
  - name: returns
    match: {token: {issuer: "https://issuer.example", subject: returns}}
    roles: {sales: [buyer], support: [buyer]}
  - name: audit
    match: {token: {issuer: "https://issuer.example", subject: audit}}
    roles: {sales: [auditor], support: [auditor]}
)";

// Millionths of "12.34".
std::int64_t MicrosOf(const boost::json::value& decimal) {
  return std::llround(std::strtod(decimal.as_string().c_str(), nullptr) * 1e6);
}

class LeasectlCallersTest : public CallersTest {
 protected:
  void SetUp() override {
    StartWithCallers(absl::StrCat("tokens:\n  - {issuer: \"https://issuer.example\", audiences: ",
                                  "[lease-gateway], keys_file: ",
                                  Write("keys.json", Jwks({key_.Jwk()})), "}\n", kTokenCallers));
  }

  // As the caller of that subject; empty: without a token.
  int Leasectl(const std::string& subject, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--target", target_});
    if (!subject.empty()) {
      TokenClaims claims = GoodClaims(std::chrono::system_clock::now());
      claims.sub = absl::StrCat("\"", subject, "\"");
      token_ = key_.Sign(claims.Json());
      arguments.insert(arguments.begin(), {"--token-file", Write("token", token_)});
    }
    const int status = programs_.Wait(programs_.Start("leasectl", "leasectl", arguments));
    out_ = ReadAll(programs_.Path("leasectl.out"));
    err_ = ReadAll(programs_.Path("leasectl.err"));
    return status;
  }

  void Buy(const std::string& subject, const std::string& account, const std::string& number) {
    EXPECT_EQ(Leasectl(subject, {"--account", account, "lease", number}), 0) << err_;
  }

  // What the provider charged, in millionths, by its own name of the account.
  std::map<std::string, std::int64_t> Charges() {
    std::map<std::string, std::int64_t> charges;
    const auto ledger = sandbox_->Control("GET", "/_sandbox/ledger", "");
    EXPECT_TRUE(ledger.ok()) << ledger.status();
    const auto parsed = boost::json::parse(*ledger);
    for (const auto& entry : parsed.at("entries").as_array()) {
      if (entry.at("kind") != "charge") continue;
      EXPECT_EQ(entry.at("currency"), "USD");
      charges[std::string(entry.at("account").as_string())] += MicrosOf(entry.at("amount"));
    }
    return charges;
  }

  // What `rows` or `totals` of the caller's reports have together, by one of their keys. Of two
  // months, when one ended while the test bought.
  std::map<std::string, std::int64_t> Reported(const std::string& subject, const std::string& part,
                                               const std::string& key) {
    std::map<std::string, std::int64_t> sums;
    for (const std::string& month : std::set<std::string>{begin_, MonthNow()}) {
      EXPECT_EQ(Leasectl(subject, {"--json", "report", "--month", month}), 0) << err_;
      const auto report = boost::json::parse(out_);
      for (const auto& row : report.at(part).as_array()) {
        sums[std::string(row.at(key).as_string())] +=
            MicrosOf(row.at("upfront_fees")) + MicrosOf(row.at("monthly_rates"));
      }
    }
    return sums;
  }

  static std::string MonthNow() {
    return absl::FormatTime("%Y-%m", absl::Now(), absl::UTCTimeZone());
  }

  const TokenKeyPair key_{KeyType::kP256, "first"};
  const std::string begin_ = MonthNow();
  Programs programs_;
  std::string token_, out_, err_;
};

TEST_F(LeasectlCallersTest, TokenSaysWhoCallsAndWhatItMayDo) {
  ASSERT_EQ(Leasectl("orders", {"whoami"}), 0) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("Caller         orders\n"), HasSubstr("Identity kind  token\n"),
                          HasSubstr("Identity       https://issuer.example orders\n"),
                          HasSubstr("sales    read, lease, terminate, see_operations\n"),
                          HasSubstr("support  read\n")));
  ASSERT_EQ(Leasectl("orders", {"whoami", "--account", "support"}), 0) << err_;
  EXPECT_THAT(out_, Not(HasSubstr("sales")));
  ASSERT_EQ(Leasectl("", {"whoami"}), 0) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("Caller         anonymous\n"), HasSubstr("no rights")));

  EXPECT_EQ(Leasectl("", {"leases", "--account", "sales"}), 5);
  EXPECT_THAT(err_, AllOf(HasSubstr("NOT_ALLOWED"), HasSubstr("leasectl whoami")));
  EXPECT_EQ(Leasectl("orders", {"leases"}), 3);
  EXPECT_THAT(err_, AllOf(HasSubstr("INVALID_ACCOUNT"), HasSubstr("--account")));
  EXPECT_EQ(Leasectl("orders", {"leases", "--account", "support"}), 0) << err_;
  EXPECT_EQ(Leasectl("orders", {"lease", "+13123614597", "--account", "support"}), 5);
  EXPECT_THAT(err_, HasSubstr("NOT_ALLOWED"));
}

TEST_F(LeasectlCallersTest, BadTokenIsRefusedAndInNoOutput) {
  const std::string stranger = TokenKeyPair(KeyType::kP256, "first")
                                   .Sign(GoodClaims(std::chrono::system_clock::now()).Json());
  const int status = programs_.Wait(programs_.Start(
      "leasectl", "leasectl",
      {"--target", target_, "-v", "--token-file", Write("token", stranger), "whoami"}));
  EXPECT_EQ(status, 5);
  const std::string error = ReadAll(programs_.Path("leasectl.err"));
  EXPECT_THAT(error, AllOf(HasSubstr("IDENTITY_INVALID"), HasSubstr("--token-file")));
  EXPECT_THAT(error, Not(HasSubstr(stranger.substr(stranger.rfind('.')))));
}

TEST_F(LeasectlCallersTest, ReportsSumToWhatTheProviderCharged) {
  const std::vector<std::string> search = {"--max-monthly", "1000USD", "--max-upfront", "1000USD",
                                           "--no-requirements"};
  std::vector<std::string> list = {"--json", "available", "--account", "sales"};
  list.insert(list.end(), search.begin(), search.end());
  ASSERT_EQ(Leasectl("orders", list), 0) << err_;
  std::vector<std::string> numbers;
  const auto listed = boost::json::parse(out_);
  for (const auto& number : listed.at("numbers").as_array()) {
    numbers.emplace_back(number.at("phone_number").as_string());
  }
  ASSERT_GT(numbers.size(), 4U);
  Buy("orders", "sales", numbers[0]);
  Buy("orders", "sales", numbers[1]);
  Buy("returns", "sales", numbers[2]);
  Buy("returns", "support", numbers[3]);
  std::vector<std::string> any = {"--account", "support", "lease-any"};
  any.insert(any.end(), search.begin(), search.end());
  EXPECT_EQ(Leasectl("returns", any), 0) << err_;
  // What ended was paid for all the same.
  EXPECT_EQ(Leasectl("orders", {"--account", "sales", "terminate", numbers[0]}), 0) << err_;

  std::vector<std::int64_t> charged, reported;
  std::int64_t total = 0;
  for (const auto& [account, micros] : Charges()) charged.push_back(micros), total += micros;
  const auto by_account = Reported("audit", "rows", "account");
  for (const auto& [account, micros] : by_account) reported.push_back(micros);
  // The provider has its own names of the accounts.
  std::sort(charged.begin(), charged.end());
  std::sort(reported.begin(), reported.end());
  EXPECT_GT(total, 0);
  EXPECT_EQ(reported, charged);
  EXPECT_EQ(Reported("audit", "totals", "currency"),
            (std::map<std::string, std::int64_t>{{"USD", total}}));
  EXPECT_EQ(err_, "");

  // A caller sees its own, and says so; both together are all.
  const auto all = Reported("audit", "rows", "caller");
  const auto own = Reported("orders", "rows", "caller");
  EXPECT_THAT(err_, HasSubstr("on sales only what orders bought"));
  ASSERT_EQ(own.size(), 1U);
  EXPECT_EQ(own.at("orders"), all.at("orders"));
  EXPECT_EQ(all.at("orders") + all.at("returns"), total);
  EXPECT_EQ(Leasectl("audit", {"operations", "--account", "sales", "--kind", "terminate",
                               "--caller", "orders"}),
            0)
      << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr(numbers[0]), HasSubstr("\n1 operation\n")));
}

}  // namespace
}  // namespace leasegateway
