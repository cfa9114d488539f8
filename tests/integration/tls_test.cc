// TLS on both sides of the gateway: what is refused and with which words, certificates that change
// while calls run, and who a caller is. The peers are OpenSSL itself, gRPC's client and leasectl.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <sstream>
#include <thread>
#include <utility>

#include "service/process/library_logs.h"
#include "service/process/logging.h"
#include "tests/support/gateway_fixture.h"
#include "tests/support/tls_channel.h"
#include "tests/support/tls_peers.h"

namespace leasegateway {
namespace {

using sandbox::CertificateAndKey;
using testing::HasSubstr;

void LimitWaits(int handle) {
  const timeval limit{5, 0};
  setsockopt(handle, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  setsockopt(handle, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

// What is logged, by gRPC as well. To be made before the gateway starts, and to end after it.
class CapturedLog {
 public:
  CapturedLog() {
    auto logger = std::make_shared<spdlog::logger>("test", sink_);
    logger->set_level(spdlog::level::debug);
    spdlog::set_default_logger(std::move(logger));
    LogForLibraries();
  }
  ~CapturedLog() { spdlog::set_default_logger(before_); }

  std::string Text() const {
    std::string text;
    for (const std::string& line : sink_->last_formatted()) text += line;
    return text;
  }
  // False: it isn't there after 10 s.
  bool WaitFor(const std::string& text) const {
    for (int i = 0; i < 1000; ++i) {
      if (Text().find(text) != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

 private:
  const std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
  const std::shared_ptr<spdlog::sinks::ringbuffer_sink_mt> sink_ =
      std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(10'000);
};

class TlsTest : public GatewayTest {
 protected:
  TlsTest() {
    ::signal(SIGPIPE, SIG_IGN);  // of OpenSSL, which writes to sockets that are closed
    std::string pattern = testing::TempDir() + "tls_testXXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~TlsTest() override { std::filesystem::remove_all(folder_); }

  // Written as a whole: nobody reads half of it.
  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path + ".new") << content;
    std::filesystem::rename(path + ".new", path);
    return path;
  }

  void StartTlsGateway(const CertificateAndKey& identity, bool mutual) {
    StartGateway([&](Config& config) {
      config.tls_cert_file = Write("cert.pem", identity.certificate);
      config.tls_key_file = Write("key.pem", identity.key);
      if (mutual) config.tls_client_ca_file = Write("client-ca.pem", callers_.root.certificate);
      config.file_refresh = std::chrono::milliseconds(100);
    });
  }

  // A channel of its own connection to the gateway.
  std::shared_ptr<grpc::Channel> Channel(const CertificateAndKey* identity, int port) {
    return TlsChannel(port, gateways_.root.certificate, identity);
  }

  grpc::Status Call(const std::shared_ptr<grpc::Channel>& channel) {
    v1::ListAvailableNumbersResponse response;
    return v1::LeaseService::NewStub(channel)->ListAvailableNumbers(Context(5000).get(), {},
                                                                    &response);
  }

  // What a client that is OpenSSL alone gets: "" when the server greets, or its alert. `serial` is
  // that of the server's certificate.
  std::string Greet(int port, const CertificateAndKey* identity, bool only_tls11 = false,
                    std::string* serial = nullptr) {
    const TlsContext context(SSL_CTX_new(TLS_client_method()));
    if (identity != nullptr) Use(context.get(), *identity);
    if (only_tls11) OnlyTls11(context.get());
    static constexpr unsigned char kHttp2[] = {2, 'h', '2'};
    SSL_CTX_set_alpn_protos(context.get(), kHttp2, sizeof(kHttp2));
    const int handle = socket(AF_INET, SOCK_STREAM, 0);
    LimitWaits(handle);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(handle, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const TlsSession session(SSL_new(context.get()));
    SSL_set_fd(session.get(), handle);
    ERR_clear_error();
    char byte = 0;
    const bool greeted = SSL_connect(session.get()) == 1 && SSL_read(session.get(), &byte, 1) == 1;
    const char* const reason = ERR_reason_error_string(ERR_peek_error());
    if (serial != nullptr) {
      X509* certificate = SSL_get1_peer_certificate(session.get());
      BIGNUM* number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr);
      char* const text = BN_bn2hex(number);
      *serial = text;
      OPENSSL_free(text);
      BN_free(number);
      X509_free(certificate);
    }
    close(handle);
    return greeted ? "" : reason != nullptr ? reason : "closed";
  }

  // What leasectl says; its exit status in `status`.
  std::string Leasectl(int port, const std::string& arguments, int& status) {
    const std::string ca = Write("gateway-ca.pem", gateways_.root.certificate);
    const std::string command = BINARY_DIR "/leasectl --target localhost:" + std::to_string(port) +
                                " --timeout 5s --tls --ca-file " + ca + " " + arguments +
                                " available 2>&1";
    std::FILE* const pipe = popen(command.c_str(), "r");
    std::string text;
    char buffer[1024];
    while (const std::size_t size = fread(buffer, 1, sizeof(buffer), pipe))
      text.append(buffer, size);
    const int ended = pclose(pipe);
    status = WIFEXITED(ended) ? WEXITSTATUS(ended) : -1;
    return text;
  }

  std::string CallerFlags(const CertificateAndKey& identity) {
    return "--cert-file " + Write("caller.pem", identity.certificate) + " --key-file " +
           Write("caller-key.pem", identity.key);
  }

  std::string folder_;
  const Authority gateways_{"serverAuth", {"localhost", "127.0.0.1"}};
  const Authority callers_{"clientAuth", {"billing.example"}};
};

TEST_F(TlsTest, CallersWithoutAGoodCertificateAreRefused) {
  const CapturedLog log;
  StartTlsGateway(gateways_.WithIntermediate(true), true);
  const int port = server_->port();
  const auto good = callers_.WithIntermediate(true);
  EXPECT_EQ(Greet(port, &good), "");
  EXPECT_TRUE(Call(Channel(&good, port)).ok());
  int status = 0;
  EXPECT_THAT(Leasectl(port, CallerFlags(good), status), HasSubstr("100 numbers"));
  EXPECT_EQ(status, 0);

  const struct {
    const char* what;
    std::optional<CertificateAndKey> identity;
    const char* said;  // by leasectl
    const char* logged = "certificate verify failed";
  } cases[] = {
      {"none", std::nullopt, "the gateway wants a client certificate",
       "peer did not return a certificate"},
      {"expired", callers_.Expired(), "it has expired"},
      {"not yet valid", callers_.NotYetValid(), "it is not yet valid"},
      {"self-signed", callers_.SelfSigned(), "it is self-signed; the gateway trusts CN=root"},
      {"unknown root", callers_.OfUnknownRoot(),
       "it was signed by CN=unknown root; the gateway trusts CN=root"},
      {"missing intermediate", callers_.WithIntermediate(false),
       "it was signed by CN=intermediate; the gateway trusts CN=root"},
      {"of a server", Make({.common_name = "server"}, &callers_.root), "its extended key usage"},
  };
  for (const auto& [what, identity, said, logged] : cases) {
    SCOPED_TRACE(what);
    const auto* const shown = identity ? &*identity : nullptr;
    EXPECT_NE(Greet(port, shown), "");
    EXPECT_THAT(log.Text(), HasSubstr(logged));  // which is written once a minute
    EXPECT_EQ(Call(Channel(shown, port)).error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_THAT(Leasectl(port, identity ? CallerFlags(*identity) : "", status), HasSubstr(said));
    EXPECT_EQ(status, 6);
  }
  EXPECT_NE(Greet(port, &good, true), "");
  EXPECT_THAT(log.Text(), HasSubstr("unsupported protocol"));
  EXPECT_TRUE(Call(Channel(&good, port)).ok());
  server_.reset();
}

TEST_F(TlsTest, CallersRefuseABadGateway) {
  StartTlsGateway(gateways_.Good(), false);
  EXPECT_TRUE(Call(Channel(nullptr, server_->port())).ok());
  int status = 0;
  EXPECT_THAT(Leasectl(server_->port(), "", status), HasSubstr("100 numbers"));
  EXPECT_THAT(Leasectl(server_->port(), "--server-name other.example", status),
              HasSubstr("it is not for other.example"));
  EXPECT_EQ(status, 6);
  // Without --tls.
  const auto plain = grpc::CreateChannel(target_, grpc::InsecureChannelCredentials());
  EXPECT_EQ(Call(plain).error_code(), grpc::StatusCode::UNAVAILABLE);

  const struct {
    const char* what;
    CertificateAndKey identity;
    const char* said;
    bool only_tls11 = false;
  } cases[] = {
      {"expired", gateways_.Expired(), "certificate has expired"},
      {"not yet valid", gateways_.NotYetValid(), "certificate is not yet valid"},
      {"another host", gateways_.ForAnotherHost(), "it is not for localhost"},
      {"self-signed", gateways_.SelfSigned(), "self-signed certificate"},
      {"unknown root", gateways_.OfUnknownRoot(), "self-signed certificate in certificate chain"},
      {"missing intermediate", gateways_.WithIntermediate(false),
       "unable to get local issuer certificate"},
      {"TLS 1.1", gateways_.Good(), "no TLS version from 1.2 on", true},
  };
  for (const auto& [what, identity, said, only_tls11] : cases) {
    SCOPED_TRACE(what);
    const TlsServer server({.identity = identity, .only_tls11 = only_tls11});
    EXPECT_EQ(Call(Channel(nullptr, server.port())).error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_THAT(Leasectl(server.port(), "", status), HasSubstr(said));
    EXPECT_EQ(status, 6);
    // gRPC looks at the name only after the handshake.
    if (std::string(what) != "another host") {
      EXPECT_EQ(server.handshakes(), 0);
    }
  }
  // The server of this test itself is one that is trusted.
  const TlsServer server({.identity = gateways_.Good()});
  Call(Channel(nullptr, server.port()));
  EXPECT_GT(server.handshakes(), 0);
}

TEST_F(TlsTest, GatewayRefusesABadProvider) {
  const struct {
    const char* what;
    CertificateAndKey identity;
    const char* said;
    bool only_tls11 = false;
    bool wants_certificate = false;
  } cases[] = {
      {"expired", gateways_.Expired(), "certificate has expired"},
      {"not yet valid", gateways_.NotYetValid(), "certificate is not yet valid"},
      {"another host", gateways_.ForAnotherHost(), "hostname mismatch"},
      {"self-signed", gateways_.SelfSigned(), "self-signed certificate"},
      {"unknown root", gateways_.OfUnknownRoot(), "self-signed certificate in certificate chain"},
      {"missing intermediate", gateways_.WithIntermediate(false),
       "unable to get local issuer certificate"},
      {"TLS 1.1", gateways_.Good(), "protocol version", true},
      {"no client certificate", gateways_.Good(), "certificate required", false, true},
  };
  for (const auto& [what, identity, said, only_tls11, wants_certificate] : cases) {
    SCOPED_TRACE(what);
    const TlsServer provider({.identity = identity,
                              .client_ca = wants_certificate ? callers_.root.certificate : "",
                              .only_tls11 = only_tls11});
    StartGateway([&](Config& config) {
      config.upstream_url = "https://localhost:" + std::to_string(provider.port()) + "/numbers";
      config.upstream_ca_file = Write("provider-ca.pem", gateways_.root.certificate);
      config.retry_attempts = 1;
    });
    const auto status = Get("+13059478667");
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
    EXPECT_EQ(Explain(status).reason, "UPSTREAM_TLS") << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(said));
    EXPECT_EQ(provider.handshakes(), 0);
    server_.reset();
  }
  const TlsServer provider({.identity = gateways_.Good()});
  StartGateway([&](Config& config) {
    config.upstream_url = "https://localhost:" + std::to_string(provider.port()) + "/numbers";
    config.upstream_ca_file = Write("provider-ca.pem", gateways_.root.certificate);
    config.retry_attempts = 1;
  });
  EXPECT_EQ(Explain(Get("+13059478667")).reason, "UPSTREAM_UNREACHABLE");
  EXPECT_GT(provider.handshakes(), 0);
}

TEST_F(TlsTest, CertificatesChangeUnderRunningCalls) {
  const CapturedLog log;
  const auto caller = callers_.Good();
  StartTlsGateway(gateways_.Good(), true);
  const int port = server_->port();
  std::string first, second, third;
  EXPECT_EQ(Greet(port, &caller, false, &first), "");

  std::atomic<bool> done{false};
  std::atomic<int> calls{0}, handshakes{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      auto channel = Channel(&caller, port);
      while (!done) {
        const auto status = Call(channel);
        EXPECT_TRUE(status.ok()) << status.error_message();
        ++calls;
        if (i % 2 == 0) continue;
        channel = Channel(&caller, port);
        ++handshakes;
      }
    });
  }
  const auto next = gateways_.Good();
  // The key alone first, as a careless script would: the old pair stays until both fit.
  Write("key.pem", next.key);
  EXPECT_TRUE(log.WaitFor("is not the key of the certificate"));
  Write("cert.pem", next.certificate);
  EXPECT_TRUE(log.WaitFor("the TLS files have changed"));
  EXPECT_TRUE(log.WaitFor("within 1 day"));  // of a certificate that lives for one
  EXPECT_EQ(Greet(port, &caller, false, &second), "");
  EXPECT_NE(first, second);

  // What can't be served is not.
  const auto expired = gateways_.Expired();
  Write("key.pem", expired.key);
  Write("cert.pem", expired.certificate);
  EXPECT_TRUE(log.WaitFor("expired on "));
  EXPECT_EQ(Greet(port, &caller, false, &third), "");
  EXPECT_EQ(second, third);
  const int so_far = calls;
  for (int i = 0; i < 1000 && (calls < so_far + 20 || handshakes < 10); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  done = true;
  for (auto& thread : threads) thread.join();
  EXPECT_GE(calls, so_far + 20);
  EXPECT_GE(handshakes, 10);

  // Whom to trust changes as well.
  const Authority others("clientAuth", {"other.example"});
  const auto other = others.Good();
  EXPECT_THAT(Greet(port, &other), testing::Ne(""));
  const auto last = gateways_.Good();
  Write("key.pem", last.key);
  Write("client-ca.pem", others.root.certificate);
  Write("cert.pem", last.certificate);
  std::string refused = "not asked";
  for (int i = 0; i < 1000 && refused != ""; ++i) {
    refused = Greet(port, &other);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(refused, "");
  EXPECT_THAT(Greet(port, &caller), testing::Ne(""));
  server_.reset();
}

TEST_F(TlsTest, JournalAndAccessLogHaveTheCallersIdentity) {
  std::ostringstream log;
  InitLoggingTo(log, "info", "text");
  StartTlsGateway(gateways_.Good(), true);
  const struct {
    CertificateAndKey identity;
    std::string caller;
  } cases[] = {
      {callers_.Named("ignored", {"billing.example", "spiffe://example.org/ns/shop/sa/billing"}),
       "spiffe://example.org/ns/shop/sa/billing"},
      {callers_.Named("ignored", {"billing.example", "second.example"}), "billing.example"},
      {callers_.Named("billing service", {}), "billing service"},
      {callers_.Named("b\xc3\xbcro", {}), "b\\xc3\\xbcro"},
  };
  int index = 0;
  for (const auto& [identity, caller] : cases) {
    const auto stub = v1::LeaseService::NewStub(Channel(&identity, server_->port()));
    v1::ListAvailableNumbersResponse available;
    ASSERT_TRUE(stub->ListAvailableNumbers(Context().get(), {}, &available).ok());
    v1::CreateLeaseRequest request;
    request.set_phone_number(available.numbers(0).phone_number());
    request.set_request_id(std::string(kRequestId).substr(0, 35) + std::to_string(index++));
    v1::CreateLeaseResponse response;
    const auto status = stub->CreateLease(Context().get(), request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    v1::GetOperationRequest get;
    get.set_request_id(request.request_id());
    v1::GetOperationResponse operation;
    ASSERT_TRUE(stub->GetOperation(Context().get(), get, &operation).ok());
    EXPECT_EQ(operation.operation().caller(), caller);
  }
  server_.reset();
  ShutdownLogging();
  EXPECT_THAT(log.str(), HasSubstr("caller=spiffe://example.org/ns/shop/sa/billing"));
  EXPECT_THAT(log.str(), HasSubstr("caller=\"billing service\""));
}

TEST_F(TlsTest, UnusableFilesStopTheStart) {
  Config config;
  config.listen = "127.0.0.1:0";
  config.sandbox = true;
  const auto good = gateways_.Good();
  const auto expired = gateways_.Expired();
  config.tls_cert_file = Write("cert.pem", expired.certificate);
  config.tls_key_file = Write("key.pem", expired.key);
  auto server = Server::Start(config);
  ASSERT_FALSE(server.ok());
  EXPECT_THAT(std::string(server.status().message()),
              testing::StartsWith("tls_cert_file: \"" + config.tls_cert_file +
                                  "\": certificate 1 (CN=leaf, serial "));
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("expired on 20"));
  Write("cert.pem", good.certificate);
  server = Server::Start(config);
  ASSERT_FALSE(server.ok());
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("tls_key_file: \""));
  config.tls_cert_file = config.tls_key_file = "";
  config.listen = "0.0.0.0:0";
  server = Server::Start(config);
  ASSERT_FALSE(server.ok());
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("listen: \"0.0.0.0:0\""));
}

}  // namespace
}  // namespace leasegateway
