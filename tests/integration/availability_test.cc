// Reads from memory, through a real gRPC client, the gateway, verified TLS and the sandbox, whose
// counters say what the provider was asked.
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <future>
#include <limits>
#include <map>
#include <mutex>
#include <regex>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/support/gateway_fixture.h"

namespace leasegateway {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;

// A full match.
bool Matches(const std::string& text, const std::string& regex) {
  return std::regex_match(text, std::regex(regex));
}

constexpr char kHit[] = "lease-gateway; hit; ttl=-?[0-9]+";
constexpr char kStored[] = "lease-gateway; fwd=miss; stored; ttl=[0-9]+";

class AvailabilityTest : public GatewayTest {
 protected:
  using ListRequest = v1::ListAvailableNumbersRequest;
  using ListResponse = v1::ListAvailableNumbersResponse;

  static std::string CacheStatusOf(const grpc::ClientContext& context) {
    // Of an error it comes at the end, so that clients' retry policies still work.
    for (const auto* metadata :
         {&context.GetServerInitialMetadata(), &context.GetServerTrailingMetadata()}) {
      const auto found = metadata->find("cache-status");
      if (found != metadata->end()) return {found->second.data(), found->second.size()};
    }
    return "";
  }

  // Lists, and leaves what the call said of the cache in `cache_status_`.
  grpc::Status List(const ListRequest& request, ListResponse* response, int timeout_ms = 10'000) {
    const auto context = Context(timeout_ms);
    response->Clear();
    const auto status = stub_->ListAvailableNumbers(context.get(), request, response);
    cache_status_ = CacheStatusOf(*context);
    return status;
  }
  ListResponse MustList(const ListRequest& request = {}) {
    ListResponse response;
    const auto status = List(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  // From memory, if that will do.
  grpc::Status Find(const std::string& number, v1::GetNumberResponse* response) {
    v1::GetNumberRequest request;
    request.set_phone_number(number);
    const auto context = Context();
    response->Clear();
    const auto status = stub_->GetNumber(context.get(), request, response);
    cache_status_ = CacheStatusOf(*context);
    return status;
  }

  v1::ListLeasesResponse Leases() {
    v1::ListLeasesResponse response;
    const auto context = Context();
    const auto status = stub_->ListLeases(context.get(), {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    cache_status_ = CacheStatusOf(*context);
    return response;
  }

  grpc::Status GetLease(const std::string& number, v1::GetLeaseResponse* response) {
    v1::GetLeaseRequest request;
    request.set_phone_number(number);
    const auto context = Context();
    const auto status = stub_->GetLease(context.get(), request, response);
    cache_status_ = CacheStatusOf(*context);
    return status;
  }

  google::protobuf::Value Control(const std::string& method, const std::string& path,
                                  const std::string& body = "") {
    google::protobuf::Value value;
    const auto reply = sandbox_->Control(method, path, body);
    EXPECT_TRUE(reply.ok()) << reply.status();
    if (reply.ok()) {
      EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(*reply, &value).ok()) << *reply;
    }
    return value;
  }

  // How many requests of a route the provider has had.
  int Asked(const std::string& route) {
    const auto stats = Control("GET", "/_sandbox/requests");
    const auto& routes = stats.struct_value().fields().at("routes").struct_value().fields();
    const auto found = routes.find(route);
    return found == routes.end() ? 0 : static_cast<int>(found->second.number_value());
  }

  // Until it is so, 10 s at most.
  static bool Eventually(const std::function<bool()>& is_so) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!is_so()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(milliseconds(2));
    }
    return true;
  }

  static bool Has(const ListResponse& list, const std::string& number) {
    return std::any_of(list.numbers().begin(), list.numbers().end(),
                       [&](const v1::Number& each) { return each.phone_number() == number; });
  }
  static bool Has(const v1::ListLeasesResponse& list, const std::string& number) {
    return std::any_of(list.leases().begin(), list.leases().end(),
                       [&](const v1::Lease& each) { return each.phone_number() == number; });
  }

  static void ExpectBadField(const grpc::Status& status, const std::string& reason,
                             const std::string& field) {
    const auto failure = Explain(status);
    EXPECT_EQ(failure.code, StatusCode::INVALID_ARGUMENT) << status.error_message();
    EXPECT_EQ(failure.reason, reason);
    ASSERT_EQ(failure.bad_request.field_violations_size(), 1) << status.error_message();
    EXPECT_EQ(failure.bad_request.field_violations(0).field(), field);
  }

  std::string cache_status_;
};

constexpr auto kLongFresh = [](Config& config) { config.cache_fresh = milliseconds(60'000); };

// --- cache-status -------------------------------------------------------------------------------

TEST_F(AvailabilityTest, TheSecondListIsAHit) {
  StartGateway(kLongFresh);
  const auto first = MustList();
  EXPECT_TRUE(Matches(cache_status_, kStored)) << cache_status_;
  const auto second = MustList();
  EXPECT_TRUE(Matches(cache_status_, kHit)) << cache_status_;
  EXPECT_EQ(second.SerializeAsString(), first.SerializeAsString());
  EXPECT_EQ(Asked("GET /leases"), 1);

  ListRequest now;
  now.mutable_max_staleness();
  const auto third = MustList(now);
  EXPECT_TRUE(Matches(cache_status_, "lease-gateway; fwd=request; stored; ttl=[0-9]+"))
      << cache_status_;
  EXPECT_EQ(Asked("GET /leases"), 2);
  const auto time_of = [](const ListResponse& list) {
    const auto& time = list.metadata().fetch_time();
    return std::pair(time.seconds(), time.nanos());
  };
  EXPECT_GT(time_of(third), time_of(first));
  // It is what memory has now, also for those who do not ask for it.
  EXPECT_EQ(time_of(MustList()), time_of(third));
  // Old enough for some, too old for others; the most that can be said is no trouble.
  ListRequest any_age;
  any_age.mutable_max_staleness()->set_seconds(315'576'000'000);
  EXPECT_EQ(time_of(MustList(any_age)), time_of(third));
  EXPECT_EQ(Asked("GET /leases"), 2);
}

TEST_F(AvailabilityTest, MaxStalenessIsTheLongestAgeThatWillDo) {
  StartGateway(kLongFresh);
  MustList();
  ListRequest request;
  request.mutable_max_staleness()->set_nanos(1'000'000);
  EXPECT_TRUE(Eventually([&] {
    MustList(request);
    return Matches(cache_status_, "lease-gateway; fwd=request; stored; ttl=[0-9]+");
  })) << cache_status_;
  request.mutable_max_staleness()->set_seconds(30);
  MustList(request);
  EXPECT_TRUE(Matches(cache_status_, kHit)) << cache_status_;
}

TEST_F(AvailabilityTest, ListAnswersForItsNumbers) {
  StartGateway(kLongFresh);
  const auto list = MustList();
  for (const auto& number : list.numbers()) {
    v1::GetNumberResponse response;
    ASSERT_TRUE(Find(number.phone_number(), &response).ok());
    EXPECT_TRUE(Matches(cache_status_, kHit)) << cache_status_;
    EXPECT_EQ(response.number().SerializeAsString(), number.SerializeAsString());
    EXPECT_EQ(response.metadata().SerializeAsString(), list.metadata().SerializeAsString());
  }
  EXPECT_EQ(Asked("GET /{number}"), 0);
  // One that is not in the list has to be asked for; that it does not exist is remembered.
  for (int i = 0; i < 2; ++i) {
    v1::GetNumberResponse response;
    const auto failure = Explain(Find("+19999999999", &response));
    EXPECT_EQ(failure.code, StatusCode::NOT_FOUND);
    EXPECT_EQ(failure.reason, "NUMBER_NOT_FOUND");
  }
  EXPECT_EQ(Asked("GET /{number}"), 1);
}

TEST_F(AvailabilityTest, LeasesAndSingleNumbersAreRemembered) {
  StartGateway(kLongFresh);
  const std::string number = FirstAvailable();
  v1::CreateLeaseRequest create;
  create.set_phone_number(number);
  create.set_request_id(kRequestId);
  v1::CreateLeaseResponse created;
  const auto context = Context();
  ASSERT_TRUE(stub_->CreateLease(context.get(), create, &created).ok());
  EXPECT_EQ(CacheStatusOf(*context), "lease-gateway; fwd=bypass");

  Leases();
  EXPECT_TRUE(Matches(cache_status_, kStored)) << cache_status_;
  EXPECT_TRUE(Has(Leases(), number));
  EXPECT_TRUE(Matches(cache_status_, kHit)) << cache_status_;
  EXPECT_EQ(Asked("GET /leased"), 1);

  v1::GetLeaseResponse lease;
  ASSERT_TRUE(GetLease(number, &lease).ok());
  EXPECT_TRUE(Matches(cache_status_, kStored)) << cache_status_;
  ASSERT_TRUE(GetLease(number, &lease).ok());
  EXPECT_TRUE(Matches(cache_status_, kHit)) << cache_status_;
  EXPECT_EQ(lease.lease().lease_id(), created.lease().lease_id());
  v1::GetNumberResponse got;
  ASSERT_TRUE(Find(number, &got).ok());
  EXPECT_TRUE(Matches(cache_status_, kHit)) << cache_status_;
  EXPECT_EQ(Asked("GET /{number}"), 2);  // the first before the lease

  const auto terminate_context = Context();
  v1::TerminateLeaseRequest terminate;
  terminate.set_phone_number(number);
  terminate.set_request_id(kOtherId);
  v1::TerminateLeaseResponse terminated;
  ASSERT_TRUE(stub_->TerminateLease(terminate_context.get(), terminate, &terminated).ok());
  EXPECT_EQ(CacheStatusOf(*terminate_context), "lease-gateway; fwd=bypass");
}

TEST_F(AvailabilityTest, ManyColdListsAreOneRequest) {
  constexpr int kCalls = CONCURRENT_CALLS;
  StartGateway(kLongFresh);
  Fault(R"({"route":"GET /leases","count":1,"kind":"delay","delay_ms":1000,"when":"before"})");
  struct Call {
    grpc::ClientContext context;
    ListRequest request;
    ListResponse response;
  };
  std::vector<std::unique_ptr<Call>> calls;
  std::mutex mutex;
  std::condition_variable all_done;
  int done = 0;
  int ok = 0;
  for (int i = 0; i < kCalls; ++i) {
    Call& call = *calls.emplace_back(std::make_unique<Call>());
    call.context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    stub_->async()->ListAvailableNumbers(&call.context, &call.request, &call.response,
                                         [&](const grpc::Status& status) {
                                           const std::lock_guard lock(mutex);
                                           ok += status.ok();
                                           if (++done == kCalls) all_done.notify_one();
                                         });
  }
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(all_done.wait_for(lock, std::chrono::seconds(70), [&] { return done == kCalls; }));
  }
  EXPECT_EQ(ok, kCalls);
  EXPECT_EQ(Asked("GET /leases"), 1);
  std::map<std::string, int> kinds;
  for (const auto& call : calls) {
    EXPECT_EQ(call->response.numbers_size(), 100);
    const std::string status = CacheStatusOf(call->context);
    ++kinds[status.substr(0, status.find("; ttl"))];
  }
  EXPECT_EQ(kinds["lease-gateway; fwd=miss; stored"], 1);
  EXPECT_GT(kinds["lease-gateway; fwd=miss; collapsed; stored"], 0);
  EXPECT_EQ(kinds["lease-gateway; fwd=miss; stored"] +
                kinds["lease-gateway; fwd=miss; collapsed; stored"] + kinds["lease-gateway; hit"],
            kCalls);
}

// --- searching ----------------------------------------------------------------------------------

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

// --- the provider is down, or slow --------------------------------------------------------------

TEST_F(AvailabilityTest, MemoryAnswersWhileTheProviderIsDown) {
  StartGateway([](Config& config) {
    config.cache_fresh = milliseconds(50);
    config.cache_stale_while_revalidate = milliseconds(0);
  });
  const auto before = MustList();
  ListRequest walk;
  walk.set_page_size(40);
  const auto page = MustList(walk);
  sandbox_.reset();
  const std::string stale = "lease-gateway; .*; ttl=-[0-9]+; detail=stale-if-error";
  EXPECT_TRUE(Eventually([&] {
    EXPECT_EQ(MustList().numbers_size(), 100);  // each time
    return Matches(cache_status_, stale);
  })) << cache_status_;
  const auto after = MustList();
  EXPECT_TRUE(Matches(cache_status_, stale)) << cache_status_;
  // The body says how old it is.
  EXPECT_EQ(after.numbers(0).SerializeAsString(), before.numbers(0).SerializeAsString());
  EXPECT_GE(after.metadata().fetch_time().seconds(), before.metadata().fetch_time().seconds());

  ListRequest search;
  search.set_order_by("phone_number");
  search.mutable_filter()->set_number_pattern(before.numbers(0).phone_number());
  const auto found = MustList(search);
  EXPECT_TRUE(Matches(cache_status_, stale)) << cache_status_;
  ASSERT_EQ(found.numbers_size(), 1);
  walk.set_page_token(page.next_page_token());
  EXPECT_EQ(MustList(walk).numbers_size(), 40);
  v1::GetNumberResponse number;
  ASSERT_TRUE(Find(before.numbers(0).phone_number(), &number).ok());
  EXPECT_TRUE(Matches(cache_status_, stale)) << cache_status_;
  EXPECT_EQ(number.number().SerializeAsString(), before.numbers(0).SerializeAsString());

  const auto failure = Explain(Find("+19999999999", &number));
  EXPECT_EQ(failure.code, StatusCode::UNAVAILABLE);
  EXPECT_EQ(failure.reason, "UPSTREAM_UNREACHABLE");
  // Who asks for the provider's own word does not get an old one.
  ListRequest now;
  now.mutable_max_staleness();
  ListResponse response;
  EXPECT_EQ(List(now, &response).error_code(), StatusCode::UNAVAILABLE);
}

TEST_F(AvailabilityTest, MemoryAnswersWhileTheProviderFails) {
  StartGateway([](Config& config) {
    config.cache_fresh = milliseconds(50);
    config.cache_stale_while_revalidate = milliseconds(0);
  });
  MustList();
  Fault(R"({"route":"*","fraction":1,"kind":"status","status":503})");
  EXPECT_TRUE(Eventually([&] {
    EXPECT_EQ(MustList().numbers_size(), 100);
    return Matches(cache_status_, ".*; detail=stale-if-error");
  })) << cache_status_;
  // It mends by itself.
  Control("DELETE", "/_sandbox/faults");
  EXPECT_TRUE(Eventually([&] {
    MustList();
    return Matches(cache_status_, "lease-gateway; (hit; ttl=[0-9]+|fwd=.*; stored.*)");
  })) << cache_status_;
}

TEST_F(AvailabilityTest, SlowProviderDoesNotCostTheDeadline) {
  StartGateway([](Config& config) {
    config.cache_fresh = milliseconds(50);
    config.cache_stale_while_revalidate = milliseconds(0);
  });
  MustList();
  Fault(R"({"route":"*","fraction":1,"kind":"delay","delay_ms":20000,"when":"before"})");
  bool waited = false;
  EXPECT_TRUE(Eventually([&] {
    ListResponse response;
    const auto status = List({}, &response, 800);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.numbers_size(), 100);
    waited = Matches(cache_status_, "lease-gateway; fwd=stale; .*detail=stale-if-error");
    return waited;
  })) << cache_status_;
  ListRequest now;
  now.mutable_max_staleness();
  ListResponse response;
  EXPECT_EQ(List(now, &response, 200).error_code(), StatusCode::DEADLINE_EXCEEDED);
}

// --- what was written is read -------------------------------------------------------------------

TEST_F(AvailabilityTest, WritesAreReadAtOnceWhileTheCacheRefreshes) {
  StartGateway([](Config& config) { config.cache_fresh = milliseconds(20); });
  const auto all = MustList();
  Leases();
  for (int i = 0; i < 50; ++i) {
    const std::string number = all.numbers(i * 7 % 100).phone_number();
    SCOPED_TRACE(std::to_string(i) + " " + number);
    ListRequest search;
    search.mutable_filter()->set_number_pattern(number);
    ASSERT_TRUE(Has(MustList(), number));
    v1::CreateLeaseResponse leased;
    ASSERT_TRUE(Lease(number, &leased).ok());
    ASSERT_FALSE(Has(MustList(), number));
    ASSERT_EQ(MustList(search).total_size(), 0);
    v1::GetNumberResponse got;
    ASSERT_TRUE(Find(number, &got).ok());
    ASSERT_EQ(got.number().status(), v1::NUMBER_STATUS_LEASED);
    ASSERT_EQ(got.number().lease().lease_id(), leased.lease().lease_id());
    ASSERT_TRUE(Has(Leases(), number));
    v1::GetLeaseResponse lease;
    ASSERT_TRUE(GetLease(number, &lease).ok());

    ASSERT_TRUE(Terminate(number).ok());
    ASSERT_EQ(MustList(search).total_size(), 1);
    ASSERT_TRUE(Has(MustList(), number));
    ASSERT_TRUE(Find(number, &got).ok());
    ASSERT_NE(got.number().status(), v1::NUMBER_STATUS_LEASED);
    ASSERT_FALSE(got.number().has_lease());
    ASSERT_FALSE(Has(Leases(), number));
    ASSERT_EQ(GetLease(number, &lease).error_code(), StatusCode::NOT_FOUND);
  }
  EXPECT_GT(Asked("GET /leases"), 50);
}

// --- batches ------------------------------------------------------------------------------------

TEST_F(AvailabilityTest, BatchAnswersEachNumberInOrder) {
  StartGateway(kLongFresh);
  const auto all = MustList();
  const std::string known = all.numbers(3).phone_number();
  v1::BatchGetNumbersRequest request;
  for (const std::string& number : {known, std::string("+19999999999"), std::string("0123"),
                                    all.numbers(0).phone_number(), known, std::string()}) {
    request.add_phone_numbers(number);
  }
  v1::BatchGetNumbersResponse response;
  const auto status = stub_->BatchGetNumbers(Context().get(), request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.results_size(), 6);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(response.results(i).phone_number(), request.phone_numbers(i));
  }
  for (const int i : {0, 3, 4}) {
    const auto& result = response.results(i);
    EXPECT_EQ(result.number().phone_number(), request.phone_numbers(i));
    EXPECT_EQ(result.metadata().SerializeAsString(), all.metadata().SerializeAsString());
  }
  EXPECT_EQ(response.results(0).number().SerializeAsString(), all.numbers(3).SerializeAsString());
  const auto reason_of = [&](int i) {
    google::rpc::ErrorInfo info;
    for (const auto& detail : response.results(i).error().details()) detail.UnpackTo(&info);
    EXPECT_FALSE(response.results(i).has_metadata());
    return std::pair(response.results(i).error().code(), info.reason());
  };
  EXPECT_EQ(reason_of(1),
            std::pair(static_cast<int>(StatusCode::NOT_FOUND), std::string("NUMBER_NOT_FOUND")));
  for (const int i : {2, 5}) {
    const auto& error = response.results(i).error();
    EXPECT_EQ(error.code(), static_cast<int>(StatusCode::INVALID_ARGUMENT)) << i;
    v1::GetNumberRequest alone;
    alone.set_phone_number(request.phone_numbers(i));
    v1::GetNumberResponse ignored;
    EXPECT_EQ(stub_->GetNumber(Context().get(), alone, &ignored).error_message(), error.message());
  }
  EXPECT_EQ(Asked("GET /{number}"), 1);
}

TEST_F(AvailabilityTest, BatchOfAThousandComesFromTheList) {
  StartGateway(kLongFresh);
  const auto all = MustList();
  v1::BatchGetNumbersRequest request;
  for (int i = 0; i < 1000; ++i) request.add_phone_numbers(all.numbers(i % 100).phone_number());
  v1::BatchGetNumbersResponse response;
  ASSERT_TRUE(stub_->BatchGetNumbers(Context().get(), request, &response).ok());
  ASSERT_EQ(response.results_size(), 1000);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(response.results(i).number().SerializeAsString(),
              all.numbers(i % 100).SerializeAsString());
  }
  EXPECT_EQ(Asked("GET /{number}"), 0);
  EXPECT_EQ(Asked("GET /leases"), 1);
}

TEST_F(AvailabilityTest, ColdBatchAsksForTheListOnce) {
  StartGateway();
  const auto all = MustList();
  StartGateway(kLongFresh);  // with the same numbers, and nothing in memory
  v1::BatchGetNumbersRequest request;
  for (const auto& number : all.numbers()) request.add_phone_numbers(number.phone_number());
  v1::BatchGetNumbersResponse response;
  ASSERT_TRUE(stub_->BatchGetNumbers(Context().get(), request, &response).ok());
  ASSERT_EQ(response.results_size(), 100);
  for (const auto& result : response.results()) EXPECT_TRUE(result.has_number());
  EXPECT_EQ(Asked("GET /leases"), 1);
  EXPECT_EQ(Asked("GET /{number}"), 0);
}

TEST_F(AvailabilityTest, OneNumberOfABatchFailsAlone) {
  StartGateway();
  const auto all = MustList();
  StartGateway();
  const std::string bad = all.numbers(1).phone_number();
  Control("POST", "/_sandbox/numbers/" + bad, R"({"id":7})");
  v1::BatchGetNumbersRequest request;
  for (int i = 0; i < 3; ++i) request.add_phone_numbers(all.numbers(i).phone_number());
  v1::BatchGetNumbersResponse response;
  ASSERT_TRUE(stub_->BatchGetNumbers(Context().get(), request, &response).ok());
  ASSERT_EQ(response.results_size(), 3);
  EXPECT_TRUE(response.results(0).has_number());
  EXPECT_EQ(response.results(1).error().code(), static_cast<int>(StatusCode::INTERNAL));
  EXPECT_TRUE(response.results(2).has_number());
  EXPECT_EQ(Asked("GET /leases"), 0);  // few numbers are not worth a list
}

TEST_F(AvailabilityTest, BatchStopsAskingWhenItsCallerGoesAway) {
  StartGateway();
  const auto all = MustList();
  Fault(R"({"route":"GET /{number}","fraction":1,"kind":"hang"})");
  v1::BatchGetNumbersRequest request;
  request.mutable_max_staleness();  // zero: ask the provider
  for (const auto& number : all.numbers()) request.add_phone_numbers(number.phone_number());
  v1::BatchGetNumbersResponse response;
  const auto context = Context();
  std::promise<grpc::StatusCode> ended;
  stub_->async()->BatchGetNumbers(
      context.get(), &request, &response,
      [&](const grpc::Status& status) { ended.set_value(status.error_code()); });
  ASSERT_TRUE(Eventually([&] { return Asked("GET /{number}") == 16; }));
  context->TryCancel();
  EXPECT_EQ(ended.get_future().get(), StatusCode::CANCELLED);
  // Were there more to come, they would be before this one.
  Control("DELETE", "/_sandbox/faults");
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Get("+19999999999").error_code() == StatusCode::NOT_FOUND);
  }
  EXPECT_EQ(Asked("GET /{number}"), 16 + 3);
}

TEST_F(AvailabilityTest, BatchAsksForNothingMoreAfterTheDeadline) {
  StartGateway([](Config& config) { config.default_deadline = milliseconds(300); });
  const auto all = MustList();
  Fault(R"({"route":"GET /{number}","fraction":1,"kind":"hang"})");
  v1::BatchGetNumbersRequest request;
  request.mutable_max_staleness();  // zero: ask the provider
  for (const auto& number : all.numbers()) request.add_phone_numbers(number.phone_number());
  v1::BatchGetNumbersResponse response;
  grpc::ClientContext without_deadline;
  const auto status = stub_->BatchGetNumbers(&without_deadline, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.results_size(), 100);
  for (const auto& result : response.results()) {
    EXPECT_EQ(result.error().code(), static_cast<int>(StatusCode::DEADLINE_EXCEEDED));
  }
  EXPECT_EQ(Asked("GET /{number}"), 16);
}

// --- what the provider says is odd --------------------------------------------------------------

TEST_F(AvailabilityTest, PriceThatMakesNoSenseIsUnknownAndNotBoughtUnderACeiling) {
  StartGateway();
  const std::string odd = MustList().numbers(42).phone_number();
  Control("POST", "/_sandbox/numbers/" + odd,
          R"({"carrier":"odd","pricing":{"monthly_rate":"free"}})");
  ListRequest now;
  now.mutable_max_staleness();
  const auto list = MustList(now);
  ASSERT_EQ(list.numbers_size(), 100);
  EXPECT_EQ(list.numbers(42).phone_number(), odd);
  EXPECT_FALSE(list.numbers(42).pricing().has_monthly_rate());
  EXPECT_TRUE(list.numbers(42).pricing().has_upfront_fee());

  v1::LeaseAnyNumberRequest request;
  request.mutable_filter()->add_carriers("odd");
  for (auto* ceiling : {request.mutable_filter()->mutable_max_monthly_rate(),
                        request.mutable_filter()->mutable_max_upfront_fee()}) {
    ceiling->set_currency_code("USD");
    ceiling->set_units(1'000'000);
  }
  v1::LeaseAnyNumberResponse response;
  const auto failure = Explain(stub_->LeaseAnyNumber(Context().get(), request, &response));
  EXPECT_EQ(failure.reason, "NO_MATCHING_NUMBER");
  EXPECT_EQ(CountInLedger("lease", odd), 0);
  // Whoever names it gets it.
  EXPECT_TRUE(Lease(odd).ok());
}

TEST_F(AvailabilityTest, OddValuesLeaveNoNumberOut) {
  StartGateway();
  const auto before = MustList();
  Control("POST", "/_sandbox/numbers/" + before.numbers(1).phone_number(),
          R"({"health":{"reputation":9.5}})");
  Control("POST", "/_sandbox/numbers/" + before.numbers(2).phone_number(),
          R"({"pricing":{"monthly_rate":0.30000000000000004}})");
  Control("POST", "/_sandbox/numbers/" + before.numbers(3).phone_number(), R"({"carrier":7})");
  ListRequest now;
  now.mutable_max_staleness();
  const auto list = MustList(now);
  ASSERT_EQ(list.numbers_size(), 100);
  EXPECT_FALSE(list.numbers(1).has_health());
  EXPECT_EQ(list.numbers(2).pricing().monthly_rate().nanos(), 300'000'000);
  EXPECT_EQ(list.numbers(3).carrier(), "");
  for (int i = 1; i <= 3; ++i) EXPECT_TRUE(Lease(list.numbers(i).phone_number()).ok());
}

// What one item has in one of its texts, as it stands in the reply.
TEST_F(AvailabilityTest, OddCharactersInOneNumberHideNoOther) {
  StartGateway();
  const std::string odd = MustList().numbers(42).phone_number();
  Control("POST", "/_sandbox/numbers/" + odd, R"({"carrier":"Odd One"})");
  struct Row {
    const char* replace;
    bool stays;
  };
  for (const Row& row :
       {Row{R"(\\ud800)", true}, Row{"Caf%E9", true}, Row{"%00", true}, Row{"a%0Ab", true},
        Row{R"(Odd \"the\" One)", false}, Row{R"(\",\"x\":{\"a\" 1},\"y\":\")", false}}) {
    SCOPED_TRACE(row.replace);
    Fault(std::string(R"({"route":"GET /leases","count":1,"kind":"rewrite","find":"Odd One",)") +
          R"("replace":")" + row.replace + "\"}");
    ListRequest now;
    now.mutable_max_staleness();
    const auto list = MustList(now);
    EXPECT_EQ(list.numbers_size(), row.stays ? 100 : 99);
    EXPECT_EQ(Has(list, odd), row.stays);
    if (row.stays) {
      EXPECT_EQ(list.numbers(42).carrier(), "");
    }
  }
  ListRequest now;
  now.mutable_max_staleness();
  EXPECT_EQ(MustList(now).numbers(42).carrier(), "Odd One");
}

TEST_F(AvailabilityTest, TheListMayBecomeEmpty) {
  sandbox::SandboxOptions options;
  options.numbers = 3;
  StartGateway(kLongFresh, options);
  const auto all = MustList();
  ASSERT_EQ(all.numbers_size(), 3);
  const auto set_status = [&](const std::string& status) {
    for (const auto& number : all.numbers()) {
      Control("POST", "/_sandbox/numbers/" + number.phone_number(),
              R"({"status":")" + status + R"("})");
    }
  };
  set_status("unavailable");
  ListRequest now;
  now.mutable_max_staleness();
  EXPECT_EQ(MustList(now).total_size(), 0);
  EXPECT_EQ(Asked("GET /leases"), 3);  // asked twice before it is believed
  EXPECT_EQ(MustList().numbers_size(), 0);
  EXPECT_TRUE(Matches(cache_status_, kHit)) << cache_status_;
  ListRequest search;
  search.set_page_size(10);
  search.set_order_by("phone_number");
  const auto page = MustList(search);
  EXPECT_EQ(page.total_size(), 0);
  EXPECT_EQ(page.next_page_token(), "");
  set_status("available");
  EXPECT_EQ(MustList(now).total_size(), 3);
}

// --- what is no request -------------------------------------------------------------------------

TEST_F(AvailabilityTest, BytesThatAreNoRequestAreRefused) {
  StartGateway();
  const std::string number = FirstAvailable();
  grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub(channel_);
  const auto call = [&](const std::string& method, const std::string& bytes) {
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    const auto context = Context();
    std::promise<grpc::Status> ended;
    stub.UnaryCall(context.get(), "/leasegateway.v1.LeaseService/" + method, {}, &request,
                   &response, [&](const grpc::Status& status) { ended.set_value(status); });
    return ended.get_future().get();
  };
  const auto* const service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
      "leasegateway.v1.LeaseService");
  ASSERT_EQ(service->method_count(), 15);
  for (int i = 0; i < service->method_count(); ++i) {
    const std::string& method = service->method(i)->name();
    // A tag without an end; a field longer than the message.
    for (const std::string bytes : {"\xff\xff\xff",
                                    "\x0a\x05"
                                    "ab"}) {
      const auto failure = Explain(call(method, bytes));
      EXPECT_EQ(failure.code, StatusCode::INVALID_ARGUMENT) << method;
      EXPECT_EQ(failure.reason, "INVALID_REQUEST") << method;
      EXPECT_EQ(failure.info.domain(), "leasegateway");
    }
    // A phone number that isn't UTF-8.
    const auto* const field = service->method(i)->input_type()->FindFieldByName("phone_number");
    if (field != nullptr) {
      const std::string tag(1, static_cast<char>(field->number() << 3 | 2));
      EXPECT_EQ(Explain(call(method, tag + "\x02\xc3\x28")).reason, "INVALID_REQUEST") << method;
    }
  }
  EXPECT_TRUE(Get(number).ok());
  EXPECT_EQ(CountInLedger("lease", number), 0);
}

}  // namespace
}  // namespace leasegateway
