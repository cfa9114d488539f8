#include "upstream/cluster/gate.h"

#include <spdlog/spdlog.h>

#include <string>

namespace leasegateway {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::seconds kFailureShown{10};

absl::Status ClosedError() {
  return absl::UnavailableError(
      "the database was not reached since the start, or this replica is leaving");
}

}  // namespace

void Gate::Count(const absl::Status& status) {
  if (status.ok() || absl::IsAlreadyExists(status)) {
    ++ok_;
  } else if (absl::IsUnknown(status)) {
    ++unknown_;
  } else {
    ++failed_;
  }
}

// Of one that can't be reached the pool says so.
void Gate::Note(const absl::Status& status) {
  if (!absl::IsUnavailable(status) && !absl::IsUnknown(status)) return;
  if (!is_open_ || !inner_->is_up()) return;
  const auto now = std::chrono::steady_clock::now();
  if (!is_failing(now)) {
    spdlog::warn("the database of database_url does not take what it is sent: {}",
                 std::string(status.message()));
  }
  last_failure_ = now;
}

bool Gate::is_failing(TimePoint now) const {
  const TimePoint last = last_failure_;
  return last != TimePoint() && now - last < kFailureShown;
}

asio::awaitable<absl::StatusOr<std::vector<postgres::Rows>>> Gate::Run(
    std::vector<postgres::Query> queries, TimePoint deadline) {
  absl::StatusOr<std::vector<postgres::Rows>> rows = ClosedError();
  if (is_open_) {
    auto running = inner_->Run(std::move(queries), deadline);
    rows = co_await std::move(running);
  }
  Count(rows.status());
  co_return rows;
}

asio::awaitable<absl::StatusOr<postgres::Rows>> Gate::RunShared(postgres::Query query,
                                                                TimePoint deadline) {
  absl::StatusOr<postgres::Rows> rows = ClosedError();
  if (is_open_) {
    auto running = inner_->RunShared(std::move(query), deadline);
    rows = co_await std::move(running);
  }
  Count(rows.status());
  Note(rows.status());
  co_return rows;
}

}  // namespace leasegateway
