#include "service/config/load_config.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "service/callers/read_callers.h"
#include "service/config/database.h"
#include "service/config/flag_parser.h"
#include "service/config/option_table.h"
#include "service/config/print.h"
#include "service/config/rules.h"
#include "service/config/unknown_key.h"
#include "service/process/error_text.h"
#include "service/process/read_file.h"
#include "service/process/secret.h"
#include "service/process/tls.h"
#include "yaml-cpp/yaml.h"

namespace leasegateway {
namespace {

constexpr std::size_t kMaxFileBytes = 1 << 20;
constexpr char kPasswordVariable[] = "LEASE_GATEWAY_DATABASE_PASSWORD";

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

// Puts together one configuration, from the weakest source to the strongest.
class Loader {
 public:
  explicit Loader(const std::function<const char*(const char*)>& getenv)
      : getenv_(getenv), places_(Options().size()) {}

  absl::StatusOr<Invocation> Load(int argc, const char* const* argv,
                                  const std::vector<std::string>& environment_names);

 private:
  void ReadYaml();
  void ReadEnvironment(const std::vector<std::string>& names);
  void Set(std::size_t index, std::string place, absl::string_view value);
  void CheckWhole();
  void CheckTransport();
  void CheckPool();
  void CheckDatabase();
  void CheckDatabaseUrl();
  void CheckListenUrl();
  void ReadPassword(std::string from_url);
  void ReadApiKey();
  void CheckCallers();
  void CheckRoad();
  // Where `key` was set; empty: nowhere.
  const std::string& Place(absl::string_view key) const;
  void Error(absl::string_view place, absl::string_view shown, absl::string_view rule);

  const std::function<const char*(const char*)>& getenv_;
  Invocation invocation_;
  std::vector<std::string> places_;
  std::vector<std::string> errors_;
};

void Loader::Error(absl::string_view place, absl::string_view shown, absl::string_view rule) {
  errors_.push_back(ErrorLine(place, shown, rule));
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
      const std::string where = absl::StrCat(line, ": ", EscapeName(key));
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
    if (name == kPasswordVariable) continue;
    const char* value = getenv_(name.c_str());
    if (IsServiceLink(name, value == nullptr ? "" : value)) continue;
    Error(absl::StrCat("environment ", absl::CHexEscape(name)), "",
          UnknownRule(key, [](const Option& nearest) { return nearest.Environment(); }));
  }
}

void Loader::ReadApiKey() {
  Config& config = invocation_.config;
  if (const std::string& path = config.upstream_token_file; !path.empty()) {
    auto key = ReadSecret(kApiKey, path);
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
      const std::string rule = CheckSecret(kApiKey, key);
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

void Loader::CheckCallers() {
  const Config& config = invocation_.config;
  if (config.callers_file.empty()) {
    if (config.tls_client_auth == "request") {
      Error(Place("tls_client_auth"), Quote(config.tls_client_auth),
            "needs callers_file: without it who has no certificate could do all the same");
    }
    return;
  }
  const auto policy = ReadCallers(config.callers_file, {.sandbox = config.sandbox});
  if (!policy.ok()) {
    for (absl::string_view line : absl::StrSplit(policy.status().message(), '\n')) {
      Error(Place("callers_file"), "", line);
    }
  }
  if (!config.upstream_token_file.empty()) {
    Error(Place("upstream_token_file"), Quote(config.upstream_token_file),
          absl::StrCat("cannot be combined with callers_file, set by ", Place("callers_file"),
                       ": its accounts name their own"));
  }
}

void Loader::CheckTransport() {
  if (const auto problem = CheckTls(TlsOptionsOf(invocation_.config), absl::Now())) {
    // What is missing has no place.
    const std::string& place = Place(problem->key);
    Error(place.empty() ? problem->key : place, problem->value.empty() ? "" : Quote(problem->value),
          problem->rule);
  }
}

void Loader::CheckDatabaseUrl() {
  Config& config = invocation_.config;
  const std::string& place = Place("database_url");
  auto url = ParseDatabaseUrl("database_url", config);
  if (!url.ok()) {
    Error(place, QuoteDatabaseUrl(config.database_url), url.status().message());
    return;
  }
  if (url->has_password && !absl::StartsWith(place, "environment ")) {
    Error(place, QuoteDatabaseUrl(config.database_url),
          absl::StrCat("must have no password here: ", kPasswordRule));
    return;
  }
  if (url->has_password) config.database_url = WithoutPassword(*url);
  ReadPassword(std::move(url->password));
}

void Loader::CheckListenUrl() {
  const Config& config = invocation_.config;
  const std::string& value = config.database_listen_url;
  if (value.empty()) return;
  const auto url = ParseDatabaseUrl("database_listen_url", config);
  if (!url.ok()) {
    Error(Place("database_listen_url"), QuoteDatabaseUrl(value), url.status().message());
  } else if (url->has_password) {
    Error(Place("database_listen_url"), QuoteDatabaseUrl(value),
          "must have no password: the one of database_url is used");
  }
}

void Loader::ReadPassword(std::string from_url) {
  Config& config = invocation_.config;
  config.database_password = std::move(from_url);
  if (const std::string& path = config.database_password_file; !path.empty()) {
    auto password = ReadSecret(kDatabasePassword, path);
    if (password.ok()) {
      config.database_password = *std::move(password);
    } else {
      Error(Place("database_password_file"), Quote(path), password.status().message());
    }
  } else if (const char* value = getenv_(kPasswordVariable)) {
    config.database_password = std::string(absl::StripAsciiWhitespace(value));
    const std::string rule = CheckSecret(kDatabasePassword, config.database_password);
    if (!rule.empty()) {
      Error(absl::StrCat("environment ", kPasswordVariable), "",
            absl::StrCat("the database password ", rule));
    }
  }
}

void Loader::CheckDatabase() {
  const Config& config = invocation_.config;
  if (config.database_url.empty()) {
    // Whoever set one of these means to share a journal, and would get one that isn't shared.
    for (const char* key : {"database_password_file", "database_listen_url"}) {
      const Option& option = *FindOption(key);
      const std::string value = option.get(config);
      if (!value.empty()) Error(Place(key), option.show(value), "needs database_url");
    }
    if (getenv_(kPasswordVariable) != nullptr) {
      Error(absl::StrCat("environment ", kPasswordVariable), "", "needs database_url");
    }
    if (invocation_.action == Invocation::Action::kMigrate) {
      Error("flag --migrate", "", "needs database_url");
    }
    return;
  }
  const std::string& place = Place("database_url");
  const std::string shown = QuoteDatabaseUrl(config.database_url);
  if (!config.journal.empty()) {
    Error(place, shown,
          absl::StrCat("cannot be combined with journal, set by ", Place("journal"),
                       ": the record of purchases is in one of them"));
  }
  if (config.sandbox) {
    Error(place, shown,
          absl::StrCat("cannot be combined with sandbox, set by ", Place("sandbox"),
                       ": each replica would have a provider of its own; start lease-sandbox, and "
                       "name it with upstream_url"));
  }
  CheckDatabaseUrl();
  CheckListenUrl();
}

void Loader::CheckPool() {
  const Config& config = invocation_.config;
  if (config.pool_warm == 0) return;
  const std::string shown = Quote(absl::StrCat(config.pool_warm));
  if (config.pool_warm > config.pool_size) {
    Error(Place("pool_warm"), shown,
          absl::StrCat("must not exceed pool_size, which is ", config.pool_size));
  }
  if (config.idle_timeout.count() == 0) {
    Error(Place("pool_warm"), shown, "needs an idle_timeout: with 0 no connection is kept");
  }
}

void Loader::CheckRoad() {
  Config& config = invocation_.config;
  for (const char* name : kProxyVariables) {
    if (const char* value = getenv_(name)) config.proxy_variables[name] = value;
  }
  // The setting was checked when it was set, so this is the environment's.
  const auto road = RoadOf(config);
  if (!road.ok()) errors_.push_back(std::string(road.status().message()));
  if (const std::string& path = config.upstream_proxy_credentials_file; !path.empty()) {
    const auto credentials = ReadSecret(kProxyCredentials, path);
    if (!credentials.ok()) {
      Error(Place("upstream_proxy_credentials_file"), Quote(path), credentials.status().message());
    }
  }
  if (const std::string& path = config.upstream_proxy_ca_file; !path.empty()) {
    const std::string rule = CheckCaFile(path);
    if (!rule.empty()) Error(Place("upstream_proxy_ca_file"), Quote(path), rule);
  }
}

void Loader::CheckWhole() {
  const Config& config = invocation_.config;
  CheckDatabase();
  // It talks to nobody else.
  if (invocation_.action == Invocation::Action::kMigrate) return;
  CheckTransport();
  CheckCallers();
  CheckPool();
  if (!config.sandbox) {
    if (!config.upstream_ca_file.empty()) {
      const std::string rule = CheckCaFile(config.upstream_ca_file);
      if (!rule.empty()) Error(Place("upstream_ca_file"), Quote(config.upstream_ca_file), rule);
    }
    // Otherwise each account names a file of its own.
    if (config.callers_file.empty()) ReadApiKey();
    CheckRoad();
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
  ParsedFlags flags = ParseFlags(argc, argv, errors_);
  invocation_ = std::move(flags.invocation);
  using Action = Invocation::Action;
  if (invocation_.action == Action::kExit || invocation_.action == Action::kPrintMetrics) {
    return std::move(invocation_);
  }
  // From the weakest to the strongest.
  ReadYaml();
  ReadEnvironment(environment_names);
  for (std::size_t i = 0; i < flags.values.size(); ++i) {
    if (flags.values[i]) Set(i, absl::StrCat("flag ", Options()[i].Flag()), *flags.values[i]);
  }
  // Flags that were not understood may have said --sandbox.
  if (flags.understood) CheckWhole();
  if (!errors_.empty()) return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
  if (invocation_.action == Invocation::Action::kPrintConfig) {
    std::vector<std::string> sources;
    for (const std::string& place : places_) sources.push_back(place.empty() ? "default" : place);
    invocation_.output = PrintConfig(invocation_.config, sources);
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

}  // namespace leasegateway
