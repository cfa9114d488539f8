#include "upstream/resilience/retry_policy.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tests/support/fake_calls.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

RetryPolicy::Failed FailedWith(absl::Status status, int attempts = 1) {
  RetryPolicy::Failed failed;
  failed.status = std::move(status);
  failed.attempts = attempts;
  failed.left = seconds(10);
  failed.usual = milliseconds(100);
  failed.random = 0.5;
  return failed;
}

absl::StatusCode CodeOf(const std::string& name) {
  for (int code = 0; code <= 16; ++code) {
    const auto candidate = static_cast<absl::StatusCode>(code);
    if (absl::StatusCodeToString(candidate) == name) return candidate;
  }
  ADD_FAILURE() << "no code: " << name;
  return absl::StatusCode::kUnknown;
}

// The cells between the markers of proto/README.md, without the head.
std::vector<std::vector<std::string>> ReadmeTable() {
  std::ifstream readme(SOURCE_DIR "/proto/README.md");
  std::vector<std::vector<std::string>> rows;
  bool inside = false;
  for (std::string line; std::getline(readme, line);) {
    if (line == "<!-- retry table: end -->") break;
    if (inside) {
      std::vector<std::string> cells;
      for (absl::string_view cell : absl::StrSplit(line, '|')) {
        cell = absl::StripAsciiWhitespace(cell);
        if (absl::ConsumePrefix(&cell, "`")) absl::ConsumeSuffix(&cell, "`");
        cells.emplace_back(cell);
      }
      rows.push_back(cells);
    }
    inside = inside || line == "<!-- retry table: begin -->";
  }
  if (rows.size() > 2) rows.erase(rows.begin(), rows.begin() + 2);
  return rows;
}

TEST(RetryPolicy, ReadmeTableIsWhatItDoes) {
  const auto rows = ReadmeTable();
  ASSERT_GE(rows.size(), 14U);
  constexpr OperationKind kKinds[] = {OperationKind::kRead, OperationKind::kSpend,
                                      OperationKind::kEnd, OperationKind::kConfigure};
  for (const auto& row : rows) {
    ASSERT_EQ(row.size(), 9U) << row[1];
    ErrorMetadata metadata;
    absl::string_view known = row[3];
    if (absl::ConsumePrefix(&known, "answered ")) {
      metadata["http_status"] = std::string(known);
    } else {
      ASSERT_TRUE(known == "not sent" || known == "maybe applied") << row[3];
      metadata["request_sent"] = known == "not sent" ? "false" : "true";
    }
    const auto status = MakeError(CodeOf(row[1]), row[2], "it failed", metadata);
    for (std::size_t i = 0; i < 4; ++i) {
      const std::string final(RetryPolicy::WhyFinal(kKinds[i], status));
      EXPECT_EQ(final.empty() ? "retry" : final, row[4 + i])
          << row[1] << " " << row[2] << " " << row[3] << " column " << i;
    }
  }
}

// The errors as the layers below make them, not as the table describes them.
TEST(RetryPolicy, ErrorsOfTheLayersBelow) {
  struct Row {
    const char* what;
    OperationKind kind;
    absl::Status status;
    std::string_view final;
  };
  const Row rows[] = {
      {"read, refused connection", OperationKind::kRead, Unreachable(), ""},
      {"purchase, refused connection", OperationKind::kSpend, Unreachable(), ""},
      {"read, lost answer", OperationKind::kRead, LostAnswer(false), ""},
      {"purchase, lost answer", OperationKind::kSpend, LostAnswer(true), "unsafe"},
      {"termination, lost answer", OperationKind::kEnd, LostAnswer(true), "unsafe"},
      {"read, 500", OperationKind::kRead, Http(500, false), ""},
      {"purchase, 500", OperationKind::kSpend, Http(500, true), "unsafe"},
      {"configuring, 503", OperationKind::kConfigure, Http(503, true), "unsafe"},
      {"read, 429", OperationKind::kRead, Http(429, false), ""},
      {"configuring, 429", OperationKind::kConfigure, Http(429, true), ""},
      {"purchase, 429", OperationKind::kSpend, Http(429, true), "unsafe"},
      {"termination, 429", OperationKind::kEnd, Http(429, true), "unsafe"},
      {"read, 400", OperationKind::kRead, Http(400, false), "permanent"},
      {"read, 401", OperationKind::kRead, Http(401, false), "permanent"},
      {"read, 302", OperationKind::kRead, Http(302, false), "permanent"},
      {"read, 403 of a middleman", OperationKind::kRead, MiddlemansHttp(403, false), ""},
      {"read, 429 of a middleman", OperationKind::kRead, MiddlemansHttp(429, false), ""},
      {"purchase, 407 of a middleman", OperationKind::kSpend, MiddlemansHttp(407, true), "unsafe"},
      {"configuring, 429 of a middleman", OperationKind::kConfigure, MiddlemansHttp(429, true),
       "unsafe"},
      {"read, without details", OperationKind::kRead, absl::UnavailableError("?"), "permanent"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(RetryPolicy::WhyFinal(row.kind, row.status), row.final) << row.what;
  }
}

TEST(RetryPolicy, FullJitterDoublesUpToTheCap) {
  RetryPolicy policy;
  policy.max_attempts = 100;
  const milliseconds longest[] = {milliseconds(50),   milliseconds(100), milliseconds(200),
                                  milliseconds(400),  milliseconds(800), milliseconds(1600),
                                  milliseconds(2000), milliseconds(2000)};
  int attempts = 0;
  for (const auto limit : longest) {
    auto failed = FailedWith(Unreachable(), ++attempts);
    failed.random = 0;
    EXPECT_EQ(policy.Decide(failed).wait, milliseconds(0));
    failed.random = 0.5;
    EXPECT_EQ(policy.Decide(failed).wait, limit / 2) << attempts;
  }
  EXPECT_EQ(policy.Decide(FailedWith(Unreachable(), 99)).wait, milliseconds(1000));
}

TEST(RetryPolicy, LastAttemptIsExhausted) {
  const RetryPolicy policy;
  EXPECT_EQ(policy.Decide(FailedWith(Unreachable(), 2)).stopped, "");
  EXPECT_EQ(policy.Decide(FailedWith(Unreachable(), 3)).stopped, retry_stopped::kExhausted);
  EXPECT_EQ(policy.Decide(FailedWith(Http(400, false), 3)).stopped, retry_stopped::kPermanent);
}

TEST(RetryPolicy, RetryAfterIsTheLeastWait) {
  const RetryPolicy policy;
  EXPECT_EQ(policy.Decide(FailedWith(Http(429, false, "2"))).wait, milliseconds(2025));
  EXPECT_EQ(policy.Decide(FailedWith(Http(503, false, "0"))).wait, milliseconds(25));
  // Without the header the delay in RetryInfo is for the caller.
  EXPECT_EQ(policy.Decide(FailedWith(Http(429, false))).wait, milliseconds(25));
}

TEST(RetryPolicy, RetryAfterPastTheDeadlineIsFinal) {
  const RetryPolicy policy;
  auto failed = FailedWith(Http(429, false, "2"));
  failed.left = milliseconds(2'100);
  EXPECT_EQ(policy.Decide(failed).stopped, "");
  EXPECT_EQ(policy.Decide(failed).wait, milliseconds(2'000));
  failed.left = milliseconds(2'099);
  EXPECT_EQ(policy.Decide(failed).stopped, retry_stopped::kDeadline);
}

TEST(RetryPolicy, AttemptThatCannotFinishIsNotStarted) {
  const RetryPolicy policy;
  auto failed = FailedWith(Unreachable());
  failed.left = milliseconds(100);
  EXPECT_EQ(policy.Decide(failed).stopped, retry_stopped::kDeadline);
  failed.left = milliseconds(-1);
  failed.usual = milliseconds(0);
  EXPECT_EQ(policy.Decide(failed).stopped, retry_stopped::kDeadline);
}

TEST(RetryPolicy, WaitLeavesTimeForTheAttempt) {
  const RetryPolicy policy;
  auto failed = FailedWith(Unreachable());
  failed.left = milliseconds(110);
  EXPECT_EQ(policy.Decide(failed).stopped, "");
  EXPECT_EQ(policy.Decide(failed).wait, milliseconds(10));
}

}  // namespace
}  // namespace leasegateway
