#include "upstream/cluster/heartbeat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <memory>
#include <set>

#include "tests/support/fake_calls.h"
#include "tests/support/fake_database.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

TEST(HeartbeatTest, IdsAreAboveZeroAndDiffer) {
  asio::io_context io;
  FakeTime time;
  std::set<std::int64_t> ids;
  for (int i = 0; i < 100; ++i) {
    const Heartbeat replica(io.get_executor(), std::make_shared<FakeDatabase>(), {},
                            time.environment());
    EXPECT_GT(replica.id(), 0);
    ids.insert(replica.id());
  }
  EXPECT_EQ(ids.size(), 100U);
}

TEST(HeartbeatTest, FailureIsRepeatedSoonAndThenEachSecond) {
  asio::io_context io;
  FakeTime time;
  const auto database = std::make_shared<FakeDatabase>();
  database->status = absl::UnavailableError("away");
  {
    Heartbeat replica(io.get_executor(), database, {}, time.environment());
    replica.Start();
    time.Advance(milliseconds(3'600), io);
    EXPECT_THAT(time.waits, ElementsAre(milliseconds(100), milliseconds(200), milliseconds(400),
                                        milliseconds(800), seconds(1), seconds(1), seconds(1)));
    EXPECT_EQ(replica.alive(), 1);
    EXPECT_FALSE(replica.age());
    EXPECT_FALSE(replica.lapsed());
  }
  const auto beats = database->transactions.size();
  time.Advance(seconds(10), io);
  EXPECT_EQ(database->transactions.size(), beats);
}

}  // namespace
}  // namespace leasegateway
