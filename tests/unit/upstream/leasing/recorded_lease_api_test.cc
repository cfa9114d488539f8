#include "upstream/leasing/recorded_lease_api.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <deque>
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/support/fake_calls.h"
#include "tests/support/typed_lease_api.h"
#include "upstream/leasing/operation_rules.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kNumber[] = "+13059478667";
constexpr char kOther[] = "+13059478668";
constexpr char kThird[] = "+13059478669";
constexpr char kId[] = "9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6f";
constexpr char kId2[] = "00000000-5c1d-4f7a-8e90-1a2b3c4d5e6f";

google::type::Money Usd(int units) {
  google::type::Money money;
  money.set_currency_code("USD");
  money.set_units(units);
  return money;
}

// Entries in memory, and failures on demand. One thread.
class MemoryJournal final : public OperationJournal {
 public:
  asio::awaitable<absl::StatusOr<Begun>> Begin(Entry entry) override {
    if (before_begin) {
      auto waiting = before_begin();
      co_await std::move(waiting);
    }
    if (!failure.ok()) co_return failure;
    const auto [at, is_new] = entries.try_emplace(entry.operation.request_id(), entry);
    if (is_new) order.push_back(entry.operation.request_id());
    co_return Begun{at->second, !is_new};
  }
  asio::awaitable<absl::Status> Update(v1::Operation operation) override {
    if (!failure.ok()) co_return failure;
    if (fail_updates > 0) {
      --fail_updates;
      co_return MakeError(absl::StatusCode::kFailedPrecondition, reason::kJournalUnavailable,
                          "disk full");
    }
    states.push_back(operation.state());
    entries.at(operation.request_id()).operation = std::move(operation);
    co_return absl::OkStatus();
  }
  asio::awaitable<absl::StatusOr<std::optional<Entry>>> Find(std::string,
                                                             std::string request_id) override {
    if (!failure.ok()) co_return failure;
    const auto at = entries.find(request_id);
    if (at == entries.end()) co_return std::optional<Entry>();
    co_return std::optional<Entry>(at->second);
  }
  asio::awaitable<absl::StatusOr<Page>> List(Query) override {
    Page page;
    for (const auto& [id, entry] : entries) page.operations.push_back(entry.operation);
    co_return page;
  }
  asio::awaitable<absl::StatusOr<std::vector<Entry>>> Unresolved(
      std::chrono::system_clock::time_point) override {
    std::vector<Entry> all;  // as if they had been changed a moment ago
    for (const std::string& id : order) all.push_back(entries.at(id));
    co_return all;
  }

  std::map<std::string, Entry> entries;
  std::vector<std::string> order;
  std::vector<v1::OperationState> states;  // of the updates
  absl::Status failure;                    // of all
  int fail_updates = 0;
  std::function<asio::awaitable<void>()> before_begin;
};

asio::awaitable<void> SleepBy(FakeTime* clock, milliseconds time) {
  const auto wakeup = std::make_shared<Wakeup>(co_await asio::this_coro::executor);
  auto waiting = clock->environment().wait(wakeup, clock->now() + time);
  co_await std::move(waiting);
}

// A provider that keeps books, and loses what the test wants lost. One thread.
class ModelProvider final : public TypedLeaseApi {
 public:
  // How it treats one write. The default: done, answered.
  struct Step {
    bool done = true;
    absl::Status answer;      // not OK: instead of the true one
    milliseconds done_at{0};  // after it came
    milliseconds answer_at{0};
  };
  struct Record {
    v1::Number number;
    int charges = 0;
    int ends = 0;
  };

  explicit ModelProvider(FakeTime* time, asio::io_context* io) : time_(time), io_(io) {}

  void Add(const std::string& phone_number, int monthly = 5) {
    v1::Number& number = records[phone_number].number;
    number.set_phone_number(phone_number);
    number.set_status(v1::NUMBER_STATUS_AVAILABLE);
    *number.mutable_pricing()->mutable_monthly_rate() = Usd(monthly);
    *number.mutable_pricing()->mutable_upfront_fee() = Usd(1);
  }
  // Somebody else leases it.
  void Take(const std::string& phone_number) {
    records[phone_number].number.set_status(v1::NUMBER_STATUS_LEASED);
    records[phone_number].number.set_provider_status("leased");
  }
  // The account leases it, as this.
  void Give(const std::string& phone_number, const std::string& lease_id) {
    v1::Number& number = records[phone_number].number;
    number.set_status(v1::NUMBER_STATUS_LEASED);
    number.mutable_lease()->set_lease_id(lease_id);
  }

  LeaseApiResult<NumberList> ListAvailableNumbers(CallContext) override {
    Reply<NumberList> reply;
    for (const auto& [phone_number, record] : records) {
      if (CheckLeasable(record.number).ok()) *reply.value.Add() = record.number;
    }
    co_return reply;
  }
  LeaseApiResult<v1::Number> GetNumber(CallContext context, std::string phone_number) override {
    ++looks;
    if (context.background) ++background_looks;
    EXPECT_EQ(context.max_staleness, milliseconds(0));
    if (look_time.count() > 0) co_await Sleep(look_time);
    if (!look_failures.empty()) {
      const absl::Status status = look_failures.front();
      look_failures.pop_front();
      if (!status.ok()) co_return status;
    }
    if (!all_looks_fail.ok()) co_return all_looks_fail;
    const auto at = records.find(phone_number);
    if (at == records.end()) {
      co_return MakeError(absl::StatusCode::kNotFound, reason::kNumberNotFound, "no such number");
    }
    Reply<v1::Number> reply;
    reply.value = at->second.number;
    co_return reply;
  }
  LeaseApiResult<v1::Lease> CreateLease(CallContext, std::string phone_number,
                                        v1::BillingMethod) override {
    posts.push_back(phone_number);
    if (on_write) on_write();
    const Step step = NextStep();
    if (step.done && step.done_at > step.answer_at) {
      asio::co_spawn(*io_, LeaseLater(phone_number, step.done_at), asio::detached);
    } else if (step.done) {
      if (step.done_at.count() > 0) co_await Sleep(step.done_at);
      const absl::Status refused = CheckLeasable(records[phone_number].number);
      if (!refused.ok()) co_return Http(400, true);
      Lease(phone_number);
    }
    if (step.answer_at > step.done_at) co_await Sleep(step.answer_at - step.done_at);
    if (!step.answer.ok()) co_return step.answer;
    Reply<v1::Lease> reply;
    reply.value = records[phone_number].number.lease();
    reply.value.set_phone_number(phone_number);
    co_return reply;
  }
  LeaseApiResult<v1::Termination> TerminateLease(CallContext, std::string phone_number) override {
    deletes.push_back(phone_number);
    if (on_write) on_write();
    const Step step = NextStep();
    Reply<v1::Termination> reply;
    if (step.done) {
      Record& record = records[phone_number];
      if (!record.number.has_lease()) {
        co_return Http(400, true);
      }
      reply.value.set_lease_id(record.number.lease().lease_id());
      reply.value.set_phone_number(phone_number);
      reply.value.set_status(v1::LEASE_STATUS_TERMINATED);
      ++record.ends;
      record.number.clear_lease();
      record.number.set_status(v1::NUMBER_STATUS_AVAILABLE);
    }
    if (step.answer_at.count() > 0) co_await Sleep(step.answer_at);
    if (!step.answer.ok()) co_return step.answer;
    co_return reply;
  }
  LeaseApiResult<LeaseList> ListLeases(CallContext) override { co_return Unused(); }
  LeaseApiResult<v1::Lease> GetLease(CallContext, std::string) override { co_return Unused(); }
  LeaseApiResult<v1::Failover> ConfigureFailover(CallContext, std::string, v1::Failover) override {
    co_return Unused();
  }
  LeaseApiResult<v1::CallForwarding> GetCallForwarding(CallContext, std::string) override {
    co_return Unused();
  }
  LeaseApiResult<v1::CallForwarding> EnableCallForwarding(CallContext, std::string,
                                                          std::string) override {
    co_return Unused();
  }
  LeaseApiResult<v1::CallForwarding> DisableCallForwarding(CallContext, std::string) override {
    co_return Unused();
  }

  int TotalCharges() const {
    int sum = 0;
    for (const auto& [phone_number, record] : records) sum += record.charges;
    return sum;
  }

  std::map<std::string, Record> records;
  std::vector<std::string> posts;
  std::vector<std::string> deletes;
  int looks = 0;
  int background_looks = 0;
  std::deque<Step> steps;                  // of the next writes
  std::deque<absl::Status> look_failures;  // of the next looks; OK: none
  absl::Status all_looks_fail;
  milliseconds look_time{0};
  std::function<void()> on_write;

 private:
  Step NextStep() {
    if (steps.empty()) return {};
    const Step step = steps.front();
    steps.pop_front();
    return step;
  }
  void Lease(const std::string& phone_number) {
    Record& record = records[phone_number];
    ++record.charges;
    Give(phone_number, absl::StrCat("lsd_", ++leases_));
    *record.number.mutable_lease()->mutable_billing()->mutable_price() = record.number.pricing();
  }
  asio::awaitable<void> LeaseLater(std::string phone_number, milliseconds later) {
    co_await Sleep(later);
    if (CheckLeasable(records[phone_number].number).ok()) Lease(phone_number);
  }
  asio::awaitable<void> Sleep(milliseconds time) { return SleepBy(time_, time); }
  static absl::Status Unused() { return absl::UnimplementedError("not used"); }

  FakeTime* const time_;
  asio::io_context* const io_;
  int leases_ = 0;
};

// A call that was started, and what it returned.
template <typename Response>
struct Call {
  std::optional<absl::StatusOr<Response>> result;
  asio::cancellation_signal cancellation;

  bool ended() const { return result.has_value(); }
  std::string reason() const { return result ? ReasonOf(result->status()) : "not ended"; }
};

template <typename Response>
asio::awaitable<void> Await(asio::awaitable<absl::StatusOr<Response>> running,
                            std::shared_ptr<Call<Response>> call) {
  co_await asio::this_coro::throw_if_cancelled(false);
  call->result = co_await std::move(running);
}

class RecordedLeaseApiTest : public testing::Test {
 protected:
  RecordedLeaseApiTest() : provider_(std::make_shared<ModelProvider>(&time_, &io_)) {
    provider_->Add(kNumber);
    journal_ = std::make_shared<MemoryJournal>();
    memory_.availability = [this](CallContext context) { return Listed(this, std::move(context)); };
    memory_.leased = [this](const v1::Lease& lease) { found_.push_back(lease.lease_id()); };
    memory_.taken = [this](const std::string& number) { found_.push_back("taken " + number); };
    memory_.ended = [this](const std::string&, const std::string& id) { found_.push_back(id); };
    Start();
  }
  ~RecordedLeaseApiTest() override { Stop(); }

  void Start() {
    api_ = std::make_unique<RecordedLeaseApi>(provider_, memory_, journal_, options_,
                                              io_.get_executor(), time_.environment());
    std::optional<absl::Status> status;
    asio::co_spawn(asio::make_strand(io_), Recover(this, &status), asio::detached);
    FakeTime::Run(io_);
    ASSERT_TRUE(status && status->ok());
  }
  // As at the end of a process: what is open stays open.
  void Stop() {
    io_.restart();
    auto work = asio::make_work_guard(io_);
    std::thread thread([this] { io_.run(); });
    api_.reset();
    work.reset();
    io_.stop();
    thread.join();
    io_.restart();
  }
  // And leaves such an operation in the journal.
  void StopWith(v1::OperationKind kind, v1::OperationState state, const std::string& phone_number,
                const std::string& fingerprint, const std::string& lease_id = "") {
    Stop();
    v1::Operation operation;
    operation.set_request_id(kId);
    operation.set_account("default");
    operation.set_kind(kind);
    operation.set_state(state);
    operation.set_phone_number(phone_number);
    operation.set_lease_id(lease_id);
    journal_->entries[kId] = {operation, fingerprint};
    journal_->order.push_back(kId);
  }
  static asio::awaitable<void> Recover(RecordedLeaseApiTest* test,
                                       std::optional<absl::Status>* status) {
    auto recovering = test->api_->Recover();
    *status = co_await std::move(recovering);
  }
  static asio::awaitable<absl::StatusOr<std::shared_ptr<const Availability>>> Listed(
      RecordedLeaseApiTest* test, CallContext context) {
    if (test->stale_list_ && !context.max_staleness) co_return test->stale_list_;
    co_return co_await Fresh(test);
  }
  static asio::awaitable<absl::StatusOr<std::shared_ptr<const Availability>>> Fresh(
      RecordedLeaseApiTest* test) {
    auto listing = test->provider_->Perform({}, operation::ListAvailableNumbers());
    const auto reply = co_await std::move(listing);
    co_return Availability::Build(reply->value, {}, PinInMemory);
  }

  CallContext Context(const std::string& id, milliseconds timeout) {
    CallContext context;
    context.deadline = time_.now() + timeout;
    context.request_id = id;
    context.caller = "ipv4:127.0.0.1:1";
    return context;
  }
  template <typename Response>
  std::shared_ptr<Call<Response>> Run(asio::awaitable<absl::StatusOr<Response>> running) {
    auto call = std::make_shared<Call<Response>>();
    asio::co_spawn(asio::make_strand(io_), Await(std::move(running), call),
                   asio::bind_cancellation_slot(call->cancellation.slot(), asio::detached));
    FakeTime::Run(io_);
    return call;
  }
  static v1::CreateLeaseRequest LeaseRequest(const std::string& phone_number) {
    v1::CreateLeaseRequest request;
    request.set_phone_number(phone_number);
    return request;
  }
  auto Lease(const std::string& id = kId, const std::string& phone_number = kNumber,
             milliseconds timeout = seconds(30)) {
    return Run(api_->CreateLease(Context(id, timeout), LeaseRequest(phone_number)));
  }
  auto Terminate(const std::string& id, const std::string& lease_id = "",
                 milliseconds timeout = seconds(30)) {
    v1::TerminateLeaseRequest request;
    request.set_phone_number(kNumber);
    request.set_lease_id(lease_id);
    return Run(api_->TerminateLease(Context(id, timeout), request));
  }
  static v1::LeaseAnyNumberRequest AnyRequest(int most = 100) {
    v1::LeaseAnyNumberRequest request;
    *request.mutable_filter()->mutable_max_monthly_rate() = Usd(most);
    *request.mutable_filter()->mutable_max_upfront_fee() = Usd(100);
    request.set_order_by("pricing.monthly_rate");
    return request;
  }
  auto LeaseAny(const std::string& id = kId, int most = 100, milliseconds timeout = seconds(30)) {
    return Run(api_->LeaseAnyNumber(Context(id, timeout), AnyRequest(most)));
  }
  void Advance(milliseconds time) { time_.Advance(time, io_); }
  const v1::Operation& Recorded(const std::string& id = kId) {
    return journal_->entries.at(id).operation;
  }

  static ModelProvider::Step Lost(bool done, absl::Status answer = LostAnswer(true)) {
    return {done, std::move(answer)};
  }

  asio::io_context io_;
  FakeTime time_;
  std::shared_ptr<ModelProvider> provider_;
  std::shared_ptr<MemoryJournal> journal_;
  RecordedLeaseApi::Memory memory_;
  RecordedLeaseApi::Options options_;
  std::shared_ptr<const Availability> stale_list_;
  std::vector<std::string> found_;  // that memory was told of
  std::unique_ptr<RecordedLeaseApi> api_;
};

TEST_F(RecordedLeaseApiTest, IntentIsWrittenDownBeforeTheRequestGoesOut) {
  v1::OperationState at_send = v1::OPERATION_STATE_UNSPECIFIED;
  provider_->on_write = [&] { at_send = Recorded().state(); };
  const auto call = Lease();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->result->status();
  EXPECT_EQ(at_send, v1::OPERATION_STATE_SENT);
  EXPECT_EQ((*call->result)->lease().lease_id(), "lsd_1");
  EXPECT_EQ((*call->result)->request_id(), kId);
  const v1::Operation& recorded = Recorded();
  EXPECT_EQ(recorded.state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(recorded.settlement(), v1::OPERATION_SETTLEMENT_ANSWERED);
  EXPECT_EQ(recorded.lease_id(), "lsd_1");
  EXPECT_EQ(recorded.lease().lease_id(), "lsd_1");
  EXPECT_EQ(recorded.caller(), "ipv4:127.0.0.1:1");
  EXPECT_EQ(recorded.account(), "default");
  EXPECT_EQ(recorded.price().monthly_rate().units(), 5);
}

TEST_F(RecordedLeaseApiTest, SameRequestGetsTheSameAnswerAlsoAfterARestart) {
  ASSERT_TRUE(Lease()->result->ok());
  const auto again = Lease();
  ASSERT_TRUE(again->ended() && again->result->ok());
  EXPECT_EQ((*again->result)->lease().lease_id(), "lsd_1");
  Stop();
  Start();
  const auto after = Lease();
  ASSERT_TRUE(after->ended() && after->result->ok());
  EXPECT_EQ((*after->result)->lease().lease_id(), "lsd_1");
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(RecordedLeaseApiTest, SameIdWithOtherArgumentsIsRefused) {
  provider_->Add(kOther);
  provider_->steps.push_back({true, {}, milliseconds(0), seconds(1)});
  const auto first = Lease();
  EXPECT_EQ(Lease(kId, kOther)->reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(Terminate(kId)->reason(), "REQUEST_ID_REUSED");
  Advance(seconds(1));
  ASSERT_TRUE(first->ended() && first->result->ok());
  EXPECT_EQ(Lease(kId, kOther)->reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(Terminate(kId)->reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(LeaseAny(kId)->reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(provider_->TotalCharges(), 1);
  EXPECT_TRUE(provider_->deletes.empty());
}

// The journal has kId for kNumber. Its retry comes while a mistaken request of the same id waits
// for the journal's word.
class RivalTest : public RecordedLeaseApiTest {
 protected:
  RivalTest() {
    provider_->Add(kOther);
    journal_->before_begin = [this] { return SleepBy(&time_, journal_time_); };
  }
  milliseconds journal_time_{0};
};

TEST_F(RivalTest, OneThatBeganTheOperationKeepsItsAnswer) {
  ASSERT_TRUE(Lease()->result->ok());
  journal_time_ = seconds(1);
  const auto mistaken = Lease(kId, kOther);
  const auto retry = Lease(kId);
  const auto another = LeaseAny(kId);
  EXPECT_FALSE(mistaken->ended() || retry->ended() || another->ended());
  Advance(seconds(5));
  EXPECT_EQ(mistaken->reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(another->reason(), "REQUEST_ID_REUSED");
  ASSERT_TRUE(retry->ended() && retry->result->ok()) << retry->reason();
  EXPECT_EQ((*retry->result)->lease().lease_id(), "lsd_1");
  EXPECT_EQ(provider_->posts.size(), 1u);
  EXPECT_EQ(api_->open(), 0u);
}

TEST_F(RivalTest, FirstOfTwoNewOnesHasTheId) {
  journal_time_ = seconds(1);
  provider_->steps.push_back({true, {}, milliseconds(0), seconds(5)});
  const auto first = Lease(kId);
  const auto second = Lease(kId, kOther);
  EXPECT_FALSE(second->ended());
  Advance(seconds(1));
  EXPECT_EQ(second->reason(), "REQUEST_ID_REUSED");
  EXPECT_FALSE(first->ended());
  Advance(seconds(5));
  EXPECT_TRUE(first->ended() && first->result->ok());
}

TEST_F(RivalTest, IdIsFreeWhenTheFirstCouldNotBeWrittenDown) {
  journal_time_ = seconds(1);
  journal_->failure =
      MakeError(absl::StatusCode::kFailedPrecondition, reason::kJournalUnavailable, "disk full");
  const auto first = Lease(kId);
  const auto second = Lease(kId, kOther);
  Advance(seconds(1));
  EXPECT_EQ(first->reason(), "JOURNAL_UNAVAILABLE");
  journal_->failure = absl::OkStatus();
  Advance(seconds(1));
  ASSERT_TRUE(second->ended() && second->result->ok()) << second->reason();
  EXPECT_EQ((*second->result)->lease().phone_number(), kOther);
}

TEST_F(RivalTest, WaitEndsAtTheDeadlineAndWhenTheCallerLeaves) {
  journal_time_ = seconds(10);
  const auto first = Lease(kId);
  const auto hurried = Lease(kId, kOther, seconds(1));
  const auto left = Lease(kId, kOther);
  left->cancellation.emit(asio::cancellation_type::terminal);
  FakeTime::Run(io_);
  EXPECT_EQ(left->reason(), "CANCELLED");
  Advance(seconds(1));
  EXPECT_EQ(hurried->reason(), "DEADLINE");
  EXPECT_EQ(MetadataOf(hurried->result->status())["request_sent"], "false");
  Advance(seconds(10));
  EXPECT_TRUE(first->ended() && first->result->ok());
}

TEST_F(RecordedLeaseApiTest, SameRequestJoinsTheOneUnderWay) {
  provider_->steps.push_back({true, {}, milliseconds(0), seconds(1)});
  const auto first = Lease();
  const auto second = Lease();
  EXPECT_FALSE(first->ended() || second->ended());
  Advance(seconds(1));
  ASSERT_TRUE(first->ended() && second->ended());
  EXPECT_EQ((*first->result)->lease().lease_id(), (*second->result)->lease().lease_id());
  EXPECT_EQ(provider_->posts.size(), 1u);
  EXPECT_EQ(api_->open(), 0u);
}

struct LostCase {
  const char* name;
  bool done;
  absl::Status answer;
};
class LostAnswerTest : public RecordedLeaseApiTest, public testing::WithParamInterface<LostCase> {};

TEST_P(LostAnswerTest, LeaseIsFoundOrSentAgainAndChargedOnce) {
  provider_->steps.push_back(Lost(GetParam().done, GetParam().answer));
  const auto call = Lease();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().lease_id(), "lsd_1");
  EXPECT_EQ((*call->result)->lease().phone_number(), kNumber);
  EXPECT_EQ(provider_->TotalCharges(), 1);
  EXPECT_EQ(provider_->posts.size(), GetParam().done ? 1u : 2u);
  EXPECT_EQ(Recorded().settlement(), GetParam().done ? v1::OPERATION_SETTLEMENT_RECONCILED
                                                     : v1::OPERATION_SETTLEMENT_ANSWERED);
  if (GetParam().done) {
    EXPECT_EQ(found_, std::vector<std::string>{"lsd_1"});
  }
}

TEST_P(LostAnswerTest, EndIsFoundOrSentAgain) {
  provider_->Give(kNumber, "lsd_77");
  provider_->steps.push_back(Lost(GetParam().done, GetParam().answer));
  const auto call = Terminate(kId);
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->termination().lease_id(), "lsd_77");
  EXPECT_EQ((*call->result)->termination().phone_number(), kNumber);
  EXPECT_EQ((*call->result)->termination().status(), v1::LEASE_STATUS_TERMINATED);
  EXPECT_EQ(provider_->records[kNumber].ends, 1);
  EXPECT_EQ(provider_->deletes.size(), GetParam().done ? 1u : 2u);
}

TEST_P(LostAnswerTest, RestartFindsOutWithoutSendingAgain) {
  provider_->steps.push_back(Lost(GetParam().done, GetParam().answer));
  provider_->look_failures = {absl::OkStatus()};
  provider_->all_looks_fail = absl::OkStatus();
  provider_->on_write = [this] { provider_->all_looks_fail = Unreachable(); };
  const auto call = Lease(kId, kNumber, milliseconds(500));
  Advance(milliseconds(500));
  EXPECT_EQ(call->reason(), "OUTCOME_UNKNOWN");
  EXPECT_EQ(call->result->status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_UNKNOWN);
  Stop();
  provider_->all_looks_fail = absl::OkStatus();
  Start();
  Advance(seconds(20));
  EXPECT_EQ(Recorded().state(),
            GetParam().done ? v1::OPERATION_STATE_SUCCEEDED : v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(provider_->posts.size(), 1u);
  EXPECT_EQ(api_->open(), 0u);
  // The same request: the lease that was made, or one that is made now.
  provider_->on_write = nullptr;
  const auto again = Lease();
  ASSERT_TRUE(again->ended() && again->result->ok()) << again->reason();
  EXPECT_EQ(provider_->TotalCharges(), 1);
}

INSTANTIATE_TEST_SUITE_P(Cases, LostAnswerTest,
                         testing::Values(LostCase{"ResetAfter", true, LostAnswer(true)},
                                         LostCase{"ResetBefore", false, LostAnswer(true)},
                                         LostCase{"Status500After", true, Http(500, true)},
                                         LostCase{"Status503Before", false, Http(503, true)},
                                         LostCase{"MalformedAfter", true,
                                                  MakeError(absl::StatusCode::kInternal,
                                                            reason::kUpstreamMalformed, "no JSON")},
                                         LostCase{"MalformedBefore", false,
                                                  MakeError(absl::StatusCode::kInternal,
                                                            reason::kUpstreamMalformed, "no JSON")},
                                         LostCase{"InternalAfter", true, absl::InternalError("?")}),
                         [](const auto& each) { return each.param.name; });

TEST_F(RecordedLeaseApiTest, LostRequestForANumberThatAnotherGotFails) {
  provider_->steps.push_back(Lost(false));
  provider_->on_write = [this] { provider_->Take(kNumber); };
  const auto call = Lease();
  Advance(options_.settle - milliseconds(1));
  EXPECT_FALSE(call->ended()) << "the other could give it back, and then the request arrive";
  Advance(options_.longest_look);
  EXPECT_EQ(call->reason(), "NUMBER_NOT_AVAILABLE");
  EXPECT_EQ(call->result->status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(Lease()->reason(), "NUMBER_NOT_AVAILABLE") << "the same answer again";
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(RecordedLeaseApiTest, RequestThatArrivesLateIsFound) {
  options_.may_resend = [] { return false; };
  Stop();
  Start();
  provider_->steps.push_back({true, LostAnswer(true), seconds(3), milliseconds(100)});
  const auto call = Lease(kId, kNumber, seconds(1));
  Advance(seconds(1));
  EXPECT_EQ(call->reason(), "OUTCOME_UNKNOWN");
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_UNKNOWN);
  Advance(seconds(10));
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(Recorded().lease_id(), "lsd_1");
  EXPECT_EQ(found_, std::vector<std::string>{"lsd_1"});
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(RecordedLeaseApiTest, RequestThatArrivesWhileItIsSentAgainIsChargedOnce) {
  // The second is refused, because the first has come meanwhile.
  provider_->steps.push_back({true, LostAnswer(true), milliseconds(1'000), milliseconds(100)});
  provider_->steps.push_back({true, {}, milliseconds(2'000), milliseconds(2'000)});
  const auto call = Lease();
  Advance(seconds(5));
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ(provider_->TotalCharges(), 1);
  EXPECT_EQ(provider_->posts.size(), 2u);
}

// The first request arrives when a caller has long been told of the second one's success.
TEST_F(RecordedLeaseApiTest, NumberIsKeptUntilALostRequestCanNotArriveAnyMore) {
  provider_->steps.push_back({true, LostAnswer(true), seconds(5), milliseconds(100)});
  const auto lease = Lease();
  Advance(milliseconds(200));
  ASSERT_TRUE(lease->ended() && lease->result->ok()) << lease->reason();
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_TRUE(Recorded().has_settle_time());
  auto end = Terminate(kId2, "", seconds(5));
  Advance(seconds(5));
  EXPECT_EQ(end->reason(), "DEADLINE");
  // Also after a restart.
  Stop();
  Start();
  EXPECT_EQ((*Lease()->result)->lease().lease_id(), "lsd_1") << "the same answer meanwhile";
  end = Terminate(kId2);
  Advance(seconds(4));
  EXPECT_FALSE(end->ended());
  Advance(seconds(10));
  ASSERT_TRUE(end->ended() && end->result->ok()) << end->reason();
  EXPECT_EQ(provider_->TotalCharges(), 1);
  EXPECT_FALSE(provider_->records[kNumber].number.has_lease());
  EXPECT_EQ(api_->open(), 0u);
}

TEST_F(RecordedLeaseApiTest, NumberIsKeptAfterALostEndToo) {
  provider_->Give(kNumber, "lsd_77");
  provider_->steps.push_back(Lost(true));
  const auto end = Terminate(kId);
  ASSERT_TRUE(end->ended() && end->result->ok());
  const auto lease = Lease(kId2);
  Advance(options_.settle - milliseconds(1));
  EXPECT_FALSE(lease->ended());
  Advance(milliseconds(2));
  EXPECT_TRUE(lease->ended() && lease->result->ok()) << lease->reason();
}

TEST_F(RecordedLeaseApiTest, NothingIsSaidToBeUndoneBeforeItCanNotArriveAnyMore) {
  options_.may_resend = [] { return false; };
  Stop();
  Start();
  provider_->steps.push_back(Lost(false));
  const auto call = Lease();
  Advance(options_.settle - milliseconds(1));
  EXPECT_FALSE(call->ended());
  Advance(options_.longest_look);
  EXPECT_EQ(call->reason(), "NOT_APPLIED");
  EXPECT_EQ(call->result->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(Recorded().settlement(), v1::OPERATION_SETTLEMENT_RECONCILED);
  EXPECT_EQ(provider_->posts.size(), 1u);
  // And then the same request makes a new attempt.
  const auto again = Lease();
  ASSERT_TRUE(again->ended() && again->result->ok());
  EXPECT_EQ(provider_->TotalCharges(), 1);
}

TEST_F(RecordedLeaseApiTest, RefusalOfTheFirstRequestIsFinalOnceALookConfirmsIt) {
  provider_->steps.push_back({false, Http(400, true)});
  EXPECT_EQ(Lease()->reason(), "UPSTREAM_REJECTED");
  EXPECT_EQ(provider_->looks, 2);
  EXPECT_EQ(Recorded().settlement(), v1::OPERATION_SETTLEMENT_ANSWERED);
  EXPECT_EQ(Lease()->reason(), "UPSTREAM_REJECTED");
  EXPECT_EQ(provider_->posts.size(), 1u);
  EXPECT_EQ(api_->open(), 0u);
}

// The provider's own form, and an answer that shows nothing of whom it is from.
struct RefusalCase {
  const char* name;
  int status;
  bool bare;
};
class RefusalTest : public RecordedLeaseApiTest, public testing::WithParamInterface<RefusalCase> {
 protected:
  static absl::Status Refusal() {
    return GetParam().bare ? BareHttp(GetParam().status, true) : Http(GetParam().status, true);
  }
};

TEST_P(RefusalTest, OfALeaseThatWasMadeAllTheSameIsNotBelieved) {
  provider_->steps.push_back({true, Refusal()});
  const auto call = Lease();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().lease_id(), "lsd_1");
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(Recorded().settlement(), v1::OPERATION_SETTLEMENT_RECONCILED);
  EXPECT_EQ(found_, std::vector<std::string>{"lsd_1"});
  EXPECT_EQ((*Lease()->result)->lease().lease_id(), "lsd_1");
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_P(RefusalTest, OfAnEndThatWasMadeAllTheSameIsNotBelieved) {
  provider_->Give(kNumber, "lsd_77");
  provider_->steps.push_back({true, Refusal()});
  const auto call = Terminate(kId);
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->termination().lease_id(), "lsd_77");
  EXPECT_EQ(Recorded().settlement(), v1::OPERATION_SETTLEMENT_RECONCILED);
  EXPECT_EQ(found_, std::vector<std::string>{"lsd_77"});
  EXPECT_EQ(provider_->deletes.size(), 1u);
}

TEST_P(RefusalTest, OfANumberThatAnotherGotStaysARefusal) {
  provider_->steps.push_back({false, Refusal()});
  provider_->on_write = [this] { provider_->Take(kNumber); };
  const auto call = Lease();
  if (GetParam().bare) Advance(options_.settle + options_.longest_look);
  ASSERT_TRUE(call->ended());
  const bool says_why = GetParam().status == 401 || GetParam().status == 403 ||
                        (GetParam().status == 404 && !GetParam().bare);
  EXPECT_EQ(call->reason(), says_why ? ReasonOf(Refusal()) : "NUMBER_NOT_AVAILABLE");
  EXPECT_EQ(MetadataOf(call->result->status())["http_status"], absl::StrCat(GetParam().status));
  EXPECT_EQ(found_, std::vector<std::string>{absl::StrCat("taken ", kNumber)});
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_P(RefusalTest, IsNotFinalBeforeALook) {
  provider_->steps.push_back({true, Refusal()});
  provider_->on_write = [this] { provider_->all_looks_fail = LostAnswer(false); };
  const auto call = Lease(kId, kNumber, seconds(1));
  Advance(seconds(1));
  EXPECT_EQ(call->reason(), "OUTCOME_UNKNOWN");
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_UNKNOWN);
  const auto other = Lease(kId2);
  Advance(seconds(20));
  EXPECT_FALSE(other->ended()) << "nobody else may lease it meanwhile";
  provider_->all_looks_fail = absl::OkStatus();
  Advance(options_.longest_look);
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(Recorded().lease_id(), "lsd_1");
  EXPECT_EQ(provider_->posts.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, RefusalTest,
    testing::Values(RefusalCase{"S400", 400, false}, RefusalCase{"S401", 401, false},
                    RefusalCase{"S403", 403, false}, RefusalCase{"S404", 404, false},
                    RefusalCase{"S409", 409, false}, RefusalCase{"S410", 410, false},
                    RefusalCase{"S422", 422, false}, RefusalCase{"S429", 429, false},
                    RefusalCase{"S499", 499, false}, RefusalCase{"Bare400", 400, true},
                    RefusalCase{"Bare401", 401, true}, RefusalCase{"Bare403", 403, true},
                    RefusalCase{"Bare408", 408, true}, RefusalCase{"Bare409", 409, true},
                    RefusalCase{"Bare429", 429, true}),
    [](const auto& each) { return each.param.name; });

// What stands in front of the provider may refuse while the request goes on its way.
TEST_F(RecordedLeaseApiTest, BareRefusalIsBelievedOnlyWhenNothingCanArriveAnyMore) {
  provider_->steps.push_back({true, BareHttp(408, true), seconds(3), milliseconds(0)});
  const auto made = Lease();
  Advance(seconds(10));
  ASSERT_TRUE(made->ended() && made->result->ok()) << made->reason();
  EXPECT_EQ(provider_->posts.size(), 1u);

  provider_->Add(kOther);
  provider_->steps.push_back({false, BareHttp(408, true)});
  const auto refused = Lease(kId2, kOther);
  Advance(options_.settle - milliseconds(1));
  EXPECT_FALSE(refused->ended());
  Advance(options_.longest_look);
  EXPECT_EQ(refused->reason(), "UPSTREAM_REJECTED");
  EXPECT_EQ(provider_->posts.size(), 2u);
}

TEST_F(RecordedLeaseApiTest, RefusedEndDoesNotReachANewerLease) {
  provider_->Give(kNumber, "lsd_77");
  provider_->steps.push_back({true, Http(429, true)});
  // Somebody else of the account leases it anew at once.
  provider_->on_write = [this] {
    provider_->look_time = milliseconds(100);
    provider_->on_write = nullptr;
  };
  const auto end = Terminate(kId, "lsd_77");
  provider_->Give(kNumber, "lsd_78");
  Advance(seconds(5));
  ASSERT_TRUE(end->ended() && end->result->ok()) << end->reason();
  EXPECT_EQ((*end->result)->termination().lease_id(), "lsd_77");
  EXPECT_EQ(provider_->deletes.size(), 1u);
  EXPECT_EQ(provider_->records[kNumber].number.lease().lease_id(), "lsd_78");
}

TEST_F(RecordedLeaseApiTest, NumberThatTheProviderForgotIsNotSaidToBeGivenBack) {
  provider_->Give(kNumber, "lsd_77");
  provider_->steps.push_back({false, Http(404, true)});
  provider_->on_write = [this] { provider_->records.erase(kNumber); };
  EXPECT_EQ(Terminate(kId)->reason(), "NUMBER_NOT_FOUND");
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
}

TEST_F(RecordedLeaseApiTest, RateLimitedRequestIsLookedAfterThenSentAgainWhenTheProviderSays) {
  provider_->steps.push_back({false, Http(429, true, "2")});
  provider_->steps.push_back({false, Http(429, true)});
  const auto first = Lease();
  EXPECT_EQ(provider_->looks, 2);
  Advance(milliseconds(1'999));
  EXPECT_EQ(provider_->posts.size(), 1u);
  const auto second = Lease();  // whoever comes does not make it earlier
  EXPECT_EQ(provider_->posts.size(), 1u);
  Advance(milliseconds(1));
  EXPECT_EQ(provider_->posts.size(), 2u);
  Advance(milliseconds(100));
  EXPECT_EQ(provider_->posts.size(), 3u);
  ASSERT_TRUE(first->ended() && first->result->ok()) << first->reason();
  ASSERT_TRUE(second->ended() && second->result->ok()) << second->reason();
  EXPECT_EQ(provider_->TotalCharges(), 1);
}

TEST_F(RecordedLeaseApiTest, RateLimitedRequestIsNotSentAgainWithoutTimeBudgetOrEnd) {
  provider_->steps.push_back({false, Http(429, true, "2")});
  const auto in_a_hurry = Lease(kId, kNumber, seconds(2));
  EXPECT_EQ(in_a_hurry->reason(), "UPSTREAM_RATE_LIMITED");
  EXPECT_EQ(RetryDelayOf(in_a_hurry->result->status()), seconds(2));
  EXPECT_EQ(provider_->posts.size(), 1u);

  for (int i = 0; i < 10; ++i) provider_->steps.push_back({false, Http(429, true)});
  const auto call = Lease();
  Advance(seconds(20));
  EXPECT_EQ(call->reason(), "UPSTREAM_RATE_LIMITED");
  EXPECT_EQ(provider_->posts.size(), 7u);

  options_.may_resend = [] { return false; };
  Stop();
  Start();
  const auto without_budget = Lease();
  Advance(seconds(20));
  EXPECT_EQ(without_budget->reason(), "UPSTREAM_RATE_LIMITED");
  EXPECT_EQ(provider_->posts.size(), 8u);
  EXPECT_EQ(provider_->TotalCharges(), 0);
}

TEST_F(RecordedLeaseApiTest, NothingIsSentAgainForAPriceThatHasChanged) {
  for (const absl::Status& answer : {Http(429, true, "2"), LostAnswer(true)}) {
    const std::string id = answer.code() == absl::StatusCode::kAborted ? kId : kId2;
    provider_->steps.push_back({false, answer});
    provider_->on_write = [this] {
      *provider_->records[kNumber].number.mutable_pricing()->mutable_monthly_rate() = Usd(9);
    };
    auto request = LeaseRequest(kNumber);
    *request.mutable_expected_price()->mutable_monthly_rate() = Usd(5);
    const auto call = Run(api_->CreateLease(Context(id, seconds(60)), request));
    Advance(seconds(30));
    ASSERT_TRUE(call->ended());
    EXPECT_FALSE(call->result->ok());
    *provider_->records[kNumber].number.mutable_pricing()->mutable_monthly_rate() = Usd(5);
  }
  EXPECT_EQ(provider_->posts.size(), 2u);
  EXPECT_EQ(provider_->TotalCharges(), 0);
}

TEST_F(RecordedLeaseApiTest, EndThatWasRateLimitedIsNotSentAgainToANewerLease) {
  provider_->Give(kNumber, "lsd_77");
  provider_->steps.push_back({false, Http(429, true, "2")});
  const auto end = Terminate(kId, "lsd_77");
  Advance(seconds(1));
  provider_->Give(kNumber, "lsd_78");  // by somebody else of the account, while it waits
  Advance(seconds(5));
  ASSERT_TRUE(end->ended() && end->result->ok()) << end->reason();
  EXPECT_EQ(provider_->deletes.size(), 1u);
  EXPECT_EQ(provider_->records[kNumber].number.lease().lease_id(), "lsd_78");
}

TEST_F(RecordedLeaseApiTest, CallerOfARateLimitedRequestIsToldThatNothingWasDone) {
  provider_->steps.push_back({false, Http(429, true, "2")});
  const auto patient = Lease();
  const auto call = Lease(kId, kNumber, seconds(1));
  Advance(seconds(1));
  EXPECT_EQ(call->reason(), "DEADLINE");
  EXPECT_EQ(MetadataOf(call->result->status())["request_sent"], "false");
  Advance(seconds(5));
  EXPECT_TRUE(patient->ended() && patient->result->ok());
}

TEST_F(RecordedLeaseApiTest, WhatMayChangeIsTriedAnewUnderTheSameId) {
  for (const int status : {401, 403}) provider_->steps.push_back({false, Http(status, true)});
  provider_->steps.push_back({false, Http(429, true, "60")});
  provider_->steps.push_back({false, Unreachable()});
  EXPECT_EQ(Lease()->reason(), "UPSTREAM_CREDENTIALS_REJECTED");
  EXPECT_EQ(Lease()->reason(), "UPSTREAM_FORBIDDEN");
  EXPECT_EQ(Lease()->reason(), "UPSTREAM_RATE_LIMITED");
  EXPECT_EQ(Lease()->reason(), "UPSTREAM_UNREACHABLE");
  EXPECT_EQ(Recorded().settlement(), v1::OPERATION_SETTLEMENT_NOT_SENT);
  ASSERT_TRUE(Lease()->result->ok());
  EXPECT_FALSE(Recorded().has_error());
  EXPECT_EQ(provider_->TotalCharges(), 1);
}

TEST_F(RecordedLeaseApiTest, CallerWhoLeavesDoesNotStopWhatWasSent) {
  provider_->steps.push_back({true, {}, milliseconds(100), seconds(1)});
  const auto call = Lease();
  Advance(milliseconds(10));
  call->cancellation.emit(asio::cancellation_type::terminal);
  FakeTime::Run(io_);
  EXPECT_EQ(call->reason(), "OUTCOME_UNKNOWN");
  Advance(seconds(1));
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ((*Lease()->result)->lease().lease_id(), "lsd_1");
}

TEST_F(RecordedLeaseApiTest, NothingIsSentForCallersWhoHaveLeft) {
  provider_->look_time = milliseconds(100);
  const auto call = Lease();
  call->cancellation.emit(asio::cancellation_type::terminal);
  FakeTime::Run(io_);
  EXPECT_EQ(call->reason(), "CANCELLED");
  Advance(seconds(1));
  EXPECT_TRUE(provider_->posts.empty());
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(Recorded().settlement(), v1::OPERATION_SETTLEMENT_NOT_SENT);
  ASSERT_EQ(api_->open(), 0u);
  const auto again = Lease();
  Advance(seconds(1));
  EXPECT_TRUE(again->ended() && again->result->ok());
}

TEST_F(RecordedLeaseApiTest, NothingIsSentAfterTheDeadlineAndItIsSaidBeforeIt) {
  provider_->look_time = milliseconds(1'000);
  const auto call = Lease(kId, kNumber, milliseconds(400));
  Advance(milliseconds(375));
  EXPECT_EQ(call->reason(), "DEADLINE");
  EXPECT_EQ(MetadataOf(call->result->status())["request_sent"], "false");
  Advance(seconds(2));
  EXPECT_TRUE(provider_->posts.empty());
}

TEST_F(RecordedLeaseApiTest, LeaseThatWasThereBeforeIsNoSuccess) {
  provider_->Give(kNumber, "lsd_77");
  const auto call = Lease();
  EXPECT_EQ(call->reason(), "ALREADY_LEASED");
  EXPECT_EQ(call->result->status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(MetadataOf(call->result->status())["lease_id"], "lsd_77");
  const auto detail =
      call->result->status().GetPayload("type.googleapis.com/leasegateway.v1.Lease");
  ASSERT_TRUE(detail);
  v1::Lease lease;
  ASSERT_TRUE(lease.ParseFromString(std::string(*detail)));
  EXPECT_EQ(lease.lease_id(), "lsd_77");
  EXPECT_TRUE(provider_->posts.empty());
  const auto again = Lease();
  EXPECT_EQ(again->reason(), "ALREADY_LEASED");
  EXPECT_TRUE(
      again->result->status().GetPayload("type.googleapis.com/leasegateway.v1.Lease").has_value());
}

TEST_F(RecordedLeaseApiTest, OfTwoForTheSameNumberOneGetsIt) {
  provider_->steps.push_back({true, {}, milliseconds(0), seconds(1)});
  const auto first = Lease(kId);
  const auto second = Lease(kId2);
  const auto third = Lease("11111111-5c1d-4f7a-8e90-1a2b3c4d5e6f");
  Advance(seconds(1));
  EXPECT_TRUE(first->ended() && first->result->ok());
  EXPECT_EQ(second->reason(), "NUMBER_NOT_AVAILABLE");
  EXPECT_EQ(third->reason(), "NUMBER_NOT_AVAILABLE");
  EXPECT_EQ(Lease("22222222-5c1d-4f7a-8e90-1a2b3c4d5e6f")->reason(), "ALREADY_LEASED");
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(RecordedLeaseApiTest, WhoWaitsForANumberTooLongHasSentNothing) {
  provider_->steps.push_back({true, {}, milliseconds(0), seconds(5)});
  const auto first = Lease(kId);
  const auto second = Lease(kId2, kNumber, seconds(1));
  Advance(seconds(2));
  EXPECT_EQ(second->reason(), "DEADLINE");
  EXPECT_EQ(Recorded(kId2).state(), v1::OPERATION_STATE_FAILED);
  Advance(seconds(5));
  EXPECT_TRUE(first->ended() && first->result->ok());
  EXPECT_EQ(api_->open(), 0u);
}

TEST_F(RecordedLeaseApiTest, OpenPurchaseKeepsOthersFromTheNumberUntilItIsSettled) {
  provider_->steps.push_back({true, LostAnswer(true), milliseconds(0), milliseconds(10)});
  provider_->on_write = [this] { provider_->all_looks_fail = Unreachable(); };
  const auto lease = Lease(kId, kNumber, milliseconds(500));
  Advance(milliseconds(500));
  EXPECT_EQ(lease->reason(), "OUTCOME_UNKNOWN");
  provider_->on_write = nullptr;
  const auto end = Terminate(kId2);
  Advance(milliseconds(10));
  EXPECT_FALSE(end->ended());
  provider_->all_looks_fail = absl::OkStatus();
  Advance(seconds(20));
  EXPECT_EQ(Recorded(kId).state(), v1::OPERATION_STATE_SUCCEEDED);
  ASSERT_TRUE(end->ended() && end->result->ok()) << end->reason();
  EXPECT_EQ((*end->result)->termination().lease_id(), "lsd_1");
}

TEST_F(RecordedLeaseApiTest, OnlyTheLeaseThatWasSeenIsEnded) {
  provider_->Give(kNumber, "lsd_77");
  EXPECT_EQ(Terminate(kId, "lsd_76")->reason(), "LEASE_CHANGED");
  EXPECT_TRUE(provider_->deletes.empty());
  const auto end = Terminate(kId2, "lsd_77");
  ASSERT_TRUE(end->ended() && end->result->ok());
  EXPECT_EQ(Recorded(kId2).lease_id(), "lsd_77");
  EXPECT_EQ(Terminate("11111111-5c1d-4f7a-8e90-1a2b3c4d5e6f")->reason(), "NOT_LEASED");
}

TEST_F(RecordedLeaseApiTest, LostEndIsNotSentAgainToANewerLease) {
  provider_->Give(kNumber, "lsd_77");
  provider_->steps.push_back(Lost(false));
  // Somebody else of the account has ended it and leased anew meanwhile.
  provider_->on_write = [this] { provider_->Give(kNumber, "lsd_78"); };
  const auto end = Terminate(kId, "lsd_77");
  ASSERT_TRUE(end->ended() && end->result->ok());
  EXPECT_EQ((*end->result)->termination().lease_id(), "lsd_77");
  EXPECT_EQ(provider_->deletes.size(), 1u);
  EXPECT_EQ(provider_->records[kNumber].number.lease().lease_id(), "lsd_78");
}

TEST_F(RecordedLeaseApiTest, LateRequestOfAnEarlierProcessCanNotEndANewerLease) {
  provider_->Give(kNumber, "lsd_78");
  v1::TerminateLeaseRequest request;
  request.set_phone_number(kNumber);
  StopWith(v1::OPERATION_KIND_TERMINATE, v1::OPERATION_STATE_SENT, kNumber, Fingerprint(request),
           "lsd_77");
  Start();
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  const auto again = Terminate(kId);
  ASSERT_TRUE(again->ended() && again->result->ok());
  EXPECT_TRUE(provider_->deletes.empty());
}

// Its name was for the lease that it saw first, also where nothing was sent then.
TEST_F(RecordedLeaseApiTest, EndThatIsTriedAnewDoesNotEndANewerLease) {
  provider_->Give(kNumber, "lsd_77");
  auto unreachable = MakeError(absl::StatusCode::kUnavailable, reason::kUpstreamUnreachable,
                               "connection refused", {{"request_sent", "false"}});
  provider_->steps.push_back(Lost(false, unreachable));
  EXPECT_EQ(Terminate(kId)->reason(), "UPSTREAM_UNREACHABLE");
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
  provider_->Give(kNumber, "lsd_78");
  EXPECT_EQ(Terminate(kId)->reason(), "LEASE_CHANGED");
  EXPECT_EQ(provider_->deletes.size(), 1u);
  EXPECT_EQ(provider_->records[kNumber].number.lease().lease_id(), "lsd_78");
}

TEST_F(RecordedLeaseApiTest, EndThatIsTriedAnewEndsTheLeaseThatItSaw) {
  provider_->Give(kNumber, "lsd_77");
  auto unreachable = MakeError(absl::StatusCode::kUnavailable, reason::kUpstreamUnreachable,
                               "connection refused", {{"request_sent", "false"}});
  provider_->steps.push_back(Lost(false, unreachable));
  EXPECT_EQ(Terminate(kId)->reason(), "UPSTREAM_UNREACHABLE");
  const auto again = Terminate(kId);
  ASSERT_TRUE(again->ended() && again->result->ok()) << again->reason();
  EXPECT_EQ((*again->result)->termination().lease_id(), "lsd_77");
}

TEST_F(RecordedLeaseApiTest, LooksForALostRequestAreNotPutOffForCallers) {
  provider_->steps.push_back(Lost(true));
  provider_->on_write = [this] { provider_->all_looks_fail = LostAnswer(false); };
  const auto call = Lease(kId, kNumber, seconds(1));
  Advance(seconds(2));
  EXPECT_TRUE(call->ended());  // its caller has gone
  provider_->background_looks = 0;
  const int before = provider_->looks;
  Advance(seconds(20));
  EXPECT_GT(provider_->looks, before);
  EXPECT_EQ(provider_->background_looks, 0);
}

TEST_F(RecordedLeaseApiTest, IntentThatWasNeverSentIsClosedAtTheNextStart) {
  StopWith(v1::OPERATION_KIND_LEASE, v1::OPERATION_STATE_INTENDED, kNumber,
           Fingerprint(LeaseRequest(kNumber)));
  Start();
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(Recorded().settlement(), v1::OPERATION_SETTLEMENT_NOT_SENT);
  EXPECT_EQ(provider_->looks, 0);
  EXPECT_TRUE(Lease()->result->ok());
}

TEST_F(RecordedLeaseApiTest, OpenOperationIsBeforeNewOnesAfterARestart) {
  StopWith(v1::OPERATION_KIND_LEASE, v1::OPERATION_STATE_SENT, kNumber,
           Fingerprint(LeaseRequest(kNumber)));
  provider_->look_time = milliseconds(100);
  provider_->Give(kNumber, "lsd_5");  // by what was sent before
  Start();
  const auto other = Lease(kId2);
  Advance(seconds(1));
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(Recorded().lease_id(), "lsd_5");
  Advance(options_.settle);
  EXPECT_EQ(other->reason(), "NUMBER_NOT_AVAILABLE");
  EXPECT_TRUE(provider_->posts.empty());
}

TEST_F(RecordedLeaseApiTest, NothingIsSpentWithoutTheJournal) {
  journal_->failure =
      MakeError(absl::StatusCode::kFailedPrecondition, reason::kJournalUnavailable, "disk full");
  EXPECT_EQ(Lease()->reason(), "JOURNAL_UNAVAILABLE");
  EXPECT_EQ(provider_->looks, 0);
  journal_->failure = absl::OkStatus();
  journal_->fail_updates = 1;  // that it goes out
  EXPECT_EQ(Lease()->reason(), "JOURNAL_UNAVAILABLE");
  EXPECT_TRUE(provider_->posts.empty());
  EXPECT_TRUE(Lease()->result->ok());
}

TEST_F(RecordedLeaseApiTest, OutcomeThatCanNotBeWrittenDownIsToldAndWrittenLater) {
  provider_->on_write = [this] { journal_->fail_updates = 3; };
  const auto call = Lease();
  ASSERT_TRUE(call->ended() && call->result->ok());
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SENT);
  EXPECT_EQ((*Lease()->result)->lease().lease_id(), "lsd_1") << "meanwhile";
  Advance(seconds(10));
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(api_->open(), 0u);
}

TEST_F(RecordedLeaseApiTest, PriceThatHasChangedIsRefused) {
  auto request = LeaseRequest(kNumber);
  *request.mutable_expected_price()->mutable_monthly_rate() = Usd(4);
  const auto call = Run(api_->CreateLease(Context(kId, seconds(1)), request));
  EXPECT_EQ(call->reason(), "PRICE_CHANGED");
  EXPECT_NE(std::string(call->result->status().message()).find("4.00 USD"), std::string::npos)
      << call->result->status();
  *request.mutable_expected_price()->mutable_monthly_rate() = Usd(5);
  EXPECT_TRUE(Run(api_->CreateLease(Context(kId2, seconds(1)), request))->result->ok());
}

TEST_F(RecordedLeaseApiTest, TrialRunSpendsNothingAndWritesNothing) {
  auto request = LeaseRequest(kNumber);
  request.set_validate_only(true);
  const auto call = Run(api_->CreateLease(Context(kId, seconds(1)), request));
  ASSERT_TRUE(call->result->ok());
  EXPECT_EQ((*call->result)->lease().lease_id(), "");
  EXPECT_EQ((*call->result)->lease().phone_number(), kNumber);
  EXPECT_EQ((*call->result)->lease().billing().price().monthly_rate().units(), 5);
  auto any = AnyRequest();
  any.set_validate_only(true);
  const auto any_call = Run(api_->LeaseAnyNumber(Context(kId, seconds(1)), any));
  ASSERT_TRUE(any_call->result->ok());
  EXPECT_EQ((*any_call->result)->lease().phone_number(), kNumber);
  EXPECT_TRUE(provider_->posts.empty());
  EXPECT_TRUE(journal_->entries.empty());
  provider_->Take(kNumber);
  EXPECT_EQ(Run(api_->CreateLease(Context(kId, seconds(1)), request))->reason(),
            "NUMBER_NOT_AVAILABLE");
  EXPECT_EQ(Run(api_->LeaseAnyNumber(Context(kId, seconds(1)), any))->reason(),
            "NO_MATCHING_NUMBER");
}

TEST_F(RecordedLeaseApiTest, TooManyOpenOperationsAreRefused) {
  options_.max_open = 1;
  Stop();
  Start();
  provider_->Add(kOther);
  provider_->steps.push_back({true, {}, milliseconds(0), seconds(1)});
  const auto first = Lease();
  EXPECT_EQ(Lease(kId2, kOther)->reason(), "OVERLOADED");
  Advance(seconds(1));
  EXPECT_TRUE(Lease(kId2, kOther)->result->ok());
}

class LeaseAnyTest : public RecordedLeaseApiTest {
 protected:
  LeaseAnyTest() {
    provider_->Add(kOther, 3);
    provider_->Add(kThird, 9);
  }
  void KeepList() {
    NumberList numbers;
    for (const auto& [phone_number, record] : provider_->records) *numbers.Add() = record.number;
    stale_list_ = Availability::Build(numbers, {}, PinInMemory);
  }
};

TEST_F(LeaseAnyTest, FirstInTheOrderIsLeasedAndTheSameAgain) {
  const auto call = LeaseAny();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().phone_number(), kOther);
  EXPECT_EQ((*LeaseAny()->result)->lease().phone_number(), kOther);
  Stop();
  Start();
  EXPECT_EQ((*LeaseAny()->result)->lease().phone_number(), kOther);
  EXPECT_EQ(provider_->posts.size(), 1u);
  EXPECT_EQ(Recorded().phone_number(), kOther);
}

TEST_F(LeaseAnyTest, NextIsTriedWhenOneIsGone) {
  KeepList();
  provider_->Take(kOther);
  const auto call = LeaseAny();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().phone_number(), kNumber);
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(LeaseAnyTest, NumberThatWasLeasedAllTheSameIsTheAnswer) {
  provider_->steps.push_back({true, Http(409, true)});
  const auto call = LeaseAny();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().phone_number(), kOther);
  EXPECT_EQ(provider_->TotalCharges(), 1);
}

TEST_F(LeaseAnyTest, NextIsTriedWhenOneIsRefused) {
  provider_->on_write = [this] {
    provider_->Take(kOther);
    provider_->on_write = nullptr;
  };
  const auto call = LeaseAny();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().phone_number(), kNumber);
  EXPECT_EQ(provider_->TotalCharges(), 1);
}

// Otherwise a restart would take for its own what another one leases there from now on.
TEST_F(LeaseAnyTest, NumberThatWasRefusedIsLeftInTheJournalBeforeOthersGetIt) {
  provider_->on_write = [this] {
    provider_->Take(kOther);
    provider_->on_write = [this] { provider_->look_time = seconds(1); };
  };
  provider_->look_time = milliseconds(100);
  const auto call = LeaseAny();
  std::vector<v1::OperationState> seen;
  for (int i = 0; i < 20 && !call->ended(); ++i) {
    Advance(milliseconds(50));
    if (provider_->posts == std::vector<std::string>{kOther} && !call->ended()) {
      seen.push_back(Recorded().state());
    }
  }
  // It looks at the next number, and holds the first one no more.
  EXPECT_GT(std::count(seen.begin(), seen.end(), v1::OPERATION_STATE_INTENDED), 0);
  Advance(seconds(5));
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().phone_number(), kNumber);
}

TEST_F(LeaseAnyTest, NumberThatWasRefusedIsKeptWhenTheJournalCanNotSayThatItIsLeft) {
  provider_->on_write = [this] {
    provider_->Take(kOther);
    journal_->fail_updates = 1;
  };
  const auto call = LeaseAny();
  Advance(seconds(10));
  ASSERT_TRUE(call->ended());
  EXPECT_EQ(call->reason(), "JOURNAL_UNAVAILABLE");
  EXPECT_EQ(provider_->posts, std::vector<std::string>{kOther});
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
}

TEST_F(LeaseAnyTest, NoOtherNumberIsTriedWhileARequestMayHaveArrived) {
  options_.may_resend = [] { return false; };
  Stop();
  Start();
  provider_->steps.push_back({true, LostAnswer(true), seconds(3), milliseconds(0)});
  const auto call = LeaseAny();
  Advance(seconds(2));
  EXPECT_FALSE(call->ended());
  Advance(seconds(10));
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().phone_number(), kOther);
  EXPECT_EQ(provider_->posts, std::vector<std::string>{kOther});
}

TEST_F(LeaseAnyTest, CeilingHoldsForThePriceOfNow) {
  KeepList();
  *provider_->records[kOther].number.mutable_pricing()->mutable_monthly_rate() = Usd(50);
  const auto call = LeaseAny(kId, 4);
  EXPECT_EQ(call->reason(), "NO_MATCHING_NUMBER");
  EXPECT_EQ(call->result->status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(provider_->posts.empty());
}

TEST_F(LeaseAnyTest, ManyAtOnceGetDifferentNumbers) {
  for (int i = 0; i < 3; ++i) provider_->steps.push_back({true, {}, milliseconds(0), seconds(1)});
  const auto first = LeaseAny(kId);
  const auto second = LeaseAny(kId2);
  const auto third = LeaseAny("11111111-5c1d-4f7a-8e90-1a2b3c4d5e6f");
  const auto fourth = LeaseAny("22222222-5c1d-4f7a-8e90-1a2b3c4d5e6f");
  Advance(seconds(5));
  std::set<std::string> numbers;
  for (const auto& call : {first, second, third}) {
    ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
    numbers.insert((*call->result)->lease().phone_number());
  }
  EXPECT_EQ(numbers.size(), 3u);
  EXPECT_EQ(fourth->reason(), "NO_MATCHING_NUMBER");
  EXPECT_EQ(provider_->TotalCharges(), 3);
}

TEST_F(LeaseAnyTest, RestartSettlesTheNumberThatWasTriedLast) {
  StopWith(v1::OPERATION_KIND_LEASE_ANY, v1::OPERATION_STATE_SENT, kThird,
           Fingerprint(AnyRequest()));
  provider_->Give(kThird, "lsd_5");
  Start();
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ((*LeaseAny()->result)->lease().phone_number(), kThird);
  EXPECT_TRUE(provider_->posts.empty());
}

TEST_F(LeaseAnyTest, AfterARestartAnotherNumberCanBeHadUnderTheSameId) {
  StopWith(v1::OPERATION_KIND_LEASE_ANY, v1::OPERATION_STATE_SENT, kThird,
           Fingerprint(AnyRequest()));
  provider_->Take(kThird);
  Start();
  Advance(options_.settle + options_.longest_look);
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
  const auto call = LeaseAny();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().phone_number(), kOther);
}

}  // namespace
}  // namespace leasegateway
