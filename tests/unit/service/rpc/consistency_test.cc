#include "service/rpc/consistency.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr system_clock::time_point kGiven{milliseconds(1'700'000'000'123)};

Consistency Seen(std::uint64_t origin, std::uint64_t count) {
  Consistency consistency;
  consistency.seen.origin = origin;
  consistency.seen.count = count;
  consistency.given = kGiven;
  return consistency;
}

TEST(ConsistencyTest, TokenComesBack) {
  const std::string token = EncodeConsistency(Seen(7, 42), "default");
  const auto back = DecodeConsistency(token, "default");
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->seen.origin, 7U);
  EXPECT_EQ(back->seen.count, 42U);
  EXPECT_EQ(back->given, kGiven);
}

TEST(ConsistencyTest, AnAnswerGivenSinceShowsWhatNobodyKnowsOf) {
  const milliseconds asked(5'000);
  EXPECT_EQ(StalenessSince(kGiven, kGiven, asked), milliseconds(0));
  EXPECT_EQ(StalenessSince(kGiven, kGiven + milliseconds(2'000), asked), milliseconds(0));
  EXPECT_EQ(StalenessSince(kGiven, kGiven + milliseconds(2'750), asked), milliseconds(750));
  EXPECT_EQ(StalenessSince(kGiven, kGiven + milliseconds(60'000), asked), asked);
  EXPECT_EQ(StalenessSince(kGiven, kGiven - milliseconds(60'000), asked), milliseconds(0));
  EXPECT_EQ(StalenessSince(kGiven, kGiven + milliseconds(60'000), milliseconds(0)),
            milliseconds(0));
}

TEST(ConsistencyTest, AnotherAccountsOrGarbledTokenIsRefusedByName) {
  const std::string token = EncodeConsistency(Seen(7, 42), "default");
  std::string garbled = token;
  garbled[3] = garbled[3] == 'A' ? 'B' : 'A';
  for (const auto& [text, account] : {std::pair<std::string, std::string>{token, "other"},
                                      {garbled, "default"},
                                      {"x", "default"}}) {
    const auto status = DecodeConsistency(text, account).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(ReasonOf(status), reason::kInvalidConsistencyToken) << text;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("consistency_token")) << text;
  }
}

}  // namespace
}  // namespace leasegateway
