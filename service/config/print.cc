#include "service/config/print.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "service/config/option_table.h"

namespace leasegateway {
namespace {

std::string YamlString(absl::string_view value) {
  return absl::StrCat("\"", absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
}

}  // namespace

std::string Help() {
  std::string text =
      "lease-gateway: leases phone numbers over gRPC.\n"
      "\n"
      "Usage: lease-gateway [FLAGS]\n"
      "\n"
      "  --config FILE\n"
      "      YAML file with the options below, a flat map; keys as the flags with '_' for '-'\n"
      "  --check-config\n"
      "      Check flags, environment and files, then exit\n"
      "  --print-config\n"
      "      Print the options in force as YAML, then exit\n"
      "  --migrate\n"
      "      Bring the schema of database_url up to date, then exit; needs no API key\n"
      "  --print-metrics\n"
      "      Print the table of the metrics, then exit\n"
      "  --help\n"
      "      Print this, then exit\n"
      "  --version\n"
      "      Print the version, then exit\n"
      "\n"
      "Options; the stronger wins: flag, environment, YAML file, default.\n"
      "\n";
  const Config defaults;
  for (const Option& option : Options()) {
    const std::string value = option.get(defaults);
    absl::StrAppend(&text, "  ", option.Flag(), option.is_boolean ? "" : " ", option.argument,
                    "\n      ", option.help, "\n      ", option.Environment(), ", default ",
                    value.empty() ? "empty" : value, "\n");
  }
  absl::StrAppend(
      &text,
      "\n"
      "The API key comes from the file upstream_token_file, else from the environment variable\n"
      "CONTIGUITY_API_KEY, else from CONTIGUITY_TOKEN; never from a flag or the YAML file. It is\n"
      "printable ASCII without spaces, at most 512 bytes; white space around it is ignored.\n"
      "With callers_file each account has a file of its own with its key instead.\n"
      "\n"
      "USER:PASSWORD of the proxy come from the file upstream_proxy_credentials_file, which is "
      "read\n"
      "anew for each connection, else from the URL in HTTPS_PROXY or the like.\n"
      "\n"
      "The password of database_url comes from the file database_password_file, else from the\n"
      "environment variable LEASE_GATEWAY_DATABASE_PASSWORD, else from "
      "LEASE_GATEWAY_DATABASE_URL;\n"
      "never from a flag or the YAML file.\n"
      "\n"
      "Signals:\n"
      "  SIGTERM, SIGINT  report NOT_SERVING, wait drain_wait, take no new calls, let those in\n"
      "                   flight finish for at most grace, exit\n"
      "  SIGUSR1          log one level more\n"
      "  SIGUSR2          log one level less\n");
  return text;
}

std::string PrintConfig(const Config& config, const std::vector<std::string>& sources) {
  std::string text = "# lease-gateway configuration\n";
  for (std::size_t i = 0; i < Options().size(); ++i) {
    const Option& option = Options()[i];
    const std::string value = option.get(config);
    absl::StrAppend(&text, "\n# ", option.help, "\n");
    // Set, they would contradict `sandbox`.
    if (config.sandbox && IsUpstreamOnly(option)) absl::StrAppend(&text, "# not used: ");
    absl::StrAppend(&text, option.key, ": ", option.is_string ? YamlString(value) : value);
    if (!sources.empty()) absl::StrAppend(&text, "  # ", sources[i]);
    absl::StrAppend(&text, "\n");
  }
  if (const auto road = RoadOf(config); road.ok()) {
    absl::StrAppend(&text, "\n# road to the provider: ", road->Describe(), "\n");
  }
  absl::StrAppend(&text, "\n# api_key: ", config.api_key.empty() ? "not set" : "REDACTED (set)",
                  "\n# database_password: ",
                  config.database_password.empty() ? "not set" : "REDACTED (set)", "\n");
  return text;
}

}  // namespace leasegateway
