#include "upstream/transport/connect_race.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Clock = std::chrono::steady_clock;

tcp::endpoint Loopback(bool v6, unsigned short port = 0) {
  if (v6) return {asio::ip::address_v6::loopback(), port};
  return {asio::ip::address_v4::loopback(), port};
}

// Nothing listens there: it refuses.
tcp::endpoint Refusing(bool v6) {
  asio::io_context io;
  tcp::acceptor acceptor(io, Loopback(v6));
  return acceptor.local_endpoint();
}

class Listening {
 public:
  explicit Listening(bool v6) : acceptor_(io_, Loopback(v6)) {}
  tcp::endpoint address() const { return acceptor_.local_endpoint(); }

 private:
  asio::io_context io_;
  tcp::acceptor acceptor_;
};

// Its queue of connections is full, so the kernel answers no SYN: as an address with no way back.
class Silent {
 public:
  explicit Silent(bool v6) : acceptor_(io_, Loopback(v6).protocol()) {
    acceptor_.bind(Loopback(v6));
    acceptor_.listen(0);
    for (int i = 0; i < 4; ++i) {
      queued_.emplace_back(io_, Loopback(v6).protocol());
      queued_.back().non_blocking(true);
      const auto address = acceptor_.local_endpoint();
      ::connect(queued_.back().native_handle(), address.data(),
                static_cast<socklen_t>(address.size()));
    }
  }
  tcp::endpoint address() const { return acceptor_.local_endpoint(); }

 private:
  asio::io_context io_;
  tcp::acceptor acceptor_;
  std::vector<tcp::socket> queued_;
};

struct RaceEnd {
  ConnectRaceResult result;
  Clock::duration took{};
};

class ConnectRaceTest : public testing::Test {
 protected:
  RaceEnd Race(std::vector<tcp::endpoint> addresses,
               milliseconds connect_timeout = milliseconds(20'000),
               Clock::time_point deadline = Clock::time_point::max()) {
    RaceEnd outcome;
    std::optional<ConnectRaceResult> result;
    const auto began = Clock::now();
    asio::co_spawn(
        asio::make_strand(io_),
        RaceToConnect(io_.get_executor(), std::move(addresses), connect_timeout, deadline),
        asio::bind_cancellation_slot(cancellation_.slot(),
                                     [&result](std::exception_ptr, ConnectRaceResult raced) {
                                       result.emplace(std::move(raced));
                                     }));
    io_.restart();
    while (!result) io_.run_one();
    outcome.took = Clock::now() - began;
    outcome.result = std::move(*result);
    io_.run();
    EXPECT_LT(Clock::now() - began, outcome.took + milliseconds(5'000)) << "the losers are closed";
    return outcome;
  }

  asio::io_context io_;
  asio::cancellation_signal cancellation_;
};

TEST_F(ConnectRaceTest, FirstAddressThatAnswersIsTaken) {
  const Listening listening(true), other(false);
  const auto outcome = Race({listening.address(), other.address()});
  ASSERT_TRUE(outcome.result.socket);
  EXPECT_EQ(outcome.result.address, listening.address());
  EXPECT_EQ(outcome.result.socket->remote_endpoint(), listening.address());
  EXPECT_THAT(outcome.result.unfit, IsEmpty());
}

TEST_F(ConnectRaceTest, AddressThatFailsIsFollowedAtOnce) {
  const auto refusing = Refusing(true);
  const Listening listening(false);
  const auto outcome = Race({refusing, listening.address()});
  EXPECT_EQ(outcome.result.address, listening.address());
  EXPECT_LT(outcome.took, kConnectAttemptDelay);
  EXPECT_THAT(outcome.result.unfit, ElementsAre(refusing));
  EXPECT_THAT(outcome.result.causes, HasSubstr("::1 port"));
  EXPECT_THAT(outcome.result.causes, HasSubstr("refused"));
}

// RFC 8305, section 5. It has 20 s to answer, and the other family isn't kept waiting for them.
TEST_F(ConnectRaceTest, SilentAddressIsOvertakenAfterTheDelay) {
  for (const bool v6 : {true, false}) {
    const Silent silent(v6);
    const Listening listening(!v6);
    const auto outcome = Race({silent.address(), listening.address()});
    ASSERT_TRUE(outcome.result.socket);
    EXPECT_EQ(outcome.result.address, listening.address());
    EXPECT_GE(outcome.took, kConnectAttemptDelay);
    EXPECT_LT(outcome.took, milliseconds(5'000));
    EXPECT_THAT(outcome.result.unfit, ElementsAre(silent.address())) << "tried last next time";
  }
}

TEST_F(ConnectRaceTest, EachAddressHasItsOwnTimeOut) {
  const Silent first(true), second(false);
  const auto outcome = Race({first.address(), second.address()}, milliseconds(300));
  EXPECT_FALSE(outcome.result.socket);
  EXPECT_THAT(outcome.result.unfit, ElementsAre(first.address(), second.address()));
  EXPECT_GE(outcome.took, milliseconds(550)) << "the second begins 250 ms later";
  EXPECT_LT(outcome.took, milliseconds(5'000));
  EXPECT_THAT(outcome.result.causes, HasSubstr("timed out; 127.0.0.1"));
}

TEST_F(ConnectRaceTest, DeadlineCallsItOffAndBlamesNobody) {
  const Silent silent(false);
  const auto outcome =
      Race({silent.address()}, milliseconds(20'000), Clock::now() + milliseconds(50));
  EXPECT_FALSE(outcome.result.socket);
  EXPECT_LT(outcome.took, milliseconds(5'000));
  EXPECT_THAT(outcome.result.unfit, IsEmpty());
  EXPECT_THAT(outcome.result.causes, IsEmpty());
}

TEST_F(ConnectRaceTest, CancellationCallsItOff) {
  const Silent silent(false);
  asio::steady_timer timer(io_, milliseconds(50));
  timer.async_wait([this](const boost::system::error_code&) {
    cancellation_.emit(asio::cancellation_type::terminal);
  });
  const auto outcome = Race({silent.address()});
  EXPECT_FALSE(outcome.result.socket);
  EXPECT_LT(outcome.took, milliseconds(5'000));
}

TEST_F(ConnectRaceTest, NoAddressIsNoConnection) {
  const auto outcome = Race({});
  EXPECT_FALSE(outcome.result.socket);
  EXPECT_THAT(outcome.result.causes, IsEmpty());
}

// In a network of the test's own that has nothing but loopback.
void WithoutRoutes(const std::function<void()>& run, bool& possible) {
  std::thread([&] {
    possible = unshare(CLONE_NEWNET) == 0;
    if (!possible) return;
    const int handle = socket(AF_INET, SOCK_DGRAM, 0);
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    possible = ioctl(handle, SIOCSIFFLAGS, &request) == 0;
    close(handle);
    if (possible) run();
  }).join();
}

TEST_F(ConnectRaceTest, FamilyWithoutARouteCostsNothing) {
  bool possible = false;
  WithoutRoutes(
      [this] {
        const Listening listening(false);
        const tcp::endpoint unroutable(asio::ip::make_address("2001:db8::1"), 443);
        const auto outcome = Race({unroutable, listening.address()});
        EXPECT_EQ(outcome.result.address, listening.address());
        EXPECT_LT(outcome.took, kConnectAttemptDelay);
        EXPECT_THAT(outcome.result.causes, HasSubstr("unreachable"));
      },
      possible);
  if (!possible) GTEST_SKIP() << "may not make a network namespace";
}

}  // namespace
}  // namespace leasegateway
