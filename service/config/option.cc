#include "service/config/option.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "service/config/rules.h"

namespace leasegateway {
namespace {

using Milliseconds = Config::Milliseconds;

std::string FormatDuration(Milliseconds value) {
  return absl::FormatDuration(absl::FromChrono(value));
}

std::string FormatSize(std::int64_t value) {
  if (value != 0 && value % (1 << 20) == 0) return absl::StrCat(value >> 20, "MiB");
  if (value != 0 && value % (1 << 10) == 0) return absl::StrCat(value >> 10, "KiB");
  return absl::StrCat(value);
}

}  // namespace

std::string Option::Flag() const {
  return absl::StrCat("--", absl::StrReplaceAll(key, {{"_", "-"}}));
}

std::string Option::Environment() const {
  return absl::StrCat(kEnvironmentPrefix, absl::AsciiStrToUpper(key));
}

Option Duration(std::string key, absl::string_view help, Milliseconds Config::*field,
                Milliseconds min, Milliseconds max) {
  const std::string bounds = absl::StrCat(FormatDuration(min), " to ", FormatDuration(max));
  return {.key = std::move(key),
          .argument = "DURATION",
          .help = absl::StrCat(help, "; ", bounds),
          .set = [=](absl::string_view text, Config& config) -> std::string {
            absl::Duration value;
            if (!absl::ParseDuration(text, &value)) {
              return absl::StrCat("must be a duration with unit, as 250ms, 10s or 5m, from ",
                                  bounds);
            }
            if (value < absl::FromChrono(min) || value > absl::FromChrono(max)) {
              return absl::StrCat("must be from ", bounds);
            }
            if (absl::Trunc(value, absl::Milliseconds(1)) != value) {
              return "must be whole milliseconds";
            }
            config.*field = absl::ToChronoMilliseconds(value);
            return "";
          },
          .get = [=](const Config& config) { return FormatDuration(config.*field); }};
}

template <typename T>
Option Integer(std::string key, absl::string_view help, T Config::*field, T min, T max) {
  const std::string bounds = absl::StrCat(min, " to ", max);
  return {.key = std::move(key),
          .argument = "NUMBER",
          .help = absl::StrCat(help, "; ", bounds),
          .set = [=](absl::string_view text, Config& config) -> std::string {
            T value;
            if (!ParseNumber(text, value) || value < min || value > max) {
              return absl::StrCat("must be an integer from ", bounds);
            }
            config.*field = value;
            return "";
          },
          .get = [=](const Config& config) { return absl::StrCat(config.*field); }};
}

template Option Integer(std::string, absl::string_view, int Config::*, int, int);
template Option Integer(std::string, absl::string_view, std::uint64_t Config::*, std::uint64_t,
                        std::uint64_t);
template Option Integer(std::string, absl::string_view, std::uint16_t Config::*, std::uint16_t,
                        std::uint16_t);

template <typename T>
Option Size(std::string key, absl::string_view help, T Config::*field, T min, T max) {
  const std::string bounds = absl::StrCat(FormatSize(min), " to ", FormatSize(max));
  return {.key = std::move(key),
          .argument = "SIZE",
          .help = absl::StrCat(help, " in bytes, or with KiB or MiB; ", bounds),
          .set = [=](absl::string_view text, Config& config) -> std::string {
            std::int64_t unit = 1;
            if (absl::ConsumeSuffix(&text, "KiB")) {
              unit = 1 << 10;
            } else if (absl::ConsumeSuffix(&text, "MiB")) {
              unit = 1 << 20;
            }
            std::int64_t count;
            if (!ParseNumber(text, count)) {
              return absl::StrCat("must be a size in bytes, or as 512KiB or 4MiB, from ", bounds);
            }
            if (count < 0 || count > max / unit || count * unit < min) {
              return absl::StrCat("must be from ", bounds);
            }
            config.*field = static_cast<T>(count * unit);
            return "";
          },
          .get = [=](const Config& config) { return FormatSize(config.*field); }};
}

template Option Size(std::string, absl::string_view, int Config::*, int, int);
template Option Size(std::string, absl::string_view, std::int64_t Config::*, std::int64_t,
                     std::int64_t);

Option Boolean(std::string key, absl::string_view help, bool Config::*field) {
  return {.key = std::move(key),
          .argument = "[=true|false]",
          .help = std::string(help),
          .set = [=](absl::string_view text, Config& config) -> std::string {
            if (text != "true" && text != "false") return "must be true or false";
            config.*field = text == "true";
            return "";
          },
          .get = [=](const Config& config) { return config.*field ? "true" : "false"; },
          .is_boolean = true};
}

Option Text(std::string key, std::string argument, absl::string_view help,
            std::string Config::*field, std::function<std::string(absl::string_view)> check) {
  return {
      .key = std::move(key),
      .argument = std::move(argument),
      .help = std::string(help),
      .set = [=, check = std::move(check)](absl::string_view text, Config& config) -> std::string {
        std::string broken = check(text);
        if (broken.empty()) config.*field = std::string(text);
        return broken;
      },
      .get = [=](const Config& config) { return config.*field; },
      .is_string = true};
}

Option Choice(std::string key, absl::string_view help, std::string Config::*field,
              std::vector<std::string> choices) {
  const std::string list = absl::StrJoin(choices, ", ");
  return Text(std::move(key), "NAME", absl::StrCat(help, ": ", list), field,
              [=](absl::string_view text) {
                const bool found = std::find(choices.begin(), choices.end(), text) != choices.end();
                return found ? "" : absl::StrCat("must be one of ", list);
              });
}

Option Url(std::string key, absl::string_view help, std::string Config::*field) {
  Option option = Text(std::move(key), "URL", help, field, CheckUrl);
  option.show = QuoteUrl;
  return option;
}

Option ProxyOption(std::string key, absl::string_view help, std::string Config::*field) {
  Option option = Text(std::move(key), "URL", help, field, CheckProxy);
  option.show = QuoteUrl;
  return option;
}

Option DatabaseUrlOption(std::string key, absl::string_view help, std::string Config::*field) {
  Option option = Text(std::move(key), "URL", help, field, [](absl::string_view) { return ""; });
  option.show = QuoteDatabaseUrl;
  return option;
}

}  // namespace leasegateway
