#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_REQUESTS_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_REQUESTS_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "leasegateway/v1/resources.pb.h"
#include "upstream/call_context.h"
#include "upstream/lease_api.h"
#include "upstream/leasing/flight.h"
#include "upstream/leasing/leasing_parts.h"
#include "upstream/leasing/operation_record.h"

namespace leasegateway {

// One look at a number, when no caller's deadline is nearer.
inline constexpr std::chrono::milliseconds kLookTimeout{10'000};

// How long before its first byte a request is written down, at most.
inline constexpr std::chrono::milliseconds kLongestWindow{30'000};

// What one operation asks the provider. Of its life, which outlives it; awaited on its strand.
class OperationRequests {
 public:
  OperationRequests(std::shared_ptr<const LeasingParts> parts, std::shared_ptr<Flight> flight,
                    const OperationRecord& record);

  // Past memory.
  LeaseApiResult<v1::Number> Look(std::string phone_number);

  // The purchase or the termination that is recorded, once. ANSWERED, or NOT_SENT when it failed
  // without an answer.
  boost::asio::awaitable<Settled> Send();

  // What the purchase has to keep within: the limits of its caller, as who brought the arguments
  // knows them. Null: nothing.
  std::shared_ptr<const SpendingRules> Spending() const;

  // How long a request that is written down now may take until its first byte: its callers wait no
  // longer.
  std::chrono::milliseconds Window() const;

  // Of a request: until the last caller's deadline, or without callers a while.
  CallContext MakeContext() const;

 private:
  const std::shared_ptr<const LeasingParts> parts_;
  const std::shared_ptr<Flight> flight_;
  const OperationRecord& record_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_REQUESTS_H_
