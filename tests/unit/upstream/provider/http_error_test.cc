#include "upstream/provider/http_error.h"

#include <gtest/gtest.h>

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using absl::StatusCode;
using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr auto kNow = system_clock::time_point(std::chrono::seconds(1'800'000'000));

absl::Status Http(int status, bool is_write, const std::string& body = "",
                  const std::string& retry_after = "") {
  return FromHttp({status, body, retry_after, is_write, "GET /x"}, kNow);
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
