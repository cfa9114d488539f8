#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_REPRESENTATION_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_REPRESENTATION_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace leasegateway::sandbox {

// How an answer goes over the wire, as its request has it (RFC 9110, 12.5.3 and 13.1).

// Whether an Accept-Encoding has gzip, and not with a weight of 0.
bool TakesGzip(std::string_view accept_encoding);
std::string Gzip(std::string_view text);

std::string HttpDate(std::int64_t seconds);

// What a request says of the answer that its sender has, as it came; empty: nothing.
struct Conditions {
  std::string_view if_none_match;
  std::string_view if_modified_since;
};
// Whether that is the answer still which has this entity tag and was last modified then.
bool IsUnchanged(const Conditions& conditions, std::string_view etag, std::int64_t modified);

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_REPRESENTATION_H_
