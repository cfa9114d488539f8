#ifndef LEASE_GATEWAY_TESTS_SUPPORT_LEASING_REPLICAS_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_LEASING_REPLICAS_H_

#include <gtest/gtest.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "tests/support/leasing_fixture.h"
#include "tests/support/shared_journal.h"

namespace leasegateway {

// Two replicas, 0 and 1, of one account, with one provider.
class ReplicasTest : public RecordedLeaseApiTest {
 protected:
  ReplicasTest() {
    Stop();
    options_.adopt_interval = std::chrono::seconds(1);
    StartReplicas([this](int) { return provider_; });
  }
  ~ReplicasTest() override { StopReplicas(); }

  // `provider`: as one of the replicas sees it.
  void StartReplicas(const std::function<std::shared_ptr<LeaseApi>(int)>& provider) {
    for (int i = 0; i < 2; ++i) {
      journals_[i] = std::make_shared<SharedJournal>(records_, i + 1, &time_);
      replicas_[i] = std::make_unique<RecordedLeaseApi>(
          provider(i), memory_, journals_[i], options_, io_.get_executor(), time_.environment());
      std::optional<absl::Status> status;
      boost::asio::co_spawn(boost::asio::make_strand(io_), Recovering(replicas_[i].get(), &status),
                            boost::asio::detached);
      FakeTime::Run(io_);
      EXPECT_TRUE(status && status->ok());
    }
  }
  void StopReplicas() {
    io_.restart();
    auto work = boost::asio::make_work_guard(io_);
    std::thread thread([this] { io_.run(); });
    for (auto& replica : replicas_) replica.reset();
    work.reset();
    io_.stop();
    thread.join();
    io_.restart();
  }

  static boost::asio::awaitable<void> Recovering(RecordedLeaseApi* api,
                                                 std::optional<absl::Status>* status) {
    auto recovering = api->Recover();
    *status = co_await std::move(recovering);
  }
  auto LeaseAt(int replica, const std::string& id = kId, const std::string& number = kNumber,
               std::chrono::milliseconds timeout = std::chrono::seconds(30)) {
    return Run(replicas_[replica]->CreateLease(Context(id, timeout), LeaseRequest(number)));
  }
  auto LeaseAnyAt(int replica, const std::string& id = kId) {
    return Run(
        replicas_[replica]->LeaseAnyNumber(Context(id, std::chrono::seconds(30)), AnyRequest()));
  }
  // Others take it for dead; it goes on, like one that was frozen and doesn't know.
  void Die(int replica) { records_->alive.erase(replica + 1); }
  const v1::Operation& Row(const std::string& id = kId) {
    return records_->rows.at(id).entry.operation;
  }
  // The next write is done at once and answered later.
  void AnswerAfter(std::chrono::milliseconds time) {
    provider_->steps.push_back({true, absl::OkStatus(), std::chrono::milliseconds(0), time});
  }

  std::shared_ptr<SharedRecords> records_ = std::make_shared<SharedRecords>();
  std::array<std::shared_ptr<SharedJournal>, 2> journals_;
  std::array<std::unique_ptr<RecordedLeaseApi>, 2> replicas_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_LEASING_REPLICAS_H_
