// Whom a look-up asks, in which order, and over what.
#include "upstream/names/name_lookup.h"

#include "tests/support/host_addresses_fixture.h"

namespace leasegateway {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::UnorderedElementsAre;

class NameLookupTest : public HostAddressesTest {};

TEST_F(NameLookupTest, TheHostsFileComesFirstAndIsReadAnew) {
  Write("hosts", "192.0.2.9 other.test api.provider.test\n");
  NameServer server(kBoth);
  Use(server);
  // Nor is it mixed with what servers say of the family that the file doesn't have.
  EXPECT_THAT(LookUp(), ElementsAre("192.0.2.9"));
  EXPECT_THAT(server.Asked("api.provider.test"), IsEmpty());
  Write("hosts", "192.0.2.10 api.provider.test\n2001:db8::10 API.provider.test\n");
  later_ = seconds(2);
  EXPECT_THAT(LookUp(), UnorderedElementsAre("192.0.2.10", "2001:db8::10"));
  Write("nsswitch.conf", "hosts: dns\n");
  later_ = seconds(4);
  LookUp();
  Finish();
  EXPECT_THAT(LookUpAll(), UnorderedElementsAre("192.0.2.1", "2001:db8::1"));
}

TEST_F(NameLookupTest, LocalhostIsThisHostWithoutAFileAndNoServerIsAskedForIt) {
  NameServer server(R"({"localhost": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]}})");
  std::filesystem::remove(folder_ + "/hosts");
  for (const char* const name : {"localhost", "LOCALHOST.", "a.localhost"}) {
    options_.host = name;
    Use(server);
    EXPECT_THAT(LookUpAll(), UnorderedElementsAre("127.0.0.1", "::1")) << name;
    EXPECT_THAT(server.Asked(name), IsEmpty());
  }
  options_.host = "localhost";
  Write("hosts", "192.0.2.9 localhost\n");
  Use(server);
  EXPECT_THAT(LookUp(), Contains("192.0.2.9"));  // c-ares 1.34 adds the family that isn't there
}

TEST_F(NameLookupTest, SearchDomainsInTurnAndBothFamiliesOfOneName) {
  Write("resolv.conf",
        "nameserver 127.0.0.1\nsearch a.test b.test c.test\noptions ndots:3 timeout:30\n");
  // A search that went on for IPv6 alone would find another host's.
  NameServer server(R"({"api.provider.b.test": {"A": ["192.0.2.1"], "AAAA": []},
                        "api.provider.c.test": {"A": ["192.0.2.9"], "AAAA": ["2001:db8::9"]}})");
  options_.host = "api.provider";
  Use(server);
  EXPECT_THAT(LookUp(), ElementsAre("192.0.2.1"));
  EXPECT_THAT(server.AskedNames("AAAA"), ElementsAre("api.provider.a.test", "api.provider.b.test"));
  options_.host = "api.provider.c.test.";
  Use(server);
  EXPECT_THAT(LookUpAll(), UnorderedElementsAre("192.0.2.9", "2001:db8::9"));
}

TEST_F(NameLookupTest, ASearchDomainThatIsBrokenIsPassed) {
  Write("resolv.conf", "nameserver 127.0.0.1\nsearch a.test b.test\noptions ndots:5\n");
  NameServer server(R"({"api.provider.test.a.test": {"fault": {"*": "servfail"}},
                        "api.provider.test.b.test": {"fault": {"A": "nxdomain", "AAAA": "swallow"}},
                        "api.provider.test": {"A": ["192.0.2.1"], "AAAA": []}})");
  Use(server);
  EXPECT_THAT(LookUp(), ElementsAre("192.0.2.1"));
  EXPECT_LT(took_, milliseconds(2000));
}

TEST_F(NameLookupTest, ALateAnswerIsNotTakenForTheNextNames) {
  Write("resolv.conf", "nameserver 127.0.0.1\nsearch a.test\noptions ndots:5\n");
  NameServer server(
      R"({"api.provider.test.a.test": {"fault": {"*": "nxdomain"}, "delay": {"AAAA": 0.4}},
                        "api.provider.test": {"A": ["192.0.2.1"], "AAAA": [], "delay": {"*": 1}}})");
  Use(server);
  EXPECT_THAT(LookUp(), ElementsAre("192.0.2.1"));
}

TEST_F(NameLookupTest, ResolvConfIsReadAnewWhenItChanges) {
  NameServer first(kBoth, "127.0.0.2");
  NameServer second(kMoved, "127.0.0.3", first.port());
  Write("resolv.conf", "nameserver 127.0.0.2\n");
  Use(first);
  EXPECT_THAT(LookUpAll(), UnorderedElementsAre("192.0.2.1", "2001:db8::1"));
  Write("resolv.conf", "nameserver 127.0.0.3\n");
  later_ = seconds(31);
  LookUp();
  Finish();
  EXPECT_THAT(LookUp(), UnorderedElementsAre("192.0.2.2", "2001:db8::2"));
}

TEST_F(NameLookupTest, TheNextServerGetsItsTurnInTime) {
  NameServer silent(R"({"api.provider.test": {"fault": {"*": "swallow"}}})", "127.0.0.2");
  NameServer refusing(R"({"api.provider.test": {"fault": {"*": "servfail"}}})", "127.0.0.3",
                      silent.port());
  NameServer good(kBoth, "127.0.0.4", silent.port());
  options_.timeout = seconds(2);  // glibc would wait 5 s for the first alone
  for (const char* before : {"127.0.0.2", "127.0.0.3"}) {
    Write("resolv.conf", std::string("nameserver ") + before + "\nnameserver 127.0.0.4\n");
    Use(silent);
    EXPECT_THAT(LookUp(), Not(IsEmpty())) << before;
    EXPECT_LT(took_, milliseconds(1800));
    EXPECT_THAT(LookUpAll(), UnorderedElementsAre("192.0.2.1", "2001:db8::1"));
  }
}

TEST_F(NameLookupTest, ServersByOptionInsteadOfResolvConf) {
  Write("resolv.conf", "nameserver 127.0.0.9\n");
  NameServer server(kBoth);
  NameServer ipv6(kMoved, "::1");
  options_.dns.port = static_cast<std::uint16_t>(ipv6.port());
  for (const auto& [servers, found] :
       {std::pair{server.server(), "192.0.2.1"}, std::pair{std::string("[::1]"), "192.0.2.2"}}) {
    options_.dns.servers = servers;
    addresses_ = std::make_shared<HostAddresses>(io_.get_executor(), options_);
    EXPECT_THAT(LookUpAll(), testing::Contains(found)) << servers;
  }
}

TEST_F(NameLookupTest, NobodyThere) {
  int port = 0;
  {
    NameServer server;
    port = server.port();
  }
  options_.dns.port = static_cast<std::uint16_t>(port);
  addresses_ = std::make_shared<HostAddresses>(io_.get_executor(), options_);
  ExpectFailure("");
  EXPECT_LT(took_, milliseconds(1500));  // the system says at once that the port is closed
}

TEST_F(NameLookupTest, TruncatedAnswersComeOverTcp) {
  NameServer server(
      R"({"api.provider.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"], "fault": {"*": "truncate"}}})");
  Use(server);
  EXPECT_THAT(LookUpAll(), UnorderedElementsAre("192.0.2.1", "2001:db8::1"));
  EXPECT_THAT(server.Asked("api.provider.test"),
              UnorderedElementsAre("A over udp", "AAAA over udp", "A over tcp", "AAAA over tcp"));
}

TEST_F(NameLookupTest, AnswersToOtherQuestionsAreLeftAlone) {
  NameServer server(
      R"({"api.provider.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"], "fault": {"*": "wrong"}}})");
  Use(server);
  EXPECT_THAT(LookUpAll(), UnorderedElementsAre("192.0.2.1", "2001:db8::1"));
}

// Debian's dnsmasq, which sets the bit of truncation by itself.
TEST_F(NameLookupTest, SixtyAddressesFromDnsmasq) {
  std::string hosts;
  Addresses expected;
  for (int i = 1; i <= 60; ++i) {
    expected.push_back("192.0.2." + std::to_string(i));
    hosts += expected.back() + " api.provider.test\n";
  }
  Write("addresses", hosts);
  int port = 0;
  {
    NameServer free_port;
    port = free_port.port();
  }
  const std::string addresses = "--addn-hosts=" + folder_ + "/addresses";
  const std::string at = "--port=" + std::to_string(port);
  const pid_t dnsmasq = fork();
  if (dnsmasq == 0) {
    execl("/usr/sbin/dnsmasq", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
          "--pid-file=", "--user=", "--no-resolv", "--no-hosts", "--bind-interfaces",
          "--listen-address=127.0.0.1", "--local=/test/", "--local-ttl=60", "--edns-packet-max=512",
          at.c_str(), addresses.c_str(), nullptr);
    _exit(127);
  }
  options_.dns.port = static_cast<std::uint16_t>(port);
  addresses_ = std::make_shared<HostAddresses>(io_.get_executor(), options_);
  Addresses found;
  for (int i = 0; i < 50 && found.empty(); ++i) {  // until it listens
    usleep(100'000);
    later_ += seconds(1);
    found = LookUp();
  }
  EXPECT_THAT(found, testing::UnorderedElementsAreArray(expected)) << status_;
  later_ += seconds(59);
  kill(dnsmasq, SIGKILL);
  waitpid(dnsmasq, nullptr, 0);
  EXPECT_THAT(LookUp(), SizeIs(60));
  EXPECT_THAT(log_.str(), Not(HasSubstr("last addresses")));
}

}  // namespace
}  // namespace leasegateway
