// Searches in memory and their pages, through a real gRPC client, the gateway and the sandbox.
#include <algorithm>
#include <functional>
#include <limits>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/support/availability_fixture.h"

namespace leasegateway {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;

using Money = std::tuple<std::string, std::int64_t, std::int32_t>;
Money Rate(const v1::Number& number) {
  const auto& rate = number.pricing().monthly_rate();
  return {rate.currency_code(), rate.units(), rate.nanos()};
}

TEST_F(AvailabilityTest, SearchFindsWhatAPlainLoopFinds) {
  StartGateway(kLongFresh);
  const auto all = MustList();
  struct Case {
    std::function<void(v1::AvailabilityFilter&)> set;
    std::function<bool(const v1::Number&)> matches;
  };
  const std::string country = all.numbers(0).location().country();
  const std::string digits = all.numbers(0).phone_number().substr(3, 2);
  google::type::Money most = all.numbers(0).pricing().monthly_rate();
  const Case cases[] = {
      {[](auto&) {}, [](const auto&) { return true; }},
      {[](auto& filter) { filter.set_min_reputation(0.8); },
       [](const auto& number) { return number.health().reputation() >= 0.8; }},
      {[&](auto& filter) { filter.add_countries(country); },
       [&](const auto& number) { return number.location().country() == country; }},
      {[](auto& filter) { filter.add_channels("MMS"); },
       [](const auto& number) {
         const auto& channels = number.capabilities().channels();
         return std::find(channels.begin(), channels.end(), "mms") != channels.end();
       }},
      {[&](auto& filter) {
         filter.set_number_contains(digits);
         filter.set_max_previous_owners(2);
       },
       [&](const auto& number) {
         return number.phone_number().find(digits) != std::string::npos &&
                number.health().previous_owners() <= 2;
       }},
      {[&](auto& filter) { *filter.mutable_max_monthly_rate() = most; },
       [&](const auto& number) {
         return number.pricing().monthly_rate().currency_code() == most.currency_code() &&
                Rate(number) <= Rate(all.numbers(0));
       }},
      {[](auto& filter) { filter.mutable_allowed_requirements(); },
       [](const auto& number) { return number.requirements().empty(); }},
      {[](auto& filter) { filter.set_number_suffix("999999999"); },
       [](const auto&) { return false; }},
  };
  using Less = std::function<bool(const v1::Number&, const v1::Number&)>;
  const std::pair<const char*, Less> orders[] = {
      {"", nullptr},
      {"phone_number",
       [](const auto& a, const auto& b) { return a.phone_number() < b.phone_number(); }},
      {"health.reputation desc",
       [](const auto& a, const auto& b) {
         return std::pair(-a.health().reputation(), a.phone_number()) <
                std::pair(-b.health().reputation(), b.phone_number());
       }},
      {"pricing.monthly_rate, phone_number desc",
       [](const auto& a, const auto& b) {
         return std::tuple(Rate(a), b.phone_number()) < std::tuple(Rate(b), a.phone_number());
       }},
  };
  int partly = 0;  // cases in which some match and some do not
  for (const auto& [order_by, less] : orders) {
    for (const Case& each : cases) {
      std::vector<v1::Number> expected;
      for (const auto& number : all.numbers()) {
        if (each.matches(number)) expected.push_back(number);
      }
      if (less) std::sort(expected.begin(), expected.end(), less);
      partly += !expected.empty() && expected.size() < 100U;
      for (const int page_size : {0, 7, 100}) {
        ListRequest request;
        each.set(*request.mutable_filter());
        request.set_order_by(order_by);
        request.set_page_size(page_size);
        std::size_t at = 0;
        do {
          const auto page = MustList(request);
          EXPECT_EQ(page.total_size(), static_cast<int>(expected.size()));
          if (page_size > 0) {
            EXPECT_LE(page.numbers_size(), page_size);
          }
          for (const auto& number : page.numbers()) {
            ASSERT_LT(at, expected.size());
            EXPECT_EQ(number.SerializeAsString(), expected[at++].SerializeAsString())
                << order_by << ' ' << request.filter().ShortDebugString();
          }
          request.set_page_token(page.next_page_token());
        } while (!request.page_token().empty());
        EXPECT_EQ(at, expected.size()) << request.ShortDebugString();
      }
    }
  }
  EXPECT_GE(partly, 16);
  EXPECT_EQ(Asked("GET /leases"), 1);
}

TEST_F(AvailabilityTest, ColdSearchAsksForTheWholeListOnce) {
  StartGateway(kLongFresh);
  ListRequest request;
  request.set_page_size(10);
  request.set_order_by("phone_number");
  const auto page = MustList(request);
  EXPECT_TRUE(Matches(cache_status_, kStored)) << cache_status_;
  EXPECT_EQ(page.numbers_size(), 10);
  request.set_page_token(page.next_page_token());
  MustList(request);
  EXPECT_EQ(cache_status_.substr(0, 18), "lease-gateway; hit");
  MustList();
  EXPECT_TRUE(Matches(cache_status_, kHit)) << cache_status_;
  EXPECT_EQ(Asked("GET /leases"), 1);
}

TEST_F(AvailabilityTest, PagesShowOneListWhileTheProvidersChanges) {
  StartGateway([](Config& config) { config.cache_fresh = milliseconds(20); });
  ListRequest request;
  request.set_page_size(10);
  request.set_order_by("pricing.monthly_rate desc");
  const auto first = MustList(request);
  ListRequest others = request;
  others.set_page_token(first.next_page_token());
  others.set_page_size(0);
  auto expected = first.numbers();
  expected.MergeFrom(MustList(others).numbers());
  ASSERT_EQ(expected.size(), 100);

  auto walked = first.numbers();
  request.set_page_token(first.next_page_token());
  while (!request.page_token().empty()) {
    const std::string before = MustList().metadata().upstream_request_id();
    Control("POST", "/_sandbox/churn", R"({"count":20})");
    ASSERT_TRUE(Eventually([&] { return MustList().metadata().upstream_request_id() != before; }));
    const auto page = MustList(request);
    EXPECT_EQ(page.metadata().SerializeAsString(), first.metadata().SerializeAsString());
    EXPECT_EQ(page.total_size(), 100);
    walked.MergeFrom(page.numbers());
    request.set_page_token(page.next_page_token());
    ASSERT_LE(walked.size(), 100);
  }
  ASSERT_EQ(walked.size(), 100);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(walked[i].SerializeAsString(), expected[i].SerializeAsString()) << i;
  }
  // The list is another one meanwhile.
  ListRequest anew;
  anew.set_order_by("pricing.monthly_rate desc");
  EXPECT_TRUE(Eventually([&] { return MustList(anew).total_size() < 100; }));
}

TEST_F(AvailabilityTest, BadRequestsNameTheField) {
  StartGateway(kLongFresh);
  ListRequest walk;
  walk.set_page_size(1);
  const std::string token = MustList(walk).next_page_token();
  ASSERT_NE(token, "");
  std::string forged = token;
  forged[5] = forged[5] == 'A' ? 'B' : 'A';
  struct Row {
    std::function<void(ListRequest&)> set;
    const char* reason;
    const char* field;
  };
  const Row rows[] = {
      {[](auto& request) { request.set_order_by("price"); }, "INVALID_ORDER_BY", "order_by"},
      {[](auto& request) { request.mutable_filter()->set_number_pattern("+1305x"); },
       "INVALID_FILTER", "filter.number_pattern"},
      {[](auto& request) {
         request.mutable_filter()->set_number_pattern("+1305*");
         request.mutable_filter()->set_number_prefix("+44");
       },
       "INVALID_FILTER", "filter.number_pattern"},
      {[](auto& request) { request.set_page_size(-1); }, "INVALID_PAGE_SIZE", "page_size"},
      {[&](auto& request) { request.set_page_token(forged); }, "INVALID_PAGE_TOKEN", "page_token"},
      {[](auto& request) { request.set_page_token("mine"); }, "INVALID_PAGE_TOKEN", "page_token"},
      {[&](auto& request) {
         request.set_page_token(token);
         request.set_order_by("phone_number");
       },
       "INVALID_PAGE_TOKEN", "page_token"},
      {[](auto& request) { request.mutable_max_staleness()->set_seconds(-1); },
       "INVALID_MAX_STALENESS", "max_staleness"},
      {[](auto& request) {
         request.mutable_max_staleness()->set_seconds(std::numeric_limits<std::int64_t>::max());
       },
       "INVALID_MAX_STALENESS", "max_staleness"},
  };
  for (const Row& row : rows) {
    ListRequest request;
    row.set(request);
    SCOPED_TRACE(request.ShortDebugString());
    ListResponse response;
    ExpectBadField(List(request, &response), row.reason, row.field);
  }
  v1::BatchGetNumbersRequest batch;
  v1::BatchGetNumbersResponse results;
  ExpectBadField(stub_->BatchGetNumbers(Context().get(), batch, &results), "INVALID_BATCH",
                 "phone_numbers");
  for (int i = 0; i < 1001; ++i) batch.add_phone_numbers("+13059478667");
  ExpectBadField(stub_->BatchGetNumbers(Context().get(), batch, &results), "INVALID_BATCH",
                 "phone_numbers");
  v1::ListLeasesRequest leases;
  leases.mutable_max_staleness()->set_nanos(-1);
  v1::ListLeasesResponse listed;
  ExpectBadField(stub_->ListLeases(Context().get(), leases, &listed), "INVALID_MAX_STALENESS",
                 "max_staleness");
  EXPECT_EQ(Asked("GET /leases"), 1);
}

TEST_F(AvailabilityTest, TokenOfAnotherGatewayIsRefused) {
  StartGateway();
  ListRequest request;
  request.set_page_size(1);
  request.set_page_token(MustList(request).next_page_token());
  EXPECT_EQ(MustList(request).numbers_size(), 1);
  StartGateway();
  ListResponse response;
  ExpectBadField(List(request, &response), "INVALID_PAGE_TOKEN", "page_token");
}

}  // namespace
}  // namespace leasegateway
