#include "upstream/provider/whose_answer.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/provider_replies.h"

namespace leasegateway {
namespace {

constexpr int kStatuses[] = {200, 201, 204, 302, 304, 400, 401, 403, 404,
                             407, 409, 410, 429, 500, 502, 503, 504};

bool IsProviders(int status, std::string_view body) {
  return WhoseAnswer(status, body) == Author::kProvider;
}

TEST(WhoseAnswer, EnvelopeIsTheProvidersWhateverTheStatus) {
  const std::string error =
      R"({"id": "err_1", "timestamp": 1785698220563, "api_version": "v2026.10.1",
          "object": "error", "data": {"error": "No", "status": 400}})";
  for (const int status : kStatuses) {
    EXPECT_TRUE(IsProviders(status, error)) << status;
    EXPECT_TRUE(IsProviders(status, NumberBody())) << status;
    EXPECT_TRUE(IsProviders(status, "\xEF\xBB\xBF" + error)) << status;
  }
}

TEST(WhoseAnswer, EnvelopeMayLackTwoFieldsOfTheFourAndHaveOthers) {
  EXPECT_TRUE(IsProviders(400, R"({"object": "error", "id": "err_1", "data": {}})"));
  EXPECT_TRUE(IsProviders(400, R"({"data": "?", "more": 1, "timestamp": "x", "api_version": 2})"));
  EXPECT_FALSE(IsProviders(400, R"({"object": "error", "data": {"error": "No", "status": 400}})"));
  EXPECT_FALSE(IsProviders(400, R"({"object": "error", "object": "error", "data": {}})"));
  EXPECT_FALSE(IsProviders(400, R"({"id": "a", "timestamp": 1, "api_version": "b"})"));
  EXPECT_FALSE(IsProviders(400, R"({"id": "a", "timestamp": 1, "object": "b", "data": null})"));
}

// Or a refusal of the provider's would be a middleman's.
TEST(WhoseAnswer, OddCharactersInATextDoNotHideTheEnvelope) {
  for (const char* text : {R"(\ud800)", "Caf\xE9", "a\nb"}) {
    EXPECT_TRUE(IsProviders(
        400, Concat({R"({"id": "err_1", "object": "error", "data": {"error": ")", text, "\"}}"})))
        << text;
  }
}

TEST(WhoseAnswer, ErrorWithoutTheEnvelopeHasTheAnswersOwnStatusAndNothingElse) {
  EXPECT_TRUE(IsProviders(401, R"({"message": "Unauthorized", "status": 401})"));
  EXPECT_TRUE(IsProviders(
      403, R"({"status": 403, "message": "First agree", "agreement_url": "https://a.example"})"));
  EXPECT_FALSE(IsProviders(403, R"({"message": "Unauthorized", "status": 401})"));
  for (const int success : {200, 201, 299}) {
    EXPECT_FALSE(IsProviders(
        success, Concat({R"({"message": "Welcome", "status": )", std::to_string(success), "}"})));
  }
  EXPECT_TRUE(IsProviders(300, R"({"message": "Choose", "status": 300})"));
  EXPECT_FALSE(IsProviders(403, R"({"message": ["a"], "status": 403})"));
  EXPECT_FALSE(IsProviders(403, R"({"message": "a", "message": "b", "status": 403})"));
  // As frameworks have it that many gateways are made with.
  EXPECT_FALSE(IsProviders(403, R"({"timestamp": "2026-11-29T17:00:00Z", "status": 403,
                                    "error": "Forbidden", "message": "x", "path": "/numbers"})"));
}

TEST(WhoseAnswer, PagesOtherJsonAndNothingAreAMiddlemans) {
  for (const char* body :
       {"",
        " ",
        "<html><title>Log in</title></html>",
        "Too Many Requests",
        "error code: 1015",
        "null",
        "[]",
        "\"error\"",
        "{}",
        R"({"message": "Forbidden"})",
        R"({"message":"no Route matched with those values","request_id":"2f"})",
        R"({"success":false,"errors":[{"code":1015,"message":"x"}],"messages":[],"result":null})",
        R"({"type":"about:blank","title":"Forbidden","status":403,"detail":"policy"})",
        R"({"object":"list","data":[],"has_more":false})",
        R"({"status":"success","data":{}})",
        R"({"object":"error","message":"x","type":"y","code":403})",
        R"({"fault":{"faultstring":"Invalid ApiKey"}})",
        "\x1f\x8b\x08",
        "{",
        R"({"idle": 1)"}) {
    for (const int status : kStatuses) EXPECT_FALSE(IsProviders(status, body)) << status << body;
  }
}

TEST(WhoseAnswer, SuccessThatCameOutBrokenIsTheProvidersWhenItBeginsAsTheEnvelopeDoes) {
  for (const char* body : {R"({"id":"req_)", R"( {
      "timestamp" : 1785698220563, "data": [)",
                           "\xEF\xBB\xBF{\"data\":{]", "{\"id\":\"req_\x01\xff not JSON"}) {
    for (const int success : {200, 201, 299}) EXPECT_TRUE(IsProviders(success, body)) << body;
    EXPECT_FALSE(IsProviders(300, body)) << body;
    // A refusal that nobody can read is not believed.
    EXPECT_FALSE(IsProviders(400, body)) << body;
    EXPECT_FALSE(IsProviders(503, body)) << body;
  }
  const std::string cut = AvailableBody().substr(0, 500);
  EXPECT_TRUE(IsProviders(200, cut));
  EXPECT_FALSE(IsProviders(200, "page: " + cut));
}

TEST(WhoseAnswer, WhatWasReadOfASuccessSparesAnotherReading) {
  v1::ResponseMetadata read;
  EXPECT_FALSE(ShowsEnvelope(read));
  read.set_upstream_request_id("req_1");
  EXPECT_FALSE(ShowsEnvelope(read));
  read.set_upstream_api_version("v2026.10.1");
  EXPECT_TRUE(ShowsEnvelope(read));
  read.clear_upstream_request_id();
  EXPECT_FALSE(ShowsEnvelope(read));
  read.mutable_upstream_time();
  EXPECT_TRUE(ShowsEnvelope(read));
}

}  // namespace
}  // namespace leasegateway
