#ifndef LEASE_GATEWAY_TESTS_SUPPORT_SPENDING_CALLERS_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_SPENDING_CALLERS_H_

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "tests/support/gateway_fixture.h"
#include "upstream/sandbox/inventory.h"
#include "upstream/sandbox/sandbox.h"

// What limits of spending are tried with: numbers of a known price, and what is told of limits.
namespace leasegateway {

inline std::string PurchaseId(int index) {
  return absl::StrFormat("9b2f6a3e-5c1d-4f7a-8e90-%012d", index);
}

// Makes a number of the sandbox cost so much.
inline void SetPrice(sandbox::Sandbox& sandbox, const std::string& number, const std::string& fee,
                     const std::string& rate, const std::string& currency = "USD") {
  const auto reply =
      sandbox.Control("POST", "/_sandbox/numbers/" + number,
                      absl::StrCat(R"({"pricing":{"upfront_fee":)", fee, R"(,"monthly_rate":)",
                                   rate, R"(,"currency":")", currency, "\"}}"));
  EXPECT_TRUE(reply.ok()) << reply.status();
}

// Numbers of the first `inventory` that need no entitlement, each at 2 USD once and 1 USD a month.
inline std::vector<std::string> PricedNumbers(sandbox::Sandbox& sandbox, std::size_t count,
                                              int inventory = 100) {
  std::vector<std::string> numbers;
  for (const auto& number : sandbox::MakeInventory(1, inventory)) {
    if (numbers.size() == count) break;
    if (number.requirements != 0) continue;
    SetPrice(sandbox, number.e164, "2", "1");
    numbers.push_back(number.e164);
  }
  EXPECT_EQ(numbers.size(), count);
  return numbers;
}

// All entries of a kind.
inline int CountAllInLedger(sandbox::Sandbox& sandbox, const std::string& kind) {
  const auto reply = sandbox.Control("GET", "/_sandbox/ledger", "");
  EXPECT_TRUE(reply.ok()) << reply.status();
  const std::string mark = "\"kind\":\"" + kind + "\"";
  int count = 0;
  for (auto at = reply->find(mark); at != reply->npos; at = reply->find(mark, at + 1)) ++count;
  return count;
}

// "3" or "2.5 USD"; empty: it is not there.
inline std::string ShowAmount(const v1::LimitAmount& amount) {
  if (amount.amount_case() == v1::LimitAmount::kCount) return std::to_string(amount.count());
  if (amount.amount_case() != v1::LimitAmount::kMoney) return "";
  std::string text = absl::StrFormat("%d.%09d", amount.money().units(), amount.money().nanos());
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text + " " + amount.money().currency_code();
}

// "LIMIT: USED used, LEFT left" of a limit that WhoAmI tells; "none": it does not.
inline std::string ShowLimit(const v1::WhoAmIResponse& who, v1::LimitScope scope,
                             const std::string& name, const std::string& account = "") {
  std::vector<v1::LimitState> all(who.limits().begin(), who.limits().end());
  for (const auto& access : who.accounts()) {
    if (!account.empty() && access.account() != account) continue;
    all.insert(all.end(), access.limits().begin(), access.limits().end());
  }
  std::string shown = "none";
  for (const auto& state : all) {
    if (state.scope() != scope || state.name() != name) continue;
    EXPECT_EQ(shown, "none") << name << " is told twice";
    shown = ShowAmount(state.limit());
    if (state.has_used()) {
      absl::StrAppend(&shown, ": ", ShowAmount(state.used()), " used, ", ShowAmount(state.left()),
                      " left");
    }
  }
  return shown;
}

// "SCOPE LIMIT: VALUE, USED used, ASKED asked" of a refusal by a limit of spending; otherwise its
// reason.
inline std::string ShowRefusal(const grpc::Status& status) {
  if (status.ok()) return "OK";
  const Failure failure = Explain(status);
  if (failure.reason != "SPEND_LIMIT_EXCEEDED") return failure.reason;
  EXPECT_EQ(failure.code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.detail_types.count("PreconditionFailure"), 1U);
  const auto& metadata = failure.info.metadata();
  return absl::StrCat(metadata.at("scope"), " ", metadata.at("limit"), ": ", metadata.at("value"),
                      ", ", metadata.at("used"), " used, ", metadata.at("asked"), " asked");
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_SPENDING_CALLERS_H_
