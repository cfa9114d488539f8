// Reads that bring a consistency token include the write, whichever gateway is asked and whatever
// it has heard of.
#include <gmock/gmock.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/replicas.h"
#include "tests/support/watch_client.h"

namespace leasegateway {
namespace {

// Two gateways that know nothing of each other, before one provider. Each keeps what it has read.
class ConsistencyTest : public ReplicasTest {
 protected:
  void StartStrangers() {
    StartGateway([](Config& config) { config.cache_fresh = std::chrono::minutes(5); });
    ASSERT_TRUE(server_);
    AddStub(server_->port());
    StartAnother();
  }
  static v1::WatchAvailabilityRequest Since(const std::string& consistency_token,
                                            const std::string& resume_token = "") {
    v1::WatchAvailabilityRequest request;
    request.set_consistency_token(consistency_token);
    request.set_resume_token(resume_token);
    return request;
  }
  // The first state, or what a resumed watch is sent at first.
  Seen FirstOf(std::size_t index, const v1::WatchAvailabilityRequest& request) {
    Watch watch(*stubs_[index], request);
    EXPECT_TRUE(watch.Wait([](const Seen& seen) { return !seen.messages.empty() || seen.ended; }));
    EXPECT_TRUE(watch.WaitForState()) << watch.Now().status.error_message();
    return watch.Now();
  }
  std::string LeaseAt0(const std::string& number, const std::string& request_id = kRequestId) {
    v1::CreateLeaseResponse leased;
    const auto status = LeaseAt(0, number, request_id, &leased);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return leased.metadata().consistency_token();
  }
  bool IsListedAt(std::size_t index, const std::string& number, const std::string& token) {
    v1::ListAvailableNumbersRequest request;
    request.set_consistency_token(token);
    v1::ListAvailableNumbersResponse response;
    const auto status = stubs_[index]->ListAvailableNumbers(Context().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    for (const auto& each : response.numbers()) {
      if (each.phone_number() == number) return true;
    }
    return false;
  }
};

TEST_F(ConsistencyTest, WatchBeginsWithAStateThatIncludesTheWrite) {
  StartStrangers();
  const std::string number = FirstAvailable();
  ASSERT_TRUE(FirstOf(1, Since("")).numbers.contains(number));
  const std::string token = LeaseAt0(number);
  ASSERT_TRUE(FirstOf(1, Since("")).numbers.contains(number)) << "it has not heard of it";
  EXPECT_FALSE(FirstOf(1, Since(token)).numbers.contains(number));
}

TEST_F(ConsistencyTest, TokenOfAWatchMayComeAsMetadata) {
  StartStrangers();
  const std::string number = FirstAvailable();
  ASSERT_TRUE(FirstOf(1, Since("")).numbers.contains(number));
  const std::string token = LeaseAt0(number);
  const auto context = Context();
  context->AddMetadata("consistency-token", token);
  const auto reader = stubs_[1]->WatchAvailability(context.get(), {});
  v1::WatchAvailabilityResponse message;
  bool is_listed = false;
  while (reader->Read(&message)) {
    for (const auto& each : message.added()) is_listed |= each.phone_number() == number;
    if (!message.resume_token().empty()) break;
  }
  EXPECT_FALSE(message.resume_token().empty()) << reader->Finish().error_message();
  EXPECT_FALSE(is_listed);
  context->TryCancel();
}

TEST_F(ConsistencyTest, ResumedWatchIsToldOfTheWrite) {
  StartStrangers();
  const std::string number = FirstAvailable();
  const std::string here = FirstOf(0, Since("")).token;
  const std::string there = FirstOf(1, Since("")).token;
  const std::string token = LeaseAt0(number);
  const Seen changes = FirstOf(0, Since(token, here));
  EXPECT_EQ(changes.resets, 0);
  ASSERT_EQ(changes.messages[0].removed_size(), 1);
  EXPECT_EQ(changes.messages[0].removed(0), number);
  // Where it isn't known which change shows it, the state comes anew.
  const Seen anew = FirstOf(1, Since(token, there));
  EXPECT_EQ(anew.resets, 1);
  EXPECT_FALSE(anew.numbers.empty());
  EXPECT_FALSE(anew.numbers.contains(number));
}

TEST_F(ConsistencyTest, WatchWithABadTokenIsRefused) {
  StartStrangers();
  Watch watch(*stubs_[0], Since("garbage"));
  const Failure failure = Explain(watch.End());
  EXPECT_EQ(failure.code, grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(failure.reason, "INVALID_CONSISTENCY_TOKEN");
  ASSERT_EQ(failure.bad_request.field_violations_size(), 1);
  EXPECT_EQ(failure.bad_request.field_violations(0).field(), "consistency_token");
}

TEST_F(ConsistencyTest, WatchAtAnotherReplicaIncludesTheWriteAtOnce) {
  StartReplicas(2, [](Config& config) { config.cache_fresh = std::chrono::minutes(5); });
  const std::vector<std::string> numbers = Available(10);
  FirstOf(1, Since(""));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const std::string id = std::string(kRequestId).replace(0, 1, std::to_string(i));
    const std::string token = LeaseAt0(numbers[i], id);
    EXPECT_FALSE(FirstOf(1, Since(token)).numbers.contains(numbers[i])) << i;
  }
}

// What another replica has done and could not say so yet.
TEST_F(ConsistencyTest, AnswerToldAgainHasATokenThatIncludesTheWrite) {
  StartReplicas(2, [](Config& config) { config.cache_fresh = std::chrono::minutes(5); });
  const std::string number = FirstAvailable();
  ASSERT_TRUE(IsListedAt(1, number, ""));
  // Nothing can be appended to the log of lists meanwhile.
  std::thread locked([this] {
    postgres_->Query(database_,
                     "LOCK TABLE lease_gateway.list_entry IN EXCLUSIVE MODE; SELECT pg_sleep(6)");
  });
  EXPECT_TRUE(Becomes([this] {
    return postgres_
               ->Query(database_, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
               .size() == 1;
  }));
  LeaseAt0(number);
  v1::CreateLeaseResponse again;
  const auto status = LeaseAt(1, number, kRequestId, &again);
  EXPECT_TRUE(status.ok()) << status.error_message();
  const std::string token = again.metadata().consistency_token();
  EXPECT_TRUE(IsListedAt(1, number, "")) << "the test is about what it has not heard of";
  EXPECT_FALSE(IsListedAt(1, number, token));
  EXPECT_FALSE(IsListedAt(0, number, token));
  locked.join();
  ExpectOnePurchase(number);
}

}  // namespace
}  // namespace leasegateway
