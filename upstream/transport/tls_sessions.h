#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_TLS_SESSIONS_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_TLS_SESSIONS_H_

#include <openssl/ssl.h>

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace leasegateway {

// TLS sessions that servers let a client go on with, so that a handshake needs no certificate (RFC
// 8446, 2.2; RFC 5077). They belong to the context, which says whom to trust, and to the name that
// the certificate was verified for: a resumed handshake checks neither again. Nothing outlives the
// process. Thread-safe; never waits.
class TlsSessions {
 public:
  using TimePoint = std::chrono::system_clock::time_point;
  struct FreeTlsSession {
    void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
  };
  using Session = std::unique_ptr<SSL_SESSION, FreeTlsSession>;
  struct Entry {
    Session session;
    TimePoint verified;  // when the certificate was that the session goes back to
  };

  // From then on a certificate is sent and verified anew, whatever sessions the server still takes:
  // sessions beget sessions, without end (RFC 8446, 4.6.1).
  static constexpr std::chrono::hours kVerifyInterval{1};
  // Sessions of TLS 1.3 kept for a name: a server gives some with each connection.
  static constexpr std::size_t kSessionsPerName = 64;

  // Connections of `context`, a client's that is set up otherwise, keep their sessions in a store
  // that lives as long as it does.
  static void Enable(SSL_CTX* context);
  // Right before the handshake of a connection whose name to verify is set: goes on with a session,
  // if there is one. Does nothing unless its context was enabled.
  static void Resume(SSL* ssl);
  // After a handshake that failed: no other one shall fail for the sake of a session.
  static void Forget(SSL* ssl);

  // The store of a context that was enabled; null: it was not.
  static TlsSessions* Of(SSL_CTX* context);
  // `name` is what certificates were verified for.
  void Add(const std::string& name, Entry entry);
  // The newest that may still be used. One of TLS 1.3 is given out once (RFC 8446, appendix C.4),
  // so that connections can't be told to be of one client by it; one of TLS 1.2 time and again.
  std::optional<Entry> Take(const std::string& name, TimePoint now);
  void Clear(const std::string& name);

 private:
  std::mutex mutex_;
  std::map<std::string, std::deque<Entry>> sessions_;  // newest last
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_TLS_SESSIONS_H_
