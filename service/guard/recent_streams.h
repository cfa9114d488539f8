#ifndef LEASE_GATEWAY_SERVICE_GUARD_RECENT_STREAMS_H_
#define LEASE_GATEWAY_SERVICE_GUARD_RECENT_STREAMS_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_set.h"

namespace leasegateway {

// The streams that were added last, no fewer than kLeast and no more than twice that. One thread.
class RecentStreams {
 public:
  static constexpr std::size_t kLeast = 512;

  void Add(std::uint32_t stream) {
    if (recent_.size() >= kLeast) before_ = std::exchange(recent_, {});
    recent_.insert(stream);
  }
  bool Has(std::uint32_t stream) const {
    return recent_.contains(stream) || before_.contains(stream);
  }
  bool Remove(std::uint32_t stream) {  // whether it was there
    return recent_.erase(stream) + before_.erase(stream) > 0;
  }

 private:
  absl::flat_hash_set<std::uint32_t> recent_;
  absl::flat_hash_set<std::uint32_t> before_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_RECENT_STREAMS_H_
