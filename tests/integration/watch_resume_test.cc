// How callers resume a watch, and what they may not ask for.
#include <gmock/gmock.h>

#include <filesystem>
#include <string>

#include "service/rpc/token.h"
#include "tests/support/watch_fixture.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(WatchTest, ResumedWatchIsSentExactlyWhatItMissed) {
  StartWatched();
  Numbers numbers;
  std::string token;
  {
    Watch watch(*stub_, Request());
    ASSERT_TRUE(watch.WaitForState());
    numbers = watch.Now().numbers;
    token = watch.Now().token;
  }
  const std::string leased = numbers.begin()->first;
  const std::string patched = std::next(numbers.begin())->first;
  ASSERT_TRUE(Lease(leased).ok());
  Control("numbers/" + patched, R"({"carrier":"Another"})");
  List();
  Watch watch(*stub_, Request(token));
  ASSERT_TRUE(watch.Wait([](const Seen& seen) { return seen.messages.size() >= 2; }));
  Seen seen = watch.Now();
  ASSERT_THAT(seen.messages, SizeIs(2));
  EXPECT_EQ(seen.resets, 0);
  EXPECT_THAT(seen.messages[0].removed(), ElementsAre(leased));
  EXPECT_EQ(seen.messages[0].added_size() + seen.messages[0].changed_size(), 0);
  ASSERT_EQ(seen.messages[1].changed_size(), 1);
  EXPECT_EQ(seen.messages[1].changed(0).phone_number(), patched);
  EXPECT_EQ(seen.messages[1].added_size() + seen.messages[1].removed_size(), 0);
  // From the token of the first message, only the second was missed.
  Watch later(*stub_, Request(seen.messages[0].resume_token()));
  EXPECT_EQ(Next(later, 0).SerializeAsString(), seen.messages[1].SerializeAsString());
}

TEST_F(WatchTest, ResumedWatchWithoutChangesIsSilentUntilTheHeartbeat) {
  StartWatched(100, [](Config& config) { config.watch_heartbeat = milliseconds(200); });
  const std::string token = TokenOfAWatch();
  Watch watch(*stub_, Request(token));
  ASSERT_TRUE(watch.Wait([](const Seen& seen) { return !seen.messages.empty(); }));
  EXPECT_TRUE(Seen::IsHeartbeat(watch.Now().messages[0]));
  EXPECT_EQ(watch.Now().token, token);
}

// A list that is soon no longer refreshed when nobody reads it.
void ForgetSoon(Config& config) {
  config.cache_fresh = milliseconds(20);
  config.cache_idle = milliseconds(20);
}

TEST_F(WatchTest, ResumedWatchWakesAListThatNobodyRead) {
  StartWatched(100, ForgetSoon);
  const std::string token = TokenOfAWatch();
  WaitUntilTheProviderIsLeftAlone();
  Churn(5);
  Watch watch(*stub_, Request(token));
  const Message message = Next(watch, 0);
  EXPECT_FALSE(message.reset());
  EXPECT_EQ(message.added_size() + message.changed_size() + message.removed_size(), 5);
}

TEST_F(WatchTest, ResumedWatchBeginsAnewWhenTheListIsForgotten) {
  StartWatched(100, [](Config& config) {
    ForgetSoon(config);
    config.cache_stale_if_error = milliseconds(1);
  });
  const std::string token = TokenOfAWatch();
  WaitUntilTheProviderIsLeftAlone();
  Churn(5);
  Watch watch(*stub_, Request(token));
  EXPECT_TRUE(Next(watch, 0).reset());
  ExpectCatchesUp(watch);
}

TEST_F(WatchTest, AnotherGatewaysTokenBeginsAnew) {
  StartWatched();
  const std::string token = TokenOfAWatch();
  server_.reset();
  std::filesystem::remove(ca_file_);
  StartWatched();
  Watch watch(*stub_, Request(token));
  ASSERT_TRUE(watch.Wait([](const Seen& seen) { return seen.complete; }));
  EXPECT_TRUE(watch.Now().messages[0].reset());
  EXPECT_EQ(watch.Now().numbers, List());
}

TEST_F(WatchTest, BadTokensAreRefused) {
  StartWatched();
  const std::string token = TokenOfAWatch();
  v1::AvailabilityFilter filter;
  filter.add_countries("US");
  auto of_another_account = *DecodeToken(token, 3);
  of_another_account[2] = Fingerprint({}, "", "other");
  for (const auto& request :
       {Request("garbage"), Request("!"), Request(token + "AAAA"), Request(token.substr(4)),
        Request(token, filter), Request(EncodeToken(of_another_account))}) {
    SCOPED_TRACE(request.ShortDebugString());
    Watch watch(*stub_, request);
    const Failure failure = Explain(watch.End());
    EXPECT_EQ(failure.code, grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(failure.reason, "INVALID_RESUME_TOKEN");
    ASSERT_EQ(failure.bad_request.field_violations_size(), 1);
    EXPECT_EQ(failure.bad_request.field_violations(0).field(), "resume_token");
    EXPECT_THAT(watch.Now().messages, IsEmpty());
  }
}

TEST_F(WatchTest, BadFilterIsRefused) {
  StartWatched();
  v1::AvailabilityFilter filter;
  filter.set_min_reputation(2);
  Watch watch(*stub_, Request("", filter));
  const Failure failure = Explain(watch.End());
  EXPECT_EQ(failure.code, grpc::StatusCode::INVALID_ARGUMENT);
  ASSERT_EQ(failure.bad_request.field_violations_size(), 1);
  EXPECT_EQ(failure.bad_request.field_violations(0).field(), "filter.min_reputation");
}

TEST_F(WatchTest, TokenThatIsTooOldBeginsAnew) {
  StartWatched(100, [](Config& config) { config.cache_history_bytes = 1 << 20; });
  const std::string token = TokenOfAWatch();
  for (int i = 0; i < 10; ++i) ChangeOnce(50);
  Watch watch(*stub_, Request(token));
  ASSERT_TRUE(watch.WaitForState());
  EXPECT_TRUE(watch.Now().messages[0].reset());
  ExpectCatchesUp(watch);
}

}  // namespace
}  // namespace leasegateway
