#ifndef LEASE_GATEWAY_SERVICE_GUARD_MEMORY_GAUGE_H_
#define LEASE_GATEWAY_SERVICE_GUARD_MEMORY_GAUGE_H_

#include <cstdint>
#include <optional>
#include <string>

namespace leasegateway {

// How much memory the process takes, and how much it may: `max_memory`, or the limit of its
// container (cgroup v2's memory.max, v1's memory.limit_in_bytes), the smaller one. One thread.
class MemoryGauge {
 public:
  struct Reading {
    std::uint64_t used =
        0;  // bytes: of the container without what the kernel can drop, or resident
    std::uint64_t limit = 0;  // bytes
  };
  // `max_memory` in bytes; 0: the container's limit alone. `root`: where /proc and /sys are, "" but
  // in tests.
  explicit MemoryGauge(std::uint64_t max_memory, std::string root = "");
  // None: there is no limit, or it can't be read.
  std::optional<Reading> Read();

 private:
  const std::uint64_t max_memory_;
  const std::string root_;
};

// Gives memory that is free back to the system, as far as the allocator keeps it.
void ReturnFreeMemory();

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_MEMORY_GAUGE_H_
