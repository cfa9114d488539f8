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
  // `max_bytes`: of memory. A change that takes more is not kept either.
  explicit ChangeLog(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  // The memory that a change takes. Slow for many numbers.
  static std::size_t BytesOf(const std::vector<NumberChange>& changes);

  // A list that has nothing to do with the one before. Returns its version.
  std::uint64_t Restart();
  // What is different now, with its BytesOf. Returns the version, which stays when nothing is.
  std::uint64_t Add(std::vector<NumberChange> changes, std::size_t bytes);

  std::uint64_t version() const { return version_; }
  // The first `limit` changes after `version`, oldest first; nothing when not all of those after it
  // are known any more.
  std::optional<std::vector<AvailabilityChange>> Since(std::uint64_t version,
                                                       std::size_t limit) const;
  std::size_t bytes() const { return bytes_ + logged_.size() * sizeof(Logged); }

  // With a shared log: that the list as of its entries `first` to `last` is the present version.
  void SetLogged(std::uint64_t first, std::uint64_t last);
  // The latest entry that shows the list as of a version; nothing when that isn't known.
  std::optional<std::uint64_t> EntryOf(std::uint64_t version) const;
  // The version that shows the list as of an entry; nothing when that isn't known.
  std::optional<std::uint64_t> VersionAt(std::uint64_t entry) const;
  // The latest version for which there is an entry; 0: none.
  std::uint64_t logged_version() const { return logged_.empty() ? 0 : logged_.back().version; }

 private:
  struct Kept {
    AvailabilityChange change;
    std::size_t bytes;
  };
  struct Logged {
    std::uint64_t version, first, last;
  };
  void Trim();

  const std::size_t max_bytes_;
  std::uint64_t version_ = 0;
  std::deque<Kept> changes_;   // the latest, up to `version_`
  std::size_t bytes_ = 0;      // of them
  std::deque<Logged> logged_;  // of the versions that can be gone on from, and the latest
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CHANGE_LOG_H_
