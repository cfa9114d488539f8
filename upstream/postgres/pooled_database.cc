#include "upstream/postgres/pooled_database.h"

#include <boost/asio/this_coro.hpp>
#include <utility>

#include "upstream/postgres/connection_pool.h"
#include "upstream/postgres/pooled_connection.h"

namespace leasegateway::postgres {
namespace {

namespace asio = boost::asio;

asio::awaitable<Request::Result> RunThrough(std::shared_ptr<ConnectionPool> pool,
                                            std::vector<Query> queries,
                                            std::chrono::steady_clock::time_point deadline,
                                            bool is_shared) {
  const auto executor = co_await asio::this_coro::executor;
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  // A transaction that is sent can't be called back.
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto request = std::make_shared<Request>(std::move(queries), deadline, is_shared,
                                                 std::make_shared<Wakeup>(executor));
  Request::Result result;
  if (auto status = pool->Add(request); !status.ok()) {
    result = std::move(status);
  } else {
    auto waiting = request->Await();
    result = co_await std::move(waiting);
    if (!result.ok()) pool->Remove(request);  // it may still be there
  }
  co_await asio::this_coro::throw_if_cancelled(throws);
  co_return result;
}

}  // namespace

PooledDatabase::PooledDatabase(const asio::any_io_executor& executor, DatabaseOptions options)
    : PooledDatabase(executor, std::make_shared<Connector>(std::move(options))) {}

PooledDatabase::PooledDatabase(const asio::any_io_executor& executor,
                               std::shared_ptr<Connector> connector)
    : pool_(std::make_shared<ConnectionPool>(executor, std::move(connector), ServeRequests)) {}

PooledDatabase::~PooledDatabase() { Stop(); }

asio::awaitable<absl::StatusOr<std::vector<Rows>>> PooledDatabase::Run(
    std::vector<Query> queries, std::chrono::steady_clock::time_point deadline) {
  auto running = RunThrough(pool_, std::move(queries), deadline, false);
  co_return co_await std::move(running);
}

asio::awaitable<absl::StatusOr<Rows>> PooledDatabase::RunShared(
    Query query, std::chrono::steady_clock::time_point deadline) {
  std::vector<Query> queries;
  queries.push_back(std::move(query));
  auto running = RunThrough(pool_, std::move(queries), deadline, true);
  auto rows = co_await std::move(running);
  if (!rows.ok()) co_return rows.status();
  co_return std::move(rows->front());
}

bool PooledDatabase::is_up() const { return pool_->is_up(); }

int PooledDatabase::connections() const { return pool_->connections(); }

void PooledDatabase::Stop() { pool_->Stop(); }

}  // namespace leasegateway::postgres
