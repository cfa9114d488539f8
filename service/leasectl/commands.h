#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_COMMANDS_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_COMMANDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "service/leasectl/client.h"
#include "service/leasectl/errors.h"
#include "service/leasectl/search_options.h"
#include "service/leasectl/watch.h"

namespace leasegateway {

// What every command may need; each looks at what its own flags set.
struct CommandOptions : GlobalOptions {
  std::string number;
  std::optional<std::string> request_id;
  std::string billing;
  std::optional<std::string> expect_monthly, expect_upfront;
  bool validate_only = false;
  std::string lease_id;
  std::string state;
  std::string caller, kind;             // of operations
  std::optional<std::string> from, to;  // times
  std::string month;
  std::string format = "table";
  bool enable = false;
  bool disable = false;
  std::string mode;
  std::vector<std::string> cover;
  std::string forward_to;
  SearchOptions search;
  StalenessOption staleness;
  std::string order_by;
  std::optional<std::int32_t> page_size;
  std::string page_token;
  bool all_pages = false;
  std::vector<std::string> numbers;
  WatchOptions watch;
  std::string health_service;
  std::string shell;
};

// A function a command: makes its calls, prints the answer, and says on standard error what went
// wrong. `options` are checked.

ExitCode Available(const CommandOptions& options);
ExitCode Get(const CommandOptions& options);
ExitCode Batch(const CommandOptions& options);
ExitCode Lease(const CommandOptions& options);
ExitCode LeaseAny(const CommandOptions& options);
ExitCode Leases(const CommandOptions& options);
ExitCode Show(const CommandOptions& options);
ExitCode Terminate(const CommandOptions& options);
ExitCode Failover(const CommandOptions& options);
ExitCode Operations(const CommandOptions& options);
ExitCode Operation(const CommandOptions& options);
ExitCode Report(const CommandOptions& options);
ExitCode WhoAmI(const CommandOptions& options);
ExitCode GetForwarding(const CommandOptions& options);
ExitCode EnableForwarding(const CommandOptions& options);
ExitCode DisableForwarding(const CommandOptions& options);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_COMMANDS_H_
