#include "service/rpc/consistency.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>

#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

WritesSeen Seen(std::uint64_t origin, std::uint64_t count) {
  WritesSeen seen;
  seen.origin = origin;
  seen.count = count;
  return seen;
}

TEST(ConsistencyTest, TokenComesBack) {
  const std::string token = EncodeConsistency(Seen(7, 42), "default");
  const auto back = DecodeConsistency(token, "default");
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->origin, 7U);
  EXPECT_EQ(back->count, 42U);
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
