#ifndef LEASE_GATEWAY_TESTS_SUPPORT_LEASING_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_LEASING_FIXTURE_H_

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/fake_calls.h"
#include "tests/support/memory_journal.h"
#include "tests/support/typed_lease_api.h"
#include "upstream/leasing/operation_rules.h"
#include "upstream/leasing/recorded_lease_api.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

inline constexpr char kOther[] = "+13059478668";
inline constexpr char kThird[] = "+13059478669";
inline constexpr char kId[] = "9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6f";
inline constexpr char kId2[] = "00000000-5c1d-4f7a-8e90-1a2b3c4d5e6f";

inline google::type::Money Usd(int units) {
  google::type::Money money;
  money.set_currency_code("USD");
  money.set_units(units);
  return money;
}

inline boost::asio::awaitable<void> SleepBy(FakeTime* clock, std::chrono::milliseconds time) {
  const auto wakeup = std::make_shared<Wakeup>(co_await boost::asio::this_coro::executor);
  auto waiting = clock->environment().wait(wakeup, clock->now() + time);
  co_await std::move(waiting);
}

// A provider that keeps books, and loses what the test wants lost. One thread.
class ModelProvider final : public TypedLeaseApi {
 public:
  // How it treats one write. The default: done, answered.
  struct Step {
    bool done = true;
    absl::Status answer;                   // not OK: instead of the true one
    std::chrono::milliseconds done_at{0};  // after it came
    std::chrono::milliseconds answer_at{0};
  };
  struct Record {
    v1::Number number;
    int charges = 0;
    int ends = 0;
  };

  explicit ModelProvider(FakeTime* time, boost::asio::io_context* io) : time_(time), io_(io) {}

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
    shares.insert(context.share);
    if (context.background) ++background_looks;
    EXPECT_EQ(context.max_staleness, std::chrono::milliseconds(0));
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
  LeaseApiResult<v1::Lease> CreateLease(CallContext context, std::string phone_number,
                                        v1::BillingMethod) override {
    shares.insert(context.share);
    if (connect_time.count() > 0) co_await Sleep(connect_time);
    if (IsTooLate(context)) co_return TooLate();
    posts.push_back(phone_number);
    if (on_write) on_write();
    const Step step = NextStep();
    if (step.done && step.done_at > step.answer_at) {
      boost::asio::co_spawn(*io_, LeaseLater(phone_number, step.done_at), boost::asio::detached);
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
  LeaseApiResult<v1::Termination> TerminateLease(CallContext context,
                                                 std::string phone_number) override {
    shares.insert(context.share);
    if (connect_time.count() > 0) co_await Sleep(connect_time);
    if (IsTooLate(context)) co_return TooLate();
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
  LeaseApiResult<LeaseList> ListLeases(CallContext context) override {
    ++lists;
    shares.insert(context.share);
    EXPECT_EQ(context.max_staleness, std::chrono::milliseconds(0));
    Reply<LeaseList> reply;
    for (const auto& [phone_number, record] : records) {
      if (!lists_nothing && record.number.has_lease()) *reply.value.Add() = record.number.lease();
    }
    co_return reply;
  }
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
  int lists = 0;  // of leases
  bool lists_nothing = false;
  int looks = 0;
  int background_looks = 0;
  std::set<std::string> shares;            // of all that it was asked
  std::deque<Step> steps;                  // of the next writes
  std::deque<absl::Status> look_failures;  // of the next looks; OK: none
  absl::Status all_looks_fail;
  std::chrono::milliseconds look_time{0};
  std::chrono::milliseconds connect_time{0};  // before the first byte of a write
  std::function<void()> on_write;

 private:
  // As the transport does.
  bool IsTooLate(const CallContext& context) const { return time_->now() >= context.send_before; }
  static absl::Status TooLate() {
    return MakeError(absl::StatusCode::kUnavailable, reason::kNotApplied, "too late",
                     {{"request_sent", "false"}});
  }
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
  boost::asio::awaitable<void> LeaseLater(std::string phone_number,
                                          std::chrono::milliseconds later) {
    co_await Sleep(later);
    if (CheckLeasable(records[phone_number].number).ok()) Lease(phone_number);
  }
  boost::asio::awaitable<void> Sleep(std::chrono::milliseconds time) {
    return SleepBy(time_, time);
  }
  static absl::Status Unused() { return absl::UnimplementedError("not used"); }

  FakeTime* const time_;
  boost::asio::io_context* const io_;
  int leases_ = 0;
};

// A call that was started, and what it returned.
template <typename Response>
struct Call {
  std::optional<absl::StatusOr<Response>> result;
  boost::asio::cancellation_signal cancellation;

  bool ended() const { return result.has_value(); }
  std::string reason() const { return result ? ReasonOf(result->status()) : "not ended"; }
};

template <typename Response>
boost::asio::awaitable<void> Await(boost::asio::awaitable<absl::StatusOr<Response>> running,
                                   std::shared_ptr<Call<Response>> call) {
  co_await boost::asio::this_coro::throw_if_cancelled(false);
  call->result = co_await std::move(running);
}

class RecordedLeaseApiTest : public testing::Test {
 protected:
  RecordedLeaseApiTest() : provider_(std::make_shared<ModelProvider>(&time_, &io_)) {
    provider_->Add(kNumber);
    journal_ = std::make_shared<MemoryJournal>();
    journal_->now = [this] { return time_.now(); };
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
    boost::asio::co_spawn(boost::asio::make_strand(io_), Recover(this, &status),
                          boost::asio::detached);
    FakeTime::Run(io_);
    ASSERT_TRUE(status && status->ok());
  }
  // As at the end of a process: what is open stays open.
  void Stop() {
    io_.restart();
    auto work = boost::asio::make_work_guard(io_);
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
  static boost::asio::awaitable<void> Recover(RecordedLeaseApiTest* test,
                                              std::optional<absl::Status>* status) {
    auto recovering = test->api_->Recover();
    *status = co_await std::move(recovering);
  }
  static boost::asio::awaitable<absl::StatusOr<std::shared_ptr<const Availability>>> Listed(
      RecordedLeaseApiTest* test, CallContext context) {
    if (test->stale_list_ && !context.max_staleness) co_return test->stale_list_;
    co_return co_await Fresh(test);
  }
  static boost::asio::awaitable<absl::StatusOr<std::shared_ptr<const Availability>>> Fresh(
      RecordedLeaseApiTest* test) {
    auto listing = test->provider_->Perform({}, operation::ListAvailableNumbers());
    const auto reply = co_await std::move(listing);
    co_return Availability::Build(reply->value, {}, PinInMemory);
  }

  CallContext Context(const std::string& id, std::chrono::milliseconds timeout) {
    CallContext context;
    context.deadline = time_.now() + timeout;
    context.request_id = id;
    context.caller = "ipv4:127.0.0.1:1";
    context.spending = rules_;
    stats_ = context.stats;
    return context;
  }
  template <typename Response>
  std::shared_ptr<Call<Response>> Run(boost::asio::awaitable<absl::StatusOr<Response>> running) {
    auto call = std::make_shared<Call<Response>>();
    boost::asio::co_spawn(
        boost::asio::make_strand(io_), Await(std::move(running), call),
        boost::asio::bind_cancellation_slot(call->cancellation.slot(), boost::asio::detached));
    FakeTime::Run(io_);
    return call;
  }
  static v1::CreateLeaseRequest LeaseRequest(const std::string& phone_number) {
    v1::CreateLeaseRequest request;
    request.set_phone_number(phone_number);
    return request;
  }
  auto Lease(const std::string& id = kId, const std::string& phone_number = kNumber,
             std::chrono::milliseconds timeout = std::chrono::seconds(30)) {
    return Run(api_->CreateLease(Context(id, timeout), LeaseRequest(phone_number)));
  }
  auto Terminate(const std::string& id, const std::string& lease_id = "",
                 std::chrono::milliseconds timeout = std::chrono::seconds(30)) {
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
  auto LeaseAny(const std::string& id = kId, int most = 100,
                std::chrono::milliseconds timeout = std::chrono::seconds(30)) {
    return Run(api_->LeaseAnyNumber(Context(id, timeout), AnyRequest(most)));
  }
  void Advance(std::chrono::milliseconds time) { time_.Advance(time, io_); }
  const v1::Operation& Recorded(const std::string& id = kId) {
    return journal_->entries.at(id).operation;
  }

  static ModelProvider::Step Lost(bool done, absl::Status answer = LostAnswer(true)) {
    return {done, std::move(answer)};
  }

  boost::asio::io_context io_;
  FakeTime time_;
  std::shared_ptr<ModelProvider> provider_;
  std::shared_ptr<MemoryJournal> journal_;
  RecordedLeaseApi::Memory memory_;
  RecordedLeaseApi::Options options_;
  std::shared_ptr<const Availability> stale_list_;
  std::shared_ptr<const SpendingRules> rules_;  // of the next calls
  std::vector<std::string> found_;              // that memory was told of
  std::shared_ptr<CallStats> stats_;            // of the latest call
  std::unique_ptr<RecordedLeaseApi> api_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_LEASING_FIXTURE_H_
