#include "service/admin/admin_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "service/process/logging.h"
#include "tests/support/admin_fixture.h"

namespace leasegateway {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kSmuggled[] = "GET /config HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

class AdminRequestTest : public AdminServerTest {
 protected:
  // All answers to these bytes.
  std::string Sent(const std::string& bytes) {
    HttpClient client(admin_->port());
    client.Send(bytes);
    return client.ReadAll();
  }
  // To this and a request after it; the connection must end without an answer to that.
  void ExpectRefused(const std::string& request, const std::string& status = "400") {
    const std::string answers = Sent(request + kSmuggled);
    EXPECT_THAT(answers, StartsWith("HTTP/1.1 " + status + " ")) << request;
    EXPECT_EQ(answers.find("HTTP/1.", 1), std::string::npos) << request << answers;
    EXPECT_THAT(answers, HasSubstr("Connection: close\r\n")) << request;
  }
  static std::string Put(const std::string& fields, const std::string& body = "0\r\n\r\n") {
    return "PUT /loglevel HTTP/1.1\r\nhost: x\r\n" + fields + "\r\n\r\n" + body;
  }
};

TEST_F(AdminRequestTest, ALengthBesideTransferEncodingIsRefused) {
  ExpectRefused(Put("content-length: 5\r\ntransfer-encoding: chunked"));
  ExpectRefused(Put("transfer-encoding: chunked\r\ncontent-length: 5"));
  ExpectRefused(Put("content-length: 5\r\ntransfer-encoding: identity"));
  ExpectRefused(Put("transfer-encoding: gzip\r\ncontent-length: 5"));
}

TEST_F(AdminRequestTest, AnyTransferEncodingThatIsNotExactlyChunkedIsRefused) {
  for (const char* value :
       {"gzip", "identity", "gzip, chunked", "chunked, gzip", "chunked, chunked", "chunked;q=1",
        "xchunked", "\"chunked\"", "", "chunked\r\ntransfer-encoding: chunked",
        "gzip\r\ntransfer-encoding: chunked", "identity\r\ntransfer-encoding: chunked",
        "gzip,\r\n chunked",
        "\x0b"
        "chunked"}) {
    ExpectRefused(Put(std::string("transfer-encoding: ") + value));
  }
  ExpectRefused(Put("transfer-encoding : chunked"));
  ExpectRefused("PUT /loglevel HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
}

TEST_F(AdminRequestTest, MoreThanOneLengthIsRefusedThoughTheyAgree) {
  for (const char* value : {"5\r\ncontent-length: 5", "5\r\ncontent-length: 6", "5, 5", "5,", "+5",
                            "-1", "5 5", "0x5", "", "18446744073709551621"}) {
    ExpectRefused(Put(std::string("content-length: ") + value));
  }
}

TEST_F(AdminRequestTest, BadChunksAreRefused) {
  for (const char* body : {"zz\r\n", "0x1\r\na\r\n0\r\n\r\n", "-1\r\n", "1\r\nab\r\n0\r\n\r\n",
                           "1\na\r\n0\r\n\r\n", "\r\n", "1;\x01\r\na\r\n0\r\n\r\n"}) {
    ExpectRefused(Put("transfer-encoding: chunked", body));
  }
  ExpectRefused(Put("transfer-encoding: chunked", "fffffffffffffffff\r\n"));
  ExpectRefused(Put("transfer-encoding: chunked", "500\r\n"), "413");
  ExpectRefused(Put("transfer-encoding: chunked", "0\r\ncontent-length: 5\r\n\r\n"));
}

TEST_F(AdminRequestTest, LineEndingsAndHostsAreHeldToTheRules) {
  ExpectRefused("GET / HTTP/1.1\r\nhost: x\nx: y\r\n\r\n");
  ExpectRefused("GET / HTTP/1.1\nhost: x\r\n\r\n");
  ExpectRefused("GET / HTTP/1.1\r\nhost: x\rx: y\r\n\r\n");
  ExpectRefused("GET / HTTP/1.1\r\nx: y\r\n\r\n");
  ExpectRefused("GET / HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n");
  ExpectRefused("GET / HTTP/1.1\r\n host: x\r\n\r\n");
  ExpectRefused("GET / HTTP/2.0\r\nhost: x\r\n\r\n");
  EXPECT_EQ(Lost(AdminLoss::kBadRequest), 7U);
}

TEST_F(AdminRequestTest, WhatIsRightIsTaken) {
  EXPECT_THAT(Sent("GET /readyz HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.0 200 "));
  // A folded line is a space to the parser.
  EXPECT_THAT(Sent("GET /readyz HTTP/1.1\r\nhost: x\r\nx: y\r\n z\r\nconnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 200 "));
  const std::string level = LogLevel();
  const std::string body = "3\r\nlev\r\n4;a=b\r\nel=w\r\n3\r\narn\r\n0\r\nx: y\r\n\r\n";
  const std::string answers =
      Sent(Put("Transfer-Encoding: Chunked", body) + Put("content-length: 3", "abc") + kSmuggled);
  EXPECT_THAT(answers, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(answers, HasSubstr("warn\n"));
  EXPECT_THAT(answers, HasSubstr("HTTP/1.1 400 "));    // abc is no level
  EXPECT_THAT(answers, HasSubstr("listen: \"x\"\n"));  // and the connection goes on
  EXPECT_EQ(Lost(AdminLoss::kBadRequest), 0U);
  SetLogLevel(level);
}

TEST_F(AdminRequestTest, WhoExpectsContinueIsToldSoAndNothingElseMayBeExpected) {
  HttpClient client(admin_->port());
  client.Send(Put("content-length: 10\r\nexpect: 100-Continue\r\nconnection: close", ""));
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("level=info");
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 200 "));
  // One that sent the body all the same needs no telling.
  EXPECT_THAT(
      Sent(Put("content-length: 10\r\nexpect: 100-continue\r\nconnection: close", "level=info")),
      StartsWith("HTTP/1.1 200 "));
  ExpectRefused(Put("content-length: 10\r\nexpect: 200-ok", "level=info"), "417");
  ExpectRefused(Put("content-length: 5000\r\nexpect: 100-continue", ""), "413");
}

TEST_F(AdminRequestTest, TheAnswerToHeadHasNoBodyThatTheNextWouldFollow) {
  const std::string head = "HTTP/1.1\r\nhost: x\r\n";
  std::string answers;
  for (const char* target : {"HEAD /metrics ", "HEAD /nothing "}) {
    answers = Sent(target + head + "\r\n" + kSmuggled);
    const auto end = answers.find("\r\n\r\n");
    ASSERT_NE(end, std::string::npos);
    EXPECT_THAT(answers.substr(end + 4), StartsWith("HTTP/1.1 200 ")) << target;
  }
  answers = Sent("HEAD / " + head + "transfer-encoding: gzip\r\n\r\n");
  EXPECT_THAT(answers, StartsWith("HTTP/1.1 400 "));
  EXPECT_TRUE(answers.ends_with("\r\n\r\n")) << answers;
}

}  // namespace
}  // namespace leasegateway
