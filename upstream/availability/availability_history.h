#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_AVAILABILITY_HISTORY_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_AVAILABILITY_HISTORY_H_

#include <cstddef>
#include <memory>
#include <mutex>

#include "upstream/availability/availability.h"

namespace leasegateway {

// Snapshots that newer ones have replaced, in less memory: they hold no replies to the plain reads,
// and each number that several of them have is held once. One whose numbers are those of the one
// before holds next to nothing of its own. Thread-safe.
class AvailabilityHistory {
 public:
  AvailabilityHistory();

  // `snapshot`, to be searched as before: the result has no list_reply(), and
  // neither FindNumber nor Without finds a number. It may outlive this object. Takes some 5 ms
  // for 10,000 numbers.
  std::shared_ptr<const Availability> Add(const Availability& snapshot);

  // Of all results that are still referred to. Never waits.
  std::size_t MemoryBytes() const;

 private:
  class Entries;
  struct Table;

  const std::shared_ptr<Entries> entries_;
  std::mutex mutex_;                               // guards the next
  std::weak_ptr<const AvailabilityTable> latest_;  // of the snapshot added last
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_AVAILABILITY_HISTORY_H_
