#include "service/callers/quotas.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr double kSecond = 1e9;  // nanoseconds
// Far more than any rate that makes sense needs, and far from the end of the clock.
constexpr double kLongest = 1e17;  // nanoseconds, three years
// Where nothing ever fits.
constexpr auto kNever = std::chrono::hours(1);

std::int64_t Nanoseconds(std::chrono::steady_clock::time_point time) {
  return std::chrono::duration_cast<nanoseconds>(time.time_since_epoch()).count();
}

// Between two calls of a rate above 0.
std::int64_t Interval(double rate) {
  return std::max<std::int64_t>(1, std::llround(std::min(kSecond / rate, kLongest)));
}

// In which a full burst comes back.
std::int64_t BurstTime(double rate, double burst) {
  const double time =
      static_cast<double>(Interval(rate)) * static_cast<double>(RateMeter::Burst(rate, burst));
  return static_cast<std::int64_t>(std::min(time, kLongest));
}

// Enters when there are fewer than `most`.
bool EnterBelow(std::atomic<int>& count, std::optional<std::int64_t> most) {
  if (!most) {
    count.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  int now = count.load(std::memory_order_relaxed);
  while (now < *most) {
    if (count.compare_exchange_weak(now, now + 1, std::memory_order_relaxed)) return true;
  }
  return false;
}

void AddLimit(std::vector<v1::LimitState>& limits, const std::string& name, std::int64_t limit,
              std::optional<std::int64_t> used) {
  v1::LimitState& state = limits.emplace_back();
  state.set_scope(v1::LIMIT_SCOPE_CALLER);
  state.set_name(name);
  state.mutable_limit()->set_count(limit);
  if (!used) return;
  state.mutable_used()->set_count(*used);
  state.mutable_left()->set_count(std::max<std::int64_t>(0, limit - *used));
}

void AddRate(std::vector<v1::LimitState>& limits, const std::string& kind, double rate,
             double burst, const RateMeter& meter, std::chrono::steady_clock::time_point now) {
  AddLimit(limits, kind + "_per_second", static_cast<std::int64_t>(std::ceil(rate)), std::nullopt);
  const std::int64_t most = RateMeter::Burst(rate, burst);
  AddLimit(limits, kind + "_burst", most, most - meter.Left(rate, burst, now));
}

}  // namespace

std::int64_t RateMeter::Burst(double rate, double burst) {
  const double calls = std::floor(burst > 0 ? burst : rate);
  return static_cast<std::int64_t>(std::clamp(calls, 1.0, 1e9));
}

RateMeter::Duration RateMeter::Take(double rate, double burst, TimePoint now) {
  if (!(rate > 0)) return kNever;
  const std::int64_t interval = Interval(rate);
  const std::int64_t time = Nanoseconds(now);
  const std::int64_t burst_time = BurstTime(rate, burst);
  const std::int64_t latest = time + burst_time;  // when all of the burst is taken
  std::int64_t until = taken_until_.load(std::memory_order_relaxed);
  if (burst_time_.load(std::memory_order_relaxed) != burst_time) {
    burst_time_.store(burst_time, std::memory_order_relaxed);
    // Not later than these limits can have made it.
    while (until > latest &&
           !taken_until_.compare_exchange_weak(until, latest, std::memory_order_relaxed)) {
    }
    until = taken_until_.load(std::memory_order_relaxed);
  }
  for (;;) {
    const std::int64_t after = std::max(until, time) + interval;
    if (after > latest) return Duration(after - latest);
    if (taken_until_.compare_exchange_weak(until, after, std::memory_order_relaxed)) {
      return Duration(0);
    }
  }
}

std::int64_t RateMeter::Left(double rate, double burst, TimePoint now) const {
  if (!(rate > 0)) return 0;
  const std::int64_t time = Nanoseconds(now);
  const std::int64_t latest = time + BurstTime(rate, burst);
  const std::int64_t until = std::clamp(taken_until_.load(std::memory_order_relaxed), time, latest);
  return (latest - until) / Interval(rate);
}

absl::Status CallerUse::Refuse(const CallerSetting& caller, QuotaLimit limit,
                               const std::string& value, const std::string& what,
                               nanoseconds retry_in) const {
  counts_->Refused(limit);
  const std::string name = kQuotaLimitNames[static_cast<std::size_t>(limit)];
  auto status = MakeError(
      absl::StatusCode::kResourceExhausted, reason::kQuotaExceeded,
      absl::StrCat("caller \"", caller.name, "\" may have ", value, " ", what, " (", name, ")"),
      {{"caller", caller.name}, {"limit", name}, {"value", value}, {"request_sent", "false"}});
  AddQuotaViolation(status, absl::StrCat("caller:", caller.name),
                    absl::StrCat(name, ": ", value, " ", what));
  SetRetryDelay(status, std::chrono::ceil<milliseconds>(retry_in));
  return status;
}

absl::Status CallerUse::TakeCall(const CallerSetting& caller, bool write, TimePoint now) {
  const QuotaLimits& quotas = caller.quotas;
  const auto& rate = write ? quotas.writes_per_second : quotas.reads_per_second;
  if (!rate) return absl::OkStatus();
  const double burst = write ? quotas.writes_burst : quotas.reads_burst;
  const nanoseconds wait = (write ? writes_ : reads_).Take(*rate, burst, now);
  if (wait == nanoseconds(0)) return absl::OkStatus();
  return Refuse(caller, write ? QuotaLimit::kWrites : QuotaLimit::kReads, absl::StrCat(*rate),
                write ? "writes a second" : "reads a second", wait);
}

absl::Status CallerUse::EnterCall(const CallerSetting& caller) {
  if (EnterBelow(calls_, caller.quotas.calls_in_flight)) return absl::OkStatus();
  return Refuse(caller, QuotaLimit::kCallsInFlight, absl::StrCat(*caller.quotas.calls_in_flight),
                "calls in flight", kDefaultRetryDelay);
}

absl::Status CallerUse::EnterWatch(const CallerSetting& caller) {
  if (EnterBelow(watchers_, caller.quotas.watchers)) return absl::OkStatus();
  return Refuse(caller, QuotaLimit::kWatchers, absl::StrCat(*caller.quotas.watchers), "watchers",
                kDefaultRetryDelay);
}

void CallerUse::Refill(Rows& rows, std::int64_t limit, TimePoint now) {
  if (limit < rows.limit) {
    // What was within the limit before is within this one; what was owed still is.
    const double within = std::min(rows.used, static_cast<double>(rows.limit));
    rows.used -= std::max(0.0, within - static_cast<double>(limit));
  }
  rows.limit = limit;
  if (now <= rows.at) return;
  const double minutes = std::chrono::duration<double, std::ratio<60>>(now - rows.at).count();
  rows.used = std::max(0.0, rows.used - static_cast<double>(limit) * minutes);
  rows.at = now;
}

absl::Status CallerUse::CheckRows(const CallerSetting& caller, TimePoint now) {
  if (!caller.quotas.rows_per_minute) return absl::OkStatus();
  const std::int64_t limit = *caller.quotas.rows_per_minute;
  double over = 1;
  {
    const std::lock_guard lock(mutex_);
    Refill(rows_, limit, now);
    // By how much one more row is too many; the least part of one is none.
    over = rows_.used + 1 - static_cast<double>(limit);
    if (over < 1e-6) return absl::OkStatus();
  }
  const double wait =
      limit > 0 ? std::min(60 * kSecond * over / static_cast<double>(limit), kLongest) : kLongest;
  return Refuse(caller, QuotaLimit::kRows, absl::StrCat(limit), "rows of lists a minute",
                limit > 0 ? nanoseconds(std::llround(wait)) : nanoseconds(kNever));
}

void CallerUse::ChargeRows(const CallerSetting& caller, std::int64_t rows, TimePoint now) {
  if (!caller.quotas.rows_per_minute) return;
  const std::lock_guard lock(mutex_);
  Refill(rows_, *caller.quotas.rows_per_minute, now);
  rows_.used += static_cast<double>(rows);
}

std::vector<v1::LimitState> CallerUse::Limits(const CallerSetting& caller, TimePoint now) const {
  const QuotaLimits& quotas = caller.quotas;
  std::vector<v1::LimitState> limits;
  if (quotas.reads_per_second) {
    AddRate(limits, "reads", *quotas.reads_per_second, quotas.reads_burst, reads_, now);
  }
  if (quotas.writes_per_second) {
    AddRate(limits, "writes", *quotas.writes_per_second, quotas.writes_burst, writes_, now);
  }
  if (quotas.calls_in_flight) {
    AddLimit(limits, "calls_in_flight", *quotas.calls_in_flight, calls());
  }
  if (quotas.watchers) AddLimit(limits, "watchers", *quotas.watchers, watchers());
  if (quotas.rows_per_minute) {
    Rows rows;
    {
      const std::lock_guard lock(mutex_);
      rows = rows_;
    }
    Refill(rows, *quotas.rows_per_minute, now);
    AddLimit(limits, "rows_per_minute", *quotas.rows_per_minute,
             static_cast<std::int64_t>(std::ceil(rows.used)));
  }
  return limits;
}

}  // namespace leasegateway
