#ifndef LEASE_GATEWAY_UPSTREAM_VALIDATORS_H_
#define LEASE_GATEWAY_UPSTREAM_VALIDATORS_H_

#include <cstddef>
#include <string>

namespace leasegateway {

// What the provider sent with a list so that it can be asked whether the list is still the same
// (RFC 9110, 8.8), as it came. Empty: it did not.
struct Validators {
  std::string etag;           // with its quotation marks, and W/ if it is weak
  std::string last_modified;  // an HTTP date
  // A mark of the key that the list was asked for with, of use in this process alone: what another
  // key's account has may have the same validators.
  std::size_t key = 0;

  bool empty() const { return etag.empty() && last_modified.empty(); }
  friend bool operator==(const Validators&, const Validators&) = default;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_VALIDATORS_H_
