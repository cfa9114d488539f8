#ifndef LEASE_GATEWAY_SERVICE_ADMIN_PROCESS_STATS_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_PROCESS_STATS_H_

namespace leasegateway {

// What /proc and the limits say of this process.
struct ProcessStats {
  double resident_bytes = 0;
  double virtual_bytes = 0;
  double cpu_seconds = 0;  // user and system
  double open_files = 0;
  double max_files = 0;
  double threads = 0;
  double start_time = 0;  // seconds since 1970
};

// From any thread. What can't be read is 0.
ProcessStats ReadProcessStats();

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_PROCESS_STATS_H_
