#ifndef LEASE_GATEWAY_UPSTREAM_PROVIDER_WHOSE_ANSWER_H_
#define LEASE_GATEWAY_UPSTREAM_PROVIDER_WHOSE_ANSWER_H_

#include "leasegateway/v1/resources.pb.h"
#include "upstream/transport/padded_text.h"

namespace leasegateway {

// Between the gateway and the provider stand others, an egress proxy, a firewall, a CDN, a login,
// that may answer in its place. What they say, whatever the status, says nothing of the API key, of
// an argument or of a number, nor whether a request went on to the provider.
enum class Author { kProvider, kMiddleman };

// Whose a complete HTTP answer is; the one place that decides. The provider's is, by its contract,
// - a JSON object that is its envelope: `data`, and two at least of `id`, `timestamp`,
//   `api_version` and `object`, so that one that is missing is no matter;
// - with a status that is no success, also an object of `message` and `status`, the answer's own,
//   and beside them at most `agreement_url`: what else others say in that form has more in it;
// - with a success, also text that is no JSON but begins as the envelope does: a reply of the
//   provider that came out broken.
// Everything else is a middleman's: pages, other JSON, no body at all. The header is not looked
// at, because all of it may be from a middleman in front of an answer of the provider. An answer
// 304 to a request that had a validator is nobody's to ask about here: it has no body.
Author WhoseAnswer(int status, const PaddedText& body);

// Whether what was read of a success shows the envelope; where not, WhoseAnswer still may. It
// spares large replies that second reading.
bool ShowsEnvelope(const v1::ResponseMetadata& read);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PROVIDER_WHOSE_ANSWER_H_
