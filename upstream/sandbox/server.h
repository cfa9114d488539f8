#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_SERVER_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_SERVER_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/sandbox/certificates.h"
#include "upstream/sandbox/control.h"
#include "upstream/sandbox/faults.h"
#include "upstream/sandbox/options.h"
#include "upstream/sandbox/provider.h"
#include "upstream/sandbox/traffic.h"

namespace leasegateway::sandbox {

// The two ports and the thread that serves them, with what they serve. What is public may be called
// on any other thread.
class Server {
 public:
  // `options` are complete: they have keys, and numbers within bounds.
  explicit Server(const SandboxOptions& options);
  // Closes every connection and joins the thread.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Once, before all else. As Sandbox::Start.
  absl::Status Start();
  // As Sandbox::Control. Waits for the thread.
  absl::StatusOr<std::string> HandleControl(const std::string& method, const std::string& path,
                                            const std::string& body);
  // That of `port`, then those of `more_ports`.
  const std::vector<std::string>& urls() const { return urls_; }
  const std::string& control_url() const { return control_url_; }
  const std::string& ca_certificate() const { return certificates_.ca; }
  const std::string& key() const { return options_.keys.front(); }

 private:
  absl::Status SetUpTls(const boost::asio::ip::address& address);
  absl::StatusOr<boost::asio::ip::tcp::acceptor> Open(const boost::asio::ip::address& address,
                                                      std::uint16_t port);
  boost::asio::awaitable<void> Accept(boost::asio::ip::tcp::acceptor acceptor, bool is_control);

  const SandboxOptions options_;
  Provider provider_;
  Faults faults_;
  Traffic traffic_;
  Control control_{&provider_, &faults_, &traffic_};
  Certificates certificates_;
  std::vector<std::string> urls_;
  std::string control_url_;
  boost::asio::ssl::context tls_{boost::asio::ssl::context::tls_server};
  std::thread thread_;
  // The last, so the first to go: it takes with it the coroutines, which use all of the above.
  boost::asio::io_context context_{1};
};

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_SERVER_H_
