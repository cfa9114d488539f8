#ifndef LEASE_GATEWAY_UPSTREAM_JSON_CODEC_H_
#define LEASE_GATEWAY_UPSTREAM_JSON_CODEC_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "upstream/lease_api.h"

namespace leasegateway {

// The one place where JSON becomes messages. Decoding is tolerant of what the provider is known to
// vary (units and spellings of time, old `capabilities`, unknown words and keys, missing optional
// fields, null for absent) and strict about the rest: text that is not JSON (RFC 8259), deeper than
// 64 levels, has a key twice in one object, or has a value of a type that can not be read, is an
// error INTERNAL, reason UPSTREAM_MALFORMED, whose message names the place as a path
// ("data.numbers[3].pricing.monthly_rate"), the rule, and never more than a few words of the value.
//
// An item of the two lists that is JSON but can't be read (wrong type, no number, a key twice, too
// deep up to 512 levels) is left out, counted in `bad_items` and explained in `first_bad_item` as a
// message would. When more than 10 items and more than 10 % of them are bad, or all of them, the
// reply as a whole is UPSTREAM_MALFORMED: a new format must not look like a short list.
//
// `body` is a complete reply with an HTTP status 2xx. `metadata.fetch_time` is left for the
// caller to fill. Thread-safe.
absl::StatusOr<Reply<NumberList>> DecodeAvailableNumbers(std::string_view body);
absl::StatusOr<Reply<LeaseList>> DecodeLeases(std::string_view body);
absl::StatusOr<Reply<v1::Number>> DecodeNumber(std::string_view body);
absl::StatusOr<Reply<v1::Lease>> DecodeLease(std::string_view body);
absl::StatusOr<Reply<v1::Termination>> DecodeTermination(std::string_view body);
absl::StatusOr<Reply<v1::Failover>> DecodeFailover(std::string_view body);
absl::StatusOr<Reply<v1::CallForwarding>> DecodeCallForwarding(std::string_view body);

// What the provider says when it refuses.
struct UpstreamErrorBody {
  // False: the body is not one of the provider's (an HTML page, nothing, some other JSON).
  bool recognized = false;
  std::string id;             // "err_…", empty without an envelope
  std::string message;        // `data.error`, or `message` without an envelope; at most 512 bytes
  std::string agreement_url;  // https only, at most 2048 bytes; empty: no agreement to accept
};
// Never fails: what can't be read is left empty. Control characters in `message` become spaces.
UpstreamErrorBody DecodeError(std::string_view body);

// Request bodies.
std::string EncodeCreateLease(v1::BillingMethod method);  // UNSPECIFIED: "{}"
std::string EncodeFailover(const v1::Failover& failover);
std::string EncodeEnableCallForwarding(std::string_view forward_to);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_JSON_CODEC_H_
