#include "service/leasectl/command_line.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "service/leasectl/completion.h"
#include "service/leasectl/health.h"
#include "service/leasectl/search_options.h"
#include "service/leasectl/table.h"
#include "service/leasectl/time_range.h"
#include "service/leasectl/watch.h"

namespace leasegateway {
namespace {

auto CheckPageSize(std::int32_t most) {
  return [most](const std::string& value) {
    std::int32_t size = 0;
    if (absl::SimpleAtoi(value, &size) && size >= 1 && size <= most) return std::string();
    return absl::StrCat("\"", value, "\" must be a whole number from 1 to ", most);
  };
}

}  // namespace

CommandLine::CommandLine() {
  app_.require_subcommand(1);
  // Before the commands are made, because they inherit these.
  app_.fallthrough();
  app_.footer(kExitCodesHelp);
  app_.set_help_flag("-h,--help", "Show this and exit");
  app_.set_version_flag("--version", "leasectl " LEASE_GATEWAY_VERSION,
                        "Show the version and exit");
  AddGlobalOptions();
  AddSearches();
  AddNumbers();
  AddPurchases();
  AddLeases();
  AddFailover();
  AddOperations();
  AddReport();
  AddWhoAmI();
  AddForwarding();

  CLI::App* health =
      Add(app_, "health", "Ask whether the gateway is serving",
          [](const CommandOptions& options) { return Health(options, options.health_service); });
  health->add_option("--service", options_.health_service, "Service to ask about; default: all");

  CLI::App* completion = Add(app_, "completion", "Print a shell completion script",
                             [this](const CommandOptions& options) {
                               return PrintOutput(CompletionScript(app_, options.shell));
                             });
  completion->add_option("SHELL", options_.shell, "The shell")
      ->required()
      ->check(CLI::IsMember(std::vector<std::string>{"bash", "zsh", "fish"}));
}

ExitCode CommandLine::Run(int argc, const char* const* argv) {
  try {
    app_.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return PrintOutput(app_.help());
  } catch (const CLI::CallForVersion& version) {
    return PrintOutput(absl::StrCat(version.what(), "\n"));
  } catch (const CLI::ParseError& error) {
    // CLI11 would only say that a subcommand is required.
    const std::vector<std::string> extra = app_.remaining();
    const bool unknown = app_.get_subcommands().empty() && !extra.empty();
    const std::string what = unknown ? "unknown: " + extra.front() : error.what();
    PrintError(absl::StrCat("leasectl: ", Harmless(what), "\n  hint: `", Command(),
                            " --help` shows the usage\n"));
    return kUsage;
  }
  return run_(options_);
}

std::string CommandLine::Command() const {
  std::string command = app_.get_name();
  const CLI::App* app = &app_;
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    absl::StrAppend(&command, " ", app->get_name());
  }
  return command;
}

CLI::App* CommandLine::Add(CLI::App& parent, const std::string& name,
                           const std::string& description, Action action) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->callback([this, action = std::move(action)] { run_ = action; });
  return command;
}

CLI::App* CommandLine::AddForNumber(CLI::App& parent, const std::string& name,
                                    const std::string& description, Action action) {
  CLI::App* command = Add(parent, name, description, std::move(action));
  command->add_option("NUMBER", options_.number, "Phone number, such as +13059478667")
      ->required()
      ->check(CheckNotEmpty, "");
  return command;
}

void CommandLine::AddGlobalOptions() {
  app_.add_option("--target", options_.target, "The gateway, HOST:PORT")
      ->envname("LEASECTL_TARGET")
      ->check(CheckNotEmpty, "")
      ->capture_default_str();
  CLI::Option* tls =
      app_.add_flag("--tls", options_.tls, "Connect with TLS")->envname("LEASECTL_TLS");
  app_.add_option("--ca-file", options_.ca_file,
                  "Certificates to trust, PEM; default: the system's")
      ->type_name("FILE")
      ->envname("LEASECTL_CA_FILE")
      ->needs(tls);
  CLI::Option* certificate =
      app_.add_option("--cert-file", options_.cert_file, "Client certificate, PEM")
          ->type_name("FILE")
          ->envname("LEASECTL_CERT_FILE")
          ->needs(tls);
  CLI::Option* key =
      app_.add_option("--key-file", options_.key_file, "Key of the client certificate, PEM")
          ->type_name("FILE")
          ->envname("LEASECTL_KEY_FILE")
          ->needs(tls)
          ->needs(certificate);
  certificate->needs(key);
  app_.add_option("--server-name", options_.server_name,
                  "Name that the gateway's certificate must have; default: that of --target")
      ->envname("LEASECTL_SERVER_NAME")
      ->needs(tls);
  app_.add_option("--token-file", options_.token_file,
                  "Bearer token that says who calls, read anew for each call; needs --tls, save to "
                  "loopback")
      ->type_name("FILE")
      ->envname("LEASECTL_TOKEN_FILE")
      ->check(CheckNotEmpty, "");
  app_.add_option("--account", options_.account,
                  "The account that it is for; default: the only one that the caller has")
      ->type_name("NAME")
      ->envname("LEASECTL_ACCOUNT")
      ->check(CheckNotEmpty, "");
  app_.add_option("--timeout", options_.timeout, "How long to wait for an answer")
      ->type_name("DURATION")
      ->check(CheckPositiveDuration, "")
      ->capture_default_str();
  json_ = app_.add_flag("--json", options_.json, "Print the reply as JSON");
  app_.add_flag("-v,--verbose", options_.verbose,
                "Say on standard error where an answer came from and how old it is");
  app_.add_option("--color", options_.color, "Colours; auto: on a terminal, unless NO_COLOR is set")
      ->check(CLI::IsMember(std::vector<std::string>{"auto", "always", "never"}))
      ->capture_default_str();
}

void CommandLine::AddRequestId(CLI::App* command) {
  command
      ->add_option("--request-id", options_.request_id,
                   "Names this request; the same one again does nothing twice, and brings the "
                   "same answer; default: a random UUID, which is shown first")
      ->type_name("UUID")
      ->check(CheckNotEmpty, "");
}

void CommandLine::AddOrderBy(CLI::App* command) {
  command
      ->add_option("--order-by", options_.order_by,
                   "The order, such as \"pricing.monthly_rate, health.reputation desc\"")
      ->type_name("FIELDS")
      ->check(CheckNotEmpty, "");
}

void CommandLine::AddPages(CLI::App* command, std::int32_t most, const std::string& size) {
  command->add_option("--page-size", options_.page_size, size)
      ->type_name("COUNT")
      ->check(CheckPageSize(most), "");
  command
      ->add_option("--page-token", options_.page_token,
                   "The page to begin with, as the one before it named it")
      ->type_name("TOKEN")
      ->check(CheckNotEmpty, "");
  command->add_flag("--all", options_.all_pages, "Walk all pages and print them as one");
}

void CommandLine::AddPurchase(CLI::App* command) {
  AddRequestId(command);
  // --method too, as the contract calls it.
  command->add_option("--billing,--method", options_.billing, "How to pay; default: monthly")
      ->check(CLI::IsMember(std::vector<std::string>{"monthly", "service_contract"}));
  command->add_flag("--validate-only", options_.validate_only,
                    "Do everything but spend, and show what would be leased");
}

void CommandLine::AddAmount(CLI::App* command, const std::string& name,
                            std::optional<std::string>& value, const std::string& description) {
  command->add_option(name, value, description)->type_name("AMOUNT")->check(CheckMoney, "");
}

void CommandLine::AddSearches() {
  CLI::App* available =
      Add(app_, "available", "List the numbers that can be leased, or search them", Available);
  options_.search.AddTo(*available);
  AddOrderBy(available);
  AddPages(available, 10'000,
           "Numbers a page, 1 to 10000; default: one page for all, with --all 1000");
  options_.staleness.AddTo(*available);
  CLI::App* watch = Add(app_, "watch", "Print each change of the numbers that can be leased",
                        [](const CommandOptions& options) {
                          return Watch(options, options.watch, options.search.Filter());
                        });
  options_.watch.AddTo(*watch);
  options_.search.AddTo(*watch);
}

void CommandLine::AddNumbers() {
  CLI::App* get = AddForNumber(app_, "get", "Show a number", Get);
  options_.staleness.AddTo(*get);
  CLI::App* batch = Add(app_, "batch", "Show many numbers, a row each", Batch);
  batch
      ->add_option("NUMBER", options_.numbers,
                   "Phone numbers; -: those on standard input, one a line")
      ->required()
      ->check(CheckNotEmpty, "");
  batch->footer(
      absl::StrCat("The exit code is that of the first number that failed.\n\n", kExitCodesHelp));
  options_.staleness.AddTo(*batch);
}

void CommandLine::AddPurchases() {
  CLI::App* lease = AddForNumber(app_, "lease", "Lease a number. This spends money", Lease);
  AddPurchase(lease);
  AddAmount(lease, "--expect-monthly", options_.expect_monthly,
            "The price a month that you saw: fail when it is another: \"5.00 USD\", or 5USD");
  AddAmount(lease, "--expect-upfront", options_.expect_upfront,
            "The price at the beginning that you saw, likewise");
  CLI::App* any = Add(
      app_, "lease-any",
      "Lease one number of those that match, the first in the order. This spends money", LeaseAny);
  AddPurchase(any);
  options_.search.AddTo(*any, SearchOptions::Prices::kRequired);
  AddOrderBy(any);
}

void CommandLine::AddLeases() {
  CLI::App* leases = Add(app_, "leases", "List the account's leases", Leases);
  options_.staleness.AddTo(*leases);
  CLI::App* show = AddForNumber(app_, "show", "Show the account's lease of a number", Show);
  options_.staleness.AddTo(*show);
  CLI::App* terminate =
      AddForNumber(app_, "terminate", "End the lease of a number, at once", Terminate);
  AddRequestId(terminate);
  terminate
      ->add_option("--lease-id", options_.lease_id,
                   "The lease that you saw: fail when there is another by now")
      ->check(CheckNotEmpty, "");
}

void CommandLine::AddFailover() {
  CLI::App* failover = AddForNumber(
      app_, "failover", "Make a leased number a failover target, or stop that", Failover);
  CLI::Option* enable = failover->add_flag("--enable", options_.enable, "Make it a target");
  CLI::Option* disable =
      failover->add_flag("--disable", options_.disable, "Stop that")->excludes(enable);
  failover
      ->add_option("--mode", options_.mode,
                   "Which numbers may fail over to it; default with --cover: selective")
      ->check(CLI::IsMember(std::vector<std::string>{"all", "selective"}))
      ->excludes(disable);
  failover->add_option("--cover", options_.cover, "The numbers that it covers")
      ->check(CheckNotEmpty, "")
      ->excludes(disable);
  failover->callback([this, action = Action(Failover)] {
    if (!options_.enable && !options_.disable) {
      throw CLI::RequiredError("--enable or --disable");
    }
    run_ = action;
  });
}

void CommandLine::AddOperations() {
  CLI::App* operations =
      Add(app_, "operations", "List purchases and terminations, the newest first", Operations);
  operations->add_option("--number", options_.number, "Only those of this phone number")
      ->check(CheckNotEmpty, "");
  operations->add_option("--state", options_.state, "Only those in this state")
      ->check(CLI::IsMember(
          std::vector<std::string>{"intended", "sent", "succeeded", "failed", "unknown"}));
  operations->add_option("--caller", options_.caller, "Only those that this caller asked for")
      ->type_name("NAME")
      ->check(CheckNotEmpty, "");
  operations
      ->add_option("--kind", options_.kind, "Only those of this kind")
      // As the tables print it, too.
      ->transform(
          [](const std::string& word) {
            return absl::StrReplaceAll(word, {{"_", "-"}});
          },
          "")
      ->check(CLI::IsMember(std::vector<std::string>{"lease", "lease-any", "terminate"}));
  operations
      ->add_option("--from", options_.from,
                   "Only those of this time or later: 2026-11-30, or 2026-11-30T12:00:00Z")
      ->type_name("TIME")
      ->check(CheckInstant, "");
  operations
      ->add_option("--to", options_.to, "Only those before this time; a date is its midnight, UTC")
      ->type_name("TIME")
      ->check(CheckInstant, "");
  AddPages(operations, 1000, "Operations a page, 1 to 1000; default: 100, with --all 1000");
  Add(app_, "operation", "Show what became of a purchase or a termination", Operation)
      ->add_option("REQUEST_ID", options_.request_id, "Its request id, a UUID")
      ->required()
      ->check(CheckNotEmpty, "");
}

void CommandLine::AddFormat(CLI::App* command, const std::vector<std::string>& formats) {
  command->add_option("--format", options_.format, "How to print it")
      ->check(CLI::IsMember(formats))
      ->capture_default_str()
      ->excludes(json_);
}

void CommandLine::AddReport() {
  CLI::App* report =
      Add(app_, "report", "Sum what was bought in a month by caller, account and currency", Report);
  report->add_option("--month", options_.month, "The month, of UTC, such as 2026-11")
      ->type_name("MONTH")
      ->required()
      ->check(CheckMonth, "");
  AddFormat(report, {"table", "csv", "json"});
  report->footer(absl::StrCat(
      "A purchase belongs to the month in which it was asked for. It is of --account, or of every\n"
      "account on which the caller may see operations. The gateway keeps purchases for 400 "
      "days.\n\n",
      kExitCodesHelp));
}

void CommandLine::AddWhoAmI() {
  CLI::App* whoami =
      Add(app_, "whoami", "Show who you are to the gateway, your rights and your limits", WhoAmI);
  AddFormat(whoami, {"table", "json"});
}

void CommandLine::AddForwarding() {
  CLI::App* forwarding =
      app_.add_subcommand("forwarding", "Show or change where calls to a leased number go");
  forwarding->require_subcommand(1);
  AddForNumber(*forwarding, "get", "Show where calls go", GetForwarding);
  AddForNumber(*forwarding, "enable", "Forward all calls", EnableForwarding)
      ->add_option("--to", options_.forward_to, "The number that calls shall go to")
      ->type_name("NUMBER")
      ->required()
      ->check(CheckNotEmpty, "");
  AddForNumber(*forwarding, "disable", "Stop forwarding calls", DisableForwarding);
}

}  // namespace leasegateway
