#include "service/config/option_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "service/config/print.h"
#include "tests/support/config_fixture.h"
#include "upstream/sandbox/certificates.h"

namespace leasegateway {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""min;
using std::chrono_literals::operator""h;
using ::testing::HasSubstr;

// As long as the table of options.
TEST_F(ConfigTest, EveryOptionHasFlagEnvironmentAndKey) {
  const auto serving = sandbox::MakeCertificate({.common_name = "gateway"});
  ASSERT_TRUE(serving.ok()) << serving.status();
  const std::map<std::string, std::string> values = {
      {"listen", "[::]:0"},
      {"tls_cert_file", Write("cert.pem", serving->certificate)},
      {"tls_key_file", Write("key.pem", serving->key)},
      {"tls_client_ca_file", Write("client-ca.pem", Certificate(3600))},
      {"tls_client_auth", "require"},  // "request" needs callers_file
      {"callers_file", ""},            // not beside upstream_token_file
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
      {"max_streams", "10"},
      {"max_metadata_bytes", "2KiB"},
      {"max_calls", "11"},
      {"max_connections", "1000000"},
      {"max_connections_per_peer", "12"},
      {"trusted_proxies", "127.0.0.1,10.0.0.0/8,fd00::/8"},
      {"max_memory", "2048MiB"},
      {"admin_listen", "[::1]:9464"},
      {"upstream_url", "https://localhost:8443/v1"},
      {"upstream_ca_file", Write("ca.pem", Certificate(3600))},
      {"upstream_token_file", Write("token", "other")},
      {"upstream_proxy", "https://proxy.corp:3129"},
      {"upstream_proxy_credentials_file", Write("proxy-credentials", "gateway:hunter4")},
      {"upstream_proxy_ca_file", Write("proxy-ca.pem", Certificate(3600))},
      {"auth_scheme", "Token"},
      {"threads", "64"},
      {"pool_size", "4096"},
      {"pool_warm", "4096"},
      {"pool_queue", "0"},
      {"pool_wait", "8ms"},
      {"dns_servers", "192.0.2.1,[2001:db8::1]:53"},
      {"resolve_timeout", "1ms"},
      {"connect_timeout", "2ms"},
      {"handshake_timeout", "3ms"},
      {"send_timeout", "4ms"},
      {"response_timeout", "5ms"},
      {"read_timeout", "6ms"},
      {"idle_timeout", "7ms"},
      {"pool_max_age", "10m"},
      {"dns_ttl", "0s"},
      {"max_body_bytes", "1025"},
      {"max_header_bytes", "1026"},
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
      {"journal", ""},  // not beside database_url
      {"database_url", "postgresql://gateway@one,two:5433/leases"},
      {"database_password_file", Write("password", "hunter3")},
      {"database_listen_url", "host=/run/postgresql dbname=leases"},
      {"database_connections", "64"},
      {"database_allow_insecure", "true"},
      {"ownership_time", "1m"},
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
                  .callers_file = "",
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
                  .max_streams = 10,
                  .max_metadata_bytes = 2 << 10,
                  .max_calls = 11,
                  .max_connections = 1'000'000,
                  .max_connections_per_peer = 12,
                  .trusted_proxies = "127.0.0.1,10.0.0.0/8,fd00::/8",
                  .max_memory = std::int64_t{2} << 30,
                  .reflection = false,
                  .channelz = false,
                  .watch_heartbeat = 1s,
                  .max_watchers = 9,
                  .admin_listen = "[::1]:9464",
                  .upstream_url = "https://localhost:8443/v1",
                  .upstream_ca_file = folder_ + "/ca.pem",
                  .upstream_token_file = folder_ + "/token",
                  .upstream_proxy = "https://proxy.corp:3129",
                  .upstream_proxy_credentials_file = folder_ + "/proxy-credentials",
                  .upstream_proxy_ca_file = folder_ + "/proxy-ca.pem",
                  .auth_scheme = "Token",
                  .threads = 64,
                  .pool_size = 4096,
                  .pool_warm = 4096,
                  .pool_queue = 0,
                  .pool_wait = 8ms,
                  .dns_servers = "192.0.2.1,[2001:db8::1]:53",
                  .resolve_timeout = 1ms,
                  .connect_timeout = 2ms,
                  .handshake_timeout = 3ms,
                  .send_timeout = 4ms,
                  .response_timeout = 5ms,
                  .read_timeout = 6ms,
                  .idle_timeout = 7ms,
                  .pool_max_age = 10min,
                  .dns_ttl = 0s,
                  .max_body_bytes = 1025,
                  .max_header_bytes = 1026,
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
                  .journal = "",
                  .database_url = "postgresql://gateway@one,two:5433/leases",
                  .database_password_file = folder_ + "/password",
                  .database_listen_url = "host=/run/postgresql dbname=leases",
                  .database_connections = 64,
                  .database_allow_insecure = true,
                  .ownership_time = 1min,
                  .settle_time = 7s,
                  .journal_retention = 48h,
                  .sandbox = false,
                  .sandbox_numbers = 7,
                  .sandbox_seed = UINT64_MAX,
                  .sandbox_control_port = 65535,
                  .log_level = "trace",
                  .log_format = "json",
                  .access_log_hits = 100,
                  .api_key = "other",
                  .database_password = "hunter3"};
  const absl::StatusOr<Invocation> help = Load({"--help"});
  ASSERT_TRUE(help.ok());
  std::vector<std::string> flags;
  std::string yaml;
  std::map<std::string, std::string> environment;
  const std::string& text = help->output;
  std::size_t options = 0;
  constexpr char kVariable[] = "\n      LEASE_GATEWAY_";
  for (auto at = text.find(kVariable); at != text.npos; at = text.find(kVariable, at + 1)) {
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

TEST_F(ConfigTest, ACallersFileIsSetInEachWay) {
  const std::string file =
      Write("callers.yaml", "accounts: [{name: a, key_file: " + Write("account-key", "s3cr3t") +
                                "}]\ncallers: [{name: a, match: {dns: a}, roles: {}}]\n");
  EXPECT_EQ(LoadedConfig({"--callers-file", file}).callers_file, file);
  EXPECT_EQ(LoadYaml("callers_file: " + file + "\n")->config.callers_file, file);
  environment_["LEASE_GATEWAY_CALLERS_FILE"] = file;
  const Config config = LoadedConfig({});
  EXPECT_EQ(config.callers_file, file);
  EXPECT_THAT(PrintConfig(config), HasSubstr("\ncallers_file: \"" + file + "\"\n"));
}

TEST_F(ConfigTest, EverybodyBeyondLoopbackWithAllRightsIsAWarning) {
  Config config;
  const auto warnings = [&config](const std::string& listen) {
    config.listen = listen;
    return Warnings(config);
  };
  for (const char* listen : {"127.0.0.1:50051", "127.8.9.1:0", "[::1]:1", "localhost:1"}) {
    EXPECT_THAT(warnings(listen), ::testing::IsEmpty()) << listen;
  }
  for (const std::string listen : {"0.0.0.0:50051", "[::]:1", "gateway:1", "10.0.0.1:1"}) {
    EXPECT_THAT(warnings(listen),
                ::testing::ElementsAre("everybody whom " + listen +
                                       " lets in has all rights, and no limit: callers_file is "
                                       "not set"));
  }
  config.callers_file = "callers.yaml";
  EXPECT_THAT(warnings("0.0.0.0:50051"), ::testing::IsEmpty());
}

TEST_F(ConfigTest, JournalIsAFileButForTheSandbox) {
  EXPECT_EQ(JournalPath(LoadedConfig({})), "lease-gateway.db");
  EXPECT_EQ(JournalPath(LoadedConfig({"--sandbox"})), ":memory:");
  EXPECT_EQ(JournalPath(LoadedConfig({"--sandbox", "--journal", "a.db"})), "a.db");
  EXPECT_EQ(JournalPath(LoadedConfig({"--journal", "a.db"})), "a.db");
  EXPECT_EQ(JournalPath(LoadYaml("journal: /a folder/b.db\n")->config), "/a folder/b.db");
  environment_["LEASE_GATEWAY_JOURNAL"] = "c.db";
  EXPECT_EQ(JournalPath(LoadedConfig({})), "c.db");
}

}  // namespace
}  // namespace leasegateway
