#include "upstream/names/system_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace leasegateway {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

class SystemNamesTest : public testing::Test {
 protected:
  SystemNamesTest() {
    unsetenv("LOCALDOMAIN");
    unsetenv("RES_OPTIONS");
    std::filesystem::create_directories(folder_);
  }
  ~SystemNamesTest() override {
    unsetenv("LOCALDOMAIN");
    unsetenv("RES_OPTIONS");
    std::filesystem::remove_all(folder_);
  }

  SystemNames Read(const std::string& resolv_conf, const std::string& nsswitch_conf = "") {
    std::ofstream(folder_ + "/resolv.conf") << resolv_conf;
    std::ofstream(folder_ + "/nsswitch.conf") << nsswitch_conf;
    return ReadSystemNames(folder_ + "/resolv.conf", folder_ + "/nsswitch.conf");
  }

  const std::string folder_ = testing::TempDir() + "system-names-" + std::to_string(getpid());
};

TEST_F(SystemNamesTest, KubernetesFile) {
  const auto system = Read(
      "search leases.svc.cluster.local svc.cluster.local cluster.local\n"
      "nameserver 10.96.0.10\noptions ndots:5 timeout:30\n");
  EXPECT_EQ(system.ndots, 5);
  EXPECT_EQ(system.servers, 1);
  EXPECT_EQ(system.timeout, seconds(30));
  EXPECT_FALSE(system.always_tcp);
  EXPECT_THAT(CandidateNames(system, "api.provider.com"),
              ElementsAre("api.provider.com.leases.svc.cluster.local.",
                          "api.provider.com.svc.cluster.local.", "api.provider.com.cluster.local.",
                          "api.provider.com."));
  EXPECT_THAT(CandidateNames(system, "a.b.c.provider.com.x"), testing::SizeIs(4));
  EXPECT_THAT(CandidateNames(system, "a.b.c.d.provider.com"),
              testing::Contains("a.b.c.d.provider.com."));
  EXPECT_EQ(CandidateNames(system, "a.b.c.d.provider.com").front(), "a.b.c.d.provider.com.");
  EXPECT_THAT(CandidateNames(system, "api.provider.com."), ElementsAre("api.provider.com."));
}

TEST_F(SystemNamesTest, EverythingElseThatAFileMaySay) {
  const auto system = Read(
      "# comment\n; another\ndomain first.test\nsearch one.test two.test.\t.\n"
      "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n"
      "options rotate use-vc ndots:99\noptions timeout:0\nnonsense\n");
  EXPECT_THAT(system.search, ElementsAre("one.test", "two.test.", "."));
  EXPECT_EQ(system.servers, 3);
  EXPECT_EQ(system.ndots, 15);
  EXPECT_EQ(system.timeout, seconds(1));
  EXPECT_TRUE(system.always_tcp);
  EXPECT_THAT(CandidateNames(system, "api"), ElementsAre("api.one.test.", "api.two.test.", "api."));
  EXPECT_THAT(Read("search one.test\ndomain last.test\n").search, ElementsAre("last.test"));
}

TEST_F(SystemNamesTest, DefaultsAreGlibcs) {
  const auto system = ReadSystemNames(folder_ + "/none", folder_ + "/none");
  EXPECT_EQ(system.sources, "fb");
  EXPECT_EQ(system.ndots, 1);
  EXPECT_EQ(system.servers, 1);
  EXPECT_EQ(system.timeout, seconds(5));
  SystemNames without_domains;
  EXPECT_THAT(CandidateNames(without_domains, "api.provider.com"),
              ElementsAre("api.provider.com."));
  EXPECT_THAT(CandidateNames(without_domains, "api"), ElementsAre("api."));
}

TEST_F(SystemNamesTest, TheEnvironmentIsStronger) {
  setenv("LOCALDOMAIN", "env.test", 1);
  setenv("RES_OPTIONS", "ndots:3", 1);
  const auto system = Read("search file.test\noptions ndots:5\n");
  EXPECT_THAT(system.search, ElementsAre("env.test"));
  EXPECT_EQ(system.ndots, 3);
  setenv("LOCALDOMAIN", "", 1);
  EXPECT_THAT(Read("search file.test\n").search, IsEmpty());
}

TEST_F(SystemNamesTest, SourcesInTheSystemsOrder) {
  EXPECT_EQ(
      Read("", "passwd: files dns\nhosts:\tfiles mdns4_minimal [NOTFOUND=return] dns\n").sources,
      "fb");
  EXPECT_EQ(Read("", "hosts: dns files\n").sources, "bf");
  EXPECT_EQ(Read("", "hosts: resolve [!UNAVAIL=return] dns # files\n").sources, "b");
  EXPECT_EQ(Read("", "hosts: files\n").sources, "f");
  EXPECT_EQ(Read("", "hosts: mymachines\n").sources, "fb");
}

}  // namespace
}  // namespace leasegateway
