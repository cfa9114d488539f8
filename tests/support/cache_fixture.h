#ifndef LEASE_GATEWAY_TESTS_SUPPORT_CACHE_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_CACHE_FIXTURE_H_

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
#include "upstream/availability/caching_lease_api.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

inline constexpr char kA[] = "+13050000001";
inline constexpr char kB[] = "+13050000002";
inline constexpr char kC[] = "+13050000003";
inline constexpr milliseconds kFresh{5'000};
inline constexpr milliseconds kWindow{65'000};  // fresh, and stale while it is refreshed
inline constexpr milliseconds kStaleIfError{900'000};
inline constexpr milliseconds kIdle{300'000};

inline absl::Status Outage() {
  return MakeError(absl::StatusCode::kUnavailable, reason::kUpstreamUnreachable, "down");
}

inline v1::Number LeasableNumber(std::string phone_number,
                                 std::string provider_status = "available") {
  v1::Number number;
  number.set_phone_number(std::move(phone_number));
  number.set_status(v1::NUMBER_STATUS_AVAILABLE);
  number.set_provider_status(std::move(provider_status));
  number.set_carrier("Carrier");
  return number;
}

inline v1::Lease LeaseOf(std::string phone_number, std::string lease_id) {
  v1::Lease lease;
  lease.set_lease_id(std::move(lease_id));
  lease.set_phone_number(phone_number);
  lease.mutable_number()->set_phone_number(std::move(phone_number));
  return lease;
}

inline Reply<NumberList> Numbers(std::initializer_list<v1::Number> numbers) {
  Reply<NumberList> reply;
  reply.value = NumberList(numbers.begin(), numbers.end());
  return reply;
}

inline Reply<NumberList> Numbers(std::initializer_list<std::string> phone_numbers) {
  Reply<NumberList> reply;
  for (const auto& phone_number : phone_numbers) *reply.value.Add() = LeasableNumber(phone_number);
  return reply;
}

inline Reply<LeaseList> Leases(std::initializer_list<v1::Lease> leases) {
  Reply<LeaseList> reply;
  reply.value = LeaseList(leases.begin(), leases.end());
  return reply;
}

template <typename T>
inline Reply<T> ReplyOf(T value) {
  Reply<T> reply;
  reply.value = std::move(value);
  return reply;
}

template <typename Message>
Message Parse(const BytesAnswer& answer) {
  return ParseReply<Message>(answer.reply);
}

inline std::vector<std::string> PhoneNumbers(const AvailabilityAnswer& answer) {
  std::vector<std::string> phone_numbers;
  for (const auto row : answer.numbers->AllRows()) {
    phone_numbers.push_back(answer.numbers->NumberAt(row).phone_number());
  }
  return phone_numbers;
}

inline std::vector<std::string> LeaseIds(const BytesAnswer& answer) {
  std::vector<std::string> ids;
  const auto list = Parse<v1::ListLeasesResponse>(answer);
  for (const auto& lease : list.leases()) {
    ids.push_back(lease.lease_id());
  }
  return ids;
}

inline std::string CacheStatus(const CacheOutcome& outcome) {
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
    script_.number = ReplyOf(LeasableNumber(kA));
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
    script_.available = Numbers({LeasableNumber(kA, text)});
    script_.leases = Leases({LeaseOf(kC, text)});
    script_.number = ReplyOf(LeasableNumber(kA, text));
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

inline std::string KindName(const testing::TestParamInfo<Kind>& kind) {
  switch (kind.param) {
    case Kind::kAvailable:
      return "Available";
    case Kind::kLeases:
      return "Leases";
    default:
      return "Number";
  }
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_CACHE_FIXTURE_H_
