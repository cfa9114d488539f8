#ifndef LEASE_GATEWAY_SERVICE_PROCESS_API_KEY_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_API_KEY_H_

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "service/process/periodic.h"

namespace leasegateway {

// The rule that a key of the provider's API breaks; empty: none.
std::string CheckApiKey(absl::string_view key);

// The key in a file, white space around it ignored. The error's message is the rule that the file
// breaks; it never quotes the key.
absl::StatusOr<std::string> ReadApiKey(const std::string& path);

// The key in force. Thread-safe.
class ApiKey {
 public:
  // `path` (upstream_token_file; empty: the key stays) is read anew every `refresh`: what has
  // changed is in force from the next request on, if it is a key by the rules; otherwise the one
  // from before stays. Logs both.
  ApiKey(std::string key, std::string path, std::chrono::milliseconds refresh);

  std::string Get() const;

 private:
  void Refresh();

  const std::string path_;
  mutable std::mutex mutex_;
  std::string key_;         // under mutex_
  std::string last_error_;  // of the thread
  std::optional<Periodic> refreshing_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_API_KEY_H_
