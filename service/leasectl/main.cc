// leasectl: Lease Gateway from the command line.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "google/protobuf/empty.pb.h"
#include "google/protobuf/unknown_field_set.h"
#include "google/protobuf/util/json_util.h"
#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "service/leasectl/completion.h"
#include "service/leasectl/errors.h"
#include "service/leasectl/print.h"
#include "service/leasectl/table.h"

namespace leasegateway {
namespace {

using Kind = CallFacts::Kind;
using Stub = v1::LeaseService::Stub;

struct Options {
  std::string target = "127.0.0.1:50051";
  bool tls = false;
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
  std::string server_name;
  std::string timeout = "10s";
  bool json = false;
  std::string color = "auto";

  std::string number;
  std::optional<std::string> request_id;
  std::string billing;
  bool enable = false;
  bool disable = false;
  std::string mode;
  std::vector<std::string> cover;
  std::string forward_to;
  std::string health_service;
  std::string shell;
};

void PrintError(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stderr); }

ExitCode FailLocally(const std::string& what) {
  PrintError(absl::StrCat("leasectl: ", what, "\n"));
  return kLocalFailure;
}

// A reader that has seen enough, as in `leasectl leases | head`, is no failure.
ExitCode PrintOutput(const std::string& text) {
  errno = 0;
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return kDone;
  if (errno == EPIPE) return kDone;
  return FailLocally(absl::StrCat("standard output: ", std::strerror(errno)));
}

bool IsColored(const Options& options) {
  if (options.color != "auto") return options.color == "always";
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return isatty(STDOUT_FILENO) && (no_color == nullptr || *no_color == '\0') &&
         (terminal == nullptr || std::string_view(terminal) != "dumb");
}

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

// A PEM file's text, or nothing after saying why.
std::optional<std::string> ReadPem(const std::string& path) {
  std::string text;
  errno = 0;
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file != nullptr) {
    char buffer[4096];
    std::size_t size = 0;
    while ((size = std::fread(buffer, 1, sizeof(buffer), file)) > 0) text.append(buffer, size);
  }
  const bool failed = file == nullptr || std::ferror(file);
  const std::string why = failed ? std::strerror(errno) : "not a PEM file";
  if (file != nullptr) std::fclose(file);
  if (failed || !absl::StrContains(text, "-----BEGIN ")) {
    FailLocally(absl::StrCat(Harmless(path), ": ", why));
    return std::nullopt;
  }
  return text;
}

// The channel, or null after saying why.
std::shared_ptr<grpc::Channel> MakeChannel(const Options& options) {
  grpc::ChannelArguments arguments;
  // Nothing that spends money may be sent twice because of a service config in the DNS.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // Lists can be long, and so can error details, which travel in a header.
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, 256 << 10);
  arguments.SetUserAgentPrefix(absl::StrCat("leasectl/", LEASE_GATEWAY_VERSION));
  if (!options.tls) {
    return grpc::CreateCustomChannel(options.target, grpc::InsecureChannelCredentials(), arguments);
  }
  grpc::SslCredentialsOptions tls;
  const struct {
    const std::string& path;
    std::string& pem;
  } files[] = {{options.ca_file, tls.pem_root_certs},
               {options.cert_file, tls.pem_cert_chain},
               {options.key_file, tls.pem_private_key}};
  for (const auto& [path, pem] : files) {
    if (path.empty()) continue;
    std::optional<std::string> text = ReadPem(path);
    if (!text) return nullptr;
    pem = *std::move(text);
  }
  if (!options.server_name.empty()) arguments.SetSslTargetNameOverride(options.server_name);
  return grpc::CreateCustomChannel(options.target, grpc::SslCredentials(tls), arguments);
}

// Whether there is a connection. Returns as soon as one failed, so that the call can fail as well.
bool Connect(grpc::Channel& channel, absl::Time deadline) {
  grpc_connectivity_state state = channel.GetState(true);
  while (state == GRPC_CHANNEL_IDLE || state == GRPC_CHANNEL_CONNECTING) {
    if (!channel.WaitForStateChange(state, absl::ToChronoTime(deadline))) break;
    state = channel.GetState(true);
  }
  return state == GRPC_CHANNEL_READY;
}

template <class Reply>
ExitCode PrintReply(const Reply& reply, const Options& options) {
  if (!options.json) return PrintOutput(Print(reply, IsColored(options)));
  google::protobuf::util::JsonPrintOptions how;
  how.add_whitespace = true;
  how.preserve_proto_field_names = true;
  how.always_print_primitive_fields = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(reply, &json, how);
  if (!status.ok()) {
    PrintError(absl::StrCat(
        "leasectl: the reply does not fit into JSON: ", Harmless(status.ToString()), "\n"));
    return kOther;
  }
  return PrintOutput(json);
}

using Invoke = std::function<grpc::Status(grpc::Channel&, grpc::ClientContext&)>;

// Connects, makes the call and explains a failure; nothing when the call succeeded.
std::optional<ExitCode> Call(const Options& options, CallFacts facts, const Invoke& invoke) {
  const std::shared_ptr<grpc::Channel> channel = MakeChannel(options);
  if (channel == nullptr) return kLocalFailure;
  absl::Duration timeout;
  if (!absl::ParseDuration(options.timeout, &timeout)) return kUsage;  // was checked before
  const absl::Time deadline = absl::Now() + timeout;
  facts.target = options.target;
  facts.connected = Connect(*channel, deadline);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(deadline));
  context.set_wait_for_ready(false);
  const grpc::Status status = invoke(*channel, context);
  if (status.ok()) return std::nullopt;
  const Failure failure = Explain(status, facts);
  PrintError(failure.text);
  return failure.exit_code;
}

template <class Request, class Reply>
ExitCode Call(const Options& options, const CallFacts& facts,
              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
              const Request& request) {
  Reply reply;
  const auto failure =
      Call(options, facts, [&](grpc::Channel& channel, grpc::ClientContext& context) {
        // The stub only borrows the channel.
        Stub stub(std::shared_ptr<grpc::Channel>(std::shared_ptr<grpc::Channel>(), &channel));
        return (stub.*method)(&context, request, &reply);
      });
  return failure ? *failure : PrintReply(reply, options);
}

// For the calls whose request is the number alone.
template <class Request, class Reply>
ExitCode CallForNumber(const Options& options, const CallFacts& facts,
                       grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Reply*)) {
  Request request;
  request.set_phone_number(options.number);
  return Call(options, facts, method, request);
}

CallFacts Facts(Kind kind, std::string look = "") {
  CallFacts facts;
  facts.kind = kind;
  facts.look = std::move(look);
  return facts;
}

ExitCode Lease(const Options& options) {
  v1::CreateLeaseRequest request;
  request.set_phone_number(options.number);
  request.set_request_id(RequestId(options));
  if (options.billing == "monthly") request.set_billing_method(v1::BILLING_METHOD_MONTHLY);
  if (options.billing == "service_contract") {
    request.set_billing_method(v1::BILLING_METHOD_SERVICE_CONTRACT);
  }
  return Call(options, Facts(Kind::kPurchase, "leasectl show " + options.number),
              &Stub::CreateLease, request);
}

ExitCode Terminate(const Options& options) {
  v1::TerminateLeaseRequest request;
  request.set_phone_number(options.number);
  request.set_request_id(RequestId(options));
  return Call(options, Facts(Kind::kPurchase, "leasectl show " + options.number),
              &Stub::TerminateLease, request);
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
  const auto failure =
      Call(options, Facts(Kind::kRead), [&](grpc::Channel& channel, grpc::ClientContext& context) {
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

std::string CheckNotEmpty(const std::string& value) {
  return value.empty() ? "must not be empty" : "";
}

std::string CheckTimeout(const std::string& value) {
  absl::Duration timeout;
  if (absl::ParseDuration(value, &timeout) && timeout > absl::ZeroDuration() &&
      timeout < absl::InfiniteDuration()) {
    return "";
  }
  return "must be a positive duration such as 500ms, 10s or 1m30s";
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
    CLI::Option* tls = app_.add_flag("--tls", options_.tls, "Connect with TLS");
    app_.add_option("--ca-file", options_.ca_file,
                    "Certificates to trust, PEM; default: the system's")
        ->type_name("FILE")
        ->needs(tls);
    CLI::Option* certificate =
        app_.add_option("--cert-file", options_.cert_file, "Client certificate, PEM")
            ->type_name("FILE")
            ->needs(tls);
    CLI::Option* key =
        app_.add_option("--key-file", options_.key_file, "Key of the client certificate, PEM")
            ->type_name("FILE")
            ->needs(tls)
            ->needs(certificate);
    certificate->needs(key);
    app_.add_option("--server-name", options_.server_name,
                    "Name that the gateway's certificate must have; default: that of --target")
        ->needs(tls);
    app_.add_option("--timeout", options_.timeout, "How long to wait for an answer")
        ->type_name("DURATION")
        ->check(CheckTimeout, "")
        ->capture_default_str();
    app_.add_flag("--json", options_.json, "Print the reply as JSON");
    app_.add_option("--color", options_.color,
                    "Colours; auto: on a terminal, unless NO_COLOR is set")
        ->check(CLI::IsMember(std::vector<std::string>{"auto", "always", "never"}))
        ->capture_default_str();
  }

  void AddRequestId(CLI::App* command) {
    command
        ->add_option("--request-id", options_.request_id,
                     "Names this request; default: a random UUID, which is shown first")
        ->type_name("UUID")
        ->check(CheckNotEmpty, "");
  }

  void AddNumberCommands() {
    Add(app_, "available", "List the numbers that can be leased", [](const Options& options) {
      return Call(options, Facts(Kind::kRead), &Stub::ListAvailableNumbers,
                  v1::ListAvailableNumbersRequest());
    });
    AddForNumber(app_, "get", "Show a number", [](const Options& options) {
      return CallForNumber(options, Facts(Kind::kRead), &Stub::GetNumber);
    });
    CLI::App* lease = AddForNumber(app_, "lease", "Lease a number. This spends money", Lease);
    AddRequestId(lease);
    lease->add_option("--billing", options_.billing, "How to pay; default: monthly")
        ->check(CLI::IsMember(std::vector<std::string>{"monthly", "service_contract"}));
    Add(app_, "leases", "List the account's leases", [](const Options& options) {
      return Call(options, Facts(Kind::kRead), &Stub::ListLeases, v1::ListLeasesRequest());
    });
    AddForNumber(app_, "show", "Show the account's lease of a number", [](const Options& options) {
      return CallForNumber(options, Facts(Kind::kRead), &Stub::GetLease);
    });
    AddRequestId(AddForNumber(app_, "terminate", "End the lease of a number, at once", Terminate));

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
