#include "service/guard/networks.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace leasegateway {

namespace ip = boost::asio::ip;

ip::address Unmapped(const ip::address& address) {
  return address.is_v6() && address.to_v6().is_v4_mapped()
             ? ip::make_address_v4(ip::v4_mapped, address.to_v6())
             : address;
}

absl::StatusOr<Networks> Networks::Parse(absl::string_view text) {
  Networks networks;
  if (absl::StripAsciiWhitespace(text).empty()) return networks;
  for (absl::string_view entry : absl::StrSplit(text, ',')) {
    const std::string network(absl::StripAsciiWhitespace(entry));
    const bool whole = network.find('/') == network.npos;
    boost::system::error_code error;
    const auto v4 = ip::make_network_v4(whole ? network + "/32" : network, error);
    if (!error) {
      networks.v4_.push_back(v4.canonical());
      continue;
    }
    const auto v6 = ip::make_network_v6(whole ? network + "/128" : network, error);
    if (error) {
      return absl::InvalidArgumentError(
          absl::StrCat("has \"", network, "\", which is no ADDRESS or ADDRESS/LENGTH"));
    }
    networks.v6_.push_back(v6.canonical());
  }
  return networks;
}

bool Networks::Contains(const ip::address& address) const {
  const ip::address plain = Unmapped(address);
  if (plain.is_v4()) {
    return std::any_of(v4_.begin(), v4_.end(), [&](const ip::network_v4& network) {
      return ip::network_v4(plain.to_v4(), network.prefix_length()).canonical() == network;
    });
  }
  return std::any_of(v6_.begin(), v6_.end(), [&](const ip::network_v6& network) {
    return ip::network_v6(plain.to_v6(), network.prefix_length()).canonical() == network;
  });
}

}  // namespace leasegateway
