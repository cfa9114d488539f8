#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CHANGE_LOG_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CHANGE_LOG_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "upstream/availability/availability.h"

namespace leasegateway {

// Numbers that changed together, from the version before to `version`.
struct AvailabilityChange {
  std::uint64_t version = 0;
  std::shared_ptr<const std::vector<NumberChange>> numbers;
};

// The latest changes of a list, for those who watch it. Not thread-safe.
class ChangeLog {
 public:
  // A list that has nothing to do with the one before. Returns its version.
  std::uint64_t Restart();
  // What is different now. Returns the version, which stays when nothing is.
  std::uint64_t Add(std::vector<NumberChange> changes);

  std::uint64_t version() const { return version_; }
  // The changes after `version`, oldest first; nothing when not all of them are known any more.
  std::optional<std::vector<AvailabilityChange>> Since(std::uint64_t version) const;

 private:
  std::uint64_t version_ = 0;
  std::deque<AvailabilityChange> changes_;  // the latest, up to `version_`
  std::size_t numbers_ = 0;                 // in them
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CHANGE_LOG_H_
