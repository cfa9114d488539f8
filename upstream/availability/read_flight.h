#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_READ_FLIGHT_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_READ_FLIGHT_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "upstream/call_context.h"
#include "upstream/upstream_error.h"
#include "upstream/wakeup.h"

namespace leasegateway {

// A request to the provider for memory may outlive its callers, but not for ever.
inline constexpr std::chrono::milliseconds kFlightTimeout{30'000};

// How long those who watch wait for a write of this process to have an entry in the shared log.
inline constexpr std::chrono::milliseconds kLogPatience{100};

// When the provider was asked, and how many writes had returned by then.
struct Stamp {
  std::chrono::steady_clock::time_point sent;
  std::uint64_t writes = 0;
};

// A coroutine that may be cancelled from any thread.
struct CancellableStrand {
  explicit CancellableStrand(const boost::asio::any_io_executor& executor)
      : strand(boost::asio::make_strand(executor)) {}

  // What is posted before the coroutine is there is lost.
  static void Cancel(const std::shared_ptr<CancellableStrand>& running) {
    boost::asio::post(running->strand, [running] {
      running->cancellation.emit(boost::asio::cancellation_type::terminal);
    });
  }

  boost::asio::strand<boost::asio::any_io_executor> strand;
  boost::asio::cancellation_signal cancellation;  // only on the strand
};

// One request to the provider, for all who wait for it. Guarded by the lock of the memory that it
// is for, but for `stamp`, `until` and `running`, which do not change, and `stats`.
template <typename Value>
struct ReadFlight {
  // Whether it failed for its caller's sake, which says nothing of the provider.
  bool IsGivenUp() const {
    if (abandoned) return true;
    // Too little time was left for an answer, or for a turn.
    const absl::Status& status = result.status();
    return until && (status.code() == absl::StatusCode::kDeadlineExceeded ||
                     ReasonOf(status) == reason::kOverloaded);
  }

  // Whether it was a refresh that the gateway itself refused, for callers' sake: they may have a
  // turn at the provider where a refresh has none.
  bool HasYielded() const {
    const absl::Status& status = result.status();
    if (!refreshes || status.code() != absl::StatusCode::kResourceExhausted) return false;
    const auto metadata = MetadataOf(status);
    const auto sent = metadata.find("request_sent");
    return sent != metadata.end() && sent->second == "false";
  }

  void Land(absl::StatusOr<std::shared_ptr<const Value>> landed) {
    done = true;
    result = std::move(landed);
  }
  void WakeAll() {
    for (auto& waiter : waiters) Wakeup::Wake(std::move(waiter));
    waiters.clear();
  }

  Stamp stamp;
  // Of one that was made for a caller who takes nothing from memory: that caller's deadline, at
  // which it ends.
  std::optional<std::chrono::steady_clock::time_point> until;
  std::shared_ptr<CancellableStrand> running;
  bool refreshes = false;  // memory counts on it: it goes on when nobody waits
  bool abandoned = false;  // cancelled, because nobody waited
  // Of its own: it may outlive the call that it was made for.
  const std::shared_ptr<CallStats> stats = std::make_shared<CallStats>();
  bool done = false;
  absl::StatusOr<std::shared_ptr<const Value>> result = absl::UnknownError("in flight");
  std::vector<std::shared_ptr<Wakeup>> waiters;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_READ_FLIGHT_H_
