// How watchers are treated that read slowly or not at all.
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "service/rpc/admission.h"
#include "service/rpc/lease_service.h"
#include "service/rpc/pinned_slice.h"
#include "service/rpc/search.h"
#include "service/rpc/watch_hub.h"
#include "tests/support/watch_fixture.h"
#include "upstream/lease_api_factory.h"
#include "upstream/leasing/journal/sqlite/sqlite_journal.h"
#include "upstream/leasing/recorded_lease_api.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;

// A message of the state has about 250 KB, one of changes 50 KB; the window of the client has 64
// KB.
constexpr int kLarge = 1000;
constexpr int kManyChanges = 100;  // more than are kept
constexpr std::size_t kStateMessages = 2;
// Of what was sent before the caller stopped to read, and of the changes that came after the state
// that it is sent when it reads again.
constexpr std::size_t kFewMessages = 8;

void KeepFew(Config& config) { config.cache_history_bytes = 1 << 20; }

TEST_F(WatchTest, ReaderThatStopsIsToldToBeginAnewAndIsRight) {
  if (!kFast) GTEST_SKIP() << "so many lists take minutes under ThreadSanitizer";
  StartWatched(kLarge, KeepFew);
  Watch watch(*stub_, Request());
  ASSERT_TRUE(watch.WaitForState());
  watch.Pause();
  for (int i = 0; i < kManyChanges; ++i) ChangeOnce(100);
  const std::size_t before = watch.Now().messages.size();
  watch.Resume();
  ExpectCatchesUp(watch);
  EXPECT_EQ(watch.Now().resets, 2);
  EXPECT_LE(watch.Now().messages.size() - before, kStateMessages + kFewMessages);
}

TEST_F(WatchTest, ReaderThatNeverReadTheStateIsToldToBeginAnewAndIsRight) {
  if (!kFast) GTEST_SKIP() << "so many lists take minutes under ThreadSanitizer";
  StartWatched(kLarge, KeepFew);
  List();
  Watch watch(*stub_, Request(), Watch::Reading::kLater);
  for (int i = 0; i < kManyChanges; ++i) ChangeOnce(100);
  watch.Resume();
  ExpectCatchesUp(watch);
  EXPECT_EQ(watch.Now().resets, 2);
  EXPECT_LE(watch.Now().messages.size(), 2 * kStateMessages + kFewMessages);
}

TEST_F(WatchTest, ReaderThatDoesNotReadWhatItMissedKeepsNoneOfIt) {
  if (!kFast) GTEST_SKIP() << "so many lists take minutes under ThreadSanitizer";
  StartWatched(kLarge);
  const std::string token = TokenOfAWatch();
  for (int i = 0; i < 50; ++i) ChangeOnce(100);
  Watch watch(*stub_, Request(token), Watch::Reading::kLater);
  for (int i = 0; i < kManyChanges; ++i) ChangeOnce(100);
  watch.Resume();
  ExpectCatchesUp(watch);
  EXPECT_EQ(watch.Now().resets, 1);
  EXPECT_LE(watch.Now().messages.size(), kStateMessages + kFewMessages);
}

TEST_F(WatchTest, DrainDoesNotWaitForReadersThatDoNotRead) {
  StartWatched(kLarge, [](Config& config) { config.grace = milliseconds(60'000); });
  List();
  Watch watch(*stub_, Request());
  ASSERT_TRUE(watch.WaitForState());
  watch.Pause();
  for (int i = 0; i < 5; ++i) ChangeOnce(kLarge / 3);
  const auto before = std::chrono::steady_clock::now();
  server_->Drain();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
  watch.Resume();
  EXPECT_FALSE(watch.End().ok());
}

// A hub whose patience with slow readers is short, behind a server of its own.
class PatienceTest : public WatchTest {
 protected:
  ~PatienceTest() override {
    if (grpc_) {
      hub_->Stop();
      grpc_->Shutdown(std::chrono::system_clock::now());
      grpc_->Wait();
    }
    grpc_.reset();
    service_.reset();
    hub_.reset();
    search_.reset();
    recorded_.reset();
    api_.reset();
    work_.reset();
    if (thread_.joinable()) thread_.join();
  }

  void StartImpatient(int numbers, milliseconds patience) {
    sandbox::SandboxOptions options;
    options.numbers = numbers;
    StartGateway(nullptr, options);  // for the sandbox
    server_.reset();
    UpstreamOptions upstream;
    upstream.url = sandbox_->url();
    upstream.ca_file = ca_file_;
    upstream.api_key = [key = sandbox_->key()] { return key; };
    // A refresh makes a snapshot of its own, also of numbers that are the same: none that a test
    // has not asked for.
    upstream.cache.fresh = std::chrono::hours(1);
    upstream.pin = PinSlice;
    auto api = MakeLeaseApi(io_.get_executor(), upstream);
    ASSERT_TRUE(api.ok()) << api.status();
    api_ = *std::move(api);
    runtime_.executor = io_.get_executor();
    runtime_.default_deadline = milliseconds(10'000);
    const CacheEnvironment environment = MakeCacheEnvironment(io_.get_executor(), PinInMemory);
    search_ = std::make_unique<AvailabilitySearch>(environment.now, environment.after, 64 << 20,
                                                   "default");
    hub_ =
        std::make_unique<WatchHub>(runtime_, *api_, "default", WatchOptions{.patience = patience});
    auto journal = SqliteJournal::Open({.path = ":memory:"});
    ASSERT_TRUE(journal.ok()) << journal.status();
    recorded_ = std::make_unique<RecordedLeaseApi>(api_, RecordedLeaseApi::MemoryOf(api_),
                                                   *std::move(journal), RecordedLeaseApi::Options(),
                                                   io_.get_executor(), MakeCallEnvironment());
    std::map<std::string, AccountStack, std::less<>> accounts;
    accounts.emplace("default", AccountStack{"default", *api_, *recorded_, *search_, *hub_});
    admission_ = std::make_unique<Admission>(std::move(accounts), nullptr);
    service_ = std::make_unique<LeaseService>(runtime_, *admission_);
    thread_ = std::thread([this] { io_.run(); });
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(service_.get());
    grpc_ = builder.BuildAndStart();
    ASSERT_TRUE(grpc_);
    target_ = "127.0.0.1:" + std::to_string(port);
    OpenChannel();
  }

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::thread thread_;
  std::shared_ptr<CachingLeaseApi> api_;
  std::unique_ptr<RecordedLeaseApi> recorded_;
  CallRuntime runtime_;
  std::unique_ptr<AvailabilitySearch> search_;
  std::unique_ptr<WatchHub> hub_;
  std::unique_ptr<Admission> admission_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> grpc_;
};

// More messages than gRPC takes for a caller that does not read.
constexpr int kHuge = kFast ? 3000 : 1000;

TEST_F(PatienceTest, SnapshotOfAReaderThatDoesNotReadIsGivenUp) {
  if (!kFast) GTEST_SKIP() << "reading is slower than the hub is patient";
  StartImpatient(kHuge, milliseconds(50));
  List();
  std::weak_ptr<const Availability> snapshot = api_->PeekAvailability(std::nullopt)->numbers;
  Watch watch(*stub_, Request(), Watch::Reading::kLater);
  ASSERT_TRUE(watch.WaitForBeginning());  // with that snapshot
  ChangeOnce(10);
  EXPECT_TRUE(Eventually([&] { return snapshot.expired(); }));
  EXPECT_EQ(hub_->watchers(), 1);
  watch.Resume();
  ExpectCatchesUp(watch);
  EXPECT_GE(watch.Now().resets, 2);  // one more where reading is slow
}

TEST_F(PatienceTest, ChangesOfAReaderThatDoesNotReadAreGivenUp) {
  if (!kFast) GTEST_SKIP() << "so many lists take minutes under ThreadSanitizer";
  StartImpatient(kHuge, milliseconds(50));
  Watch watch(*stub_, Request());
  ASSERT_TRUE(watch.WaitForState());
  const std::uint64_t version = api_->PeekAvailability(std::nullopt)->version;
  watch.Pause();
  ChangeOnce(kHuge - 100);
  std::weak_ptr<const std::vector<NumberChange>> change =
      api_->ChangesSince(version)->front().numbers;
  for (int i = 0; i < 5; ++i) ChangeOnce(kHuge - 100);
  EXPECT_TRUE(Eventually([&] { return change.expired(); }));
  watch.Resume();
  ExpectCatchesUp(watch);
  EXPECT_GE(watch.Now().resets, 2);  // one more where reading is slow
}

TEST_F(PatienceTest, ReaderThatReadsIsGivenAllTheTimeItNeeds) {
  StartImpatient(kHuge, milliseconds(5'000));  // more than a slow machine needs for a message
  Watch watch(*stub_, Request());
  ASSERT_TRUE(watch.WaitForState());
  for (int i = 0; i < 10; ++i) ChangeOnce(100);
  ExpectCatchesUp(watch);
  EXPECT_EQ(watch.Now().resets, 1);
}

}  // namespace
}  // namespace leasegateway
