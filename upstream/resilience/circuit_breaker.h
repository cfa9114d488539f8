#ifndef LEASE_GATEWAY_UPSTREAM_RESILIENCE_CIRCUIT_BREAKER_H_
#define LEASE_GATEWAY_UPSTREAM_RESILIENCE_CIRCUIT_BREAKER_H_

#include <array>
#include <bitset>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "upstream/upstream_stats.h"

namespace leasegateway {

// A circuit for each operation and one for the provider as a whole; an attempt needs both.
//
// Closed: attempts go through. Open: none does, for a second, twice as long each time it opens
// again. Then half open: a few at a time go through as probes, until enough of them have succeeded
// or failed.
//
// A failure may be the fault of the number that was asked for, of the operation or of the provider,
// so it counts for more than its number only beside those of others. Of the last ten seconds:
// - An operation's circuit opens when half of its attempts failed, and several numbers, half of
//   those that it was asked for.
// - The provider's opens when half of all attempts did not reach it, or when several numbers failed
//   at two operations or more and no operation works.
// Thread-safe.
class CircuitBreaker {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = TimePoint::duration;

  struct Options {
    int min_volume = 20;         // attempts in the window, below which nothing opens
    int failure_percent = 50;    // of them, and of the numbers, at which it opens
    int distinct_resources = 3;  // numbers or lists that failed, below which it is their own fault
    std::chrono::milliseconds first_open{1'000};
    std::chrono::milliseconds max_open{10'000};
    int probes = 3;     // at a time, each of another number or list
    int successes = 3;  // that close it
    // One success is enough when it opened so long ago, so that rare calls close it too.
    std::chrono::milliseconds settled{20'000};
  };
  enum class State { kClosed, kOpen, kHalfOpen };
  enum class Outcome {
    kSuccess,      // the provider answered, be it with a refusal
    kFailure,      // it got the request, and gave no answer of use
    kUnreachable,  // no request gets there, whatever it asks for
    kUnknown,      // counts for nothing
  };

  // A circuit that lets no attempt through.
  struct Refusal {
    bool is_provider = false;  // the provider's; otherwise the operation's
    Duration retry_in{0};
  };
  // The right to one attempt, when there is no refusal; ends with Record.
  struct Permit {
    std::optional<Refusal> refusal;
    UpstreamOperation operation{};
    std::size_t resource = 0;
    std::uint64_t provider_period = 0;
    std::uint64_t operation_period = 0;
  };

  explicit CircuitBreaker(const Options& options) : options_(options) {}

  // Which circuit is open; nothing when neither is. Changes nothing.
  std::optional<Refusal> FindOpen(UpstreamOperation operation, TimePoint now) const;
  // Call before an attempt, and Record once after one that was granted. `phone_number` is empty for
  // a list.
  Permit Ask(UpstreamOperation operation, std::string_view phone_number, TimePoint now);
  // `now` is not looked at for kUnknown. A circuit ignores attempts from before its state changed.
  void Record(const Permit& permit, Outcome outcome, TimePoint now);

  State provider(TimePoint now) const;
  State operation(UpstreamOperation operation, TimePoint now) const;

 private:
  static constexpr int kSlots = 10;
  // Which numbers and lists, by hash. Where it is too full to tell them apart, the shares of
  // attempts still tell.
  using Resources = std::bitset<1'024>;
  struct Tally {
    void Add(const Tally& other);

    std::int64_t second = -1;
    int successes = 0;
    int failures = 0;
    int unreachable = 0;
    Resources asked;  // with success or failure
    Resources failed;
  };
  using Window = std::array<Tally, kSlots>;  // of a second each

  struct Circuit {
    State state(TimePoint now) const;

    bool closed = true;
    std::uint64_t period = 0;  // grows with each change of state
    TimePoint opened;
    Duration open_for{0};              // 0: while closed
    std::vector<std::size_t> probing;  // the resources of the probes under way
    int succeeded = 0;                 // probes, since it opened
    Resources failed;                  // the same
  };

  static void Count(Window& window, std::size_t resource, Outcome outcome, TimePoint now);
  static Tally Sum(const Window& window, TimePoint now);
  bool IsFailing(const Tally& tally) const;
  bool OperationFails(std::size_t operation, TimePoint now) const;
  bool ProviderFails(TimePoint now) const;
  // Why it lets no attempt through; nothing: it does.
  std::optional<Duration> WaitOf(const Circuit& circuit, std::size_t resource, TimePoint now) const;
  void EndProbe(Circuit& circuit, const Permit& permit, Outcome outcome, TimePoint now);
  void Open(Circuit& circuit, TimePoint now);
  void Close(Circuit& circuit);

  const Options options_;
  mutable std::mutex mutex_;  // guards all below
  Circuit provider_;
  std::array<Circuit, kUpstreamOperationNames.size()> operations_;
  std::array<Window, kUpstreamOperationNames.size()> windows_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_CIRCUIT_BREAKER_H_
