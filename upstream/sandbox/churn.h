#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_CHURN_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_CHURN_H_

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <random>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "absl/status/statusor.h"
#include "upstream/sandbox/inventory.h"

namespace leasegateway::sandbox {

// Changes to the inventory at random, but the same for the same seed and history. Not thread-safe.
class Churn {
 public:
  explicit Churn(std::uint64_t seed) : seed_(seed) { Seed(); }

  // What {"count": N} of the control port says.
  static absl::StatusOr<std::int64_t> ReadCount(const boost::json::value& value);

  // As many changes as `count` says. A third of them make one of `shown` unavailable, a third bring
  // back one of `hidden`, a third give one of `shown` another price or reputation; where there are
  // none of one kind, the other two stand in. One call changes a number once, so fewer change when
  // there are fewer. Returns how many of each kind.
  boost::json::object Change(std::int64_t count, std::vector<std::size_t> shown,
                             std::vector<std::size_t> hidden,
                             std::vector<InventoryNumber>* inventory);
  // A number that an earlier change made unavailable.
  bool Hides(std::size_t index) const { return hidden_.contains(index); }
  void Show(std::size_t index) { hidden_.erase(index); }
  // Back to the state at the start, for the numbers as well.
  void Reset(std::vector<InventoryNumber>* inventory);

 private:
  void Seed() { random_.seed(seed_ ^ 0x165667b19e3779f9U); }
  // Another monthly price, or else another reputation.
  void Reprice(std::size_t index, bool price, InventoryNumber* number);

  const std::uint64_t seed_;
  std::mt19937_64 random_;
  std::unordered_set<std::size_t> hidden_;
  std::unordered_map<std::size_t, InventoryNumber> unchanged_;  // as they were before
};

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_CHURN_H_
