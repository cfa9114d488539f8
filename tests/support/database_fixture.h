#ifndef LEASE_GATEWAY_TESTS_SUPPORT_DATABASE_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_DATABASE_FIXTURE_H_

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/postgres_server.h"
#include "upstream/postgres/options.h"

namespace leasegateway::postgres {

// Two threads that callers' coroutines run on, each on a strand. They end when all is done, or are
// told to by Abandon.
class IoThreads {
 public:
  IoThreads() : work_(boost::asio::make_work_guard(io_)) {
    for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { io_.run(); });
  }
  ~IoThreads() {
    work_.reset();
    for (auto& thread : threads_) thread.join();
  }
  IoThreads(const IoThreads&) = delete;
  IoThreads& operator=(const IoThreads&) = delete;

  boost::asio::any_io_executor executor() { return io_.get_executor(); }
  // What runs is dropped where it stands.
  void Abandon() { io_.stop(); }

  template <typename T>
  std::future<T> Start(boost::asio::awaitable<T> call) {
    return boost::asio::co_spawn(boost::asio::make_strand(io_), std::move(call),
                                 boost::asio::use_future);
  }
  // Waits; what takes a minute has failed.
  template <typename T>
  T Get(boost::asio::awaitable<T> call) {
    return Get(Start(std::move(call)));
  }
  template <typename T>
  static T Get(std::future<T> future) {
    if (future.wait_for(std::chrono::minutes(1)) != std::future_status::ready) {
      throw std::runtime_error("no answer within a minute");
    }
    return future.get();
  }

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::vector<std::thread> threads_;
};

inline std::chrono::steady_clock::time_point In(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}
inline std::chrono::steady_clock::time_point Soon() { return In(std::chrono::seconds(20)); }

inline DatabaseOptions OptionsFor(const std::string& url) {
  auto parsed = ParseDatabaseUrl(url, false);
  if (!parsed.ok()) throw std::runtime_error(std::string(parsed.status().message()));
  DatabaseOptions options;
  options.url = *std::move(parsed);
  return options;
}

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_DATABASE_FIXTURE_H_
