#ifndef LEASE_GATEWAY_UPSTREAM_PROVIDER_ROUTES_H_
#define LEASE_GATEWAY_UPSTREAM_PROVIDER_ROUTES_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "upstream/lease_api.h"

namespace leasegateway {

// How an operation goes over the wire.
struct Route {
  std::string method;  // of HTTP; all but GET may change something at the provider
  std::string name;    // for messages: "GET /{number}"
  std::string path;    // below the base path, percent-encoded
  std::string body;    // JSON; empty: none
  bool is_write() const { return method != "GET"; }
  // Whether it has anything that a caller said.
  bool has_arguments() const { return name.find('{') != std::string::npos || !body.empty(); }
};
Route RouteOf(const Operation& operation);

// What the provider answered, with its status: the body of a 2xx as the operation's message, an
// error as it is, but for the 404 of an empty list. `metadata.fetch_time` is left for the caller to
// fill.
absl::StatusOr<AnyReply> DecodeReply(const Operation& operation,
                                     const absl::StatusOr<std::string>& body);

// INTERNAL, UPSTREAM_MALFORMED: the lease of another number than the operation's.
absl::Status CheckReply(const Operation& operation, const AnyReply& reply);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PROVIDER_ROUTES_H_
