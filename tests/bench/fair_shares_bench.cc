// Nine callers of one guard, of which one sends a thousand times what each other does: ten times
// what the provider carries. The provider takes 10 to 30 ms an answer. Rounds without and with that
// one take turns in one run, so that a busy machine slows both; and all of it twice, with
// connections and with a rate of calls as what is short. Prints what the others' calls took, with
// their share by caller, and for comparison as it is without shares. Exits 1 when the others' 99th
// percentile is more than 1.5 times that without the one, or one of their calls was refused.
// bench_shares measures the same through the whole server.
#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "upstream/lease_api.h"
#include "upstream/resilience/guarded_lease_api.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr int kPool = 16;   // carries 800 calls a second
constexpr int kRate = 400;  // calls a second, where the rate is what is short
constexpr int kOthers = 8;
constexpr int kOtherRate = 8;                    // calls a second of each
constexpr int kGreedyRate = 1'000 * kOtherRate;  // of the one
constexpr auto kRound = std::chrono::seconds(4);
constexpr int kRounds = 3;
constexpr double kMostRatio = 1.5;

// Answers after 10 to 30 ms.
class SlowProvider final : public LeaseApi {
 public:
  asio::awaitable<absl::StatusOr<AnyReply>> Call(CallContext, Operation) override {
    const auto time =
        std::chrono::microseconds(10'000 + static_cast<int>(20'000 * environment_.random()));
    const auto wakeup = std::make_shared<Wakeup>(co_await asio::this_coro::executor);
    auto waiting = environment_.wait(wakeup, Clock::now() + time);
    co_await std::move(waiting);
    co_return AnyReply(Reply<v1::Number>());
  }

 private:
  const CallEnvironment environment_ = MakeCallEnvironment();
};

struct Results {
  std::vector<double> ms;  // of those that were answered
  int refused = 0;
};

class Round {
 public:
  Round(const GuardOptions& options, bool with_shares)
      : api_(std::make_unique<SlowProvider>(), options, MakeCallEnvironment()),
        with_shares_(with_shares) {}

  void Run(bool with_greedy) {
    const auto end = Clock::now() + kRound;
    std::vector<std::thread> threads;
    threads.emplace_back([&] {
      for (int i = 0; Send(end, i, kOthers * kOtherRate); ++i) {
        Start("other-" + std::to_string(i % kOthers), &others_);
      }
    });
    if (with_greedy) {
      threads.emplace_back([&] {
        for (int i = 0; Send(end, i, kGreedyRate); ++i) Start("greedy", &greedy_);
      });
    }
    std::thread worker([&] { io_.run(); });
    for (auto& thread : threads) thread.join();
    work_.reset();
    worker.join();
  }
  const Results& others() const { return others_; }
  const Results& greedy() const { return greedy_; }

 private:
  // Sleeps until it is the turn of call `i`; false: the round is over.
  static bool Send(Clock::time_point end, int i, int rate) {
    const auto at = end - kRound + i * nanoseconds(1'000'000'000 / rate);
    if (at >= end) return false;
    std::this_thread::sleep_until(at);
    return true;
  }
  void Start(const std::string& caller, Results* results) {
    asio::co_spawn(asio::make_strand(io_), Call(this, caller, results), asio::detached);
  }
  static asio::awaitable<void> Call(Round* round, std::string caller, Results* results) {
    CallContext context;
    const auto began = Clock::now();
    context.deadline = began + std::chrono::seconds(5);
    if (round->with_shares_) context.share = std::move(caller);
    auto calling = round->api_.Call(std::move(context), operation::GetNumber{"+13059478667"});
    const auto reply = co_await std::move(calling);
    const double ms = std::chrono::duration<double, std::milli>(Clock::now() - began).count();
    const std::lock_guard lock(round->mutex_);
    if (reply.ok()) {
      results->ms.push_back(ms);
    } else {
      ++results->refused;
    }
  }

  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  GuardedLeaseApi api_;
  const bool with_shares_;
  std::mutex mutex_;  // guards all below
  Results others_;
  Results greedy_;
};

void Add(Results& sum, const Results& one) {
  sum.ms.insert(sum.ms.end(), one.ms.begin(), one.ms.end());
  sum.refused += one.refused;
}

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

struct Measured {
  Results alone, others, greedy;
};

Measured RunRounds(const GuardOptions& options, bool with_shares) {
  Measured sum;
  for (int i = 0; i < kRounds; ++i) {
    Round without(options, with_shares);
    without.Run(false);
    Add(sum.alone, without.others());
    Round with(options, with_shares);
    with.Run(true);
    Add(sum.others, with.others());
    Add(sum.greedy, with.greedy());
  }
  return sum;
}

// Whether the others were served as they should be.
bool Measure(const char* name, const GuardOptions& options, bool with_shares) {
  const auto [alone, others, greedy] = RunRounds(options, with_shares);
  const double ratio = Percentile(others.ms, 0.99) / Percentile(alone.ms, 0.99);
  std::printf("%-28s %8.1f %8.1f %8.1f %8.1f %6.2f %8d %9zu %9d\n", name, Percentile(alone.ms, 0.5),
              Percentile(alone.ms, 0.99), Percentile(others.ms, 0.5), Percentile(others.ms, 0.99),
              ratio, others.refused, greedy.ms.size(), greedy.refused);
  return ratio <= kMostRatio && others.refused == 0 && alone.refused == 0;
}

}  // namespace
}  // namespace leasegateway

int main() {
  using namespace leasegateway;
  GuardOptions connections;
  connections.admission.max_in_flight = kPool;
  GuardOptions rate = connections;
  rate.rate = kRate;
  std::printf("%d callers send %d calls a second each, and one %d\n", kOthers, kOtherRate,
              kGreedyRate);
  std::printf("%-28s %17s %17s %6s %8s %19s\n", "", "others alone, ms", "with the one, ms", "",
              "others", "the one's calls");
  std::printf("%-28s %8s %8s %8s %8s %6s %8s %9s %9s\n", "", "p50", "p99", "p50", "p99", "ratio",
              "refused", "answered", "refused");
  bool good = Measure("16 connections", connections, true);
  good = Measure("400 calls a second", rate, true) && good;
  Measure("16 connections, no shares", connections, false);
  Measure("400 a second, no shares", rate, false);
  std::printf("p99 of the others at most %.1f times, and none refused: %s\n", kMostRatio,
              good ? "yes" : "NO");
  return good ? 0 : 1;
}
