// Reads from memory, through a real gRPC client, the gateway, verified TLS and the sandbox, whose
// counters say what the provider was asked.
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/availability_fixture.h"

namespace leasegateway {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;

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
  ASSERT_EQ(service->method_count(), 16);
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
