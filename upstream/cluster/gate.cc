#include "upstream/cluster/gate.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using TimePoint = std::chrono::steady_clock::time_point;

template <typename T>
asio::awaitable<absl::StatusOr<T>> TurnAway() {
  co_return absl::UnavailableError(
      "the database was not reached since the start, or this replica has left");
}

}  // namespace

asio::awaitable<absl::StatusOr<std::vector<postgres::Rows>>> Gate::Run(
    std::vector<postgres::Query> queries, TimePoint deadline) {
  if (!is_open_) return TurnAway<std::vector<postgres::Rows>>();
  return inner_->Run(std::move(queries), deadline);
}

asio::awaitable<absl::StatusOr<postgres::Rows>> Gate::RunShared(postgres::Query query,
                                                                TimePoint deadline) {
  if (!is_open_) return TurnAway<postgres::Rows>();
  return inner_->RunShared(std::move(query), deadline);
}

}  // namespace leasegateway
