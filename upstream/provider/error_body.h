#ifndef LEASE_GATEWAY_UPSTREAM_PROVIDER_ERROR_BODY_H_
#define LEASE_GATEWAY_UPSTREAM_PROVIDER_ERROR_BODY_H_

#include <string>

#include "upstream/transport/padded_text.h"

namespace leasegateway {

// What the provider says when it refuses. Whether it is the provider is said by whose_answer.h.
struct UpstreamErrorBody {
  std::string id;             // "err_…", empty without an envelope
  std::string message;        // `data.error`, or `message` without an envelope; at most 512 bytes
  std::string agreement_url;  // https only, at most 2048 bytes; empty: no agreement to accept
};
// Never fails: what can't be read is left empty. Control characters in `message` become spaces.
UpstreamErrorBody DecodeError(const PaddedText& body);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PROVIDER_ERROR_BODY_H_
