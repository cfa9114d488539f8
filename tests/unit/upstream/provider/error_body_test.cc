#include "upstream/provider/error_body.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/provider_replies.h"

namespace leasegateway {
namespace {

using ::testing::IsEmpty;

TEST(JsonCodecErrorTest, ReadsTheEnvelope) {
  const UpstreamErrorBody error = DecodeError(
      R"({"id": "err_4f1c", "timestamp": 1785698220563, "api_version": "v2026.10.1",
          "object": "error", "data": {"error": "Accept it first", "status": 403,
          "agreement_url": "https://contiguity.com/agreements/1"}})");
  EXPECT_EQ(error.id, "err_4f1c");
  EXPECT_EQ(error.message, "Accept it first");
  EXPECT_EQ(error.agreement_url, "https://contiguity.com/agreements/1");
}

TEST(JsonCodecErrorTest, ReadsTheFormWithoutAnEnvelope) {
  const UpstreamErrorBody error = DecodeError(R"({"message": "Unauthorized", "status": 401})");
  EXPECT_THAT(error.id, IsEmpty());
  EXPECT_EQ(error.message, "Unauthorized");
  EXPECT_THAT(error.agreement_url, IsEmpty());
}

TEST(JsonCodecErrorTest, OtherBodiesSayNothing) {
  for (const char* body :
       {"", " ", "<html>502</html>", "null", "[]", "\"error\"", "{}",
        R"({"object": "response", "data": {}})", R"({"message": 1, "status": 2})",
        R"({"message": "x", "data": )", R"({"message": "x"} y)"}) {
    const UpstreamErrorBody error = DecodeError(body);
    EXPECT_THAT(error.id, IsEmpty());
    EXPECT_THAT(error.message, IsEmpty());
    EXPECT_THAT(error.agreement_url, IsEmpty());
  }
}

TEST(JsonCodecErrorTest, LeavesEmptyWhatItCanNotRead) {
  const UpstreamErrorBody error = DecodeError(
      R"({"id": 7, "object": "error", "data": {"error": ["x"], "status": null, "agreement_url": {}},
          "more": {"a": [1, 2]}})");
  EXPECT_THAT(error.id, IsEmpty());
  EXPECT_THAT(error.message, IsEmpty());
  EXPECT_THAT(error.agreement_url, IsEmpty());
}

TEST(JsonCodecErrorTest, OddCharactersLeaveOutTheirTextAlone) {
  for (const char* text : {R"(\ud800)", "Caf\xE9", "a\nb"}) {
    const UpstreamErrorBody error =
        DecodeError(Concat({R"({"id": "err_1", "object": "error", "data": {"error": ")", text,
                            R"(", "status": 400}})"}));
    EXPECT_EQ(error.id, "err_1") << text;
    EXPECT_THAT(error.message, IsEmpty());
  }
}

TEST(JsonCodecErrorTest, TheMessageIsShortAndPrintable) {
  const auto message_of = [](const std::string& text) {
    return DecodeError(Concat({R"({"object": "error", "data": {"error": ")", text, "\"}}"}))
        .message;
  };
  EXPECT_EQ(message_of(R"(a\r\nb\u0000c\u007f)"), std::string("a  b c "));
  EXPECT_EQ(message_of(std::string(513, 'a')).size(), 512u);
  EXPECT_EQ(message_of(std::string(511, 'a') + "\xC3\xA9"), std::string(511, 'a'));
}

TEST(JsonCodecErrorTest, TheAgreementIsAtAnHttpsAddress) {
  const auto url_of = [](const std::string& text) {
    return DecodeError(Concat({R"({"object": "error", "data": {"agreement_url": ")", text, "\"}}"}))
        .agreement_url;
  };
  EXPECT_EQ(url_of("https://a.example/x?y=1"), "https://a.example/x?y=1");
  for (const char* bad :
       {"http://a.example", "https://", "javascript:alert(1)", "//a.example",
        "https://a.example/ x", "https://a.example/\\n", "https://\xC3\xA9.example", ""}) {
    EXPECT_THAT(url_of(bad), IsEmpty()) << bad;
  }
  const std::string longest = "https://" + std::string(2040, 'a');
  EXPECT_EQ(url_of(longest), longest);
  EXPECT_THAT(url_of(longest + "a"), IsEmpty());
}

}  // namespace
}  // namespace leasegateway
