#ifndef LEASE_GATEWAY_SERVICE_CONFIG_OPTION_H_
#define LEASE_GATEWAY_SERVICE_CONFIG_OPTION_H_

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "service/config/config.h"
#include "service/process/error_text.h"

namespace leasegateway {

inline constexpr absl::string_view kEnvironmentPrefix = "LEASE_GATEWAY_";

// A field of Config that can be set by a flag, a variable of the environment and the YAML file.
struct Option {
  std::string key;       // of the YAML file; flag and variable follow from it
  std::string argument;  // its name in --help
  std::string help;
  std::function<std::string(absl::string_view, Config&)> set;  // returns the rule broken, or empty
  std::function<std::string(const Config&)> get;               // as `set` reads it
  bool is_boolean = false;
  bool is_string = false;
  std::function<std::string(absl::string_view)> show = Quote;  // in errors

  std::string Flag() const;         // --max-watchers
  std::string Environment() const;  // LEASE_GATEWAY_MAX_WATCHERS
};

// The kinds of options. `field` is what is set. Bounds are allowed values, and end `help`.
Option Duration(std::string key, absl::string_view help, Config::Milliseconds Config::*field,
                Config::Milliseconds min, Config::Milliseconds max);
// Of int, std::uint64_t and std::uint16_t.
template <typename T>
Option Integer(std::string key, absl::string_view help, T Config::*field, T min, T max);
// Of int and std::int64_t: bytes, with KiB or MiB.
template <typename T>
Option Size(std::string key, absl::string_view help, T Config::*field, T min, T max);
Option Boolean(std::string key, absl::string_view help, bool Config::*field);
// `check` returns the rule that a value breaks, or empty.
Option Text(std::string key, std::string argument, absl::string_view help,
            std::string Config::*field, std::function<std::string(absl::string_view)> check);
Option Choice(std::string key, absl::string_view help, std::string Config::*field,
              std::vector<std::string> choices);
Option Url(std::string key, absl::string_view help, std::string Config::*field);
// Of a proxy; one with credentials, which are refused, is not shown.
Option ProxyOption(std::string key, absl::string_view help, std::string Config::*field);
// Checked as a part of the whole, since other options say what it may be.
Option DatabaseUrlOption(std::string key, absl::string_view help, std::string Config::*field);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CONFIG_OPTION_H_
