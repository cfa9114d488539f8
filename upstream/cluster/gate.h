#ifndef LEASE_GATEWAY_UPSTREAM_CLUSTER_GATE_H_
#define LEASE_GATEWAY_UPSTREAM_CLUSTER_GATE_H_

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/postgres/database.h"

namespace leasegateway {

// A database as those see it who own something in it: away, UNAVAILABLE, until its schema is right
// and this replica is known to be alive. Before, what it owns would be taken for a dead one's.
class Gate final : public postgres::Database {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit Gate(std::shared_ptr<postgres::Database> inner) : inner_(std::move(inner)) {}

  // From now on, until Close.
  void Open() { is_open_ = true; }
  void Close() { is_open_ = false; }

  boost::asio::awaitable<absl::StatusOr<std::vector<postgres::Rows>>> Run(
      std::vector<postgres::Query> queries, TimePoint deadline) override;
  boost::asio::awaitable<absl::StatusOr<postgres::Rows>> RunShared(postgres::Query query,
                                                                   TimePoint deadline) override;
  bool is_up() const override { return is_open() && inner_->is_up(); }
  bool is_open() const { return is_open_; }

  // It was reached, but within the last 10 s one of the statements of RunShared, which write down
  // what is bought, failed for want of the server: its disk is full, or the standby that commits
  // wait for is gone.
  bool is_failing(TimePoint now = std::chrono::steady_clock::now()) const;

  // Transactions since the start, by what is known of them.
  struct Counts {
    std::uint64_t ok = 0;  // committed, or turned down by a unique constraint
    std::uint64_t failed = 0;
    std::uint64_t unknown = 0;  // committed or not
  };
  Counts counts() const { return {ok_, failed_, unknown_}; }

 private:
  void Count(const absl::Status& status);
  void Note(const absl::Status& status);

  const std::shared_ptr<postgres::Database> inner_;
  std::atomic<bool> is_open_{false};
  std::atomic<std::uint64_t> ok_{0};
  std::atomic<std::uint64_t> failed_{0};
  std::atomic<std::uint64_t> unknown_{0};
  std::atomic<TimePoint> last_failure_{TimePoint()};
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CLUSTER_GATE_H_
