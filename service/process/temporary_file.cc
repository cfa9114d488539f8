#include "service/process/temporary_file.h"

#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace leasegateway {

absl::StatusOr<std::unique_ptr<TemporaryFile>> TemporaryFile::Make(const std::string& content) {
  const char* const folder = ::getenv("TMPDIR");
  std::string path =
      absl::StrCat(folder != nullptr && *folder != '\0' ? folder : "/tmp", "/lease-gateway-XXXXXX");
  const int handle = ::mkstemp(path.data());
  if (handle < 0) {
    return absl::FailedPreconditionError(absl::StrCat("can't make a temporary file ", path));
  }
  ::close(handle);
  std::ofstream(path) << content;
  return std::unique_ptr<TemporaryFile>(new TemporaryFile(std::move(path)));
}

TemporaryFile::TemporaryFile(std::string path) : path_(std::move(path)) {}

TemporaryFile::~TemporaryFile() { ::unlink(path_.c_str()); }

}  // namespace leasegateway
