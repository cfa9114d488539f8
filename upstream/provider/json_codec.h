#ifndef LEASE_GATEWAY_UPSTREAM_PROVIDER_JSON_CODEC_H_
#define LEASE_GATEWAY_UPSTREAM_PROVIDER_JSON_CODEC_H_

#include "absl/status/statusor.h"
#include "upstream/lease_api.h"
#include "upstream/transport/padded_text.h"

namespace leasegateway {

// The one place where JSON becomes messages. It takes what the provider is known to vary (units and
// spellings of time, old `capabilities`, unknown words and keys, missing optional fields, null for
// absent), and of everything else as much as can be read:
//
// - What says *which* number or lease it is (`id`, `number`, `lease_id`, `number_id`) must be
//   right, or that one item of a list is left out. A reply of one item is an error then; so is
//   a list of which no item can be read, since a new format must not look like an empty list.
// - *Money* is taken to the nearest billionth. What is no amount, or less than nothing, or of a
//   currency that can't be read, is unknown: no ceiling holds for it.
// - *Everything else* that can't be read leaves out that field alone: a value of a wrong type
//   or out of its range, a text that isn't UTF-8, half of a surrogate pair, a key that is there
//   twice. Of `health` both fields go, and of call forwarding `enabled` must be there, because
//   the messages have no word for what nobody knows.
// - Text that isn't JSON (RFC 8259) leaves out the item that it is in, as long as the item's
//   end can be seen; otherwise, and outside of items, it makes the reply an error.
//
// `Reply::tolerated` counts and names all of these. An error is INTERNAL, UPSTREAM_MALFORMED; its
// message names the place as a path ("data.numbers[3].pricing.monthly_rate"), the rule, and never
// more than a few words of the value.
//
// `body` is a complete reply with an HTTP status 2xx, parsed where it lies; what the provider says
// with any other is in error_body.h, what it is sent in request_bodies.h. `metadata.fetch_time` is
// left for the caller to fill. Thread-safe.
absl::StatusOr<Reply<NumberList>> DecodeAvailableNumbers(const PaddedText& body);
absl::StatusOr<Reply<LeaseList>> DecodeLeases(const PaddedText& body);
absl::StatusOr<Reply<v1::Number>> DecodeNumber(const PaddedText& body);
absl::StatusOr<Reply<v1::Lease>> DecodeLease(const PaddedText& body);
absl::StatusOr<Reply<v1::Termination>> DecodeTermination(const PaddedText& body);
absl::StatusOr<Reply<v1::Failover>> DecodeFailover(const PaddedText& body);
absl::StatusOr<Reply<v1::CallForwarding>> DecodeCallForwarding(const PaddedText& body);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PROVIDER_JSON_CODEC_H_
