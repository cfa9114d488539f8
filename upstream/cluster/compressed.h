#ifndef LEASE_GATEWAY_UPSTREAM_CLUSTER_COMPRESSED_H_
#define LEASE_GATEWAY_UPSTREAM_CLUSTER_COMPRESSED_H_

#include <optional>
#include <string>
#include <string_view>

namespace leasegateway {

// Bytes as a zstd frame with a checksum, and back. Nothing for what is no such frame, is broken, or
// would be larger than 512 MiB.
std::string Compress(std::string_view bytes);
std::optional<std::string> Decompress(std::string_view frame);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CLUSTER_COMPRESSED_H_
