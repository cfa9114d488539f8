#ifndef LEASE_GATEWAY_UPSTREAM_PROVIDER_CONDITIONAL_H_
#define LEASE_GATEWAY_UPSTREAM_PROVIDER_CONDITIONAL_H_

#include <boost/beast/http/fields.hpp>
#include <cstddef>
#include <string_view>

#include "upstream/validators.h"

namespace leasegateway {

// Asking for a list only if it has changed (RFC 9110, 13).

// Those of an answer that can be relied upon. An entity tag is one in quotation marks, of 1 KiB at
// most: one without could be an asterisk, which every list matches. A Last-Modified less than a
// second before the answer's Date is none: the list may have changed again in that second.
Validators ValidatorsOf(const boost::beast::http::fields& answer);

// The mark of a key, given as it stands in the request; of use in this process alone.
std::size_t MarkOfKey(std::string_view authorization);

// Asks for nothing if the list is still the one of `known`.
void SetConditions(const Validators& known, boost::beast::http::fields& request);

// Whether a 304 that has these fields speaks of the list of `known`: it was asked for, and if it
// has an entity tag, that is the same one, weak or not.
bool Confirms(const boost::beast::http::fields& not_modified, const Validators& known);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PROVIDER_CONDITIONAL_H_
