#include "service/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "upstream/sandbox/certificates.h"

namespace leasegateway {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""min;
using std::chrono_literals::operator""h;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kKey[] = "contiguity_sk_s3cr3t";

class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest() {
    std::string pattern = ::testing::TempDir() + "config_testXXXXXX";
    folder_ = mkdtemp(pattern.data());
    yaml_ = folder_ + "/gateway.yaml";
    environment_["CONTIGUITY_API_KEY"] = kKey;
  }
  ~ConfigTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  absl::StatusOr<Invocation> Load(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "lease-gateway");
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    std::vector<std::string> names;
    for (const auto& [name, value] : environment_) names.push_back(name);
    return LoadConfig(
        static_cast<int>(argv.size()), argv.data(),
        [this](const char* name) -> const char* {
          const auto found = environment_.find(name);
          return found == environment_.end() ? nullptr : found->second.c_str();
        },
        names);
  }

  absl::StatusOr<Invocation> LoadYaml(const std::string& yaml,
                                      std::vector<std::string> arguments = {}) {
    Write("gateway.yaml", yaml);
    arguments.push_back("--config=" + yaml_);
    return Load(arguments);
  }

  Config LoadedConfig(const std::vector<std::string>& arguments) {
    const absl::StatusOr<Invocation> invocation = Load(arguments);
    EXPECT_TRUE(invocation.ok()) << invocation.status();
    return invocation.ok() ? invocation->config : Config();
  }

  // The message of the error, empty when there is none.
  static std::string Message(const absl::StatusOr<Invocation>& invocation) {
    if (invocation.ok()) return "";
    EXPECT_EQ(invocation.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(invocation.status().message());
  }

  std::string folder_;
  std::string yaml_;  // what LoadYaml writes
  std::map<std::string, std::string> environment_;
};

std::string Certificate(long lifetime_seconds) {  // NOLINT(runtime/int): OpenSSL's type
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), lifetime_seconds);
  X509_set_pubkey(certificate, key);
  X509_sign(certificate, key, EVP_sha256());
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  std::string pem(data, size);
  BIO_free(bio);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return pem;
}

TEST_F(ConfigTest, DefaultsWhenNothingIsSet) {
  Config expected;
  expected.api_key = kKey;
  const absl::StatusOr<Invocation> invocation = Load({});
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  EXPECT_EQ(invocation->config, expected);
  EXPECT_EQ(invocation->action, Invocation::Action::kServe);
  EXPECT_EQ(invocation->config_file, "");
  EXPECT_EQ(invocation->output, "");
}

TEST_F(ConfigTest, DefaultsAreWithinTheirBounds) {
  Config defaults;
  defaults.api_key = kKey;
  const absl::StatusOr<Invocation> invocation = LoadYaml(PrintConfig(Config()));
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  EXPECT_EQ(invocation->config, defaults);
}

TEST_F(ConfigTest, FlagIsStrongerThanEnvironmentThanFileThanDefault) {
  const std::string file = Write("a.yaml", "threads: 3\n");
  EXPECT_EQ(LoadedConfig({}).threads, 2);
  EXPECT_EQ(LoadedConfig({"--config", file}).threads, 3);
  environment_["LEASE_GATEWAY_THREADS"] = "4";
  EXPECT_EQ(LoadedConfig({"--config", file}).threads, 4);
  EXPECT_EQ(LoadedConfig({"--config", file, "--threads", "5"}).threads, 5);
  EXPECT_EQ(LoadedConfig({"--threads=5", "--threads=6"}).threads, 6);
}

TEST_F(ConfigTest, EveryOptionHasFlagEnvironmentAndKey) {
  const auto serving = sandbox::MakeCertificate({.common_name = "gateway"});
  ASSERT_TRUE(serving.ok()) << serving.status();
  const std::map<std::string, std::string> values = {
      {"listen", "[::]:0"},
      {"tls_cert_file", Write("cert.pem", serving->certificate)},
      {"tls_key_file", Write("key.pem", serving->key)},
      {"tls_client_ca_file", Write("client-ca.pem", Certificate(3600))},
      {"file_refresh", "100ms"},
      {"allow_plaintext", "true"},
      {"default_deadline", "11s"},
      {"drain_wait", "5s"},
      {"grace", "0s"},
      {"max_connection_age", "0"},
      {"max_connection_age_grace", "1m"},
      {"keepalive_time", "30s"},
      {"keepalive_timeout", "10s"},
      {"max_request_bytes", "2MiB"},
      {"max_response_bytes", "512KiB"},
      {"reflection", "false"},
      {"channelz", "false"},
      {"watch_heartbeat", "1s"},
      {"max_watchers", "9"},
      {"admin_listen", "[::1]:9464"},
      {"upstream_url", "https://localhost:8443/v1"},
      {"upstream_ca_file", Write("ca.pem", Certificate(3600))},
      {"upstream_token_file", Write("token", "other")},
      {"auth_scheme", "Token"},
      {"threads", "64"},
      {"pool_size", "4096"},
      {"pool_queue", "0"},
      {"pool_wait", "8ms"},
      {"resolve_timeout", "1ms"},
      {"connect_timeout", "2ms"},
      {"handshake_timeout", "3ms"},
      {"send_timeout", "4ms"},
      {"response_timeout", "5ms"},
      {"read_timeout", "6ms"},
      {"idle_timeout", "7ms"},
      {"dns_ttl", "0s"},
      {"max_body_bytes", "1025"},
      {"retry_attempts", "10"},
      {"retry_budget_percent", "0"},
      {"retry_budget_floor", "1000"},
      {"upstream_rate", "1000000"},
      {"cache_fresh", "1ms"},
      {"cache_stale_while_revalidate", "2ms"},
      {"cache_stale_if_error", "3ms"},
      {"cache_negative", "4ms"},
      {"cache_idle", "5ms"},
      {"cache_numbers", "6"},
      {"cache_history_bytes", "1MiB"},
      {"journal", "/a folder/journal.db"},
      {"settle_time", "7s"},
      {"journal_retention", "48h"},
      {"sandbox", "false"},
      {"sandbox_numbers", "7"},
      {"sandbox_seed", "18446744073709551615"},
      {"sandbox_control_port", "65535"},
      {"log_level", "trace"},
      {"log_format", "json"},
      {"access_log_hits", "100"},
  };
  Config expected{.listen = "[::]:0",
                  .tls_cert_file = folder_ + "/cert.pem",
                  .tls_key_file = folder_ + "/key.pem",
                  .tls_client_ca_file = folder_ + "/client-ca.pem",
                  .file_refresh = 100ms,
                  .allow_plaintext = true,
                  .default_deadline = 11s,
                  .drain_wait = 5s,
                  .grace = 0s,
                  .max_connection_age = 0s,
                  .max_connection_age_grace = 1min,
                  .keepalive_time = 30s,
                  .keepalive_timeout = 10s,
                  .max_request_bytes = 2 << 20,
                  .max_response_bytes = 512 << 10,
                  .reflection = false,
                  .channelz = false,
                  .watch_heartbeat = 1s,
                  .max_watchers = 9,
                  .admin_listen = "[::1]:9464",
                  .upstream_url = "https://localhost:8443/v1",
                  .upstream_ca_file = folder_ + "/ca.pem",
                  .upstream_token_file = folder_ + "/token",
                  .auth_scheme = "Token",
                  .threads = 64,
                  .pool_size = 4096,
                  .pool_queue = 0,
                  .pool_wait = 8ms,
                  .resolve_timeout = 1ms,
                  .connect_timeout = 2ms,
                  .handshake_timeout = 3ms,
                  .send_timeout = 4ms,
                  .response_timeout = 5ms,
                  .read_timeout = 6ms,
                  .idle_timeout = 7ms,
                  .dns_ttl = 0s,
                  .max_body_bytes = 1025,
                  .retry_attempts = 10,
                  .retry_budget_percent = 0,
                  .retry_budget_floor = 1000,
                  .upstream_rate = 1'000'000,
                  .cache_fresh = 1ms,
                  .cache_stale_while_revalidate = 2ms,
                  .cache_stale_if_error = 3ms,
                  .cache_negative = 4ms,
                  .cache_idle = 5ms,
                  .cache_numbers = 6,
                  .cache_history_bytes = 1 << 20,
                  .journal = "/a folder/journal.db",
                  .settle_time = 7s,
                  .journal_retention = 48h,
                  .sandbox = false,
                  .sandbox_numbers = 7,
                  .sandbox_seed = UINT64_MAX,
                  .sandbox_control_port = 65535,
                  .log_level = "trace",
                  .log_format = "json",
                  .access_log_hits = 100,
                  .api_key = "other"};
  const absl::StatusOr<Invocation> help = Load({"--help"});
  ASSERT_TRUE(help.ok());
  std::vector<std::string> flags;
  std::string yaml;
  std::map<std::string, std::string> environment;
  const std::string& text = help->output;
  std::size_t options = 0;
  for (auto at = text.find("LEASE_GATEWAY_"); at != text.npos;
       at = text.find("LEASE_GATEWAY_", at + 1)) {
    ++options;
  }
  EXPECT_EQ(options, values.size());  // so that none is forgotten here
  for (const auto& [key, value] : values) {
    std::string dashed = key, upper = "LEASE_GATEWAY_";
    for (char& c : dashed) c = c == '_' ? '-' : c;
    for (const char c : key) upper += static_cast<char>(std::toupper(c));
    flags.push_back("--" + dashed + "=" + value);
    yaml += key + ": \"" + value + "\"\n";
    environment[upper] = value;
    EXPECT_THAT(help->output, HasSubstr("\n  --" + dashed));
    EXPECT_THAT(help->output, HasSubstr("\n      " + upper + ", default "));
  }
  EXPECT_EQ(LoadedConfig(flags), expected);
  const absl::StatusOr<Invocation> from_file = LoadYaml(yaml);
  ASSERT_TRUE(from_file.ok()) << from_file.status();
  EXPECT_EQ(from_file->config, expected);
  // What is printed reads back to the same.
  const absl::StatusOr<Invocation> again = LoadYaml(PrintConfig(expected));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->config, expected);
  environment_.insert(environment.begin(), environment.end());
  EXPECT_EQ(LoadedConfig({}), expected);
}

TEST_F(ConfigTest, JournalIsAFileButForTheSandbox) {
  EXPECT_EQ(JournalPath(LoadedConfig({})), "lease-gateway.db");
  EXPECT_EQ(JournalPath(LoadedConfig({"--sandbox"})), ":memory:");
  EXPECT_EQ(JournalPath(LoadedConfig({"--sandbox", "--journal", "a.db"})), "a.db");
  EXPECT_EQ(JournalPath(LoadedConfig({"--journal", "a.db"})), "a.db");
}

TEST_F(ConfigTest, DurationsTakeUnits) {
  EXPECT_EQ(LoadedConfig({"--grace=250ms"}).grace, 250ms);
  EXPECT_EQ(LoadedConfig({"--grace=10s"}).grace, 10s);
  EXPECT_EQ(LoadedConfig({"--grace=5m"}).grace, 5min);
  EXPECT_EQ(LoadedConfig({"--grace=1.5s"}).grace, 1500ms);
  EXPECT_EQ(LoadedConfig({"--grace=1h"}).grace, 1h);
}

TEST_F(ConfigTest, SizesTakeUnits) {
  EXPECT_EQ(LoadedConfig({"--max-body-bytes=65536"}).max_body_bytes, 65536);
  EXPECT_EQ(LoadedConfig({"--max-body-bytes=64KiB"}).max_body_bytes, 65536);
  EXPECT_EQ(LoadedConfig({"--max-body-bytes=1024MiB"}).max_body_bytes, 1 << 30);
}

TEST_F(ConfigTest, ListenTakesAddressesAndNames) {
  for (const char* listen :
       {"0.0.0.0:0", "[::1]:65535", "[::]:1", "localhost:50051", "a-b.c_d:1", "127.0.0.1:50051"}) {
    environment_["LEASE_GATEWAY_ALLOW_PLAINTEXT"] = "true";
    EXPECT_EQ(LoadedConfig({"--listen", listen}).listen, listen);
  }
}

struct BadValue {
  const char* flag;
  const char* value;
  const char* rule;
};

TEST_F(ConfigTest, BadValuesAreReportedWithTheirRule) {
  const BadValue kBad[] = {
      {"--listen", "", "must be HOST:PORT: has no port"},
      {"--listen", "localhost", "must be HOST:PORT: has no port"},
      {"--admin-listen", "localhost", "must be HOST:PORT: has no port"},
      {"--listen", "localhost:", "needs a port from 0 to 65535"},
      {"--listen", "localhost:65536", "needs a port from 0 to 65535"},
      {"--listen", "localhost:-1", "needs a port from 0 to 65535"},
      {"--listen", "localhost:http", "needs a port from 0 to 65535"},
      {"--listen", ":50051", "has no host; for all addresses use 0.0.0.0 or [::]"},
      {"--listen", "::1:50051", "needs an IPv6 address in brackets"},
      {"--listen", "[::g]:1", "is not an IPv6 address in brackets"},
      {"--listen", "[]:1", "is not an IPv6 address in brackets"},
      {"--listen", "[:1", "is not an IPv6 address in brackets"},
      {"--listen", "256.0.0.1:1", "is not an IPv4 address"},
      {"--listen", "1.2.3:1", "is not an IPv4 address"},
      {"--listen", "a b:1", "is not a host name"},
      {"--listen", "a..b:1", "is not a host name"},
      {"--listen", "-a:1", "is not a host name"},
      {"--listen", "unix:/tmp/s:1", "needs an IPv6 address in brackets"},
      {"--grace", "", "must be a duration with unit, as 250ms, 10s or 5m, from 0 to 1h"},
      {"--grace", "10", "must be a duration with unit"},
      {"--grace", "10 s", "must be a duration with unit"},
      {"--grace", "-1s", "must be from 0 to 1h"},
      {"--grace", "61m", "must be from 0 to 1h"},
      {"--grace", "inf", "must be from 0 to 1h"},
      {"--grace", "-inf", "must be from 0 to 1h"},
      {"--grace", "1us", "must be whole milliseconds"},
      {"--default-deadline", "0", "must be from 1ms to 1h"},
      {"--keepalive-time", "999ms", "must be from 1s to 24h"},
      {"--max-request-bytes", "1023", "must be from 1KiB to 256MiB"},
      {"--max-request-bytes", "257MiB", "must be from 1KiB to 256MiB"},
      {"--max-request-bytes", "-1MiB", "must be from 1KiB to 256MiB"},
      {"--max-body-bytes", "9223372036854775807MiB", "must be from 1KiB to 1024MiB"},
      {"--max-body-bytes", "9223372036854775808", "must be a size in bytes, or as 512KiB or 4MiB"},
      {"--max-body-bytes", "1MB", "must be a size in bytes, or as 512KiB or 4MiB"},
      {"--max-body-bytes", "KiB", "must be a size in bytes"},
      {"--max-body-bytes", "1.5MiB", "must be a size in bytes"},
      {"--journal-retention", "23h", "must be from 24h to 87600h"},
      {"--threads", "0", "must be an integer from 1 to 64"},
      {"--threads", "65", "must be an integer from 1 to 64"},
      {"--threads", "+2", "must be an integer from 1 to 64"},
      {"--threads", " 2", "must be an integer from 1 to 64"},
      {"--threads", "2x", "must be an integer from 1 to 64"},
      {"--threads", "99999999999", "must be an integer from 1 to 64"},
      {"--pool-size", "0", "must be an integer from 1 to 4096"},
      {"--pool-size", "4097", "must be an integer from 1 to 4096"},
      {"--pool-queue", "-1", "must be an integer from 0 to 1000000"},
      {"--sandbox-seed", "-1", "must be an integer from 0 to 18446744073709551615"},
      {"--sandbox-seed", "18446744073709551616", "must be an integer from 0 to"},
      {"--sandbox-control-port", "65536", "must be an integer from 0 to 65535"},
      {"--sandbox", "yes", "must be true or false"},
      {"--reflection", "1", "must be true or false"},
      {"--channelz", "True", "must be true or false"},
      {"--auth-scheme", "Basic", "must be one of Bearer, Token"},
      {"--log-level", "warning", "must be one of trace, debug, info, warn, error, off"},
      {"--log-format", "xml", "must be one of text, json"},
      {"--upstream-url", "", "must be a URL as https://HOST/PATH"},
      {"--upstream-url", "api.contiguity.com", "must be a URL as https://HOST/PATH"},
      {"--upstream-url", "https://a b/", "must be a URL as https://HOST/PATH"},
      {"--upstream-url", "http://api.contiguity.com",
       "must be https://: http:// would send the API key unencrypted"},
      {"--upstream-url", "ftp://host/", "must start with https://"},
      {"--upstream-url", "https:///path", "must have a host"},
      {"--upstream-url", "https:path", "must have a host"},
      {"--upstream-url", "https://host:65536/", "must have a port from 1 to 65535"},
      {"--upstream-url", "https://host:0/", "must have a port from 1 to 65535"},
  };
  for (const BadValue& bad : kBad) {
    const std::string flag = bad.flag, value = bad.value;
    EXPECT_THAT(Message(Load({flag + "=" + value})),
                AllOf(StartsWith("flag " + flag + ": \"" + value + "\": "), HasSubstr(bad.rule)))
        << flag << "=" << value;
  }
}

TEST_F(ConfigTest, ErrorsNameTheirPlace) {
  environment_["LEASE_GATEWAY_THREADS"] = "none";
  EXPECT_EQ(Message(LoadYaml("# first\nthreads: many\n", {"--threads=all"})),
            yaml_ + ":2: threads: \"many\": must be an integer from 1 to 64\n" +
                "environment LEASE_GATEWAY_THREADS: \"none\": must be an integer from 1 to 64\n" +
                "flag --threads: \"all\": must be an integer from 1 to 64");
}

TEST_F(ConfigTest, AllErrorsAreReportedAtOnceALineEach) {
  environment_.clear();
  environment_["LEASE_GATEWAY_GRACE"] = "long\nlong";
  environment_["LEASE_GATEWAY_TREADS"] = "1";
  const std::string message =
      Message(LoadYaml("listen: here\nfoo_bar_baz: 1\npool_size: [1]\n",
                       {"--log-level=loud", "--nonsense", "--upstream-ca-file=/nonexistent"}));
  EXPECT_THAT(message, HasSubstr("flag --nonsense: is unknown"));
  EXPECT_THAT(message, HasSubstr(yaml_ + ":1: listen: \"here\": must be HOST:PORT"));
  EXPECT_THAT(message, HasSubstr(yaml_ + ":2: foo_bar_baz: is unknown; --help lists all"));
  EXPECT_THAT(message, HasSubstr(yaml_ + ":3: pool_size: must be a single value"));
  EXPECT_THAT(message, HasSubstr("environment LEASE_GATEWAY_GRACE: \"long\\nlong\": must be a"));
  EXPECT_THAT(message, HasSubstr("environment LEASE_GATEWAY_TREADS: is unknown; did you mean "
                                 "LEASE_GATEWAY_THREADS?"));
  EXPECT_THAT(message, HasSubstr("flag --log-level: \"loud\": must be one of"));
  EXPECT_THAT(message, HasSubstr("flag --upstream-ca-file: \"/nonexistent\": cannot be read: "));
  EXPECT_THAT(message, HasSubstr("no API key: "));
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 8);
}

TEST_F(ConfigTest, LongValuesAreCut) {
  const std::string message = Message(Load({"--listen=" + std::string(5000, 'x')}));
  EXPECT_LT(message.size(), 300u);
  EXPECT_THAT(message, HasSubstr("xxx...\""));
}

// --- flags ---

TEST_F(ConfigTest, BooleansAreFlagsWithAndWithoutValue) {
  EXPECT_TRUE(LoadedConfig({"--sandbox"}).sandbox);
  EXPECT_TRUE(LoadedConfig({"--sandbox=true"}).sandbox);
  EXPECT_FALSE(LoadedConfig({"--sandbox=false"}).sandbox);
  EXPECT_FALSE(LoadedConfig({"--sandbox", "--sandbox=false"}).sandbox);
  EXPECT_FALSE(LoadedConfig({"--reflection=false"}).reflection);
  EXPECT_THAT(Message(Load({"--sandbox", "false"})),
              HasSubstr("a boolean's value needs '=': --sandbox=false"));
}

TEST_F(ConfigTest, UnknownFlagsAreErrors) {
  EXPECT_EQ(Message(Load({"--lisen", "a:1"})), "flag --lisen: is unknown; did you mean --listen?");
  EXPECT_EQ(Message(Load({"--upstream_url=x"})),
            "flag --upstream_url: is unknown; did you mean --upstream-url?");
  EXPECT_EQ(Message(Load({"--xyzzyxyzzy"})), "flag --xyzzyxyzzy: is unknown; --help lists all");
  EXPECT_THAT(Message(Load({"-x"})), HasSubstr("flag -x: is unknown"));
  EXPECT_THAT(Message(Load({"serve"})), StartsWith("command line: unexpected argument"));
}

TEST_F(ConfigTest, FlagWithoutItsValueIsAnError) {
  environment_.clear();
  EXPECT_THAT(Message(Load({"--listen"})),
              AllOf(StartsWith("command line: "), HasSubstr("--listen"), Not(HasSubstr("\n"))));
}

TEST_F(ConfigTest, EmptyValueIsNotTheNextArgument) {
  EXPECT_EQ(LoadedConfig({"--upstream-ca-file=", "--threads=3"}).threads, 3);
  EXPECT_THAT(Message(Load({"--config="})), HasSubstr("flag --config: \"\": must name a file"));
}

TEST_F(ConfigTest, ActionsAreReported) {
  EXPECT_EQ(Load({"--check-config"})->action, Invocation::Action::kCheckConfig);
  EXPECT_EQ(Load({"--print-config"})->action, Invocation::Action::kPrintConfig);
  EXPECT_THAT(Message(Load({"--print-config", "--check-config"})),
              HasSubstr("flag --check-config: cannot be combined with --print-config"));
  EXPECT_THAT(Message(Load({"--check-config", "--threads=0"})), HasSubstr("--threads"));
}

TEST_F(ConfigTest, NoArgumentsAtAll) {
  const auto getenv = [](const char* name) -> const char* {
    return std::string(name) == "CONTIGUITY_API_KEY" ? kKey : nullptr;
  };
  EXPECT_TRUE(LoadConfig(0, nullptr, getenv).ok());
}

TEST_F(ConfigTest, VersionIsPrintedWhateverElseIsWrong) {
  environment_.clear();
  const absl::StatusOr<Invocation> invocation = Load({"--version", "--threads=0", "--nonsense"});
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  EXPECT_EQ(invocation->action, Invocation::Action::kExit);
  EXPECT_THAT(invocation->output, MatchesRegex("lease-gateway [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST_F(ConfigTest, HelpExplainsOptionsSecretsAndSignals) {
  environment_.clear();
  const absl::StatusOr<Invocation> invocation = Load({"--help"});
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  EXPECT_EQ(invocation->action, Invocation::Action::kExit);
  const std::string& help = invocation->output;
  for (const char* fragment :
       {"--config FILE", "--check-config", "--print-config", "--version", "--listen HOST:PORT",
        "--sandbox[=true|false]", "LEASE_GATEWAY_LISTEN, default 127.0.0.1:50051",
        "LEASE_GATEWAY_MAX_REQUEST_BYTES, default 1MiB", "1 to 4096",
        "LEASE_GATEWAY_UPSTREAM_CA_FILE, default empty", "CONTIGUITY_API_KEY", "CONTIGUITY_TOKEN",
        "SIGUSR1", "SIGUSR2", "SIGTERM"}) {
    EXPECT_THAT(help, HasSubstr(fragment));
  }
  std::size_t begin = 0;
  for (std::size_t end; (end = help.find('\n', begin)) != help.npos; begin = end + 1) {
    EXPECT_LE(end - begin, 100u) << help.substr(begin, end - begin);
  }
}

// --- the YAML file ---

TEST_F(ConfigTest, EmptyFilesAreFine) {
  for (const char* yaml : {"", "\n\n", "# nothing\n", "---\n", "{}\n", "--- {}\n..."}) {
    EXPECT_EQ(Message(LoadYaml(yaml)), "") << yaml;
    EXPECT_EQ(LoadYaml(yaml)->config_file, yaml_);
  }
}

TEST_F(ConfigTest, MissingAndUnreadableFilesAreErrors) {
  EXPECT_EQ(Message(Load({"--config", "/nonexistent.yaml"})),
            "flag --config: \"/nonexistent.yaml\": cannot be read: No such file or directory");
  EXPECT_EQ(Message(Load({"--config", folder_})),
            "flag --config: \"" + folder_ + "\": cannot be read: Is a directory");
  EXPECT_THAT(Message(LoadYaml(std::string(2 << 20, '#'))), HasSubstr("is longer than 1MiB"));
}

TEST_F(ConfigTest, UnknownKeysAreErrors) {
  EXPECT_EQ(Message(LoadYaml("threads: 1\npol_size: 2\n")),
            yaml_ + ":2: pol_size: is unknown; did you mean pool_size?");
  EXPECT_EQ(Message(LoadYaml("pool-size: 2\n")),
            yaml_ + ":1: pool-size: is unknown; did you mean pool_size?");
  EXPECT_EQ(Message(LoadYaml("something_else: 2\n")),
            yaml_ + ":1: something_else: is unknown; --help lists all");
  EXPECT_EQ(Message(LoadYaml("\"a\\nb\": 2\n")), yaml_ + ":1: a\\nb: is unknown; --help lists all");
}

TEST_F(ConfigTest, DuplicateKeysAreErrors) {
  EXPECT_EQ(Message(LoadYaml("threads: 1\npool_size: 2\nthreads: 1\n")),
            yaml_ + ":3: threads: is set twice");
}

TEST_F(ConfigTest, WrongShapesAreErrors) {
  EXPECT_EQ(Message(LoadYaml("- threads\n")), yaml_ + ":1: must be a map of option: value");
  EXPECT_EQ(Message(LoadYaml("threads\n")), yaml_ + ":1: must be a map of option: value");
  EXPECT_EQ(Message(LoadYaml("threads:\n")), yaml_ + ":1: threads: has no value");
  EXPECT_EQ(Message(LoadYaml("threads: ~\n")), yaml_ + ":1: threads: has no value");
  EXPECT_EQ(Message(LoadYaml("threads:\n  a: 1\n")), yaml_ + ":1: threads: must be a single value");
  EXPECT_EQ(Message(LoadYaml("? [a]\n: 1\n")), yaml_ + ":1: key must be a name");
  EXPECT_THAT(Message(LoadYaml("threads: 1\n---\nthreads: 2\n")),
              HasSubstr("must be one YAML document"));
}

TEST_F(ConfigTest, WrongSyntaxNamesTheLine) {
  EXPECT_THAT(Message(LoadYaml("threads: 1\npool_size: {1\n")), HasSubstr("is not YAML: "));
  EXPECT_THAT(Message(LoadYaml("threads: 1\n\tpool_size: 1\n")),
              AllOf(StartsWith(yaml_ + ":2: "), HasSubstr("is not YAML: ")));
  EXPECT_THAT(Message(LoadYaml("threads: *a\n")),
              AllOf(StartsWith(yaml_ + ":1: "), HasSubstr("is not YAML: ")));
  EXPECT_THAT(Message(LoadYaml(std::string(100'000, '['))), HasSubstr("is not YAML: "));
}

TEST_F(ConfigTest, SecretsInTheFileAreRefusedAndNotShown) {
  for (const char* key : {"api_key", "token", "api-key", "upstream_token", "contiguity_api_key",
                          "CONTIGUITY_TOKEN", "password", "secret", "upstream_api_key"}) {
    const std::string message = Message(LoadYaml(std::string(key) + ": hunter2\n"));
    EXPECT_EQ(message, yaml_ + ":1: " + key +
                           ": cannot be set here: secrets come from CONTIGUITY_API_KEY, "
                           "CONTIGUITY_TOKEN or the file upstream_token_file");
  }
}

// --- the environment ---

TEST_F(ConfigTest, UnknownVariablesAreErrors) {
  environment_["LEASE_GATEWAY_LISTN"] = "hunter2";
  EXPECT_EQ(Message(Load({})),
            "environment LEASE_GATEWAY_LISTN: is unknown; did you mean LEASE_GATEWAY_LISTEN?");
  environment_.erase("LEASE_GATEWAY_LISTN");
  environment_["LEASE_GATEWAY_listen"] = "hunter2";
  EXPECT_THAT(Message(Load({})), StartsWith("environment LEASE_GATEWAY_listen: is unknown"));
  environment_.erase("LEASE_GATEWAY_listen");
  environment_["LEASE_GATEWAY_API_KEY"] = "hunter2";
  EXPECT_EQ(Message(Load({})),
            "environment LEASE_GATEWAY_API_KEY: cannot be set here: secrets come from "
            "CONTIGUITY_API_KEY, CONTIGUITY_TOKEN or the file upstream_token_file");
}

TEST_F(ConfigTest, KubernetesServiceLinksAreNoOptions) {
  environment_["LEASE_GATEWAY_SERVICE_HOST"] = "10.0.0.1";
  environment_["LEASE_GATEWAY_SERVICE_PORT"] = "50051";
  environment_["LEASE_GATEWAY_SERVICE_PORT_GRPC"] = "50051";
  environment_["LEASE_GATEWAY_PORT"] = "tcp://10.0.0.1:50051";
  environment_["LEASE_GATEWAY_PORT_50051_TCP"] = "tcp://10.0.0.1:50051";
  environment_["LEASE_GATEWAY_PORT_50051_TCP_ADDR"] = "10.0.0.1";
  EXPECT_EQ(Message(Load({})), "");
  environment_["LEASE_GATEWAY_PORT"] = "50051";
  EXPECT_THAT(Message(Load({})), HasSubstr("LEASE_GATEWAY_PORT: is unknown"));
}

TEST_F(ConfigTest, EnvironmentNamesAreThoseOfTheProcess) {
  setenv("LEASE_GATEWAY_OF_THE_TEST", "a=b", 1);
  EXPECT_THAT(EnvironmentNames(), ::testing::Contains("LEASE_GATEWAY_OF_THE_TEST"));
  unsetenv("LEASE_GATEWAY_OF_THE_TEST");
  EXPECT_THAT(EnvironmentNames(), Not(::testing::Contains("LEASE_GATEWAY_OF_THE_TEST")));
}

// --- the API key ---

TEST_F(ConfigTest, KeyComesFromFileElseKeyElseToken) {
  environment_ = {{"CONTIGUITY_TOKEN", " from-token\n"}};
  EXPECT_EQ(LoadedConfig({}).api_key, "from-token");
  environment_["CONTIGUITY_API_KEY"] = "\tfrom-key ";
  EXPECT_EQ(LoadedConfig({}).api_key, "from-key");
  const std::string file = Write("token", "\n from-file\r\n");
  EXPECT_EQ(LoadedConfig({"--upstream-token-file", file}).api_key, "from-file");
}

TEST_F(ConfigTest, MissingKeyNamesTheWays) {
  environment_.clear();
  EXPECT_THAT(Message(Load({})),
              AllOf(HasSubstr("CONTIGUITY_API_KEY"), HasSubstr("CONTIGUITY_TOKEN"),
                    HasSubstr("--upstream-token-file"), HasSubstr("--sandbox")));
  EXPECT_EQ(LoadedConfig({"--sandbox"}).api_key, "");
}

TEST_F(ConfigTest, BadKeysAreErrorsThatDoNotShowThem) {
  const std::pair<std::string, std::string> kBad[] = {
      {"", "the API key must not be empty"},
      {" \n", "the API key must not be empty"},
      {"hunter2 hunter2", "the API key must be printable ASCII without spaces"},
      {"hunter2\nhunter2", "the API key must be printable ASCII without spaces"},
      {"hunter2\x01", "the API key must be printable ASCII without spaces"},
      {"hunter2\xc3\xa9", "the API key must be printable ASCII without spaces"},
      {"hunter2" + std::string(506, 'x'), "the API key must be at most 512 bytes"},
  };
  for (const auto& [key, rule] : kBad) {
    environment_ = {{"CONTIGUITY_API_KEY", key}};
    EXPECT_EQ(Message(Load({})), "environment CONTIGUITY_API_KEY: " + rule);
    environment_ = {{"CONTIGUITY_TOKEN", key}};
    EXPECT_EQ(Message(Load({})), "environment CONTIGUITY_TOKEN: " + rule);
    environment_.clear();
    const std::string file = Write("token", key);
    EXPECT_EQ(Message(Load({"--upstream-token-file", file})),
              "flag --upstream-token-file: \"" + file + "\": " + rule);
  }
  environment_ = {{"CONTIGUITY_API_KEY", std::string(512, 'x')}};
  EXPECT_EQ(LoadedConfig({}).api_key.size(), 512u);
  EXPECT_THAT(Message(LoadYaml("\nupstream_token_file: /nonexistent\n")),
              yaml_ +
                  ":2: upstream_token_file: \"/nonexistent\": cannot be read: No such file or "
                  "directory");
}

TEST_F(ConfigTest, SecretsAreNowhereInTheOutput) {
  const std::string file = Write("token", "hunter2\n");
  environment_["CONTIGUITY_TOKEN"] = "hunter2";
  const absl::StatusOr<Invocation> printed =
      Load({"--print-config", "--upstream-token-file", file});
  ASSERT_TRUE(printed.ok()) << printed.status();
  EXPECT_THAT(
      printed->output,
      AllOf(Not(HasSubstr("hunter2")), Not(HasSubstr(kKey)), HasSubstr("# api_key: REDACTED (set)"),
            HasSubstr("upstream_token_file: \"" + file + "\"  # flag --upstream-token-file\n")));
  EXPECT_THAT(Load({"--help"})->output, AllOf(Not(HasSubstr("hunter2")), Not(HasSubstr(kKey))));
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"--api-key=hunter2"},
                                             {"--api-key", "hunter2"},
                                             {"--token", "hunter2"},
                                             {"hunter2"},
                                             {"--upstream-url=https://hunter2@host/"},
                                             {"--upstream-url=https://user:hunter2@host/"},
                                             {"--upstream-url=http://user:hunter2@host/?a=b@c"},
                                             {"--upstream-url=hunter2@host"},
                                             {"--upstream-url=https://host/?key=hunter2"},
                                             {"--upstream-url=https://host/#hunter2"},
                                             {"--config=" + file}}) {
    EXPECT_THAT(Message(Load(arguments)), AllOf(Not(""), Not(HasSubstr("hunter2"))))
        << arguments[0];
  }
}

// --- URL and CA file ---

TEST_F(ConfigTest, UrlRulesForWhatIsNotShown) {
  EXPECT_EQ(Message(Load({"--upstream-url=https://user:pw@host/v1"})),
            "flag --upstream-url: \"https://***@host/v1\": must have no user name or password: "
            "secrets come from CONTIGUITY_API_KEY, CONTIGUITY_TOKEN or the file "
            "upstream_token_file");
  EXPECT_EQ(Message(Load({"--upstream-url=https://host/v1?a=b"})),
            "flag --upstream-url: \"https://host/v1?***\": must have no query");
  EXPECT_THAT(Message(Load({"--upstream-url=https://host/v1#a"})),
              EndsWith("must have no fragment"));
}

TEST_F(ConfigTest, UrlsThatAreFine) {
  for (const char* url : {"https://h", "https://127.0.0.1:8443/numbers", "https://[::1]:1/",
                          "https://api.contiguity.com/numbers", "HTTPS://h/a%20b"}) {
    EXPECT_EQ(LoadedConfig({"--upstream-url", url}).upstream_url, url);
  }
}

TEST_F(ConfigTest, CaFileMustHoldCertificates) {
  const std::string valid = Certificate(3600), expired = Certificate(-1800);
  const std::string file = folder_ + "/ca.pem";
  const auto load = [&](const std::string& content) {
    Write("ca.pem", content);
    return Message(Load({"--upstream-ca-file", file}));
  };
  const std::string prefix = "flag --upstream-ca-file: \"" + file + "\": ";
  EXPECT_EQ(load(valid), "");
  EXPECT_EQ(load("comment\n" + valid + expired), "");
  EXPECT_EQ(load(expired), "");
  EXPECT_EQ(load(""), prefix + "must be PEM with at least one certificate");
  EXPECT_EQ(load("nothing\n"), prefix + "must be PEM with at least one certificate");
  EXPECT_EQ(load("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            prefix + "must be PEM: certificate 1 cannot be decoded");
  EXPECT_EQ(load(valid + valid.substr(0, valid.size() / 2)),
            prefix + "must be PEM: certificate 2 cannot be decoded");
  EXPECT_THAT(Message(Load({"--upstream-ca-file", folder_})), HasSubstr("Is a directory"));
  EXPECT_THAT(Message(Load({"--upstream-ca-file=a\nb"})),
              HasSubstr("\"a\\nb\": must be a path without control characters"));
}

// --- rules of several options ---

TEST_F(ConfigTest, PlaintextStaysOnLoopbackUnlessItIsAllowed) {
  for (const char* listen :
       {"127.0.0.1:0", "127.9.9.9:1", "[::1]:0", "localhost:0", "[::ffff:127.0.0.1]:0"}) {
    EXPECT_EQ(LoadedConfig({"--listen", listen}).listen, listen);
  }
  for (const char* listen :
       {"0.0.0.0:0", "[::]:0", "10.0.0.1:0", "gateway:0", "[::ffff:10.0.0.1]:0"}) {
    EXPECT_THAT(Message(Load({"--listen", listen})),
                AllOf(StartsWith("flag --listen: \"" + std::string(listen) + "\": is beyond"),
                      HasSubstr("tls_cert_file"), HasSubstr("allow_plaintext")));
    EXPECT_EQ(LoadedConfig({"--listen", listen, "--allow-plaintext"}).listen, listen);
  }
}

TEST_F(ConfigTest, TlsFilesMustFitTogether) {
  using std::chrono::hours;
  const auto make = [](const char* name, hours from, hours until) {
    return *sandbox::MakeCertificate({.common_name = name, .not_before = from, .not_after = until});
  };
  const auto good = make("good", hours(-1), hours(24));
  const auto other = make("other", hours(-1), hours(24));
  const auto expired = make("old", hours(-48), hours(-24));
  const auto early = make("new", hours(24), hours(48));
  const std::string cert = Write("cert.pem", good.certificate), key = Write("key.pem", good.key);
  const auto load = [&](const std::string& cert_file, const std::string& key_file) {
    return Message(
        Load({"--listen=0.0.0.0:0", "--tls-cert-file", cert_file, "--tls-key-file", key_file}));
  };
  const auto of = [](const std::string& flag, const std::string& path) {
    return StartsWith("flag --" + flag + ": \"" + path + "\": ");
  };
  EXPECT_EQ(load(cert, key), "");
  EXPECT_EQ(Message(Load({"--tls-cert-file", cert})),
            "tls_key_file: must be set, as tls_cert_file is");
  EXPECT_EQ(Message(Load({"--tls-key-file", key})),
            "tls_cert_file: must be set, as tls_key_file is");
  EXPECT_THAT(Message(Load({"--tls-client-ca-file", cert})),
              AllOf(of("tls-client-ca-file", cert), HasSubstr("needs tls_cert_file")));
  const std::string missing = folder_ + "/missing.pem";
  EXPECT_THAT(load(missing, key),
              AllOf(of("tls-cert-file", missing), HasSubstr("No such file or directory")));
  EXPECT_THAT(load(cert, missing),
              AllOf(of("tls-key-file", missing), HasSubstr("No such file or directory")));
  EXPECT_THAT(load(key, key), AllOf(of("tls-cert-file", key), HasSubstr("must be PEM")));
  EXPECT_THAT(load(cert, cert), AllOf(of("tls-key-file", cert), HasSubstr("must be PEM")));
  const std::string other_key = Write("other.pem", other.key);
  EXPECT_THAT(load(cert, other_key),
              AllOf(of("tls-key-file", other_key),
                    HasSubstr("is not the key of the certificate in tls_cert_file, " + cert)));
  const std::string locked =
      Write("locked.pem",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
            "MFcwUQYJKoZIhvcNAQUNMEQwIwYJKoZIhvcNAQUMMBYEEBKCqZ2vVWwqBtqM7Mzt\n"
            "-----END ENCRYPTED PRIVATE KEY-----\n");
  EXPECT_THAT(load(cert, locked), of("tls-key-file", locked));
  const std::string old = Write("old.pem", expired.certificate);
  EXPECT_THAT(load(old, Write("k.pem", expired.key)),
              AllOf(of("tls-cert-file", old), HasSubstr("CN=old"), HasSubstr("expired on 20")));
  const std::string young = Write("young.pem", early.certificate);
  EXPECT_THAT(load(young, Write("k.pem", early.key)),
              AllOf(of("tls-cert-file", young), HasSubstr("is not valid before 20")));
  const std::string chain = Write("chain.pem", good.certificate + expired.certificate);
  EXPECT_THAT(load(chain, key), AllOf(of("tls-cert-file", chain), HasSubstr("certificate 2 (")));
  // A bundle may carry expired authorities, but not only those.
  const auto with_ca = [&](const std::string& ca) {
    return Message(Load({"--tls-cert-file", cert, "--tls-key-file", key, "--tls-client-ca-file",
                         Write("ca.pem", ca)}));
  };
  EXPECT_EQ(with_ca(expired.certificate + good.certificate), "");
  EXPECT_THAT(with_ca(expired.certificate),
              AllOf(of("tls-client-ca-file", folder_ + "/ca.pem"), HasSubstr("expired on 20")));
  EXPECT_THAT(with_ca("nothing"), HasSubstr("must be PEM with at least one certificate"));
}

TEST_F(ConfigTest, SandboxExcludesTheProvidersOptions) {
  environment_["LEASE_GATEWAY_UPSTREAM_TOKEN_FILE"] = "/token";
  EXPECT_EQ(Message(LoadYaml("upstream_url: https://host/\n",
                             {"--sandbox", "--upstream-ca-file=/ca.pem"})),
            yaml_ +
                ":1: upstream_url: \"https://host/\": cannot be combined with sandbox, set by "
                "flag --sandbox\n"
                "flag --upstream-ca-file: \"/ca.pem\": cannot be combined with sandbox, set by "
                "flag --sandbox\n"
                "environment LEASE_GATEWAY_UPSTREAM_TOKEN_FILE: \"/token\": cannot be combined "
                "with sandbox, set by flag --sandbox");
}

TEST_F(ConfigTest, SandboxDoesNotGetTheKey) { EXPECT_EQ(LoadedConfig({"--sandbox"}).api_key, ""); }

TEST_F(ConfigTest, SandboxControlPortIsNotTheGatewaysPort) {
  const std::vector<std::string> ports = {"--listen=127.0.0.1:7000", "--sandbox-control-port=7000"};
  EXPECT_EQ(Message(Load({ports[0], ports[1], "--sandbox"})),
            "flag --sandbox-control-port: \"7000\": must differ from the port of listen");
  EXPECT_EQ(Message(Load(ports)), "");
  EXPECT_EQ(LoadedConfig({"--sandbox", "--listen=127.0.0.1:0"}).listen, "127.0.0.1:0");
}

// --- --print-config ---

TEST_F(ConfigTest, PrintedConfigNamesSourcesAndReadsBack) {
  environment_["LEASE_GATEWAY_POOL_SIZE"] = "9";
  const absl::StatusOr<Invocation> printed =
      LoadYaml("log_format: json\n", {"--print-config", "--grace=90s", "--max-body-bytes=1500KiB"});
  ASSERT_TRUE(printed.ok()) << printed.status();
  const std::string yaml = printed->output;
  EXPECT_THAT(yaml, HasSubstr("\nlog_format: \"json\"  # " + yaml_ + ":1: log_format\n"));
  EXPECT_THAT(yaml, HasSubstr("\npool_size: 9  # environment LEASE_GATEWAY_POOL_SIZE\n"));
  EXPECT_THAT(yaml, HasSubstr("; 0 to 1h\ngrace: 1m30s  # flag --grace\n"));
  EXPECT_THAT(yaml, HasSubstr("\nmax_body_bytes: 1500KiB  # flag --max-body-bytes\n"));
  EXPECT_THAT(yaml, HasSubstr("\nthreads: 2  # default\n"));
  environment_.erase("LEASE_GATEWAY_POOL_SIZE");
  const absl::StatusOr<Invocation> again = LoadYaml(yaml);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->config, printed->config);
}

TEST_F(ConfigTest, PrintedSandboxConfigReadsBack) {
  const absl::StatusOr<Invocation> printed =
      Load({"--print-config", "--sandbox", "--sandbox-seed=18446744073709551615"});
  ASSERT_TRUE(printed.ok()) << printed.status();
  EXPECT_THAT(printed->output, AllOf(HasSubstr("\n# not used: upstream_url: "),
                                     HasSubstr("\n# api_key: not set\n")));
  const absl::StatusOr<Invocation> again = LoadYaml(printed->output);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->config, printed->config);
}

TEST_F(ConfigTest, PrintedPathsAreQuoted) {
  const std::string path = Write("to \"k\\en # é: {", "key");
  const Config config = LoadedConfig({"--upstream-token-file", path});
  const absl::StatusOr<Invocation> again = LoadYaml(PrintConfig(config));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->config, config);
}

// service/README.md lists every option with the default and the words of --help, and no other.
TEST_F(ConfigTest, ReadmeListsTheOptions) {
  const auto help = Load({"--help"});
  ASSERT_TRUE(help.ok()) << help.status();
  std::vector<std::string> expected;
  const std::regex option(
      "\n  --([a-z-]+)[^\n]*\n      ([^\n]*)\n      LEASE_GATEWAY_[A-Z_]+, default ([^\n]*)");
  const std::string& text = help->output;
  for (std::sregex_iterator found(text.begin(), text.end(), option), end; found != end; ++found) {
    std::string key = (*found)[1];
    std::replace(key.begin(), key.end(), '-', '_');
    expected.push_back("| `" + key + "` | " + (*found)[3].str() + " | " + (*found)[2].str() + " |");
  }
  EXPECT_GT(expected.size(), 30U);
  std::ifstream readme(SOURCE_DIR "/service/README.md");
  std::vector<std::string> table;
  bool inside = false;
  for (std::string line; std::getline(readme, line);) {
    if (line == "|---|---|---|" && inside) continue;
    if (inside && line.empty()) break;
    if (inside) table.push_back(line);
    if (line == "| key | default | what it is |") inside = true;
  }
  EXPECT_EQ(table, expected);
}

}  // namespace
}  // namespace leasegateway
