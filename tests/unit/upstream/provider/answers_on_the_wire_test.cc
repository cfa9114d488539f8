// Raw bytes in, reply out: what becomes of answers that are framed in every way that HTTP/1 knows,
// or in none.

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/support/wire_fixture.h"

namespace leasegateway {
namespace {

const std::string kUnreachable(reason::kUpstreamUnreachable);
const std::string kMalformed(reason::kUpstreamMalformed);
const std::string kIntermediary(reason::kUpstreamIntermediary);

class AnswersOnTheWireTest : public WireFixture {
 protected:
  void TryLists(const std::vector<Row>& rows) {
    Try(operation::ListAvailableNumbers(), AvailableBody(), rows);
  }
  const std::string body_ = AvailableBody();
  const std::string length_ = std::to_string(body_.size());
  // Its length in a header's place.
  std::string Answered(const std::string& status_line, const std::string& fields) const {
    return status_line + "\r\n" + fields + "\r\n" + body_;
  }
  static std::string Chunk(std::string_view text, std::string_view extension = "") {
    char size[32];
    std::snprintf(size, sizeof(size), "%zX", text.size());
    return Concat({size, extension, "\r\n", text, "\r\n"});
  }
};

// RFC 9112, 6 and 9.
TEST_F(AnswersOnTheWireTest, LengthAndEnd) {
  const std::string with_length = "content-length: " + length_ + "\r\n";
  TryLists({
      {"HTTP/1.1", Answered("HTTP/1.1 200 OK", with_length), "read, kept"},
      {"and says that it ends", Answered("HTTP/1.1 200 OK", with_length + "connection: close\r\n"),
       "read", "", End::kCloseNotify},
      {"the same without close_notify",
       Answered("HTTP/1.1 200 OK", with_length + "connection: close\r\n"), "read", "", End::kFin},
      {"HTTP/1.0", Answered("HTTP/1.0 200 OK", with_length), "read", "", End::kCloseNotify},
      {"HTTP/1.0 that is kept",
       Answered("HTTP/1.0 200 OK", with_length + "connection: keep-alive\r\n"), "read, kept"},
      {"HTTP/1.0 without a length", Answered("HTTP/1.0 200 OK", ""), "read", "", End::kCloseNotify},
      {"HTTP/1.1 without a length", Answered("HTTP/1.1 200 OK", ""), "read", "", End::kCloseNotify},
      {"whose end may be a middleman's", Answered("HTTP/1.1 200 OK", ""), kUnreachable,
       "stream truncated", End::kFin},
      {"whose end is a reset", Answered("HTTP/1.1 200 OK", ""), kUnreachable, "", End::kReset},
      {"shorter than its length",
       Answered("HTTP/1.1 200 OK", "content-length: " + std::to_string(body_.size() + 1) + "\r\n"),
       kUnreachable, "", End::kCloseNotify},
      {"two lengths that agree", Answered("HTTP/1.1 200 OK", with_length + with_length),
       "read, kept"},
      {"a list of lengths that agree",
       Answered("HTTP/1.1 200 OK", "content-length: " + length_ + ", " + length_ + "\r\n"),
       "read, kept"},
      {"two lengths that differ",
       Answered("HTTP/1.1 200 OK", with_length + "content-length: 5\r\n"), kMalformed,
       "multiple Content-Length"},
      {"a length that is no number", Answered("HTTP/1.1 200 OK", "content-length: ten\r\n"),
       kMalformed, "bad Content-Length"},
      {"a length below zero", Answered("HTTP/1.1 200 OK", "content-length: -1\r\n"), kMalformed,
       "bad Content-Length"},
      {"nothing", "", kUnreachable, "", End::kCloseNotify},
      {"half a header", "HTTP/1.1 200 OK\r\nconte", kUnreachable, "", End::kCloseNotify},
  });
}

TEST_F(AnswersOnTheWireTest, Chunks) {
  const std::string chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
  const std::string head = body_.substr(0, 20);
  const std::string tail = body_.substr(20);
  TryLists({
      {"one after the other", chunked + Chunk(head) + Chunk(tail) + "0\r\n\r\n", "read, kept"},
      {"with extensions and trailers",
       chunked + Chunk(head, ";name=value") + Chunk(tail, ";a;b=\"c;d\"") +
           "0;last\r\nx-checksum: 12\r\nx-more: a\r\n\r\n",
       "read, kept"},
      {"zeros before the size", chunked + "00" + Chunk(body_) + "0\r\n\r\n", "read, kept"},
      {"in another case",
       "HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n" + Chunk(body_) + "0\r\n\r\n",
       "read, kept"},
      {"without the last", chunked + Chunk(body_), kUnreachable, "", End::kCloseNotify},
      {"a size that is none", chunked + "zz\r\n" + body_ + "\r\n0\r\n\r\n", kMalformed,
       "bad chunk"},
      {"shorter than its size", chunked + "5\r\nabc\r\n0\r\n\r\n", kMalformed, ""},
      {"and a length after that",
       "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: " + length_ + "\r\n\r\n" +
           Chunk(body_) + "0\r\n\r\n",
       kMalformed, "bad Content-Length"},
      {"and a length before that",
       "HTTP/1.1 200 OK\r\ncontent-length: " + length_ + "\r\ntransfer-encoding: chunked\r\n\r\n" +
           Chunk(body_) + "0\r\n\r\n",
       kMalformed, "bad Transfer-Encoding"},
  });
}

TEST_F(AnswersOnTheWireTest, Headers) {
  const std::string with_length = "content-length: " + length_ + "\r\n";
  TryLists({
      {"no reason phrase", Answered("HTTP/1.1 200 ", with_length), "read, kept"},
      {"folded", Answered("HTTP/1.1 200 OK", "x-note: one\r\n  two\r\n\tthree\r\n" + with_length),
       "read, kept"},
      {"no content type", Answered("HTTP/1.1 200 OK", with_length), "read, kept"},
      {"charset in another case",
       Answered("HTTP/1.1 200 OK",
                "Content-Type: Application/JSON; Charset=\"UTF-8\"\r\n" + with_length),
       "read, kept"},
      {"bytes that are not ASCII", Answered("HTTP/1.1 200 OK", "x-note: caf\xe9\r\n" + with_length),
       "read, kept"},
      {"space before a colon", Answered("HTTP/1.1 200 OK", "x-note : a\r\n" + with_length),
       kMalformed, "bad field"},
      {"zero byte", Answered("HTTP/1.1 200 OK", std::string("x-note: \0\r\n", 11) + with_length),
       kMalformed, "bad value"},
      {"line feeds alone", "HTTP/1.1 200 OK\ncontent-length: " + length_ + "\n\n" + body_,
       kMalformed, ""},
      {"HTTP/2", Answered("HTTP/2 200", with_length), kMalformed, "bad version"},
      {"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", kMalformed, "bad version"},
      {"status of two digits", Answered("HTTP/1.1 20 OK", with_length), kMalformed, "bad status"},
  });
}

std::string OfSize(std::size_t size, const std::string& body) {
  std::string answer = GoodAnswer(body);
  const std::string before = "HTTP/1.1 200 OK\r\n";
  const std::size_t header = answer.size() - body.size();
  // Many fields, as those of a middleman that adds cookies are.
  std::string fields;
  for (std::size_t left = size - header; left > 0;) {
    const std::size_t line = left < 2'000 ? left : 1'000;
    fields += "x-a: " + std::string(line - 7, 'a') + "\r\n";
    left -= line;
  }
  return answer.insert(before.size(), fields);
}

TEST_F(AnswersOnTheWireTest, HeaderMayBeAsLargeAsConfigured) {
  const std::string too_large = "its header is larger than max_header_bytes, ";
  https_.max_header_bytes = 8 << 10;
  TryLists({{"8 KiB", OfSize(8 << 10, body_), "read, kept"},
            {"a little more", OfSize((8 << 10) + 100, body_), kMalformed, too_large + "8192"}});
  https_ = HttpsOptions();
  TryLists({{"16 KiB", OfSize(16 << 10, body_), "read, kept"},
            {"a little more", OfSize((16 << 10) + 100, body_), kMalformed, too_large + "16384"},
            {"one that does not end", "HTTP/1.1 200 OK\r\nx-a: " + std::string(1 << 20, 'a'),
             kMalformed, too_large + "16384"}});
  https_.max_header_bytes = 64 << 10;
  TryLists({{"64 KiB", OfSize(64 << 10, body_), "read, kept"},
            {"a little more", OfSize((64 << 10) + 100, body_), kMalformed, too_large + "65536"}});
}

TEST_F(AnswersOnTheWireTest, WhatNobodyAskedFor) {
  const std::string good = GoodAnswer(body_);
  TryLists({
      {"interim answers before it",
       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + good,
       "read, kept"},
      {"a switch of protocols", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
       kIntermediary, "101"},
      {"bytes behind it", good + "\r\n", "read"},
      {"another answer behind it", good + good, "read"},
      {"no content", "HTTP/1.1 204 No Content\r\n\r\n", kIntermediary + ", kept", "no body"},
      {"a length of nothing", GoodAnswer(""), kIntermediary + ", kept", "no body"},
      {"a part", HttpAnswer("206 Partial Content", "content-range: bytes 0-9/100\r\n", body_),
       kMalformed + ", kept", "206, a part of it"},
      {"a part of something else",
       HttpAnswer("206 Partial Content", "content-range: bytes 0-9/100\r\n", "<html>"),
       kIntermediary + ", kept", "the answer 206"},
      {"no change", "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n", kIntermediary + ", kept",
       "the answer 304"},
      {"no change, with a length",
       "HTTP/1.1 304 Not Modified\r\ncontent-length: " + length_ + "\r\n\r\n",
       kIntermediary + ", kept", "the answer 304"},
  });
}

// A redirect would take the key elsewhere.
TEST_F(AnswersOnTheWireTest, RedirectIsNotFollowed) {
  for (const std::string status : {"300", "301", "302", "303", "307", "308"}) {
    SCOPED_TRACE(status);
    WireConnection connection;
    connection.answers = {HttpAnswer(status + " Elsewhere", "location: /numbers/leased\r\n", ""),
                          GoodAnswer(body_)};
    Start({connection});
    EXPECT_FALSE(Ask(operation::ListAvailableNumbers()).ok());
    EXPECT_EQ(server_->requests().size(), 1u);
    EXPECT_TRUE(Ask(operation::ListAvailableNumbers()).ok());
    EXPECT_EQ(server_->connections(), 1);
  }
}

TEST_F(AnswersOnTheWireTest, Text) {
  std::string wide = "\xff\xfe";
  for (const char c : body_) {
    wide += c;
    wide += '\0';
  }
  TryLists({
      {"byte order mark", GoodAnswer("\xef\xbb\xbf" + body_), "read, kept"},
      {"two of them", GoodAnswer("\xef\xbb\xbf\xef\xbb\xbf" + body_), kIntermediary + ", kept",
       "the answer 200"},
      {"UTF-16", HttpAnswer("200 OK", "content-type: application/json; charset=utf-16\r\n", wide),
       kIntermediary + ", kept", "content type: application/json; charset=utf-16"},
  });
  https_.max_body_bytes = 10'000;
  const std::string spaces(10'000 - body_.size(), ' ');
  TryLists({
      {"as large as it may be", GoodAnswer(body_ + spaces), "read, kept"},
      {"a byte more", GoodAnswer(body_ + spaces + " "), kMalformed,
       "its body is larger than max_body_bytes, 10000"},
      {"a byte more, in chunks",
       "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + Chunk(body_ + spaces) +
           Chunk(" ") + "0\r\n\r\n",
       kMalformed, "its body is larger than max_body_bytes, 10000"},
  });
}

class TlsOnTheWireTest : public AnswersOnTheWireTest {
 protected:
  // Two connections, for a call each.
  absl::Status TryTwo(WireConnection first, WireConnection second) {
    for (WireConnection* const connection : {&first, &second}) {
      connection->answers = {HttpAnswer("200 OK", "connection: close\r\n", body_)};
      connection->end = End::kCloseNotify;
    }
    Start({std::move(first), std::move(second)});
    const absl::Status status = Ask(operation::ListAvailableNumbers()).status();
    EXPECT_TRUE(status.ok()) << status;
    const absl::Status next = Ask(operation::ListAvailableNumbers()).status();
    EXPECT_EQ(server_->connections(), next.ok() ? 2 : 1);
    return next;
  }
};

TEST_F(TlsOnTheWireTest, VersionsAndNoApplicationProtocol) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    WireConnection connection;
    connection.set_up = [version](SSL_CTX* context) {
      SSL_CTX_set_min_proto_version(context, version);
      SSL_CTX_set_max_proto_version(context, version);
    };
    EXPECT_TRUE(TryTwo(connection, connection).ok()) << version;
  }
  // Which may change from one connection to the next.
  WireConnection older;
  older.set_up = [](SSL_CTX* context) { SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION); };
  EXPECT_TRUE(TryTwo({}, older).ok());
  EXPECT_TRUE(TryTwo(older, {}).ok());
}

TEST_F(TlsOnTheWireTest, TicketsMayBeRefusedOrMissing) {
  // Each connection of the server has keys of its own, so it knows no ticket of the one before.
  EXPECT_TRUE(TryTwo({}, {}).ok());
  WireConnection without;
  without.set_up = [](SSL_CTX* context) {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
  };
  EXPECT_TRUE(TryTwo(without, {}).ok());
  EXPECT_TRUE(TryTwo({}, without).ok());
}

TEST_F(TlsOnTheWireTest, CertificateMayChangeToAnotherGoodOne) {
  WireConnection changed;
  changed.identity = authority().WithIntermediate(true);
  EXPECT_TRUE(TryTwo({}, changed).ok());
  changed.identity = authority().OfUnknownRoot();
  const absl::Status refused = TryTwo({}, changed);
  EXPECT_EQ(ReasonOf(refused), reason::kUpstreamTls) << refused;
  changed.identity = authority().ForAnotherHost();
  EXPECT_EQ(ReasonOf(TryTwo({}, changed)), reason::kUpstreamTls);
}

}  // namespace
}  // namespace leasegateway
