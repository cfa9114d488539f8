#ifndef LEASE_GATEWAY_UPSTREAM_NAMES_SYSTEM_NAMES_H_
#define LEASE_GATEWAY_UPSTREAM_NAMES_SYSTEM_NAMES_H_

#include <chrono>
#include <string>
#include <vector>

namespace leasegateway {

// How this system looks up names, as far as c-ares doesn't do it by itself: it asks for both
// families of a name at once only by waiting for both, and asked for one at a time it may find them
// under different names.
struct SystemNames {
  std::string sources = "fb";       // f: the hosts file, b: name servers, in their order
  std::vector<std::string> search;  // domains
  int ndots = 1;                    // a name with fewer dots is first looked for in `search`
  int servers = 1;                  // name servers, at least one
  std::chrono::milliseconds timeout{5'000};  // of a question
  bool always_tcp = false;
};

// resolv.conf(5) with LOCALDOMAIN, RES_OPTIONS and the host's own domain, and the line of
// nsswitch.conf(5) for hosts. A file that can't be read has the defaults, as with glibc.
SystemNames ReadSystemNames(const std::string& resolv_conf, const std::string& nsswitch_conf);

// The names to ask servers for in turn, each with a dot at its end: glibc's order.
std::vector<std::string> CandidateNames(const SystemNames& system, const std::string& host);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_NAMES_SYSTEM_NAMES_H_
