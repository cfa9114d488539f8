// How long addresses are good, who waits for them, and what becomes of them.
#include "upstream/names/host_addresses.h"

#include <atomic>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/udp.hpp>
#include <thread>

#include "tests/support/host_addresses_fixture.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::UnorderedElementsAre;

TEST_F(HostAddressesTest, BothFamiliesWithOneQuestionEach) {
  NameServer server(kBoth);
  Use(server);
  EXPECT_THAT(LookUpAll(), UnorderedElementsAre("192.0.2.1", "2001:db8::1"));
  EXPECT_THAT(server.Asked("api.provider.test"),
              UnorderedElementsAre("A over udp", "AAAA over udp"));
}

TEST_F(HostAddressesTest, IPv6ComesFirstUnlessThereIsNoWayOutForIt) {
  // The address of a link that isn't named has no way out anywhere.
  NameServer server(
      R"({"api.provider.test": {"A": ["127.0.0.1"], "AAAA": ["fe80::1"]},
          "local.test": {"A": ["127.0.0.1"], "AAAA": ["::1"]}})");
  Use(server);
  EXPECT_THAT(LookUpAll(), ElementsAre("127.0.0.1", "fe80::1"));
  asio::ip::udp::socket socket(io_, asio::ip::udp::v6());
  boost::system::error_code error;
  socket.connect({asio::ip::address_v6::loopback(), options_.port}, error);
  if (error) GTEST_SKIP() << "this machine has no IPv6, not even its own address";
  options_.host = "local.test";
  Use(server);
  EXPECT_THAT(LookUpAll(), ElementsAre("::1", "127.0.0.1"));
}

TEST_F(HostAddressesTest, LookedUpAnewAfterItsTtl) {
  NameServer server(R"({"api.provider.test": {"A": ["192.0.2.1"], "AAAA": [], "ttl": 60}})");
  Use(server);
  EXPECT_THAT(LookUp(), ElementsAre("192.0.2.1"));
  server.Set(kMoved);
  later_ = seconds(59);
  EXPECT_THAT(LookUp(), ElementsAre("192.0.2.1"));
  EXPECT_THAT(server.Asked("api.provider.test"), SizeIs(2));
  later_ = seconds(61);
  EXPECT_THAT(LookUpAll(), UnorderedElementsAre("192.0.2.2", "2001:db8::2"));
}

TEST_F(HostAddressesTest, ATtlIsKeptWithinBounds) {
  options_.max_ttl = seconds(30);
  NameServer server(R"({"api.provider.test": {"A": ["192.0.2.1"], "AAAA": [], "ttl": 3600}})");
  Use(server);
  LookUp();
  Finish();
  const auto after = [&](milliseconds time, const std::string& next) {
    const auto before = server.Asked("api.provider.test").size();
    later_ += time;
    if (!next.empty()) server.Set(next);
    LookUp();
    Finish();
    return server.Asked("api.provider.test").size() > before;
  };
  EXPECT_FALSE(after(seconds(29), ""));
  EXPECT_TRUE(
      after(seconds(2), R"({"api.provider.test": {"A": ["192.0.2.1"], "AAAA": [], "ttl": 0}})"));
  EXPECT_FALSE(after(milliseconds(1), ""));
  EXPECT_TRUE(after(
      seconds(2),
      R"({"api.provider.test": {"CNAME": "b.test", "A": ["192.0.2.1"], "ttl": 20, "cname_ttl": 5}})"));
  EXPECT_FALSE(after(seconds(3), ""));
  EXPECT_TRUE(after(seconds(3), ""));
}

TEST_F(HostAddressesTest, AMissingFamilyDoesNotHoldUpTheOther) {
  for (const char* late : {"A", "AAAA"}) {
    NameServer server(
        std::string(R"({"api.provider.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"],
                       "fault": {")") +
        late + R"(": "swallow"}}})");
    Use(server);
    EXPECT_THAT(LookUp(), ElementsAre(late == std::string("A") ? "2001:db8::1" : "192.0.2.1"));
    EXPECT_LT(took_, milliseconds(1500)) << late;  // a question takes 3.3 s to be asked again
    RecordProperty(std::string("without_") + late + "_ms", static_cast<int>(took_.count()));
    addresses_->Stop();
    Finish();
  }
}

TEST_F(HostAddressesTest, AFamilyThatIsLateJoins) {
  NameServer server(
      R"({"api.provider.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"], "delay": {"AAAA": 1}}})");
  Use(server);
  EXPECT_THAT(LookUp(), ElementsAre("192.0.2.1"));
  Finish();
  EXPECT_THAT(LookUp(), UnorderedElementsAre("192.0.2.1", "2001:db8::1"));
  EXPECT_THAT(server.Asked("api.provider.test"), SizeIs(2));
}

TEST_F(HostAddressesTest, WhoHasTriedAllMayWaitForTheLateFamily) {
  NameServer server(
      R"({"api.provider.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"], "delay": {"A": 2}}})");
  Use(server);
  EXPECT_THAT(Others({}, milliseconds(0)), IsEmpty());  // no look-up is under way
  ASSERT_THAT(LookUp(), ElementsAre("2001:db8::1"));
  EXPECT_THAT(Others({"2001:db8::1"}, milliseconds(50)), IsEmpty());
  EXPECT_THAT(Others({"2001:db8::1"}), ElementsAre("192.0.2.1"));
  EXPECT_THAT(Others({"192.0.2.1"}), ElementsAre("2001:db8::1"));
  Finish();
  const auto began = Clock::now();
  EXPECT_THAT(Others({"192.0.2.1", "2001:db8::1"}), IsEmpty());
  EXPECT_LT(Clock::now() - began, seconds(10));
}

TEST_F(HostAddressesTest, AFamilyThatFailsKeepsItsLastAddresses) {
  NameServer server(kBoth);
  Use(server);
  LookUpAll();
  server.Set(R"({"api.provider.test": {"A": ["192.0.2.2"], "fault": {"AAAA": "servfail"}}})");
  later_ = seconds(31);
  LookUp();
  Finish();
  EXPECT_THAT(LookUp(), UnorderedElementsAre("192.0.2.2", "2001:db8::1"));
  // And one that is gone is gone.
  server.Set(R"({"api.provider.test": {"A": ["192.0.2.2"]}})");
  later_ = seconds(62);
  LookUp();
  Finish();
  EXPECT_THAT(LookUp(), ElementsAre("192.0.2.2"));
}

TEST_F(HostAddressesTest, WhatCantBeLookedUpAnyMoreIsDialledAtItsLastAddresses) {
  const struct {
    const char* names;
    const char* cause;
  } faults[] = {
      {R"({"api.provider.test": {"fault": {"*": "servfail"}}})", "general failure"},
      {R"({"api.provider.test": {"fault": {"*": "refused"}}})", "refused"},
      {R"({})", "there is no such name"},
      {R"({"api.provider.test": {}})", "the name has no address"},
  };
  for (const auto& [names, cause] : faults) {
    log_.str("");
    NameServer server(kBoth);
    Use(server);
    EXPECT_THAT(LookUpAll(), SizeIs(2));
    server.Set(names);
    later_ += seconds(31);
    LookUp();
    Finish();
    EXPECT_THAT(LookUp(), UnorderedElementsAre("192.0.2.1", "2001:db8::1")) << names;
    EXPECT_THAT(log_.str(), HasSubstr("looking up api.provider.test failed: ")) << names;
    EXPECT_THAT(log_.str(), HasSubstr(cause));
    EXPECT_THAT(log_.str(), HasSubstr("still dialled at its last addresses, 31 s old"));
    // It is tried again, the log says it once, and then that it works.
    const auto asked = server.Asked("api.provider.test").size();
    later_ += seconds(2);
    EXPECT_THAT(LookUp(), SizeIs(2));
    Finish();
    EXPECT_GT(server.Asked("api.provider.test").size(), asked);
    EXPECT_EQ(log_.str().find("failed"), log_.str().rfind("failed"));
    server.Set(kMoved);
    later_ += seconds(2);
    LookUp();
    Finish();
    EXPECT_THAT(LookUp(), UnorderedElementsAre("192.0.2.2", "2001:db8::2"));
    EXPECT_THAT(log_.str(), HasSubstr("works again"));
  }
}

TEST_F(HostAddressesTest, AServerThatHangsHoldsUpNobodyWhoKnowsAddresses) {
  NameServer server(kBoth);
  Use(server);
  LookUpAll();
  server.Set(R"({"api.provider.test": {"A": ["192.0.2.2"], "AAAA": [], "delay": {"*": 2}}})");
  later_ = seconds(31);
  EXPECT_THAT(LookUp(), UnorderedElementsAre("192.0.2.1", "2001:db8::1"));
  EXPECT_GE(took_, milliseconds(90));
  EXPECT_LT(took_, milliseconds(1000));
  Finish();
  EXPECT_THAT(LookUp(), ElementsAre("192.0.2.2"));
}

TEST_F(HostAddressesTest, NobodyWaitsToSeeItFailAgain) {
  NameServer server(kBoth);
  options_.timeout = milliseconds(300);
  Use(server);
  LookUpAll();
  server.Set(R"({"api.provider.test": {"fault": {"*": "swallow"}}})");
  later_ = seconds(31);
  LookUp();
  Finish();
  later_ += seconds(2);
  const auto asked = server.Asked("api.provider.test").size();
  const auto caller = Begin();
  io_.restart();
  io_.poll();
  EXPECT_TRUE(caller->result);
  Finish();
  EXPECT_GT(server.Asked("api.provider.test").size(), asked);
}

TEST_F(HostAddressesTest, AFailureIsRememberedForAMomentOnly) {
  NameServer server(R"({"api.provider.test": {"fault": {"*": "servfail"}}})");
  Use(server);
  ExpectFailure("general failure");
  const auto asked = server.Asked("api.provider.test").size();
  later_ -= seconds(1);  // so that the machine's own pace doesn't count
  ExpectFailure("general failure");
  EXPECT_EQ(server.Asked("api.provider.test").size(), asked);
  server.Set("{}");
  later_ += seconds(2);
  ExpectFailure("there is no such name");
  server.Set(kBoth);
  later_ += milliseconds(300);
  EXPECT_THAT(LookUpAll(), SizeIs(2));
}

TEST_F(HostAddressesTest, LookupsAreCountedByHowTheyEnd) {
  const auto counts = [this] {
    return std::pair(options_.counts->found.load(), options_.counts->failed.load());
  };
  // The second family, which comes later, is of the same look-up.
  NameServer server(
      R"({"api.provider.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"], "delay": {"AAAA": 0.5}}})");
  Use(server);
  LookUpAll();
  EXPECT_EQ(counts(), std::pair(1UL, 0UL));
  server.Set(R"({"api.provider.test": {"fault": {"*": "servfail"}}})");
  later_ = seconds(61);
  EXPECT_THAT(LookUpAll(), SizeIs(2)) << "the last addresses";
  EXPECT_EQ(counts(), std::pair(1UL, 1UL));
  // One that the end broke off says nothing of the name server.
  server.Set(R"({"api.provider.test": {"fault": {"*": "swallow"}}})");
  later_ += seconds(61);
  const auto waiting = Begin();
  io_.restart();
  io_.run_for(milliseconds(20));
  addresses_->Stop();
  Finish();
  EXPECT_EQ(counts(), std::pair(1UL, 1UL));
}

TEST_F(HostAddressesTest, OneLookupForAllWhoWait) {
  NameServer server(
      R"({"api.provider.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"], "delay": {"*": 0.5}}})");
  options_.timeout = seconds(2);
  Use(server);
  const auto began = Clock::now();
  std::vector<std::unique_ptr<Caller>> calls;
  for (int i = 0; i < 64; ++i) calls.push_back(Begin());
  for (const auto& call : calls) Await(*call);
  const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - began);
  for (const auto& call : calls) EXPECT_TRUE(call->result->ok()) << call->result->status();
  EXPECT_THAT(server.Asked("api.provider.test"),
              UnorderedElementsAre("A over udp", "AAAA over udp"));
  EXPECT_GE(took, milliseconds(500));
  RecordProperty("callers_64_ms", static_cast<int>(took.count()));
  EXPECT_LT(took, milliseconds(2000));
}

TEST_F(HostAddressesTest, ACallerLeavesAtItsLimitOrWhenCancelled) {
  NameServer server(
      R"({"api.provider.test": {"A": ["192.0.2.1"], "AAAA": [], "delay": {"*": 1}}})");
  Use(server);
  EXPECT_THAT(LookUp(milliseconds(50)), IsEmpty());
  EXPECT_LT(took_, milliseconds(800));
  EXPECT_THAT(std::string(status_.message()), HasSubstr("no answer in time"));
  const auto cancelled = Begin();
  io_.restart();
  io_.poll();
  cancelled->cancellation.emit(asio::cancellation_type::terminal);
  const auto began = Clock::now();
  Await(*cancelled);
  EXPECT_LT(Clock::now() - began, milliseconds(800));
  // The look-up went on for the next one.
  EXPECT_THAT(LookUp(), ElementsAre("192.0.2.1"));
  EXPECT_THAT(server.Asked("api.provider.test"), SizeIs(2));
}

TEST_F(HostAddressesTest, ALookupEndsAtItsOwnDeadline) {
  NameServer server(R"({"api.provider.test": {"fault": {"*": "swallow"}}})");
  options_.timeout = milliseconds(300);
  Use(server);
  ExpectFailure("no answer in time");
  EXPECT_LT(took_, milliseconds(2000));
  // It was asked again meanwhile, as packets get lost.
  EXPECT_GE(server.Asked("api.provider.test").size(), 4U);
}

TEST_F(HostAddressesTest, StoppingLeavesNothingBehind) {
  NameServer server(R"({"api.provider.test": {"fault": {"*": "swallow"}}})");
  Use(server);
  const auto waiting = Begin();
  io_.restart();
  io_.run_for(milliseconds(50));
  EXPECT_FALSE(waiting->result);
  addresses_->Stop();
  addresses_.reset();
  const auto began = Clock::now();
  io_.restart();
  io_.run();  // until there is nothing left to do
  EXPECT_LT(Clock::now() - began, milliseconds(800));
  ASSERT_TRUE(waiting->result);
  EXPECT_THAT(std::string(waiting->result->status().message()), HasSubstr("stops"));
}

asio::awaitable<void> LookUpOften(std::shared_ptr<HostAddresses> addresses,
                                  std::atomic<int>& found) {
  for (int i = 0; i < 50; ++i) {
    const auto endpoints =
        co_await addresses->Lookup(std::chrono::steady_clock::now() + std::chrono::seconds(20));
    if (endpoints.ok()) ++found;
  }
}

TEST_F(HostAddressesTest, ManyThreadsShareThem) {
  NameServer server(kBoth);
  options_.max_ttl = milliseconds(1);
  options_.now = Clock::now;
  Use(server);
  std::atomic<int> found = 0;
  for (int i = 0; i < 20; ++i) {
    asio::co_spawn(asio::make_strand(io_), LookUpOften(addresses_, found), asio::detached);
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([this] { io_.run(); });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(found, 1000);
}

TEST_F(HostAddressesTest, EndsWithItsContext) {
  NameServer server(R"({"api.provider.test": {"fault": {"*": "swallow"}}})");
  std::optional<asio::io_context> io(std::in_place);
  options_.dns.port = static_cast<std::uint16_t>(server.port());
  auto addresses = std::make_shared<HostAddresses>(io->get_executor(), options_);
  auto looking_up = addresses->Lookup(Clock::now() + seconds(20));
  asio::co_spawn(asio::make_strand(*io), std::move(looking_up),
                 [](std::exception_ptr, const auto&) {});
  io->run_for(milliseconds(50));
  addresses.reset();
  io.reset();
}

TEST_F(HostAddressesTest, ALiteralNeedsNoLookup) {
  NameServer server;
  for (const char* literal : {"192.0.2.7", "2001:db8::7"}) {
    options_.host = literal;
    Use(server);
    later_ += std::chrono::hours(48);
    EXPECT_THAT(LookUp(), ElementsAre(literal));
  }
  EXPECT_THAT(server.AskedNames("A"), IsEmpty());
}

}  // namespace
}  // namespace leasegateway
