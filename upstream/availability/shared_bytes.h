#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_SHARED_BYTES_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_SHARED_BYTES_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace leasegateway {

// Immutable bytes that many replies share. The service makes them of a kind that gRPC sends
// without a copy.
class SharedBytes {
 public:
  virtual ~SharedBytes() = default;
  virtual std::string_view view() const = 0;
};
using PinBytes = std::function<std::shared_ptr<const SharedBytes>(std::string)>;
// Plain memory.
std::shared_ptr<const SharedBytes> PinInMemory(std::string bytes);

// A part of shared bytes.
struct BytesRange {
  std::size_t offset = 0;
  std::size_t size = 0;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_SHARED_BYTES_H_
