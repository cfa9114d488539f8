#include "service/leasectl/errors.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"
#include "service/leasectl/table.h"

namespace leasegateway {
namespace {

using Kind = CallFacts::Kind;

// Codes that say nothing of whether the request was carried out, unless the gateway itself says so
// by a reason.
bool IsVague(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DATA_LOSS:
      return true;
    default:
      return false;
  }
}

std::string LookHint(const CallFacts& facts) {
  if (!facts.request_id.empty()) {
    return absl::StrCat("it may have been done: run the same command with --request-id ",
                        facts.request_id, ", or `leasectl operation ", facts.request_id, "`");
  }
  if (facts.look.empty()) return "it may have been done; doing it again is harmless";
  return absl::StrCat("it may have been done: run `", facts.look, "` before trying again");
}

// Where it is about who calls, what that caller may do, and how much of it.
std::string HintForCaller(const std::string& reason) {
  if (reason == "IDENTITY_INVALID") {
    return "the gateway does not take what says who calls: --token-file needs a valid token, for "
           "this gateway; --cert-file and --key-file are believed before it";
  }
  if (reason == "NOT_ALLOWED") {
    return "`leasectl whoami` shows your accounts and rights; --account names another account; "
           "whoever runs the gateway gives rights, in its callers file";
  }
  if (reason == "INVALID_ACCOUNT") {
    return "--account takes one of those that `leasectl whoami` shows";
  }
  if (reason == "QUOTA_EXCEEDED") {
    return "slow down and try again later; `leasectl whoami` shows your limits, and whoever runs "
           "the gateway sets them";
  }
  if (reason == "SPEND_LIMIT_EXCEEDED") {
    return "nothing was bought; `leasectl whoami` shows what is left of each limit, and whoever "
           "runs the gateway sets them";
  }
  return "";
}

std::string HintForReason(const std::string& reason) {
  if (reason == "UPSTREAM_REJECTED") return "the provider refused this; its message says why";
  if (reason == "NUMBER_NOT_AVAILABLE") {
    return "`leasectl available` lists the numbers that can be leased now";
  }
  if (reason == "ALREADY_LEASED") return "`leasectl leases` lists what the account leases";
  if (reason == "PRICE_CHANGED") return "`leasectl get` shows what it costs now";
  if (reason == "LEASE_CHANGED") return "`leasectl show` shows the lease that there is now";
  if (reason == "NO_MATCHING_NUMBER") {
    return "search for more, or pay more: `leasectl available` takes the same options";
  }
  if (reason == "PRICE_CEILING_MISSING") return "set --max-monthly and --max-upfront";
  if (reason == "REQUEST_ID_REUSED") {
    return "`leasectl operation` shows what it was used for; without --request-id a new one is "
           "made";
  }
  if (reason == "NOT_APPLIED") return "nothing was done and nothing spent: try again";
  if (reason == "OPERATION_NOT_FOUND") {
    return "nothing was sent to the provider under that id, or it was settled long ago; `leasectl "
           "operations` lists what is known";
  }
  if (reason == "JOURNAL_UNAVAILABLE") {
    return "the gateway can't write down what it does, so it spends nothing: whoever runs it must "
           "look at its disk or database, and at its log";
  }
  if (reason == "NOT_LEASED") return "`leasectl leases` lists what the account leases";
  if (reason == "UPSTREAM_CREDENTIALS_REJECTED") {
    return "the provider does not accept the gateway's API key: whoever runs the gateway must set "
           "a valid one";
  }
  if (reason == "UPSTREAM_FORBIDDEN") {
    return "the account may not do this: ask its owner or the provider's support";
  }
  if (reason == "AGREEMENT_REQUIRED") {
    return "the account's owner must accept an agreement with the provider first";
  }
  if (reason == "NUMBER_NOT_FOUND") return "check the digits: +, country code, number, no spaces";
  if (reason == "PAGE_TOKEN_EXPIRED") return "begin anew, without --page-token";
  if (reason == "UPSTREAM_RATE_LIMITED") return "the provider wants fewer calls: wait, try again";
  if (reason == "OVERLOADED") return "the gateway has too much to do: try again in a moment";
  if (reason == "UPSTREAM_UNREACHABLE") {
    return "the gateway does not reach the provider; nothing was sent, so try again later";
  }
  if (reason == "UPSTREAM_PROXY") {
    return "the proxy between the gateway and the provider gives no way through; nothing was sent, "
           "so try again later, or tell whoever runs the gateway";
  }
  if (reason == "UPSTREAM_TLS") {
    return "the gateway does not trust the provider's certificate: whoever runs the gateway must "
           "check its CA file and clock";
  }
  if (reason == "UPSTREAM_INTERMEDIARY") {
    return "something between the gateway and the provider answered in its place, a proxy, a "
           "firewall or a login: try again, or tell whoever runs the gateway";
  }
  if (reason == "UPSTREAM_FAILED") return "the provider has trouble: try again later";
  if (reason == "UPSTREAM_MALFORMED") {
    return "the gateway does not understand the provider's answer: tell whoever runs the gateway";
  }
  return "";
}

std::string HintForCode(grpc::StatusCode code, const CallFacts& facts) {
  switch (code) {
    case grpc::StatusCode::INVALID_ARGUMENT:
      return "correct what is named above; numbers look like +13059478667";
    case grpc::StatusCode::UNAVAILABLE:
      return facts.connected
                 ? "the gateway went away: try again in a moment"
                 : absl::StrCat("no Lease Gateway answers at ", Harmless(facts.target),
                                ": does it run, is --target right, does it need --tls?");
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return "wait a moment, then try again";
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return "try again, perhaps with a longer --timeout";
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
      return "the gateway does not accept this client: check --cert-file and --key-file, or "
             "--token-file";
    case grpc::StatusCode::UNIMPLEMENTED:
      return absl::StrCat("what answers at ", Harmless(facts.target),
                          " is not a Lease Gateway, or an older one");
    default:
      return "";
  }
}

void AddLine(const std::string& name, const std::string& text, std::string& lines) {
  if (!text.empty()) absl::StrAppend(&lines, "  ", name, ": ", Harmless(text), "\n");
}

std::string DurationWords(const google::protobuf::Duration& delay) {
  const absl::Duration duration = absl::Seconds(delay.seconds()) + absl::Nanoseconds(delay.nanos());
  // Negative is the pushback of gRFC A6.
  if (duration < absl::ZeroDuration()) return "don't";
  return absl::FormatDuration(duration);
}

// The google.rpc details of a status that people want to read.
struct ErrorDetails {
  google::rpc::ErrorInfo info;
  std::string violations;  // lines
  std::string links;       // lines
  std::string retry_after;
};

ErrorDetails ReadDetails(const grpc::Status& status) {
  ErrorDetails read;
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return read;
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::BadRequest bad_request;
    google::rpc::PreconditionFailure precondition;
    google::rpc::QuotaFailure quota;
    google::rpc::Help help;
    google::rpc::RetryInfo retry;
    if (detail.UnpackTo(&bad_request)) {
      for (const auto& violation : bad_request.field_violations()) {
        AddLine(Harmless(violation.field()), violation.description(), read.violations);
      }
    } else if (detail.UnpackTo(&precondition)) {
      for (const auto& violation : precondition.violations()) {
        AddLine(Harmless(violation.subject().empty() ? violation.type() : violation.subject()),
                violation.description(), read.violations);
      }
    } else if (detail.UnpackTo(&quota)) {
      for (const auto& violation : quota.violations()) {
        AddLine(Harmless(violation.subject()), violation.description(), read.violations);
      }
    } else if (detail.UnpackTo(&help)) {
      for (const auto& link : help.links()) {
        AddLine("see",
                absl::StrCat(link.url(), link.description().empty() ? "" : " (", link.description(),
                             link.description().empty() ? "" : ")"),
                read.links);
      }
    } else if (detail.UnpackTo(&retry)) {
      read.retry_after = DurationWords(retry.retry_delay());
    } else if (google::rpc::ErrorInfo info; detail.UnpackTo(&info)) {
      read.info = std::move(info);
    }
  }
  return read;
}

}  // namespace

const char* CodeName(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::CANCELLED:
      return "CANCELLED";
    case grpc::StatusCode::INVALID_ARGUMENT:
      return "INVALID_ARGUMENT";
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return "DEADLINE_EXCEEDED";
    case grpc::StatusCode::NOT_FOUND:
      return "NOT_FOUND";
    case grpc::StatusCode::ALREADY_EXISTS:
      return "ALREADY_EXISTS";
    case grpc::StatusCode::PERMISSION_DENIED:
      return "PERMISSION_DENIED";
    case grpc::StatusCode::UNAUTHENTICATED:
      return "UNAUTHENTICATED";
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return "RESOURCE_EXHAUSTED";
    case grpc::StatusCode::FAILED_PRECONDITION:
      return "FAILED_PRECONDITION";
    case grpc::StatusCode::ABORTED:
      return "ABORTED";
    case grpc::StatusCode::OUT_OF_RANGE:
      return "OUT_OF_RANGE";
    case grpc::StatusCode::UNIMPLEMENTED:
      return "UNIMPLEMENTED";
    case grpc::StatusCode::INTERNAL:
      return "INTERNAL";
    case grpc::StatusCode::UNAVAILABLE:
      return "UNAVAILABLE";
    case grpc::StatusCode::DATA_LOSS:
      return "DATA_LOSS";
    default:
      return "UNKNOWN";
  }
}

ExitCode ExitCodeOf(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::ALREADY_EXISTS:
    case grpc::StatusCode::OUT_OF_RANGE:
      return kRefused;
    case grpc::StatusCode::NOT_FOUND:
      return kNotFound;
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
      return kDenied;
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return kUnavailable;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::CANCELLED:
      return kTimedOut;
    case grpc::StatusCode::ABORTED:
      return kOutcomeUnknown;
    default:
      return kOther;
  }
}

grpc::Status StatusOf(const google::rpc::Status& error) {
  return {static_cast<grpc::StatusCode>(error.code()), error.message(), error.SerializeAsString()};
}

std::string Summary(const google::rpc::Status& error) {
  google::rpc::ErrorInfo info;
  for (const google::protobuf::Any& detail : error.details()) {
    if (detail.UnpackTo(&info)) break;
  }
  const std::string what =
      info.reason().empty() ? CodeName(static_cast<grpc::StatusCode>(error.code())) : info.reason();
  return absl::StrCat(what, ": ", error.message());
}

Failure Explain(const grpc::Status& status, const CallFacts& facts, std::string hint) {
  const grpc::StatusCode code = status.error_code();
  const ErrorDetails details = ReadDetails(status);
  const std::string& reason = details.info.reason();
  Failure failure;
  failure.exit_code = ExitCodeOf(code);
  const bool deadline = code == grpc::StatusCode::DEADLINE_EXCEEDED;
  // Without a reason the status was made by gRPC: the connection may have broken after the gateway
  // had got the request.
  const bool lost = facts.kind != Kind::kRead && facts.connected && IsVague(code) &&
                    (reason.empty() || reason == "INTERNAL" || reason == "CANCELLED");
  if (code == grpc::StatusCode::ABORTED || lost || (facts.kind != Kind::kRead && deadline)) {
    hint = LookHint(facts);
    // 6 would promise that trying again is safe.
    if (facts.kind == Kind::kPurchase && failure.exit_code == kUnavailable) {
      failure.exit_code = kOutcomeUnknown;
    }
  }
  if (hint.empty()) hint = HintForCaller(reason);
  if (hint.empty()) hint = HintForReason(reason);
  if (hint.empty()) hint = HintForCode(code, facts);

  failure.text =
      absl::StrCat("leasectl: ", CodeName(code), reason.empty() ? "" : " ", Harmless(reason), ": ",
                   Harmless(status.error_message()), "\n", details.violations);
  AddLine("hint", hint, failure.text);
  failure.text += details.links;
  AddLine("retry after", details.retry_after, failure.text);
  const auto metadata = [&details](const char* key) {
    const auto found = details.info.metadata().find(key);
    return found == details.info.metadata().end() ? std::string() : found->second;
  };
  AddLine("provider's error id", metadata("upstream_error_id"), failure.text);
  AddLine("http status", metadata("http_status"), failure.text);
  return failure;
}

}  // namespace leasegateway
