#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_TEXT_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_TEXT_H_

#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "absl/status/status.h"

namespace leasegateway::sandbox {

// Strings and integers, one after the other. Unlike absl::StrCat it takes std::string_view where
// Abseil was built with a string_view of its own, as on Debian.
template <typename... Parts>
std::string Cat(const Parts&... parts) {
  std::string text;
  const auto append = [&text](const auto& part) {
    if constexpr (std::is_integral_v<std::remove_cvref_t<decltype(part)>>) {
      text += std::to_string(part);
    } else {
      text += std::string_view(part);
    }
  };
  (append(parts), ...);
  return text;
}

// Without spaces, tabs and line breaks around it.
std::string_view Strip(std::string_view text);

inline std::string_view View(const boost::json::string& text) { return {text.data(), text.size()}; }

// JSON text whose numbers are plain decimals: Boost.JSON writes 19.99 as 1.999E1, which is legal
// but not what the provider sends.
std::string WriteJson(const boost::json::value& value);

// The text as a JSON string.
std::string Quote(std::string_view text);

// What the text of a JSON body holds; nothing when it isn't an object.
std::optional<boost::json::object> ParseObject(std::string_view body);

// RFC 7396. With `keep_null`, `target` is a patch itself and goes on deleting what it deletes.
void MergePatch(const boost::json::value& patch, bool keep_null, boost::json::value* target);

// What the control port says of a bad field: its name, its value and the rule that it breaks.
absl::Status BadField(std::string_view field, const boost::json::value& value,
                      std::string_view rule);

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_TEXT_H_
