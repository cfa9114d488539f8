#include "service/process/secret.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "service/process/read_file.h"

namespace leasegateway {
namespace {

constexpr std::size_t kMaxSecretFileBytes = 1 << 12;

}  // namespace

std::string CheckSecret(const SecretKind& kind, absl::string_view secret) {
  if (secret.empty()) return "must not be empty";
  if (secret.size() > kind.max_bytes) {
    return absl::StrCat("must be at most ", kind.max_bytes, " bytes");
  }
  const bool allowed = std::all_of(secret.begin(), secret.end(), [&](unsigned char c) {
    return kind.any_character ? !absl::ascii_iscntrl(c) : absl::ascii_isgraph(c);
  });
  const auto colon = secret.find(':');
  if (allowed && kind.has_user && (colon == secret.npos || colon == 0)) {
    return "must be USER:PASSWORD";
  }
  if (allowed) return "";
  return kind.any_character ? "must have no control characters"
                            : "must be printable ASCII without spaces";
}

absl::StatusOr<std::string> ReadSecret(const SecretKind& kind, const std::string& path) {
  const auto content = ReadFile(path, kMaxSecretFileBytes);
  if (!content.ok()) return content.status();
  const absl::string_view secret = absl::StripAsciiWhitespace(*content);
  const std::string rule = CheckSecret(kind, secret);
  if (!rule.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the ", kind.name, " ", rule));
  }
  return std::string(secret);
}

Secret::Secret(const SecretKind& kind, std::string secret, std::string path,
               std::chrono::milliseconds refresh)
    : kind_(kind), path_(std::move(path)), secret_(std::move(secret)) {
  if (!path_.empty()) refreshing_.emplace(refresh, [this] { Refresh(); });
}

std::string Secret::Get() const {
  const std::lock_guard lock(mutex_);
  return secret_;
}

void Secret::Refresh() {
  auto read = ReadSecret(kind_, path_);
  if (!read.ok()) {
    const std::string error(read.status().message());
    if (error != std::exchange(last_error_, error)) {
      spdlog::error("{}: \"{}\": {}; the {} from before stays in force", kind_.option, path_, error,
                    kind_.name);
    }
    return;
  }
  last_error_.clear();
  const std::lock_guard lock(mutex_);
  if (*read == secret_) return;
  secret_ = *std::move(read);
  spdlog::info("{} has changed: the new {} is in force", kind_.option, kind_.name);
}

}  // namespace leasegateway
