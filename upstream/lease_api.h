#ifndef LEASE_GATEWAY_UPSTREAM_LEASE_API_H_
#define LEASE_GATEWAY_UPSTREAM_LEASE_API_H_

#include <boost/asio/awaitable.hpp>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "leasegateway/v1/resources.pb.h"
#include "upstream/call_context.h"
#include "upstream/operations.h"
#include "upstream/tolerated.h"
#include "upstream/validators.h"

namespace leasegateway {

// An answer of the provider and where it came from.
template <typename T>
struct Reply {
  T value;
  v1::ResponseMetadata metadata;
  // That an item of a list isn't there proves nothing when items were left out.
  Tolerated tolerated;
  // Of a list: what to ask with for its next state. And that it is still as it was with the
  // validators that it was asked for with; `value` is empty then, and so is `metadata` but for
  // `fetch_time`.
  Validators validators = {};
  bool is_unchanged = false;
};

// The reply to an operation, of that operation's Value.
using AnyReply =
    std::variant<Reply<NumberList>, Reply<v1::Number>, Reply<v1::Lease>, Reply<LeaseList>,
                 Reply<v1::Termination>, Reply<v1::Failover>, Reply<v1::CallForwarding>>;

// Awaited once. Errors carry the details that upstream_error.h describes; nothing throws.
template <typename T>
using LeaseApiResult = boost::asio::awaitable<absl::StatusOr<Reply<T>>>;

// The lease, with its `number`, out of what the provider says of a number. NOT_FOUND with
// NOT_LEASED when the account does not lease it.
absl::StatusOr<Reply<v1::Lease>> TakeLease(Reply<v1::Number> number);

// The provider's lease API. Implementations wrap one another, one concern each, and any operation
// in one function; lease_api_factory shows the order. All are thread-safe, and outlive their calls.
//
// Numbers are in E.164 format and have been checked by the caller of this interface. A call runs on
// the executor of the awaiting coroutine, which must be a strand. Cancelling (`terminal`) ends
// a read at once; a write whose first byte may be on the wire runs to its end.
class LeaseApi {
 public:
  virtual ~LeaseApi() = default;

  virtual boost::asio::awaitable<absl::StatusOr<AnyReply>> Call(CallContext context,
                                                                Operation operation) = 0;

  // The same for one that is known: `api.Perform(context, operation::GetNumber{number})`.
  template <typename Known>
  LeaseApiResult<typename Known::Value> Perform(CallContext context, Known known) {
    static_assert(std::is_empty_v<Known> || !std::is_aggregate_v<Known>, "see operations.h");
    auto calling = Call(std::move(context), Operation(std::move(known)));
    auto reply = co_await std::move(calling);
    if (!reply.ok()) co_return reply.status();
    co_return std::get<Reply<typename Known::Value>>(*std::move(reply));
  }
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASE_API_H_
