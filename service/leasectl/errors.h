#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_ERRORS_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_ERRORS_H_

#include <grpcpp/support/status.h>

#include <string>

#include "google/rpc/status.pb.h"

namespace leasegateway {

// How leasectl exits. kExitCodesHelp says the same to people.
enum ExitCode {
  kDone = 0,
  kLocalFailure = 1,
  kUsage = 2,
  kRefused = 3,
  kNotFound = 4,
  kDenied = 5,
  kUnavailable = 6,
  kTimedOut = 7,
  kOutcomeUnknown = 8,
  kOther = 9,
};

inline constexpr char kExitCodesHelp[] =
    "Exit codes:\n"
    "  0  done\n"
    "  1  local failure, such as an unreadable TLS or token file\n"
    "  2  wrong usage\n"
    "  3  invalid argument, failed precondition or already exists\n"
    "  4  not found\n"
    "  5  permission denied or unauthenticated\n"
    "  6  unavailable or resource exhausted: safe to try again; `health`: not serving\n"
    "  7  deadline exceeded or cancelled\n"
    "  8  outcome unknown: look, or try again with the same --request-id\n"
    "  9  internal and other errors";

// What the words for a failed call depend on.
struct CallFacts {
  // What a repetition could do: nothing, the same again, or a second purchase or termination.
  enum class Kind { kRead, kChange, kPurchase };
  Kind kind = Kind::kRead;
  std::string look;        // the command that shows what has become of a change; empty: none
  std::string request_id;  // of a purchase or termination; empty: it has none
  std::string target;      // the gateway
  bool connected = false;  // the request can have reached the gateway
};

// "NOT_FOUND" and the like.
const char* CodeName(grpc::StatusCode code);
ExitCode ExitCodeOf(grpc::StatusCode code);

// The status of a single result, as if its call had failed with it.
grpc::Status StatusOf(const google::rpc::Status& error);

// One line: the reason, or the code where there is none, and the message.
std::string Summary(const google::rpc::Status& error);

struct Failure {
  ExitCode exit_code = kOther;
  std::string text;  // lines for stderr
};

// Explains a status that is not OK by its google.rpc details. `hint` is better than what the status
// suggests; empty: none.
Failure Explain(const grpc::Status& status, const CallFacts& facts, std::string hint = "");

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_ERRORS_H_
