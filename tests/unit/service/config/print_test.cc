#include "service/config/print.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

#include "tests/support/config_fixture.h"

namespace leasegateway {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(ConfigTest, DefaultsAreWithinTheirBounds) {
  Config defaults;
  defaults.api_key = kKey;
  const absl::StatusOr<Invocation> invocation = LoadYaml(PrintConfig(Config()));
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  EXPECT_EQ(invocation->config, defaults);
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
