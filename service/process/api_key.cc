#include "service/process/api_key.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "service/process/read_file.h"

namespace leasegateway {
namespace {

constexpr std::size_t kMaxKeyBytes = 512;
constexpr std::size_t kMaxKeyFileBytes = 1 << 12;

}  // namespace

std::string CheckApiKey(absl::string_view key) {
  if (key.empty()) return "must not be empty";
  if (key.size() > kMaxKeyBytes) return absl::StrCat("must be at most ", kMaxKeyBytes, " bytes");
  const bool graphic =
      std::all_of(key.begin(), key.end(), [](unsigned char c) { return absl::ascii_isgraph(c); });
  return graphic ? "" : "must be printable ASCII without spaces";
}

absl::StatusOr<std::string> ReadApiKey(const std::string& path) {
  const auto content = ReadFile(path, kMaxKeyFileBytes);
  if (!content.ok()) return content.status();
  const absl::string_view key = absl::StripAsciiWhitespace(*content);
  const std::string rule = CheckApiKey(key);
  if (!rule.empty()) return absl::InvalidArgumentError(absl::StrCat("the API key ", rule));
  return std::string(key);
}

ApiKey::ApiKey(std::string key, std::string path, std::chrono::milliseconds refresh)
    : path_(std::move(path)), key_(std::move(key)) {
  if (!path_.empty()) refreshing_.emplace(refresh, [this] { Refresh(); });
}

std::string ApiKey::Get() const {
  const std::lock_guard lock(mutex_);
  return key_;
}

void ApiKey::Refresh() {
  auto read = ReadApiKey(path_);
  if (!read.ok()) {
    const std::string error(read.status().message());
    if (error != std::exchange(last_error_, error)) {
      spdlog::error("upstream_token_file: \"{}\": {}; the API key from before stays in force",
                    path_, error);
    }
    return;
  }
  last_error_.clear();
  const std::lock_guard lock(mutex_);
  if (*read == key_) return;
  key_ = *std::move(read);
  spdlog::info("upstream_token_file has changed: the new API key is in force");
}

}  // namespace leasegateway
