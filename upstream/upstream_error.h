#ifndef LEASE_GATEWAY_UPSTREAM_UPSTREAM_ERROR_H_
#define LEASE_GATEWAY_UPSTREAM_UPSTREAM_ERROR_H_

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace leasegateway {

// Errors are absl::Status whose payloads are google.rpc details, keyed by type URL as in
// google.protobuf.Any, so that service/status can hand them on as they are (AIP-193).

// The domain of every ErrorInfo.
inline constexpr std::string_view kErrorDomain = "leasegateway";

// Reasons (ErrorInfo.reason). proto/README.md has the meaning of each.
namespace reason {
inline constexpr std::string_view kUpstreamRejected = "UPSTREAM_REJECTED";
inline constexpr std::string_view kNumberNotAvailable = "NUMBER_NOT_AVAILABLE";
inline constexpr std::string_view kNotLeased = "NOT_LEASED";
inline constexpr std::string_view kUpstreamCredentialsRejected = "UPSTREAM_CREDENTIALS_REJECTED";
inline constexpr std::string_view kUpstreamForbidden = "UPSTREAM_FORBIDDEN";
inline constexpr std::string_view kAgreementRequired = "AGREEMENT_REQUIRED";
inline constexpr std::string_view kNumberNotFound = "NUMBER_NOT_FOUND";
inline constexpr std::string_view kUpstreamRateLimited = "UPSTREAM_RATE_LIMITED";
inline constexpr std::string_view kOverloaded = "OVERLOADED";
inline constexpr std::string_view kUpstreamUnreachable = "UPSTREAM_UNREACHABLE";
inline constexpr std::string_view kUpstreamProxy = "UPSTREAM_PROXY";
inline constexpr std::string_view kUpstreamTls = "UPSTREAM_TLS";
inline constexpr std::string_view kUpstreamFailed = "UPSTREAM_FAILED";
inline constexpr std::string_view kUpstreamIntermediary = "UPSTREAM_INTERMEDIARY";
inline constexpr std::string_view kCircuitOpen = "CIRCUIT_OPEN";
inline constexpr std::string_view kJournalUnavailable = "JOURNAL_UNAVAILABLE";
// The journal's, to leasing: it ends there, as UNKNOWN's error or the other process's outcome.
inline constexpr std::string_view kOwnershipLost = "OWNERSHIP_LOST";
inline constexpr std::string_view kOutcomeUnknown = "OUTCOME_UNKNOWN";
inline constexpr std::string_view kUpstreamMalformed = "UPSTREAM_MALFORMED";
inline constexpr std::string_view kDeadline = "DEADLINE";
inline constexpr std::string_view kCancelled = "CANCELLED";
inline constexpr std::string_view kInternal = "INTERNAL";
inline constexpr std::string_view kInvalidPhoneNumber = "INVALID_PHONE_NUMBER";
inline constexpr std::string_view kInvalidRequestId = "INVALID_REQUEST_ID";
inline constexpr std::string_view kInvalidBillingMethod = "INVALID_BILLING_METHOD";
inline constexpr std::string_view kInvalidFailover = "INVALID_FAILOVER";
inline constexpr std::string_view kInvalidForwardTo = "INVALID_FORWARD_TO";
inline constexpr std::string_view kInvalidRequest = "INVALID_REQUEST";
inline constexpr std::string_view kRequestTooLarge = "REQUEST_TOO_LARGE";
inline constexpr std::string_view kInvalidFilter = "INVALID_FILTER";
inline constexpr std::string_view kInvalidOrderBy = "INVALID_ORDER_BY";
inline constexpr std::string_view kInvalidPageSize = "INVALID_PAGE_SIZE";
inline constexpr std::string_view kInvalidPageToken = "INVALID_PAGE_TOKEN";
inline constexpr std::string_view kPageTokenExpired = "PAGE_TOKEN_EXPIRED";
inline constexpr std::string_view kInvalidMaxStaleness = "INVALID_MAX_STALENESS";
inline constexpr std::string_view kInvalidBatch = "INVALID_BATCH";
inline constexpr std::string_view kInvalidResumeToken = "INVALID_RESUME_TOKEN";
inline constexpr std::string_view kInvalidConsistencyToken = "INVALID_CONSISTENCY_TOKEN";
inline constexpr std::string_view kStopping = "STOPPING";
inline constexpr std::string_view kRequestIdReused = "REQUEST_ID_REUSED";
inline constexpr std::string_view kAlreadyLeased = "ALREADY_LEASED";
inline constexpr std::string_view kPriceChanged = "PRICE_CHANGED";
inline constexpr std::string_view kLeaseChanged = "LEASE_CHANGED";
inline constexpr std::string_view kNoMatchingNumber = "NO_MATCHING_NUMBER";
inline constexpr std::string_view kNotApplied = "NOT_APPLIED";
inline constexpr std::string_view kOperationNotFound = "OPERATION_NOT_FOUND";
inline constexpr std::string_view kPriceCeilingMissing = "PRICE_CEILING_MISSING";
inline constexpr std::string_view kTooManyWatchers = "TOO_MANY_WATCHERS";
inline constexpr std::string_view kIdentityInvalid = "IDENTITY_INVALID";
inline constexpr std::string_view kNotAllowed = "NOT_ALLOWED";
inline constexpr std::string_view kInvalidAccount = "INVALID_ACCOUNT";
inline constexpr std::string_view kQuotaExceeded = "QUOTA_EXCEEDED";
inline constexpr std::string_view kSpendLimitExceeded = "SPEND_LIMIT_EXCEEDED";
}  // namespace reason

using ErrorMetadata = std::map<std::string, std::string>;

// "false" in the metadata of an HTTP answer that has none of the provider's forms: something in
// between has given it.
inline constexpr std::string_view kFromProviderKey = "from_provider";
// The answer's Retry-After in the metadata, in milliseconds.
inline constexpr std::string_view kRetryAfterKey = "retry_after_ms";
// How long to wait before another try where the provider doesn't say.
inline constexpr std::chrono::milliseconds kDefaultRetryDelay{1'000};

// A status with an ErrorInfo of the domain above. `metadata` values must hold no secret.
absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                       const ErrorMetadata& metadata = {});

// The ErrorInfo's reason; empty when there is none.
std::string ReasonOf(const absl::Status& status);
// The ErrorInfo's metadata; empty when there is none.
ErrorMetadata MetadataOf(const absl::Status& status);
// Adds to the ErrorInfo's metadata.
void AddMetadata(absl::Status& status, const std::string& key, const std::string& value);

// Adds to the end of the message; code and details stay.
void AppendToMessage(absl::Status& status, std::string_view text);

// Adds a google.rpc detail of a type of its own: PreconditionFailure with one violation,
// QuotaFailure with one, Help with one link.
void AddPrecondition(absl::Status& status, std::string_view type, std::string_view subject,
                     std::string_view description);
void AddQuotaViolation(absl::Status& status, std::string_view subject,
                       std::string_view description);
void AddHelp(absl::Status& status, std::string_view description, std::string_view url);

// RetryInfo: wait at least this long, zero or more, before trying again.
void SetRetryDelay(absl::Status& status, std::chrono::milliseconds delay);
std::optional<std::chrono::milliseconds> RetryDelayOf(const absl::Status& status);

// What is known of the request that failed.
enum class RequestState {
  kNotSent,  // no byte of it can have reached the provider
  kSent,     // some of it, or all, may have; no complete answer came back
  kAnswered  // a complete answer came back
};

// An exchange that got no complete answer. `cause` is what went wrong in words; `why` is the reason
// when nothing worse is true: UPSTREAM_UNREACHABLE, UPSTREAM_PROXY or UPSTREAM_TLS. A write in
// state kSent becomes ABORTED, OUTCOME_UNKNOWN.
absl::Status FromTransport(std::string_view operation, std::string_view cause, std::string_view why,
                           RequestState state, bool is_write);

// The Retry-After of an HTTP answer, not the gateway's own guess; nothing when there was none.
std::optional<std::chrono::milliseconds> RetryAfterOf(const absl::Status& status);

// The error for a call that ran out of time, or went away, before anything was sent.
absl::Status DeadlineError(std::string_view doing);
absl::Status CancelledError(std::string_view doing);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_UPSTREAM_ERROR_H_
