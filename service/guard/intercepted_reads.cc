#include "service/guard/intercepted_reads.h"

#include <dlfcn.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <atomic>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace leasegateway {
namespace {

using Connection = std::shared_ptr<GuardedConnection>;

// A descriptor's. Who reads counts itself in `readers` before it looks at `connection`; who takes
// that away waits until nobody is counted.
struct alignas(64) Slot {
  std::atomic<const Connection*> connection{nullptr};  // owned
  std::atomic<int> readers{0};
};

// Pages of it that no descriptor has reached take no memory.
Slot slots[kMaxDescriptors];
// Of whoever changes what is registered: gateways of one process come upon the same descriptors,
// and what one looks at may else be another's to delete.
std::mutex slots_mutex;

void Replace(Slot& slot, const Connection* by) {
  const Connection* const old = slot.connection.exchange(by);
  if (old == nullptr) return;
  while (slot.readers != 0) std::this_thread::yield();
  delete old;
}

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

template <typename Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

void Intercept(int descriptor, Connection connection) {
  if (connection->tls()) guards_tls = true;
  const std::lock_guard lock(slots_mutex);
  Replace(slots[descriptor], new Connection(std::move(connection)));
}

void StopIntercepting(int descriptor, const Connection& connection) {
  {
    const std::lock_guard lock(slots_mutex);
    Slot& slot = slots[descriptor];
    const Connection* const registered = slot.connection;
    if (registered != nullptr && *registered == connection) Replace(slot, nullptr);
  }
  if (const auto random = connection->tls() ? connection->random() : std::nullopt) {
    AllHellos().Forget(*random, connection);
  }
}

}  // namespace leasegateway

extern "C" ssize_t recvmsg(int descriptor, msghdr* message, int flags) {
  using leasegateway::Connection;
  static auto* const next = leasegateway::Next<ssize_t(int, msghdr*, int)>("recvmsg");
  const ssize_t received = next(descriptor, message, flags);
  if (received <= 0 || descriptor >= leasegateway::kMaxDescriptors) return received;
  leasegateway::Slot& slot = leasegateway::slots[descriptor];
  if (slot.connection.load(std::memory_order_relaxed) == nullptr) return received;
  ++slot.readers;
  bool goes_on = true;
  if (const Connection* const connection = slot.connection) {
    const bool greeted = (*connection)->greeted();
    goes_on =
        (*connection)->OnWire(descriptor, message->msg_iov, static_cast<std::size_t>(received));
    if (!greeted && (*connection)->greeted()) {
      if (const auto random = (*connection)->random()) {
        leasegateway::AllHellos().Add(*random, *connection);
      }
    }
  }
  --slot.readers;
  return goes_on ? received : 0;
}

extern "C" int SSL_do_handshake(SSL* ssl) {
  static auto* const next = leasegateway::Next<int(SSL*)>("SSL_do_handshake");
  leasegateway::ConnectionOf(ssl);
  return next(ssl);
}

extern "C" int SSL_read(SSL* ssl, void* buffer, int size) {
  static auto* const next = leasegateway::Next<int(SSL*, void*, int)>("SSL_read");
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

extern "C" ssize_t sendmsg(int descriptor, const msghdr* message, int flags) {
  static auto* const next = leasegateway::Next<ssize_t(int, const msghdr*, int)>("sendmsg");
  if (descriptor < 0 || descriptor >= leasegateway::kMaxDescriptors) {
    return next(descriptor, message, flags);
  }
  leasegateway::Slot& slot = leasegateway::slots[descriptor];
  if (slot.connection.load(std::memory_order_relaxed) == nullptr) {
    return next(descriptor, message, flags);
  }
  leasegateway::Connection connection;  // held no longer than needed, as others' sends may block
  ++slot.readers;
  if (const auto* const registered = slot.connection.load()) connection = *registered;
  --slot.readers;
  if (connection != nullptr) connection->BeforeSend(message->msg_iov, message->msg_iovlen);
  const ssize_t sent = next(descriptor, message, flags);
  if (connection != nullptr) connection->AfterSend(sent);
  return sent;
}

extern "C" int SSL_write(SSL* ssl, const void* buffer, int size) {
  static auto* const next = leasegateway::Next<int(SSL*, const void*, int)>("SSL_write");
  const leasegateway::Connection& connection = leasegateway::ConnectionOf(ssl);
  const int written = next(ssl, buffer, size);
  if (written > 0 && connection != nullptr) {
    connection->OnSentPlain({static_cast<const char*>(buffer), static_cast<std::size_t>(written)});
  }
  return written;
}
