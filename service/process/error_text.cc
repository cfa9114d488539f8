#include "service/process/error_text.h"

#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace leasegateway {
namespace {

constexpr std::size_t kMaxShownBytes = 120;

}  // namespace

std::string Quote(absl::string_view value) {
  const bool cut = value.size() > kMaxShownBytes;
  return absl::StrCat("\"", absl::CHexEscape(std::string(value.substr(0, kMaxShownBytes))),
                      cut ? "..." : "", "\"");
}

std::string QuoteUrl(absl::string_view value) {
  std::string shown(value.substr(0, value.find_first_of("?#")));
  if (shown.size() < value.size()) shown += "?***";
  if (const std::size_t at = value.rfind('@'); at != value.npos) {
    const std::size_t scheme = value.find("://");
    shown = absl::StrCat(scheme < at ? value.substr(0, scheme + 3) : "", "***@",
                         value.substr(at + 1, value.find_first_of("?#", at) - at - 1));
  }
  return Quote(shown);
}

std::string QuoteDatabaseUrl(absl::string_view value) {
  if (absl::StrContains(value, "://")) return QuoteUrl(value);
  bool may_show = !absl::StrContains(absl::AsciiStrToLower(value), "pass");
  for (absl::string_view word : absl::StrSplit(value, ' ', absl::SkipEmpty())) {
    may_show = may_show && absl::StrContains(word, "=");
  }
  return Quote(may_show ? value : "***");
}

std::string EscapeName(absl::string_view name) {
  const std::string shown = Quote(name);
  return shown.substr(1, shown.size() - 2);
}

std::string ErrorLine(absl::string_view place, absl::string_view shown, absl::string_view rule) {
  return absl::StrCat(place, ": ", shown, shown.empty() ? "" : ": ", rule);
}

}  // namespace leasegateway
