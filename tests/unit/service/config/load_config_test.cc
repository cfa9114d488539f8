#include "service/config/load_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/config_fixture.h"
#include "upstream/sandbox/certificates.h"

namespace leasegateway {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

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

TEST_F(ConfigTest, FlagIsStrongerThanEnvironmentThanFileThanDefault) {
  const std::string file = Write("a.yaml", "threads: 3\n");
  EXPECT_EQ(LoadedConfig({}).threads, 2);
  EXPECT_EQ(LoadedConfig({"--config", file}).threads, 3);
  environment_["LEASE_GATEWAY_THREADS"] = "4";
  EXPECT_EQ(LoadedConfig({"--config", file}).threads, 4);
  EXPECT_EQ(LoadedConfig({"--config", file, "--threads", "5"}).threads, 5);
  EXPECT_EQ(LoadedConfig({"--threads=5", "--threads=6"}).threads, 6);
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

TEST_F(ConfigTest, ProxyOfTheEnvironmentIsUsedAndNotShown) {
  environment_["HTTPS_PROXY"] = "http://user:hunter5@proxy.corp:3128";
  const auto printed = Load({"--print-config"});
  ASSERT_TRUE(printed.ok()) << printed.status();
  EXPECT_THAT(printed->output,
              AllOf(HasSubstr("\n# road to the provider: through the proxy http://proxy.corp:3128 "
                              "(HTTPS_PROXY is set in the environment)\n"),
                    Not(HasSubstr("hunter5"))));
  EXPECT_EQ(RoadOf(printed->config)->proxy->credentials, "user:hunter5");
  EXPECT_EQ(RoadOf(LoadedConfig({"--sandbox"}))->Describe(), "straight (the sandbox is embedded)");
  EXPECT_EQ(RoadOf(LoadedConfig({"--upstream-proxy=direct"}))->Describe(),
            "straight (upstream_proxy says so)");
  environment_["no_proxy"] = "host:8443";
  EXPECT_EQ(RoadOf(LoadedConfig({"--upstream-url=https://host:8443/"}))->Describe(),
            "straight (no_proxy has the provider's host)");
  EXPECT_TRUE(RoadOf(LoadedConfig({"--upstream-url=https://host/"}))->proxy);
  environment_["HTTPS_PROXY"] = "ftp://user:hunter5@proxy.corp";
  EXPECT_EQ(Message(Load({})),
            "environment HTTPS_PROXY: must be http://HOST[:PORT] or https://HOST[:PORT]; "
            "upstream_proxy=direct ignores it");
  EXPECT_EQ(Message(Load({"--upstream-proxy=http://user:hunter5@proxy.corp"})),
            "flag --upstream-proxy: \"http://***@proxy.corp\": must have no user and no password: "
            "name a file in upstream_proxy_credentials_file\n"
            "environment HTTPS_PROXY: must be http://HOST[:PORT] or https://HOST[:PORT]; "
            "upstream_proxy=direct ignores it");
}

TEST_F(ConfigTest, ProxyCredentialsAreCheckedAndNotShown) {
  const auto with = [&](const std::string& content) {
    return Message(Load({"--upstream-proxy-credentials-file=" + Write("proxy", content)}));
  };
  const std::string place =
      "flag --upstream-proxy-credentials-file: \"" + folder_ + "/proxy\": the proxy credentials ";
  EXPECT_EQ(with(" gateway:hunt er:6\n"), "");
  EXPECT_EQ(with("\n"), place + "must not be empty");
  EXPECT_EQ(with("hunter6"), place + "must be USER:PASSWORD");
  EXPECT_EQ(with(":hunter6"), place + "must be USER:PASSWORD");
  EXPECT_EQ(with("gateway:hunter6\nother:hunter7"), place + "must have no control characters");
  EXPECT_EQ(with("gateway:" + std::string(1024, 'x')), place + "must be at most 1024 bytes");
}

TEST_F(ConfigTest, WarmConnectionsAreSomeOfThePool) {
  EXPECT_EQ(Message(Load({"--pool-size=2", "--pool-warm=3"})),
            "flag --pool-warm: \"3\": must not exceed pool_size, which is 2");
  EXPECT_EQ(Message(Load({"--pool-warm=1", "--idle-timeout=0"})),
            "flag --pool-warm: \"1\": needs an idle_timeout: with 0 no connection is kept");
  EXPECT_EQ(Message(Load({"--pool-size=2", "--pool-warm=2"})), "");
}

TEST_F(ConfigTest, SandboxControlPortIsNotTheGatewaysPort) {
  const std::vector<std::string> ports = {"--listen=127.0.0.1:7000", "--sandbox-control-port=7000"};
  EXPECT_EQ(Message(Load({ports[0], ports[1], "--sandbox"})),
            "flag --sandbox-control-port: \"7000\": must differ from the port of listen");
  EXPECT_EQ(Message(Load(ports)), "");
  EXPECT_EQ(LoadedConfig({"--sandbox", "--listen=127.0.0.1:0"}).listen, "127.0.0.1:0");
}

// --- the callers file ---

TEST_F(ConfigTest, TheCallersFileIsChecked) {
  const std::string key = Write("account-key", "s3cr3t");
  const auto file = [&](const std::string& callers) {
    return Write("callers.yaml", "accounts: [{name: a, key_file: " + key + "}]\n" + callers);
  };
  std::string path = file("callers: [{name: a, match: {dns: a}, roles: {}}]\n");
  EXPECT_EQ(Message(Load({"--callers-file", path})), "");
  path = file("callers:\n- {name: a, match: {dns: a}, roles: {b: [c]}}\n- {name: b}\n");
  EXPECT_EQ(Message(Load({"--check-config", "--callers-file", path})),
            "flag --callers-file: " + path +
                ":3:38: callers[0].roles.b: is no account: is unknown\n"
                "flag --callers-file: " +
                path +
                ":3:42: callers[0].roles.b[0]: \"c\": is no role: is unknown\n"
                "flag --callers-file: " +
                path +
                ":4:3: callers[1]: must have match\n"
                "flag --callers-file: " +
                path + ":4:3: callers[1]: must have roles");
  EXPECT_EQ(Message(LoadYaml("callers_file: /none\n")),
            yaml_ + ":1: callers_file: /none: cannot be read: No such file or directory");
}

TEST_F(ConfigTest, WithACallersFileAccountsHaveTheKeys) {
  const std::string with_key =
      Write("callers.yaml", "accounts: [{name: a, key_file: " + Write("account-key", "s3cr3t") +
                                "}]\ncallers: [{name: a, match: {dns: a}, roles: {}}]\n");
  const std::string without = Write("without.yaml",
                                    "accounts: [{name: a}]\n"
                                    "callers: [{name: a, match: {dns: a}, roles: {}}]\n");
  // The environment's key is left alone: it may be there for other programs.
  EXPECT_EQ(LoadedConfig({"--callers-file", with_key}).api_key, "");
  environment_.clear();
  EXPECT_EQ(LoadedConfig({"--callers-file", with_key}).api_key, "");
  EXPECT_EQ(Message(Load({"--callers-file", without})),
            "flag --callers-file: " + without + ":1:12: accounts[0]: must have key_file");
  EXPECT_EQ(Message(Load({"--sandbox", "--callers-file", without})), "");
  const std::string token = Write("token", "other");
  EXPECT_EQ(
      Message(Load({"--callers-file", with_key, "--upstream-token-file", token})),
      "flag --upstream-token-file: \"" + token +
          "\": cannot be combined with callers_file, set by flag --callers-file: its accounts "
          "name their own");
}

TEST_F(ConfigTest, WhoHasNoCertificateIsAskedForATokenOnlyWhereThereAreCallers) {
  const std::string callers = Write("callers.yaml",
                                    "accounts: [{name: sales}]\n"
                                    "callers: [{name: a, match: {dns: a}, roles: {}}]\n");
  EXPECT_EQ(Message(Load({"--sandbox", "--tls-client-auth", "request"})),
            "flag --tls-client-auth: \"request\": needs callers_file: without it who has no "
            "certificate could do all the same");
  EXPECT_EQ(LoadedConfig({"--sandbox", "--tls-client-auth", "request", "--callers-file", callers})
                .tls_client_auth,
            "request");
}

}  // namespace
}  // namespace leasegateway
