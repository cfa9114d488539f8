#include "service/leasectl/token_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"

namespace leasegateway {
namespace {

using testing::HasSubstr;
using testing::Not;

class TokenFileTest : public testing::Test {
 protected:
  ~TokenFileTest() override { unlink(path_.c_str()); }

  void Write(const std::string& text) { std::ofstream(path_, std::ios::trunc) << text; }
  std::string Complaint() {
    const auto token = TokenFile(path_).Read();
    EXPECT_FALSE(token.ok());
    return std::string(token.status().message());
  }

  const std::string path_ = absl::StrCat(testing::TempDir(), "leasectl-token-", getpid());
};

TEST_F(TokenFileTest, TokenIsReadAnewEachTime) {
  TokenFile file(path_);
  Write("eyJh.first-_~+/==\n");
  EXPECT_EQ(file.Read().value(), "eyJh.first-_~+/==");
  Write("  second\r\n");
  EXPECT_EQ(file.Read().value(), "second");
  EXPECT_EQ(TokenFile("").Read().value(), "");
}

TEST_F(TokenFileTest, PipeIsReadOnce) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "token\n", 6), 6);
  close(ends[1]);
  TokenFile file(absl::StrCat("/dev/fd/", ends[0]));
  EXPECT_EQ(file.Read().value(), "token");
  EXPECT_EQ(file.Read().value(), "token");
  close(ends[0]);
}

TEST_F(TokenFileTest, ComplaintNamesTheFileAndTheRuleAndNothingOfTheToken) {
  EXPECT_EQ(Complaint(), absl::StrCat(path_, ": No such file or directory"));
  for (const auto& [text, rule] :
       {std::tuple{std::string(), "is empty"}, std::tuple{std::string(" \n\n"), "is empty"},
        std::tuple{std::string("secret\nsecret\n"), "has more than one line"},
        std::tuple{std::string("Bearer secret"), "must have the token without \"Bearer\""},
        std::tuple{std::string("secret secret"), "has a character that no bearer token has"},
        std::tuple{std::string("secret\x01"), "has a character that no bearer token has"},
        std::tuple{std::string("secr\xc3\xa9t-secret"), "has a character that no bearer token has"},
        std::tuple{std::string("secret\0secret", 13), "has a character that no bearer token has"},
        std::tuple{"secret" + std::string(12 << 10, 'a'), "is larger than 12288 bytes"}}) {
    Write(text);
    EXPECT_THAT(Complaint(), HasSubstr(absl::StrCat(path_, " ", rule)));
    EXPECT_THAT(Complaint(), Not(HasSubstr("secr")));
  }
  Write(std::string(12 << 10, 'a'));
  EXPECT_TRUE(TokenFile(path_).Read().ok());
  EXPECT_EQ(TokenFile("/").Read().status().message(), "/: Is a directory");
}

TEST(Loopback, IsWhatStaysOnThisMachine) {
  for (const char* target :
       {"127.0.0.1:50051", "127.255.0.3:1", "localhost:50051", "LOCALHOST", "[::1]:50051", "[::1]",
        "dns:///localhost:50051", "dns:127.0.0.1:1", "ipv4:127.0.0.1:1,127.0.0.2:1",
        "ipv6:[::1]:50051", "unix:gateway.sock", "unix:///run/gateway.sock"}) {
    EXPECT_TRUE(IsLoopback(target)) << target;
  }
}

TEST(Loopback, IsNothingElseThatLooksLikeIt) {
  for (const char* target :
       {"", "10.0.0.1:50051", "gateway:50051", "127.0.0.1.example:50051", "localhost.example:1",
        "127.0.0.1%2C10.0.0.1:1", "ipv4:127.0.0.1:1,10.0.0.1:1", "ipv4:10.0.0.1:1,127.0.0.1:1",
        "dns://192.0.2.1/localhost:50051", "xds:///localhost:50051", "[::2]:50051",
        "[::ffff:10.0.0.1]:1", "0.0.0.0:50051", "128.0.0.1:1", "127.1:50051"}) {
    EXPECT_FALSE(IsLoopback(target)) << target;
  }
}

}  // namespace
}  // namespace leasegateway
