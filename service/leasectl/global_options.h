#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_GLOBAL_OPTIONS_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_GLOBAL_OPTIONS_H_

#include <string>

namespace leasegateway {

// What every command has: how to reach the gateway, as whom and for which account, and how to
// print.
struct GlobalOptions {
  std::string target = "127.0.0.1:50051";
  bool tls = false;
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
  std::string server_name;
  std::string token_file;       // of the bearer token; empty: none
  std::string account;          // the one that calls are for; empty: the caller's only one
  std::string timeout = "10s";  // a positive, finite duration: checked when it was read
  bool json = false;
  bool verbose = false;
  std::string color = "auto";
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_GLOBAL_OPTIONS_H_
