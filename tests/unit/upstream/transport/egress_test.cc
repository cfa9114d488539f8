// Which road is taken to the provider.

#include "upstream/transport/egress.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace leasegateway {
namespace {

using Variables = std::map<std::string, std::string>;

absl::StatusOr<Egress> Choose(const std::string& setting, const Variables& variables,
                              const std::string& host = "api.example.com") {
  return ChooseEgress(
      setting,
      [&](const char* name) {
        const auto found = variables.find(name);
        return found == variables.end() ? std::string() : found->second;
      },
      host, "443");
}

TEST(EgressTest, ExceptionsAreThoseOfCurl) {
  struct Row {
    const char* list;
    const char* host;
    bool around;
  };
  const std::vector<Row> rows = {
      {"", "api.example.com", false},
      {"*", "api.example.com", true},
      {"other.com, *", "api.example.com", true},
      {"example.com", "api.example.com", true},
      {".example.com", "api.example.com", true},
      {"example.com.", "api.example.com", true},
      {"example.com", "api.example.com.", true},
      {"EXAMPLE.com", "api.Example.COM", true},
      {"example.com", "example.com", true},
      {".example.com", "example.com", true},
      {"example.com", "badexample.com", false},
      {"api.example.com", "example.com", false},
      {"*.example.com", "api.example.com", false},  // curl knows no such pattern
      {"a.com,example.com", "api.example.com", true},
      {"a.com example.com", "api.example.com", true},
      {" a.com ,\texample.com ", "api.example.com", true},
      {"a.com,,", "api.example.com", false},
      {".", "api.example.com", false},
      {"example.com:443", "api.example.com", true},
      {"example.com:8443", "api.example.com", false},
      {"example.com:", "api.example.com", true},
      {"10.0.0.0/8", "10.200.3.4", true},
      {"10.0.0.0/8", "11.0.0.1", false},
      {"10.9.9.9/8", "10.200.3.4", true},
      {"10.1.2.3", "10.1.2.3", true},
      {"10.1.2.3:443", "10.1.2.3", true},
      {"10.1.2.3:80", "10.1.2.3", false},
      {"1.2.3", "10.1.2.3", false},
      {"2.3", "10.1.2.3", false},
      {"0.0.0.0/0", "10.1.2.3", true},
      {"10.0.0.0/33", "10.1.2.3", false},
      {"10.0.0.0/x", "10.1.2.3", false},
      {"10.0.0.0/8", "api.example.com", false},
      {"fd00::/8", "fd12::1", true},
      {"fd00::/8", "fe80::1", false},
      {"fd12::1", "fd12:0:0::1", true},
      {"[fd12::1]", "fd12::1", true},
      {"[fd12::1]:443", "fd12::1", true},
      {"[fd12::1]:80", "fd12::1", false},
      {"::1", "127.0.0.1", false},
      {"10.0.0.0/8", "::ffff:10.1.2.3", true},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(GoesAround(row.list, row.host, "443"), row.around) << row.list << " for " << row.host;
  }
}

TEST(EgressTest, ProxyHasDefaultsAndKeepsItsPasswordToItself) {
  const auto plain = ParseProxy("http://proxy.corp", true);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->where(), "http://proxy.corp:80");
  EXPECT_FALSE(plain->tls);
  EXPECT_EQ(plain->credentials, "");
  const auto tls = ParseProxy("https://us%40er:pa%3Ass@[fd00::1]:3129/", true);
  ASSERT_TRUE(tls.ok());
  EXPECT_TRUE(tls->tls);
  EXPECT_EQ(tls->host, "fd00::1");
  EXPECT_EQ(tls->credentials, "us@er:pa:ss");
  EXPECT_EQ(tls->where(), "https://[fd00::1]:3129");
  EXPECT_EQ(ParseProxy("https://proxy.corp", true)->port, "443");
}

TEST(EgressTest, WhatIsNoProxyIsRefusedWithoutItsText) {
  for (const char* url :
       {"proxy.corp:3128", "socks5://proxy.corp", "http://", "http://:3128",
        "http://proxy.corp/path", "http://proxy.corp?secret", "http://a b", "http://proxy.corp:0",
        "http://proxy.corp:65536", "http://proxy.corp:x", "http://user:secret@proxy.corp"}) {
    const auto proxy = ParseProxy(url, false);
    EXPECT_FALSE(proxy.ok()) << url;
    EXPECT_EQ(proxy.status().message().find("secret"), std::string::npos) << proxy.status();
    EXPECT_FALSE(proxy.status().message().empty()) << url;
  }
}

TEST(EgressTest, SettingGoesBeforeTheEnvironment) {
  const Variables variables = {{"https_proxy", "http://other:1"}, {"NO_PROXY", "*"}};
  const auto set = Choose("https://proxy.corp:3129", variables);
  ASSERT_TRUE(set.ok() && set->proxy);
  EXPECT_EQ(set->proxy->where(), "https://proxy.corp:3129");
  EXPECT_EQ(set->why, "upstream_proxy says so");
  const auto direct = Choose("direct", {{"https_proxy", "http://other:1"}});
  ASSERT_TRUE(direct.ok());
  EXPECT_FALSE(direct->proxy);
  const auto bad = Choose("http://user:secret@proxy.corp", {});
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.status().message(),
            "upstream_proxy: must have no user and no password: name a file in "
            "upstream_proxy_credentials_file");
}

TEST(EgressTest, EnvironmentIsReadAsCurlReadsIt) {
  const auto where = [](const Variables& variables) {
    const auto egress = Choose("", variables);
    if (!egress.ok()) return std::string(egress.status().message());
    return egress->proxy ? egress->proxy->where() + ": " + egress->why : egress->why;
  };
  EXPECT_EQ(where({}), "no proxy is set");
  EXPECT_EQ(where({{"HTTP_PROXY", "http://a"}, {"http_proxy", "http://a"}}), "no proxy is set");
  EXPECT_EQ(where({{"https_proxy", "http://a"}, {"HTTPS_PROXY", "http://b"}}),
            "http://a:80: https_proxy is set in the environment");
  EXPECT_EQ(where({{"https_proxy", ""}, {"HTTPS_PROXY", "b:3128"}}),
            "http://b:3128: HTTPS_PROXY is set in the environment");
  EXPECT_EQ(where({{"ALL_PROXY", "http://c"}}), "http://c:80: ALL_PROXY is set in the environment");
  EXPECT_EQ(where({{"HTTPS_PROXY", "http://b"}, {"NO_PROXY", "example.com"}}),
            "NO_PROXY has the provider's host");
  EXPECT_EQ(where({{"HTTPS_PROXY", "http://b"}, {"no_proxy", "a"}, {"NO_PROXY", "*"}}),
            "http://b:80: HTTPS_PROXY is set in the environment");
  EXPECT_EQ(where({{"HTTPS_PROXY", "socks5://u:secret@b"}}),
            "environment HTTPS_PROXY: must be http://HOST[:PORT] or https://HOST[:PORT]; "
            "upstream_proxy=direct ignores it");
}

TEST(EgressTest, CredentialsOfTheEnvironmentAreTaken) {
  const auto egress = Choose("", {{"HTTPS_PROXY", "http://user:secret@b:3128"}});
  ASSERT_TRUE(egress.ok() && egress->proxy);
  EXPECT_EQ(egress->proxy->credentials, "user:secret");
  EXPECT_EQ(egress->why.find("secret"), std::string::npos);
}

}  // namespace
}  // namespace leasegateway
