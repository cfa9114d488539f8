#include "upstream/transport/dialer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/https_client_fixture.h"
#include "tests/support/many_connections.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ::testing::HasSubstr;

asio::awaitable<absl::StatusOr<std::vector<tcp::endpoint>>> NotFound() {
  co_return absl::UnavailableError("no such name");
}

class DialerTest : public HttpsClientTest {
 protected:
  // A new connection, with an answer, so that the server has counted it.
  absl::Status Connect(Dialer& dialer) {
    const auto connection = NewConnection(tls_);
    auto status = Await(connection->Connect(dialer, Soon()));
    if (status.ok()) {
      EXPECT_EQ(Get(*connection).failure, HttpsConnection::Result::Failure::kNone);
    }
    return status;
  }
  static int Connections(const ManyConnectionsServer& server) {
    return server.full() + server.resumed();
  }
  static tcp::endpoint Of(const ManyConnectionsServer& server, bool v6) {
    if (v6) return {asio::ip::address_v6::loopback(), server.port()};
    return {asio::ip::address_v4::loopback(), server.port()};
  }

  ManyConnectionsServer v4_;
  ManyConnectionsServer v6_{{.address = asio::ip::address_v6::loopback()}};
  const std::shared_ptr<asio::ssl::context> tls_ = Trusting(v4_.ca() + v6_.ca());
};

TEST_F(DialerTest, FirstAddressIsTaken) {
  const auto dialer = DialerTo({Of(v6_, true), Of(v4_, false)});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Connect(*dialer).ok());
  EXPECT_EQ(Connections(v6_), 3);
  EXPECT_EQ(Connections(v4_), 0);
}

TEST_F(DialerTest, AddressWhoseHandshakeFailsIsSetAside) {
  const auto dialer = DialerTo({Of(v6_, true), Of(v4_, false)});
  v6_.Show(v6_.authority().ForAnotherHost());
  EXPECT_EQ(ReasonOf(Connect(*dialer)), reason::kUpstreamTls);
  EXPECT_TRUE(Connect(*dialer).ok());
  EXPECT_EQ(Connections(v4_), 1);
}

TEST_F(DialerTest, AddressThatIsSetAsideIsTriedWhenNothingElseIsLeft) {
  const auto dialer = DialerTo({Of(v6_, true)});
  v6_.Show(v6_.authority().ForAnotherHost());
  EXPECT_EQ(ReasonOf(Connect(*dialer)), reason::kUpstreamTls);
  v6_.Show(v6_.authority().Good());
  EXPECT_TRUE(Connect(*dialer).ok());
}

TEST_F(DialerTest, AddressThatWorksIsForgiven) {
  HttpsClientTest::Endpoints found = {Of(v6_, true)};
  Dialer dialer(io_.get_executor(),
                {.host = "localhost", .lookup = [&found](Deadline) { return Found(found); }});
  v6_.Show(v6_.authority().ForAnotherHost());
  EXPECT_FALSE(Connect(dialer).ok());
  v6_.Show(v6_.authority().Good());
  EXPECT_TRUE(Connect(dialer).ok());
  found.push_back(Of(v4_, false));
  EXPECT_TRUE(Connect(dialer).ok());
  EXPECT_EQ(Connections(v6_), 2);
  EXPECT_EQ(Connections(v4_), 0);
}

TEST_F(DialerTest, AddressThatRefusesIsSetAside) {
  std::uint16_t port = 0;
  {
    const ManyConnectionsServer gone({.address = asio::ip::address_v6::loopback()});
    port = gone.port();
  }
  const auto dialer =
      DialerTo({{asio::ip::address_v6::loopback(), port}, Of(v4_, false), Of(v6_, true)});
  ASSERT_TRUE(Connect(*dialer).ok());
  EXPECT_EQ(Connections(v4_), 1);
  // It is back, and nobody has found out yet.
  const ManyConnectionsServer back({.address = asio::ip::address_v6::loopback(), .port = port});
  ASSERT_TRUE(Connect(*dialer).ok());
  EXPECT_EQ(Connections(v4_), 2);
  EXPECT_EQ(Connections(back), 0);
}

TEST_F(DialerTest, ErrorNamesEachAddress) {
  std::uint16_t port = 0;
  {
    const ManyConnectionsServer gone;
    port = gone.port();
  }
  const auto dialer = DialerTo(
      {{asio::ip::address_v4::loopback(), port}, {asio::ip::make_address("127.0.0.2"), port}});
  const auto refused = Connect(*dialer);
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(refused), reason::kUpstreamUnreachable);
  EXPECT_EQ(MetadataOf(refused)["request_sent"], "false");
  EXPECT_EQ(std::string(refused.message()), "connecting to localhost failed: 127.0.0.1 port " +
                                                std::to_string(port) +
                                                ": Connection refused; 127.0.0.2 port " +
                                                std::to_string(port) + ": Connection refused");
  const auto nowhere = DialerTo({});
  EXPECT_THAT(std::string(Connect(*nowhere).message()), HasSubstr("no address"));
}

asio::awaitable<std::vector<tcp::endpoint>> Late(std::vector<tcp::endpoint> late) {
  co_return late;
}

TEST_F(DialerTest, AddressesThatComeLateAreTriedOnceTheOthersHaveFailed) {
  std::uint16_t port = 0;
  {
    const ManyConnectionsServer gone({.address = asio::ip::address_v6::loopback()});
    port = gone.port();
  }
  const tcp::endpoint dead{asio::ip::address_v6::loopback(), port};
  std::vector<std::vector<tcp::endpoint>> tried;
  std::vector<tcp::endpoint> late{Of(v4_, false)};
  Dialer dialer(io_.get_executor(), {.host = "localhost",
                                     .lookup = [&](Deadline) { return Found({dead}); },
                                     .late =
                                         [&](std::vector<tcp::endpoint> known, Deadline) {
                                           tried.push_back(std::move(known));
                                           return Late(std::exchange(late, {}));
                                         }});
  EXPECT_TRUE(Connect(dialer).ok());
  EXPECT_EQ(tried, std::vector<std::vector<tcp::endpoint>>{{dead}});
  // Those were all.
  const auto refused = Connect(dialer);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("Connection refused"));
  EXPECT_EQ(tried.size(), 2);
}

TEST_F(DialerTest, ErrorOfTheLookupIsItsOwn) {
  Dialer dialer(io_.get_executor(),
                {.host = "localhost", .lookup = [](Deadline) { return NotFound(); }});
  EXPECT_EQ(Connect(dialer).message(), "no such name");
}

}  // namespace
}  // namespace leasegateway
