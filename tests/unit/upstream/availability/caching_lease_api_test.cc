#include "upstream/availability/caching_lease_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <deque>
#include <exception>
#include <functional>
#include <initializer_list>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "tests/support/scripted_lease_api.h"
#include "tests/support/typed_lease_api.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr char kA[] = "+13050000001";
constexpr char kB[] = "+13050000002";
constexpr char kC[] = "+13050000003";
constexpr milliseconds kFresh{5'000};
constexpr milliseconds kWindow{65'000};  // fresh, and stale while it is refreshed
constexpr milliseconds kStaleIfError{900'000};
constexpr milliseconds kIdle{300'000};

absl::Status Outage() {
  return MakeError(absl::StatusCode::kUnavailable, reason::kUpstreamUnreachable, "down");
}

v1::Number NumberOf(std::string phone_number, std::string provider_status = "available") {
  v1::Number number;
  number.set_phone_number(std::move(phone_number));
  number.set_status(v1::NUMBER_STATUS_AVAILABLE);
  number.set_provider_status(std::move(provider_status));
  number.set_carrier("Carrier");
  return number;
}

v1::Lease LeaseOf(std::string phone_number, std::string lease_id) {
  v1::Lease lease;
  lease.set_lease_id(std::move(lease_id));
  lease.set_phone_number(phone_number);
  lease.mutable_number()->set_phone_number(std::move(phone_number));
  return lease;
}

Reply<NumberList> Numbers(std::initializer_list<v1::Number> numbers) {
  Reply<NumberList> reply;
  reply.value = NumberList(numbers.begin(), numbers.end());
  return reply;
}

Reply<NumberList> Numbers(std::initializer_list<std::string> phone_numbers) {
  Reply<NumberList> reply;
  for (const auto& phone_number : phone_numbers) *reply.value.Add() = NumberOf(phone_number);
  return reply;
}

Reply<LeaseList> Leases(std::initializer_list<v1::Lease> leases) {
  Reply<LeaseList> reply;
  reply.value = LeaseList(leases.begin(), leases.end());
  return reply;
}

template <typename T>
Reply<T> ReplyOf(T value) {
  Reply<T> reply;
  reply.value = std::move(value);
  return reply;
}

template <typename Message>
Message Parse(const BytesAnswer& answer) {
  Message message;
  EXPECT_TRUE(message.ParseFromString(
      std::string(answer.bytes->view().substr(answer.range.offset, answer.range.size))));
  return message;
}

std::vector<std::string> PhoneNumbers(const AvailabilityAnswer& answer) {
  std::vector<std::string> phone_numbers;
  for (const auto row : answer.numbers->AllRows()) {
    phone_numbers.push_back(answer.numbers->NumberAt(row).phone_number());
  }
  return phone_numbers;
}

std::vector<std::string> LeaseIds(const BytesAnswer& answer) {
  std::vector<std::string> ids;
  const auto list = Parse<v1::ListLeasesResponse>(answer);
  for (const auto& lease : list.leases()) {
    ids.push_back(lease.lease_id());
  }
  return ids;
}

std::string CacheStatus(const CacheOutcome& outcome) {
  return std::string(absl::StripPrefix(FormatCacheStatus(outcome), "lease-gateway; "));
}

// A call that may be under way.
template <typename T>
struct Call {
  std::shared_ptr<CallStats> stats;
  std::optional<absl::StatusOr<T>> result;  // nothing: it has not ended
  asio::cancellation_signal cancellation;

  void Cancel() { cancellation.emit(asio::cancellation_type::terminal); }
  absl::Status status() const { return result ? result->status() : absl::UnknownError("no end"); }
  std::string cache_status() const { return CacheStatus(stats->cache.value()); }
};

class CachingLeaseApiTest : public testing::Test {
 protected:
  struct Timer {
    std::chrono::steady_clock::time_point due;
    std::function<void()> call;
  };

  CachingLeaseApiTest() {
    script_.available = Numbers({kA, kB});
    script_.leases = Leases({LeaseOf(kC, "lease_c")});
    script_.number = ReplyOf(NumberOf(kA));
    Make({});
  }
  ~CachingLeaseApiTest() override {
    script_.hold = false;
    while (!script_.held.empty()) Release(script_.held.front()->operation);
    Settle();
    cache_.reset();
    Settle();
  }

  void Make(const CachePolicy& policy) {
    CacheEnvironment environment;
    environment.executor = asio_.get_executor();
    environment.now = [this] { return now_; };
    environment.after = [this](milliseconds delay, std::function<void()> call) {
      timers_.push_back({now_ + delay, std::move(call)});
    };
    environment.random = [this] { return random_; };
    environment.pin = [this](std::string bytes) {
      if (const auto meanwhile = std::exchange(meanwhile_, nullptr)) meanwhile();
      return PinInMemory(std::move(bytes));
    };
    cache_ = std::make_unique<CachingLeaseApi>(std::make_unique<ScriptedLeaseApi>(&script_), policy,
                                               std::move(environment));
  }

  // Lets everything run that can run.
  void Settle() {
    asio_.restart();
    asio_.poll();
  }
  void Release(std::string_view operation) {
    EXPECT_TRUE(script_.Release(operation)) << operation;
    Settle();
  }

  // Time goes by. Timers that are due are late.
  void Pass(milliseconds time) { now_ += time; }
  // Time goes by. Timers call when they are due.
  void PassWithTimers(milliseconds time) {
    const auto end = now_ + time;
    for (;;) {
      const auto next = std::min_element(
          timers_.begin(), timers_.end(),
          [](const Timer& left, const Timer& right) { return left.due < right.due; });
      if (next == timers_.end() || next->due > end) break;
      const Timer timer = std::move(*next);
      timers_.erase(next);
      now_ = std::max(now_, timer.due);
      timer.call();
      Settle();
    }
    now_ = end;
  }
  // How long the timer that was set last has left.
  milliseconds LastDelay() const {
    return std::chrono::duration_cast<milliseconds>(timers_.back().due - now_);
  }

  static CallContext Context(MaxStaleness max_staleness = std::nullopt) {
    CallContext context;
    context.deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
    context.max_staleness = max_staleness;
    return context;
  }
  static CallContext Expired() {
    CallContext context;
    context.deadline = std::chrono::steady_clock::now();
    return context;
  }

  template <typename T>
  std::shared_ptr<Call<T>> Spawn(const std::shared_ptr<CallStats>& stats,
                                 asio::awaitable<absl::StatusOr<T>> operation) {
    auto call = std::make_shared<Call<T>>();
    call->stats = stats;
    asio::co_spawn(
        asio::make_strand(asio_), std::move(operation),
        asio::bind_cancellation_slot(call->cancellation.slot(), [call](std::exception_ptr exception,
                                                                       absl::StatusOr<T> result) {
          EXPECT_FALSE(exception);
          call->result = std::move(result);
        }));
    return call;
  }
  // Begins to read, and comes back when nothing can go on.
  auto StartAvailable(CallContext context = Context()) {
    auto call = Spawn(context.stats, cache_->FindAvailability(context));
    Settle();
    return call;
  }
  auto StartLeases(CallContext context = Context()) {
    auto call = Spawn(context.stats, cache_->FindLeases(context));
    Settle();
    return call;
  }
  auto StartNumber(std::string phone_number, CallContext context = Context()) {
    auto call = Spawn(context.stats, cache_->FindNumber(context, std::move(phone_number)));
    Settle();
    return call;
  }

  std::vector<std::string> Available() {
    const auto call = StartAvailable();
    return call->status().ok() ? PhoneNumbers(**call->result)
                               : std::vector{call->status().ToString()};
  }
  std::vector<std::string> AvailableInMemory() {
    const auto answer = cache_->PeekAvailability({});
    return answer ? PhoneNumbers(*answer) : std::vector<std::string>{"nothing"};
  }
  std::vector<std::string> LeasesInMemory() {
    const auto answer = cache_->PeekLeases({});
    return answer ? LeaseIds(*answer) : std::vector<std::string>{"nothing"};
  }
  // The provider_status of a number, which tests use to tell one answer from another.
  std::string NumberInMemory(std::string_view phone_number) {
    const auto answer = cache_->PeekNumber(phone_number, {});
    return answer ? Parse<v1::GetNumberResponse>(*answer).number().provider_status() : "nothing";
  }
  std::string Number(std::string phone_number, MaxStaleness max_staleness = std::nullopt) {
    const auto call = StartNumber(std::move(phone_number), Context(max_staleness));
    return call->status().ok()
               ? Parse<v1::GetNumberResponse>(**call->result).number().provider_status()
               : absl::StatusCodeToString(call->status().code());
  }

  // Both lists are in memory, and nothing is under way.
  void Warm() {
    ASSERT_TRUE(StartAvailable()->status().ok());
    ASSERT_TRUE(StartLeases()->status().ok());
    Pass(milliseconds(1));
  }
  absl::Status Create(std::string phone_number, const std::string& lease_id) {
    script_.lease = ReplyOf(LeaseOf(phone_number, lease_id));
    return Create(std::move(phone_number));
  }
  // As the script says.
  absl::Status Create(std::string phone_number) {
    const CallContext context = Context();
    const auto call =
        Spawn(context.stats,
              cache_->Perform(context, operation::CreateLease{std::move(phone_number),
                                                              v1::BILLING_METHOD_UNSPECIFIED}));
    Settle();
    return call->status();
  }
  absl::Status Terminate(std::string phone_number, const std::string& lease_id) {
    v1::Termination termination;
    termination.set_lease_id(lease_id);
    termination.set_phone_number(phone_number);
    script_.termination = ReplyOf(termination);
    const CallContext context = Context();
    const auto call =
        Spawn(context.stats,
              cache_->Perform(context, operation::TerminateLease{std::move(phone_number)}));
    Settle();
    return call->status();
  }
  // The same, from inside of something that runs.
  void LeaseMeanwhile(std::string phone_number, const std::string& lease_id) {
    script_.lease = ReplyOf(LeaseOf(phone_number, lease_id));
    const CallContext context = Context();
    const auto call =
        Spawn(context.stats,
              cache_->Perform(context, operation::CreateLease{std::move(phone_number),
                                                              v1::BILLING_METHOD_UNSPECIFIED}));
    asio_.poll();
    EXPECT_TRUE(call->status().ok());
  }
  int ListRequests() const { return script_.Count("ListAvailableNumbers"); }
  int LeasesRequests() const { return script_.Count("ListLeases"); }
  int NumberRequests() const { return script_.Count("GetNumber"); }

  asio::io_context asio_;
  std::chrono::steady_clock::time_point now_{std::chrono::hours(1'000)};
  double random_ = 0.5;
  std::vector<Timer> timers_;
  // Called once, while memory prepares something that it will publish afterwards.
  std::function<void()> meanwhile_;
  LeaseApiScript script_;
  std::unique_ptr<CachingLeaseApi> cache_;
};

// --- what all three kinds of reads have in common ------------------------------------------------

enum class Kind { kAvailable, kLeases, kNumber };

class CachedReadTest : public CachingLeaseApiTest, public testing::WithParamInterface<Kind> {
 protected:
  struct Seen {
    std::string text;
    CacheOutcome outcome;
  };
  using Read = Call<Seen>;

  CachedReadTest() { Provide("v1"); }

  void Provide(const std::string& text) {
    script_.available = Numbers({NumberOf(kA, text)});
    script_.leases = Leases({LeaseOf(kC, text)});
    script_.number = ReplyOf(NumberOf(kA, text));
  }
  void Fail(const absl::Status& status) {
    script_.available = status;
    script_.leases = status;
    script_.number = status;
  }
  std::string_view operation() const {
    switch (GetParam()) {
      case Kind::kAvailable:
        return "ListAvailableNumbers";
      case Kind::kLeases:
        return "ListLeases";
      default:
        return "GetNumber";
    }
  }
  int Requests() const { return script_.Count(operation()); }

  static Seen See(const AvailabilityAnswer& answer) {
    return {answer.numbers->size() == 0 ? "" : answer.numbers->NumberAt(0).provider_status(),
            answer.outcome};
  }
  static Seen SeeLeases(const BytesAnswer& answer) {
    return {absl::StrJoin(LeaseIds(answer), ","), answer.outcome};
  }
  static Seen SeeNumber(const BytesAnswer& answer) {
    return {Parse<v1::GetNumberResponse>(answer).number().provider_status(), answer.outcome};
  }

  asio::awaitable<absl::StatusOr<Seen>> Find(CallContext context) {
    if (GetParam() == Kind::kAvailable) {
      auto answer = co_await cache_->FindAvailability(std::move(context));
      if (!answer.ok()) co_return answer.status();
      co_return See(*answer);
    }
    if (GetParam() == Kind::kLeases) {
      auto answer = co_await cache_->FindLeases(std::move(context));
      if (!answer.ok()) co_return answer.status();
      co_return SeeLeases(*answer);
    }
    auto answer = co_await cache_->FindNumber(std::move(context), kA);
    if (!answer.ok()) co_return answer.status();
    co_return SeeNumber(*answer);
  }
  std::shared_ptr<Read> StartLater(CallContext context = Context()) {
    return Spawn(context.stats, Find(context));
  }
  std::shared_ptr<Read> Start(CallContext context = Context()) {
    auto read = StartLater(std::move(context));
    Settle();
    return read;
  }
  // "v1; hit; ttl=5"
  static std::string Text(const Read& read) {
    if (!read.result) return "waiting";
    if (!read.status().ok()) {
      return absl::StrCat(absl::StatusCodeToString(read.status().code()), "; ",
                          read.cache_status());
    }
    EXPECT_EQ(CacheStatus((*read.result)->outcome), read.cache_status());
    return absl::StrCat((*read.result)->text, "; ", read.cache_status());
  }
  std::string Ask(MaxStaleness max_staleness = std::nullopt) {
    return Text(*Start(Context(max_staleness)));
  }
  std::string Peek(MaxStaleness max_staleness = std::nullopt) {
    std::optional<Seen> seen;
    if (GetParam() == Kind::kAvailable) {
      if (const auto answer = cache_->PeekAvailability(max_staleness)) seen = See(*answer);
    } else if (GetParam() == Kind::kLeases) {
      if (const auto answer = cache_->PeekLeases(max_staleness)) seen = SeeLeases(*answer);
    } else {
      if (const auto answer = cache_->PeekNumber(kA, max_staleness)) seen = SeeNumber(*answer);
    }
    return seen ? absl::StrCat(seen->text, "; ", CacheStatus(seen->outcome)) : "nothing";
  }
  // Memory has v1, of this moment.
  void Store() { ASSERT_EQ(Ask(), "v1; fwd=miss; stored; ttl=5"); }
};

std::string KindName(const testing::TestParamInfo<Kind>& kind) {
  switch (kind.param) {
    case Kind::kAvailable:
      return "Available";
    case Kind::kLeases:
      return "Leases";
    default:
      return "Number";
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, CachedReadTest,
                         testing::Values(Kind::kAvailable, Kind::kLeases, Kind::kNumber), KindName);

TEST_P(CachedReadTest, ColdMissIsStoredAndThenAHit) {
  EXPECT_EQ(Peek(), "nothing");
  EXPECT_EQ(Requests(), 0);
  EXPECT_EQ(Ask(), "v1; fwd=miss; stored; ttl=5");
  Provide("v2");
  EXPECT_EQ(Peek(), "v1; hit; ttl=5");
  Pass(milliseconds(1));
  EXPECT_EQ(Ask(), "v1; hit; ttl=4");
  EXPECT_EQ(Requests(), 1);
}

TEST_P(CachedReadTest, LastMillisecondOfFreshBeginsNoRefresh) {
  Store();
  Pass(kFresh);
  EXPECT_EQ(Peek(), "v1; hit; ttl=0");
  EXPECT_EQ(Ask(), "v1; hit; ttl=0");
  EXPECT_EQ(Requests(), 1);
}

TEST_P(CachedReadTest, StaleIsAnsweredFromMemoryWhileOneRefreshIsUnderWay) {
  Store();
  Pass(kFresh + milliseconds(1));
  Provide("v2");
  script_.hold = true;
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(Peek(), "v1; hit; ttl=-1");
    EXPECT_EQ(Ask(), "v1; hit; ttl=-1");
  }
  EXPECT_EQ(Requests(), 2);
  Release(operation());
  EXPECT_EQ(Ask(), "v2; hit; ttl=5");
  EXPECT_EQ(Requests(), 2);
}

TEST_P(CachedReadTest, AfterTheWindowTheProviderIsWaitedFor) {
  Store();
  Pass(kWindow);
  script_.hold = true;
  EXPECT_EQ(Peek(), "v1; hit; ttl=-60");
  Settle();
  script_.hold = false;
  Provide("v2");
  Pass(milliseconds(1));
  EXPECT_EQ(Peek(), "nothing");
  const auto read = Start();
  EXPECT_EQ(Text(*read), "waiting");
  Release(operation());
  EXPECT_EQ(Text(*read), "v1; fwd=stale; collapsed; stored; ttl=4");
  Pass(kWindow + milliseconds(1));
  EXPECT_EQ(Ask(), "v2; fwd=stale; stored; ttl=5");
}

TEST_P(CachedReadTest, FailedRefreshIsAnsweredFromMemoryAndNotTriedAgainUntilThePauseIsOver) {
  Store();
  Pass(kWindow + milliseconds(1));
  Fail(Outage());
  EXPECT_EQ(Ask(), "v1; fwd=stale; ttl=-61; detail=stale-if-error");
  EXPECT_EQ(Requests(), 2);
  Pass(milliseconds(3'749));
  EXPECT_EQ(Peek(), "v1; hit; ttl=-64; detail=stale-if-error");
  EXPECT_EQ(Ask(), "v1; hit; ttl=-64; detail=stale-if-error");
  EXPECT_EQ(Requests(), 2);
  Pass(milliseconds(1));
  EXPECT_EQ(Peek(), "nothing");
  Provide("v2");
  EXPECT_EQ(Ask(), "v2; fwd=stale; stored; ttl=5");
}

TEST_P(CachedReadTest, StaleIfErrorEnds) {
  Store();
  Fail(Outage());
  Pass(kStaleIfError);
  EXPECT_EQ(Ask(), "v1; fwd=stale; ttl=-895; detail=stale-if-error");
  Pass(milliseconds(1));
  EXPECT_EQ(Peek(), "nothing");
  const auto read = Start();
  EXPECT_EQ(Text(*read), "UNAVAILABLE; fwd=stale; ttl=-896");
  EXPECT_EQ(ReasonOf(read->status()), reason::kUpstreamUnreachable);
}

TEST_P(CachedReadTest, OutagesAreAnsweredFromMemory) {
  for (const auto code : {absl::StatusCode::kUnavailable, absl::StatusCode::kDeadlineExceeded,
                          absl::StatusCode::kResourceExhausted, absl::StatusCode::kInternal}) {
    Make({});
    Provide("v1");
    Store();
    Pass(kWindow + milliseconds(1));
    Fail(absl::Status(code, "no"));
    EXPECT_EQ(Ask(), "v1; fwd=stale; ttl=-61; detail=stale-if-error") << code;
    EXPECT_EQ(Peek(), "v1; hit; ttl=-61; detail=stale-if-error") << code;
  }
}

TEST_P(CachedReadTest, OtherErrorsAreGivenToEveryCaller) {
  for (const auto code :
       {absl::StatusCode::kPermissionDenied, absl::StatusCode::kFailedPrecondition,
        absl::StatusCode::kUnauthenticated, absl::StatusCode::kInvalidArgument}) {
    Make({});
    Provide("v1");
    Store();
    Pass(kWindow + milliseconds(1));
    Fail(absl::Status(code, "no"));
    const std::string error = absl::StatusCodeToString(code) + "; fwd=stale; ttl=-61";
    EXPECT_EQ(Ask(), error);
    EXPECT_EQ(Peek(), "nothing") << code;
    EXPECT_EQ(Ask(), error);
  }
}

TEST_P(CachedReadTest, ErrorsAreNotRemembered) {
  for (const auto& status : {Outage(), absl::PermissionDeniedError("no")}) {
    Make({});
    Fail(status);
    const std::string error = absl::StatusCodeToString(status.code()) + "; fwd=miss";
    const int before = Requests();
    EXPECT_EQ(Ask(), error);
    EXPECT_EQ(Ask(), error);
    EXPECT_EQ(Requests(), before + 2);
    Provide("v1");
    EXPECT_EQ(Ask(), "v1; fwd=miss; stored; ttl=5");
  }
}

TEST_P(CachedReadTest, ZeroMaxStalenessAsksTheProviderAlthoughMemoryIsFresh) {
  Store();
  Provide("v2");
  EXPECT_EQ(Peek(milliseconds(0)), "nothing");
  EXPECT_EQ(Ask(milliseconds(0)), "v2; fwd=request; stored; ttl=5");
  EXPECT_EQ(Ask(), "v2; hit; ttl=5");
}

TEST_P(CachedReadTest, LargeMaxStalenessTakesWhatIsOlderThanTheWindowsAndRefreshesIt) {
  Store();
  Provide("v2");
  Pass(milliseconds(1'000'000));
  EXPECT_EQ(Ask(milliseconds(1'000'000)), "v1; hit; ttl=-995");
  EXPECT_EQ(Requests(), 2);
  EXPECT_EQ(Ask(milliseconds(1'000'000)), "v2; hit; ttl=5");
}

TEST_P(CachedReadTest, MaxStalenessIsComparedWithTheAge) {
  Store();
  Provide("v2");
  Pass(milliseconds(3'000));
  EXPECT_EQ(Peek(milliseconds(3'000)), "v1; hit; ttl=2");
  EXPECT_EQ(Peek(milliseconds(2'999)), "nothing");
  EXPECT_EQ(Ask(milliseconds(2'999)), "v2; fwd=request; stored; ttl=5");
}

TEST_P(CachedReadTest, WithMaxStalenessAnOutageIsGivenToTheCaller) {
  Store();
  Pass(milliseconds(100));
  Fail(Outage());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Ask(milliseconds(0)), "UNAVAILABLE; fwd=request; ttl=4");
    EXPECT_EQ(Ask(milliseconds(99)), "UNAVAILABLE; fwd=request; ttl=4");
    EXPECT_EQ(Peek(milliseconds(99)), "nothing");
  }
  EXPECT_EQ(Requests(), 5);
}

TEST_P(CachedReadTest, MaxStalenessJoinsOnlyAFlightThatIsNewEnough) {
  script_.hold = true;
  const auto first = Start();
  Pass(milliseconds(1'000));
  const auto joins = Start(Context(milliseconds(1'000)));
  EXPECT_EQ(Requests(), 1);
  Provide("v2");
  const auto asks = Start(Context(milliseconds(999)));
  EXPECT_EQ(Requests(), 2);
  Provide("v3");
  const auto zero = Start(Context(milliseconds(0)));
  EXPECT_EQ(Requests(), 3);
  Release(operation());
  EXPECT_EQ(Text(*first), "v1; fwd=miss; stored; ttl=4");
  EXPECT_EQ(Text(*joins), "v1; fwd=miss; collapsed; stored; ttl=4");
  EXPECT_EQ(Text(*asks), "waiting");
  Release(operation());
  EXPECT_EQ(Text(*asks), "v2; fwd=miss; stored; ttl=5");
  EXPECT_EQ(Text(*zero), "waiting");
  Release(operation());
  EXPECT_EQ(Text(*zero), "v3; fwd=miss; stored; ttl=5");
}

TEST_P(CachedReadTest, OlderFlightThatEndsLastDoesNotReplaceTheNewerAnswer) {
  script_.hold = true;
  const auto older = Start();
  Pass(milliseconds(1));
  Provide("v2");
  script_.hold = false;
  EXPECT_EQ(Ask(milliseconds(0)), "v2; fwd=miss; stored; ttl=5");
  Release(operation());
  EXPECT_EQ(Peek(), "v2; hit; ttl=5");
  EXPECT_NE(Text(*older), "waiting");
}

// --- one request for all -------------------------------------------------------------------------

TEST_P(CachedReadTest, TenThousandReadersMakeOneRequest) {
  script_.hold = true;
  std::vector<std::shared_ptr<Read>> reads;
  for (int i = 0; i < 10'000; ++i) reads.push_back(StartLater());
  Settle();
  EXPECT_EQ(Requests(), 1);
  Release(operation());
  int leaders = 0;
  int followers = 0;
  for (const auto& read : reads) {
    leaders += Text(*read) == "v1; fwd=miss; stored; ttl=5";
    followers += Text(*read) == "v1; fwd=miss; collapsed; stored; ttl=5";
  }
  EXPECT_EQ(leaders, 1);
  EXPECT_EQ(followers, 9'999);
}

TEST_P(CachedReadTest, CancelledCallerDoesNotEndTheFlightForOthers) {
  script_.hold = true;
  const auto leader = Start();
  const auto follower = Start();
  leader->Cancel();
  Settle();
  EXPECT_EQ(leader->status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(ReasonOf(leader->status()), reason::kCancelled);
  EXPECT_EQ(Text(*follower), "waiting");
  Release(operation());
  EXPECT_EQ(Text(*follower), "v1; fwd=miss; collapsed; stored; ttl=5");
}

TEST_P(CachedReadTest, LastCallerThatGoesAwayEndsTheFlight) {
  script_.hold = true;
  const auto leader = Start();
  const auto follower = Start();
  ASSERT_EQ(script_.held.size(), 1U);
  const auto held = script_.held.front();
  leader->Cancel();
  Settle();
  EXPECT_FALSE(held->cancelled);
  follower->Cancel();
  Settle();
  EXPECT_TRUE(held->cancelled);
  EXPECT_EQ(ReasonOf(follower->status()), reason::kCancelled);
  script_.hold = false;
  EXPECT_EQ(Ask(), "v1; fwd=miss; stored; ttl=5");
  EXPECT_EQ(Requests(), 2);
}

TEST_P(CachedReadTest, NobodyJoinsAFlightWhoseLastCallerHasLeft) {
  script_.hold = true;
  const auto gone = Start();
  const auto held = script_.held.front();
  gone->Cancel();
  asio_.restart();
  while (!gone->result) ASSERT_EQ(asio_.poll_one(), 1U);
  // The provider has not yet been told.
  ASSERT_FALSE(held->cancelled);
  const auto next = Start();
  EXPECT_TRUE(held->cancelled);
  EXPECT_EQ(Text(*next), "waiting");
  EXPECT_EQ(Requests(), 2);
  Release(operation());
  EXPECT_EQ(Text(*next), "v1; fwd=miss; stored; ttl=5");
}

TEST_P(CachedReadTest, FlightThatWasAbandonedIsNoFailure) {
  Store();
  Pass(kFresh + milliseconds(1));
  script_.hold = true;
  const auto read = Start(Context(milliseconds(0)));
  read->Cancel();
  Settle();
  EXPECT_THAT(script_.held, IsEmpty());
  script_.hold = false;
  Provide("v2");
  // After a failure, memory would not be refreshed for a while.
  EXPECT_EQ(Ask(), "v1; hit; ttl=-1");
  Settle();
  EXPECT_EQ(Requests(), 3);
  EXPECT_EQ(Ask(), "v2; hit; ttl=5");
}

TEST_P(CachedReadTest, RefreshGoesOnWhenTheCallerThatJoinedItGoesAway) {
  Store();
  Pass(kWindow);
  Provide("v2");
  script_.hold = true;
  EXPECT_EQ(Peek(), "v1; hit; ttl=-60");
  Pass(milliseconds(1));
  const auto read = Start();
  EXPECT_EQ(Text(*read), "waiting");
  EXPECT_EQ(Requests(), 2);
  read->Cancel();
  Settle();
  Release(operation());
  EXPECT_EQ(Ask(), "v2; hit; ttl=4");
}

TEST_P(CachedReadTest, FlightOfACallerGoesOnWhereMemoryIsRefreshedByIt) {
  Store();
  Pass(kFresh + milliseconds(1));
  Provide("v2");
  script_.hold = true;
  const auto read = Start(Context(milliseconds(1)));
  EXPECT_EQ(Peek(), "v1; hit; ttl=-1");
  EXPECT_EQ(Requests(), 2);
  read->Cancel();
  Settle();
  Release(operation());
  EXPECT_EQ(Ask(), "v2; hit; ttl=5");
}

// What is done for a caller alone is bounded by its deadline, so that the layers below can refuse
// what comes too late. What memory keeps is not.
TEST_P(CachedReadTest, OnlyCallersWhoTakeNothingFromMemoryBoundTheirFlights) {
  script_.hold = true;
  auto context = Context(milliseconds(0));
  context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  Start(context);
  EXPECT_EQ(script_.held.back()->deadline, context.deadline);
  context.max_staleness = milliseconds(1);
  Pass(milliseconds(2));
  Start(context);
  EXPECT_EQ(Requests(), 2);
  EXPECT_GT(script_.held.back()->deadline, context.deadline + std::chrono::seconds(20));
}

TEST_P(CachedReadTest, OnlyWhoEndsNoLaterJoinsAFlightThatEndsWithItsCaller) {
  script_.hold = true;
  auto context = Context(milliseconds(0));
  context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  const auto bounded = Start(context);
  auto no_later = Context();
  no_later.deadline = context.deadline;
  const auto joins = Start(no_later);
  EXPECT_EQ(Requests(), 1);
  auto a_little_later = Context();
  a_little_later.deadline = context.deadline + milliseconds(1);
  const auto later = Start(a_little_later);
  EXPECT_EQ(Requests(), 2);
  Release(operation());
  EXPECT_EQ(Text(*bounded), "v1; fwd=miss; stored; ttl=5");
  EXPECT_EQ(Text(*joins), "v1; fwd=miss; collapsed; stored; ttl=5");
  EXPECT_EQ(Text(*later), "waiting");
}

TEST_P(CachedReadTest, RefreshDoesNotRelyOnAFlightThatEndsWithItsCaller) {
  Store();
  Pass(kFresh + milliseconds(1));
  Provide("v2");
  script_.hold = true;
  auto context = Context(milliseconds(0));
  context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  Start(context);
  EXPECT_EQ(Requests(), 2);
  EXPECT_EQ(Peek(), "v1; hit; ttl=-1");
  Settle();
  EXPECT_EQ(Requests(), 3);
}

TEST_P(CachedReadTest, DeadlineOfACallerIsNoFailureOfTheProvider) {
  Store();
  Pass(kFresh + milliseconds(1));
  for (const auto& [code, why] :
       {std::pair(absl::StatusCode::kDeadlineExceeded, reason::kDeadline),
        std::pair(absl::StatusCode::kResourceExhausted, reason::kOverloaded)}) {
    Fail(MakeError(code, why, "late"));
    auto context = Context(milliseconds(0));
    context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    EXPECT_EQ(Start(context)->status().code(), code);
  }
  Provide("v2");
  // After a failure, memory would not be refreshed for a while.
  EXPECT_EQ(Ask(), "v1; hit; ttl=-1");
  Settle();
  EXPECT_EQ(Ask(), "v2; hit; ttl=5");
}

TEST_P(CachedReadTest, CallerPastItsDeadlineDoesNotEndTheFlightForOthers) {
  script_.hold = true;
  const auto leader = Start(Expired());
  EXPECT_EQ(Text(*leader), "DEADLINE_EXCEEDED; fwd=miss");
  EXPECT_EQ(ReasonOf(leader->status()), reason::kDeadline);
  const auto follower = Start();
  EXPECT_EQ(Text(*follower), "waiting");
  Release(operation());
  EXPECT_EQ(Text(*follower), "v1; fwd=miss; collapsed; stored; ttl=5");
  EXPECT_EQ(Requests(), 1);
}

TEST_P(CachedReadTest, CallerWhoseDeadlineNearsGetsStaleData) {
  Store();
  Pass(kWindow + milliseconds(1));
  Provide("v2");
  script_.hold = true;
  EXPECT_EQ(Text(*Start(Expired())), "v1; fwd=stale; ttl=-61; detail=stale-if-error");
  Release(operation());
  EXPECT_EQ(Ask(), "v2; hit; ttl=5");
}

TEST_P(CachedReadTest, CallerWithMaxStalenessGetsNoStaleDataAtItsDeadline) {
  Store();
  Pass(milliseconds(1));
  script_.hold = true;
  auto context = Expired();
  context.max_staleness = milliseconds(0);
  EXPECT_EQ(Text(*Start(context)), "DEADLINE_EXCEEDED; fwd=request; ttl=4");
}

TEST_P(CachedReadTest, CancelledCallerGetsNoStaleData) {
  Store();
  Pass(kWindow + milliseconds(1));
  script_.hold = true;
  const auto read = Start();
  read->Cancel();
  Settle();
  EXPECT_EQ(read->status().code(), absl::StatusCode::kCancelled);
}

TEST_P(CachedReadTest, OnlyTheLeaderIsChargedForTheRequest) {
  script_.hold = true;
  script_.upstream_request_id = "req_1";
  const auto leader = Start();
  const auto follower = Start();
  Release(operation());
  const auto later = Start();
  EXPECT_EQ(leader->stats->attempts, 1);
  EXPECT_EQ(leader->stats->upstream_request_id, "req_1");
  for (const auto& read : {follower, later}) {
    EXPECT_EQ(read->stats->attempts, 0);
    EXPECT_EQ(read->stats->upstream_request_id, "");
  }
}

TEST_P(CachedReadTest, LeaderPastItsDeadlineIsChargedForTheAttempt) {
  script_.hold = true;
  EXPECT_EQ(Start(Expired())->stats->attempts, 1);
}

// --- destruction ---------------------------------------------------------------------------------

TEST_P(CachedReadTest, DestructionCancelsFlightsWhichKeepTheProviderUntilTheyEnd) {
  Store();
  Pass(kFresh + milliseconds(1));
  script_.hold = true;
  EXPECT_EQ(Peek(), "v1; hit; ttl=-1");
  Settle();
  ASSERT_EQ(script_.held.size(), 1U);
  const auto held = script_.held.front();
  cache_.reset();
  EXPECT_EQ(script_.alive, 1);
  EXPECT_FALSE(held->cancelled);
  Settle();
  EXPECT_TRUE(held->cancelled);
  EXPECT_EQ(script_.alive, 0);
}

TEST_P(CachedReadTest, DestructionEndsARefreshThatHasNotBegun) {
  Store();
  Pass(kFresh + milliseconds(1));
  script_.hold = true;
  EXPECT_EQ(Peek(), "v1; hit; ttl=-1");
  cache_.reset();
  Settle();
  EXPECT_EQ(script_.alive, 0);
  EXPECT_THAT(script_.held, IsEmpty());
}

TEST_P(CachedReadTest, NothingHappensAfterDestruction) {
  Store();
  cache_.reset();
  PassWithTimers(kIdle + kStaleIfError);
  EXPECT_EQ(Requests(), 1);
  EXPECT_EQ(script_.alive, 0);
  Settle();
}

// --- refreshing in the background ----------------------------------------------------------------

class CachedListTest : public CachedReadTest {
 protected:
  std::vector<milliseconds> DelaysOfRefreshes(int count) {
    std::vector<milliseconds> delays;
    for (int i = 0; i < count; ++i) {
      delays.push_back(LastDelay());
      PassWithTimers(delays.back());
    }
    return delays;
  }
};

INSTANTIATE_TEST_SUITE_P(Lists, CachedListTest, testing::Values(Kind::kAvailable, Kind::kLeases),
                         KindName);

TEST_P(CachedListTest, IsRefreshedBeforeItGoesStaleAndNotInStep) {
  random_ = 0;
  Store();
  EXPECT_EQ(LastDelay(), milliseconds(3'750));
  random_ = 0.999'999;
  Make({});
  Store();
  EXPECT_EQ(LastDelay(), milliseconds(4'749));
  EXPECT_EQ(timers_.size(), 2U);
}

TEST_P(CachedListTest, ReadListNeverGoesStale) {
  Store();
  for (int i = 0; i < 600; ++i) {
    PassWithTimers(milliseconds(1'000));
    EXPECT_THAT(Peek(), testing::MatchesRegex("v1; hit; ttl=[0-5]"));
  }
  EXPECT_EQ(Requests(), 1 + 600'000 / 4'250);
}

TEST_P(CachedListTest, ReadThroughFindCountsAsRead) {
  Store();
  for (int i = 0; i < 10; ++i) {
    PassWithTimers(milliseconds(100'000));
    EXPECT_THAT(Ask(), testing::MatchesRegex("v1; hit; ttl=[0-5]"));
  }
}

TEST_P(CachedListTest, UnreadListIsNoLongerRefreshedAndThenDropped) {
  Store();
  const int refreshes = 300'000 / 4'250;
  PassWithTimers(milliseconds((refreshes + 1) * 4'250));
  EXPECT_EQ(Requests(), 1 + refreshes);
  PassWithTimers(kStaleIfError - milliseconds(1));
  EXPECT_NE(Peek(milliseconds(10'000'000)), "nothing");
}

TEST_P(CachedListTest, DroppedListIsAMiss) {
  Store();
  PassWithTimers(kIdle + kStaleIfError + kFresh);
  EXPECT_EQ(Peek(milliseconds(10'000'000)), "nothing");
  EXPECT_EQ(Ask(), "v1; fwd=miss; stored; ttl=5");
  EXPECT_GT(LastDelay(), milliseconds(0));
}

TEST_P(CachedListTest, ListReadAgainAfterItWasIdleIsKeptAsLongAsOthers) {
  Store();
  PassWithTimers(kIdle + kFresh);
  const int before = Requests();
  EXPECT_THAT(Peek(), testing::StartsWith("v1; hit"));
  Settle();
  EXPECT_EQ(Requests(), before + 1);
  // The first time that it was found idle is longer ago than the second.
  PassWithTimers(kStaleIfError);
  EXPECT_THAT(Peek(milliseconds(10'000'000)), testing::StartsWith("v1; hit"));
}

TEST_P(CachedListTest, PausesGrowWhileTheProviderFails) {
  Store();
  Fail(Outage());
  EXPECT_THAT(DelaysOfRefreshes(7),
              ElementsAre(milliseconds(4'250), milliseconds(3'750), milliseconds(7'500),
                          milliseconds(15'000), milliseconds(30'000), milliseconds(45'000),
                          milliseconds(45'000)));
  EXPECT_EQ(Requests(), 8);
  Provide("v2");
  EXPECT_THAT(DelaysOfRefreshes(2), ElementsAre(milliseconds(45'000), milliseconds(4'250)));
  EXPECT_EQ(Peek(), "v2; hit; ttl=5");
}

TEST_P(CachedListTest, HalfOfAPauseIsLeftToChance) {
  Store();
  Fail(Outage());
  random_ = 0;
  PassWithTimers(LastDelay());
  EXPECT_EQ(LastDelay(), milliseconds(2'500));
  random_ = 0.999'999;
  PassWithTimers(LastDelay());
  EXPECT_EQ(LastDelay(), milliseconds(9'999));
}

TEST_P(CachedListTest, ReaderDuringAPauseBeginsNoRefresh) {
  Store();
  Fail(Outage());
  PassWithTimers(LastDelay());
  Pass(milliseconds(2'000));
  EXPECT_EQ(Peek(), "v1; hit; ttl=-2");
  EXPECT_EQ(Ask(), "v1; hit; ttl=-2");
  EXPECT_EQ(Requests(), 2);
}

TEST_P(CachedListTest, RefreshThatIsDueInAPauseWaitsForItsEnd) {
  Store();
  PassWithTimers(milliseconds(4'000));
  Fail(Outage());
  EXPECT_EQ(Ask(milliseconds(0)), "UNAVAILABLE; fwd=request; ttl=1");
  PassWithTimers(milliseconds(3'749));
  EXPECT_EQ(Requests(), 2);
  PassWithTimers(milliseconds(1));
  EXPECT_EQ(Requests(), 3);
}

TEST_P(CachedListTest, ListThatIsNeverFreshIsNotRefreshed) {
  CachePolicy policy;
  policy.fresh = milliseconds(0);
  Make(policy);
  EXPECT_EQ(Ask(), "v1; fwd=miss; stored; ttl=0");
  EXPECT_THAT(timers_, IsEmpty());
}

TEST_F(CachingLeaseApiTest, SingleNumbersAreNotRefreshedInTheBackground) {
  EXPECT_EQ(Number(kA), "available");
  EXPECT_THAT(timers_, IsEmpty());
}

// --- lists that shrink to nothing, lists that can't be read --------------------------------------

TEST_F(CachingLeaseApiTest, RefreshThatIsDueDoesNotWaitForAFlightThatEndsWithItsCaller) {
  Warm();
  script_.hold = true;
  auto context = Context(milliseconds(0));
  context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  StartAvailable(context);
  EXPECT_EQ(ListRequests(), 2);
  PassWithTimers(kFresh);
  EXPECT_EQ(ListRequests(), 3);
}

TEST_F(CachingLeaseApiTest, RefreshThatIsDueIsTheFlightThatIsUnderWay) {
  Warm();
  script_.available = Numbers({kC});
  script_.hold = true;
  Pass(milliseconds(1));
  const auto call = StartAvailable(Context(milliseconds(1)));
  EXPECT_EQ(ListRequests(), 2);
  PassWithTimers(kFresh);
  EXPECT_EQ(ListRequests(), 2);
  call->Cancel();
  Settle();
  Release("ListAvailableNumbers");
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kC));
}

TEST_F(CachingLeaseApiTest, EmptyListIsAskedForAgain) {
  Warm();
  script_.available_first = {Reply<NumberList>()};
  script_.available = Numbers({kB});
  EXPECT_TRUE(StartAvailable(Context(milliseconds(0)))->status().ok());
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kB));
  EXPECT_EQ(ListRequests(), 3);
}

TEST_F(CachingLeaseApiTest, EmptyListIsAcceptedWhenConfirmed) {
  Warm();
  script_.available = Reply<NumberList>();
  EXPECT_TRUE(StartAvailable(Context(milliseconds(0)))->status().ok());
  EXPECT_THAT(AvailableInMemory(), IsEmpty());
  EXPECT_EQ(ListRequests(), 3);
  EXPECT_TRUE(StartAvailable(Context(milliseconds(0)))->status().ok());
  EXPECT_EQ(ListRequests(), 4);
}

TEST_F(CachingLeaseApiTest, EmptyListThatIsNotConfirmedIsAFailedRefresh) {
  Warm();
  script_.available_first = {Reply<NumberList>()};
  script_.available = Outage();
  EXPECT_EQ(StartAvailable(Context(milliseconds(0)))->status(), Outage());
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kA, kB));
}

TEST_F(CachingLeaseApiTest, FirstListMayBeEmpty) {
  script_.available = Reply<NumberList>();
  EXPECT_THAT(Available(), IsEmpty());
  EXPECT_EQ(ListRequests(), 1);
}

TEST_F(CachingLeaseApiTest, EmptyListOfLeasesIsAskedForAgainAndAcceptedWhenConfirmed) {
  Warm();
  EXPECT_EQ(LeasesRequests(), 1);
  script_.leases = Reply<LeaseList>();
  EXPECT_TRUE(StartLeases(Context(milliseconds(0)))->status().ok());
  EXPECT_EQ(LeasesRequests(), 3);
  EXPECT_THAT(LeasesInMemory(), IsEmpty());
  EXPECT_TRUE(StartLeases(Context(milliseconds(0)))->status().ok());
  EXPECT_EQ(LeasesRequests(), 4);
}

TEST_F(CachingLeaseApiTest, MalformedListKeepsTheOldOne) {
  Warm();
  Pass(kWindow + milliseconds(1));
  script_.available =
      MakeError(absl::StatusCode::kInternal, reason::kUpstreamMalformed, "not an array");
  EXPECT_THAT(Available(), ElementsAre(kA, kB));
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kA, kB));
}

// --- numbers that the provider does not know -----------------------------------------------------

absl::Status NotFound() {
  return MakeError(absl::StatusCode::kNotFound, reason::kNumberNotFound, "no such number");
}

TEST_F(CachingLeaseApiTest, UnknownNumberIsRememberedForAWhile) {
  script_.number = NotFound();
  const auto first = StartNumber(kA);
  EXPECT_EQ(first->status(), NotFound());
  EXPECT_EQ(first->cache_status(), "fwd=miss; stored; ttl=2");
  Pass(milliseconds(2'000));
  const auto second = StartNumber(kA);
  EXPECT_EQ(second->status(), NotFound());
  EXPECT_EQ(second->cache_status(), "hit; ttl=0");
  EXPECT_FALSE(cache_->PeekNumber(kA, {}));  // which has no errors
  EXPECT_EQ(NumberRequests(), 1);
}

TEST_F(CachingLeaseApiTest, UnknownNumberIsAskedForAgainWithoutAStaleWindow) {
  script_.number = NotFound();
  StartNumber(kA);
  Pass(milliseconds(2'001));
  script_.number = ReplyOf(NumberOf(kA));
  const auto read = StartNumber(kA);
  EXPECT_TRUE(read->status().ok());
  EXPECT_EQ(read->cache_status(), "fwd=stale; stored; ttl=5");
}

TEST_F(CachingLeaseApiTest, UnknownNumberIsNotWhatAnOutageIsAnsweredWith) {
  script_.number = NotFound();
  StartNumber(kA);
  Pass(milliseconds(2'001));
  script_.number = Outage();
  EXPECT_EQ(StartNumber(kA)->status(), Outage());
  EXPECT_EQ(StartNumber(kA)->status(), Outage());
}

TEST_F(CachingLeaseApiTest, OnlyTheReasonMakesANumberUnknown) {
  script_.number = absl::NotFoundError("another");
  StartNumber(kA);
  EXPECT_EQ(StartNumber(kA)->status(), absl::NotFoundError("another"));
  EXPECT_EQ(NumberRequests(), 2);
}

// --- single numbers and the list -----------------------------------------------------------------

TEST_F(CachingLeaseApiTest, NumberIsAnsweredFromTheList) {
  Warm();
  EXPECT_EQ(NumberInMemory(kA), "available");
  const auto read = StartNumber(kB);
  ASSERT_TRUE(read->status().ok());
  EXPECT_EQ(read->cache_status(), "hit; ttl=4");
  EXPECT_EQ(Parse<v1::GetNumberResponse>(**read->result).number().phone_number(), kB);
  EXPECT_EQ(NumberRequests(), 0);
}

TEST_F(CachingLeaseApiTest, NewerAnswerOfANumberBeatsAnOlderListAndTheOtherWayRound) {
  Warm();
  script_.number = ReplyOf(NumberOf(kA, "newer"));
  EXPECT_EQ(Number(kA, milliseconds(0)), "newer");
  EXPECT_EQ(NumberInMemory(kA), "newer");
  EXPECT_EQ(Number(kA), "newer");
  Pass(milliseconds(1));
  script_.available = Numbers({NumberOf(kA, "newest")});
  StartAvailable(Context(milliseconds(0)));
  EXPECT_EQ(NumberInMemory(kA), "newest");
  EXPECT_EQ(Number(kA), "newest");
  EXPECT_EQ(NumberRequests(), 1);
}

TEST_F(CachingLeaseApiTest, LeasableNumberThatANewerListLacksIsAskedForAgain) {
  EXPECT_EQ(Number(kA), "available");
  Pass(milliseconds(1));
  script_.available = Numbers({kB});
  StartAvailable();
  EXPECT_EQ(NumberInMemory(kA), "nothing");
  script_.number = ReplyOf(NumberOf(kA, "leased"));
  EXPECT_EQ(Number(kA), "leased");
}

TEST_F(CachingLeaseApiTest, NumberThatCannotBeLeasedIsNotExpectedInTheList) {
  v1::Number number = NumberOf(kC, "leased");
  number.mutable_lease()->set_lease_id("lease_c");
  script_.number = ReplyOf(number);
  EXPECT_EQ(Number(kC), "leased");
  Pass(milliseconds(1));
  StartAvailable();
  EXPECT_EQ(NumberInMemory(kC), "leased");
  EXPECT_EQ(Number(kC), "leased");
  EXPECT_EQ(NumberRequests(), 1);
}

TEST_F(CachingLeaseApiTest, NumbersReadFromAStaleListDoNotDisturbAProviderThatFails) {
  Warm();
  Pass(kFresh);
  script_.available = Outage();
  EXPECT_EQ(NumberInMemory(kA), "available");
  Settle();
  EXPECT_EQ(ListRequests(), 2);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(NumberInMemory(kA), "available");
    EXPECT_EQ(Number(kA), "available");
  }
  EXPECT_EQ(ListRequests(), 2);
  EXPECT_EQ(NumberRequests(), 0);
}

TEST_F(CachingLeaseApiTest, NumbersReadFromAListKeepItRefreshed) {
  Warm();
  for (int i = 0; i < 10; ++i) {
    PassWithTimers(milliseconds(100'000));
    const auto read = StartNumber(kA);
    EXPECT_THAT(read->cache_status(), testing::MatchesRegex("hit; ttl=[0-5]"));
  }
}

TEST_F(CachingLeaseApiTest, NumberOfAnOldListIsAnsweredAtOnceUntilThePauseIsOver) {
  Warm();
  Pass(kWindow);
  script_.number = Outage();
  EXPECT_EQ(Number(kA), "available");
  EXPECT_EQ(NumberRequests(), 1);
  EXPECT_EQ(NumberInMemory(kA), "available");
  EXPECT_EQ(Number(kA), "available");
  EXPECT_EQ(NumberRequests(), 1);
}

TEST_F(CachingLeaseApiTest, NumbersThatAreReadAreKeptAndTheOthersForgotten) {
  CachePolicy policy;
  policy.max_numbers = 2;
  Make(policy);
  for (const auto* phone_number : {kA, kB, kC}) {
    script_.number = ReplyOf(NumberOf(phone_number, phone_number));
    EXPECT_EQ(Number(phone_number), phone_number);
  }
  EXPECT_EQ(NumberInMemory(kA), kA);
  script_.number = ReplyOf(NumberOf("+13050000004"));
  EXPECT_EQ(Number("+13050000004"), "available");
  EXPECT_EQ(NumberInMemory(kA), kA);
  EXPECT_EQ(NumberInMemory(kB), "nothing");
  EXPECT_EQ(NumberInMemory(kC), kC);
}

// --- writes are seen -----------------------------------------------------------------------------

TEST_F(CachingLeaseApiTest, LeasedNumberIsGoneFromTheListAndItsSearchAndFromMemory) {
  Warm();
  EXPECT_EQ(Number(kA, milliseconds(0)), "available");
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  const auto answer = cache_->PeekAvailability({});
  ASSERT_TRUE(answer);
  EXPECT_THAT(PhoneNumbers(*answer), ElementsAre(kB));
  EXPECT_EQ(answer->numbers->Search({}, {}, 0, 10).total, 1U);
  EXPECT_EQ(NumberInMemory(kA), "nothing");
  script_.number = ReplyOf(NumberOf(kA, "leased"));
  EXPECT_EQ(Number(kA), "leased");
  EXPECT_EQ(NumberInMemory(kB), "available");
}

TEST_F(CachingLeaseApiTest, LeaseIsListedWithItsNumber) {
  Warm();
  script_.hold = true;  // the refresh that follows
  script_.lease = ReplyOf(LeaseOf(kA, "lease_a"));
  const CallContext context = Context();
  const auto call =
      Spawn(context.stats,
            cache_->Perform(context, operation::CreateLease{kA, v1::BILLING_METHOD_UNSPECIFIED}));
  Settle();
  Release("CreateLease");
  ASSERT_TRUE(call->status().ok());
  const auto answer = cache_->PeekLeases({});
  ASSERT_TRUE(answer);
  EXPECT_EQ(CacheStatus(answer->outcome), "hit; ttl=4");
  const auto list = Parse<v1::ListLeasesResponse>(*answer);
  ASSERT_THAT(LeaseIds(*answer), ElementsAre("lease_c", "lease_a"));
  EXPECT_EQ(list.total_size(), 2);
  const auto& number = list.leases(1).number();
  EXPECT_EQ(number.phone_number(), kA);
  EXPECT_EQ(number.status(), v1::NUMBER_STATUS_LEASED);
  EXPECT_EQ(number.provider_status(), "leased");
  EXPECT_EQ(number.carrier(), "Carrier");
}

TEST_F(CachingLeaseApiTest, LeasesAreRefreshedAfterALease) {
  Warm();
  script_.leases = Leases({LeaseOf(kC, "lease_c"), LeaseOf(kA, "lease_a")});
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  EXPECT_EQ(LeasesRequests(), 2);
  EXPECT_EQ(ListRequests(), 1);
  EXPECT_THAT(LeasesInMemory(), ElementsAre("lease_c", "lease_a"));
}

TEST_F(CachingLeaseApiTest, RefreshOfTheListThatBeganBeforeALeaseEndsAfterIt) {
  Warm();
  script_.hold = true;
  const auto before = StartAvailable(Context(milliseconds(0)));
  script_.hold = false;
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  Pass(kWindow + milliseconds(1));
  const auto after = StartAvailable();
  EXPECT_EQ(ListRequests(), 2);
  Release("ListAvailableNumbers");
  EXPECT_THAT(PhoneNumbers(**before->result), ElementsAre(kB));
  EXPECT_THAT(PhoneNumbers(**after->result), ElementsAre(kB));
  EXPECT_EQ(after->cache_status(), "fwd=stale; collapsed; stored; ttl=-61");
  EXPECT_THAT(AvailableInMemory(), ElementsAre("nothing"));
}

TEST_F(CachingLeaseApiTest, FirstListThatWasAskedForBeforeALeaseEndsAfterIt) {
  script_.hold = true;
  const auto before = StartAvailable();
  script_.hold = false;
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  const auto after = StartAvailable();
  Release("ListAvailableNumbers");
  EXPECT_EQ(ListRequests(), 1);
  EXPECT_THAT(PhoneNumbers(**before->result), ElementsAre(kB));
  EXPECT_THAT(PhoneNumbers(**after->result), ElementsAre(kB));
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kB));
}

TEST_F(CachingLeaseApiTest, ReaderThatComesAfterALeaseWhileAnOlderListIsBeingPublished) {
  CachePolicy policy;
  policy.fresh = policy.stale_while_revalidate = milliseconds(0);
  Make(policy);
  // The listener runs when the list is in memory, and its flight has not ended.
  std::shared_ptr<Call<AvailabilityAnswer>> after;
  bool leased = false;
  cache_->SetListener([&] {
    if (std::exchange(leased, true)) return;
    Pass(milliseconds(1));
    LeaseMeanwhile(kA, "lease_a");
    const CallContext reader = Context();
    after = Spawn(reader.stats, cache_->FindAvailability(reader));
    asio_.poll();
    EXPECT_FALSE(after->result);
  });
  StartAvailable();
  ASSERT_TRUE(after && after->result);
  EXPECT_THAT(PhoneNumbers(**after->result), ElementsAre(kB));
}

TEST_F(CachingLeaseApiTest, LeaseThatEndsWhileAnotherIsTakenFromTheLists) {
  Warm();
  script_.leases = Outage();
  meanwhile_ = [this] { LeaseMeanwhile(kB, "lease_b"); };
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  EXPECT_THAT(AvailableInMemory(), IsEmpty());
  EXPECT_THAT(LeasesInMemory(), UnorderedElementsAre("lease_a", "lease_b", "lease_c"));
}

TEST_F(CachingLeaseApiTest, LeaseThatEndsWhileAnotherIsPutIntoTheLeases) {
  ASSERT_TRUE(StartLeases()->status().ok());
  script_.leases = Outage();
  meanwhile_ = [this] { LeaseMeanwhile(kB, "lease_b"); };
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  EXPECT_THAT(LeasesInMemory(), UnorderedElementsAre("lease_a", "lease_b", "lease_c"));
}

TEST_F(CachingLeaseApiTest, LeasesThatEndWhileAnOlderListIsBroughtUpToDate) {
  script_.available = Numbers({kA, kB, kC, "+13050000004"});
  script_.hold = true;
  const auto before = StartAvailable();
  script_.hold = false;
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  script_.Release("ListAvailableNumbers");
  // Once for each time that something is prepared: the list as it came, and without each number.
  std::vector<std::string> rest = {kC, "+13050000004", kB};
  std::function<void()> lease_next = [&] {
    if (rest.empty()) return;
    const std::string phone_number = rest.back();
    rest.pop_back();
    LeaseMeanwhile(phone_number, absl::StrCat("lease_", phone_number));
    meanwhile_ = lease_next;
  };
  meanwhile_ = lease_next;
  Settle();
  meanwhile_ = nullptr;
  EXPECT_THAT(rest, IsEmpty());
  EXPECT_THAT(PhoneNumbers(**before->result), IsEmpty());
  EXPECT_THAT(AvailableInMemory(), IsEmpty());
}

TEST_F(CachingLeaseApiTest, RefreshOfLeasesThatBeganBeforeALeaseEndsAfterIt) {
  script_.hold = true;
  const auto before = StartLeases();
  script_.hold = false;
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  const auto after = StartLeases();
  Release("ListLeases");
  EXPECT_EQ(LeasesRequests(), 1);
  EXPECT_THAT(LeaseIds(**before->result), ElementsAre("lease_c", "lease_a"));
  EXPECT_THAT(LeaseIds(**after->result), ElementsAre("lease_c", "lease_a"));
  EXPECT_THAT(LeasesInMemory(), ElementsAre("lease_c", "lease_a"));
}

TEST_F(CachingLeaseApiTest, RefreshOfLeasesThatShowsTheLeaseAlreadyDoesNotShowItTwice) {
  script_.leases = Leases({LeaseOf(kC, "lease_c"), LeaseOf(kA, "lease_a")});
  script_.hold = true;
  StartLeases();
  script_.hold = false;
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  Release("ListLeases");
  EXPECT_THAT(LeasesInMemory(), ElementsAre("lease_c", "lease_a"));
}

TEST_F(CachingLeaseApiTest, LookAtANumberThatBeganBeforeALeaseEndsAfterIt) {
  script_.hold = true;
  const auto before = StartNumber(kA);
  script_.hold = false;
  Pass(milliseconds(1));
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  script_.number = ReplyOf(NumberOf(kA, "leased"));
  script_.hold = true;
  const auto after = StartNumber(kA);
  EXPECT_EQ(NumberRequests(), 2);
  Release("GetNumber");
  EXPECT_TRUE(before->status().ok());
  EXPECT_FALSE(after->result);
  EXPECT_EQ(NumberInMemory(kA), "nothing");
  Release("GetNumber");
  EXPECT_EQ(Parse<v1::GetNumberResponse>(**after->result).number().provider_status(), "leased");
  EXPECT_EQ(NumberInMemory(kA), "leased");
}

TEST_F(CachingLeaseApiTest, LookAtANumberThatEndsAfterTheLookThatFollowedALease) {
  script_.hold = true;
  StartNumber(kA);
  script_.hold = false;
  Pass(milliseconds(1));
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  script_.number = ReplyOf(NumberOf(kA, "leased"));
  EXPECT_EQ(Number(kA), "leased");
  Release("GetNumber");
  EXPECT_EQ(NumberInMemory(kA), "leased");
}

TEST_F(CachingLeaseApiTest, TerminatedLeaseIsListedNoMore) {
  Warm();
  script_.leases = Outage();
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  EXPECT_THAT(LeasesInMemory(), IsEmpty());
}

TEST_F(CachingLeaseApiTest, NewerLeaseOfTheNumberIsNotTheOneThatWasTerminated) {
  script_.leases = Leases({LeaseOf(kC, "lease_c"), LeaseOf(kC, "lease_d")});
  Warm();
  script_.leases = Outage();
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  EXPECT_THAT(LeasesInMemory(), ElementsAre("lease_d"));
}

TEST_F(CachingLeaseApiTest, AfterATerminationTheListIsAskedForAnew) {
  Warm();
  script_.available = Numbers({kA, kB, kC});
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  EXPECT_EQ(ListRequests(), 2);
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kA, kB, kC));
}

TEST_F(CachingLeaseApiTest, AfterATerminationReadersWaitForTheNewList) {
  Warm();
  script_.hold = true;
  StartAvailable(Context(milliseconds(0)));  // began before: of no use
  script_.hold = false;
  Pass(milliseconds(1));
  script_.leases = Outage();
  script_.termination = ReplyOf(v1::Termination());
  const CallContext context = Context();
  const auto call = Spawn(context.stats, cache_->Perform(context, operation::TerminateLease{kC}));
  script_.available = Numbers({kA, kB, kC});
  Settle();
  ASSERT_TRUE(call->status().ok());
  EXPECT_EQ(ListRequests(), 3);
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kA, kB, kC));
  Release("ListAvailableNumbers");
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kA, kB, kC));
}

// The gateway refuses refreshes before it refuses callers, so their failing is no outage.
TEST_F(CachingLeaseApiTest, RefreshThatYieldsAfterATerminationLeavesReadersToAskThemselves) {
  Warm();
  script_.available_first = {MakeError(absl::StatusCode::kResourceExhausted,
                                       reason::kUpstreamRateLimited, "for callers",
                                       {{"request_sent", "false"}})};
  script_.available = Numbers({kA, kB, kC});
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  EXPECT_THAT(AvailableInMemory(), ElementsAre("nothing"));
  EXPECT_THAT(Available(), ElementsAre(kA, kB, kC));
}

TEST_F(CachingLeaseApiTest, ListThatWasAskedForBeforeATerminationIsNotAnsweredAfterIt) {
  script_.hold = true;
  const auto before = StartAvailable();
  script_.hold = false;
  Pass(milliseconds(1));
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  script_.hold = true;
  script_.available = Numbers({kA, kB, kC});
  const auto after = StartAvailable();
  EXPECT_EQ(ListRequests(), 2);
  Release("ListAvailableNumbers");
  EXPECT_THAT(PhoneNumbers(**before->result), ElementsAre(kA, kB));
  EXPECT_FALSE(after->result);
  EXPECT_THAT(AvailableInMemory(), ElementsAre("nothing"));
  Release("ListAvailableNumbers");
  EXPECT_THAT(PhoneNumbers(**after->result), ElementsAre(kA, kB, kC));
  EXPECT_EQ(after->cache_status(), "fwd=miss; stored; ttl=5");
}

TEST_F(CachingLeaseApiTest, LeasesThatWereAskedForBeforeATerminationEndAfterIt) {
  script_.hold = true;
  const auto before = StartLeases();
  script_.hold = false;
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  const auto after = StartLeases();
  Release("ListLeases");
  EXPECT_THAT(LeaseIds(**before->result), IsEmpty());
  EXPECT_THAT(LeaseIds(**after->result), IsEmpty());
  EXPECT_THAT(LeasesInMemory(), IsEmpty());
}

TEST_F(CachingLeaseApiTest, LookAtANumberThatBeganBeforeATerminationEndsAfterIt) {
  script_.number = ReplyOf(NumberOf(kC, "leased"));
  script_.hold = true;
  StartNumber(kC);
  script_.hold = false;
  Pass(milliseconds(1));
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  script_.number = ReplyOf(NumberOf(kC, "available"));
  EXPECT_EQ(NumberInMemory(kC), "nothing");
  EXPECT_EQ(Number(kC), "available");
  Release("GetNumber");
  EXPECT_EQ(NumberInMemory(kC), "available");
}

TEST_F(CachingLeaseApiTest, WhenTheProviderFailsAfterATerminationTheOldListServes) {
  Warm();
  script_.available = Outage();
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  const auto answer = cache_->PeekAvailability({});
  ASSERT_TRUE(answer);
  EXPECT_THAT(PhoneNumbers(*answer), ElementsAre(kA, kB));
  EXPECT_EQ(CacheStatus(answer->outcome), "hit; ttl=4; detail=stale-if-error");
  EXPECT_FALSE(cache_->PeekAvailability(milliseconds(10'000)));
}

TEST_F(CachingLeaseApiTest, AfterAnUnknownOutcomeEverythingIsAskedForAnew) {
  Warm();
  script_.lease = MakeError(absl::StatusCode::kAborted, reason::kOutcomeUnknown, "?");
  script_.hold = true;
  const CallContext context = Context();
  const auto call =
      Spawn(context.stats,
            cache_->Perform(context, operation::CreateLease{kA, v1::BILLING_METHOD_UNSPECIFIED}));
  Settle();
  script_.available = Numbers({kB});
  script_.leases = Leases({LeaseOf(kA, "lease_a")});
  script_.number = ReplyOf(NumberOf(kA, "leased"));
  Release("CreateLease");
  EXPECT_EQ(ReasonOf(call->status()), reason::kOutcomeUnknown);
  EXPECT_THAT(AvailableInMemory(), ElementsAre("nothing"));
  EXPECT_THAT(LeasesInMemory(), ElementsAre("nothing"));
  EXPECT_EQ(NumberInMemory(kA), "nothing");
  const auto list = StartAvailable();
  const auto leases = StartLeases();
  EXPECT_EQ(ListRequests(), 2);
  EXPECT_EQ(LeasesRequests(), 2);
  Release("ListAvailableNumbers");
  Release("ListLeases");
  EXPECT_EQ(list->cache_status(), "fwd=stale; collapsed; stored; ttl=5");
  EXPECT_THAT(PhoneNumbers(**list->result), ElementsAre(kB));
  EXPECT_THAT(LeaseIds(**leases->result), ElementsAre("lease_a"));
  script_.hold = false;
  EXPECT_EQ(Number(kA), "leased");
}

TEST_F(CachingLeaseApiTest, NumberOfUnknownOutcomeIsNotReadFromTheOldListWhenForgotten) {
  CachePolicy policy;
  policy.max_numbers = 1;
  Make(policy);
  Warm();
  script_.available = Outage();
  script_.lease = MakeError(absl::StatusCode::kAborted, reason::kOutcomeUnknown, "?");
  EXPECT_EQ(Create(kA).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(NumberInMemory(kA), "nothing");
  for (const auto* phone_number : {kB, kC, "+13050000004"}) StartNumber(phone_number);
  EXPECT_EQ(NumberInMemory(kA), "nothing");
}

TEST_F(CachingLeaseApiTest, NumberThatSomebodyElseHasLeavesTheList) {
  Warm();
  cache_->FoundTaken(kA);
  Settle();
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kB));
  EXPECT_EQ(NumberInMemory(kA), "nothing");
  EXPECT_THAT(LeasesInMemory(), ElementsAre("lease_c"));
  EXPECT_EQ(LeasesRequests(), 1);
}

TEST_F(CachingLeaseApiTest, WritesThatWereNotDoneChangeNothing) {
  Warm();
  for (const auto code :
       {absl::StatusCode::kInvalidArgument, absl::StatusCode::kUnavailable,
        absl::StatusCode::kPermissionDenied, absl::StatusCode::kResourceExhausted}) {
    script_.lease = absl::Status(code, "no");
    script_.termination = absl::Status(code, "no");
    script_.failover = absl::Status(code, "no");
    script_.forwarding = absl::Status(code, "no");
    EXPECT_EQ(Create(kA).code(), code);
    const CallContext context = Context();
    Spawn(context.stats, cache_->Perform(context, operation::TerminateLease{kC}));
    Spawn(context.stats, cache_->Perform(context, operation::ConfigureFailover{kC, {}}));
    Spawn(context.stats, cache_->Perform(context, operation::EnableCallForwarding{kC, kA}));
    Spawn(context.stats, cache_->Perform(context, operation::DisableCallForwarding{kC}));
    Settle();
  }
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kA, kB));
  EXPECT_THAT(LeasesInMemory(), ElementsAre("lease_c"));
  EXPECT_EQ(NumberInMemory(kA), "available");
  EXPECT_EQ(ListRequests() + LeasesRequests() + NumberRequests(), 2);
}

TEST_F(CachingLeaseApiTest, ConfiguredNumberIsAskedForAnew) {
  const auto configure = [this](int operation) {
    const CallContext context = Context();
    script_.failover = Reply<v1::Failover>();
    script_.forwarding = Reply<v1::CallForwarding>();
    bool ok = false;
    if (operation == 0) {
      const auto call =
          Spawn(context.stats, cache_->Perform(context, operation::ConfigureFailover{kC, {}}));
      Settle();
      ok = call->status().ok();
    } else {
      const auto call =
          Spawn(context.stats,
                operation == 1 ? cache_->Perform(context, operation::EnableCallForwarding{kC, kA})
                               : cache_->Perform(context, operation::DisableCallForwarding{kC}));
      Settle();
      ok = call->status().ok();
    }
    return ok;
  };
  Warm();
  for (int operation = 0; operation < 3; ++operation) {
    const std::string text = absl::StrCat("leased ", operation);
    script_.number = ReplyOf(NumberOf(kC, text));
    EXPECT_EQ(Number(kC, milliseconds(0)), text);
    script_.leases = Leases({LeaseOf(kC, text)});
    Pass(milliseconds(1));
    EXPECT_TRUE(configure(operation));
    EXPECT_EQ(NumberInMemory(kC), "nothing");
    EXPECT_THAT(LeasesInMemory(), ElementsAre(text));
  }
  EXPECT_EQ(ListRequests(), 1);
}

// Writes bypass memory.
TEST_F(CachingLeaseApiTest, WritesSayThatTheyBypassMemoryAndWhatTheyCost) {
  script_.Refuse(absl::InvalidArgumentError("no"));
  script_.upstream_request_id = "req_1";
  const auto expect_bypass = [this](const auto& operation) {
    const CallContext context = Context();
    const auto call = Spawn(context.stats, operation(context));
    Settle();
    EXPECT_EQ(call->cache_status(), "fwd=bypass");
    EXPECT_EQ(call->stats->attempts, 1);
    EXPECT_EQ(call->stats->upstream_request_id, "req_1");
  };
  expect_bypass([this](const CallContext& context) {
    return cache_->Perform(context, operation::CreateLease{kA, v1::BILLING_METHOD_UNSPECIFIED});
  });
  expect_bypass([this](const CallContext& context) {
    return cache_->Perform(context, operation::TerminateLease{kA});
  });
  expect_bypass([this](const CallContext& context) {
    return cache_->Perform(context, operation::ConfigureFailover{kA, {}});
  });
  expect_bypass([this](const CallContext& context) {
    return cache_->Perform(context, operation::GetCallForwarding{kA});
  });
  expect_bypass([this](const CallContext& context) {
    return cache_->Perform(context, operation::EnableCallForwarding{kA, kB});
  });
  expect_bypass([this](const CallContext& context) {
    return cache_->Perform(context, operation::DisableCallForwarding{kA});
  });
}

// --- versions, changes, listener -----------------------------------------------------------------

class AvailabilityChangesTest : public CachingLeaseApiTest {
 protected:
  // The list becomes this one.
  void Become(Reply<NumberList> list) {
    Pass(milliseconds(1));
    script_.available = std::move(list);
    ASSERT_TRUE(StartAvailable(Context(milliseconds(0)))->status().ok());
  }
  std::uint64_t Version() { return cache_->PeekAvailability({})->version; }
  // "-a +b c": gone, come, changed; a bar between versions.
  std::string Changes(std::uint64_t version) {
    const auto changes = cache_->ChangesSince(version);
    if (!changes) return "unknown";
    std::vector<std::string> texts;
    for (const auto& change : *changes) {
      EXPECT_EQ(change.version, ++version);
      std::vector<std::string> words;
      for (const auto& number : *change.numbers) {
        const auto& present = number.after ? number.after : number.before;
        words.push_back(absl::StrCat(!number.before  ? "+"
                                     : !number.after ? "-"
                                                     : "",
                                     present->phone_number().substr(11)));
      }
      texts.push_back(absl::StrJoin(words, " "));
    }
    return absl::StrJoin(texts, " | ");
  }
};

TEST_F(AvailabilityChangesTest, VersionGrowsOnlyWithChanges) {
  EXPECT_EQ(Changes(0), "unknown");
  Become(Numbers({kA}));
  EXPECT_EQ(Version(), 1U);
  Become(Numbers({kA}));
  EXPECT_EQ(Version(), 1U);
  EXPECT_EQ(Changes(1), "");
  Become(Numbers({kA, kB}));
  EXPECT_EQ(Version(), 2U);
}

TEST_F(AvailabilityChangesTest, NumbersThatComeGoAndChange) {
  Become(Numbers({kA, kB}));
  Become(Numbers({NumberOf(kB, "other"), NumberOf(kC)}));
  Become(Numbers({NumberOf(kB, "other")}));
  EXPECT_EQ(Changes(1), "-1 2 +3 | -3");
  EXPECT_EQ(Changes(2), "-3");
  EXPECT_EQ(Changes(3), "");
}

TEST_F(AvailabilityChangesTest, LeasedNumberIsAChange) {
  Become(Numbers({kA, kB}));
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  EXPECT_EQ(Version(), 2U);
  EXPECT_EQ(Changes(1), "-1");
  Become(Numbers({kB}));
  EXPECT_EQ(Version(), 2U);
}

TEST_F(AvailabilityChangesTest, UnknownVersions) {
  EXPECT_EQ(Changes(1), "unknown");
  Become(Numbers({kA}));
  EXPECT_EQ(Changes(0), "unknown");
  EXPECT_EQ(Changes(2), "unknown");
  EXPECT_EQ(Changes(std::numeric_limits<std::uint64_t>::max()), "unknown");
}

TEST_F(AvailabilityChangesTest, SixtyFourChangesAreKept) {
  Become(Numbers({kA}));
  for (int i = 0; i < 65; ++i) Become(Numbers({NumberOf(kA, absl::StrCat(i))}));
  EXPECT_EQ(Version(), 66U);
  EXPECT_EQ(Changes(1), "unknown");
  EXPECT_EQ(cache_->ChangesSince(2)->size(), 64U);
}

TEST_F(AvailabilityChangesTest, ChangesAcrossADroppedListAreUnknown) {
  Become(Numbers({kA}));
  Become(Numbers({kB}));
  PassWithTimers(kIdle + kStaleIfError + kFresh);
  Become(Numbers({kC}));
  EXPECT_EQ(Version(), 3U);
  EXPECT_EQ(Changes(2), "unknown");
  EXPECT_EQ(Changes(3), "");
}

TEST_F(AvailabilityChangesTest, AskingForChangesCountsAsReading) {
  Become(Numbers({kA}));
  for (int i = 0; i < 10; ++i) {
    PassWithTimers(milliseconds(100'000));
    EXPECT_EQ(Changes(1), "");
  }
  EXPECT_EQ(ListRequests(), 1 + 1'000'000 / 4'250);
}

TEST_F(AvailabilityChangesTest, ListenerCanReadWhatHasChanged) {
  std::vector<std::string> seen;
  cache_->SetListener([&] {
    const auto answer = cache_->PeekAvailability({});
    ASSERT_TRUE(answer);
    seen.push_back(absl::StrCat(answer->version, ": ", Changes(answer->version - 1)));
  });
  Become(Numbers({kA, kB}));
  Become(Numbers({kA, kB}));
  Become(Numbers({kA, kB, kC}));
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  EXPECT_THAT(seen, ElementsAre("1: unknown", "2: +3", "3: -1"));
}

// --- the interface of the other layers -----------------------------------------------------------

TEST_F(CachingLeaseApiTest, ReadsOfTheInterfaceAreAnsweredFromMemory) {
  script_.available->metadata.set_upstream_request_id("req_numbers");
  script_.leases->metadata.set_upstream_request_id("req_leases");
  Warm();
  const CallContext context = Context();
  const auto numbers =
      Spawn(context.stats, cache_->Perform(context, operation::ListAvailableNumbers()));
  const auto leases = Spawn(context.stats, cache_->Perform(context, operation::ListLeases()));
  const auto number = Spawn(context.stats, cache_->Perform(context, operation::GetNumber{kB}));
  Settle();
  ASSERT_TRUE(numbers->status().ok());
  EXPECT_EQ((*numbers->result)->value.size(), 2);
  EXPECT_EQ((*numbers->result)->metadata.upstream_request_id(), "req_numbers");
  ASSERT_TRUE(leases->status().ok());
  EXPECT_EQ((*leases->result)->value.Get(0).lease_id(), "lease_c");
  EXPECT_EQ((*leases->result)->metadata.upstream_request_id(), "req_leases");
  ASSERT_TRUE(number->status().ok());
  EXPECT_EQ((*number->result)->value.phone_number(), kB);
  EXPECT_EQ((*number->result)->metadata.upstream_request_id(), "req_numbers");
  EXPECT_EQ(ListRequests() + LeasesRequests() + NumberRequests(), 2);
}

TEST_F(CachingLeaseApiTest, LeaseIsTakenFromTheNumber) {
  v1::Number number = NumberOf(kC, "leased");
  number.mutable_lease()->set_lease_id("lease_c");
  script_.number = ReplyOf(number);
  const CallContext context = Context();
  const auto lease = Spawn(context.stats, cache_->Perform(context, operation::GetLease{kC}));
  Settle();
  ASSERT_TRUE(lease->status().ok());
  EXPECT_EQ((*lease->result)->value.lease_id(), "lease_c");
  Warm();
  const auto none = Spawn(context.stats, cache_->Perform(context, operation::GetLease{kA}));
  Settle();
  EXPECT_EQ(ReasonOf(none->status()), reason::kNotLeased);
}

// --- many threads --------------------------------------------------------------------------------

// Keeps its own truth, and takes a few turns of the executor before and after it looks at it.
class TruthfulLeaseApi final : public TypedLeaseApi {
 public:
  explicit TruthfulLeaseApi(const std::vector<std::string>& phone_numbers) {
    for (const auto& phone_number : phone_numbers) lease_ids_[phone_number] = "";
  }

  LeaseApiResult<NumberList> ListAvailableNumbers(CallContext) override {
    co_await Turns();
    auto reply = Look<NumberList>([](NumberList& list, const auto& number, const auto& lease_id) {
      if (lease_id.empty()) *list.Add() = NumberOf(number);
    });
    co_await Turns();
    co_return reply;
  }
  LeaseApiResult<v1::Number> GetNumber(CallContext, std::string phone_number) override {
    co_await Turns();
    auto reply = Look<v1::Number>([&](v1::Number& found, const auto& number, const auto& lease_id) {
      if (number != phone_number) return;
      found = NumberOf(number);
      if (!lease_id.empty()) found.mutable_lease()->set_lease_id(lease_id);
    });
    co_await Turns();
    co_return reply;
  }
  LeaseApiResult<v1::Lease> CreateLease(CallContext, std::string phone_number,
                                        v1::BillingMethod) override {
    co_await Turns();
    auto reply = ReplyOf(LeaseOf(phone_number, ""));
    {
      const std::lock_guard lock(mutex_);
      reply.value.set_lease_id(absl::StrCat("lease_", ++leases_));
      lease_ids_[phone_number] = reply.value.lease_id();
    }
    co_await Turns();
    co_return reply;
  }
  LeaseApiResult<LeaseList> ListLeases(CallContext) override {
    co_await Turns();
    auto reply = Look<LeaseList>([](LeaseList& list, const auto& number, const auto& lease_id) {
      if (!lease_id.empty()) *list.Add() = LeaseOf(number, lease_id);
    });
    co_await Turns();
    co_return reply;
  }
  LeaseApiResult<v1::Termination> TerminateLease(CallContext, std::string phone_number) override {
    co_await Turns();
    Reply<v1::Termination> reply;
    {
      const std::lock_guard lock(mutex_);
      reply.value.set_lease_id(std::exchange(lease_ids_[phone_number], ""));
    }
    co_await Turns();
    co_return reply;
  }
  LeaseApiResult<v1::Lease> GetLease(CallContext, std::string) override {
    co_return absl::UnimplementedError("");
  }
  LeaseApiResult<v1::Failover> ConfigureFailover(CallContext, std::string, v1::Failover) override {
    co_return absl::UnimplementedError("");
  }
  LeaseApiResult<v1::CallForwarding> GetCallForwarding(CallContext, std::string) override {
    co_return absl::UnimplementedError("");
  }
  LeaseApiResult<v1::CallForwarding> EnableCallForwarding(CallContext, std::string,
                                                          std::string) override {
    co_return absl::UnimplementedError("");
  }
  LeaseApiResult<v1::CallForwarding> DisableCallForwarding(CallContext, std::string) override {
    co_return absl::UnimplementedError("");
  }

 private:
  static asio::awaitable<void> Turns() {
    thread_local std::minstd_rand random{std::random_device{}()};
    for (auto turns = random() % 4; turns > 0; --turns) {
      co_await asio::post(asio::use_awaitable);
    }
  }
  template <typename T, typename See>
  Reply<T> Look(const See& see) {
    Reply<T> reply;
    const std::lock_guard lock(mutex_);
    for (const auto& [number, lease_id] : lease_ids_) see(reply.value, number, lease_id);
    return reply;
  }

  std::mutex mutex_;
  std::map<std::string, std::string> lease_ids_;  // by number; empty: not leased
  int leases_ = 0;
};

// Leases and terminates numbers that nobody else touches, and looks whether it sees what it did.
class Worker {
 public:
  Worker(CachingLeaseApi* cache, std::vector<std::string> phone_numbers)
      : cache_(cache), phone_numbers_(std::move(phone_numbers)) {}

  asio::awaitable<void> Run(int rounds) {
    for (int round = 0; round < rounds; ++round) {
      const std::string number =
          phone_numbers_[static_cast<std::size_t>(round) % phone_numbers_.size()];
      auto lease = co_await cache_->Perform(
          Context(), operation::CreateLease{number, v1::BILLING_METHOD_UNSPECIFIED});
      failures += !lease.ok();
      co_await Look(number, true, round);
      auto termination = co_await cache_->Perform(Context(), operation::TerminateLease{number});
      failures += !termination.ok();
      co_await Look(number, false, round);
    }
  }

  int failures = 0;     // of calls
  int outdated = 0;     // answers that did not show a write
  int from_memory = 0;  // answers of Peek

 private:
  static CallContext Context() {
    CallContext context;
    context.deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    return context;
  }
  void See(const AvailabilityAnswer& answer, const std::string& number, bool leased) {
    outdated += answer.numbers->FindNumber(number).has_value() == leased;
  }
  void SeeLeases(const BytesAnswer& answer, const std::string& number, bool leased) {
    const auto list = Parse<v1::ListLeasesResponse>(answer);
    const auto lists =
        std::count_if(list.leases().begin(), list.leases().end(),
                      [&](const v1::Lease& lease) { return lease.phone_number() == number; });
    outdated += lists != (leased ? 1 : 0);
  }
  void SeeNumber(const BytesAnswer& answer, bool leased) {
    outdated += Parse<v1::GetNumberResponse>(answer).number().has_lease() != leased;
  }
  asio::awaitable<void> Look(const std::string& number, bool leased, int round) {
    for (int i = 0; i < 2; ++i) {
      if (const auto answer = cache_->PeekAvailability({})) {
        ++from_memory;
        See(*answer, number, leased);
      }
      if (const auto answer = cache_->PeekLeases({})) SeeLeases(*answer, number, leased);
      if (const auto answer = cache_->PeekNumber(number, {})) SeeNumber(*answer, leased);
      auto context = Context();
      if (round % 8 == 7) context.max_staleness = milliseconds(0);
      auto available = co_await cache_->FindAvailability(context);
      failures += !available.ok();
      if (available.ok()) See(*available, number, leased);
      auto leases = co_await cache_->FindLeases(context);
      failures += !leases.ok();
      if (leases.ok()) SeeLeases(*leases, number, leased);
      auto found = co_await cache_->FindNumber(context, number);
      failures += !found.ok();
      if (found.ok()) SeeNumber(*found, leased);
      cache_->ChangesSince(0);
    }
  }

  CachingLeaseApi* const cache_;
  const std::vector<std::string> phone_numbers_;
};

// How many answers of memory each worker had at least.
int WorkOnFourThreads(const CachePolicy& policy) {
  constexpr int kWorkers = 8;
  constexpr int kRounds = CONCURRENT_CALLS < 1'000 ? 80 : 250;  // fewer with ThreadSanitizer
  std::vector<std::vector<std::string>> owned(kWorkers);
  std::vector<std::string> all;
  for (int i = 0; i < kWorkers * 4; ++i) {
    all.push_back(absl::StrCat("+1305", 1'000'000 + i));
    owned[static_cast<std::size_t>(i) % kWorkers].push_back(all.back());
  }
  asio::io_context asio;
  auto cache =
      std::make_unique<CachingLeaseApi>(std::make_unique<TruthfulLeaseApi>(all), policy,
                                        MakeCacheEnvironment(asio.get_executor(), PinInMemory));
  std::atomic<int> changes = 0;
  cache->SetListener([&] { ++changes; });
  std::deque<Worker> workers;
  std::atomic<int> working = kWorkers;
  for (auto& phone_numbers : owned) {
    auto& worker = workers.emplace_back(cache.get(), std::move(phone_numbers));
    asio::co_spawn(asio::make_strand(asio), worker.Run(kRounds), [&](std::exception_ptr exception) {
      EXPECT_FALSE(exception);
      if (--working == 0) asio.stop();
    });
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { asio.run(); });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(working, 0);
  // Nothing that it has left on the executor goes on for long.
  cache.reset();
  asio.restart();
  asio.run();
  int from_memory = workers.front().from_memory;
  for (const auto& worker : workers) {
    EXPECT_EQ(worker.failures, 0);
    EXPECT_EQ(worker.outdated, 0);
    from_memory = std::min(from_memory, worker.from_memory);
  }
  EXPECT_GT(changes, 0);
  return from_memory;
}

TEST(CachingLeaseApiThreadsTest, WritersSeeTheirWritesInWhatIsHardlyEverFresh) {
  CachePolicy policy;
  policy.fresh = policy.stale_while_revalidate = milliseconds(1);
  WorkOnFourThreads(policy);  // on a slow machine memory has nothing that is fresh
}

TEST(CachingLeaseApiThreadsTest, WritersSeeTheirWritesInWhatIsStale) {
  CachePolicy policy;
  policy.fresh = milliseconds(1);
  policy.max_numbers = 4;
  EXPECT_GT(WorkOnFourThreads(policy), 0);
}

}  // namespace
}  // namespace leasegateway
