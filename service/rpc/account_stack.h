#ifndef LEASE_GATEWAY_SERVICE_RPC_ACCOUNT_STACK_H_
#define LEASE_GATEWAY_SERVICE_RPC_ACCOUNT_STACK_H_

#include <memory>
#include <string>

namespace leasegateway {

class AvailabilitySearch;
class CachingLeaseApi;
class RecordedLeaseApi;
class WatchHub;

// What the calls of one account work with. Its parts outlive them and are thread-safe.
struct AccountStack {
  std::string name;
  CachingLeaseApi& api;
  RecordedLeaseApi& recorded;
  AvailabilitySearch& search;
  WatchHub& watches;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_ACCOUNT_STACK_H_
