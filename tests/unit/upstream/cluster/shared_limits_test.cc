#include "upstream/cluster/shared_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "upstream/cluster/news_board.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

// All hear at once.
class LocalNews final : public News {
 public:
  void Tell(std::string topic, std::int64_t number) override { board_.Heard(topic, number); }
  Subscription Subscribe(std::string topic, std::function<void(std::int64_t)> heard) override {
    return board_.Subscribe(std::move(topic), std::move(heard));
  }
  Subscription OnGap(std::function<void()> missed) override {
    return board_.OnGap(std::move(missed));
  }

 private:
  NewsBoard board_;
};

class FixedReplica final : public Replica {
 public:
  FixedReplica(std::int64_t id, int alive) : id_(id), alive_(alive) {}
  std::int64_t id() const override { return id_; }
  int alive() const override { return alive_; }

 private:
  const std::int64_t id_;
  const int alive_;
};

class SharedLimitsTest : public testing::Test {
 protected:
  RateShare Share(std::int64_t id, std::string_view account = "a") {
    return MakeRateShare(std::make_shared<FixedReplica>(id, 3), news_, account);
  }
  std::shared_ptr<void> Listen(const RateShare& share) {
    return share.listen([this](RateShare::RetryAfter time) { heard_.push_back(time); });
  }

  const std::shared_ptr<News> news_ = std::make_shared<LocalNews>();
  std::vector<RateShare::RetryAfter> heard_;
};

TEST_F(SharedLimitsTest, AnotherHearsA429WithItsTime) {
  const RateShare one = Share(1);
  const RateShare two = Share(INT64_MAX);
  const auto listening = Listen(two);
  for (const auto time : {milliseconds(0), milliseconds(1'500)}) one.tell(time);
  one.tell(std::nullopt);
  one.tell(std::chrono::hours(24));
  EXPECT_THAT(heard_, ElementsAre(milliseconds(0), milliseconds(1'500), std::nullopt,
                                  milliseconds((1 << 20) - 2)));
}

TEST_F(SharedLimitsTest, OwnNewsIsNotHeard) {
  for (const std::int64_t id : {std::int64_t{1}, INT64_MAX, (std::int64_t{1} << 50) + 7}) {
    const RateShare share = Share(id);
    const auto listening = Listen(share);
    share.tell(milliseconds(1));
    share.tell(std::nullopt);
  }
  EXPECT_THAT(heard_, IsEmpty());
}

TEST_F(SharedLimitsTest, AnAccountsLimitIsItsOwn) {
  const auto listening = Listen(Share(1, "a"));
  Share(2, "b").tell(std::nullopt);
  EXPECT_THAT(heard_, IsEmpty());
}

TEST_F(SharedLimitsTest, ReplicasAliveShareTheRate) { EXPECT_EQ(Share(1).processes(), 3); }

}  // namespace
}  // namespace leasegateway
