#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_CONNECTOR_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_CONNECTOR_H_

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "upstream/postgres/connection.h"
#include "upstream/postgres/haste.h"
#include "upstream/postgres/options.h"
#include "upstream/postgres/resolve.h"
#include "upstream/wakeup.h"

namespace leasegateway::postgres {

// Makes connections to whichever server of a URL takes them. Thread-safe.
class Connector {
 public:
  explicit Connector(DatabaseOptions options, LookUp look_up = LookUpWithSystem);

  // Tries each address of each host in turn, first the host that was good the last time; a
  // connection has run a statement when it is handed out. Awaited on the wakeup's strand. The
  // status of a failure, by which a start tells a mistake from a server that is away:
  //   FAILED_PRECONDITION  a host says that something is wrong with the configuration: password,
  //                        database, rights, certificate
  //   UNAVAILABLE          no host serves now
  boost::asio::awaitable<absl::StatusOr<std::unique_ptr<Connection>>> Connect(
      std::shared_ptr<Wakeup> wakeup);

  const DatabaseOptions& options() const { return options_; }

  // The process stops: all its connections, and those to come, wait for a server no longer than
  // Haste says.
  void Hurry() { haste_->Begin(); }

  // What has to be set for each transaction, because a pooler refuses it for the session; null: not
  // that.
  const Query* SessionSettings() const { return plain_start_ ? &session_settings_ : nullptr; }

 private:
  using Connected = absl::StatusOr<std::unique_ptr<Connection>>;

  boost::asio::awaitable<Connected> ConnectTo(const Endpoint& endpoint,
                                              std::shared_ptr<Wakeup> wakeup);
  boost::asio::awaitable<Connected> OpenAt(const Endpoint& endpoint, std::string address,
                                           std::shared_ptr<Wakeup> wakeup);
  Connection::Settings SettingsFor(const Endpoint& endpoint, const std::string& address) const;

  const DatabaseOptions options_;
  const std::shared_ptr<Haste> haste_ = std::make_shared<Haste>();
  const LookUp look_up_;
  const Query session_settings_;
  std::atomic<std::size_t> first_ = 0;  // where the last connection was made
  // A pooler refused start-up options.
  std::atomic<bool> plain_start_ = false;
};

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_CONNECTOR_H_
