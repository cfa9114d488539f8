#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_LEDGER_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_LEDGER_H_

#include <boost/json/object.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace leasegateway::sandbox {

// What was done, and what it cost, in order. Not thread-safe.
class Ledger {
 public:
  struct Entry {
    std::int64_t time_ms = 0;
    std::string kind;
    std::string number;
    std::string lease_id;
    std::string account;
    std::string currency;
    std::int64_t micros = 0;  // of the currency
  };

  void Add(Entry entry) { entries_.push_back(std::move(entry)); }
  // The entries with a greater `seq` than `after`; that of the first is 1.
  boost::json::object ToJson(std::size_t after) const;
  void Clear() { entries_.clear(); }

 private:
  std::vector<Entry> entries_;
};

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_LEDGER_H_
