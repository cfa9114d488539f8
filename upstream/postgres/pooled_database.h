#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_POOLED_DATABASE_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_POOLED_DATABASE_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <vector>

#include "upstream/postgres/connector.h"
#include "upstream/postgres/database.h"
#include "upstream/postgres/options.h"

namespace leasegateway::postgres {

class ConnectionPool;

// A Database over a few connections, each served by a coroutine of its own on a strand of
// `executor`, which may have several threads and must outlive this.
class PooledDatabase final : public Database {
 public:
  PooledDatabase(const boost::asio::any_io_executor& executor, DatabaseOptions options);
  // The same over a connector that others have as well.
  PooledDatabase(const boost::asio::any_io_executor& executor,
                 std::shared_ptr<Connector> connector);
  // As Stop().
  ~PooledDatabase() override;

  boost::asio::awaitable<absl::StatusOr<std::vector<Rows>>> Run(
      std::vector<Query> queries, std::chrono::steady_clock::time_point deadline) override;
  boost::asio::awaitable<absl::StatusOr<Rows>> RunShared(
      Query query, std::chrono::steady_clock::time_point deadline) override;
  bool is_up() const override;
  // That are connected.
  int connections() const;

  // What waits is UNAVAILABLE, what was sent gets its answer, then connections are closed. Doesn't
  // wait for that. Thread-safe.
  void Stop();

 private:
  // Shared with the coroutines of the connections, which may end after this object.
  const std::shared_ptr<ConnectionPool> pool_;
};

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_POOLED_DATABASE_H_
