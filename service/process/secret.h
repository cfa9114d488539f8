#ifndef LEASE_GATEWAY_SERVICE_PROCESS_SECRET_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_SECRET_H_

#include <chrono>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "service/process/periodic.h"

namespace leasegateway {

struct SecretKind {
  const char* name;
  const char* option;  // that names the file which has it
  std::size_t max_bytes;
  bool any_character;     // but control characters; otherwise printable ASCII without spaces
  bool has_user = false;  // is USER:PASSWORD
};
inline constexpr SecretKind kApiKey{"API key", "upstream_token_file", 512, false};
inline constexpr SecretKind kDatabasePassword{"database password", "database_password_file", 1024,
                                              true};
inline constexpr SecretKind kProxyCredentials{"proxy credentials",
                                              "upstream_proxy_credentials_file", 1024, true, true};

// The rule that a secret breaks; empty: none.
std::string CheckSecret(const SecretKind& kind, absl::string_view secret);

// The secret in a file, white space around it ignored. The error's message is the rule that the
// file breaks; it never quotes the secret.
absl::StatusOr<std::string> ReadSecret(const SecretKind& kind, const std::string& path);

// The secret in force. Thread-safe.
class Secret {
 public:
  // `path` (`kind.option`; empty: the secret stays) is read anew every `refresh`: what has changed
  // is in force from the next request or connection on, if it is a secret by the rules; otherwise
  // the one from before stays. Logs both.
  Secret(const SecretKind& kind, std::string secret, std::string path,
         std::chrono::milliseconds refresh);

  std::string Get() const;

 private:
  void Refresh();

  const SecretKind kind_;
  const std::string path_;
  mutable std::mutex mutex_;
  std::string secret_;      // under mutex_
  std::string last_error_;  // of the thread
  std::optional<Periodic> refreshing_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_SECRET_H_
