#include "service/guard/memory_gauge.h"

#include <utility>

namespace leasegateway {

MemoryGauge::MemoryGauge(std::uint64_t max_memory, std::string root)
    : max_memory_(max_memory), root_(std::move(root)) {}

std::optional<MemoryGauge::Reading> MemoryGauge::Read() { return std::nullopt; }

void ReturnFreeMemory() {}

}  // namespace leasegateway
