#include "service/guard/peer_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace leasegateway {
namespace {

using namespace std::chrono_literals;
using boost::asio::ip::address;
using boost::asio::ip::make_address;
using ::testing::Eq;
using ::testing::Optional;

constexpr std::nullopt_t kAdmitted = std::nullopt;

class PeerLedgerTest : public ::testing::Test {
 protected:
  void Limits(std::size_t connections, std::size_t per_peer, const std::string& proxies = "") {
    ledger_.emplace(PeerLedger::Options{.max_connections = connections,
                                        .max_connections_per_peer = per_peer,
                                        .trusted_proxies = *Networks::Parse(proxies),
                                        .connects_at_once = 1'000'000});
  }
  std::optional<Refusal> Admit(const std::string& peer) {
    return ledger_->Admit(make_address(peer), now_);
  }
  // How many of up to `wanted` are admitted before the first that isn't.
  std::size_t Take(const std::string& peer, std::size_t wanted) {
    std::size_t taken = 0;
    while (taken < wanted && !Admit(peer)) ++taken;
    return taken;
  }
  void End(const std::string& peer, std::size_t times = 1) {
    for (; times > 0; --times) ledger_->Ended(make_address(peer), now_);
  }
  PeerLedger::Clock::duration Cut(const std::string& peer) {
    return ledger_->Cut(make_address(peer), now_);
  }
  // The address number `i`.
  static std::string Nth(int i) {
    return "10." + std::to_string(i >> 16) + "." + std::to_string(i >> 8 & 255) + "." +
           std::to_string(i & 255);
  }

  PeerLedger::Clock::time_point now_{1000h};
  std::optional<PeerLedger> ledger_{PeerLedger::Options{.connects_at_once = 1'000'000}};
};

TEST_F(PeerLedgerTest, NoMoreThanThereMayBeInAll) {
  Limits(100, 5);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Admit(Nth(i)), kAdmitted) << i;
  EXPECT_THAT(Admit(Nth(100)), Optional(Refusal::kMaxConnections));
  EXPECT_EQ(ledger_->connections(), 100u);
  End(Nth(7));
  EXPECT_EQ(Admit(Nth(100)), kAdmitted);
}

TEST_F(PeerLedgerTest, NoMoreOfOneAddressThanItMayHave) {
  Limits(100, 5);
  EXPECT_EQ(Take("10.0.0.1", 9), 5u);
  EXPECT_THAT(Admit("10.0.0.1"), Optional(Refusal::kPeerShare));
  EXPECT_EQ(Admit("10.0.0.2"), kAdmitted);
  End("10.0.0.1");
  EXPECT_EQ(Take("10.0.0.1", 9), 1u);
}

TEST_F(PeerLedgerTest, AddressesThatAreGoneAreForgotten) {
  for (int i = 0; i < 1000; ++i) Admit(Nth(i));
  EXPECT_EQ(ledger_->addresses(), 1000u);
  for (int i = 0; i < 1000; ++i) End(Nth(i));
  EXPECT_EQ(ledger_->addresses(), 0u);
  EXPECT_EQ(ledger_->connections(), 0u);
}

TEST_F(PeerLedgerTest, AnEndOfNoneChangesNothing) {
  Limits(100, 5, "10.9.0.0/16");
  End("10.0.0.1");
  End("10.9.0.1");
  EXPECT_EQ(ledger_->connections(), 0u);
}

TEST_F(PeerLedgerTest, AnIpv6AddressStandsForItsNetwork) {
  Limits(100, 2);
  EXPECT_EQ(Admit("2001:db8:0:1::1"), kAdmitted);
  EXPECT_EQ(Admit("2001:db8:0:1:ffff:ffff:ffff:ffff"), kAdmitted);
  EXPECT_THAT(Admit("2001:db8:0:1::2"), Optional(Refusal::kPeerShare));
  EXPECT_EQ(Admit("2001:db8:0:2::1"), kAdmitted) << "the next network";
  Cut("2001:db8:0:1::1");
  EXPECT_THAT(Admit("2001:db8:0:1::3"), Optional(Refusal::kWaits));
  EXPECT_EQ(Admit("2001:db8:0:2::1"), kAdmitted);
}

TEST_F(PeerLedgerTest, AMappedAddressIsTheIpv4Address) {
  Limits(100, 2);
  EXPECT_EQ(Admit("10.0.0.1"), kAdmitted);
  EXPECT_EQ(Admit("::ffff:10.0.0.1"), kAdmitted);
  EXPECT_THAT(Admit("::ffff:10.0.0.1"), Optional(Refusal::kPeerShare));
  EXPECT_EQ(Admit("::ffff:10.0.0.2"), kAdmitted) << "no network of all that are mapped";
  EXPECT_EQ(Admit("0:0:a00:1::"), kAdmitted) << "in IPv6 the same number is another network";
  End("10.0.0.1", 2);
  EXPECT_EQ(ledger_->connections(), 2u);
}

TEST_F(PeerLedgerTest, OneAddressLeavesTheLastTenthToOthers) {
  Limits(1000, 1'000'000);
  EXPECT_EQ(Take("10.0.0.1", 2000), 900u);
  EXPECT_THAT(Admit("10.0.0.1"), Optional(Refusal::kPeerShare));
  EXPECT_EQ(Take("10.0.0.2", 2000), PeerLedger::kRoomShare)
      << "nor does the next take what is left";
  EXPECT_EQ(Take("10.0.0.3", 2000), PeerLedger::kRoomShare);
  End("10.0.0.1", 100);
  EXPECT_EQ(Take("10.0.0.2", 2000), 900u - 800u - 16u) << "below it there is no such share";
}

TEST_F(PeerLedgerTest, AFewAddressesDoNotLockOutTheRest) {
  ASSERT_EQ(PeerLedger::Options().max_connections, 10'000u);
  std::size_t taken = 0;
  for (int i = 0; i < 100; ++i) taken += Take(Nth(i), 10'000);
  EXPECT_EQ(taken, 9'000u + 91u * 8u);
  EXPECT_EQ(Admit("192.0.2.1"), kAdmitted);
}

TEST_F(PeerLedgerTest, OfAFewConnectionsTheLastIsForAnotherAddress) {
  Limits(4, 4);
  EXPECT_EQ(Take("10.0.0.1", 9), 3u);
  EXPECT_EQ(Take("10.0.0.2", 9), 1u);
  Limits(1, 1);
  EXPECT_EQ(Take("10.0.0.1", 9), 1u) << "there is no more to keep room for";
}

TEST_F(PeerLedgerTest, WithManyAddressesTheRoomIsForThoseBelowTheEvenShare) {
  Limits(1000, 1000);
  for (int i = 0; i < 300; ++i) ASSERT_EQ(Take(Nth(i), 3), 3u);
  EXPECT_THAT(Admit(Nth(0)), Optional(Refusal::kPeerShare)) << "1,000 / 301 is 3";
  End(Nth(1));
  End(Nth(2));
  EXPECT_EQ(Admit(Nth(0)), kAdmitted) << "not in the last tenth";
  End(Nth(0));
  EXPECT_EQ(Take("192.0.2.1", 9), 3u);
  EXPECT_EQ(Take("192.0.2.2", 9), 3u);
}

TEST_F(PeerLedgerTest, ProxiesHaveNoShareButCount) {
  Limits(1000, 5, "192.0.2.0/24");
  EXPECT_EQ(Take("192.0.2.1", 950), 950u);
  EXPECT_EQ(ledger_->connections(), 950u);
  EXPECT_EQ(ledger_->addresses(), 0u);
  EXPECT_EQ(Take("10.0.0.1", 100), 5u);
  EXPECT_EQ(Take("192.0.2.2", 100), 45u);
  EXPECT_THAT(Admit("192.0.2.2"), Optional(Refusal::kMaxConnections));
  EXPECT_THAT(Admit("10.0.0.2"), Optional(Refusal::kMaxConnections));
  End("192.0.2.1", 950);
  End("192.0.2.2", 45);
  EXPECT_EQ(ledger_->connections(), 5u);
}

TEST_F(PeerLedgerTest, WhatProxiesHoldIsNobodysShare) {
  Limits(100, 100, "192.0.2.1");
  EXPECT_EQ(Take("192.0.2.1", 94), 94u);
  EXPECT_EQ(Take("10.0.0.1", 9), 3u) << "6 connections, for it and a newcomer";
  EXPECT_EQ(Take("10.0.0.2", 9), 2u);
  EXPECT_EQ(Take("10.0.0.3", 9), 1u);
}

TEST_F(PeerLedgerTest, SomePlacesAreForProxies) {
  Limits(1000, 1000, "192.0.2.1");
  for (int i = 0; i < 300; ++i) Take(Nth(i), 10);
  EXPECT_EQ(ledger_->connections(), 980u);
  EXPECT_THAT(Admit("10.9.9.9"), Optional(Refusal::kMaxConnections));
  EXPECT_EQ(Take("192.0.2.1", 100), 20u);
  End("10.0.0.0", 1);
  EXPECT_EQ(Admit("10.9.9.9"), kAdmitted) << "they have theirs";
}

TEST_F(PeerLedgerTest, TheLastTenthIsCrowded) {
  Limits(100, 100);
  Take("10.0.0.1", 90);
  EXPECT_FALSE(ledger_->crowded());
  Admit("10.0.0.2");
  EXPECT_TRUE(ledger_->crowded());
}

TEST_F(PeerLedgerTest, AProxyNeverWaits) {
  Limits(1000, 5, "192.0.2.1");
  for (int i = 0; i < 9; ++i) EXPECT_EQ(Cut("192.0.2.1"), 0s);
  EXPECT_EQ(Cut("::ffff:192.0.2.1"), 0s);
  EXPECT_EQ(Admit("192.0.2.1"), kAdmitted);
  EXPECT_EQ(ledger_->remembered(), 0u);
}

TEST_F(PeerLedgerTest, WhoWasCutWaits) {
  EXPECT_EQ(Cut("10.0.0.1"), 1s);
  EXPECT_THAT(Admit("10.0.0.1"), Optional(Refusal::kWaits));
  EXPECT_EQ(Admit("10.0.0.2"), kAdmitted);
  now_ += 999ms;
  EXPECT_THAT(Admit("10.0.0.1"), Optional(Refusal::kWaits));
  now_ += 1ms;
  EXPECT_EQ(Admit("10.0.0.1"), kAdmitted);
}

// As kubelet's probes of a pod come from the node, behind which there may be callers.
TEST_F(PeerLedgerTest, WhoWaitsIsLetInOnceASecond) {
  for (int i = 0; i < 9; ++i, now_ += 1s) Cut("10.0.0.1");
  EXPECT_EQ(Cut("10.0.0.1"), 60s);
  int admitted = 0;
  for (int i = 0; i < 590; ++i, now_ += 100ms) admitted += Admit("10.0.0.1") == kAdmitted ? 1 : 0;
  EXPECT_EQ(admitted, 59);
}

TEST_F(PeerLedgerTest, FurtherCutsDoNotKeepItsOneConnectionOut) {
  Cut("10.0.0.1");
  now_ += 500ms;
  Cut("10.0.0.1");
  now_ += 500ms;
  EXPECT_EQ(Admit("10.0.0.1"), kAdmitted);
  Cut("10.0.0.1");
  EXPECT_THAT(Admit("10.0.0.1"), Optional(Refusal::kWaits));
}

TEST_F(PeerLedgerTest, AnAddressConnectsOnlySoOften) {
  ledger_.emplace(PeerLedger::Options{.trusted_proxies = *Networks::Parse("192.0.2.1")});
  const auto come_and_go = [&](const std::string& peer, int times) {
    int taken = 0;
    for (int i = 0; i < times; ++i) {
      if (Admit(peer) != kAdmitted) continue;
      ++taken;
      End(peer);
    }
    return taken;
  };
  EXPECT_EQ(come_and_go("10.0.0.1", 1000), 200);
  EXPECT_THAT(Admit("10.0.0.1"), Optional(Refusal::kConnecting));
  EXPECT_EQ(come_and_go("10.0.0.2", 1), 1);
  EXPECT_EQ(come_and_go("192.0.2.1", 1000), 1000) << "of a proxy";
  now_ += 1s;
  EXPECT_EQ(come_and_go("10.0.0.1", 1000), 20);
  now_ += 8s;  // in another turn of those that are remembered
  EXPECT_EQ(come_and_go("10.0.0.1", 1000), 160);
  now_ += 10s;
  EXPECT_EQ(come_and_go("10.0.0.1", 1000), 200);
}

TEST_F(PeerLedgerTest, ConnectionsThatAreRefusedForElseAreNoneOfThem) {
  ledger_.emplace(PeerLedger::Options{.max_connections_per_peer = 1, .connects_at_once = 2});
  EXPECT_EQ(Admit("10.0.0.1"), kAdmitted);
  for (int i = 0; i < 9; ++i) EXPECT_THAT(Admit("10.0.0.1"), Optional(Refusal::kPeerShare));
  End("10.0.0.1");
  EXPECT_EQ(Admit("10.0.0.1"), kAdmitted);
}

TEST_F(PeerLedgerTest, OfAConnectionIsSpentWhatTheLastOneSpent) {
  Limits(100, 100, "192.0.2.1");
  const auto peer = make_address("10.0.0.1");
  EXPECT_EQ(ledger_->SpentBy(peer, now_), Conduct::Spent());
  ledger_->HasSpent(peer, {.idle = 31'000, .resets = 15'500}, now_);
  EXPECT_EQ(ledger_->SpentBy(peer, now_), (Conduct::Spent{.idle = 31'000, .resets = 15'500}));
  EXPECT_EQ(ledger_->SpentBy(make_address("10.0.0.2"), now_), Conduct::Spent());
  now_ += 100ms;
  const Conduct::Spent later{.idle = 30'200, .resets = 14'700};
  EXPECT_EQ(ledger_->SpentBy(peer, now_), later) << "8 units a millisecond";
  ledger_->HasSpent(peer, Conduct::Spent(), now_);
  EXPECT_EQ(ledger_->SpentBy(peer, now_), later) << "another has used nothing";
  ledger_->HasSpent(peer, {.resets = 15'993}, now_);
  EXPECT_EQ(ledger_->SpentBy(peer, now_), (Conduct::Spent{.idle = 30'200, .resets = 15'993}));
  now_ += 4s;
  EXPECT_EQ(ledger_->SpentBy(peer, now_), Conduct::Spent());
  ledger_->HasSpent(make_address("192.0.2.1"), {.idle = 32'000, .resets = 16'000}, now_);
  EXPECT_EQ(ledger_->SpentBy(make_address("192.0.2.1"), now_), Conduct::Spent()) << "a proxy's";
}

TEST_F(PeerLedgerTest, WhatVisitorsUsedIsForgottenWhenItIsThereAgain) {
  for (int i = 0; i < 1000; ++i) {
    Admit(Nth(i));
    End(Nth(i));
  }
  EXPECT_EQ(ledger_->visitors(), 1000u);
  now_ += 10s;
  Admit("192.0.2.1");
  EXPECT_EQ(ledger_->visitors(), 1001u);
  now_ += 10s;
  Admit("192.0.2.2");
  EXPECT_EQ(ledger_->visitors(), 2u);
  for (int i = 0; i < 100'000; ++i) {
    Admit(Nth(i));
    End(Nth(i));
  }
  EXPECT_LE(ledger_->visitors(), 2 * PeerLedger::kMaxRemembered);
}

TEST_F(PeerLedgerTest, ComingBackEarlyDoesNotLengthenTheWait) {
  Cut("10.0.0.1");
  for (int i = 0; i < 100; ++i) EXPECT_THAT(Admit("10.0.0.1"), Optional(Refusal::kWaits));
  now_ += 1s;
  EXPECT_EQ(Admit("10.0.0.1"), kAdmitted);
}

TEST_F(PeerLedgerTest, TheOthersOfAnAddressKeepTheirConnections) {
  Limits(1000, 5);
  EXPECT_EQ(Take("10.0.0.1", 5), 5u);
  Cut("10.0.0.1");
  End("10.0.0.1");
  EXPECT_EQ(ledger_->connections(), 4u);
  now_ += 1s;
  EXPECT_EQ(Take("10.0.0.1", 5), 1u);
}

TEST_F(PeerLedgerTest, EachFurtherCutDoublesTheWaitUpToAMinute) {
  for (const auto wait : {1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s}) {
    EXPECT_EQ(Cut("10.0.0.1"), wait);
    now_ += wait - 1ms;
    if (wait > 1s) {
      EXPECT_EQ(Admit("10.0.0.1"), kAdmitted) << "one a second";
    }
    EXPECT_THAT(Admit("10.0.0.1"), Optional(Refusal::kWaits)) << wait.count();
    now_ += 1ms;
    EXPECT_EQ(Admit("10.0.0.1"), kAdmitted) << wait.count();
  }
}

TEST_F(PeerLedgerTest, WhatIsCutAtOnceIsOneOffence) {
  for (int i = 0; i < 10; ++i, now_ += 99ms) EXPECT_EQ(Cut("10.0.0.1"), 1s);
  now_ += 1s - 99ms - 1ms;
  EXPECT_EQ(Admit("10.0.0.1"), kAdmitted) << "one a second";
  EXPECT_THAT(Admit("10.0.0.1"), Optional(Refusal::kWaits)) << "since the last of them";
  now_ += 1ms;
  EXPECT_EQ(Admit("10.0.0.1"), kAdmitted);
}

TEST_F(PeerLedgerTest, ConnectionsThatAreCutOneAfterTheOtherMakeItGrow) {
  PeerLedger::Clock::duration wait{};
  for (int i = 0; i < 61; ++i, now_ += 100ms) wait = Cut("10.0.0.1");
  EXPECT_EQ(wait, 60s);
}

TEST_F(PeerLedgerTest, GoodConductHalvesTheNextWait) {
  for (int i = 0; i < 5; ++i, now_ += 1s) Cut("10.0.0.1");
  EXPECT_EQ(Cut("10.0.0.1"), 32s);
  now_ += 32s + 59s;
  EXPECT_EQ(Cut("10.0.0.1"), 60s) << "waiting is no good conduct";
  now_ += 60s + 60s;
  EXPECT_EQ(Cut("10.0.0.1"), 60s) << "30 s, doubled";
  now_ += 60s + 3 * 60s;
  EXPECT_EQ(Cut("10.0.0.1"), 15s) << "7.5 s, doubled";
  now_ += 15s + 4 * 60s;
  EXPECT_EQ(Cut("10.0.0.1"), 1s) << "all forgiven";
}

TEST_F(PeerLedgerTest, WhoIsForgivenIsForgotten) {
  Cut("10.0.0.1");
  now_ += 1s + 59s;
  Cut("10.0.0.2");
  EXPECT_EQ(ledger_->remembered(), 2u);
  now_ += 1s;
  Cut("10.0.0.3");
  EXPECT_EQ(ledger_->remembered(), 2u);
}

TEST_F(PeerLedgerTest, HoweverManyAttackFewAreRemembered) {
  const std::size_t most = PeerLedger::kMaxRemembered;
  Cut("192.0.2.1");
  now_ += 1s;
  EXPECT_EQ(Cut("192.0.2.1"), 2s);
  for (std::size_t i = 1; i < most; ++i) Cut(Nth(static_cast<int>(i)));
  EXPECT_EQ(ledger_->remembered(), most);
  EXPECT_THAT(Admit(Nth(1)), Optional(Refusal::kWaits));
  now_ += 1ms;
  EXPECT_EQ(Cut(Nth(2)), 1s) << "it is remembered: nobody has to go";
  EXPECT_EQ(ledger_->remembered(), most);
  EXPECT_THAT(Admit(Nth(1)), Optional(Refusal::kWaits));
  for (std::size_t i = 0; i < 2 * most; ++i) Cut(Nth(100'000 + static_cast<int>(i)));
  EXPECT_EQ(ledger_->remembered(), most);
  EXPECT_EQ(Admit(Nth(1)), kAdmitted);
  EXPECT_EQ(Take("192.0.2.1", 9), 1u) << "whose wait ends later stays: one a second";
}

}  // namespace
}  // namespace leasegateway
