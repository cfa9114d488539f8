// How an answer may be encoded: raw bytes in, reply out.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/gzip.h"
#include "tests/support/wire_fixture.h"

namespace leasegateway {
namespace {

const std::string kBroken(reason::kUpstreamMalformed);

class AnswersInGzipTest : public WireFixture {
 protected:
  void TryLists(const std::vector<Row>& rows) {
    Try(operation::ListAvailableNumbers(), AvailableBody(), rows);
  }
  static std::string Encoded(const std::string& encoding, const std::string& bytes) {
    return HttpAnswer("200 OK", "content-encoding: " + encoding + "\r\n", bytes);
  }
  static std::string RequestedEncoding(const std::string& request) {
    const std::size_t at = request.find("Accept-Encoding: ");
    return at == std::string::npos ? "" : request.substr(at + 17, request.find('\r', at) - at - 17);
  }
  const std::string body_ = AvailableBody();
  const std::string gzip_ = Gzip(body_);
};

TEST_F(AnswersInGzipTest, ListsMayComeInIt) {
  const std::string half = Gzip(body_.substr(0, 100));
  const std::string rest = Gzip(body_.substr(100));
  std::string chunked =
      "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n";
  for (const char c : gzip_) chunked += Concat({"1\r\n", {&c, 1}, "\r\n"});
  TryLists({
      {"gzip", Encoded("gzip", gzip_), "read, kept"},
      {"by its old name", Encoded("x-gzip", gzip_), "read, kept"},
      {"in another case", Encoded("GZip", gzip_), "read, kept"},
      {"and identity", Encoded("identity, gzip ,", gzip_), "read, kept"},
      {"a byte a chunk", chunked + "0\r\n\r\n", "read, kept"},
      {"until the connection's end", "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip_,
       "read", "", End::kCloseNotify},
      {"of two members", Encoded("gzip", half + rest), "read, kept"},
      {"identity", Encoded("identity", body_), "read, kept"},
      {"nothing", Encoded("", body_), "read, kept"},
      {"an empty list",
       HttpAnswer("404 Not Found", "content-encoding: gzip\r\n",
                  Gzip(R"({"id": "err_1", "object": "error",)"
                       R"( "data": {"error": "none", "status": 404}})")),
       "read, kept"},
  });
  EXPECT_EQ(RequestedEncoding(server_->requests().front()), "gzip");
}

TEST_F(AnswersInGzipTest, WhatIsNotWholeIsNotTaken) {
  std::string bad_checksum = gzip_;
  bad_checksum[gzip_.size() - 8] ^= 1;
  std::string bad_length = gzip_;
  bad_length[gzip_.size() - 1] ^= 1;
  TryLists({
      {"cut off", Encoded("gzip", gzip_.substr(0, gzip_.size() / 2)), kBroken, "gzip is cut off"},
      {"cut off in its trailer", Encoded("gzip", gzip_.substr(0, gzip_.size() - 1)), kBroken,
       "gzip is cut off"},
      {"cut off by the connection's end",
       "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip_.substr(0, gzip_.size() - 9),
       kBroken, "gzip is cut off", End::kCloseNotify},
      {"checksum", Encoded("gzip", bad_checksum), kBroken, "incorrect data check"},
      {"length", Encoded("gzip", bad_length), kBroken, "incorrect length check"},
      {"something behind it", Encoded("gzip", gzip_ + "\n"), kBroken, "something behind its gzip"},
      {"none at all", Encoded("gzip", body_), kBroken, "its gzip is broken: incorrect header"},
      {"no bytes", Encoded("gzip", ""), std::string(reason::kUpstreamIntermediary) + ", kept",
       "no body"},
  });
}

TEST_F(AnswersInGzipTest, OtherEncodingsAreNamed) {
  const std::string says = "its content-encoding, which was not asked for, is ";
  TryLists({
      {"br", Encoded("br", "\x1b\x05"), kBroken, says + "br"},
      {"deflate", Encoded("deflate", gzip_), kBroken, says + "deflate"},
      {"twice", Encoded("gzip, gzip", Gzip(gzip_)), kBroken, says + "gzip, gzip"},
      {"twice, in two fields",
       HttpAnswer("200 OK", "content-encoding: zstd\r\ncontent-encoding: gzip\r\n", gzip_), kBroken,
       says + "zstd, gzip"},
      {"a long one", Encoded(std::string(1'000, 'a'), gzip_), kBroken, says + std::string(64, 'a')},
  });
  const Row gzip{"gzip", Encoded("gzip", Gzip(NumberBody())), kBroken, says + "gzip"};
  Try(operation::GetNumber("+13059478667"), NumberBody(), {gzip});
  EXPECT_EQ(RequestedEncoding(server_->requests().front()), "identity");
}

// Nobody asked for it, and what can't be read shows nothing of the provider's.
TEST_F(AnswersInGzipTest, FailureInAnotherEncodingIsAMiddlemans) {
  const std::string intermediary = std::string(reason::kUpstreamIntermediary) + ", kept";
  const std::string says = " is not the provider's but of something in between ";
  const std::string which = "its content-encoding, which was not asked for, is ";
  TryLists({{"503", HttpAnswer("503 Busy", "content-encoding: br\r\n", "\x1b\x05"), intermediary,
             "503 to GET /leases" + says + "(" + which + "br)"}});
  const std::string own = Gzip(R"({"message":"no","status":401})");
  const std::string refusal = HttpAnswer("401 No", "content-encoding: gzip\r\n", own);
  TryLists({{"asked for", refusal, std::string(reason::kUpstreamCredentialsRejected) + ", kept"}});
  Try(operation::GetNumber("+13059478667"), NumberBody(),
      {{"not asked for", refusal, intermediary, which + "gzip"},
       {"and cut off",
        "HTTP/1.1 401 No\r\ncontent-encoding: gzip\r\ncontent-length: 99\r\n\r\n" + own,
        std::string(reason::kUpstreamUnreachable), "reading the answer", End::kCloseNotify}});
}

// What can't be read is no refusal: it is looked after.
TEST_F(AnswersInGzipTest, FailureInAnotherEncodingIsNoRefusalOfAWrite) {
  WireConnection connection;
  connection.answers = {
      HttpAnswer("400 No", "content-encoding: gzip\r\n", Gzip(R"({"message":"no","status":400})"))};
  Start({connection});
  const auto lease = Ask(operation::CreateLease("+13059478667", v1::BILLING_METHOD_UNSPECIFIED));
  EXPECT_EQ(lease.status().code(), absl::StatusCode::kAborted) << lease.status();
  EXPECT_EQ(ReasonOf(lease.status()), reason::kOutcomeUnknown);
  EXPECT_EQ(MetadataOf(lease.status())[std::string(kFromProviderKey)], "false");
}

TEST_F(AnswersInGzipTest, BombEndsAtTheLimit) {
  https_.max_body_bytes = 1 << 20;
  const std::string spaces((1 << 20) - body_.size(), ' ');
  const std::string says = "its body is larger than max_body_bytes, 1048576";
  TryLists({
      {"as large as it may be", Encoded("gzip", Gzip(body_ + spaces)), "read, kept"},
      {"a byte more", Encoded("gzip", Gzip(body_ + spaces + " ")), kBroken, says},
      {"much more", Encoded("gzip", Gzip(body_ + std::string(64 << 20, ' '))), kBroken, says},
  });
}

}  // namespace
}  // namespace leasegateway
