#include "upstream/transport/tls_sessions.h"

#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <ctime>
#include <utility>

namespace leasegateway {
namespace {

using SystemClock = std::chrono::system_clock;

void FreeStore(void*, void* store, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<TlsSessions*>(store);
}

// Of a context: its store.
int StoreIndex() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, FreeStore);
  return index;
}

// Of a connection that resumes: when the certificate was verified, in seconds.
int VerifiedIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// What its certificate is verified for; empty: nothing, then no session of it is kept.
std::string VerifiedName(SSL* ssl) {
  if ((SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) == 0) return "";
  X509_VERIFY_PARAM* const rules = SSL_get0_param(ssl);
  if (const char* const host = X509_VERIFY_PARAM_get0_host(rules, 0)) return host;
  char* const address = X509_VERIFY_PARAM_get1_ip_asc(rules);
  if (address == nullptr) return "";
  std::string name = address;
  OPENSSL_free(address);
  return name;
}

std::intptr_t ToSeconds(SystemClock::time_point time) {
  return static_cast<std::intptr_t>(SystemClock::to_time_t(time));
}

// OpenSSL's callback: 1 keeps the reference.
int KeepSession(SSL* ssl, SSL_SESSION* session) {
  TlsSessions* const store = TlsSessions::Of(SSL_get_SSL_CTX(ssl));
  const std::string name = VerifiedName(ssl);
  if (store == nullptr || name.empty() || SSL_get_verify_result(ssl) != X509_V_OK) return 0;
  auto verified = SystemClock::now();
  if (SSL_session_reused(ssl)) {
    verified = SystemClock::from_time_t(static_cast<std::time_t>(
        reinterpret_cast<std::intptr_t>(SSL_get_ex_data(ssl, VerifiedIndex()))));
  }
  store->Add(name, {TlsSessions::Session(session), verified});
  return 1;
}

bool IsTls13(const SSL_SESSION* session) {
  return SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION;
}

// When it was made. From OpenSSL 3.3 on by the function that goes beyond 2038; the one before is
// deprecated there.
std::time_t TimeOf(const SSL_SESSION* session) {
#if OPENSSL_VERSION_NUMBER >= 0x30300000L
  return SSL_SESSION_get_time_ex(session);
#else
  return SSL_SESSION_get_time(session);
#endif
}

// Whether a handshake may go on with it instead of verifying a certificate.
bool MayResume(const TlsSessions::Entry& entry, SystemClock::time_point now) {
  if (now < entry.verified || now >= entry.verified + TlsSessions::kVerifyInterval) return false;
  const SSL_SESSION* const session = entry.session.get();
  const std::time_t seconds = SystemClock::to_time_t(now);
  const std::time_t made = TimeOf(session);
  if (SSL_SESSION_is_resumable(session) != 1 ||
      seconds >= made + SSL_SESSION_get_timeout(session)) {
    return false;
  }
  const X509* const certificate = SSL_SESSION_get0_peer(entry.session.get());
  return certificate != nullptr &&
         ASN1_TIME_cmp_time_t(X509_get0_notAfter(certificate), seconds) == 1;
}

}  // namespace

void TlsSessions::Enable(SSL_CTX* context) {
  SSL_CTX_set_ex_data(context, StoreIndex(), new TlsSessions);  // freed with it
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, KeepSession);
}

TlsSessions* TlsSessions::Of(SSL_CTX* context) {
  return static_cast<TlsSessions*>(SSL_CTX_get_ex_data(context, StoreIndex()));
}

void TlsSessions::Resume(SSL* ssl) {
  TlsSessions* const store = Of(SSL_get_SSL_CTX(ssl));
  if (store == nullptr) return;
  const auto entry = store->Take(VerifiedName(ssl), SystemClock::now());
  if (!entry) return;
  SSL_set_ex_data(ssl, VerifiedIndex(), reinterpret_cast<void*>(ToSeconds(entry->verified)));
  SSL_set_session(ssl, entry->session.get());  // takes a reference of its own
}

void TlsSessions::Forget(SSL* ssl) {
  if (TlsSessions* const store = Of(SSL_get_SSL_CTX(ssl))) store->Clear(VerifiedName(ssl));
}

void TlsSessions::Add(const std::string& name, Entry entry) {
  const std::lock_guard lock(mutex_);
  auto& known = sessions_[name];
  // One of TLS 1.2 serves for all connections, and the newest lasts longest.
  if (!IsTls13(entry.session.get())) known.clear();
  known.push_back(std::move(entry));
  if (known.size() > kSessionsPerName) known.pop_front();
}

std::optional<TlsSessions::Entry> TlsSessions::Take(const std::string& name, TimePoint now) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(name);
  if (found == sessions_.end()) return std::nullopt;
  auto& known = found->second;
  while (!known.empty()) {
    Entry newest = std::move(known.back());
    known.pop_back();
    if (!MayResume(newest, now)) continue;
    if (!IsTls13(newest.session.get())) {
      SSL_SESSION_up_ref(newest.session.get());
      known.push_back({Session(newest.session.get()), newest.verified});
    }
    return newest;
  }
  return std::nullopt;
}

void TlsSessions::Clear(const std::string& name) {
  const std::lock_guard lock(mutex_);
  sessions_.erase(name);
}

}  // namespace leasegateway
