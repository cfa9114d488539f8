#include "service/callers/token_memory.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "absl/strings/str_cat.h"

namespace leasegateway {
namespace {

using std::chrono::seconds;

class TokenMemoryTest : public testing::Test {
 protected:
  void Add(const std::string& token, std::uint64_t generation = 0) {
    memory_.Add(TokenMemory::DigestOf(token), {CommonNameIdentity(token), 1, 0}, generation, now_);
  }
  bool Knows(const std::string& token) const {
    const auto known = memory_.Find(TokenMemory::DigestOf(token), now_);
    return known != nullptr && known->identity->name == token;
  }

  TokenMemory memory_;
  std::chrono::steady_clock::time_point now_{std::chrono::hours(1)};
};

TEST_F(TokenMemoryTest, KnowsATokenForAMinute) {
  EXPECT_FALSE(Knows("a"));
  Add("a");
  EXPECT_TRUE(Knows("a"));
  EXPECT_FALSE(Knows("b"));
  now_ += seconds(59);
  Add("a");  // does not begin another minute
  EXPECT_TRUE(Knows("a"));
  now_ += seconds(1);
  EXPECT_FALSE(Knows("a"));
}

TEST_F(TokenMemoryTest, ForgetsTheOldOnesWithANewOne) {
  for (int i = 0; i < 10; ++i) Add(absl::StrCat(i));
  EXPECT_EQ(memory_.size(), 10u);
  now_ += seconds(60);
  Add("new");
  EXPECT_EQ(memory_.size(), 1u);
  EXPECT_TRUE(Knows("new"));
}

TEST_F(TokenMemoryTest, IsBounded) {
  for (std::size_t i = 0; i < TokenMemory::kMaxTokens + 5; ++i) Add(absl::StrCat(i));
  EXPECT_EQ(memory_.size(), TokenMemory::kMaxTokens);
  EXPECT_FALSE(Knows("4"));
  EXPECT_TRUE(Knows("5"));
  EXPECT_TRUE(Knows(absl::StrCat(TokenMemory::kMaxTokens + 4)));
}

TEST_F(TokenMemoryTest, ForgetsAllWhenTheKeysChange) {
  Add("a");
  memory_.Clear(1);
  EXPECT_FALSE(Knows("a"));
  EXPECT_EQ(memory_.size(), 0u);
  Add("a", 0);  // was verified with the keys from before
  EXPECT_FALSE(Knows("a"));
  Add("a", 1);
  EXPECT_TRUE(Knows("a"));
}

// FIPS 180-2, "abc".
TEST_F(TokenMemoryTest, DigestIsSha256) {
  const TokenMemory::Digest digest = TokenMemory::DigestOf("abc");
  EXPECT_EQ(digest[0], 0xba);
  EXPECT_EQ(digest[1], 0x78);
  EXPECT_EQ(digest[31], 0xad);
}

}  // namespace
}  // namespace leasegateway
