#include "service/process/secret.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "service/process/logging.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

class SecretTest : public testing::Test {
 protected:
  SecretTest() {
    std::string folder = testing::TempDir() + "secret_testXXXXXX";
    folder_ = mkdtemp(folder.data());
    path_ = folder_ / "key";
  }
  ~SecretTest() override { std::filesystem::remove_all(folder_); }

  // As a whole, as Kubernetes and careful people do.
  void Write(const std::string& content) {
    std::ofstream(folder_ / "new") << content;
    std::filesystem::rename(folder_ / "new", path_);
  }

  std::filesystem::path folder_, path_;
};

// Whether it has the key within the time that a busy machine may need.
bool Gets(const Secret& key, const std::string& wanted) {
  for (int i = 0; i < 1'000; ++i) {
    if (key.Get() == wanted) return true;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

TEST_F(SecretTest, FileIsReadWithoutTheWhiteSpaceAroundIt) {
  Write("\n contiguity_sk_1\r\n");
  EXPECT_EQ(*ReadSecret(kApiKey, path_), "contiguity_sk_1");
}

TEST_F(SecretTest, FilesWithoutAKeyAreRefusedByRuleAndNeverQuoted) {
  EXPECT_THAT(ReadSecret(kApiKey, path_).status().message(),
              HasSubstr("cannot be read: No such file"));
  Write(" \n");
  EXPECT_EQ(ReadSecret(kApiKey, path_).status().message(), "the API key must not be empty");
  Write("secret key");
  EXPECT_EQ(ReadSecret(kApiKey, path_).status().message(),
            "the API key must be printable ASCII without spaces");
  Write(std::string(513, 'k'));
  EXPECT_EQ(ReadSecret(kApiKey, path_).status().message(), "the API key must be at most 512 bytes");
  Write(std::string(512, 'k'));
  EXPECT_EQ(*ReadSecret(kApiKey, path_), std::string(512, 'k'));
}

TEST_F(SecretTest, PasswordMayHaveSpacesAndAnyLetters) {
  Write(" correct horse-\"\xc3\xa9 \n");
  EXPECT_EQ(*ReadSecret(kDatabasePassword, path_), "correct horse-\"\xc3\xa9");
  Write("two\nlines");
  EXPECT_EQ(ReadSecret(kDatabasePassword, path_).status().message(),
            "the database password must have no control characters");
  Write(std::string(1025, 'k'));
  EXPECT_EQ(ReadSecret(kDatabasePassword, path_).status().message(),
            "the database password must be at most 1024 bytes");
}

TEST_F(SecretTest, KeyWithoutAFileStays) {
  const Secret key(kApiKey, "from the environment", "", milliseconds(1));
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(key.Get(), "from the environment");
}

TEST_F(SecretTest, WhatTheFileHasIsInForceAndAFileWithoutAKeyChangesNothing) {
  std::ostringstream log;
  InitLoggingTo(log, "info", "text");
  {
    Write("first");
    const Secret key(kApiKey, "first", path_, milliseconds(5));
    Write("second");
    EXPECT_TRUE(Gets(key, "second"));
    Write("no key");
    std::this_thread::sleep_for(milliseconds(100));
    EXPECT_EQ(key.Get(), "second");
    std::filesystem::remove(path_);
    std::this_thread::sleep_for(milliseconds(100));
    EXPECT_EQ(key.Get(), "second");
    Write("third");
    EXPECT_TRUE(Gets(key, "third"));
  }
  ShutdownLogging();
  const std::string text = log.str();
  EXPECT_THAT(text, HasSubstr("upstream_token_file has changed: the new API key is in force"));
  EXPECT_THAT(text, HasSubstr("the API key must be printable ASCII without spaces; the API key "
                              "from before stays in force"));
  EXPECT_THAT(text, HasSubstr("cannot be read: No such file"));
  for (const char* secret : {"first", "second", "third", "no key"}) {
    EXPECT_THAT(text, Not(HasSubstr(secret)));
  }
}

}  // namespace
}  // namespace leasegateway
