#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_NUMBER_FILTER_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_NUMBER_FILTER_H_

#include "leasegateway/v1/resources.pb.h"

namespace leasegateway {

// Whether a single number matches. The filter has been validated. Thread-safe.
class NumberFilter {
 public:
  explicit NumberFilter(v1::AvailabilityFilter filter);
  bool Matches(const v1::Number& number) const;
  bool matches_all() const { return matches_all_; }  // nothing is set

 private:
  v1::AvailabilityFilter filter_;  // digits without a plus sign
  bool matches_all_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_NUMBER_FILTER_H_
