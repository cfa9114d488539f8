#ifndef LEASE_GATEWAY_UPSTREAM_PROVIDER_ROUTES_H_
#define LEASE_GATEWAY_UPSTREAM_PROVIDER_ROUTES_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "upstream/lease_api.h"
#include "upstream/transport/padded_text.h"
#include "upstream/validators.h"

namespace leasegateway {

// How an operation goes over the wire.
struct Route {
  std::string method;  // of HTTP; all but GET may change something at the provider
  std::string name;    // for messages: "GET /{number}"
  std::string path;    // below the base path, percent-encoded
  std::string body;    // JSON; empty: none
  // Of the two lists, which may be large: they may come compressed, or not at all if they are as
  // they were with these validators.
  bool is_list = false;
  Validators known = {};
  bool is_write() const { return method != "GET"; }
  // Whether it has anything that a caller said.
  bool has_arguments() const { return name.find('{') != std::string::npos || !body.empty(); }
};

// What the provider answered with a status of success, or 304 where it may.
struct Answer {
  PaddedText body;
  Validators validators = {};
  bool is_unchanged = false;
};
Route RouteOf(const Operation& operation);

// An answer as the operation's reply; an error as it is, but for the 404 of an empty list.
// `metadata.fetch_time` is left for the caller to fill.
absl::StatusOr<AnyReply> DecodeReply(const Operation& operation,
                                     const absl::StatusOr<Answer>& answer);

// INTERNAL, UPSTREAM_MALFORMED: the lease of another number than the operation's.
absl::Status CheckReply(const Operation& operation, const AnyReply& reply);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PROVIDER_ROUTES_H_
