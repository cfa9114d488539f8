#ifndef LEASE_GATEWAY_SERVICE_PROCESS_ERROR_TEXT_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_ERROR_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"

namespace leasegateway {

// How the errors of a configuration read. None has more than one line, whatever it quotes.

inline constexpr absl::string_view kSecretsRule =
    "secrets come from CONTIGUITY_API_KEY, CONTIGUITY_TOKEN or the file upstream_token_file";
inline constexpr absl::string_view kPasswordRule =
    "the database's password comes from LEASE_GATEWAY_DATABASE_PASSWORD or the file "
    "database_password_file";

// A value in quotes, escaped and cut.
std::string Quote(absl::string_view value);
// The same without user info and query, which is where people put keys.
std::string QuoteUrl(absl::string_view value);
// The same of a database, for what may not be one. Key=value words are shown only where none can
// be a password.
std::string QuoteDatabaseUrl(absl::string_view value);
// A name, escaped and cut like a value.
std::string EscapeName(absl::string_view name);

// PLACE: SHOWN: RULE. `shown` is a quoted value; empty: left out.
std::string ErrorLine(absl::string_view place, absl::string_view shown, absl::string_view rule);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_ERROR_TEXT_H_
