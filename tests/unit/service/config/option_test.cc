#include "service/config/option.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/support/config_fixture.h"

namespace leasegateway {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""min;
using std::chrono_literals::operator""h;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

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

// As long as its table.
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

TEST_F(ConfigTest, LongValuesAreCut) {
  const std::string message = Message(Load({"--listen=" + std::string(5000, 'x')}));
  EXPECT_LT(message.size(), 300u);
  EXPECT_THAT(message, HasSubstr("xxx...\""));
}

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

TEST_F(ConfigTest, NameServersAreAddresses) {
  for (const char* servers :
       {"", "192.0.2.1", "192.0.2.1:5353", "[::1]", "[2001:db8::1]:53,192.0.2.1,192.0.2.2:1"}) {
    EXPECT_EQ(LoadedConfig({"--dns-servers", servers}).dns_servers, servers);
  }
  for (const char* servers : {"dns.test", "192.0.2", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536",
                              "::1", "[::1]53", "[::1", "[192.0.2.1]", "192.0.2.1,",
                              "192.0.2.1 192.0.2.2", "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1"}) {
    EXPECT_EQ(Message(Load({"--dns-servers", servers})),
              "flag --dns-servers: \"" + std::string(servers) +
                  "\": must be up to three of ADDRESS, ADDRESS:PORT or [IPv6 address]:PORT, "
                  "separated by commas");
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

}  // namespace
}  // namespace leasegateway
