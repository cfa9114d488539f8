#ifndef LEASE_GATEWAY_SERVICE_GUARD_NETWORKS_H_
#define LEASE_GATEWAY_SERVICE_GUARD_NETWORKS_H_

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace leasegateway {

// `address`, but the IPv4 address of one that is mapped into IPv6 (RFC 4291).
boost::asio::ip::address Unmapped(const boost::asio::ip::address& address);

// A set of networks (RFC 4632).
class Networks {
 public:
  Networks() = default;  // none
  // ADDRESS or ADDRESS/LENGTH, comma-separated, white space around each ignored; empty: none.
  // INVALID_ARGUMENT: the entry and the rule that it breaks.
  static absl::StatusOr<Networks> Parse(absl::string_view text);
  bool empty() const { return v4_.empty() && v6_.empty(); }
  bool Contains(const boost::asio::ip::address& address) const;

 private:
  std::vector<boost::asio::ip::network_v4> v4_;
  std::vector<boost::asio::ip::network_v6> v6_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_NETWORKS_H_
