#include "service/config/flag_parser.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "service/config/option_table.h"
#include "service/config/print.h"
#include "service/config/unknown_key.h"
#include "service/process/error_text.h"

namespace leasegateway {
namespace {

// The flags, as CLI11 knows them.
struct Flags {
  Flags() {
    app.set_help_flag();  // ours lists the environment too
    app.allow_extras();   // so that all unknown ones are reported, without their values
    help = app.add_flag("-h,--help")->take_last();
    version = app.add_flag("--version")->take_last();
    check = app.add_flag("--check-config")->take_last();
    print = app.add_flag("--print-config")->take_last();
    metrics = app.add_flag("--print-metrics")->take_last();
    migrate = app.add_flag("--migrate")->take_last();
    file = app.add_option("--config")->expected(1)->take_last();
    for (const Option& option : Options()) {
      CLI::Option* flag =
          option.is_boolean ? app.add_flag(option.Flag()) : app.add_option(option.Flag());
      if (!option.is_boolean) flag->expected(1);
      options.push_back(flag->take_last());
    }
  }

  CLI::App app;
  const CLI::Option* help;
  const CLI::Option* version;
  const CLI::Option* check;
  const CLI::Option* print;
  const CLI::Option* metrics;
  const CLI::Option* migrate;
  const CLI::Option* file;
  std::vector<const CLI::Option*> options;  // in the table's order
};

// In the order that CLI11 wants: the last first.
std::vector<std::string> ReversedArguments(int argc, const char* const* argv) {
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    // CLI11 would take the next argument as the value of "--name=".
    const bool is_empty_value = absl::StartsWith(argument, "--") && argument.size() > 3 &&
                                argument.find('=') == argument.size() - 1;
    if (is_empty_value) argument.remove_suffix(1);
    arguments.emplace_back(argument);
    if (is_empty_value) arguments.emplace_back();
  }
  std::reverse(arguments.begin(), arguments.end());
  return arguments;
}

void ReportUnknown(const std::vector<std::string>& extras, std::vector<std::string>& errors) {
  bool after_unknown = false;
  for (const std::string& extra : extras) {
    if (absl::StartsWith(extra, "-") && extra.size() > 1 && extra != "--") {
      const std::string flag = extra.substr(0, extra.find('='));
      absl::string_view key = flag;
      while (absl::ConsumePrefix(&key, "-")) {
      }
      errors.push_back(
          ErrorLine(absl::StrCat("flag ", EscapeName(flag)), "",
                    UnknownRule(key, [](const Option& option) { return option.Flag(); })));
      after_unknown = true;
    } else if (!std::exchange(after_unknown, false)) {
      // Not shown, as it may be a key given by mistake.
      errors.push_back(ErrorLine(
          "command line", "",
          "unexpected argument; all are flags, and a boolean's value needs '=': --sandbox=false"));
    }
  }
}

void ReadAction(const Flags& flags, Invocation& invocation, std::vector<std::string>& errors) {
  using Action = Invocation::Action;
  // A mistake elsewhere must not hide the help.
  if (flags.help->count() > 0) {
    invocation.action = Action::kExit;
    invocation.output = Help();
  } else if (flags.version->count() > 0) {
    invocation.action = Action::kExit;
    invocation.output = "lease-gateway " LEASE_GATEWAY_VERSION "\n";
  } else if (flags.metrics->count() > 0) {
    invocation.action = Action::kPrintMetrics;
  } else if (flags.check->count() > 0 && flags.print->count() > 0) {
    errors.push_back(
        ErrorLine("flag --check-config", "", "cannot be combined with --print-config"));
  } else if (flags.check->count() > 0) {
    invocation.action = Action::kCheckConfig;
  } else if (flags.print->count() > 0) {
    invocation.action = Action::kPrintConfig;
  } else if (flags.migrate->count() > 0) {
    invocation.action = Action::kMigrate;
  }
  if (flags.migrate->count() > 0 && flags.check->count() + flags.print->count() > 0) {
    errors.push_back(ErrorLine("flag --migrate", "",
                               "cannot be combined with --check-config or --print-config"));
  }
}

}  // namespace

ParsedFlags ParseFlags(int argc, const char* const* argv, std::vector<std::string>& errors) {
  ParsedFlags parsed;
  Flags flags;
  std::vector<std::string> arguments = ReversedArguments(argc, argv);
  try {
    flags.app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    parsed.understood = false;
    errors.push_back(ErrorLine("command line", "", error.what()));
  }
  ReportUnknown(flags.app.remaining(), errors);
  ReadAction(flags, parsed.invocation, errors);
  if (flags.file->count() > 0) {
    parsed.invocation.config_file = flags.file->results().back();
    if (parsed.invocation.config_file.empty()) {
      errors.push_back(ErrorLine("flag --config", "\"\"", "must name a file"));
    }
  }
  parsed.values.resize(flags.options.size());
  for (std::size_t i = 0; i < flags.options.size(); ++i) {
    if (flags.options[i]->count() > 0) parsed.values[i] = flags.options[i]->results().back();
  }
  return parsed;
}

}  // namespace leasegateway
