#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_ROUTES_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_ROUTES_H_

#include <string>
#include <string_view>

namespace leasegateway::sandbox {

// The routes of the provider.

enum class Operation {
  kListAvailable,
  kListLeased,
  kLease,
  kGetLeased,
  kTerminate,
  kConfigure,
  kGetForwarding,
  kEnableForwarding,
  kDisableForwarding,
  kGetNumber,
  kNoSuchPath,
  kNoSuchMethod,
};

struct Route {
  Operation operation = Operation::kNoSuchPath;
  std::string name = "other";  // "POST /lease/{number}"
  std::string number;          // decoded, not yet checked
};
// By the method and the target of a request, with or without a query.
Route MatchRoute(std::string_view method, std::string_view target);
bool IsRouteName(std::string_view name);
// A path is not a form: a plus sign is a plus sign. What can't be decoded stays as it is.
std::string PercentDecode(std::string_view text);

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_ROUTES_H_
