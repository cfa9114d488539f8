#include "upstream/provider/conditional.h"

#include <algorithm>
#include <boost/beast/http/field.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace leasegateway {
namespace {

namespace http = boost::beast::http;

constexpr std::size_t kMaxValidator = 1 << 10;
constexpr std::string_view kWeak = "W/";
constexpr std::string_view kHttpDate = "Sun, 06 Nov 1994 08:49:37 GMT";

std::string_view FieldOf(const http::fields& fields, http::field name) {
  const auto value = fields[name];
  return {value.data(), value.size()};
}

std::string_view Opaque(std::string_view etag) {
  if (etag.starts_with(kWeak)) etag.remove_prefix(kWeak.size());
  return etag;
}

// RFC 9110, 8.8.3.
bool IsEntityTag(std::string_view text) {
  if (text.size() > kMaxValidator) return false;
  const std::string_view opaque = Opaque(text);
  if (opaque.size() < 2 || opaque.front() != '"' || opaque.back() != '"') return false;
  const std::string_view inner = opaque.substr(1, opaque.size() - 2);
  return std::all_of(inner.begin(), inner.end(),
                     [](unsigned char c) { return c > ' ' && c != '"' && c != 0x7f; });
}

// Of the one form that is sent today (RFC 9110, 5.6.7).
std::optional<absl::Time> ParseHttpDate(std::string_view text) {
  if (text.size() != kHttpDate.size()) return std::nullopt;
  absl::Time time;
  const absl::string_view date(text.data(), text.size());
  if (!absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", date, &time, nullptr)) return std::nullopt;
  return time;
}

}  // namespace

Validators ValidatorsOf(const http::fields& answer) {
  Validators validators;
  const std::string_view etag = FieldOf(answer, http::field::etag);
  if (IsEntityTag(etag)) validators.etag = etag;
  const std::string_view last_modified = FieldOf(answer, http::field::last_modified);
  const auto modified = ParseHttpDate(last_modified);
  const auto sent = ParseHttpDate(FieldOf(answer, http::field::date));
  if (modified && sent && *sent - *modified >= absl::Seconds(1)) {
    validators.last_modified = last_modified;
  }
  return validators;
}

// Seeded by the process, so that it says nothing of the key elsewhere.
std::size_t MarkOfKey(std::string_view authorization) {
  return absl::HashOf(absl::string_view(authorization.data(), authorization.size()));
}

void SetConditions(const Validators& known, http::fields& request) {
  if (!known.etag.empty()) request.set(http::field::if_none_match, known.etag);
  if (!known.last_modified.empty()) {
    request.set(http::field::if_modified_since, known.last_modified);
  }
}

bool Confirms(const http::fields& not_modified, const Validators& known) {
  if (known.empty()) return false;
  const std::string_view etag = FieldOf(not_modified, http::field::etag);
  return etag.empty() || known.etag.empty() || Opaque(etag) == Opaque(known.etag);
}

}  // namespace leasegateway
