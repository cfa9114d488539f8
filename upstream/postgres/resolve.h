#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_RESOLVE_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_RESOLVE_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "upstream/postgres/haste.h"

namespace leasegateway::postgres {

// Blocks for as long as it likes; the addresses of a host as text, or why there are none.
using LookUp = std::function<absl::StatusOr<std::vector<std::string>>(const std::string& host)>;

// getaddrinfo(3), TCP only.
absl::StatusOr<std::vector<std::string>> LookUpWithSystem(const std::string& host);

// The IP addresses of a host, at once where `host` is one. libpq would block in its own look-up,
// and Asio's waits at the end of an io_context for the one that is running; so it runs on a thread
// of its own that nobody waits for, a few at most. UNAVAILABLE when it fails or takes until
// `deadline`, which `haste` shortens. Awaited on a strand.
boost::asio::awaitable<absl::StatusOr<std::vector<std::string>>> Resolve(
    std::string host, std::chrono::steady_clock::time_point deadline,
    LookUp look_up = LookUpWithSystem, std::shared_ptr<Haste> haste = std::make_shared<Haste>());

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_RESOLVE_H_
