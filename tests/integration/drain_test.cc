// The end of a gateway as its callers' connections see it. The callers are frames of HTTP/2 written
// by hand, so that they can be as late as a caller far away is.
#include <gmock/gmock.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/endian/conversion.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/support/gateway_fixture.h"
#include "upstream/sandbox/certificates.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using namespace std::string_literals;

constexpr char kMethod[] = "/leasegateway.v1.LeaseService/ListLeases";
constexpr char kEmptyMessage[] = "\0\0\0\0";  // with the terminating 0: not compressed, 0 bytes

// RFC 9113, section 6.
enum FrameType : unsigned char {
  kData = 0,
  kHeaders = 1,
  kReset = 3,
  kSettings = 4,
  kPing = 6,
  kGoaway = 7,
};
constexpr unsigned char kAck = 1, kEndStream = 1, kEndHeaders = 4;

struct Frame {
  unsigned char type = 0;
  unsigned char flags = 0;
  std::uint32_t stream = 0;
  std::string payload;
};

// HTTP/2 over `Stream`, which confirms nothing unless it is told to.
template <class Stream>
class Http2Client {
 public:
  explicit Http2Client(Stream stream) : stream_(std::move(stream)) {
    asio::write(stream_, asio::buffer("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"s));
    Write(kSettings, 0, 0, "");
    EXPECT_TRUE(ReadUntil([](const Frame& frame) { return frame.type == kSettings; }));
    Write(kSettings, kAck, 0, "");
  }

  void Write(FrameType type, unsigned char flags, std::uint32_t stream,
             const std::string& payload) {
    std::array<unsigned char, 9> header;
    boost::endian::store_big_u24(header.data(), static_cast<std::uint32_t>(payload.size()));
    header[3] = type;
    header[4] = flags;
    boost::endian::store_big_u32(&header[5], stream);
    asio::write(stream_,
                std::array<asio::const_buffer, 2>{asio::buffer(header), asio::buffer(payload)});
  }

  // The first frame for which `wanted` holds; none: the connection ended before.
  template <class Wanted>
  std::optional<Frame> ReadUntil(Wanted wanted) {
    for (;;) {
      std::array<unsigned char, 9> header;
      boost::system::error_code ended;
      asio::read(stream_, asio::buffer(header), ended);
      if (ended) return std::nullopt;
      Frame frame{header[3], header[4], boost::endian::load_big_u32(&header[5]), ""};
      frame.payload.resize(boost::endian::load_big_u24(header.data()));
      asio::read(stream_, asio::buffer(frame.payload), ended);
      if (ended) return std::nullopt;
      if (frame.type == kPing) ping_ = frame.payload;
      if (wanted(frame)) return frame;
    }
  }

  void AnswerPing() {
    if (ping_.empty()) {
      EXPECT_TRUE(ReadUntil([](const Frame& frame) { return frame.type == kPing; }));
    }
    Write(kPing, kAck, 0, ping_);
  }

  // RFC 7541: fields of the static table, or literals that are not indexed, without Huffman code.
  void Call() {
    const auto text = [](const std::string& value) {
      return std::string(1, static_cast<char>(value.size())) + value;
    };
    const std::string post = "\x83", http = "\x86", authority = "\x01", path = "\x04",
                      other = "\0"s;
    Write(kHeaders, kEndHeaders, 1,
          absl::StrCat(post, http, path, text(kMethod), authority, text("gateway"), other,
                       text("content-type"), text("application/grpc"), other, text("te"),
                       text("trailers")));
    Write(kData, kEndStream, 1, std::string(kEmptyMessage, sizeof(kEmptyMessage)));
  }

  // Of the call: its trailing metadata, or the name of what came instead.
  std::string Trailer() {
    const auto end = ReadUntil([](const Frame& frame) {
      return frame.stream == 1 && (frame.type == kReset || (frame.flags & kEndStream) != 0);
    });
    if (!end) return "the end of the connection";
    return end->type == kReset ? "a reset of the stream" : end->payload;
  }

 private:
  Stream stream_;
  std::string ping_;  // what the latest one has
};

// Debian builds gRPC and OpenSSL without ThreadSanitizer.
constexpr bool kSeesTls = CONCURRENT_CALLS >= 1000;

class DrainTest : public GatewayTest {
 protected:
  tcp::socket Connect(boost::system::error_code& error) {
    tcp::socket socket(io_);
    socket.connect(
        {asio::ip::address_v4::loopback(), static_cast<asio::ip::port_type>(server_->port())},
        error);
    return socket;
  }
  tcp::socket Connect() {
    boost::system::error_code error;
    tcp::socket socket = Connect(error);
    EXPECT_FALSE(error) << error.message();
    return socket;
  }

  void StartWithTls() {
    const auto made = sandbox::MakeCertificate({.common_name = "gateway"});
    ASSERT_TRUE(made.ok()) << made.status();
    const std::string path = absl::StrCat(testing::TempDir(), "/drain-", getpid());
    std::ofstream(path + ".crt") << made->certificate;
    std::ofstream(path + ".key") << made->key;
    StartGateway([&path](Config& config) {
      config.grace = seconds(60);
      config.tls_cert_file = path + ".crt";
      config.tls_key_file = path + ".key";
    });
    std::filesystem::remove(path + ".crt");
    std::filesystem::remove(path + ".key");
    constexpr unsigned char kH2[] = {2, 'h', '2'};
    SSL_CTX_set_alpn_protos(tls_.native_handle(), kH2, sizeof(kH2));
  }

  // Its call is on its way when the GOAWAY is.
  template <class Stream>
  void CallAcrossTheGoaway(Http2Client<Stream> client) {
    std::thread drain([&] { server_->Drain(); });
    const auto is_goaway = [](const Frame& frame) { return frame.type == kGoaway; };
    EXPECT_TRUE(client.ReadUntil(is_goaway));
    client.Call();
    EXPECT_THAT(client.Trailer(), HasSubstr("grpc-status\x01"
                                            "0"));
    client.AnswerPing();
    // The gateway's last word is which call was the last that it has seen.
    const auto last = client.ReadUntil(is_goaway);
    EXPECT_EQ(last.value_or(Frame()).payload.substr(0, 4), "\0\0\0\1"s);
    EXPECT_FALSE(client.ReadUntil([](const Frame&) { return true; }));
    drain.join();
  }

  asio::io_context io_;
  asio::ssl::context tls_{asio::ssl::context::tls_client};
};

TEST_F(DrainTest, AnswersACallThatMetTheGoaway) {
  StartGateway([](Config& config) { config.grace = seconds(60); });
  CallAcrossTheGoaway(Http2Client(Connect()));
}

TEST_F(DrainTest, AnswersACallThatMetTheGoawayOverTls) {
  if (!kSeesTls) GTEST_SKIP() << "ThreadSanitizer does not see how gRPC hands TLS to a thread";
  StartWithTls();
  asio::ssl::stream<tcp::socket> stream(Connect(), tls_);
  stream.handshake(asio::ssl::stream_base::client);
  CallAcrossTheGoaway(Http2Client(std::move(stream)));
}

TEST_F(DrainTest, RefusesConnectionsWhileCallsInFlightEnd) {
  StartGateway([](Config& config) { config.grace = seconds(60); });
  const std::string number = FirstAvailable();
  Fault(R"({"route":"GET /{number}","count":1,"kind":"delay","delay_ms":1000,"when":"before"})");
  grpc::Status status;
  std::thread caller([&] { status = Get(number); });
  for (;;) {  // until the provider has it
    const auto left = sandbox_->Control("GET", "/_sandbox/faults", "");
    if (!left.ok() || left->find("delay") == std::string::npos) break;
  }
  Http2Client other(Connect());
  std::thread drain([&] { server_->Drain(); });
  EXPECT_TRUE(other.ReadUntil([](const Frame& frame) { return frame.type == kGoaway; }));
  boost::system::error_code error;
  Connect(error);
  EXPECT_EQ(error, asio::error::connection_refused);
  caller.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
  other.AnswerPing();
  drain.join();
}

TEST_F(DrainTest, DoesNotWaitForAHandshakeAsLongAsForCalls) {
  if (!kSeesTls) GTEST_SKIP() << "ThreadSanitizer does not see how gRPC hands TLS to a thread";
  StartWithTls();
  const std::unique_ptr<SSL, decltype(&SSL_free)> session(SSL_new(tls_.native_handle()), SSL_free);
  SSL_set_bio(session.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  EXPECT_LE(SSL_connect(session.get()), 0);
  char* hello = nullptr;
  const auto size = BIO_get_mem_data(SSL_get_wbio(session.get()), &hello);
  tcp::socket silent = Connect();
  asio::write(silent, asio::buffer(hello, static_cast<std::size_t>(size)));
  char answer = 0;
  asio::read(silent, asio::buffer(&answer, 1));
  const auto before = std::chrono::steady_clock::now();
  server_->Drain();
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(30));
}

TEST_F(DrainTest, EndsConnectionsThatIgnoreItAfterGrace) {
  StartGateway([](Config& config) { config.grace = milliseconds(200); });
  Http2Client client(Connect());
  const auto before = std::chrono::steady_clock::now();
  server_->Drain();
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(5));
  const auto goaway = client.ReadUntil([](const Frame& frame) { return frame.type == kGoaway; });
  EXPECT_TRUE(goaway);
  while (client.ReadUntil([](const Frame&) { return true; })) {
  }
}

}  // namespace
}  // namespace leasegateway
