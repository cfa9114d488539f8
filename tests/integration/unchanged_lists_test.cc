// What a refresh of the lists weighs on its way, and that memory is as new as the provider's word
// although nothing came.
#include <gmock/gmock.h>

#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "tests/support/availability_fixture.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;

class UnchangedListsTest : public AvailabilityTest {
 protected:
  // ThreadSanitizer makes large lists slow.
  static constexpr int kNumbers = CONCURRENT_CALLS < 1000 ? 200 : 2'000;

  void Start(bool gzip, bool validators) {
    sandbox::SandboxOptions options;
    options.numbers = kNumbers;
    options.gzip = gzip;
    options.validators = validators;
    // Memory answers, and is refreshed when the test asks past it.
    StartGateway([](Config& config) { config.cache_fresh = std::chrono::hours(1); }, options);
    // An empty list is none: the provider answers 404.
    ASSERT_TRUE(Lease(FirstAvailable()).ok());
  }
  // What the provider sends in answer to both lists.
  double Refresh() {
    const double before = Traffic("sent_bytes");
    ListRequest request;
    request.mutable_max_staleness();
    MustList(request);
    v1::ListLeasesRequest leases;
    leases.mutable_max_staleness();
    v1::ListLeasesResponse response;
    const auto status = stub_->ListLeases(Context().get(), leases, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return Traffic("sent_bytes") - before;
  }
  double Traffic(const std::string& key) {
    return Control("GET", "/_sandbox/requests").struct_value().fields().at(key).number_value();
  }
  static bool IsLater(const google::protobuf::Timestamp& one,
                      const google::protobuf::Timestamp& other) {
    return std::pair(one.seconds(), one.nanos()) > std::pair(other.seconds(), other.nanos());
  }
};

TEST_F(UnchangedListsTest, ComesAsItIsCompressedOrNotAtAll) {
  Start(false, false);
  Refresh();
  const double plain = Refresh();
  EXPECT_GT(plain, 250 * kNumbers);
  EXPECT_EQ(Traffic("not_modified"), 0);
  Start(true, false);
  Refresh();
  EXPECT_LE(Refresh(), 0.15 * plain);
  EXPECT_EQ(Traffic("not_modified"), 0);
  Start(true, true);
  Refresh();
  EXPECT_LE(Refresh(), 1'024);
  EXPECT_EQ(Traffic("not_modified"), 2);
}

TEST_F(UnchangedListsTest, ReadsGoOnWithNewTimesAndAChangeComes) {
  Start(true, true);
  const std::string number = FirstAvailable();
  Refresh();
  const ListResponse before = MustList();
  for (int i = 1; i <= 3; ++i) {
    std::this_thread::sleep_for(milliseconds(2));
    Refresh();
    EXPECT_EQ(Traffic("not_modified"), 2 * i);
  }
  const ListResponse after = MustList();
  EXPECT_TRUE(Matches(cache_status_, kHit)) << cache_status_;
  EXPECT_EQ(after.numbers_size(), before.numbers_size());
  EXPECT_TRUE(IsLater(after.metadata().fetch_time(), before.metadata().fetch_time()));
  v1::GetNumberResponse single;
  EXPECT_TRUE(Find(number, &single).ok());
  EXPECT_TRUE(Matches(cache_status_, kHit)) << cache_status_;
  EXPECT_EQ(single.metadata().fetch_time().nanos(), after.metadata().fetch_time().nanos());

  // What others take is a change: all of it comes, and is what memory has.
  Control("POST", "/_sandbox/churn", R"({"count":10})");
  EXPECT_GT(Refresh(), 1'024);
  EXPECT_EQ(Traffic("not_modified"), 7) << "the leases are as they were";
  // And what the gateway itself does shows in memory, whatever the provider calls unchanged.
  ASSERT_TRUE(Lease(number).ok());
  EXPECT_FALSE(Has(MustList(), number));
  EXPECT_TRUE(Has(Leases(), number));
  Refresh();
  EXPECT_FALSE(Has(MustList(), number));
  EXPECT_TRUE(Has(Leases(), number));
}

TEST_F(UnchangedListsTest, RefreshesByThemselvesAreConditionalToo) {
  sandbox::SandboxOptions options;
  options.validators = true;
  StartGateway([](Config& config) { config.cache_fresh = milliseconds(100); }, options);
  const ListResponse before = MustList();
  EXPECT_TRUE(Eventually([&] {
    return IsLater(MustList().metadata().fetch_time(), before.metadata().fetch_time()) &&
           Traffic("not_modified") >= 3;
  }));
}

}  // namespace
}  // namespace leasegateway
