#ifndef LEASE_GATEWAY_SERVICE_RPC_FORMATS_H_
#define LEASE_GATEWAY_SERVICE_RPC_FORMATS_H_

#include <string_view>

namespace leasegateway {

// What a text of a request may be.

inline bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// RFC 9562, any version, hexadecimal digits in either case.
bool IsUuid(std::string_view text);

// A DNS label: 1 to 63 of a to z, 0 to 9 and hyphens, without a hyphen at either end.
bool IsAccountName(std::string_view text);

// E.164: a plus sign, then 2 to 15 digits, the first of which is not 0.
bool IsPhoneNumber(std::string_view text);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_FORMATS_H_
