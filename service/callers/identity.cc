#include "service/callers/identity.h"

#include <algorithm>
#include <boost/nowide/utf/utf.hpp>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

constexpr absl::string_view kSpiffeScheme = "spiffe://";
constexpr std::size_t kMaxTrustDomainBytes = 255;
constexpr std::size_t kMaxLabelBytes = 63;

bool IsUtf8Name(absl::string_view text) {
  using Utf8 = boost::nowide::utf::utf_traits<char>;
  for (auto at = text.begin(); at != text.end();) {
    const auto c = Utf8::decode(at, text.end());
    if (c == boost::nowide::utf::illegal || c == boost::nowide::utf::incomplete) return false;
  }
  return true;
}

std::string CheckNameText(absl::string_view text, std::size_t max_bytes) {
  if (text.empty()) return "must not be empty";
  if (text.size() > max_bytes) return absl::StrCat("must be at most ", max_bytes, " bytes");
  if (!IsUtf8Name(text)) return "must be UTF-8";
  const bool has_control =
      std::any_of(text.begin(), text.end(), [](char c) { return absl::ascii_iscntrl(c); });
  return has_control ? "must have no control characters" : "";
}

bool IsTrustDomainCharacter(char c) {
  return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '-' || c == '_';
}

bool IsSegmentCharacter(char c) { return IsTrustDomainCharacter(c) || absl::ascii_isupper(c); }

}  // namespace

std::string CheckSpiffeId(absl::string_view id) {
  if (id.size() > kMaxSpiffeIdBytes) {
    return absl::StrCat("must be at most ", kMaxSpiffeIdBytes, " bytes");
  }
  if (!absl::StartsWith(id, kSpiffeScheme)) return "must begin with spiffe://";
  id.remove_prefix(kSpiffeScheme.size());
  const std::size_t slash = id.find('/');
  const absl::string_view domain = id.substr(0, slash);
  // This leaves no user, port, query, fragment or percent-encoding either.
  if (domain.empty() || domain.size() > kMaxTrustDomainBytes ||
      !std::all_of(domain.begin(), domain.end(), IsTrustDomainCharacter)) {
    return "must have a trust domain of lower-case letters, digits, '.', '-' and '_', at most 255";
  }
  if (slash == id.npos) return "";
  for (const absl::string_view segment : absl::StrSplit(id.substr(slash + 1), '/')) {
    if (segment.empty()) return "must have no empty segment in its path, nor '/' at its end";
    if (segment == "." || segment == "..") return "must have no '.' or '..' in its path";
    if (!std::all_of(segment.begin(), segment.end(), IsSegmentCharacter)) {
      return "must have a path of letters, digits, '.', '-' and '_'";
    }
  }
  return "";
}

std::string CheckDnsName(absl::string_view name) {
  if (name.empty()) return "must not be empty";
  if (name.size() > kMaxDnsNameBytes) {
    return absl::StrCat("must be at most ", kMaxDnsNameBytes, " bytes");
  }
  for (const absl::string_view label : absl::StrSplit(name, '.')) {
    if (label.empty() || label.size() > kMaxLabelBytes) {
      return "must have labels of 1 to 63 characters with '.' between";
    }
    const bool allowed = std::all_of(label.begin(), label.end(), [](char c) {
      return absl::ascii_isalnum(c) || c == '-' || c == '_';
    });
    if (!allowed || label.front() == '-' || label.back() == '-') {
      return "must have labels of letters, digits, '_', and '-' within";
    }
  }
  return "";
}

std::string CheckCommonName(absl::string_view name) {
  return CheckNameText(name, kMaxCommonNameBytes);
}

std::string CheckTokenIssuer(absl::string_view text) {
  const bool has_space = absl::StrContains(text, ' ');
  return has_space ? "must have no spaces" : CheckNameText(text, kMaxTokenTextBytes);
}

std::string CheckTokenSubject(absl::string_view text) {
  return CheckNameText(text, kMaxTokenTextBytes);
}

Identity SpiffeIdentity(absl::string_view id) {
  return {v1::IDENTITY_KIND_SPIFFE_ID, std::string(id)};
}

Identity DnsIdentity(absl::string_view name) {
  return {v1::IDENTITY_KIND_DNS_NAME, absl::AsciiStrToLower(name)};
}

Identity CommonNameIdentity(absl::string_view name) {
  return {v1::IDENTITY_KIND_COMMON_NAME, std::string(name)};
}

Identity TokenIdentity(absl::string_view issuer, absl::string_view subject) {
  return {v1::IDENTITY_KIND_TOKEN, absl::StrCat(issuer, " ", subject)};
}

absl::Status IdentityInvalid(absl::string_view why, absl::string_view message) {
  return MakeError(absl::StatusCode::kUnauthenticated, reason::kIdentityInvalid,
                   std::string_view(message.data(), message.size()), {{"why", std::string(why)}});
}

}  // namespace leasegateway
