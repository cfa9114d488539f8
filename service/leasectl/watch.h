#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_WATCH_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_WATCH_H_

#include <cstdint>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "leasegateway/v1/resources.pb.h"
#include "service/leasectl/client.h"

namespace leasegateway {

struct WatchOptions {
  // This must outlive the command.
  void AddTo(CLI::App& command);

  bool state = false;
  std::optional<std::string> count;
  std::optional<std::string> duration;
};

// Prints the numbers that can be leased and then each change, until a signal, the end that the
// options name, or a failure that watching again would not mend. Blocks SIGINT and SIGTERM, so it
// has to be the process's last act.
ExitCode Watch(const GlobalOptions& global, const WatchOptions& options,
               const v1::AvailabilityFilter& filter);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_WATCH_H_
