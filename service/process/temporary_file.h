#ifndef LEASE_GATEWAY_SERVICE_PROCESS_TEMPORARY_FILE_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_TEMPORARY_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace leasegateway {

// A file that is gone when this object is, in $TMPDIR or /tmp, for this user alone.
class TemporaryFile {
 public:
  // FAILED_PRECONDITION when it can't be made.
  static absl::StatusOr<std::unique_ptr<TemporaryFile>> Make(const std::string& content);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFile(std::string path);

  const std::string path_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_TEMPORARY_FILE_H_
