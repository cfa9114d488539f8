#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_CONTROL_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_CONTROL_H_

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "upstream/sandbox/faults.h"
#include "upstream/sandbox/provider.h"
#include "upstream/sandbox/traffic.h"

namespace leasegateway::sandbox {

// The control routes, without the network. Not thread-safe.
class Control {
 public:
  // All of them outlive it.
  Control(Provider* provider, Faults* faults, Traffic* traffic)
      : provider_(provider), faults_(faults), traffic_(traffic) {}

  // Returns the JSON body of the answer. INVALID_ARGUMENT for a bad request, NOT_FOUND for a path
  // that isn't among the routes or a number that isn't in the inventory, UNIMPLEMENTED for a method
  // that the path doesn't have.
  absl::StatusOr<std::string> Handle(std::string_view method, std::string_view target,
                                     std::string_view body);

 private:
  struct Request {
    std::string_view path;
    std::string_view target;   // the path with its query
    boost::json::value value;  // of the body, for routes that have one
  };
  using Answer = absl::StatusOr<boost::json::value>;
  struct Row;
  static const Row kRoutes[];

  Answer Index(const Request& request);
  Answer ReadLedger(const Request& request);
  Answer ReadTraffic(const Request& request);
  Answer ReadWrites(const Request& request);
  Answer ReadFaults(const Request& request);
  Answer AddFaults(const Request& request);
  Answer ClearFaults(const Request& request);
  Answer ReadAccounts(const Request& request);
  Answer SetAccount(const Request& request);
  Answer PatchNumber(const Request& request);
  Answer Churn(const Request& request);
  Answer Reset(const Request& request);

  Provider* const provider_;
  Faults* const faults_;
  Traffic* const traffic_;
};

// What Control::Handle returned, as the control port answers it.
ApiReply ReplyOf(const absl::StatusOr<std::string>& result);
// {"error": `message`}.
ApiReply ErrorReply(int status, std::string_view message);

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_CONTROL_H_
