#include "service/config/config.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <charconv>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "service/process/api_key.h"
#include "service/process/read_file.h"
#include "service/process/tls.h"
#include "yaml-cpp/yaml.h"

namespace leasegateway {
namespace {

using Milliseconds = Config::Milliseconds;

constexpr absl::string_view kEnvironmentPrefix = "LEASE_GATEWAY_";
constexpr absl::string_view kSecretsRule =
    "secrets come from CONTIGUITY_API_KEY, CONTIGUITY_TOKEN or the file upstream_token_file";
constexpr std::size_t kMaxShownBytes = 120;
constexpr std::size_t kMaxFileBytes = 1 << 20;

// --- text ----------------------------------------------------------------------------------------

// Values in errors stay on one line.
std::string Quote(absl::string_view value) {
  const bool cut = value.size() > kMaxShownBytes;
  return absl::StrCat("\"", absl::CHexEscape(std::string(value.substr(0, kMaxShownBytes))),
                      cut ? "..." : "", "\"");
}

// User info and query are where people put keys.
std::string QuoteUrl(absl::string_view value) {
  std::string shown(value.substr(0, value.find_first_of("?#")));
  if (shown.size() < value.size()) shown += "?***";
  if (const std::size_t at = value.rfind('@'); at != value.npos) {
    const std::size_t scheme = value.find("://");
    shown = absl::StrCat(scheme < at ? value.substr(0, scheme + 3) : "", "***@",
                         value.substr(at + 1, value.find_first_of("?#", at) - at - 1));
  }
  return Quote(shown);
}

std::string FormatDuration(Milliseconds value) {
  return absl::FormatDuration(absl::FromChrono(value));
}

std::string FormatSize(std::int64_t value) {
  if (value != 0 && value % (1 << 20) == 0) return absl::StrCat(value >> 20, "MiB");
  if (value != 0 && value % (1 << 10) == 0) return absl::StrCat(value >> 10, "KiB");
  return absl::StrCat(value);
}

template <typename T>
bool ParseNumber(absl::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

std::string YamlString(absl::string_view value) {
  return absl::StrCat("\"", absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
}

std::size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, changed}));
    }
  }
  return row.back();
}

// --- rules ---------------------------------------------------------------------------------------
// Each returns the rule that the value breaks; empty when it breaks none.

std::string CheckHost(absl::string_view host) {
  if (absl::StartsWith(host, "[")) {
    in6_addr address;
    if (!absl::EndsWith(host, "]") ||
        inet_pton(AF_INET6, std::string(host.substr(1, host.size() - 2)).c_str(), &address) != 1) {
      return "is not an IPv6 address in brackets";
    }
    return "";
  }
  if (host.empty()) return "has no host; for all addresses use 0.0.0.0 or [::]";
  if (absl::StrContains(host, ":")) return "needs an IPv6 address in brackets, as [::1]:50051";
  if (host.find_first_not_of("0123456789.") == host.npos) {
    in_addr address;
    return inet_pton(AF_INET, std::string(host).c_str(), &address) == 1 ? ""
                                                                        : "is not an IPv4 address";
  }
  if (host.size() > 253) return "has a host name of more than 253 bytes";
  for (absl::string_view label : absl::StrSplit(host, '.')) {
    const bool valid =
        !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
        std::all_of(label.begin(), label.end(),
                    [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; });
    if (!valid) return "is not a host name";
  }
  return "";
}

std::string CheckListen(absl::string_view value) {
  const std::size_t colon = value.rfind(':');
  std::string broken;
  std::uint16_t port;
  if (colon == value.npos) {
    broken = "has no port";
  } else if (!ParseNumber(value.substr(colon + 1), port)) {
    broken = "needs a port from 0 to 65535";
  } else {
    broken = CheckHost(value.substr(0, colon));
  }
  return broken.empty() ? "" : absl::StrCat("must be HOST:PORT: ", broken);
}

std::string CheckUrl(absl::string_view value) {
  const std::string text(value);
  const auto parsed = boost::urls::parse_uri(text);
  if (!parsed) return "must be a URL as https://HOST/PATH";
  const boost::urls::url_view& url = *parsed;
  if (url.scheme_id() == boost::urls::scheme::http) {
    return "must be https://: http:// would send the API key unencrypted";
  }
  if (url.scheme_id() != boost::urls::scheme::https) return "must start with https://";
  if (!url.has_authority() || url.encoded_host().empty()) return "must have a host";
  if (url.has_userinfo()) {
    return absl::StrCat("must have no user name or password: ", kSecretsRule);
  }
  if (url.has_query()) return "must have no query";
  if (url.has_fragment()) return "must have no fragment";
  if (url.has_port() && url.port_number() == 0) return "must have a port from 1 to 65535";
  return "";
}

std::string CheckPath(absl::string_view value) {
  const bool control = std::any_of(value.begin(), value.end(),
                                   [](unsigned char c) { return absl::ascii_iscntrl(c); });
  return control ? "must be a path without control characters" : "";
}

// Expired certificates are no error here: bundles carry them, and the handshake decides.
std::string CheckCaFile(const std::string& path) {
  const absl::StatusOr<std::string> pem = ReadFile(path, kMaxCaFileBytes);
  if (!pem.ok()) return std::string(pem.status().message());
  return std::string(ReadCertificates(*pem).status().message());
}

// --- the table -----------------------------------------------------------------------------------

struct Option {
  std::string key;       // of the YAML file; flag and variable follow from it
  std::string argument;  // its name in --help
  std::string help;
  std::function<std::string(absl::string_view, Config&)> set;  // returns the rule broken, or empty
  std::function<std::string(const Config&)> get;               // as `set` reads it
  bool is_boolean = false;
  bool is_string = false;
  std::function<std::string(absl::string_view)> show = Quote;  // in errors

  std::string Flag() const { return absl::StrCat("--", absl::StrReplaceAll(key, {{"_", "-"}})); }
  std::string Environment() const {
    return absl::StrCat(kEnvironmentPrefix, absl::AsciiStrToUpper(key));
  }
};

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

const std::vector<Option>& Options() {
  using namespace std::chrono_literals;  // NOLINT(build/namespaces)
  static const auto* const options = new std::vector<Option>{
      Text(
          "listen", "HOST:PORT",
          "Where to serve gRPC: IPv4 address, [IPv6 address] or name; port 0 to 65535, 0: any free",
          &Config::listen, CheckListen),
      Text("tls_cert_file", "FILE",
           "PEM file of the certificate to serve, its intermediates after it; empty: no TLS",
           &Config::tls_cert_file, CheckPath),
      Text("tls_key_file", "FILE", "PEM file of its private key, without passphrase",
           &Config::tls_key_file, CheckPath),
      Text("tls_client_ca_file", "FILE",
           "PEM file of the authorities that sign callers' certificates; empty: callers need none",
           &Config::tls_client_ca_file, CheckPath),
      Duration("file_refresh", "How often the files of TLS and upstream_token_file are read anew",
               &Config::file_refresh, 100ms, 1h),
      Boolean("allow_plaintext", "Serve without TLS beyond loopback, as behind a mesh's side-car",
              &Config::allow_plaintext),
      Duration("default_deadline", "Deadline of a call that came without one",
               &Config::default_deadline, 1ms, 1h),
      Duration("drain_wait", "At SIGTERM, from NOT_SERVING until no new calls are taken",
               &Config::drain_wait, 0ms, 1h),
      Duration("grace", "Then, until calls in flight are cancelled", &Config::grace, 0ms, 1h),
      Duration("max_connection_age", "Age at which a caller's connection is closed, 0: no limit",
               &Config::max_connection_age, 0ms, 24h),
      Duration("max_connection_age_grace", "Then, until its calls in flight are cancelled",
               &Config::max_connection_age_grace, 0ms, 24h),
      Duration("keepalive_time", "Silence on a caller's connection until a ping is sent",
               &Config::keepalive_time, 1s, 24h),
      Duration("keepalive_timeout", "Wait for the ping's answer until the connection is closed",
               &Config::keepalive_timeout, 1s, 1h),
      Size("max_request_bytes", "Longest request taken", &Config::max_request_bytes, 1 << 10,
           256 << 20),
      Size("max_response_bytes", "Longest response sent", &Config::max_response_bytes, 1 << 10,
           1 << 30),
      Boolean("reflection", "Serve gRPC server reflection", &Config::reflection),
      Boolean("channelz", "Serve gRPC channelz, which costs throughput", &Config::channelz),
      Duration("watch_heartbeat", "Silence until a watcher is sent a message without changes",
               &Config::watch_heartbeat, 100ms, 1h),
      Integer("max_watchers", "Calls of WatchAvailability at a time", &Config::max_watchers, 0,
              1'000'000),

      Text("admin_listen", "HOST:PORT",
           "Where to serve the admin port: plain HTTP for the platform, not for callers; empty: "
           "nowhere",
           &Config::admin_listen,
           [](absl::string_view value) { return value.empty() ? "" : CheckListen(value); }),

      Url("upstream_url", "The provider's API; https only, no user info, query or fragment",
          &Config::upstream_url),
      Text("upstream_ca_file", "FILE",
           "PEM file of the authorities trusted for upstream_url; empty: the system's",
           &Config::upstream_ca_file, CheckPath),
      Text("upstream_token_file", "FILE",
           "File that holds the API key, at most 512 bytes; stronger than the environment's",
           &Config::upstream_token_file, CheckPath),
      Choice("auth_scheme", "Scheme of the Authorization header", &Config::auth_scheme,
             {"Bearer", "Token"}),
      Integer("threads", "Threads that serve the provider's connections", &Config::threads, 1, 64),
      Integer("pool_size", "Connections to the provider at most", &Config::pool_size, 1, 4096),
      Integer("pool_queue", "Calls that may wait for a connection", &Config::pool_queue, 0,
              1'000'000),
      Duration("pool_wait",
               "Expected wait for a connection at which calls are refused, 0: what a call takes",
               &Config::pool_wait, 0ms, 10min),
      Duration("resolve_timeout", "Limit of the name lookup", &Config::resolve_timeout, 1ms, 10min),
      Duration("connect_timeout", "Limit of connecting to one address", &Config::connect_timeout,
               1ms, 10min),
      Duration("handshake_timeout", "Limit of the TLS handshake", &Config::handshake_timeout, 1ms,
               10min),
      Duration("send_timeout", "Limit of sending a request", &Config::send_timeout, 1ms, 10min),
      Duration("response_timeout", "Limit from the request's last byte to the answer's header",
               &Config::response_timeout, 1ms, 10min),
      Duration("read_timeout", "Limit of reading the answer's body", &Config::read_timeout, 1ms,
               10min),
      Duration("idle_timeout", "Time an unused connection to the provider is kept",
               &Config::idle_timeout, 0ms, 1h),
      Duration("dns_ttl", "Time a looked up address is used", &Config::dns_ttl, 0ms, 24h),
      Size<std::int64_t>("max_body_bytes", "Longest answer of the provider taken",
                         &Config::max_body_bytes, 1 << 10, 1 << 30),
      Integer("retry_attempts", "Attempts at a call of the provider at most, with the first",
              &Config::retry_attempts, 1, 10),
      Integer("retry_budget_percent", "Retries that 100 calls make room for",
              &Config::retry_budget_percent, 0, 100),
      Integer("retry_budget_floor", "Retries a second besides, for callers only",
              &Config::retry_budget_floor, 0, 1'000),
      Integer("upstream_rate", "Calls of the provider a second at most, 0: no limit",
              &Config::upstream_rate, 0, 1'000'000),

      Duration("cache_fresh", "Age up to which memory answers reads", &Config::cache_fresh, 0ms,
               24h),
      Duration("cache_stale_while_revalidate",
               "Then, time in which memory still answers, and is refreshed meanwhile",
               &Config::cache_stale_while_revalidate, 0ms, 24h),
      Duration("cache_stale_if_error", "Age up to which memory answers when the provider does not",
               &Config::cache_stale_if_error, 0ms, 168h),
      Duration("cache_negative", "Time it is remembered that a number does not exist",
               &Config::cache_negative, 0ms, 1h),
      Duration("cache_idle", "Time after the last read in which lists are still refreshed",
               &Config::cache_idle, 0ms, 168h),
      Integer("cache_numbers", "Single numbers kept in memory, beside the lists",
              &Config::cache_numbers, 0, 10'000'000),
      Size<std::int64_t>("cache_history_bytes", "Memory for page walks over replaced lists,",
                         &Config::cache_history_bytes, 1 << 20, std::int64_t{16} << 30),

      Text(
          "journal", "FILE",
          "SQLite file of the journal of purchases; empty: ./lease-gateway.db, with sandbox memory",
          &Config::journal, CheckPath),
      Duration("settle_time",
               "Time after which a purchase whose answer was lost can't arrive any more",
               &Config::settle_time, 100ms, 10min),
      Duration("journal_retention", "Time that settled purchases and terminations are kept",
               &Config::journal_retention, 24h, 87'600h),

      Boolean("sandbox", "Serve from the embedded sandbox instead of the provider; needs no key",
              &Config::sandbox),
      Integer("sandbox_numbers", "Numbers that the sandbox offers", &Config::sandbox_numbers, 0,
              100'000),
      Integer<std::uint64_t>("sandbox_seed", "Seed of the sandbox's data", &Config::sandbox_seed, 0,
                             UINT64_MAX),
      Integer<std::uint16_t>("sandbox_control_port",
                             "Port of the sandbox's control interface, 0: any free",
                             &Config::sandbox_control_port, 0, UINT16_MAX),

      Choice("log_level", "Least severe level logged", &Config::log_level,
             {"trace", "debug", "info", "warn", "error", "off"}),
      Choice("log_format", "Format of the log on standard error", &Config::log_format,
             {"text", "json"}),
      Integer("access_log_hits", "Log one in so many reads that memory answered; 0: none, 1: all",
              &Config::access_log_hits, 0, 1'000'000),
  };
  return *options;
}

// The option whose key is `key`, or null.
const Option* FindOption(absl::string_view key) {
  for (const Option& option : Options()) {
    if (option.key == key) return &option;
  }
  return nullptr;
}

// What to say of a key that is none; `name` tells how an option is called where `key` was found.
std::string UnknownRule(absl::string_view key,
                        const std::function<std::string(const Option&)>& name) {
  static constexpr absl::string_view kSecretWords[] = {"token",    "secret",        "apikey",
                                                       "password", "authorization", "key"};
  const std::string folded = absl::StrReplaceAll(absl::AsciiStrToLower(key), {{"-", "_"}});
  for (absl::string_view word : kSecretWords) {
    if (folded == word || absl::EndsWith(folded, absl::StrCat("_", word))) {
      return absl::StrCat("cannot be set here: ", kSecretsRule);
    }
  }
  const Option* nearest = nullptr;
  std::size_t distance = std::max<std::size_t>(2, folded.size() / 3) + 1;
  // Longer keys than any option are not worth comparing.
  for (const Option& option : Options()) {
    if (folded.size() > 64) break;
    const std::size_t candidate = EditDistance(folded, option.key);
    if (candidate < distance) {
      distance = candidate;
      nearest = &option;
    }
  }
  if (nearest == nullptr) return "is unknown; --help lists all";
  return absl::StrCat("is unknown; did you mean ", name(*nearest), "?");
}

// --- help and print ------------------------------------------------------------------------------

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
      "\n"
      "Signals:\n"
      "  SIGTERM, SIGINT  report NOT_SERVING, wait drain_wait, take no new calls, let those in\n"
      "                   flight finish for at most grace, exit\n"
      "  SIGUSR1          log one level more\n"
      "  SIGUSR2          log one level less\n");
  return text;
}

bool IsUpstreamOnly(const Option& option) {
  return option.key == "upstream_url" || option.key == "upstream_ca_file" ||
         option.key == "upstream_token_file";
}

// `sources`, where not empty, are as long as the table.
std::string Print(const Config& config, const std::vector<std::string>& sources) {
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
  absl::StrAppend(&text, "\n# api_key: ", config.api_key.empty() ? "not set" : "REDACTED (set)",
                  "\n");
  return text;
}

// --- loading -------------------------------------------------------------------------------------

class Loader {
 public:
  explicit Loader(const std::function<const char*(const char*)>& getenv)
      : getenv_(getenv), places_(Options().size()) {}

  absl::StatusOr<Invocation> Load(int argc, const char* const* argv,
                                  const std::vector<std::string>& environment_names);

 private:
  using FlagValues = std::vector<std::optional<std::string>>;

  // Returns the values in the table's order.
  FlagValues ReadFlags(int argc, const char* const* argv);
  void ReadYaml();
  void ReadEnvironment(const std::vector<std::string>& names);
  void Set(std::size_t index, std::string place, absl::string_view value);
  void CheckWhole();
  void CheckTransport();
  void ReadSecret();
  // Where `key` was set; empty: nowhere.
  const std::string& Place(absl::string_view key) const;
  void Error(absl::string_view place, absl::string_view shown, absl::string_view rule);

  const std::function<const char*(const char*)>& getenv_;
  Invocation invocation_;
  std::vector<std::string> places_;
  std::vector<std::string> errors_;
  bool flags_understood_ = true;
};

void Loader::Error(absl::string_view place, absl::string_view shown, absl::string_view rule) {
  errors_.push_back(absl::StrCat(place, ": ", shown, shown.empty() ? "" : ": ", rule));
}

void Loader::Set(std::size_t index, std::string place, absl::string_view value) {
  const Option& option = Options()[index];
  const std::string rule = option.set(value, invocation_.config);
  if (!rule.empty()) {
    Error(place, option.show(value), rule);
  } else {
    places_[index] = std::move(place);
  }
}

const std::string& Loader::Place(absl::string_view key) const {
  return places_[FindOption(key) - Options().data()];
}

Loader::FlagValues Loader::ReadFlags(int argc, const char* const* argv) {
  CLI::App app;
  app.set_help_flag();  // ours lists the environment too
  app.allow_extras();   // so that all unknown ones are reported, without their values
  const CLI::Option* help = app.add_flag("-h,--help")->take_last();
  const CLI::Option* version = app.add_flag("--version")->take_last();
  const CLI::Option* check = app.add_flag("--check-config")->take_last();
  const CLI::Option* print = app.add_flag("--print-config")->take_last();
  const CLI::Option* metrics = app.add_flag("--print-metrics")->take_last();
  const CLI::Option* file = app.add_option("--config")->expected(1)->take_last();
  std::vector<const CLI::Option*> flags;
  for (const Option& option : Options()) {
    CLI::Option* flag =
        option.is_boolean ? app.add_flag(option.Flag()) : app.add_option(option.Flag());
    if (!option.is_boolean) flag->expected(1);
    flags.push_back(flag->take_last());
  }

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
  std::reverse(arguments.begin(), arguments.end());  // the order that CLI11 wants
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    flags_understood_ = false;
    Error("command line", "", error.what());
  }

  bool after_unknown = false;
  for (const std::string& extra : app.remaining()) {
    if (absl::StartsWith(extra, "-") && extra.size() > 1 && extra != "--") {
      const std::string flag = extra.substr(0, extra.find('='));
      absl::string_view key = flag;
      while (absl::ConsumePrefix(&key, "-")) {
      }
      const std::string shown = Quote(flag);
      Error(absl::StrCat("flag ", absl::string_view(shown).substr(1, shown.size() - 2)), "",
            UnknownRule(key, [](const Option& option) { return option.Flag(); }));
      after_unknown = true;
    } else if (!std::exchange(after_unknown, false)) {
      // Not shown, as it may be a key given by mistake.
      Error("command line", "",
            "unexpected argument; all are flags, and a boolean's value needs '=': --sandbox=false");
    }
  }

  using Action = Invocation::Action;
  // A mistake elsewhere must not hide the help.
  if (help->count() > 0) {
    invocation_.action = Action::kExit;
    invocation_.output = Help();
  } else if (version->count() > 0) {
    invocation_.action = Action::kExit;
    invocation_.output = "lease-gateway " LEASE_GATEWAY_VERSION "\n";
  } else if (metrics->count() > 0) {
    invocation_.action = Action::kPrintMetrics;
  } else if (check->count() > 0 && print->count() > 0) {
    Error("flag --check-config", "", "cannot be combined with --print-config");
  } else if (check->count() > 0) {
    invocation_.action = Action::kCheckConfig;
  } else if (print->count() > 0) {
    invocation_.action = Action::kPrintConfig;
  }
  if (file->count() > 0) {
    invocation_.config_file = file->results().back();
    if (invocation_.config_file.empty()) Error("flag --config", "\"\"", "must name a file");
  }
  FlagValues values(flags.size());
  for (std::size_t i = 0; i < flags.size(); ++i) {
    if (flags[i]->count() > 0) values[i] = flags[i]->results().back();
  }
  return values;
}

void Loader::ReadYaml() {
  const std::string& file = invocation_.config_file;
  if (file.empty()) return;
  const absl::StatusOr<std::string> content = ReadFile(file, kMaxFileBytes);
  if (!content.ok()) {
    Error("flag --config", Quote(file), content.status().message());
    return;
  }
  const auto place = [&](const YAML::Mark& mark) {
    return mark.is_null() ? file : absl::StrCat(file, ":", mark.line + 1);
  };
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(*content);
    if (documents.empty()) return;
    if (documents.size() > 1) {
      Error(place(documents[1].Mark()), "", "must be one YAML document");
    }
    const YAML::Node& root = documents[0];
    if (root.IsNull()) return;
    if (!root.IsMap()) {
      Error(place(root.Mark()), "", "must be a map of option: value");
      return;
    }
    std::vector<std::string> seen;
    for (const auto& entry : root) {
      const std::string line = place(entry.first.Mark());
      if (!entry.first.IsScalar()) {
        Error(line, "", "key must be a name");
        continue;
      }
      const std::string& key = entry.first.Scalar();
      const std::string shown = Quote(key);
      const std::string where =
          absl::StrCat(line, ": ", absl::string_view(shown).substr(1, shown.size() - 2));
      const Option* option = FindOption(key);
      if (option == nullptr) {
        Error(where, "", UnknownRule(key, [](const Option& nearest) { return nearest.key; }));
        continue;
      }
      if (std::find(seen.begin(), seen.end(), key) != seen.end()) {
        Error(where, "", "is set twice");
        continue;
      }
      seen.push_back(key);
      if (!entry.second.IsScalar()) {
        Error(where, "", entry.second.IsNull() ? "has no value" : "must be a single value");
        continue;
      }
      Set(option - Options().data(), where, entry.second.Scalar());
    }
  } catch (const YAML::Exception& error) {
    Error(place(error.mark), "", absl::StrCat("is not YAML: ", error.msg));
  }
}

// Kubernetes sets such variables for a Service named lease-gateway; they are not meant for us.
bool IsServiceLink(absl::string_view name, absl::string_view value) {
  if (absl::EndsWith(name, "_SERVICE_HOST") || absl::EndsWith(name, "_SERVICE_PORT") ||
      absl::StrContains(name, "_SERVICE_PORT_")) {
    return true;
  }
  for (absl::string_view protocol : {"tcp", "udp", "sctp"}) {
    if (absl::EndsWith(name, "_PORT") && absl::StartsWith(value, absl::StrCat(protocol, "://"))) {
      return true;
    }
    const std::string infix = absl::StrCat("_", absl::AsciiStrToUpper(protocol));
    if (absl::StrContains(name, "_PORT_") &&
        (absl::EndsWith(name, infix) || absl::StrContains(name, absl::StrCat(infix, "_")))) {
      return true;
    }
  }
  return false;
}

void Loader::ReadEnvironment(const std::vector<std::string>& names) {
  for (std::size_t i = 0; i < Options().size(); ++i) {
    const std::string name = Options()[i].Environment();
    if (const char* value = getenv_(name.c_str())) {
      Set(i, absl::StrCat("environment ", name), value);
    }
  }
  for (const std::string& name : names) {
    absl::string_view rest = name;
    if (!absl::ConsumePrefix(&rest, kEnvironmentPrefix)) continue;
    const std::string key = absl::AsciiStrToLower(rest);
    const Option* option = FindOption(key);
    if (option != nullptr && option->Environment() == name) continue;
    const char* value = getenv_(name.c_str());
    if (IsServiceLink(name, value == nullptr ? "" : value)) continue;
    Error(absl::StrCat("environment ", absl::CHexEscape(name)), "",
          UnknownRule(key, [](const Option& nearest) { return nearest.Environment(); }));
  }
}

void Loader::ReadSecret() {
  Config& config = invocation_.config;
  if (const std::string& path = config.upstream_token_file; !path.empty()) {
    auto key = ReadApiKey(path);
    if (key.ok()) {
      config.api_key = *std::move(key);
    } else {
      Error(Place("upstream_token_file"), Quote(path), key.status().message());
    }
    return;
  }
  for (const char* name : {"CONTIGUITY_API_KEY", "CONTIGUITY_TOKEN"}) {
    if (const char* value = getenv_(name)) {
      const absl::string_view key = absl::StripAsciiWhitespace(value);
      const std::string rule = CheckApiKey(key);
      if (rule.empty()) {
        config.api_key = std::string(key);
      } else {
        Error(absl::StrCat("environment ", name), "", absl::StrCat("the API key ", rule));
      }
      return;
    }
  }
  errors_.push_back(
      "no API key: set CONTIGUITY_API_KEY or CONTIGUITY_TOKEN in the environment, or name a file "
      "that holds it with --upstream-token-file; or use --sandbox, which needs none");
}

void Loader::CheckTransport() {
  if (const auto problem = CheckTls(TlsOptionsOf(invocation_.config), absl::Now())) {
    // What is missing has no place.
    const std::string& place = Place(problem->key);
    Error(place.empty() ? problem->key : place, problem->value.empty() ? "" : Quote(problem->value),
          problem->rule);
  }
}

void Loader::CheckWhole() {
  const Config& config = invocation_.config;
  CheckTransport();
  if (!config.sandbox) {
    if (!config.upstream_ca_file.empty()) {
      const std::string rule = CheckCaFile(config.upstream_ca_file);
      if (!rule.empty()) Error(Place("upstream_ca_file"), Quote(config.upstream_ca_file), rule);
    }
    ReadSecret();
    return;
  }
  // The environment's key is left alone: it may be there for other programs.
  for (std::size_t i = 0; i < Options().size(); ++i) {
    const Option& option = Options()[i];
    const std::string value = option.get(config);
    if (IsUpstreamOnly(option) && !places_[i].empty() && !value.empty()) {
      Error(places_[i], option.show(value),
            absl::StrCat("cannot be combined with sandbox, set by ", Place("sandbox")));
    }
  }
  const absl::string_view port =
      absl::string_view(config.listen).substr(config.listen.rfind(':') + 1);
  if (config.sandbox_control_port != 0 && port == absl::StrCat(config.sandbox_control_port)) {
    Error(Place("sandbox_control_port"), Quote(port), "must differ from the port of listen");
  }
}

absl::StatusOr<Invocation> Loader::Load(int argc, const char* const* argv,
                                        const std::vector<std::string>& environment_names) {
  const FlagValues flags = ReadFlags(argc, argv);
  using Action = Invocation::Action;
  if (invocation_.action == Action::kExit || invocation_.action == Action::kPrintMetrics) {
    return std::move(invocation_);
  }
  // From the weakest to the strongest.
  ReadYaml();
  ReadEnvironment(environment_names);
  for (std::size_t i = 0; i < flags.size(); ++i) {
    if (flags[i].has_value()) Set(i, absl::StrCat("flag ", Options()[i].Flag()), *flags[i]);
  }
  // Flags that were not understood may have said --sandbox.
  if (flags_understood_) CheckWhole();
  if (!errors_.empty()) return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
  if (invocation_.action == Invocation::Action::kPrintConfig) {
    std::vector<std::string> sources;
    for (const std::string& place : places_) sources.push_back(place.empty() ? "default" : place);
    invocation_.output = Print(invocation_.config, sources);
  }
  return std::move(invocation_);
}

}  // namespace

absl::StatusOr<Invocation> LoadConfig(int argc, const char* const* argv,
                                      const std::function<const char*(const char*)>& getenv,
                                      const std::vector<std::string>& environment_names) {
  return Loader(getenv).Load(argc, argv, environment_names);
}

std::vector<std::string> EnvironmentNames() {
  std::vector<std::string> names;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const absl::string_view text = *variable;
    names.emplace_back(text.substr(0, text.find('=')));
  }
  return names;
}

std::string JournalPath(const Config& config) {
  if (!config.journal.empty()) return config.journal;
  return config.sandbox ? ":memory:" : "lease-gateway.db";
}

TlsOptions TlsOptionsOf(const Config& config) {
  TlsOptions options;
  options.listen = config.listen;
  options.tls_cert_file = config.tls_cert_file;
  options.tls_key_file = config.tls_key_file;
  options.tls_client_ca_file = config.tls_client_ca_file;
  options.file_refresh = config.file_refresh;
  options.allow_plaintext = config.allow_plaintext;
  return options;
}

std::string PrintConfig(const Config& config) { return Print(config, {}); }

}  // namespace leasegateway
