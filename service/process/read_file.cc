#include "service/process/read_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace leasegateway {

absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t max_bytes) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"),
                                                             &std::fclose);
  if (file == nullptr) {
    return absl::NotFoundError(absl::StrCat("cannot be read: ", std::strerror(errno)));
  }
  std::string content;
  char buffer[1 << 14];
  while (true) {
    const std::size_t count = std::fread(buffer, 1, sizeof(buffer), file.get());
    content.append(buffer, count);
    if (content.size() > max_bytes) {
      const bool mib = max_bytes % (1 << 20) == 0;
      return absl::InvalidArgumentError(
          absl::StrCat("is longer than ", max_bytes >> (mib ? 20 : 10), mib ? "MiB" : "KiB"));
    }
    if (count > 0) continue;
    if (std::ferror(file.get())) {
      return absl::UnavailableError(absl::StrCat("cannot be read: ", std::strerror(errno)));
    }
    return content;
  }
}

}  // namespace leasegateway
