#ifndef LEASE_GATEWAY_SERVICE_CALLERS_QUOTAS_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_QUOTAS_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "leasegateway/v1/resources.pb.h"
#include "service/callers/callers_policy.h"

namespace leasegateway {

enum class QuotaLimit : std::uint8_t { kReads, kWrites, kCallsInFlight, kWatchers, kRows };
inline constexpr std::array<const char*, 5> kQuotaLimitNames{
    "reads_per_second", "writes_per_second", "calls_in_flight", "watchers",
    "rows_per_minute"};  // as the callers file has them

// Calls that were refused, by limit, of all callers. Thread-safe.
class QuotaCounts {
 public:
  using Totals = std::array<std::uint64_t, kQuotaLimitNames.size()>;

  void Refused(QuotaLimit limit) {
    refused_[static_cast<std::size_t>(limit)].fetch_add(1, std::memory_order_relaxed);
  }
  Totals totals() const {
    Totals totals{};
    for (std::size_t i = 0; i < totals.size(); ++i) {
      totals[i] = refused_[i].load(std::memory_order_relaxed);
    }
    return totals;
  }

 private:
  std::array<std::atomic<std::uint64_t>, kQuotaLimitNames.size()> refused_{};
};

// Calls a second, with a burst: the generic cell rate algorithm, which needs nothing but the time
// at which all that was taken would have come one by one. Thread-safe, without waiting.
class RateMeter {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  // Takes one call, of `rate` a second and `burst` at once: 0 stands for as many as a second
  // allows, and there is one at least. A rate or burst that differs from that of the call before
  // counts at once. Returns how long the call has to wait: 0, and it is taken, or not.
  Duration Take(double rate, double burst, TimePoint now);
  // Calls that may come at once now.
  std::int64_t Left(double rate, double burst, TimePoint now) const;

  static std::int64_t Burst(double rate, double burst);

 private:
  std::atomic<std::int64_t> taken_until_{0};  // nanoseconds of the steady clock
  std::atomic<std::int64_t> burst_time_{0};   // nanoseconds in which a burst comes back, as it was
};

// What one caller uses of its limits: one for all its connections and accounts. Survives a reload
// of the callers file, and the settings that a call comes with are those in force: one that was
// changed counts at once. Refusals are RESOURCE_EXHAUSTED, QUOTA_EXCEEDED, with the metadata
// `caller`, `limit` (its key in the file) and `value`, a QuotaFailure, and the RetryInfo that says
// when the next would fit; where that is not known, in a second. Thread-safe; a limit that is not
// set costs nothing but the counts of what is under way.
class CallerUse {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `counts`: never null; of all callers together.
  explicit CallerUse(std::shared_ptr<QuotaCounts> counts = std::make_shared<QuotaCounts>())
      : counts_(std::move(counts)) {}

  // A call has come: reads and writes have limits apart.
  absl::Status TakeCall(const CallerSetting& caller, bool write, TimePoint now);

  // A unary call is under way, until it leaves. Who has been refused does not leave.
  absl::Status EnterCall(const CallerSetting& caller);
  void LeaveCall() { calls_.fetch_sub(1, std::memory_order_relaxed); }
  int calls() const { return calls_.load(std::memory_order_relaxed); }

  absl::Status EnterWatch(const CallerSetting& caller);
  void LeaveWatch() { watchers_.fetch_sub(1, std::memory_order_relaxed); }
  int watchers() const { return watchers_.load(std::memory_order_relaxed); }

  // Whether a list is refused, as more rows were sent than the limit has. Before it costs anything.
  absl::Status CheckRows(const CallerSetting& caller, TimePoint now);
  // A list of so many rows is sent. So a minute may have more rows than the limit, by the lists
  // that were under way; the next are refused until that is made up for.
  void ChargeRows(const CallerSetting& caller, std::int64_t rows, TimePoint now);

  // A limit each that is set, as WhoAmI tells them. Of a rate there are the calls a second, rounded
  // up, without use, and the burst under its own key, with what of it may come at once.
  std::vector<v1::LimitState> Limits(const CallerSetting& caller, TimePoint now) const;

 private:
  struct Rows {
    std::int64_t limit = 0;  // that `used` is of
    double used = 0;         // more than the limit: owed
    TimePoint at;            // `used` is of
  };
  // With the lock held: gives back what came back with time.
  static void Refill(Rows& rows, std::int64_t limit, TimePoint now);
  absl::Status Refuse(const CallerSetting& caller, QuotaLimit limit, const std::string& value,
                      const std::string& what, std::chrono::nanoseconds retry_in) const;

  const std::shared_ptr<QuotaCounts> counts_;
  RateMeter reads_;
  RateMeter writes_;
  std::atomic<int> calls_{0};
  std::atomic<int> watchers_{0};
  mutable std::mutex mutex_;  // guards rows_; for a few instructions at a time
  Rows rows_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_QUOTAS_H_
