#include "service/config/flag_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/support/config_fixture.h"

namespace leasegateway {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

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

}  // namespace
}  // namespace leasegateway
