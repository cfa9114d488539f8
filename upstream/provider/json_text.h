#ifndef LEASE_GATEWAY_UPSTREAM_PROVIDER_JSON_TEXT_H_
#define LEASE_GATEWAY_UPSTREAM_PROVIDER_JSON_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace leasegateway {

// What can be found out of a text that a JSON parser doesn't take, or not alone. Thread-safe.

// At most `max_bytes` of a UTF-8 text, cut between characters, with spaces for control characters.
std::string Printable(std::string_view text, size_t max_bytes);

// Behind the bracket that closes the one that `text` begins with; npos when those between don't
// match.
size_t EndOfBrackets(std::string_view text);

// Where the element of an array that begins at `at` ends: at the comma or bracket behind it, or at
// the end of the text. Finds it also where brackets inside of it don't match.
size_t EndOfItem(std::string_view text, size_t at);

// The parser refuses a whole reply for a byte that isn't UTF-8, or a control character, in one of
// its texts. In their place this puts half of a surrogate pair, which makes only that text
// unreadable.
std::string MendTexts(std::string_view text);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PROVIDER_JSON_TEXT_H_
