// What a provider that is down is asked, by its own count.
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <future>
#include <limits>
#include <thread>
#include <vector>

#include "tests/support/gateway_fixture.h"
#include "upstream/lease_api_factory.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

int Asked(sandbox::Sandbox& sandbox) {
  const auto reply = sandbox.Control("GET", "/_sandbox/requests", "");
  EXPECT_TRUE(reply.ok()) << reply.status();
  google::protobuf::Value value;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(*reply, &value).ok()) << *reply;
  return static_cast<int>(value.struct_value().fields().at("total").number_value());
}

constexpr char kDown[] = R"({"route":"*","fraction":1,"kind":"status","status":503})";

class RetryBudgetTest : public GatewayTest {
 protected:
  struct Asking {
    int asked = 0;
    int most = 0;  // what the budget allows
  };

  // `calls` reads of a provider that is down, 16 at a time, through all layers but for the circuit
  // breaker, which would keep most of them from it.
  Asking Ask(int calls, const RetryBudget::Options& budget) {
    UpstreamOptions options;
    options.url = sandbox_->url();
    options.ca_file = ca_file_;
    options.api_key = [key = sandbox_->key()] { return key; };
    options.pin = PinInMemory;
    options.retry_budget = std::make_shared<RetryBudget>(budget);
    options.breaker.min_volume = std::numeric_limits<int>::max();
    asio::io_context io;
    auto work = asio::make_work_guard(io);
    std::thread thread([&] { io.run(); });
    Asking asking;
    {
      auto api = MakeLeaseApi(io.get_executor(), options);
      EXPECT_TRUE(api.ok()) << api.status();
      const int before = Asked(*sandbox_);
      const auto started = Clock::now();
      std::atomic<int> next{0};
      std::vector<std::thread> callers;
      for (int i = 0; i < 16; ++i) {
        callers.emplace_back([&] {
          while (next++ < calls) Read(io, **api);
        });
      }
      for (auto& caller : callers) caller.join();
      const auto seconds = std::chrono::duration<double>(Clock::now() - started).count();
      asking.asked = Asked(*sandbox_) - before;
      asking.most =
          static_cast<int>(calls + calls * budget.percent / 100.0 + budget.floor * (1 + seconds));
    }
    work.reset();
    thread.join();
    return asking;
  }

  static void Read(asio::io_context& io, LeaseApi& api) {
    CallContext context;
    context.deadline = Clock::now() + std::chrono::seconds(10);
    context.max_staleness = std::chrono::milliseconds(0);
    std::promise<absl::Status> ended;
    asio::co_spawn(asio::make_strand(io),
                   api.Perform(std::move(context), operation::GetNumber{"+13059478667"}),
                   [&](std::exception_ptr, absl::StatusOr<Reply<v1::Number>> reply) {
                     ended.set_value(reply.status());
                   });
    EXPECT_EQ(ReasonOf(ended.get_future().get()), reason::kUpstreamFailed);
  }
};

TEST_F(RetryBudgetTest, ProviderThatIsDownIsAskedATenthMoreThanItIsCalled) {
  StartGateway();
  Fault(kDown);
  const Asking asking = Ask(1'000, {});
  RecordProperty("asked", asking.asked);
  EXPECT_LE(asking.asked, asking.most);
  EXPECT_GE(asking.asked, 1'000 + 80);  // and the tenth is used
}

// What the test above would miss without a budget.
TEST_F(RetryBudgetTest, WithoutABudgetItWouldBeAskedThreeTimes) {
  StartGateway();
  Fault(kDown);
  EXPECT_EQ(Ask(100, {.percent = 100, .floor = 1'000}).asked, 300);
}

// The same through the gateway, whose circuit breaker leaves much less.
TEST_F(RetryBudgetTest, GatewayAsksAProviderThatIsDownLittle) {
  StartGateway();
  const auto numbers = Available(10);
  ASSERT_EQ(numbers.size(), 10U);
  Fault(kDown);
  const int before = Asked(*sandbox_);
  constexpr int kCalls = 300;
  const auto started = Clock::now();
  for (int i = 0; i < kCalls; ++i) {
    EXPECT_EQ(Get(numbers[static_cast<std::size_t>(i) % 10]).error_code(),
              grpc::StatusCode::UNAVAILABLE);
  }
  const auto seconds = std::chrono::duration<double>(Clock::now() - started).count();
  const int asked = Asked(*sandbox_) - before;
  RecordProperty("asked", asked);
  EXPECT_LE(asked, 1.1 * kCalls + 5 * (1 + seconds));
  EXPECT_LT(asked, kCalls / 2);
}

}  // namespace
}  // namespace leasegateway
