#include "upstream/provider/http_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using absl::StatusCode;
using std::chrono::milliseconds;
using std::chrono::system_clock;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kNow = system_clock::time_point(std::chrono::seconds(1'800'000'000));

HttpFailure Failure(int status, bool is_write, const std::string& body,
                    const std::string& retry_after = "") {
  HttpFailure failure;
  failure.status = status;
  failure.body = body;
  failure.retry_after = retry_after;
  failure.is_write = is_write;
  failure.operation = "GET /x";
  return failure;
}
// With the provider's own form of an error where there is no body.
absl::Status Http(int status, bool is_write, const std::string& body = "",
                  const std::string& retry_after = "") {
  return FromHttp(
      Failure(status, is_write,
              body.empty() ? R"({"message":"no","status":)" + std::to_string(status) + "}" : body,
              retry_after),
      kNow);
}

struct Row {
  int http;
  StatusCode read;
  std::string_view read_reason;
  StatusCode write;
  std::string_view write_reason;
};

// The error table, a row an HTTP status.
TEST(UpstreamError, TableOfStatuses) {
  const Row rows[] = {
      {400, StatusCode::kInvalidArgument, reason::kUpstreamRejected, StatusCode::kInvalidArgument,
       reason::kUpstreamRejected},
      {401, StatusCode::kFailedPrecondition, reason::kUpstreamCredentialsRejected,
       StatusCode::kFailedPrecondition, reason::kUpstreamCredentialsRejected},
      {403, StatusCode::kPermissionDenied, reason::kUpstreamForbidden,
       StatusCode::kPermissionDenied, reason::kUpstreamForbidden},
      {404, StatusCode::kNotFound, reason::kNumberNotFound, StatusCode::kNotFound,
       reason::kNumberNotFound},
      {409, StatusCode::kInvalidArgument, reason::kUpstreamRejected, StatusCode::kInvalidArgument,
       reason::kUpstreamRejected},
      {429, StatusCode::kResourceExhausted, reason::kUpstreamRateLimited,
       StatusCode::kResourceExhausted, reason::kUpstreamRateLimited},
      {500, StatusCode::kUnavailable, reason::kUpstreamFailed, StatusCode::kAborted,
       reason::kOutcomeUnknown},
      {502, StatusCode::kUnavailable, reason::kUpstreamFailed, StatusCode::kAborted,
       reason::kOutcomeUnknown},
      {503, StatusCode::kUnavailable, reason::kUpstreamFailed, StatusCode::kAborted,
       reason::kOutcomeUnknown},
      {504, StatusCode::kUnavailable, reason::kUpstreamFailed, StatusCode::kAborted,
       reason::kOutcomeUnknown},
      {302, StatusCode::kInternal, reason::kUpstreamMalformed, StatusCode::kInternal,
       reason::kUpstreamMalformed},
  };
  for (const Row& row : rows) {
    const auto read = Http(row.http, false);
    EXPECT_EQ(read.code(), row.read) << row.http;
    EXPECT_EQ(ReasonOf(read), row.read_reason) << row.http;
    EXPECT_EQ(MetadataOf(read)["http_status"], std::to_string(row.http));
    const auto write = Http(row.http, true);
    EXPECT_EQ(write.code(), row.write) << row.http;
    EXPECT_EQ(ReasonOf(write), row.write_reason) << row.http;
  }
}

TEST(UpstreamError, ProvidersIdAndWordsReachTheCaller) {
  const auto status =
      Http(400, false,
           R"({"id":"err_1","object":"error","data":{"error":"No such plan","status":400}})");
  EXPECT_EQ(MetadataOf(status)["upstream_error_id"], "err_1");
  EXPECT_NE(std::string(status.message()).find("No such plan"), std::string::npos);
}

TEST(UpstreamError, AgreementComesAsHelp) {
  const auto status = Http(403, true,
                           R"({"id":"err_1","object":"error","data":{"error":"Forbidden",
                               "status":403,"agreement_url":"https://x.example/agree"}})");
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(status), reason::kAgreementRequired);
  google::rpc::Help help;
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.Help");
  ASSERT_TRUE(payload && help.ParseFromString(std::string(*payload)));
  EXPECT_EQ(help.links(0).url(), "https://x.example/agree");
}

TEST(UpstreamError, RetryAfterBecomesRetryInfo) {
  EXPECT_EQ(RetryDelayOf(Http(429, false, "", "7")), milliseconds(7000));
  EXPECT_EQ(RetryDelayOf(Http(429, false)), milliseconds(1000));
  EXPECT_EQ(RetryDelayOf(Http(503, false, "", "2")), milliseconds(2000));
  EXPECT_EQ(RetryDelayOf(Http(503, true, "", "2")), std::nullopt);
}

TEST(UpstreamError, ProvidersRetryAfterIsToldFromTheDefault) {
  EXPECT_EQ(RetryAfterOf(Http(429, true, "", "7")), milliseconds(7000));
  EXPECT_EQ(RetryAfterOf(Http(503, false, "", "0")), milliseconds(0));
  EXPECT_EQ(RetryAfterOf(Http(429, false)), std::nullopt);
  EXPECT_EQ(RetryAfterOf(Http(429, false, "", "soon")), std::nullopt);
}

// A middleman's answer is about nothing but the middleman, whatever the status.
TEST(UpstreamError, AnswerOfAMiddleman) {
  for (const int code : {200, 204, 302, 400, 401, 403, 404, 407, 410, 429, 500, 503}) {
    for (const char* body : {"<html>Access denied, ticket 4711</html>", ""}) {
      HttpFailure failure = Failure(code, false, body);
      failure.server = "squid/5.7";
      failure.via = "1.1 proxy.corp.example (squid/5.7)";
      failure.content_type = "text/html; charset=utf-8";
      const auto read = code < 300 ? FromMiddleman(failure, kNow) : FromHttp(failure, kNow);
      EXPECT_EQ(read.code(), StatusCode::kUnavailable) << code;
      EXPECT_EQ(ReasonOf(read), reason::kUpstreamIntermediary) << code;
      EXPECT_EQ(RetryDelayOf(read), milliseconds(1000));
      EXPECT_EQ(RetryAfterOf(read), std::nullopt);
      auto metadata = MetadataOf(read);
      EXPECT_EQ(metadata["http_status"], std::to_string(code));
      EXPECT_EQ(metadata["from_provider"], "false");
      EXPECT_EQ(metadata["server"], "squid/5.7");
      EXPECT_EQ(metadata["via"], "1.1 proxy.corp.example (squid/5.7)");
      EXPECT_EQ(metadata["content_type"], "text/html; charset=utf-8");
      const std::string message(read.message());
      EXPECT_THAT(message, HasSubstr("the answer " + std::to_string(code) + " to GET /x"));
      EXPECT_THAT(message, HasSubstr("(server: squid/5.7; via: 1.1 proxy.corp.example "
                                     "(squid/5.7); content type: text/html; charset=utf-8"));
      EXPECT_THAT(read.ToString(), Not(HasSubstr("4711")));
      EXPECT_EQ(message.find("no body") != std::string::npos, *body == 0);
      EXPECT_EQ(message.find("upstream_url") != std::string::npos, code == 404);

      failure.is_write = true;
      const auto write = code < 300 ? FromMiddleman(failure, kNow) : FromHttp(failure, kNow);
      EXPECT_EQ(write.code(), StatusCode::kAborted) << code;
      EXPECT_EQ(ReasonOf(write), reason::kOutcomeUnknown) << code;
      EXPECT_EQ(RetryDelayOf(write), std::nullopt);
      EXPECT_EQ(MetadataOf(write)["http_status"], std::to_string(code));
      EXPECT_EQ(MetadataOf(write)["from_provider"], "false");
      EXPECT_THAT(std::string(write.message()), HasSubstr("server: squid/5.7"));
    }
  }
}

TEST(UpstreamError, HeaderOfAMiddlemanIsCleanedAndShort) {
  HttpFailure failure = Failure(403, false, "<html>");
  failure.server = "a\tb\x7f\xE9\n" + std::string(100, 'x');
  const auto status = FromHttp(failure, kNow);
  EXPECT_EQ(MetadataOf(status)["server"], "a?b???" + std::string(58, 'x'));
  EXPECT_EQ(MetadataOf(status).count("via"), 0U);
  EXPECT_THAT(std::string(status.message()), HasSubstr("(server: a?b???xxx"));
}

TEST(UpstreamError, RetryAfterOfAMiddlemanIsKept) {
  const auto read = FromHttp(Failure(503, false, "", "30"), kNow);
  EXPECT_EQ(RetryDelayOf(read), milliseconds(30'000));
  EXPECT_EQ(RetryAfterOf(read), milliseconds(30'000));
  const auto write = FromHttp(Failure(429, true, "", "30"), kNow);
  EXPECT_EQ(RetryDelayOf(write), std::nullopt);
  EXPECT_EQ(RetryAfterOf(write), milliseconds(30'000));
}

TEST(UpstreamError, RefusalOfARequestWithoutArgumentsIsTheProvidersFailure) {
  for (const int code : {400, 405, 410, 422}) {
    HttpFailure failure =
        Failure(code, false, R"({"message":"no","status":)" + std::to_string(code) + "}", "2");
    failure.has_arguments = false;
    const auto status = FromHttp(failure, kNow);
    EXPECT_EQ(status.code(), StatusCode::kUnavailable) << code;
    EXPECT_EQ(ReasonOf(status), reason::kUpstreamFailed) << code;
    EXPECT_EQ(RetryDelayOf(status), milliseconds(2'000));
    EXPECT_EQ(MetadataOf(status)["http_status"], std::to_string(code));
  }
  HttpFailure unknown = Failure(404, false, R"({"message":"no","status":404})");
  unknown.has_arguments = false;
  EXPECT_EQ(ReasonOf(FromHttp(unknown, kNow)), reason::kNumberNotFound);  // an empty list
  // A write that the provider has refused was not done, whoever has chosen what it says.
  HttpFailure write = Failure(400, true, R"({"message":"no","status":400})");
  write.has_arguments = false;
  EXPECT_EQ(ReasonOf(FromHttp(write, kNow)), reason::kUpstreamRejected);
}

TEST(ParseRetryAfter, SecondsDatesAndNonsense) {
  EXPECT_EQ(ParseRetryAfter("0", kNow), milliseconds(0));
  EXPECT_EQ(ParseRetryAfter("120", kNow), milliseconds(120'000));
  EXPECT_EQ(ParseRetryAfter("99999999999999999999999", kNow), milliseconds(3'600'000));
  EXPECT_EQ(ParseRetryAfter("Fri, 15 Jan 2027 08:00:30 GMT", kNow), milliseconds(30'000));
  EXPECT_EQ(ParseRetryAfter("Fri, 15 Jan 2026 08:00:30 GMT", kNow), milliseconds(0));
  for (const char* bad : {"", "-1", "1.5", "soon", "7 s"}) {
    EXPECT_EQ(ParseRetryAfter(bad, kNow), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace leasegateway
