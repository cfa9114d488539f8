#include "upstream/https_lease_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "upstream/lease_api_factory.h"
#include "upstream/sandbox/inventory.h"
#include "upstream/sandbox/sandbox.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class HttpsLeaseApiTest : public testing::Test {
 protected:
  void SetUp() override {
    sandbox::SandboxOptions options;
    options.numbers = 20;
    auto started = sandbox::Sandbox::Start(options);
    ASSERT_TRUE(started.ok()) << started.status();
    sandbox_ = *std::move(started);
    ca_file_ = testing::TempDir() + "https_lease_api_test_" + std::to_string(getpid()) + ".pem";
    std::ofstream(ca_file_) << sandbox_->ca_certificate();
    UpstreamOptions upstream;
    upstream.url = sandbox_->url();
    upstream.ca_file = ca_file_;
    upstream.api_key = [key = sandbox_->key()] { return key; };
    auto api = MakeLeaseApi(io_.get_executor(), upstream);
    ASSERT_TRUE(api.ok()) << api.status();
    api_ = *std::move(api);
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log_)));
    spdlog::set_pattern("%l %v");
  }
  void TearDown() override {
    spdlog::set_default_logger(before_);
    std::remove(ca_file_.c_str());
  }

  template <typename T>
  absl::StatusOr<Reply<T>> Await(LeaseApiResult<T> call) {
    std::optional<absl::StatusOr<Reply<T>>> result;
    asio::co_spawn(asio::make_strand(io_), std::move(call),
                   [&result](std::exception_ptr, absl::StatusOr<Reply<T>> reply) {
                     result = std::move(reply);
                   });
    io_.restart();
    while (!result) io_.run_one();
    return *std::move(result);
  }
  static CallContext Context() {
    CallContext context;
    context.max_staleness = std::chrono::milliseconds(0);
    context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    return context;
  }
  void Patch(const std::string& number, const std::string& patch) {
    const auto reply = sandbox_->Control("POST", "/_sandbox/numbers/" + number, patch);
    ASSERT_TRUE(reply.ok()) << reply.status();
  }

  const std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
  std::ostringstream log_;
  std::unique_ptr<sandbox::Sandbox> sandbox_;
  std::string ca_file_;
  asio::io_context io_;
  std::unique_ptr<LeaseApi> api_;
};

TEST_F(HttpsLeaseApiTest, AListWithABadNumberIsServedAndLoggedOnce) {
  const std::vector<sandbox::InventoryNumber> inventory = sandbox::MakeInventory(1, 20);
  const auto good = Await(api_->ListAvailableNumbers(Context()));
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->value.size(), 20);
  EXPECT_THAT(log_.str(), IsEmpty());

  Patch(inventory[3].e164, R"({"pricing":{"monthly_rate":"free"}})");
  Patch(inventory[7].e164, R"({"carrier":7})");
  const auto reply = Await(api_->ListAvailableNumbers(Context()));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->value.size(), 18);
  EXPECT_EQ(log_.str(),
            "warning upstream GET /leases: left out 2 of 20 items that can not be read, the first: "
            "data.numbers[3].pricing.monthly_rate: an amount of at most 9 decimals is wanted, not "
            "free\n");
}

TEST_F(HttpsLeaseApiTest, ALeaseThatCanNotBeReadIsLeftOutAndLogged) {
  const std::vector<sandbox::InventoryNumber> inventory = sandbox::MakeInventory(1, 20);
  for (const int i : {0, 1}) {
    const auto lease = Await(api_->CreateLease(Context(), inventory[static_cast<size_t>(i)].e164,
                                               v1::BILLING_METHOD_UNSPECIFIED));
    ASSERT_TRUE(lease.ok()) << lease.status();
  }
  Patch(inventory[0].e164, R"({"lease_id":null})");
  const auto reply = Await(api_->ListLeases(Context()));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->value.size(), 1);
  EXPECT_THAT(log_.str(), HasSubstr("warning upstream GET /leased: left out 1 of 2 items"));
  EXPECT_THAT(log_.str(), HasSubstr("lease_id: is missing"));
}

}  // namespace
}  // namespace leasegateway
