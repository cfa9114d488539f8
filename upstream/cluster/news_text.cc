#include "upstream/cluster/news_text.h"

#include <openssl/sha.h>

#include <array>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace leasegateway {

std::string TopicWord(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), 8));
}

std::vector<std::string> WritePayloads(const std::vector<Announcement>& announcements) {
  std::vector<std::string> payloads;
  for (const Announcement& announcement : announcements) {
    const std::string text = absl::StrCat(announcement.topic, "=", announcement.number);
    if (payloads.empty() || payloads.back().size() + 1 + text.size() > kMaxPayload) {
      payloads.push_back(text);
    } else {
      absl::StrAppend(&payloads.back(), " ", text);
    }
  }
  return payloads;
}

void ReadPayload(
    std::string_view payload,
    const std::function<void(std::string_view topic, std::int64_t number)>& announced) {
  for (const absl::string_view text :
       absl::StrSplit(absl::string_view(payload.data(), payload.size()), ' ', absl::SkipEmpty())) {
    const auto equals = text.find('=');
    std::int64_t number = 0;
    if (equals == absl::string_view::npos || equals == 0 ||
        !absl::SimpleAtoi(text.substr(equals + 1), &number)) {
      continue;
    }
    announced(std::string_view(text.data(), equals), number);
  }
}

}  // namespace leasegateway
