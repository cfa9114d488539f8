#include "service/config/unknown_key.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "service/config/option_table.h"
#include "service/process/error_text.h"
#include "service/process/nearest_name.h"

namespace leasegateway {

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
  std::vector<std::string> keys;
  for (const Option& option : Options()) keys.push_back(option.key);
  const std::string nearest = NearestName(folded, keys);
  if (nearest.empty()) return "is unknown; --help lists all";
  return absl::StrCat("is unknown; did you mean ", name(*FindOption(nearest)), "?");
}

}  // namespace leasegateway
