// The gateway as a program whose way to the provider is a proxy: squid and tinyproxy.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/egress_proxies.h"
#include "tests/support/name_server.h"
#include "tests/support/programs.h"
#include "tests/support/tls_peers.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Clock = std::chrono::steady_clock;

constexpr char kProxyTestKey[] = "CONTIGUITY_API_KEY=contiguity_sk_proxy";
// A second is what the end may take; a machine that is busy with other tests takes more. Without
// the rule it would be the tunnel's own limit, a minute.
constexpr milliseconds kProxyStopLimit{5000};

int CountOf(const std::string& text, const std::string& part) {
  int count = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class ProxyTest : public testing::Test, protected Programs {
 protected:
  void StartSandbox() {
    sandbox_ = Start("sandbox", "lease-sandbox",
                     {"--port", "0", "--control-port", "0", "--ca-out", Path("ca.pem")},
                     {"LEASE_SANDBOX_KEYS=contiguity_sk_proxy"});
    url_ = After("sandbox.out", "url: ", "\n");
    After("sandbox.out", "key: ", "\n");
    const auto host = url_.find("localhost");
    target_of_tunnel_ = url_.substr(host, url_.find('/', host) - host);
  }
  // With no memory, so that each call goes to the provider.
  std::vector<std::string> Flags(std::vector<std::string> more) {
    more.insert(more.end(), {"--upstream-url", url_, "--upstream-ca-file", Path("ca.pem"),
                             "--journal", ":memory:", "--listen", "127.0.0.1:0"});
    return more;
  }
  pid_t StartGateway(std::vector<std::string> flags,
                     const std::vector<std::string>& environment = {kProxyTestKey}) {
    gateway_ = Start("gateway", "lease-gateway", flags, environment);
    target_ = "127.0.0.1:" + After("gateway.err", "serves gRPC on port ", " \n");
    return gateway_;
  }
  void StopGateway() {
    kill(gateway_, SIGTERM);
    EXPECT_EQ(Wait(gateway_), 0) << ReadAll(Path("gateway.err"));
  }
  // Exit status and all output of leasectl.
  struct Said {
    int status;
    std::string text;
  };
  Said Leasectl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--target", target_});
    // ThreadSanitizer overwrites the errno of gRPC's connect(), and a program that connects once
    // gives up.
    int tries = CONCURRENT_CALLS < 1000 ? 20 : 1;
    for (;;) {
      const std::string name = "call" + std::to_string(++calls_);
      const int status = Wait(Start(name, "leasectl", arguments));
      const std::string text = ReadAll(Path(name + ".out")) + ReadAll(Path(name + ".err"));
      all_output_ += text;
      const bool is_connected = text.find("no Lease Gateway answers at") == text.npos;
      if (is_connected || --tries == 0) return {status, text};
    }
  }
  Said List() { return Leasectl({"available", "--max-staleness", "0s"}); }
  std::string FirstNumber() {
    const std::string list = List().text;
    const auto at = list.find("\n+");
    return at == list.npos ? "" : list.substr(at + 1, list.find(' ', at) - at - 1);
  }
  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(Path(name + ".new")) << text;
    std::filesystem::rename(Path(name + ".new"), Path(name));
    return Path(name);
  }
  std::string GoodCredentials() const {
    return std::string(kProxyUser) + ":" + kProxyPassword + "\n";
  }
  // What a gateway with these flags writes when it doesn't start.
  std::string Refusal(const std::vector<std::string>& flags,
                      const std::vector<std::string>& environment = {kProxyTestKey}) {
    EXPECT_EQ(Wait(Start("refused", "lease-gateway", flags, environment)), 2);
    return ReadAll(Path("refused.err"));
  }

  pid_t sandbox_ = 0;
  pid_t gateway_ = 0;
  int calls_ = 0;
  std::string url_ = "https://localhost:1/numbers";
  std::string target_of_tunnel_;
  std::string target_;
  std::string all_output_;
};

TEST_F(ProxyTest, ReadsAndWritesGoThroughOneTunnelOfSquid) {
  StartSandbox();
  const Squid squid;
  StartGateway(Flags({"--upstream-proxy", squid.Url(), "--pool-size", "1"}));
  const std::string number = FirstNumber();
  ASSERT_NE(number, "") << all_output_ << ReadAll(Path("gateway.err"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(List().status, 0) << all_output_;
  const Said leased = Leasectl({"lease", number});
  EXPECT_EQ(leased.status, 0) << leased.text;
  const Said ended = Leasectl({"terminate", number});
  EXPECT_EQ(ended.status, 0) << ended.text;
  StopGateway();
  EXPECT_THAT(ReadAll(Path("gateway.err")), HasSubstr("road to the provider: through the proxy " +
                                                      squid.Url() + " (upstream_proxy says so)"));
  const auto give_up = Clock::now() + std::chrono::seconds(20);
  const std::string tunnel = "CONNECT " + target_of_tunnel_ + " 200";
  while (CountOf(squid.log(), tunnel) == 0 && Clock::now() < give_up) usleep(20'000);
  EXPECT_EQ(CountOf(squid.log(), tunnel), 1) << squid.log();
}

TEST_F(ProxyTest, TinyproxyOfTheEnvironmentAndAnException) {
  StartSandbox();
  const Tinyproxy tinyproxy;
  const std::vector<std::string> environment = {kProxyTestKey, "HTTPS_PROXY=" + tinyproxy.Url()};
  StartGateway(Flags({}), environment);
  EXPECT_EQ(List().status, 0) << all_output_;
  StopGateway();
  EXPECT_THAT(ReadAll(Path("gateway.err")), HasSubstr("through the proxy " + tinyproxy.Url() +
                                                      " (HTTPS_PROXY is set in the environment)"));
  const int before = CountOf(tinyproxy.log(), "CONNECT localhost");
  EXPECT_GT(before, 0) << tinyproxy.log();

  auto around = environment;
  around.push_back("NO_PROXY=example.com,localhost");
  StartGateway(Flags({}), around);
  EXPECT_EQ(List().status, 0) << all_output_;
  StopGateway();
  EXPECT_THAT(ReadAll(Path("gateway.err")),
              HasSubstr("road to the provider: straight (NO_PROXY has the provider's host)"));
  StartGateway(Flags({"--upstream-proxy", "direct"}), environment);
  EXPECT_EQ(List().status, 0) << all_output_;
  StopGateway();
  EXPECT_THAT(ReadAll(Path("gateway.err")),
              HasSubstr("road to the provider: straight (upstream_proxy says so)"));
  EXPECT_EQ(CountOf(tinyproxy.log(), "CONNECT localhost"), before);
}

TEST_F(ProxyTest, CredentialsAreReadAnewAndNeverShown) {
  StartSandbox();
  const Squid squid({.wants_credentials = true});
  const std::string file = Write("credentials", "gateway:old-Secret-3\n");
  const auto flags =
      Flags({"--upstream-proxy", squid.Url(), "--upstream-proxy-credentials-file", file,
             "--idle-timeout", "0s", "--log-level", "debug", "--admin-listen", "127.0.0.1:0"});
  StartGateway(flags);
  EXPECT_THAT(List().text, AllOf(HasSubstr("UPSTREAM_PROXY"), HasSubstr("proxy " + squid.Url()),
                                 HasSubstr("407 Proxy Authentication Required"),
                                 HasSubstr("look at upstream_proxy_credentials_file")));
  Write("credentials", GoodCredentials());
  EXPECT_EQ(List().status, 0) << all_output_;
  std::filesystem::remove(file);
  EXPECT_THAT(List().text, AllOf(HasSubstr("UPSTREAM_PROXY"),
                                 HasSubstr("upstream_proxy_credentials_file: \"" + file +
                                           "\": cannot be read: No such file or directory")));
  Write("credentials", "half-Secret-9");
  EXPECT_THAT(List().text, HasSubstr("the proxy credentials must be USER:PASSWORD"));
  Write("credentials", GoodCredentials());
  EXPECT_EQ(List().status, 0) << all_output_;
  StopGateway();
  auto print = flags;
  print.push_back("--print-config");
  EXPECT_EQ(Wait(Start("print", "lease-gateway", print,
                       {kProxyTestKey, "HTTPS_PROXY=http://u:env-Secret-8@h"})),
            0);
  const std::string printed = ReadAll(Path("print.out"));
  EXPECT_THAT(printed, HasSubstr("# road to the provider: through the proxy " + squid.Url()));
  const std::string everything = all_output_ + printed + ReadAll(Path("gateway.err")) +
                                 ReadAll(Path("gateway.out")) + ReadAll(Path("print.err"));
  EXPECT_THAT(everything, HasSubstr("UPSTREAM_PROXY"));
  // Z2F0ZXdheT: how "gateway:" begins in base64.
  for (const char* secret : {"Secret", "Z2F0ZXdheT", "Proxy-Authorization"}) {
    EXPECT_THAT(everything, Not(HasSubstr(secret)));
  }
}

TEST_F(ProxyTest, CredentialsOfTheEnvironment) {
  StartSandbox();
  const Tinyproxy tinyproxy(/*wants_credentials=*/true);
  StartGateway(Flags({}), {kProxyTestKey, "HTTPS_PROXY=" + tinyproxy.Url()});
  EXPECT_THAT(List().text, AllOf(HasSubstr("UPSTREAM_PROXY"), HasSubstr("it answered 407"),
                                 HasSubstr("set upstream_proxy_credentials_file")));
  StopGateway();
  const std::string url = std::string("http://") + kProxyUser + ":" + kProxyPassword +
                          "@127.0.0.1:" + std::to_string(tinyproxy.port());
  StartGateway(Flags({"--log-level", "debug"}), {kProxyTestKey, "HTTPS_PROXY=" + url});
  EXPECT_EQ(List().status, 0) << all_output_;
  StopGateway();
  EXPECT_EQ(Wait(Start("print", "lease-gateway", Flags({"--print-config"}),
                       {kProxyTestKey, "HTTPS_PROXY=" + url})),
            0);
  EXPECT_THAT(all_output_ + ReadAll(Path("gateway.err")) + ReadAll(Path("print.out")),
              AllOf(Not(HasSubstr(kProxyPassword)),
                    HasSubstr("through the proxy " + tinyproxy.Url() + " (HTTPS_PROXY is set")));
}

TEST_F(ProxyTest, ItsRefusalSaysWhoRefused) {
  StartSandbox();
  const Squid squid({.denies = true});
  StartGateway(Flags({"--upstream-proxy", squid.Url()}));
  const std::string text = List().text;
  EXPECT_THAT(text, AllOf(HasSubstr("UNAVAILABLE UPSTREAM_PROXY: a tunnel to " + target_of_tunnel_ +
                                    " through the proxy " + squid.Url() +
                                    " failed: it answered 403 Forbidden (ERR_ACCESS_DENIED"),
                          Not(HasSubstr("<html"))));
  StopGateway();
}

TEST_F(ProxyTest, ProviderThatIsDownIsToldByTheProxy) {
  const Squid squid;
  const Tinyproxy tinyproxy;
  for (const EgressProxy* proxy : std::vector<const EgressProxy*>{&squid, &tinyproxy}) {
    StartGateway({"--upstream-proxy", proxy->Url(), "--upstream-url", url_, "--journal",
                  ":memory:", "--listen", "127.0.0.1:0"});
    EXPECT_THAT(List().text,
                AllOf(HasSubstr("UPSTREAM_PROXY"), HasSubstr(proxy->Url()),
                      HasSubstr(proxy == &squid ? "it answered 503 Service Unavailable"
                                                : "it answered 500 Unable to connect")));
    StopGateway();
  }
}

TEST_F(ProxyTest, ProvidersCertificateIsVerifiedThroughIt) {
  StartSandbox();
  const Squid squid;
  StartGateway({"--upstream-proxy", squid.Url(), "--upstream-url", url_, "--journal",
                ":memory:", "--listen", "127.0.0.1:0"});
  EXPECT_THAT(List().text,
              AllOf(HasSubstr("UPSTREAM_TLS"), HasSubstr("through the proxy " + squid.Url()),
                    HasSubstr("the provider's certificate was refused")));
  StopGateway();
}

TEST_F(ProxyTest, ProxyItselfMaySpeakTls) {
  StartSandbox();
  const Authority authority("serverAuth", {"localhost", "127.0.0.1"});
  const auto good = authority.Good();
  const Squid squid({.wants_credentials = true, .certificate = good.certificate, .key = good.key});
  const std::string url = "https://localhost:" + std::to_string(squid.port());
  const std::vector<std::string> flags = {"--upstream-proxy",
                                          url,
                                          "--upstream-proxy-credentials-file",
                                          Write("credentials", GoodCredentials()),
                                          "--pool-size",
                                          "1"};
  auto trusting = flags;
  trusting.insert(trusting.end(),
                  {"--upstream-proxy-ca-file", Write("proxy-ca.pem", authority.root.certificate)});
  StartGateway(Flags(trusting));
  const std::string number = FirstNumber();
  ASSERT_NE(number, "") << all_output_;
  EXPECT_EQ(Leasectl({"lease", number}).status, 0) << all_output_;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(List().status, 0) << all_output_;
  StopGateway();
  const auto give_up = Clock::now() + std::chrono::seconds(20);
  while (CountOf(squid.log(), "CONNECT") == 0 && Clock::now() < give_up) usleep(20'000);
  EXPECT_EQ(CountOf(squid.log(), "CONNECT"), 1) << squid.log();

  StartGateway(Flags(flags));
  EXPECT_THAT(List().text, AllOf(HasSubstr("UPSTREAM_PROXY"), HasSubstr("through the proxy " + url),
                                 HasSubstr("the proxy's certificate was refused")));
  StopGateway();
  // The right authority, but another name.
  NameServer names(R"({"proxy.corp": {"A": ["127.0.0.1"]}})");
  trusting[1] = "https://proxy.corp:" + std::to_string(squid.port());
  trusting.insert(trusting.end(), {"--dns-servers", names.server()});
  StartGateway(Flags(trusting));
  EXPECT_THAT(List().text, AllOf(HasSubstr("UPSTREAM_PROXY"),
                                 HasSubstr("the proxy's certificate was refused: hostname")));
  StopGateway();
  EXPECT_EQ(CountOf(squid.log(), "CONNECT"), 1) << squid.log();
}

TEST_F(ProxyTest, ProxyThatDiesIsNotTheProvider) {
  StartSandbox();
  Squid squid;
  StartGateway(Flags({"--upstream-proxy", squid.Url()}));
  EXPECT_EQ(List().status, 0) << all_output_;
  squid.Kill();
  EXPECT_THAT(List().text,
              AllOf(HasSubstr("UPSTREAM_PROXY: connecting to the proxy " + squid.Url() + " failed"),
                    HasSubstr("Connection refused")));
  StopGateway();
}

TEST_F(ProxyTest, EmbeddedSandboxIsReachedStraight) {
  StartGateway({"--sandbox", "--listen", "127.0.0.1:0"},
               {"HTTPS_PROXY=http://user:env-Secret-8@127.0.0.1:1"});
  EXPECT_EQ(List().status, 0) << all_output_;
  StopGateway();
  EXPECT_THAT(ReadAll(Path("gateway.err")),
              HasSubstr("road to the provider: straight (the sandbox is embedded)"));
}

// Before its TLS, or before its answer.
TEST_F(ProxyTest, SigtermWhileItHangs) {
  Squid squid;
  squid.Freeze();
  for (const char* scheme : {"http", "https"}) {
    StartGateway({"--upstream-proxy",
                  std::string(scheme) + "://127.0.0.1:" + std::to_string(squid.port()),
                  "--upstream-url", url_, "--journal", ":memory:", "--listen", "127.0.0.1:0",
                  "--connect-timeout", "60s", "--handshake-timeout", "60s", "--pool-warm", "2"});
    EXPECT_NE(Leasectl({"--timeout", "1500ms", "available"}).status, 0);
    const auto began = Clock::now();
    StopGateway();
    EXPECT_LT(Clock::now() - began, kProxyStopLimit) << scheme;
  }
}

TEST_F(ProxyTest, HangIsItsOwn) {
  Squid squid;
  squid.Freeze();
  StartGateway({"--upstream-proxy", squid.Url(), "--upstream-url", url_, "--journal",
                ":memory:", "--listen", "127.0.0.1:0", "--connect-timeout", "200ms",
                "--resolve-timeout", "100ms"});
  EXPECT_THAT(List().text,
              AllOf(HasSubstr("UPSTREAM_PROXY"), HasSubstr("it has not answered within 300 ms")));
  StopGateway();
}

TEST_F(ProxyTest, NameOfTheProviderIsNotLookedUpHere) {
  const Squid squid;
  StartGateway({"--upstream-proxy", squid.Url(), "--upstream-url",
                "https://no-such-host.invalid/numbers", "--journal", ":memory:", "--listen",
                "127.0.0.1:0"});
  EXPECT_THAT(List().text, AllOf(HasSubstr("UPSTREAM_PROXY: a tunnel to no-such-host.invalid:443"),
                                 HasSubstr("it answered 50")));
  StopGateway();
  StartGateway({"--upstream-proxy", "http://no-such-proxy.invalid:3128", "--upstream-url", url_,
                "--journal", ":memory:", "--listen", "127.0.0.1:0"});
  EXPECT_THAT(List().text,
              HasSubstr("UPSTREAM_PROXY: looking up the proxy no-such-proxy.invalid failed"));
  StopGateway();
}

TEST_F(ProxyTest, WhatCantBeUsedIsOneLine) {
  const auto flags = [](std::vector<std::string> more) {
    more.insert(more.end(), {"--journal", ":memory:", "--listen", "127.0.0.1:0"});
    return more;
  };
  EXPECT_EQ(Refusal(flags({"--upstream-proxy", "socks5://proxy.corp"})),
            "flag --upstream-proxy: \"socks5://proxy.corp\": must be http://HOST[:PORT] or "
            "https://HOST[:PORT]\n");
  EXPECT_EQ(Refusal(flags({"--upstream-proxy", "http://user:flag-Secret-1@proxy.corp"})),
            "flag --upstream-proxy: \"http://***@proxy.corp\": must have no user and no password: "
            "name a file in upstream_proxy_credentials_file\n");
  EXPECT_EQ(Refusal(flags({}), {kProxyTestKey, "https_proxy=socks5://u:env-Secret-2@h"}),
            "environment https_proxy: must be http://HOST[:PORT] or https://HOST[:PORT]; "
            "upstream_proxy=direct ignores it\n");
  const std::string place = "flag --upstream-proxy-credentials-file: ";
  const std::string none = Path("none");
  EXPECT_EQ(Refusal(flags({"--upstream-proxy-credentials-file", none})),
            place + "\"" + none + "\": cannot be read: No such file or directory\n");
  const std::pair<std::string, std::string> bad[] = {
      {"\n", "must not be empty"},
      {"file-Secret-3", "must be USER:PASSWORD"},
      {":file-Secret-3", "must be USER:PASSWORD"},
      {"user:file-Secret-3\nmore", "must have no control characters"}};
  for (const auto& [text, rule] : bad) {
    const std::string file = Write("bad", text);
    EXPECT_EQ(Refusal(flags({"--upstream-proxy-credentials-file", file})),
              place + "\"" + file + "\": the proxy credentials " + rule + "\n");
  }
  EXPECT_THAT(Refusal(flags({"--upstream-proxy-ca-file", none})),
              HasSubstr("flag --upstream-proxy-ca-file: \"" + none + "\": cannot be read"));
  EXPECT_THAT(Refusal({"--sandbox", "--upstream-proxy", "direct"}),
              HasSubstr("flag --upstream-proxy: \"direct\": cannot be combined with sandbox"));
}

}  // namespace
}  // namespace leasegateway
