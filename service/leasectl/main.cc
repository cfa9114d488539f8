// leasectl: Lease Gateway from the command line.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/empty.pb.h"
#include "google/protobuf/unknown_field_set.h"
#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "service/leasectl/client.h"
#include "service/leasectl/completion.h"
#include "service/leasectl/errors.h"
#include "service/leasectl/print.h"
#include "service/leasectl/search_options.h"
#include "service/leasectl/table.h"
#include "service/leasectl/watch.h"

namespace leasegateway {
namespace {

using Kind = CallFacts::Kind;
using Stub = v1::LeaseService::Stub;

struct Options : GlobalOptions {
  std::string number;
  std::optional<std::string> request_id;
  std::string billing;
  std::optional<std::string> expect_monthly, expect_upfront;
  bool validate_only = false;
  std::string lease_id;
  std::string state;
  bool enable = false;
  bool disable = false;
  std::string mode;
  std::vector<std::string> cover;
  std::string forward_to;
  SearchOptions search;
  StalenessOption staleness;
  std::string order_by;
  std::optional<std::int32_t> page_size;
  std::string page_token;
  bool all_pages = false;
  std::vector<std::string> numbers;
  WatchOptions watch;
  std::string health_service;
  std::string shell;
};

// A random UUID (RFC 9562, version 4).
std::string MakeRequestId() {
  std::random_device random;
  unsigned char bytes[16];
  for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random());
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  std::string id;
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) id += '-';
    absl::StrAppend(&id, absl::Hex(bytes[i], absl::kZeroPad2));
  }
  return id;
}

// The given id, or a new one, which is shown before anything is sent so that it is not lost.
std::string RequestId(const Options& options) {
  if (options.request_id) return *options.request_id;
  const std::string id = MakeRequestId();
  PrintError(absl::StrCat("request_id: ", id, "\n"));
  return id;
}

// The reply's age goes to standard error before it.
template <class Reply>
ExitCode PrintReply(const Reply& reply, const Options& options) {
  if constexpr (requires { reply.metadata(); }) PrintAge(options, reply.metadata());
  if (!options.json) return PrintOutput(Print(reply, IsColored(options)));
  const std::optional<std::string> json = ToJson(reply, JsonLayout::kIndented);
  return json ? PrintOutput(*json) : kOther;
}

template <class Request, class Reply>
ExitCode Call(const Options& options, const CallFacts& facts, Client::Method<Request, Reply> method,
              const Request& request) {
  Reply reply;
  const auto failure = Client(options).Call(facts, method, request, reply);
  return failure ? *failure : PrintReply(reply, options);
}

// For the calls whose request is the number alone.
template <class Request, class Reply>
ExitCode CallForNumber(const Options& options, const CallFacts& facts,
                       Client::Method<Request, Reply> method) {
  Request request;
  request.set_phone_number(options.number);
  if constexpr (requires { request.max_staleness(); }) options.staleness.ApplyTo(request);
  return Call(options, facts, method, request);
}

CallFacts Facts(Kind kind, std::string look = "") {
  CallFacts facts;
  facts.kind = kind;
  facts.look = std::move(look);
  return facts;
}

// As JSON the reply has the token itself.
template <class Reply>
void PrintNextPage(const Options& options, const Reply& reply) {
  if (options.json || reply.next_page_token().empty()) return;
  PrintError(absl::StrCat("next page: --page-token ", Harmless(reply.next_page_token()), "\n"));
}

// Walks the pages of a search, or brings one of them.
ExitCode Available(const Options& options) {
  constexpr std::int32_t kPageSizeOfWalk = 1000;
  v1::ListAvailableNumbersRequest request;
  const v1::AvailabilityFilter filter = options.search.Filter();
  if (filter.ByteSizeLong() > 0) *request.mutable_filter() = filter;
  request.set_order_by(options.order_by);
  request.set_page_size(options.page_size.value_or(options.all_pages ? kPageSizeOfWalk : 0));
  request.set_page_token(options.page_token);
  options.staleness.ApplyTo(request);
  Client client(options);
  v1::ListAvailableNumbersResponse list;
  for (;;) {
    v1::ListAvailableNumbersResponse page;
    const auto failure =
        client.Call(Facts(Kind::kRead), &Stub::ListAvailableNumbers, request, page);
    if (failure) return *failure;
    // All pages show the list as it was at the first one, whose age is that of the list.
    const bool first = !list.has_metadata();
    list.mutable_numbers()->MergeFrom(page.numbers());
    list.set_next_page_token(page.next_page_token());
    list.set_total_size(page.total_size());
    if (first) *list.mutable_metadata() = page.metadata();
    if (!options.all_pages || page.next_page_token().empty()) break;
    request.set_page_token(page.next_page_token());
  }
  const ExitCode printed = PrintReply(list, options);
  PrintNextPage(options, list);
  return printed;
}

// The numbers that were named, with those on standard input in the place of "-".
std::optional<std::vector<std::string>> NumbersOf(const Options& options) {
  std::vector<std::string> numbers;
  WatchOptions watch;
  for (const std::string& argument : options.numbers) {
    if (argument != "-") {
      numbers.push_back(argument);
      continue;
    }
    for (std::string line; std::getline(std::cin, line);) {
      const absl::string_view number = absl::StripAsciiWhitespace(line);
      if (!number.empty()) numbers.emplace_back(number);
    }
    if (std::cin.bad()) {
      FailLocally("standard input can't be read");
      return std::nullopt;
    }
  }
  return numbers;
}

ExitCode Batch(const Options& options) {
  constexpr std::size_t kMostInOneCall = 1000;
  const auto numbers = NumbersOf(options);
  if (!numbers) return kLocalFailure;
  if (numbers->empty()) {
    PrintError("leasectl: NUMBER: standard input has no numbers, one a line\n");
    return kUsage;
  }
  Client client(options);
  v1::BatchGetNumbersResponse list;
  std::optional<ExitCode> failure;
  for (std::size_t begin = 0; begin < numbers->size() && !failure; begin += kMostInOneCall) {
    v1::BatchGetNumbersRequest request;
    const std::size_t end = std::min(numbers->size(), begin + kMostInOneCall);
    for (std::size_t i = begin; i < end; ++i) request.add_phone_numbers((*numbers)[i]);
    options.staleness.ApplyTo(request);
    v1::BatchGetNumbersResponse reply;
    failure = client.Call(Facts(Kind::kRead), &Stub::BatchGetNumbers, request, reply);
    list.mutable_results()->MergeFrom(reply.results());
  }
  // What came before a failed call is worth printing.
  if (failure && list.results().empty()) return *failure;
  const v1::ResponseMetadata* oldest = nullptr;
  for (const v1::BatchGetNumbersResult& result : list.results()) {
    if (!result.metadata().has_fetch_time()) continue;
    if (oldest == nullptr ||
        TimeOf(result.metadata().fetch_time()) < TimeOf(oldest->fetch_time())) {
      oldest = &result.metadata();
    }
  }
  if (oldest != nullptr) PrintAge(options, *oldest);
  const ExitCode printed = PrintReply(list, options);
  if (failure) return *failure;
  if (printed != kDone) return printed;
  for (const v1::BatchGetNumbersResult& result : list.results()) {
    if (result.has_error()) return ExitCodeOf(StatusOf(result.error()).error_code());
  }
  return kDone;
}

// A call under a `request_id`, which a failure's hint repeats.
template <class Request, class Reply>
ExitCode Purchase(const Options& options, Client::Method<Request, Reply> method, Request request) {
  CallFacts facts = Facts(options.validate_only ? Kind::kRead : Kind::kPurchase);
  facts.request_id = options.validate_only ? options.request_id.value_or("") : RequestId(options);
  request.set_request_id(facts.request_id);
  if constexpr (requires { request.validate_only(); }) {
    request.set_validate_only(options.validate_only);
    if (options.billing == "monthly") request.set_billing_method(v1::BILLING_METHOD_MONTHLY);
    if (options.billing == "service_contract") {
      request.set_billing_method(v1::BILLING_METHOD_SERVICE_CONTRACT);
    }
  }
  return Call(options, facts, method, request);
}

ExitCode Lease(const Options& options) {
  v1::CreateLeaseRequest request;
  request.set_phone_number(options.number);
  v1::Pricing& price = *request.mutable_expected_price();
  if (options.expect_monthly) {
    *price.mutable_monthly_rate() = ParseMoney(*options.expect_monthly).value();
  }
  if (options.expect_upfront) {
    *price.mutable_upfront_fee() = ParseMoney(*options.expect_upfront).value();
  }
  if (!options.expect_monthly && !options.expect_upfront) request.clear_expected_price();
  return Purchase(options, &Stub::CreateLease, std::move(request));
}

ExitCode LeaseAny(const Options& options) {
  v1::LeaseAnyNumberRequest request;
  *request.mutable_filter() = options.search.Filter();
  request.set_order_by(options.order_by);
  return Purchase(options, &Stub::LeaseAnyNumber, std::move(request));
}

ExitCode Terminate(const Options& options) {
  v1::TerminateLeaseRequest request;
  request.set_phone_number(options.number);
  request.set_lease_id(options.lease_id);
  return Purchase(options, &Stub::TerminateLease, std::move(request));
}

ExitCode Operation(const Options& options) {
  v1::GetOperationRequest request;
  request.set_request_id(options.request_id.value_or(""));
  return Call(options, Facts(Kind::kRead), &Stub::GetOperation, request);
}

// Walks the pages, or brings one of them.
ExitCode Operations(const Options& options) {
  v1::ListOperationsRequest request;
  request.set_phone_number(options.number);
  v1::OperationState state = v1::OPERATION_STATE_UNSPECIFIED;
  v1::OperationState_Parse("OPERATION_STATE_" + absl::AsciiStrToUpper(options.state), &state);
  request.set_state(state);
  request.set_page_size(options.page_size.value_or(options.all_pages ? 1000 : 0));
  request.set_page_token(options.page_token);
  Client client(options);
  v1::ListOperationsResponse list;
  do {
    v1::ListOperationsResponse page;
    const auto failure = client.Call(Facts(Kind::kRead), &Stub::ListOperations, request, page);
    if (failure) return *failure;
    list.mutable_operations()->MergeFrom(page.operations());
    list.set_next_page_token(page.next_page_token());
    request.set_page_token(page.next_page_token());
  } while (options.all_pages && !list.next_page_token().empty());
  const ExitCode printed = PrintReply(list, options);
  PrintNextPage(options, list);
  return printed;
}

ExitCode Failover(const Options& options) {
  v1::ConfigureFailoverRequest request;
  request.set_phone_number(options.number);
  v1::Failover& failover = *request.mutable_failover();
  failover.set_enabled(options.enable);
  if (options.mode == "all") failover.set_mode(v1::FAILOVER_MODE_ALL);
  // Naming numbers can mean nothing else.
  if (options.mode == "selective" || (options.mode.empty() && !options.cover.empty())) {
    failover.set_mode(v1::FAILOVER_MODE_SELECTIVE);
  }
  failover.mutable_phone_numbers()->Add(options.cover.begin(), options.cover.end());
  return Call(options, Facts(Kind::kChange), &Stub::ConfigureFailover, request);
}

ExitCode EnableForwarding(const Options& options) {
  v1::EnableCallForwardingRequest request;
  request.set_phone_number(options.number);
  request.set_forward_to(options.forward_to);
  return Call(options, Facts(Kind::kChange, "leasectl forwarding get " + options.number),
              &Stub::EnableCallForwarding, request);
}

// grpc.health.v1.Health/Check. There is no generated code for it here; the request's `service` and
// the reply's `status` are both field 1, which an Empty keeps as an unknown field.
ExitCode Health(const Options& options) {
  google::protobuf::Empty request;
  google::protobuf::Empty reply;
  if (!options.health_service.empty()) {
    request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(
        1, options.health_service);
  }
  const auto failure = Client(options).Call(
      Facts(Kind::kRead), [&](grpc::Channel& channel, grpc::ClientContext& context) {
        grpc::TemplatedGenericStub<google::protobuf::Empty, google::protobuf::Empty> stub(
            std::shared_ptr<grpc::Channel>(std::shared_ptr<grpc::Channel>(), &channel));
        grpc::CompletionQueue queue;
        grpc::Status status;
        const auto call =
            stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
        call->StartCall();
        call->Finish(&reply, &status, nullptr);
        void* tag = nullptr;
        bool ok = false;
        queue.Next(&tag, &ok);
        return status;
      });
  if (failure) return *failure == kLocalFailure ? kLocalFailure : kUnavailable;

  std::uint64_t value = 0;
  const auto& fields = reply.GetReflection()->GetUnknownFields(reply);
  for (int i = 0; i < fields.field_count(); ++i) {
    const auto& field = fields.field(i);
    if (field.number() == 1 && field.type() == google::protobuf::UnknownField::TYPE_VARINT) {
      value = field.varint();
    }
  }
  constexpr const char* kNames[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
  const char* const name = kNames[value < std::size(kNames) ? value : 0];
  const bool serving = value == 1;
  std::string output;
  if (options.json) {
    output = absl::StrCat("{\n \"status\": \"", name, "\"\n}\n");
  } else {
    Table table(std::vector<Table::Column>(1));
    table.Add({Cell(name, serving ? Color::kGreen : Color::kRed)});
    output = table.Format(IsColored(options));
  }
  const ExitCode written = PrintOutput(output);
  return serving ? written : kUnavailable;
}

auto CheckPageSize(std::int32_t most) {
  return [most](const std::string& value) {
    std::int32_t size = 0;
    if (absl::SimpleAtoi(value, &size) && size >= 1 && size <= most) return std::string();
    return absl::StrCat("\"", value, "\" must be a whole number from 1 to ", most);
  };
}

// The command line: fills `options`, and sets `run` to what was asked for.
class CommandLine {
 public:
  CommandLine() {
    app_.require_subcommand(1);
    // Before the commands are made, because they inherit these.
    app_.fallthrough();
    app_.footer(kExitCodesHelp);
    app_.set_help_flag("-h,--help", "Show this and exit");
    app_.set_version_flag("--version", "leasectl " LEASE_GATEWAY_VERSION,
                          "Show the version and exit");
    AddGlobalOptions();
    AddNumberCommands();
    AddOperations();
    AddForwarding();

    CLI::App* health = Add(app_, "health", "Ask whether the gateway is serving", Health);
    health->add_option("--service", options_.health_service, "Service to ask about; default: all");

    CLI::App* completion =
        Add(app_, "completion", "Print a shell completion script", [this](const Options& options) {
          return PrintOutput(CompletionScript(app_, options.shell));
        });
    completion->add_option("SHELL", options_.shell, "The shell")
        ->required()
        ->check(CLI::IsMember(std::vector<std::string>{"bash", "zsh", "fish"}));
  }

  ExitCode Run(int argc, const char* const* argv) {
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

 private:
  using Action = std::function<ExitCode(const Options&)>;

  // The command as far as it was understood.
  std::string Command() const {
    std::string command = app_.get_name();
    const CLI::App* app = &app_;
    while (!app->get_subcommands().empty()) {
      app = app->get_subcommands().front();
      absl::StrAppend(&command, " ", app->get_name());
    }
    return command;
  }

  CLI::App* Add(CLI::App& parent, const std::string& name, const std::string& description,
                Action action) {
    CLI::App* command = parent.add_subcommand(name, description);
    command->callback([this, action = std::move(action)] { run_ = action; });
    return command;
  }

  CLI::App* AddForNumber(CLI::App& parent, const std::string& name, const std::string& description,
                         Action action) {
    CLI::App* command = Add(parent, name, description, std::move(action));
    command->add_option("NUMBER", options_.number, "Phone number, such as +13059478667")
        ->required()
        ->check(CheckNotEmpty, "");
    return command;
  }

  void AddGlobalOptions() {
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
    app_.add_option("--timeout", options_.timeout, "How long to wait for an answer")
        ->type_name("DURATION")
        ->check(CheckPositiveDuration, "")
        ->capture_default_str();
    app_.add_flag("--json", options_.json, "Print the reply as JSON");
    app_.add_flag("-v,--verbose", options_.verbose,
                  "Say on standard error where an answer came from and how old it is");
    app_.add_option("--color", options_.color,
                    "Colours; auto: on a terminal, unless NO_COLOR is set")
        ->check(CLI::IsMember(std::vector<std::string>{"auto", "always", "never"}))
        ->capture_default_str();
  }

  void AddRequestId(CLI::App* command) {
    command
        ->add_option("--request-id", options_.request_id,
                     "Names this request; the same one again does nothing twice, and brings the "
                     "same answer; default: a random UUID, which is shown first")
        ->type_name("UUID")
        ->check(CheckNotEmpty, "");
  }

  void AddOrderBy(CLI::App* command) {
    command
        ->add_option("--order-by", options_.order_by,
                     "The order, such as \"pricing.monthly_rate, health.reputation desc\"")
        ->type_name("FIELDS")
        ->check(CheckNotEmpty, "");
  }

  void AddPages(CLI::App* command, std::int32_t most, const std::string& size) {
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

  void AddPurchase(CLI::App* command) {
    AddRequestId(command);
    // --method too, as the contract calls it.
    command->add_option("--billing,--method", options_.billing, "How to pay; default: monthly")
        ->check(CLI::IsMember(std::vector<std::string>{"monthly", "service_contract"}));
    command->add_flag("--validate-only", options_.validate_only,
                      "Do everything but spend, and show what would be leased");
  }

  void AddAmount(CLI::App* command, const std::string& name, std::optional<std::string>& value,
                 const std::string& description) {
    command->add_option(name, value, description)->type_name("AMOUNT")->check(CheckMoney, "");
  }

  void AddOperations() {
    CLI::App* operations =
        Add(app_, "operations", "List purchases and terminations, the newest first", Operations);
    operations->add_option("--number", options_.number, "Only those of this phone number")
        ->check(CheckNotEmpty, "");
    operations->add_option("--state", options_.state, "Only those in this state")
        ->check(CLI::IsMember(
            std::vector<std::string>{"intended", "sent", "succeeded", "failed", "unknown"}));
    AddPages(operations, 1000, "Operations a page, 1 to 1000; default: 100, with --all 1000");
    Add(app_, "operation", "Show what became of a purchase or a termination", Operation)
        ->add_option("REQUEST_ID", options_.request_id, "Its request id, a UUID")
        ->required()
        ->check(CheckNotEmpty, "");
  }

  void AddNumberCommands() {
    CLI::App* available =
        Add(app_, "available", "List the numbers that can be leased, or search them", Available);
    options_.search.AddTo(*available);
    AddOrderBy(available);
    AddPages(available, 10'000,
             "Numbers a page, 1 to 10000; default: one page for all, with --all 1000");
    options_.staleness.AddTo(*available);
    CLI::App* watch = Add(app_, "watch", "Print each change of the numbers that can be leased",
                          [](const Options& options) {
                            return Watch(options, options.watch, options.search.Filter());
                          });
    options_.watch.AddTo(*watch);
    options_.search.AddTo(*watch);
    CLI::App* get = AddForNumber(app_, "get", "Show a number", [](const Options& options) {
      return CallForNumber(options, Facts(Kind::kRead), &Stub::GetNumber);
    });
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
    CLI::App* lease = AddForNumber(app_, "lease", "Lease a number. This spends money", Lease);
    AddPurchase(lease);
    AddAmount(lease, "--expect-monthly", options_.expect_monthly,
              "The price a month that you saw: fail when it is another: \"5.00 USD\", or 5USD");
    AddAmount(lease, "--expect-upfront", options_.expect_upfront,
              "The price at the beginning that you saw, likewise");
    CLI::App* any =
        Add(app_, "lease-any",
            "Lease one number of those that match, the first in the order. This spends money",
            LeaseAny);
    AddPurchase(any);
    options_.search.AddTo(*any, SearchOptions::Prices::kRequired);
    AddOrderBy(any);
    CLI::App* leases = Add(app_, "leases", "List the account's leases", [](const Options& options) {
      v1::ListLeasesRequest request;
      options.staleness.ApplyTo(request);
      return Call(options, Facts(Kind::kRead), &Stub::ListLeases, request);
    });
    options_.staleness.AddTo(*leases);
    CLI::App* show = AddForNumber(
        app_, "show", "Show the account's lease of a number", [](const Options& options) {
          return CallForNumber(options, Facts(Kind::kRead), &Stub::GetLease);
        });
    options_.staleness.AddTo(*show);
    CLI::App* terminate =
        AddForNumber(app_, "terminate", "End the lease of a number, at once", Terminate);
    AddRequestId(terminate);
    terminate
        ->add_option("--lease-id", options_.lease_id,
                     "The lease that you saw: fail when there is another by now")
        ->check(CheckNotEmpty, "");

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

  void AddForwarding() {
    CLI::App* forwarding =
        app_.add_subcommand("forwarding", "Show or change where calls to a leased number go");
    forwarding->require_subcommand(1);
    AddForNumber(*forwarding, "get", "Show where calls go", [](const Options& options) {
      return CallForNumber(options, Facts(Kind::kRead), &Stub::GetCallForwarding);
    });
    AddForNumber(*forwarding, "enable", "Forward all calls", EnableForwarding)
        ->add_option("--to", options_.forward_to, "The number that calls shall go to")
        ->type_name("NUMBER")
        ->required()
        ->check(CheckNotEmpty, "");
    AddForNumber(*forwarding, "disable", "Stop forwarding calls", [](const Options& options) {
      return CallForNumber(options,
                           Facts(Kind::kChange, "leasectl forwarding get " + options.number),
                           &Stub::DisableCallForwarding);
    });
  }

  Options options_;
  Action run_;
  CLI::App app_{"Lease Gateway from the command line.", "leasectl"};
};

}  // namespace
}  // namespace leasegateway

int main(int argc, char** argv) {
  // A closed pipe is seen when writing.
  std::signal(SIGPIPE, SIG_IGN);
  // Failures are explained here; gRPC's own log would only double them.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  try {
    return leasegateway::CommandLine().Run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "leasectl: %s\n", leasegateway::Harmless(error.what()).c_str());
    return leasegateway::kLocalFailure;
  }
}
