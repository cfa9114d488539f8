// leasectl: Lease Gateway from the command line.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "service/leasectl/command_line.h"
#include "service/leasectl/table.h"

int main(int argc, char** argv) {
  // A closed pipe is seen when writing.
  std::signal(SIGPIPE, SIG_IGN);
  // Failures are explained here; gRPC's own log would only double them.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  try {
    return leasegateway::CommandLine().Run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "leasectl: %s\n", leasegateway::Harmless(error.what()).c_str());
    return leasegateway::kLocalFailure;
  }
}
