#ifndef LEASE_GATEWAY_SERVICE_CONFIG_FLAG_PARSER_H_
#define LEASE_GATEWAY_SERVICE_CONFIG_FLAG_PARSER_H_

#include <optional>
#include <string>
#include <vector>

#include "service/config/invocation.h"

namespace leasegateway {

// The command line as it was given.
struct ParsedFlags {
  Invocation invocation;                           // all but its config
  std::vector<std::optional<std::string>> values;  // of the options, in the table's order
  bool understood = true;                          // false: flags may have got lost
};

// Appends a line to `errors` for each thing that is wrong; values are not looked at.
ParsedFlags ParseFlags(int argc, const char* const* argv, std::vector<std::string>& errors);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CONFIG_FLAG_PARSER_H_
