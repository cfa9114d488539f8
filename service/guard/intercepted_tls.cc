#include "service/guard/intercepted_tls.h"

#include <openssl/ssl.h>

#include <atomic>
#include <cstddef>
#include <mutex>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "service/guard/client_hello.h"
#include "service/guard/next_function.h"

namespace leasegateway {
namespace {

using Connection = std::shared_ptr<GuardedConnection>;

// Since a connection of TLS was registered, what a server decrypts is judged or not had.
std::atomic<bool> guards_tls{false};

// TLS connections whose ClientHello has come and that OpenSSL's object is not yet known of.
class Hellos {
 public:
  // Another connection with the same random is cut: none has it by chance, and only one of them
  // would be found.
  void Add(const GuardedConnection::Random& random, const Connection& connection) {
    const std::lock_guard lock(mutex_);
    if (!connections_.emplace(random, connection).second) {
      connection->Cut(CutReason::kEmptyRecords);
    }
  }
  // Of a connection that ends before its handshake has.
  void Forget(const GuardedConnection::Random& random, const Connection& connection) {
    const std::lock_guard lock(mutex_);
    const auto found = connections_.find(random);
    if (found != connections_.end() && found->second.lock() == connection)
      connections_.erase(found);
  }
  Connection Take(const GuardedConnection::Random& random) {
    const std::lock_guard lock(mutex_);
    const auto found = connections_.find(random);
    if (found == connections_.end()) return nullptr;
    Connection connection = found->second.lock();
    connections_.erase(found);
    return connection;
  }

 private:
  std::mutex mutex_;
  absl::flat_hash_map<GuardedConnection::Random, std::weak_ptr<GuardedConnection>> connections_;
};

Hellos& AllHellos() {
  static auto* const hellos = new Hellos;
  return *hellos;
}

// An SSL's own data: a Connection*, which may hold null; freed with the SSL.
int ConnectionIndex() {
  static const int index = SSL_get_ex_new_index(
      0, nullptr, nullptr, nullptr,
      [](void*, void* data, CRYPTO_EX_DATA*, int, long, void*) {  // NOLINT(runtime/int): OpenSSL's
        delete static_cast<Connection*>(data);
      });
  return index;
}

// The first message of a handshake is the same that was read off the wire. A second ClientHello,
// after a HelloRetryRequest, may name another connection's random.
void OnMessage(int is_sent, int /*version*/, int type, const void* bytes, std::size_t size,
               SSL* ssl, void* /*argument*/) {
  if (is_sent != 0 || type != SSL3_RT_HANDSHAKE) return;
  SSL_set_msg_callback(ssl, nullptr);
  const auto random = ClientHello::RandomOf({static_cast<const char*>(bytes), size});
  auto* const connection = static_cast<Connection*>(SSL_get_ex_data(ssl, ConnectionIndex()));
  if (random && SSL_is_server(ssl) == 1) *connection = AllHellos().Take(*random);
}

// Null: none was found. To be asked before OpenSSL reads, so that it is found in the handshake.
const Connection& ConnectionOf(SSL* ssl) {
  const int index = ConnectionIndex();
  auto* found = static_cast<Connection*>(SSL_get_ex_data(ssl, index));
  if (found == nullptr) {
    found = new Connection;
    SSL_set_ex_data(ssl, index, found);
    SSL_set_msg_callback(ssl, OnMessage);
  }
  return *found;
}

// Whether an SSL without a connection is none of gRPC's, which takes no caller without ALPN's h2
// (or its own grpc-exp). The sandbox's servers speak what they have always spoken.
bool IsForeign(const SSL* ssl) {
  if (SSL_is_server(ssl) == 0 || !guards_tls.load(std::memory_order_relaxed)) return true;
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl, &name, &size);
  return size == 0 || std::string_view(reinterpret_cast<const char*>(name), size) == "http/1.1";
}

}  // namespace

void GuardTls() { guards_tls = true; }

void AddHello(const GuardedConnection::Random& random, const Connection& connection) {
  AllHellos().Add(random, connection);
}

void ForgetHello(const GuardedConnection::Random& random, const Connection& connection) {
  AllHellos().Forget(random, connection);
}

}  // namespace leasegateway

extern "C" int SSL_do_handshake(SSL* ssl) {
  static auto* const next = leasegateway::NextFunction<int(SSL*)>("SSL_do_handshake");
  leasegateway::ConnectionOf(ssl);
  return next(ssl);
}

extern "C" int SSL_read(SSL* ssl, void* buffer, int size) {
  static auto* const next = leasegateway::NextFunction<int(SSL*, void*, int)>("SSL_read");
  const leasegateway::Connection& connection = leasegateway::ConnectionOf(ssl);
  const int read = next(ssl, buffer, size);
  if (read <= 0) return read;
  if (connection == nullptr ? leasegateway::IsForeign(ssl)
                            : connection->OnPlain({static_cast<const char*>(buffer),
                                                   static_cast<std::size_t>(read)})) {
    return read;
  }
  return -1;  // which OpenSSL takes for an error that it knows nothing of
}

extern "C" int SSL_write(SSL* ssl, const void* buffer, int size) {
  static auto* const next = leasegateway::NextFunction<int(SSL*, const void*, int)>("SSL_write");
  const leasegateway::Connection& connection = leasegateway::ConnectionOf(ssl);
  const int written = next(ssl, buffer, size);
  if (written > 0 && connection != nullptr) {
    connection->OnSentPlain({static_cast<const char*>(buffer), static_cast<std::size_t>(written)});
  }
  return written;
}
