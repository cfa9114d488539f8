#include "service/guard/intercepted_reads.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>

#include "tests/support/guard_fixture.h"

namespace leasegateway {
namespace {

class InterceptedReadsTest : public testing::Test {
 protected:
  InterceptedReadsTest() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair_), 0); }
  ~InterceptedReadsTest() override {
    close(pair_[0]);
    close(pair_[1]);
  }
  static std::shared_ptr<GuardedConnection> Connection() {
    return std::make_shared<GuardedConnection>(-1, boost::asio::ip::tcp::endpoint(),
                                               GuardedConnection::Options(),
                                               std::make_shared<GuardedConnection::Together>());
  }
  // Whether `connection` is told of what is read.
  bool Sees(const GuardedConnection& connection) {
    const std::uint64_t before = connection.wire_bytes();
    std::string got;
    EXPECT_EQ(send(pair_[1], "x", 1, 0), 1);
    EXPECT_EQ(Receive(pair_[0], got), 1);
    return connection.wire_bytes() == before + 1;
  }
  int descriptor() const { return pair_[0]; }

 private:
  int pair_[2];
};

TEST_F(InterceptedReadsTest, OneThatIsNotRegisteredAnyMoreIsNotTold) {
  const auto first = Connection();
  const auto second = Connection();
  Intercept(descriptor(), first);
  EXPECT_TRUE(Sees(*first));
  Intercept(descriptor(), second);
  StopIntercepting(descriptor(), first);
  EXPECT_TRUE(Sees(*second));
  StopIntercepting(descriptor(), second);
  EXPECT_FALSE(Sees(*second));
}

// Two gateways of a process: one forgets a descriptor that the other has been given.
TEST_F(InterceptedReadsTest, NobodyIsThrownOutByAnothersEnd) {
  for (int i = 0; i < 2'000; ++i) {
    auto mine = Connection();
    const auto others = Connection();
    Intercept(descriptor(), mine);
    std::atomic<bool> begins{false};
    std::thread ends([&] {
      begins = true;
      StopIntercepting(descriptor(), mine);
    });
    while (!begins) {
    }
    Intercept(descriptor(), others);
    ends.join();
    ASSERT_EQ(mine.use_count(), 1) << i;
    ASSERT_EQ(others.use_count(), 2) << i;
    StopIntercepting(descriptor(), others);
    ASSERT_EQ(others.use_count(), 1) << i;
  }
}

}  // namespace
}  // namespace leasegateway
