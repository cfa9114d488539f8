#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_OWN_OPERATIONS_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_OWN_OPERATIONS_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace leasegateway {

// What this process knows of the operations that it works on: whose row is its own and has not gone
// missing in its hands. Thread-safe.
class OwnOperations {
 public:
  // What it takes to write the row anew.
  struct Origin {
    std::string fingerprint;
    std::int64_t create_time = 0;  // µs
  };

  // It may become this process's by a statement that is under way. Returns whether it is new here.
  bool Reserve(const std::string& account, const std::string& request_id);
  void Hold(const std::string& account, const std::string& request_id, Origin origin);
  void Drop(const std::string& account, const std::string& request_id);
  // Reserved or held.
  bool Holds(const std::string& account, const std::string& request_id) const;
  // Nothing for one that is only reserved.
  std::optional<Origin> Find(const std::string& account, const std::string& request_id) const;

  // A write of which nobody could find out whether it was done. Kept until the operation is
  // dropped.
  void NoteLost(const std::string& account, const std::string& request_id, std::int64_t attempt);
  bool IsLost(const std::string& account, const std::string& request_id,
              std::int64_t attempt) const;

 private:
  struct Own {
    Origin origin;
    std::set<std::int64_t> lost;
  };
  using Key = std::pair<std::string, std::string>;

  mutable std::mutex mutex_;
  std::map<Key, Own> operations_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_OWN_OPERATIONS_H_
