// WatchAvailability as callers see it: what they are sent, how many may watch and how a watch ends.
#include <gmock/gmock.h>

#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "tests/support/watch_fixture.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(WatchTest, StateComesInChunksOfWhichOnlyTheLastHasATokenAndMetadata) {
  StartWatched(1200);
  Watch watch(*stub_, Request());
  ASSERT_TRUE(watch.WaitForState());
  const Seen seen = watch.Now();
  ASSERT_THAT(seen.messages, SizeIs(3));
  const int sizes[] = {500, 500, static_cast<int>(List().size()) - 1000};
  for (int i = 0; i < 3; ++i) {
    const Message& message = seen.messages[static_cast<std::size_t>(i)];
    EXPECT_EQ(message.reset(), i == 0) << i;
    EXPECT_EQ(message.added_size(), sizes[i]) << i;
    EXPECT_EQ(message.changed_size() + message.removed_size(), 0) << i;
    EXPECT_EQ(message.resume_token().empty(), i < 2) << i;
    EXPECT_EQ(message.has_metadata(), i == 2) << i;
  }
  EXPECT_NE(seen.messages[2].metadata().upstream_request_id(), "");
  EXPECT_TRUE(seen.messages[2].metadata().has_fetch_time());
  EXPECT_EQ(seen.numbers, List());
}

TEST_F(WatchTest, EmptyStateIsOneMessage) {
  StartWatched(0);
  Watch watch(*stub_, Request());
  ASSERT_TRUE(watch.WaitForState());
  EXPECT_THAT(watch.Now().messages, SizeIs(1));
  EXPECT_TRUE(watch.Now().messages[0].reset());
  EXPECT_TRUE(watch.Now().messages[0].has_metadata());
}

TEST_F(WatchTest, LeaseTerminationPatchAndChurnAreSent) {
  StartWatched();
  Watch watch(*stub_, Request());
  ASSERT_TRUE(watch.WaitForState());
  const std::string number = AnyNumber();

  ASSERT_TRUE(Lease(number).ok());
  Message message = Next(watch, 1);
  EXPECT_THAT(message.removed(), ElementsAre(number));
  EXPECT_EQ(message.added_size() + message.changed_size(), 0);
  EXPECT_NE(message.resume_token(), "");

  ASSERT_TRUE(Terminate(number).ok());
  message = Next(watch, 2);
  ASSERT_EQ(message.added_size(), 1);
  EXPECT_EQ(message.added(0).phone_number(), number);
  EXPECT_EQ(message.changed_size() + message.removed_size(), 0);

  Control("numbers/" + number, R"({"carrier":"A carrier of its own"})");
  message = Next(watch, 3);
  ASSERT_EQ(message.changed_size(), 1);
  EXPECT_EQ(message.changed(0).phone_number(), number);
  EXPECT_EQ(message.changed(0).carrier(), "A carrier of its own");
  EXPECT_EQ(message.added_size() + message.removed_size(), 0);

  Churn(30);
  message = Next(watch, 4);
  EXPECT_EQ(message.added_size() + message.changed_size() + message.removed_size(), 30);
  ExpectCatchesUp(watch);
  EXPECT_EQ(watch.Now().resets, 1);
}

TEST_F(WatchTest, ChangeOfMoreThan500NumbersIsSentInPieces) {
  StartWatched(1200);
  Watch watch(*stub_, Request());
  ASSERT_TRUE(watch.WaitForState());
  Churn(1100);
  ExpectCatchesUp(watch);
  EXPECT_EQ(Next(watch, 3).resume_token(), "");
  EXPECT_EQ(Next(watch, 4).resume_token(), "");
  EXPECT_NE(Next(watch, 5).resume_token(), "");
  EXPECT_EQ(watch.Now().resets, 1);
}

TEST_F(WatchTest, WhoAppliesEveryMessageHasWhatTheListHas) {
  StartWatched(kFast ? 1200 : 600);
  std::vector<v1::AvailabilityFilter> filters(7);
  filters[1].set_min_reputation(0.8);
  filters[2].mutable_max_monthly_rate()->set_currency_code("USD");
  filters[2].mutable_max_monthly_rate()->set_units(5);
  filters[3].add_countries("US");
  filters[3].set_max_previous_owners(1);
  filters[4].set_number_contains("7");
  filters[5].add_channels("sms");
  filters[5].set_min_reputation(0.6);
  filters[6].add_countries("ZZ");  // none
  std::vector<std::unique_ptr<Watch>> watches;
  for (int i = 0; i < (kFast ? 40 : 20); ++i) {
    if (i % 2 == 0 && watches.size() < 14) {
      const auto& filter = filters[watches.size() % filters.size()];
      watches.push_back(std::make_unique<Watch>(*stub_, Request("", filter)));
    }
    Churn(1 + i * 37 % 250);
    if (i % 4 == 1) {
      const Numbers numbers = List();
      const auto at = std::next(numbers.begin(), i * 13 % static_cast<int>(numbers.size()));
      ASSERT_TRUE(Lease(at->first).ok());
      if (i % 8 == 1) {
        ASSERT_TRUE(Terminate(at->first).ok());
      }
    }
    if (i % 3 == 0) List();
  }
  for (std::size_t i = 0; i < watches.size(); ++i) {
    SCOPED_TRACE(filters[i % filters.size()].ShortDebugString());
    ExpectCatchesUp(*watches[i], filters[i % filters.size()]);
  }
  EXPECT_FALSE(List(filters[1]).empty());
  EXPECT_TRUE(List(filters[6]).empty());
}

TEST_F(WatchTest, NumbersComeAndGoAsTheyBeginAndCeaseToMatch) {
  StartWatched();
  const std::string number = AnyNumber();
  v1::AvailabilityFilter filter;
  filter.add_carriers("Carrier Pigeon");
  Watch watch(*stub_, Request("", filter));
  ASSERT_TRUE(watch.WaitForState());
  EXPECT_THAT(watch.Now().numbers, IsEmpty());

  Control("numbers/" + number, R"({"carrier":"carrier pigeon"})");
  Message message = Next(watch, 1);
  ASSERT_EQ(message.added_size(), 1);
  EXPECT_EQ(message.added(0).phone_number(), number);
  EXPECT_EQ(message.changed_size() + message.removed_size(), 0);

  Control("numbers/" + number, R"({"health":{"reputation":0.01}})");
  message = Next(watch, 2);
  ASSERT_EQ(message.changed_size(), 1);
  EXPECT_EQ(message.changed(0).health().reputation(), 0.01);
  EXPECT_EQ(message.added_size() + message.removed_size(), 0);

  Control("numbers/" + number, R"({"carrier":"Railway"})");
  message = Next(watch, 3);
  EXPECT_THAT(message.removed(), ElementsAre(number));
  EXPECT_EQ(message.added_size() + message.changed_size(), 0);
}

TEST_F(WatchTest, HeartbeatHasTheSameTokenAndNothingElse) {
  StartWatched(100, [](Config& config) { config.watch_heartbeat = milliseconds(100); });
  Watch watch(*stub_, Request());
  ASSERT_TRUE(watch.Wait([](const Seen& seen) { return seen.heartbeats >= 3; }));
  const Seen seen = watch.Now();
  for (std::size_t i = 1; i < seen.messages.size(); ++i) {
    EXPECT_TRUE(Seen::IsHeartbeat(seen.messages[i])) << seen.messages[i].ShortDebugString();
    EXPECT_EQ(seen.messages[i].resume_token(), seen.messages[0].resume_token());
  }
}

TEST_F(WatchTest, ChangesThatDoNotMatchHoldBackNoHeartbeat) {
  // Changes come much more often than heartbeats.
  StartWatched(100, [](Config& config) {
    config.cache_fresh = milliseconds(0);
    config.watch_heartbeat = milliseconds(300);
  });
  v1::AvailabilityFilter none;
  none.add_countries("ZZ");
  Watch watch(*stub_, Request("", none));
  ASSERT_TRUE(watch.WaitForState());
  const std::string first = watch.Now().token;
  EXPECT_TRUE(Eventually([&] {
    ChangeOnce(5);
    return watch.Now().heartbeats >= 2;
  }));
  // It names the state that the caller has, so that a long silence makes no token too old.
  EXPECT_NE(watch.Now().token, first);
  EXPECT_EQ(watch.Now().resets, 1);
}

TEST_F(WatchTest, OneTooManyIsRefusedUntilAnotherLeaves) {
  StartWatched(100, [](Config& config) { config.max_watchers = 2; });
  Watch first(*stub_, Request());
  auto second = std::make_unique<Watch>(*stub_, Request());
  ASSERT_TRUE(first.WaitForState());
  ASSERT_TRUE(second->WaitForState());
  {
    Watch third(*stub_, Request());
    const Failure failure = Explain(third.End());
    EXPECT_EQ(failure.code, grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_EQ(failure.reason, "TOO_MANY_WATCHERS");
    EXPECT_EQ(failure.detail_types.count("RetryInfo"), 1U);
  }
  second.reset();
  EXPECT_TRUE(Eventually([&] {
    Watch third(*stub_, Request());
    return third.WaitForState();
  }));
  EXPECT_FALSE(first.Now().ended);
}

TEST_F(WatchTest, DrainEndsEveryWatchAtOnce) {
  StartWatched(100, [](Config& config) { config.grace = milliseconds(60'000); });
  Watch watch(*stub_, Request());
  v1::AvailabilityFilter filter;
  filter.add_countries("US");
  Watch other(*stub_, Request("", filter));
  ASSERT_TRUE(watch.WaitForState());
  ASSERT_TRUE(other.WaitForState());
  const auto before = std::chrono::steady_clock::now();
  std::thread drain([&] { server_->Drain(); });
  for (Watch* each : {&watch, &other}) {
    const Failure failure = Explain(each->End());
    EXPECT_EQ(failure.code, grpc::StatusCode::UNAVAILABLE);
    EXPECT_EQ(failure.reason, "STOPPING");
  }
  drain.join();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
}

TEST_F(WatchTest, CancelledWatchesLeave) {
  StartWatched(100, [](Config& config) { config.max_watchers = 1; });
  for (int i = 0; i < 3; ++i) {
    std::unique_ptr<Watch> watch;
    ASSERT_TRUE(Eventually([&] {
      watch = std::make_unique<Watch>(*stub_, Request());
      return watch->WaitForState();
    }));
    watch->Cancel();
    EXPECT_EQ(watch->End().error_code(), grpc::StatusCode::CANCELLED);
  }
}

TEST_F(WatchTest, WatchEndsAtItsDeadline) {
  StartWatched(100, [](Config& config) { config.max_watchers = 1; });
  List();
  Watch watch(*stub_, Request(), Watch::Reading::kAtOnce, milliseconds(1'000));
  ASSERT_TRUE(watch.WaitForState());
  EXPECT_EQ(watch.End().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Eventually([&] {
    Watch next(*stub_, Request());
    return next.WaitForState();
  }));
}

TEST_F(WatchTest, WatchWithoutADeadlineOutlivesTheDefaultDeadline) {
  StartWatched(100, [](Config& config) {
    config.default_deadline = milliseconds(50);
    config.watch_heartbeat = milliseconds(100);
  });
  Watch watch(*stub_, Request());
  EXPECT_TRUE(watch.Wait([](const Seen& seen) { return seen.heartbeats >= 2 || seen.ended; }));
  EXPECT_FALSE(watch.Now().ended) << watch.Now().status.error_message();
}

TEST_F(WatchTest, WatchFailsWhenThereIsNoFirstList) {
  StartWatched();
  Fault(R"({"route":"GET /leases","fraction":1,"kind":"status","status":503})");
  Watch watch(*stub_, Request());
  EXPECT_EQ(Explain(watch.End()).code, grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(watch.Now().messages, IsEmpty());
}

TEST_F(WatchTest, ProviderThatGoesDownEndsNoWatch) {
  StartWatched(100, [](Config& config) { config.watch_heartbeat = milliseconds(100); });
  Watch watch(*stub_, Request());
  ASSERT_TRUE(watch.WaitForState());
  Fault(R"({"route":"GET /leases","fraction":1,"kind":"status","status":503})");
  // Memory answers a second one.
  EXPECT_TRUE(Eventually([&] {
    v1::ListAvailableNumbersRequest request;
    request.mutable_max_staleness();
    v1::ListAvailableNumbersResponse response;
    return !stub_->ListAvailableNumbers(Context().get(), request, &response).ok();
  }));
  const int beats = watch.Now().heartbeats;
  EXPECT_TRUE(watch.Wait([&](const Seen& seen) { return seen.heartbeats > beats || seen.ended; }));
  EXPECT_FALSE(watch.Now().ended) << watch.Now().status.error_message();
  Watch other(*stub_, Request());
  EXPECT_TRUE(other.WaitForState());
  Churn(10);
  ASSERT_TRUE(sandbox_->Control("DELETE", "/_sandbox/faults", "").ok());
  ExpectCatchesUp(watch);
  ExpectCatchesUp(other);
  EXPECT_EQ(watch.Now().resets, 1);
}

TEST_F(WatchTest, ManyWatchersSeeOneChange) {
  constexpr int kWatchers = CONCURRENT_CALLS / 5;
  StartWatched(100);
  std::vector<std::unique_ptr<Watch>> watches;
  for (int i = 0; i < kWatchers; ++i) {
    watches.push_back(std::make_unique<Watch>(*stub_, Request()));
  }
  for (auto& watch : watches) ASSERT_TRUE(watch->WaitForState());
  const std::string number = AnyNumber();
  ASSERT_TRUE(Lease(number).ok());
  std::set<std::string> tokens;
  for (auto& watch : watches) {
    const Message message = Next(*watch, 1);
    EXPECT_THAT(message.removed(), ElementsAre(number));
    tokens.insert(message.resume_token());
  }
  EXPECT_THAT(tokens, SizeIs(1));
}

}  // namespace
}  // namespace leasegateway
