#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_TOKEN_FILE_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_TOKEN_FILE_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace leasegateway {

// The bearer token that goes with each call. It is read for each of them anew, so that one that is
// rotated, as Kubernetes does, is in force at once. A pipe can be read only once, and is. Not
// thread-safe.
class TokenFile {
 public:
  // An empty path: there is no token.
  explicit TokenFile(std::string path) : path_(std::move(path)) {}

  // The token, without the white space around it; empty: there is none. The error names the file
  // and what is wrong, and has nothing of the content.
  absl::StatusOr<std::string> Read();

 private:
  std::string path_;
  std::string kept_;  // of what can't be read twice
};

// Whether all that is sent to this target of gRPC stays on this machine: a loopback address,
// "localhost" or a Unix socket. In doubt it does not.
bool IsLoopback(absl::string_view target);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_TOKEN_FILE_H_
