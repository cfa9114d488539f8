#ifndef LEASE_GATEWAY_SERVICE_RPC_FILTER_CHECKS_H_
#define LEASE_GATEWAY_SERVICE_RPC_FILTER_CHECKS_H_

#include <string>
#include <string_view>

#include "leasegateway/v1/resources.pb.h"
#include "service/rpc/violations.h"

namespace leasegateway {

// What is wrong with the filter of a search, which is named "filter" in the request. Both arguments
// must outlive it.
class FilterChecks {
 public:
  FilterChecks(const v1::AvailabilityFilter& filter, Violations& violations)
      : filter_(filter), violations_(violations) {}

  // Adds what it finds. Called once.
  void Run();

 private:
  void Add(const std::string& field, const std::string& description);
  template <typename List>
  void Words(const std::string& field, const List& words);
  void Digits(const std::string& field, std::string_view digits);
  void Contradicts(std::string_view field, std::string_view value);
  void Statuses();
  void Prices();
  void Numbers();

  const v1::AvailabilityFilter& filter_;
  Violations& violations_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_FILTER_CHECKS_H_
