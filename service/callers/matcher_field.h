#ifndef LEASE_GATEWAY_SERVICE_CALLERS_MATCHER_FIELD_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_MATCHER_FIELD_H_

#include <vector>

#include "service/callers/callers_policy.h"
#include "service/callers/file_field.h"

namespace leasegateway {

// The value of `match`, into `identity` and `prefix` of a caller. Where it is not as it must be,
// the kind is IDENTITY_KIND_UNSPECIFIED.
// `issuers`: those that there are; null: that isn't known.
void ReadMatcher(const FileField& field, const std::vector<TokenIssuer>* issuers,
                 CallerSetting& caller);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_MATCHER_FIELD_H_
