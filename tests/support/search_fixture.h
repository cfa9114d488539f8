#ifndef LEASE_GATEWAY_TESTS_SUPPORT_SEARCH_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_SEARCH_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "google/rpc/error_details.pb.h"
#include "service/rpc/search.h"
#include "upstream/availability/availability.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

// `count` numbers from +1<first> on, with reputations that repeat, each some `bytes` long.
inline std::shared_ptr<const Availability> Snapshot(int first, int count, std::size_t bytes = 0) {
  NumberList numbers;
  for (int i = 0; i < count; ++i) {
    v1::Number& number = *numbers.Add();
    number.set_phone_number("+1" + std::to_string(first + i));
    number.set_formatted(std::string(bytes, 'f'));
    number.mutable_health()->set_reputation(0.1 * ((first + i) % 10 * 7 % 10));
  }
  v1::ResponseMetadata metadata;
  metadata.set_upstream_request_id("req_" + std::to_string(first));
  return Availability::Build(numbers, metadata, PinInMemory);
}

inline v1::ListAvailableNumbersRequest Request(int page_size, const std::string& token = "",
                                               const std::string& order_by = "") {
  v1::ListAvailableNumbersRequest request;
  request.set_page_size(page_size);
  request.set_page_token(token);
  request.set_order_by(order_by);
  return request;
}

// Searches by a clock and with timers that stand still until Advance.
class SearchTest : public testing::Test {
 protected:
  struct Timer {
    std::chrono::steady_clock::time_point due;
    std::function<void()> call;
  };

  std::unique_ptr<AvailabilitySearch> Make(std::size_t history_bytes = 64 << 20,
                                           const std::string& account = "default") {
    return std::make_unique<AvailabilitySearch>(
        [this] { return now_; },
        [this](std::chrono::milliseconds delay, std::function<void()> call) {
          timers_.push_back({now_ + delay, std::move(call)});
        },
        history_bytes, account);
  }

  // Lets replaced snapshots go into the history.
  void Pack() { Advance(std::chrono::milliseconds(0)); }

  // Lets time pass; calls what is due, in the order in which it is due.
  void Advance(std::chrono::milliseconds time) {
    const auto until = now_ + time;
    for (;;) {
      auto first = timers_.end();
      for (auto timer = timers_.begin(); timer != timers_.end(); ++timer) {
        if (timer->due <= until && (first == timers_.end() || timer->due < first->due)) {
          first = timer;
        }
      }
      if (first == timers_.end()) break;
      now_ = std::max(now_, first->due);
      const auto call = std::move(first->call);
      timers_.erase(first);
      call();
    }
    now_ = until;
  }

  // As the service answers: a token's snapshot, or else the present one.
  static absl::StatusOr<v1::ListAvailableNumbersResponse> Ask(
      AvailabilitySearch& search, const v1::ListAvailableNumbersRequest& request,
      const std::shared_ptr<const Availability>& present) {
    auto query = search.Prepare(request);
    if (!query.ok()) return query.status();
    v1::ListAvailableNumbersResponse response;
    EXPECT_TRUE(
        response.ParseFromString(search.Answer(*query, query->numbers ? query->numbers : present)));
    return response;
  }

  // The first page's token.
  static std::string Begin(AvailabilitySearch& search,
                           const std::shared_ptr<const Availability>& numbers, int page_size = 1) {
    const auto page = Ask(search, Request(page_size), numbers);
    EXPECT_TRUE(page.ok()) << page.status();
    EXPECT_NE(page->next_page_token(), "");
    return page->next_page_token();
  }

  static void ExpectRefused(const absl::Status& status, std::string_view expected_reason) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(ReasonOf(status), expected_reason);
    google::rpc::BadRequest bad_request;
    const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
    ASSERT_TRUE(payload && bad_request.ParseFromString(std::string(*payload)));
    ASSERT_EQ(bad_request.field_violations_size(), 1);
    EXPECT_EQ(bad_request.field_violations(0).field(), "page_token");
    EXPECT_NE(bad_request.field_violations(0).description(), "");
  }

  std::chrono::steady_clock::time_point now_{std::chrono::seconds(1'000'000)};
  std::vector<Timer> timers_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_SEARCH_FIXTURE_H_
