#include "service/leasectl/client.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"
#include "service/leasectl/print.h"
#include "service/leasectl/table.h"
#include "service/leasectl/tls.h"

namespace leasegateway {
namespace {

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

// Whether there is a connection. Returns as soon as one failed, so that the call can fail as well.
bool Connect(grpc::Channel& channel, absl::Time deadline) {
  grpc_connectivity_state state = channel.GetState(true);
  while (state == GRPC_CHANNEL_IDLE || state == GRPC_CHANNEL_CONNECTING) {
    if (!channel.WaitForStateChange(state, absl::ToChronoTime(deadline))) break;
    state = channel.GetState(true);
  }
  return state == GRPC_CHANNEL_READY;
}

// As Protobuf calls it up to 25, and since then.
template <class Options>
void PrintUnsetFields(Options& how) {
  if constexpr (requires { how.always_print_primitive_fields; }) {
    how.always_print_primitive_fields = true;
  } else {
    how.always_print_fields_with_no_presence = true;
  }
}

}  // namespace

void PrintError(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stderr); }

ExitCode FailLocally(const std::string& what) {
  PrintError(absl::StrCat("leasectl: ", what, "\n"));
  return kLocalFailure;
}

ExitCode PrintOutput(const std::string& text) {
  errno = 0;
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return kDone;
  if (errno == EPIPE) return kDone;
  return FailLocally(absl::StrCat("standard output: ", std::strerror(errno)));
}

bool IsColored(const GlobalOptions& options) {
  if (options.color != "auto") return options.color == "always";
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return isatty(STDOUT_FILENO) && (no_color == nullptr || *no_color == '\0') &&
         (terminal == nullptr || std::string_view(terminal) != "dumb");
}

std::optional<std::string> ToJson(const google::protobuf::Message& message, JsonLayout layout) {
  google::protobuf::util::JsonPrintOptions how;
  how.add_whitespace = layout == JsonLayout::kIndented;
  how.preserve_proto_field_names = true;
  PrintUnsetFields(how);
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, how);
  if (status.ok()) return json;
  PrintError(absl::StrCat(
      "leasectl: the reply does not fit into JSON: ", Harmless(status.ToString()), "\n"));
  return std::nullopt;
}

std::shared_ptr<grpc::Channel> MakeChannel(const GlobalOptions& options, absl::Duration silence) {
  grpc::ChannelArguments arguments;
  // Nothing that spends money may be sent twice because of a service config in the DNS.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // Lists can be long, and so can error details, which travel in a header.
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, 256 << 10);
  arguments.SetUserAgentPrefix(absl::StrCat("leasectl/", LEASE_GATEWAY_VERSION));
  if (silence < absl::InfiniteDuration()) {
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS,
                     static_cast<int>(absl::ToInt64Milliseconds(silence)));
  }
  if (!options.tls) {
    if (!options.token_file.empty()) {
      if (!IsLoopback(options.target)) {
        FailLocally(absl::StrCat("--token-file: without --tls anybody on the way to ",
                                 Harmless(options.target),
                                 " could read the token; only loopback needs no --tls"));
        return nullptr;
      }
      // So could a proxy that the environment names.
      arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    }
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

std::optional<ExitCode> AddToken(TokenFile& token, grpc::ClientContext& context) {
  const absl::StatusOr<std::string> text = token.Read();
  if (!text.ok()) return FailLocally(absl::StrCat("--token-file: ", text.status().message()));
  if (!text->empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", *text));
  return std::nullopt;
}

absl::Duration Timeout(const GlobalOptions& options) {
  absl::Duration timeout;
  absl::ParseDuration(options.timeout, &timeout);
  return timeout;
}

void PrintCacheStatus(const GlobalOptions& options, const grpc::ClientContext& context) {
  if (!options.verbose) return;
  const auto& metadata = context.GetServerInitialMetadata();
  const auto [first, last] = metadata.equal_range("cache-status");
  for (auto entry = first; entry != last; ++entry) {
    const std::string_view value(entry->second.data(), entry->second.size());
    PrintError(absl::StrCat("cache-status: ", Harmless(value), "\n"));
  }
}

std::string AgeWords(absl::Duration age) {
  if (age < absl::Milliseconds(1)) return "0s";
  const absl::Duration unit = age < absl::Seconds(1) ? absl::Milliseconds(1) : absl::Seconds(1);
  return absl::FormatDuration(absl::Trunc(age, unit));
}

void PrintAge(const GlobalOptions& options, const v1::ResponseMetadata& metadata) {
  if (!options.verbose || !metadata.has_fetch_time()) return;
  const absl::Duration age = absl::Now() - TimeOf(metadata.fetch_time());
  PrintError(absl::StrCat("fetched ", AgeWords(age), " ago\n"));
}

std::optional<ExitCode> Client::Call(CallFacts facts, const Invoke& invoke) {
  if (channel_ == nullptr) channel_ = MakeChannel(options_);
  if (channel_ == nullptr) return kLocalFailure;
  grpc::ClientContext context;
  if (const auto failure = AddToken(token_, context)) return failure;
  const absl::Time deadline = absl::Now() + Timeout(options_);
  facts.target = options_.target;
  facts.connected = Connect(*channel_, deadline);
  context.set_deadline(absl::ToChronoTime(deadline));
  context.set_wait_for_ready(false);
  const grpc::Status status = invoke(*channel_, context);
  if (status.ok()) {
    PrintCacheStatus(options_, context);
    return std::nullopt;
  }
  if (options_.tls && !facts.connected && status.error_code() == grpc::StatusCode::UNAVAILABLE &&
      status.error_details().empty()) {
    const absl::Duration left = deadline - absl::Now();
    if (auto tls = ExplainTls(options_, std::min(left, absl::Seconds(5)))) {
      const Failure failure =
          Explain({status.error_code(), tls->what}, facts, std::move(tls->hint));
      PrintError(failure.text);
      return failure.exit_code;
    }
  }
  const Failure failure = Explain(status, facts);
  PrintError(failure.text);
  return failure.exit_code;
}

}  // namespace leasegateway
