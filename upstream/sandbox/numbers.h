#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_NUMBERS_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_NUMBERS_H_

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "upstream/sandbox/churn.h"
#include "upstream/sandbox/inventory.h"

namespace leasegateway::sandbox {

// The inventory, and what the control port has said of its numbers since: patches and churn. Of
// leases it knows nothing. A number is named by its index, which it keeps. Not thread-safe.
class Numbers {
 public:
  Numbers(std::uint64_t seed, int count);

  std::size_t size() const { return inventory_.size(); }
  const InventoryNumber& operator[](std::size_t index) const { return inventory_[index]; }
  std::optional<std::size_t> Find(const std::string& e164) const;
  // False: a patch or churn has made it unavailable.
  bool IsOffered(std::size_t index) const;
  // The whole object as it is patched. `lease_fields`: what it has besides, each with a comma
  // before it.
  void Append(std::size_t index, bool is_leased, std::string_view lease_fields,
              std::string* out) const;

  // Merges `patch` (RFC 7396) into what is said of the number, as it stands in a path, from now on.
  // Returns its index; NOT_FOUND for a number that isn't in the inventory.
  absl::StatusOr<std::size_t> Patch(std::string_view number, const boost::json::value& patch);
  // Churn::Change of numbers that nobody leases and that no patch describes.
  boost::json::object Change(std::int64_t count, const std::function<bool(std::size_t)>& is_leased);
  // Back to the state at the start.
  void Reset();

 private:
  std::vector<InventoryNumber> inventory_;
  std::unordered_map<std::string, std::size_t> index_;
  std::unordered_map<std::size_t, boost::json::value> patches_;
  Churn churn_;
};

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_NUMBERS_H_
