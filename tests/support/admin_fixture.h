#ifndef LEASE_GATEWAY_TESTS_SUPPORT_ADMIN_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_ADMIN_FIXTURE_H_

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "service/admin/admin_server.h"
#include "tests/support/http_client.h"

namespace leasegateway {

// An admin port whose pages the test says.
class AdminServerTest : public testing::Test {
 protected:
  void SetUp() override { Start({}); }
  void TearDown() override {
    admin_.reset();
    work_.reset();
    if (thread_.joinable()) thread_.join();
  }

  void Start(const AdminServer::Options& options) {
    admin_.reset();
    AdminPages pages;
    pages.metrics = [this] {
      ++scrapes_;
      return metrics_;
    };
    pages.config = [] { return std::string("listen: \"x\"\n"); };
    pages.readiness = [this] {
      if (readiness_gate_.valid()) readiness_gate_.get();
      return readiness_;
    };
    pages.calls = io_.get_executor();
    auto started = AdminServer::Start("127.0.0.1:0", std::move(pages), options);
    ASSERT_TRUE(started.ok()) << started.status();
    admin_ = *std::move(started);
  }
  HttpAnswer Ask(const std::string& method, const std::string& path, const std::string& body = "") {
    return Http(admin_->port(), method, path, body);
  }
  std::uint64_t Lost(AdminLoss why) { return admin_->stats()->losses(why); }
  // Looks until it is so, for 20 s at most.
  static bool Becomes(const std::function<bool()>& so) {
    for (int i = 0; i < 2'000; ++i) {
      if (so()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return so();
  }

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::thread thread_;
  Readiness readiness_{true, ""};
  std::future<void> readiness_gate_;  // for which the next look at it waits, if valid
  std::string metrics_ = "a_metric 1\n";
  std::atomic<int> scrapes_{0};
  std::unique_ptr<AdminServer> admin_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_ADMIN_FIXTURE_H_
