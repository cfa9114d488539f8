#ifndef LEASE_GATEWAY_SERVICE_PROCESS_LIBRARY_LOGS_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_LIBRARY_LOGS_H_

namespace leasegateway {

// Makes Protobuf and gRPC log to spdlog's default logger, where they would write to standard error.
// Each distinct text at level warn is written once a minute, and then how many were left out:
// callers bring them about.
void LogForLibraries();

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_LIBRARY_LOGS_H_
