#include "upstream/provider/json_reply.h"

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace leasegateway {

bool ReadObjectKind(JsonReader& in, JsonReader::Value value) {
  std::string kind;
  return in.ReadText(value, kind) &&
         (kind != "error" || in.Fail("an error with an HTTP status of success"));
}

std::string ReplaceBrokenItems(std::string_view text, size_t at, const ProblemOfItem& problem_of,
                               JsonReader::BrokenItems& broken) {
  std::string replaced(text.substr(0, at + 1));
  size_t index = 0;
  size_t end = at;
  do {
    const size_t begin = end + 1;
    end = EndOfItem(text, begin);
    const auto stripped =
        absl::StripAsciiWhitespace(absl::string_view(text.data() + begin, end - begin));
    if (stripped.empty()) continue;  // nothing between two commas
    const std::string_view item(stripped.data(), stripped.size());
    if (index > 0) replaced += ',';
    std::string problem = problem_of(item, index);
    replaced.append(problem.empty() ? item : std::string_view("null"));
    if (!problem.empty()) broken.emplace(index, std::move(problem));
    ++index;
  } while (end < text.size() && text[end] == ',');
  return replaced.append(text.substr(end));
}

}  // namespace leasegateway
