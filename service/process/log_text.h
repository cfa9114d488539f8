#ifndef LEASE_GATEWAY_SERVICE_PROCESS_LOG_TEXT_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_LOG_TEXT_H_

#include <string>
#include <string_view>

namespace leasegateway {

// Text of anybody as one line of a log, which moves no terminal's cursor. Always valid UTF-8.

// Escapes control characters and invalid UTF-8, and where `quotes`, what ends a quoted value.
void AppendText(std::string_view text, bool quotes, std::string& out);

// As a JSON string, in quotes; what is no UTF-8 becomes U+FFFD.
void AppendJsonString(std::string_view text, std::string& out);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_LOG_TEXT_H_
