#ifndef LEASE_GATEWAY_TESTS_SUPPORT_SHARED_CACHE_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_SHARED_CACHE_FIXTURE_H_

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/cache_fixture.h"
#include "tests/support/scripted_lease_api.h"
#include "upstream/availability/caching_lease_api.h"
#include "upstream/availability/shared_lists.h"

namespace leasegateway {

// Several replicas' memories in one thread, over one provider, by one clock. How they share is up
// to the test.
class SharedCacheTest : public testing::Test {
 protected:
  struct Replica {
    std::unique_ptr<CachingLeaseApi> cache;
    struct Timer {
      std::chrono::steady_clock::time_point due;
      std::function<void()> call;
    };
    std::vector<Timer> timers;
    int notified = 0;  // its watchers
  };

  SharedCacheTest() {
    script_.available = Numbers({kA, kB});
    script_.leases = Leases({LeaseOf(kC, "lease_c")});
    script_.number = ReplyOf(LeasableNumber(kA));
  }
  ~SharedCacheTest() override { StopAll(); }

  void StopAll() {
    script_.hold = false;
    while (!script_.held.empty()) script_.Release(script_.held.front()->operation);
    for (const auto& replica : replicas_) replica->cache.reset();
    Settle();
  }

  Replica& Add(std::shared_ptr<SharedLists> lists) {
    replicas_.push_back(std::make_unique<Replica>());
    Replica& replica = *replicas_.back();
    replica.cache =
        std::make_unique<CachingLeaseApi>(std::make_unique<ScriptedLeaseApi>(&script_), policy_,
                                          EnvironmentOf(replica), std::move(lists));
    replica.cache->SetListener([&replica] { ++replica.notified; });
    return replica;
  }

  virtual CacheEnvironment EnvironmentOf(Replica& replica) {
    CacheEnvironment environment;
    environment.executor = asio_.get_executor();
    environment.now = [this] { return now_; };
    environment.after = [this, &replica](milliseconds delay, std::function<void()> call) {
      replica.timers.push_back({now_ + delay, std::move(call)});
    };
    environment.random = [] { return 0.5; };
    environment.pin = PinInMemory;
    return environment;
  }

  // Everything runs that can run.
  void Settle() {
    asio_.restart();
    asio_.poll();
  }
  // Until something has come about, where that takes more than this thread.
  virtual void Await(const std::function<bool()>& /*done*/) { Settle(); }

  // Time goes by. Timers call when they are due.
  void Pass(milliseconds time) {
    const auto end = now_ + time;
    for (;;) {
      Replica* first = nullptr;
      std::size_t place = 0;
      for (const auto& replica : replicas_) {
        for (std::size_t i = 0; i < replica->timers.size(); ++i) {
          if (replica->timers[i].due > end) continue;
          if (first == nullptr || replica->timers[i].due < first->timers[place].due) {
            first = replica.get();
            place = i;
          }
        }
      }
      if (first == nullptr) break;
      const auto timer = std::move(first->timers[place]);
      first->timers.erase(first->timers.begin() + static_cast<std::ptrdiff_t>(place));
      now_ = std::max(now_, timer.due);
      timer.call();
      Settle();
    }
    now_ = end;
  }

  static CallContext Context(MaxStaleness max_staleness = std::nullopt) {
    CallContext context;
    context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    context.max_staleness = max_staleness;
    return context;
  }
  // The result of what does not fail; nothing when it has not ended.
  template <typename T>
  std::optional<T> Do(asio::awaitable<T> operation) {
    auto result = std::make_shared<std::optional<T>>();
    asio::co_spawn(asio::make_strand(asio_), std::move(operation),
                   [result](std::exception_ptr exception, T value) {
                     EXPECT_FALSE(exception);
                     result->emplace(std::move(value));
                   });
    Await([result] { return result->has_value(); });
    return *result;
  }
  template <typename T>
  std::shared_ptr<Call<T>> Start(asio::awaitable<absl::StatusOr<T>> operation) {
    auto call = std::make_shared<Call<T>>();
    asio::co_spawn(asio::make_strand(asio_), std::move(operation),
                   [call](std::exception_ptr exception, absl::StatusOr<T> result) {
                     EXPECT_FALSE(exception);
                     call->result = std::move(result);
                   });
    Await([call] { return call->result.has_value(); });
    return call;
  }
  auto StartAvailable(Replica& replica, MaxStaleness max_staleness = std::nullopt) {
    return Start(replica.cache->FindAvailability(Context(max_staleness)));
  }
  std::vector<std::string> Available(Replica& replica, MaxStaleness max_staleness = std::nullopt) {
    const auto call = StartAvailable(replica, max_staleness);
    if (!call->result) return {"waiting"};
    return call->status().ok() ? PhoneNumbers(**call->result)
                               : std::vector{call->status().ToString()};
  }
  std::vector<std::string> LeasesOf(Replica& replica) {
    const auto call = Start(replica.cache->FindLeases(Context()));
    if (!call->result) return {"waiting"};
    return call->status().ok() ? LeaseIds(**call->result) : std::vector{call->status().ToString()};
  }
  static std::vector<std::string> AvailableInMemory(Replica& replica) {
    const auto answer = replica.cache->PeekAvailability({});
    return answer ? PhoneNumbers(*answer) : std::vector<std::string>{"nothing"};
  }
  static std::vector<std::string> LeasesInMemory(Replica& replica) {
    const auto answer = replica.cache->PeekLeases({});
    return answer ? LeaseIds(*answer) : std::vector<std::string>{"nothing"};
  }
  absl::Status Lease(Replica& replica, std::string phone_number, const std::string& lease_id) {
    script_.lease = ReplyOf(LeaseOf(phone_number, lease_id));
    const auto call = Start(replica.cache->Perform(
        Context(),
        operation::CreateLease{std::move(phone_number), v1::BILLING_METHOD_UNSPECIFIED}));
    return call->status();
  }
  absl::Status Terminate(Replica& replica, std::string phone_number, const std::string& lease_id) {
    v1::Termination termination;
    termination.set_lease_id(lease_id);
    termination.set_phone_number(phone_number);
    script_.termination = ReplyOf(termination);
    const auto call = Start(
        replica.cache->Perform(Context(), operation::TerminateLease{std::move(phone_number)}));
    return call->status();
  }
  int AvailableRequests() const { return script_.Count("ListAvailableNumbers"); }
  int LeasesRequests() const { return script_.Count("ListLeases"); }
  // The log's entry that a replica has read.
  static std::uint64_t SequenceOf(Replica& replica) {
    return replica.cache->stats().shared->sequence;
  }
  static std::optional<LoggedState> StateOf(Replica& replica) {
    const auto answer = replica.cache->PeekAvailability({});
    return answer ? replica.cache->account().EntryOf(answer->version) : std::nullopt;
  }

  asio::io_context asio_;
  std::chrono::steady_clock::time_point now_ = std::chrono::steady_clock::now();
  CachePolicy policy_;
  LeaseApiScript script_;
  std::vector<std::unique_ptr<Replica>> replicas_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_SHARED_CACHE_FIXTURE_H_
