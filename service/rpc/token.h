#ifndef LEASE_GATEWAY_SERVICE_RPC_TOKEN_H_
#define LEASE_GATEWAY_SERVICE_RPC_TOKEN_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "leasegateway/v1/resources.pb.h"

namespace leasegateway {

// 64 bits that name an account, a filter and an order, the same in every process. Those of the
// account "default", which was the only one once, are as they were then.
std::uint64_t Fingerprint(const v1::AvailabilityFilter& filter, std::string_view order_by,
                          std::string_view account);

// Integers as text that fits into a token (base64, for URLs), and back. Nothing when `text` is not
// what EncodeToken makes of `count` integers.
std::string EncodeToken(const std::vector<std::uint64_t>& values);
std::optional<std::vector<std::uint64_t>> DecodeToken(std::string_view text, std::size_t count);

// An integer as 8 bytes, the highest first, and back; `bytes` has at least 8.
void AppendInteger(std::uint64_t value, std::string* out);
std::uint64_t ReadInteger(std::string_view bytes);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_TOKEN_H_
