#include "upstream/sandbox/sandbox.h"

#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "upstream/sandbox/accounts.h"
#include "upstream/sandbox/server.h"
#include "upstream/sandbox/text.h"

namespace leasegateway::sandbox {

absl::StatusOr<std::unique_ptr<Sandbox>> Sandbox::Start(const SandboxOptions& options) {
  SandboxOptions complete = options;
  if (complete.numbers < 0 || complete.numbers > 1'000'000) {
    return absl::InvalidArgumentError(
        Cat("numbers: ", complete.numbers, " must be from 0 to 1000000"));
  }
  for (const std::string& key : complete.keys) {
    if (!IsKey(key)) {
      return absl::InvalidArgumentError(
          "keys: each must be contiguity_sk_ and 1 to 200 letters, digits, _ or -");
    }
  }
  if (complete.keys.empty()) complete.keys.push_back(MakeKey(complete.seed));
  try {
    auto server = std::make_unique<Server>(complete);
    if (absl::Status status = server->Start(); !status.ok()) return status;
    return std::unique_ptr<Sandbox>(new Sandbox(std::move(server)));
  } catch (const std::exception& e) {
    return absl::InternalError(Cat("the sandbox can't start: ", e.what()));
  }
}

Sandbox::Sandbox(std::unique_ptr<Server> server) : server_(std::move(server)) {}
Sandbox::~Sandbox() = default;

std::string Sandbox::url() const { return server_->urls().front(); }
std::vector<std::string> Sandbox::urls() const { return server_->urls(); }
std::string Sandbox::control_url() const { return server_->control_url(); }
std::string Sandbox::ca_certificate() const { return server_->ca_certificate(); }
std::string Sandbox::key() const { return server_->key(); }

absl::StatusOr<std::string> Sandbox::Control(const std::string& method, const std::string& path,
                                             const std::string& body) {
  return server_->HandleControl(method, path, body);
}

}  // namespace leasegateway::sandbox
