// WatchAvailability as callers see it: what they are sent, how they resume, how slow readers are
// treated and how a watch ends.
#include "service/rpc/watch_hub.h"

#include <gmock/gmock.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "service/rpc/lease_service.h"
#include "service/rpc/pinned_slice.h"
#include "service/rpc/search.h"
#include "tests/support/gateway_fixture.h"
#include "upstream/lease_api_factory.h"
#include "upstream/leasing/journal/sqlite/sqlite_journal.h"
#include "upstream/leasing/recorded_lease_api.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using Message = v1::WatchAvailabilityResponse;
// Phone number to its Number, serialised so that equal numbers have equal bytes.
using Numbers = std::map<std::string, std::string>;

// Not under ThreadSanitizer, which makes large lists slow.
constexpr bool kFast = CONCURRENT_CALLS >= 1000;
constexpr milliseconds kPatience{30'000};  // of a test, for what has to happen

std::string Bytes(const v1::Number& number) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  number.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

bool IsHeartbeat(const Message& message) {
  Message expected;
  expected.set_resume_token(message.resume_token());
  return !message.resume_token().empty() &&
         message.SerializeAsString() == expected.SerializeAsString();
}

v1::WatchAvailabilityRequest Request(const std::string& resume_token = "",
                                     const v1::AvailabilityFilter& filter = {}) {
  v1::WatchAvailabilityRequest request;
  request.set_resume_token(resume_token);
  *request.mutable_filter() = filter;
  return request;
}

// What a caller knows that applies each message as the contract says.
struct Seen {
  std::vector<Message> messages;
  Numbers numbers;
  bool complete = false;  // `numbers` is the state that `token` names
  std::string token;
  int resets = 0;
  int heartbeats = 0;
  std::string wrong;  // what broke the contract; empty: nothing
  bool ended = false;
  grpc::Status status;

  void Apply(const Message& message, bool resumes) {
    const bool first = messages.empty();
    if (first) complete = resumes;
    messages.push_back(message);
    const auto wrong_if = [&](bool condition, const std::string& what) {
      if (condition) wrong += what + "; ";
    };
    wrong_if(first && !resumes && !message.reset(), "the first message has no reset");
    wrong_if(message.added_size() + message.changed_size() + message.removed_size() > 500,
             "more than 500 numbers in a message");
    if (message.reset()) {
      ++resets;
      numbers.clear();
      in_state_ = true;
    }
    const bool heartbeat = IsHeartbeat(message);
    if (heartbeat) ++heartbeats;
    wrong_if(heartbeat && !complete, "a heartbeat in the middle of a state");
    wrong_if(in_state_ && message.changed_size() + message.removed_size() > 0,
             "changes in the middle of a state");
    wrong_if(message.has_metadata() != (in_state_ && !message.resume_token().empty()),
             "metadata is not on the state's last message alone");
    // A resumed watch does not know what the caller had.
    const bool strict = !resumes || resets > 0;
    for (const v1::Number& number : message.added()) {
      const bool is_new = numbers.insert_or_assign(number.phone_number(), Bytes(number)).second;
      wrong_if(strict && !is_new, number.phone_number() + " was there before it was added");
    }
    for (const v1::Number& number : message.changed()) {
      std::string& kept = numbers[number.phone_number()];
      wrong_if(strict && kept.empty(), number.phone_number() + " changed and was not there");
      wrong_if(kept == Bytes(number), number.phone_number() + " changed into the same");
      kept = Bytes(number);
    }
    for (const std::string& number : message.removed()) {
      const bool was_there = numbers.erase(number) == 1;
      wrong_if(strict && !was_there, number + " was removed and was not there");
    }
    complete = !message.resume_token().empty();
    if (complete) {
      token = message.resume_token();
      in_state_ = false;
    }
  }

 private:
  bool in_state_ = false;
};

// A watch by a real client. Thread-safe.
class Watch final : public grpc::ClientReadReactor<Message> {
 public:
  enum class Reading { kAtOnce, kLater };  // kLater: not before Resume

  Watch(v1::LeaseService::Stub& stub, v1::WatchAvailabilityRequest request,
        Reading reading = Reading::kAtOnce, std::optional<milliseconds> deadline = std::nullopt)
      : request_(std::move(request)) {
    if (deadline) context_.set_deadline(std::chrono::system_clock::now() + *deadline);
    stub.async()->WatchAvailability(&context_, &request_, this);
    AddHold();  // until the last read
    if (reading == Reading::kAtOnce) Resume();
    StartCall();
  }
  ~Watch() override {
    Cancel();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return seen_.ended; });
    EXPECT_EQ(seen_.wrong, "");
  }

  void Cancel() {
    context_.TryCancel();
    Resume();
  }
  // Reads nothing after the message that is on its way.
  void Pause() {
    const std::lock_guard lock(mutex_);
    paused_ = true;
  }
  void Resume() {
    {
      const std::lock_guard lock(mutex_);
      paused_ = false;
      if (reading_ || no_more_) return;
      reading_ = true;
    }
    StartRead(&message_);
  }

  // Whether it comes true within `patience`.
  bool Wait(const std::function<bool(const Seen&)>& condition, milliseconds patience = kPatience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return condition(seen_); });
  }
  bool WaitForState() {
    return Wait([](const Seen& seen) { return seen.complete || seen.ended; }) && Now().complete;
  }
  // The status that the watch ended with.
  grpc::Status End(milliseconds patience = kPatience) {
    EXPECT_TRUE(Wait([](const Seen& seen) { return seen.ended; }, patience)) << "it goes on";
    return Now().status;
  }
  Seen Now() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  void OnReadDone(bool ok) override {
    bool more = false;
    {
      const std::lock_guard lock(mutex_);
      reading_ = false;
      if (ok) {
        seen_.Apply(message_, !request_.resume_token().empty());
        reading_ = more = !paused_;
        changed_.notify_all();
      } else {
        no_more_ = true;
      }
    }
    if (more) StartRead(&message_);
    if (!ok) RemoveHold();
  }
  void OnDone(const grpc::Status& status) override {
    const std::lock_guard lock(mutex_);
    seen_.ended = true;
    seen_.status = status;
    changed_.notify_all();
  }

  const v1::WatchAvailabilityRequest request_;
  grpc::ClientContext context_;
  Message message_;  // being read

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  Seen seen_;
  bool paused_ = false;
  bool reading_ = false;
  bool no_more_ = false;
};

bool Eventually(const std::function<bool()>& condition, milliseconds patience = kPatience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return true;
}

class WatchTest : public GatewayTest {
 protected:
  // A gateway that asks the provider every few milliseconds.
  void StartWatched(int numbers = 100, const std::function<void(Config&)>& adjust = nullptr) {
    sandbox::SandboxOptions options;
    options.numbers = numbers;
    StartGateway(
        [&](Config& config) {
          config.cache_fresh = milliseconds(50);
          if (adjust) adjust(config);
        },
        options);
    OpenChannel();
  }
  // One whose flow control's window does not grow, and that takes lists of any size.
  void OpenChannel() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetMaxReceiveMessageSize(-1);
    channel_ = grpc::CreateCustomChannel(target_, grpc::InsecureChannelCredentials(), arguments);
    stub_ = v1::LeaseService::NewStub(channel_);
  }

  void Control(const std::string& path, const std::string& json) {
    const auto reply = sandbox_->Control("POST", "/_sandbox/" + path, json);
    ASSERT_TRUE(reply.ok()) << reply.status();
  }
  void Churn(int count) { Control("churn", "{\"count\":" + std::to_string(count) + "}"); }

  // What the provider lists now, which the gateway knows afterwards.
  Numbers List(const v1::AvailabilityFilter& filter = {}) {
    v1::ListAvailableNumbersRequest request;
    *request.mutable_filter() = filter;
    request.mutable_max_staleness();
    v1::ListAvailableNumbersResponse response;
    const auto status = stub_->ListAvailableNumbers(Context(30'000).get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    Numbers numbers;
    for (const v1::Number& number : response.numbers()) {
      numbers[number.phone_number()] = Bytes(number);
    }
    return numbers;
  }
  // A change that is one version of the gateway's.
  void ChangeOnce(int count) {
    Churn(count);
    v1::AvailabilityFilter none;
    none.add_countries("ZZ");
    List(none);
  }
  // Waits until a watch has what the list has.
  void ExpectCatchesUp(Watch& watch, const v1::AvailabilityFilter& filter = {}) {
    const Numbers expected = List(filter);
    EXPECT_TRUE(watch.Wait([&](const Seen& seen) {
      return seen.complete && seen.numbers == expected;
    })) << watch.Now().numbers.size()
        << " numbers, should be " << expected.size();
  }

  // The message that a watch gets next, which it has not got before the call.
  Message Next(Watch& watch, std::size_t after) {
    const auto no_heartbeats = [](const Seen& seen) {
      std::vector<Message> messages;
      for (const Message& message : seen.messages) {
        if (!IsHeartbeat(message)) messages.push_back(message);
      }
      return messages;
    };
    EXPECT_TRUE(watch.Wait(
        [&](const Seen& seen) { return no_heartbeats(seen).size() > after || seen.ended; }));
    const auto messages = no_heartbeats(watch.Now());
    if (messages.size() > after) return messages[after];
    ADD_FAILURE() << "no message after number " << after
                  << "; the watch ended: " << watch.Now().status.error_message();
    return Message();
  }

  // Of the state that a watch began with, which has ended since.
  std::string TokenOfAWatch() {
    Watch watch(*stub_, Request());
    EXPECT_TRUE(watch.WaitForState());
    return watch.Now().token;
  }

  // Until no refresh is due any more.
  void WaitUntilTheProviderIsLeftAlone() {
    std::string before;
    int same = 0;
    EXPECT_TRUE(Eventually([&] {
      const auto requests = sandbox_->Control("GET", "/_sandbox/requests", "");
      same = requests.ok() && *requests == before ? same + 1 : 0;
      before = requests.ok() ? *requests : "";
      return same >= 20;
    }));
  }

  std::string AnyNumber() { return List().begin()->first; }
};

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
    EXPECT_TRUE(IsHeartbeat(seen.messages[i])) << seen.messages[i].ShortDebugString();
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
  EXPECT_TRUE(IsHeartbeat(watch.Now().messages[0]));
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
  for (const auto& request : {Request("garbage"), Request("!"), Request(token + "AAAA"),
                              Request(token.substr(4)), Request(token, filter)}) {
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
  StartWatched();
  const std::string token = TokenOfAWatch();
  for (int i = 0; i < 70; ++i) ChangeOnce(3);
  Watch watch(*stub_, Request(token));
  ASSERT_TRUE(watch.WaitForState());
  EXPECT_TRUE(watch.Now().messages[0].reset());
  ExpectCatchesUp(watch);
}

// A message of the state has about 250 KB, one of changes 50 KB; the window of the client has 64
// KB.
constexpr int kLarge = 1000;
constexpr int kManyChanges = 100;  // more than are kept
constexpr std::size_t kStateMessages = 2;
// Of what was sent before the caller stopped to read, and of the changes that came after the state
// that it is sent when it reads again.
constexpr std::size_t kFewMessages = 8;

TEST_F(WatchTest, ReaderThatStopsIsToldToBeginAnewAndIsRight) {
  if (!kFast) GTEST_SKIP() << "so many lists take minutes under ThreadSanitizer";
  StartWatched(kLarge);
  Watch watch(*stub_, Request());
  ASSERT_TRUE(watch.WaitForState());
  watch.Pause();
  for (int i = 0; i < kManyChanges; ++i) ChangeOnce(100);
  const std::size_t before = watch.Now().messages.size();
  watch.Resume();
  ExpectCatchesUp(watch);
  EXPECT_EQ(watch.Now().resets, 2);
  EXPECT_LE(watch.Now().messages.size() - before, kStateMessages + kFewMessages);
}

TEST_F(WatchTest, ReaderThatNeverReadTheStateIsToldToBeginAnewAndIsRight) {
  if (!kFast) GTEST_SKIP() << "so many lists take minutes under ThreadSanitizer";
  StartWatched(kLarge);
  List();
  Watch watch(*stub_, Request(), Watch::Reading::kLater);
  for (int i = 0; i < kManyChanges; ++i) ChangeOnce(100);
  watch.Resume();
  ExpectCatchesUp(watch);
  EXPECT_EQ(watch.Now().resets, 2);
  EXPECT_LE(watch.Now().messages.size(), 2 * kStateMessages + kFewMessages);
}

TEST_F(WatchTest, ReaderThatDoesNotReadWhatItMissedKeepsNoneOfIt) {
  if (!kFast) GTEST_SKIP() << "so many lists take minutes under ThreadSanitizer";
  StartWatched(kLarge);
  const std::string token = TokenOfAWatch();
  for (int i = 0; i < 50; ++i) ChangeOnce(100);
  Watch watch(*stub_, Request(token), Watch::Reading::kLater);
  for (int i = 0; i < kManyChanges; ++i) ChangeOnce(100);
  watch.Resume();
  ExpectCatchesUp(watch);
  EXPECT_EQ(watch.Now().resets, 1);
  EXPECT_LE(watch.Now().messages.size(), kStateMessages + kFewMessages);
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

TEST_F(WatchTest, DrainDoesNotWaitForReadersThatDoNotRead) {
  StartWatched(kLarge, [](Config& config) { config.grace = milliseconds(60'000); });
  List();
  Watch watch(*stub_, Request());
  ASSERT_TRUE(watch.WaitForState());
  watch.Pause();
  for (int i = 0; i < 5; ++i) ChangeOnce(kLarge / 3);
  const auto before = std::chrono::steady_clock::now();
  server_->Drain();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
  watch.Resume();
  EXPECT_FALSE(watch.End().ok());
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

// A hub whose patience with slow readers is short, behind a server of its own.
class PatienceTest : public WatchTest {
 protected:
  ~PatienceTest() override {
    if (grpc_) {
      hub_->Stop();
      grpc_->Shutdown(std::chrono::system_clock::now());
      grpc_->Wait();
    }
    grpc_.reset();
    service_.reset();
    hub_.reset();
    search_.reset();
    recorded_.reset();
    api_.reset();
    work_.reset();
    if (thread_.joinable()) thread_.join();
  }

  void StartImpatient(int numbers, milliseconds patience) {
    sandbox::SandboxOptions options;
    options.numbers = numbers;
    StartGateway(nullptr, options);  // for the sandbox
    server_.reset();
    UpstreamOptions upstream;
    upstream.url = sandbox_->url();
    upstream.ca_file = ca_file_;
    upstream.api_key = [key = sandbox_->key()] { return key; };
    upstream.cache.fresh = milliseconds(0);
    upstream.pin = PinSlice;
    auto api = MakeLeaseApi(io_.get_executor(), upstream);
    ASSERT_TRUE(api.ok()) << api.status();
    api_ = *std::move(api);
    runtime_.executor = io_.get_executor();
    runtime_.default_deadline = milliseconds(10'000);
    const CacheEnvironment environment = MakeCacheEnvironment(io_.get_executor(), PinInMemory);
    search_ = std::make_unique<AvailabilitySearch>(environment.now, environment.after, 64 << 20);
    hub_ = std::make_unique<WatchHub>(runtime_, *api_, WatchOptions{.patience = patience});
    auto journal = SqliteJournal::Open({.path = ":memory:"});
    ASSERT_TRUE(journal.ok()) << journal.status();
    recorded_ = std::make_unique<RecordedLeaseApi>(api_, RecordedLeaseApi::MemoryOf(api_),
                                                   *std::move(journal), RecordedLeaseApi::Options(),
                                                   io_.get_executor(), MakeCallEnvironment());
    service_ = std::make_unique<LeaseService>(runtime_, *api_, *recorded_, *search_, *hub_);
    thread_ = std::thread([this] { io_.run(); });
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(service_.get());
    grpc_ = builder.BuildAndStart();
    ASSERT_TRUE(grpc_);
    target_ = "127.0.0.1:" + std::to_string(port);
    OpenChannel();
  }

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::thread thread_;
  std::shared_ptr<CachingLeaseApi> api_;
  std::unique_ptr<RecordedLeaseApi> recorded_;
  CallRuntime runtime_;
  std::unique_ptr<AvailabilitySearch> search_;
  std::unique_ptr<WatchHub> hub_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> grpc_;
};

// More messages than gRPC takes for a caller that does not read.
constexpr int kHuge = kFast ? 3000 : 1000;

TEST_F(PatienceTest, SnapshotOfAReaderThatDoesNotReadIsGivenUp) {
  if (!kFast) GTEST_SKIP() << "reading is slower than the hub is patient";
  StartImpatient(kHuge, milliseconds(50));
  List();
  Watch watch(*stub_, Request(), Watch::Reading::kLater);
  ASSERT_TRUE(Eventually([&] { return hub_->watchers() == 1; }));
  std::weak_ptr<const Availability> snapshot = api_->PeekAvailability(std::nullopt)->numbers;
  ChangeOnce(10);
  EXPECT_TRUE(Eventually([&] { return snapshot.expired(); }));
  EXPECT_EQ(hub_->watchers(), 1);
  watch.Resume();
  ExpectCatchesUp(watch);
  EXPECT_GE(watch.Now().resets, 2);  // one more where reading is slow
}

TEST_F(PatienceTest, ChangesOfAReaderThatDoesNotReadAreGivenUp) {
  if (!kFast) GTEST_SKIP() << "so many lists take minutes under ThreadSanitizer";
  StartImpatient(kHuge, milliseconds(50));
  Watch watch(*stub_, Request());
  ASSERT_TRUE(watch.WaitForState());
  const std::uint64_t version = api_->PeekAvailability(std::nullopt)->version;
  watch.Pause();
  ChangeOnce(kHuge - 100);
  std::weak_ptr<const std::vector<NumberChange>> change =
      api_->ChangesSince(version)->front().numbers;
  for (int i = 0; i < 70; ++i) ChangeOnce(1);
  EXPECT_TRUE(Eventually([&] { return change.expired(); }));
  watch.Resume();
  ExpectCatchesUp(watch);
  EXPECT_GE(watch.Now().resets, 2);  // one more where reading is slow
}

TEST_F(PatienceTest, ReaderThatReadsIsGivenAllTheTimeItNeeds) {
  StartImpatient(kHuge, milliseconds(5'000));  // more than a slow machine needs for a message
  Watch watch(*stub_, Request());
  ASSERT_TRUE(watch.WaitForState());
  for (int i = 0; i < 10; ++i) ChangeOnce(100);
  ExpectCatchesUp(watch);
  EXPECT_EQ(watch.Now().resets, 1);
}

}  // namespace
}  // namespace leasegateway
