#ifndef LEASE_GATEWAY_TESTS_SUPPORT_CALLERS_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_CALLERS_FIXTURE_H_

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/gateway_fixture.h"

namespace leasegateway {

// A gateway with a callers file and the accounts "sales" and "support", each with a key of its own
// at the sandbox. Callers are SPIFFE IDs below spiffe://prod/, told by the header of a side-car.
class CallersTest : public GatewayTest {
 protected:
  static constexpr char kSalesKey[] = "contiguity_sk_sales";
  static constexpr char kSupportKey[] = "contiguity_sk_support";

  CallersTest()
      : folder_(testing::TempDir() + "/lease-gateway-callers-" + std::to_string(getpid())) {
    std::filesystem::create_directory(folder_);
  }
  ~CallersTest() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  std::string Write(const std::string& name, const std::string& text) const {
    // As a rename, so that a reader never sees half of it.
    std::ofstream(Path(name + ".new")) << text;
    std::filesystem::rename(Path(name + ".new"), Path(name));
    return Path(name);
  }

  // `accounts`: more keys of sales, such as its limits. `rest`: roles and callers.
  void WriteCallers(const std::string& rest, const std::string& sales = "") const {
    Write("callers.yaml",
          "accounts:\n  - {name: sales, key_file: " + Write("sales.key", kSalesKey) + sales +
              "}\n  - {name: support, key_file: " + Write("support.key", kSupportKey) + "}\n" +
              rest);
  }

  void StartWithCallers(const std::string& rest,
                        const std::function<void(Config&)>& adjust = nullptr,
                        const std::string& sales = "") {
    WriteCallers(rest, sales);
    sandbox::SandboxOptions options;
    options.keys = {kSalesKey, kSupportKey};
    StartGateway(
        [&](Config& config) {
          config.callers_file = Path("callers.yaml");
          config.file_refresh = std::chrono::milliseconds(20);
          if (adjust) adjust(config);
        },
        options);
  }

  // A call by spiffe://prod/NAME; empty: by nobody.
  static std::unique_ptr<grpc::ClientContext> As(const std::string& name, int timeout_ms = 10'000) {
    auto context = Context(timeout_ms);
    if (!name.empty()) {
      context->AddMetadata("x-forwarded-client-cert", "URI=spiffe://prod/" + name);
    }
    return context;
  }

 private:
  const std::string folder_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_CALLERS_FIXTURE_H_
