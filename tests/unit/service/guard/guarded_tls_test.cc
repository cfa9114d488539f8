#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "service/guard/connection_guard.h"
#include "tests/support/guard_fixture.h"
#include "tests/support/tls_peers.h"

namespace leasegateway {
namespace {

// What OpenSSL would have sent.
std::string Pending(SSL* ssl) {
  std::string bytes(BIO_ctrl_pending(SSL_get_wbio(ssl)), '\0');
  BIO_read(SSL_get_wbio(ssl), bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

bool SendAll(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

// In place of gRPC: reads a descriptor by recvmsg into a BIO, and by SSL_read out of it.
class Decrypting {
 public:
  // That takes these groups and chooses this protocol.
  explicit Decrypting(int descriptor, const char* groups = "X25519:P-256",
                      std::string protocol = "\2h2")
      : descriptor_(descriptor),
        protocol_(std::move(protocol)),
        context_(SSL_CTX_new(TLS_server_method())) {
    const Authority authority("serverAuth", {"127.0.0.1"});
    const auto made = authority.Good();
    BIO* pem = BIO_new_mem_buf(made.certificate.data(), static_cast<int>(made.certificate.size()));
    X509* certificate = PEM_read_bio_X509(pem, nullptr, nullptr, nullptr);
    SSL_CTX_use_certificate(context_.get(), certificate);
    X509_free(certificate);
    BIO_free(pem);
    pem = BIO_new_mem_buf(made.key.data(), static_cast<int>(made.key.size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(pem, nullptr, nullptr, nullptr);
    SSL_CTX_use_PrivateKey(context_.get(), key);
    EVP_PKEY_free(key);
    BIO_free(pem);
    SSL_CTX_set_alpn_select_cb(context_.get(), Choose, &protocol_);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set1_groups_list(ssl_.get(), groups);
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(ssl_.get());
  }

  // Until the end, or `enough` bytes of text.
  void Read(std::size_t enough) {
    while (text_.size() < enough && !failed_ && Take()) Decrypt();
  }
  // What has come, still encrypted.
  bool Take() {
    std::string wire;
    if (Receive(descriptor_, wire) <= 0) return false;
    BIO_write(SSL_get_rbio(ssl_.get()), wire.data(), static_cast<int>(wire.size()));
    return true;
  }
  void Decrypt() {
    char buffer[4096];
    int size = SSL_is_init_finished(ssl_.get()) ? 1 : SSL_do_handshake(ssl_.get());
    while (size > 0 && (size = SSL_read(ssl_.get(), buffer, sizeof(buffer))) > 0) {
      text_.append(buffer, static_cast<std::size_t>(size));
    }
    failed_ = SSL_get_error(ssl_.get(), size) != SSL_ERROR_WANT_READ;
    SendAll(descriptor_, Pending(ssl_.get()));
  }
  void Write(const std::string& text) {
    SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size()));
    SendAll(descriptor_, Pending(ssl_.get()));
  }

  const std::string& text() const { return text_; }
  bool failed() const { return failed_; }
  bool greeted() const { return SSL_is_init_finished(ssl_.get()) == 1; }

 private:
  static int Choose(SSL* /*ssl*/, const unsigned char** chosen, unsigned char* size,
                    const unsigned char* /*offered*/, unsigned /*offered_size*/, void* protocol) {
    const auto& name = *static_cast<const std::string*>(protocol);
    *chosen = reinterpret_cast<const unsigned char*>(name.data()) + 1;
    *size = static_cast<unsigned char>(name.size() - 1);
    return SSL_TLSEXT_ERR_OK;
  }

  const int descriptor_;
  std::string protocol_;
  TlsContext context_;
  TlsSession ssl_;
  std::string text_;
  bool failed_ = false;
};

// A caller whose flights of the handshake may be altered on the way.
class Encrypting {
 public:
  using Alter = std::function<std::string(int flight, std::string bytes)>;

  explicit Encrypting(int descriptor, Alter alter = {}, const std::string& protocol = "\2h2")
      : descriptor_(descriptor),
        alter_(std::move(alter)),
        context_(SSL_CTX_new(TLS_client_method())),
        ssl_(SSL_new(context_.get())) {
    SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(protocol.data()),
                        static_cast<unsigned>(protocol.size()));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_.get());
  }

  // As long as the other side takes it.
  void Send(const std::string& text) {
    if (!Connect()) return;
    for (std::size_t sent = 0; sent < text.size();) {
      const std::size_t some = std::min<std::size_t>(text.size() - sent, 16'000);
      SSL_write(ssl_.get(), text.data() + sent, static_cast<int>(some));
      if (!Flush()) return;
      sent += some;
    }
  }

 private:
  bool Flush() {
    std::string bytes = Pending(ssl_.get());
    if (alter_ && !bytes.empty()) bytes = alter_(flight_++, std::move(bytes));
    return SendAll(descriptor_, bytes);
  }
  // Finished goes with the first text.
  bool Connect() {
    for (;;) {
      const int result = SSL_do_handshake(ssl_.get());
      if (result == 1) return true;
      if (SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ || !Flush()) return false;
      char buffer[4096];
      const ssize_t got = recv(descriptor_, buffer, sizeof(buffer), 0);
      if (got <= 0) return false;
      BIO_write(SSL_get_rbio(ssl_.get()), buffer, static_cast<int>(got));
    }
  }

  const int descriptor_;
  const Alter alter_;
  int flight_ = 0;
  TlsContext context_;
  TlsSession ssl_;
};

class GuardedTlsTest : public ConnectionGuardTest {
 protected:
  void ListenForTls() {
    ConnectionGuard::Options options;
    options.tls = true;
    Listen(options);
  }

  static void SendInTls(int descriptor, const std::string& text,
                        const Encrypting::Alter& alter = {}) {
    Encrypting(descriptor, alter).Send(text);
  }
  // Whether what such a caller sends is judged, and the server has little of it.
  void ExpectCut(const Encrypting::Alter& alter, const char* groups) {
    ListenForTls();
    const int peer = Dial();
    Decrypting server(Handed(), groups);
    const std::string text = Preface() + Pings(20'000);
    std::thread client([&] { SendInTls(peer, text, alter); });
    server.Read(text.size());
    EXPECT_TRUE(server.greeted());
    EXPECT_TRUE(server.failed());
    EXPECT_GT(server.text().size(), 0);
    EXPECT_LT(server.text().size(), text.size() / 2);
    EXPECT_TRUE(
        Eventually([this] { return guard_->stats().cut[IndexOf(CutReason::kIdleFrames)] == 1; }));
    shutdown(peer, SHUT_RDWR);
    client.join();
  }
};

constexpr char kShared[] = "X25519:P-256";
constexpr char kNotTheFirst[] = "P-256";  // which asks for another ClientHello

TEST_F(GuardedTlsTest, TextGoesThrough) {
  ListenForTls();
  const int peer = Dial();
  Decrypting server(Handed());
  const std::string text = Preface() + Pings(10);
  std::thread client([&] { SendInTls(peer, text); });
  server.Read(text.size());
  client.join();
  EXPECT_EQ(server.text(), text);
  EXPECT_EQ(guard_->stats().cut[IndexOf(CutReason::kIdleFrames)], 0);
}

TEST_F(GuardedTlsTest, OffenceInTlsEndsTheConnectionBeforeItIsRead) { ExpectCut({}, kShared); }

// A record may be of one byte (RFC 8446, 5.1).
TEST_F(GuardedTlsTest, ClientHelloInManyRecordsIsFound) {
  const auto split = [](int flight, std::string bytes) {
    if (flight > 0) return bytes;
    std::string records;
    for (std::size_t at = 5; at < bytes.size(); at += 16) {
      const std::string piece = bytes.substr(at, 16);
      records += bytes.substr(0, 4) + static_cast<char>(piece.size()) + piece;
    }
    return records;
  };
  ExpectCut(split, kShared);
}

TEST_F(GuardedTlsTest, HelloRetryRequestLosesNobody) { ExpectCut({}, kNotTheFirst); }

// The second ClientHello is not the one that was registered.
TEST_F(GuardedTlsTest, SecondClientHelloTakesNoOthersConnection) {
  ListenForTls();
  std::string random;
  const int victim = Dial();
  Decrypting victims(Handed());
  const std::string text = Preface() + Pings(20'000);
  std::thread client([&] {
    SendInTls(victim, text, [&](int flight, std::string bytes) {
      if (flight == 0) random = bytes.substr(11, 32);
      return bytes;
    });
  });
  ASSERT_TRUE(victims.Take());
  const int thief = Dial();
  Decrypting thiefs(Handed(), kNotTheFirst);
  bool has_named_it = false;
  std::thread other([&] {
    SendInTls(thief, text, [&](int flight, std::string bytes) {
      const std::size_t hello = bytes.find("\x16\x03\x03");
      if (flight != 1 || hello == std::string::npos) return bytes;
      has_named_it = true;
      return bytes.replace(hello + 11, 32, random);
    });
  });
  thiefs.Read(text.size());
  EXPECT_TRUE(thiefs.failed());
  shutdown(thief, SHUT_RDWR);
  other.join();
  EXPECT_TRUE(has_named_it);
  victims.Decrypt();
  victims.Read(text.size());
  EXPECT_GT(victims.text().size(), 0);
  EXPECT_TRUE(
      Eventually([this] { return guard_->stats().cut[IndexOf(CutReason::kIdleFrames)] == 1; }));
  shutdown(victim, SHUT_RDWR);
  client.join();
}

// As OpenSSL takes an alert before it.
TEST_F(GuardedTlsTest, WhoseClientHelloIsNotFoundIsNotRead) {
  ListenForTls();
  const int peer = Dial();
  Decrypting server(Handed());
  const auto after_alert = [](int flight, std::string bytes) {
    return (flight == 0 ? std::string("\x15\x03\x03\x00\x02\x01\x5a", 7) : "") + bytes;
  };
  std::thread client([&] { SendInTls(peer, Preface(), after_alert); });
  server.Read(Preface().size());
  EXPECT_TRUE(server.greeted());
  EXPECT_TRUE(server.failed());
  EXPECT_EQ(server.text(), "");
  shutdown(peer, SHUT_RDWR);
  client.join();
}

// Finished, the preface and the acknowledgement come in one segment. What the handshake sent are no
// SETTINGS.
TEST_F(GuardedTlsTest, AcknowledgementBeforeTheServersFirstTextIsCut) {
  ListenForTls();
  const int early = Dial();
  Decrypting server(Handed());
  const std::string text = Preface() + Acknowledgement();
  std::thread client([&] { SendInTls(early, text); });
  server.Read(text.size());
  client.join();
  EXPECT_TRUE(server.failed());
  EXPECT_TRUE(
      Eventually([this] { return guard_->stats().cut[IndexOf(CutReason::kUnacknowledged)] == 1; }));
}

TEST_F(GuardedTlsTest, AcknowledgementOfTheServersSettingsIsRight) {
  ListenForTls();
  const int peer = Dial();
  Decrypting server(Handed());
  Encrypting client(peer);
  std::thread connecting([&] { client.Send(Preface()); });
  server.Read(Preface().size());
  connecting.join();
  server.Write(Settings());
  client.Send(Acknowledgement());
  server.Read(Preface().size() + 9);
  EXPECT_EQ(server.text(), Preface() + Acknowledgement());
}

// The sandbox's, in the gateway's process.
TEST_F(GuardedTlsTest, ServersOfHttp11AreReadOn) {
  ListenForTls();
  Dial();
  ASSERT_GE(Handed(), 0) << "there is TLS to guard";
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  Decrypting server(pair[0], kShared, "\10http/1.1");
  std::thread client([&] { Encrypting(pair[1], {}, "\10http/1.1").Send("GET / HTTP/1.1"); });
  server.Read(14);
  client.join();
  EXPECT_EQ(server.text(), "GET / HTTP/1.1");
  close(pair[0]);
  close(pair[1]);
}

TEST_F(GuardedTlsTest, BytesThatAreNeverDecryptedEndTheConnection) {
  ListenForTls();
  const int peer = Dial();
  const int handed = Handed();
  std::thread client([&] {
    const std::string junk(1 << 20, '\x17');
    for (int i = 0; i < 20; ++i) send(peer, junk.data(), junk.size(), MSG_NOSIGNAL);
  });
  std::string got;
  std::size_t all = 0;
  ssize_t last = 0;
  while ((last = Receive(handed, got)) > 0) all += static_cast<std::size_t>(last);
  EXPECT_EQ(last, 0);
  EXPECT_LT(all, std::size_t{9} << 20);
  EXPECT_TRUE(
      Eventually([this] { return guard_->stats().cut[IndexOf(CutReason::kEmptyRecords)] == 1; }));
  client.join();
}

// Else only one of the two would be seen.
TEST_F(GuardedTlsTest, ClientHelloOfAnotherConnectionIsCut) {
  ListenForTls();
  const std::string hello = std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) +
                            std::string(32, 'r') + std::string(100, '\0');
  std::string got;
  const int first = Dial();
  const int first_handed = Handed();
  send(first, hello.data(), hello.size(), MSG_NOSIGNAL);
  EXPECT_GT(Receive(first_handed, got), 0);
  const int second = Dial();
  const int second_handed = Handed();
  send(second, hello.data(), hello.size(), MSG_NOSIGNAL);
  Receive(second_handed, got);
  EXPECT_TRUE(
      Eventually([this] { return guard_->stats().cut[IndexOf(CutReason::kEmptyRecords)] == 1; }));
  EXPECT_EQ(guard_->stats().connections, 1);
}

}  // namespace
}  // namespace leasegateway
