// Asking for a list only if it has changed.

#include "upstream/provider/conditional.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/wire_fixture.h"

namespace leasegateway {
namespace {

namespace http = boost::beast::http;

Validators Of(const std::string& etag, const std::string& last_modified = "",
              const std::string& date = "") {
  http::fields answer;
  if (!etag.empty()) answer.set(http::field::etag, etag);
  if (!last_modified.empty()) answer.set(http::field::last_modified, last_modified);
  if (!date.empty()) answer.set(http::field::date, date);
  return ValidatorsOf(answer);
}

TEST(ConditionalTest, EntityTagIsInQuotationMarks) {
  for (const std::string good : {"\"\"", "\"a\"", "W/\"a-1\"", "\"\xe9*\""}) {
    EXPECT_EQ(Of(good).etag, good);
  }
  for (const std::string bad :
       {"*", "a", "\"", "\"a", "a\"", "w/\"a\"", "W/a", "\"a\"b\"", "\"a b\"", "\"a\", \"b\""}) {
    EXPECT_EQ(Of(bad).etag, "") << bad;
  }
  EXPECT_EQ(Of("\"" + std::string(1'022, 'a') + "\"").etag.size(), 1'024u);
  EXPECT_EQ(Of("\"" + std::string(1'023, 'a') + "\"").etag, "");
}

// RFC 9110, 8.8.2.2.
TEST(ConditionalTest, LastModifiedIsOlderThanTheAnswerByASecond) {
  const std::string date = "Tue, 03 Nov 2026 08:49:37 GMT";
  const std::string second_before = "Tue, 03 Nov 2026 08:49:36 GMT";
  EXPECT_EQ(Of("", second_before, date).last_modified, second_before);
  EXPECT_EQ(Of("", date, date).last_modified, "");
  EXPECT_EQ(Of("", date, second_before).last_modified, "");
  EXPECT_EQ(Of("", second_before).last_modified, "") << "without a Date nobody knows";
  for (const char* odd : {"yesterday", "Tue, 3 Nov 2026 08:49:36 GMT", "Tue, 03 Nov 2026 08:49:36",
                          "Tuesday, 03-Nov-26 08:49:36 GMT", "Tue Nov  3 08:49:36 2026"}) {
    EXPECT_EQ(Of("", odd, date).last_modified, "") << odd;
  }
  const std::string long_one = "Tue," + std::string(10'000, ' ') + "03 Nov 2026 08:49:36 GMT";
  EXPECT_EQ(Of("", long_one, date).last_modified, "") << "it would go back with each request";
  EXPECT_TRUE(Of("").empty());
}

TEST(ConditionalTest, NothingIsConfirmedOfNothing) {
  http::fields unchanged;
  EXPECT_FALSE(Confirms(unchanged, {}));
  unchanged.set(http::field::etag, "\"1\"");
  EXPECT_FALSE(Confirms(unchanged, {}));
  EXPECT_TRUE(Confirms(unchanged, {"\"1\"", ""}));
}

TEST(ConditionalTest, KeysAreToldApart) {
  EXPECT_EQ(MarkOfKey("Bearer a"), MarkOfKey("Bearer a"));
  EXPECT_NE(MarkOfKey("Bearer a"), MarkOfKey("Bearer b"));
  EXPECT_NE(MarkOfKey("Bearer a"), MarkOfKey("Token a"));
}

class ConditionalListTest : public WireFixture {
 protected:
  const std::string etag_ = "W/\"42\"";
  const std::string modified_ = "Tue, 03 Nov 2026 08:49:36 GMT";
  const Validators known_{etag_, modified_, MarkOfKey(authorization_)};
};

TEST_F(ConditionalListTest, ValidatorsGoBackAsTheyCame) {
  const std::string fields = "etag: " + etag_ + "\r\nlast-modified: " + modified_ +
                             "\r\ndate: Tue, 03 Nov 2026 08:49:37 GMT\r\n";
  WireConnection connection;
  connection.answers = {HttpAnswer("200 OK", fields, AvailableBody()),
                        "HTTP/1.1 304 Not Modified\r\netag: \"42\"\r\n\r\n",
                        HttpAnswer("200 OK", fields, LeasesBody()),
                        "HTTP/1.1 304 Not Modified\r\n\r\n"};
  Start({connection});
  const auto numbers = Ask(operation::ListAvailableNumbers());
  ASSERT_TRUE(numbers.ok()) << numbers.status();
  EXPECT_EQ(numbers->validators, known_);
  EXPECT_FALSE(numbers->is_unchanged);
  const auto same = Ask(operation::ListAvailableNumbers(numbers->validators));
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_TRUE(same->is_unchanged);
  EXPECT_TRUE(same->metadata.has_fetch_time());

  const auto leases = Ask(operation::ListLeases());
  ASSERT_TRUE(leases.ok()) << leases.status();
  EXPECT_EQ(leases->validators, known_);
  const auto same_leases = Ask(operation::ListLeases(leases->validators));
  ASSERT_TRUE(same_leases.ok()) << same_leases.status();
  EXPECT_TRUE(same_leases->is_unchanged);

  const auto requests = server_->requests();
  ASSERT_EQ(requests.size(), 4u);
  for (const int with : {1, 3}) {
    const std::string& request = requests[static_cast<std::size_t>(with)];
    EXPECT_THAT(request, testing::HasSubstr("If-None-Match: W/\"42\"\r\n"));
    EXPECT_THAT(request, testing::HasSubstr("If-Modified-Since: " + modified_ + "\r\n"));
  }
  for (const int without : {0, 2}) {
    const std::string& request = requests[static_cast<std::size_t>(without)];
    EXPECT_THAT(request, testing::Not(testing::HasSubstr("If-")));
  }
}

// RFC 9111, 5.2.1.4.
TEST_F(ConditionalListTest, ReadsAreNotAnsweredByACacheOnTheWay) {
  WireConnection connection;
  connection.answers = {GoodAnswer(AvailableBody()), GoodAnswer(NumberBody()),
                        HttpAnswer("400 No", "", R"({"message":"no","status":400})")};
  Start({connection});
  EXPECT_TRUE(Ask(operation::ListAvailableNumbers()).ok());
  EXPECT_TRUE(Ask(operation::GetNumber("+13059478667")).ok());
  EXPECT_FALSE(Ask(operation::CreateLease("+13059478667", v1::BILLING_METHOD_UNSPECIFIED)).ok());
  const auto requests = server_->requests();
  ASSERT_EQ(requests.size(), 3u);
  for (const std::size_t i : {0u, 1u, 2u}) {
    EXPECT_EQ(requests[i].find("Cache-Control: no-cache\r\n") != std::string::npos, i < 2) << i;
  }
}

TEST_F(ConditionalListTest, SingleRecordsHaveNoConditions) {
  WireConnection connection;
  connection.answers = {HttpAnswer("200 OK", "etag: \"1\"\r\n", NumberBody())};
  Start({connection});
  const auto number = Ask(operation::GetNumber("+13059478667"));
  ASSERT_TRUE(number.ok()) << number.status();
  EXPECT_TRUE(number->validators.empty());
}

// Another account's list may have the same validators.
TEST_F(ConditionalListTest, AnotherKeyAsksForAllOfIt) {
  const std::string unchanged = "HTTP/1.1 304 Not Modified\r\n\r\n";
  const std::string list = HttpAnswer("200 OK", "etag: \"1\"\r\n", AvailableBody());
  WireConnection connection;
  connection.answers = {list, list, unchanged, unchanged};
  Start({connection});
  const auto first = Ask(operation::ListAvailableNumbers());
  ASSERT_TRUE(first.ok()) << first.status();
  authorization_ = "Bearer another";
  const auto second = Ask(operation::ListAvailableNumbers(first->validators));
  ASSERT_TRUE(second.ok()) << second.status();
  const auto same = Ask(operation::ListAvailableNumbers(second->validators));
  EXPECT_TRUE(same.ok() && same->is_unchanged) << same.status();
  authorization_ = "Bearer key";
  const auto unasked = Ask(operation::ListAvailableNumbers(second->validators));
  EXPECT_EQ(ReasonOf(unasked.status()), reason::kUpstreamIntermediary) << unasked.status();
  const auto requests = server_->requests();
  ASSERT_EQ(requests.size(), 4u);
  for (const std::size_t i : {0u, 1u, 2u, 3u}) {
    EXPECT_EQ(requests[i].find("If-None-Match") != std::string::npos, i == 2) << i;
  }
}

TEST_F(ConditionalListTest, NoChangeOfAnotherListIsNoAnswer) {
  const std::string malformed = std::string(reason::kUpstreamMalformed) + ", kept";
  const std::string unchanged = "HTTP/1.1 304 Not Modified\r\n";
  Try(operation::ListAvailableNumbers(known_), AvailableBody(),
      {{"the same", unchanged + "etag: W/\"42\"\r\n\r\n", "read, kept"},
       {"as a strong one", unchanged + "etag: \"42\"\r\n\r\n", "read, kept"},
       {"none", unchanged + "\r\n", "read, kept"},
       {"another one", unchanged + "etag: \"43\"\r\n\r\n", malformed, "304, but of the list"}});
  Try(operation::ListAvailableNumbers(Validators{"", modified_, known_.key}), AvailableBody(),
      {{"by time", unchanged + "etag: \"43\"\r\n\r\n", "read, kept"}});
}

}  // namespace
}  // namespace leasegateway
