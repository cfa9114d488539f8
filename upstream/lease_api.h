#ifndef LEASE_GATEWAY_UPSTREAM_LEASE_API_H_
#define LEASE_GATEWAY_UPSTREAM_LEASE_API_H_

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "leasegateway/v1/resources.pb.h"
#include "upstream/call_context.h"
#include "upstream/tolerated.h"

namespace leasegateway {

// An answer of the provider and where it came from.
template <typename T>
struct Reply {
  T value;
  v1::ResponseMetadata metadata;
  // That an item of a list isn't there proves nothing when items were left out.
  Tolerated tolerated;
};

using NumberList = google::protobuf::RepeatedPtrField<v1::Number>;
using LeaseList = google::protobuf::RepeatedPtrField<v1::Lease>;

// Awaited once. Errors carry the details that upstream_error.h describes; nothing throws.
template <typename T>
using LeaseApiResult = boost::asio::awaitable<absl::StatusOr<Reply<T>>>;

// The lease, with its `number`, out of what the provider says of a number. NOT_FOUND with
// NOT_LEASED when the account does not lease it.
absl::StatusOr<Reply<v1::Lease>> TakeLease(Reply<v1::Number> number);

// The provider's lease API: one function an operation. Implementations wrap one another, one
// concern each; lease_api_factory shows the order. All are thread-safe, and outlive their calls.
//
// Numbers are in E.164 format and have been checked by the caller of this interface. A call runs on
// the executor of the awaiting coroutine, which must be a strand. Cancelling (`terminal`) ends
// a read at once; a write whose first byte may be on the wire runs to its end.
class LeaseApi {
 public:
  virtual ~LeaseApi() = default;

  // GET /leases. No numbers: an empty list, although the provider answers 404.
  virtual LeaseApiResult<NumberList> ListAvailableNumbers(CallContext context) = 0;
  // GET /{number}. `lease` is set when the account leases the number. NOT_FOUND, NUMBER_NOT_FOUND.
  virtual LeaseApiResult<v1::Number> GetNumber(CallContext context, std::string phone_number) = 0;
  // POST /lease/{number}. Spends money. `method` UNSPECIFIED leaves the choice to the provider.
  virtual LeaseApiResult<v1::Lease> CreateLease(CallContext context, std::string phone_number,
                                                v1::BillingMethod method) = 0;
  // GET /leased. No leases: an empty list. Each lease has its `number`.
  virtual LeaseApiResult<LeaseList> ListLeases(CallContext context) = 0;
  // GET /{number}, and of it the lease, with its `number`. NOT_FOUND with NOT_LEASED without one.
  virtual LeaseApiResult<v1::Lease> GetLease(CallContext context, std::string phone_number) = 0;
  // DELETE /leased/{number}.
  virtual LeaseApiResult<v1::Termination> TerminateLease(CallContext context,
                                                         std::string phone_number) = 0;
  // POST /{number}/configure. The reply's `value` is empty when the provider does not echo it.
  virtual LeaseApiResult<v1::Failover> ConfigureFailover(CallContext context,
                                                         std::string phone_number,
                                                         v1::Failover failover) = 0;
  // GET /lease/{number}/call_forwarding.
  virtual LeaseApiResult<v1::CallForwarding> GetCallForwarding(CallContext context,
                                                               std::string phone_number) = 0;
  // POST /lease/{number}/call_forwarding/enable.
  virtual LeaseApiResult<v1::CallForwarding> EnableCallForwarding(CallContext context,
                                                                  std::string phone_number,
                                                                  std::string forward_to) = 0;
  // POST /lease/{number}/call_forwarding/disable.
  virtual LeaseApiResult<v1::CallForwarding> DisableCallForwarding(CallContext context,
                                                                   std::string phone_number) = 0;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASE_API_H_
