#include "upstream/cluster/gate.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;

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

asio::awaitable<absl::StatusOr<std::vector<postgres::Rows>>> Gate::Run(
    std::vector<postgres::Query> queries, std::chrono::steady_clock::time_point deadline) {
  absl::StatusOr<std::vector<postgres::Rows>> rows = ClosedError();
  if (is_open_) {
    auto running = inner_->Run(std::move(queries), deadline);
    rows = co_await std::move(running);
  }
  Count(rows.status());
  co_return rows;
}

asio::awaitable<absl::StatusOr<postgres::Rows>> Gate::RunShared(
    postgres::Query query, std::chrono::steady_clock::time_point deadline) {
  absl::StatusOr<postgres::Rows> rows = ClosedError();
  if (is_open_) {
    auto running = inner_->RunShared(std::move(query), deadline);
    rows = co_await std::move(running);
  }
  Count(rows.status());
  co_return rows;
}

}  // namespace leasegateway
