#ifndef LEASE_GATEWAY_TESTS_SUPPORT_CLUSTER_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_CLUSTER_FIXTURE_H_

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/support/postgres_server.h"
#include "upstream/cluster/cluster.h"
#include "upstream/postgres/options.h"

namespace leasegateway {

// An io_context with two threads. Stop is the death of what runs there: from one moment to the
// next it does nothing any more.
class ReplicaThreads {
 public:
  ReplicaThreads() {
    for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { io_.run(); });
  }
  ~ReplicaThreads() {
    work_.reset();
    for (auto& thread : threads_) thread.join();
  }
  ReplicaThreads(const ReplicaThreads&) = delete;
  ReplicaThreads& operator=(const ReplicaThreads&) = delete;

  void Stop() { io_.stop(); }
  boost::asio::io_context::executor_type executor() { return io_.get_executor(); }

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::vector<std::thread> threads_;
};

// Whether `condition` comes true within a while. For what another process or thread does.
inline bool Eventually(const std::function<bool()>& condition,
                       std::chrono::milliseconds limit = std::chrono::seconds(20)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

// Of clusters that beat and try again more often than real ones, so that nothing takes long.
inline ClusterOptions QuickCluster(const std::string& url) {
  ClusterOptions options;
  options.database.url = postgres::ParseDatabaseUrl(url, false).value();
  options.database.last_pause = std::chrono::milliseconds(200);
  options.heartbeat.interval = std::chrono::milliseconds(100);
  options.heartbeat.ownership_time = std::chrono::milliseconds(1'500);
  options.heartbeat.version = "1.2.3";
  options.heartbeat.host = "here";
  options.stop_wait = std::chrono::milliseconds(5'000);
  return options;
}

// Runs SQL without parameters through a database, blocking: its status.
inline absl::Status RunThrough(ReplicaThreads& threads,
                               std::shared_ptr<postgres::Database> database,
                               const postgres::Statement& statement) {
  const auto running = [](std::shared_ptr<postgres::Database> through,
                          const postgres::Statement* what)
      -> boost::asio::awaitable<absl::StatusOr<std::vector<postgres::Rows>>> {
    std::vector<postgres::Query> queries(1);
    queries[0].statement = what;
    auto run = through->Run(std::move(queries),
                            std::chrono::steady_clock::now() + std::chrono::seconds(5));
    co_return co_await std::move(run);
  };
  return boost::asio::co_spawn(boost::asio::make_strand(threads.executor()),
                               running(std::move(database), &statement), boost::asio::use_future)
      .get()
      .status();
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_CLUSTER_FIXTURE_H_
