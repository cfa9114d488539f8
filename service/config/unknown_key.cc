#include "service/config/unknown_key.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "service/config/error_text.h"
#include "service/config/option_table.h"

namespace leasegateway {
namespace {

std::size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, changed}));
    }
  }
  return row.back();
}

}  // namespace

std::string UnknownRule(absl::string_view key,
                        const std::function<std::string(const Option&)>& name) {
  static constexpr absl::string_view kSecretWords[] = {"token",    "secret",        "apikey",
                                                       "password", "authorization", "key"};
  const std::string folded = absl::StrReplaceAll(absl::AsciiStrToLower(key), {{"-", "_"}});
  for (absl::string_view word : kSecretWords) {
    if (folded == word || absl::EndsWith(folded, absl::StrCat("_", word))) {
      return absl::StrCat("cannot be set here: ",
                          absl::StartsWith(folded, "database_") ? kPasswordRule : kSecretsRule);
    }
  }
  const Option* nearest = nullptr;
  std::size_t distance = std::max<std::size_t>(2, folded.size() / 3) + 1;
  // Longer keys than any option are not worth comparing.
  for (const Option& option : Options()) {
    if (folded.size() > 64) break;
    const std::size_t candidate = EditDistance(folded, option.key);
    if (candidate < distance) {
      distance = candidate;
      nearest = &option;
    }
  }
  if (nearest == nullptr) return "is unknown; --help lists all";
  return absl::StrCat("is unknown; did you mean ", name(*nearest), "?");
}

}  // namespace leasegateway
