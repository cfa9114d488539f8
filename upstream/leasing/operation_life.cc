#include "upstream/leasing/operation_life.h"

#include <spdlog/spdlog.h>

#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <set>
#include <utility>
#include <variant>

#include "upstream/availability/availability.h"
#include "upstream/availability/order_by.h"
#include "upstream/leasing/operation_rules.h"
#include "upstream/leasing/reconciliation.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

// Until the next try to write down an outcome after the journal has failed.
constexpr milliseconds kJournalPause{1'000};
// Numbers that LeaseAnyNumber looks for at once.
constexpr std::size_t kMaxFound = 200;

}  // namespace

OperationLife::Start OperationLife::StartOf(v1::OperationState state) {
  switch (state) {
    case v1::OPERATION_STATE_SUCCEEDED:
    case v1::OPERATION_STATE_FAILED:
      return Start::kSettled;
    case v1::OPERATION_STATE_INTENDED:
      return Start::kIntended;
    default:
      return Start::kOpen;
  }
}

OperationLife::OperationLife(std::shared_ptr<const LeasingParts> parts,
                             std::shared_ptr<NumberLocks> locks, std::shared_ptr<Flight> flight)
    : parts_(std::move(parts)),
      locks_(std::move(locks)),
      flight_(std::move(flight)),
      record_(parts_->journal),
      requests_(parts_, flight_, record_),
      start_(Start::kCalled),
      quiet_until_(TimePoint::min()) {}

OperationLife::OperationLife(std::shared_ptr<const LeasingParts> parts,
                             std::shared_ptr<NumberLocks> locks, std::shared_ptr<Flight> flight,
                             v1::Operation operation, TimePoint quiet_until)
    : parts_(std::move(parts)),
      locks_(std::move(locks)),
      flight_(std::move(flight)),
      record_(parts_->journal, std::move(operation)),
      requests_(parts_, flight_, record_),
      start_(StartOf(record_.operation().state())),
      quiet_until_(quiet_until),
      open_(start_ == Start::kOpen) {
  flight_->OwnId();
  flight_->SetSent(open_);
  if (start_ == Start::kSettled) flight_->Publish(Replayed(record_.operation()));
  if (start_ != Start::kIntended) TryLock(record_.operation().phone_number());
}

asio::awaitable<void> OperationLife::Run(std::shared_ptr<OperationLife> life) {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto running = life->RunToTheEnd();
  co_await std::move(running);
  life->Unlock();
}

asio::awaitable<void> OperationLife::RunToTheEnd() {
  if (start_ == Start::kSettled) {
    auto keeping = Keep(quiet_until_);
    co_await std::move(keeping);
    co_return;
  }
  if (start_ == Start::kCalled) {
    auto beginning = Begin();
    auto known = co_await std::move(beginning);
    if (known) {
      flight_->Publish(*std::move(known));
      co_return;
    }
  }
  Settled settled;
  if (start_ == Start::kIntended) {
    settled = NotSent(NotAppliedError("the gateway ended before it had sent anything"));
  } else {
    const bool any = record_.operation().kind() == v1::OPERATION_KIND_LEASE_ANY;
    auto working = any ? LeaseAny() : LeaseOrEnd();
    settled = co_await std::move(working);
  }
  const TimePoint quiet_until = settled.quiet_until;
  auto finishing = Finish(std::move(settled));
  co_await std::move(finishing);
  auto keeping = Keep(quiet_until);
  co_await std::move(keeping);
}

// --- the intent ---------------------------------------------------------------------------------

asio::awaitable<std::optional<Outcome>> OperationLife::Begin() {
  auto beginning = record_.Begin(Intent());
  const auto existed = co_await std::move(beginning);
  if (!existed.ok()) co_return Outcome{existed.status(), {}, {}};
  flight_->OwnId();
  if (!*existed) co_return std::nullopt;

  switch (record_.operation().state()) {
    case v1::OPERATION_STATE_SUCCEEDED:
      co_return Replayed(record_.operation());
    case v1::OPERATION_STATE_FAILED: {
      if (IsFinal(FromProto(record_.operation().error()))) co_return Replayed(record_.operation());
      auto marking = record_.MarkIntended();
      const absl::Status status = co_await std::move(marking);
      if (!status.ok()) co_return Outcome{status, {}, {}};
      co_return std::nullopt;
    }
    case v1::OPERATION_STATE_SENT:
    case v1::OPERATION_STATE_UNKNOWN:
      open_ = true;
      flight_->SetSent(true);
      co_return std::nullopt;
    default:
      co_return std::nullopt;
  }
}

OperationJournal::Entry OperationLife::Intent() const {
  OperationJournal::Entry entry;
  entry.fingerprint = flight_->identity().fingerprint;
  v1::Operation& intent = entry.operation;
  intent.set_request_id(flight_->identity().request_id);
  intent.set_caller(flight_->identity().caller);
  intent.set_account(parts_->options.account);
  const Arguments& arguments = *flight_->arguments();
  intent.set_kind(KindOf(arguments));
  std::visit(
      [&](const auto& request) {
        if constexpr (requires { request.phone_number(); }) {
          intent.set_phone_number(request.phone_number());
        }
        if constexpr (requires { request.billing_method(); }) {
          intent.set_billing_method(request.billing_method());
        }
      },
      arguments);
  return entry;
}

// --- the request --------------------------------------------------------------------------------

asio::awaitable<Settled> OperationLife::LeaseOrEnd() {
  const std::string phone_number = record_.operation().phone_number();
  if (holds_.empty()) {
    auto locking = Lock(phone_number);
    const bool locked = co_await std::move(locking);
    if (!locked) co_return open_ ? Stopped() : NotSent(flight_->WhyNotSent());
  }
  auto working = open_ ? Reconcile(false) : Try(phone_number);
  co_return co_await std::move(working);
}

asio::awaitable<Settled> OperationLife::LeaseAny() {
  if (open_) {
    auto settling = SettleOpen();
    auto settled = co_await std::move(settling);
    if (settled) co_return *std::move(settled);
  }
  const auto request = std::get<v1::LeaseAnyNumberRequest>(*flight_->arguments());
  const auto order = ParseOrderBy(request.order_by());
  if (!order.ok()) co_return NotSent(order.status());
  Settled last = NotSent(MakeError(absl::StatusCode::kNotFound, reason::kNoMatchingNumber,
                                   "no number that can be leased matches the filter"));
  std::set<std::string> tried;
  // Of numbers that memory has first, then, if none of them can be had, of the provider's list.
  for (const bool fresh : {false, true}) {
    CallContext context = requests_.MakeContext();
    if (fresh) context.max_staleness = milliseconds(0);
    auto finding = parts_->memory.availability(std::move(context));
    const auto numbers = co_await std::move(finding);
    if (!numbers.ok()) co_return NotSent(NotSentError(numbers.status()));
    const auto page = (*numbers)->Search(request.filter(), *order, 0, kMaxFound);
    // Numbers that another operation works on come last.
    for (const bool wait : {false, true}) {
      for (const std::uint32_t row : page.rows) {
        const std::string phone_number = (*numbers)->NumberAt(row).phone_number();
        if (tried.contains(phone_number)) continue;
        if (static_cast<int>(tried.size()) >= parts_->options.max_candidates) co_return last;
        if (!wait && !TryLock(phone_number)) continue;
        if (wait) {
          auto locking = Lock(phone_number);
          const bool locked = co_await std::move(locking);
          if (!locked) co_return NotSent(flight_->WhyNotSent());
        }
        tried.insert(phone_number);
        auto trying = Try(phone_number);
        Settled settled = co_await std::move(trying);
        if (settled.stopped || settled.status.ok()) co_return settled;
        if (!IsGone(settled.status)) co_return settled;
        auto leaving = Leave();
        const absl::Status left = co_await std::move(leaving);
        if (!left.ok()) co_return NotSent(NotSentError(left));
        // A refusal says more than that there is nothing.
        if (ReasonOf(settled.status) == reason::kUpstreamRejected) last = std::move(settled);
      }
    }
  }
  co_return last;
}

asio::awaitable<std::optional<Settled>> OperationLife::SettleOpen() {
  if (holds_.empty()) {
    auto locking = Lock(record_.operation().phone_number());
    const bool locked = co_await std::move(locking);
    if (!locked) co_return Stopped();
  }
  auto settling = Reconcile(false);
  Settled settled = co_await std::move(settling);
  open_ = false;
  if (settled.status.ok() || settled.stopped) co_return settled;
  if (!flight_->IsWanted()) {
    // Another number can be had under the same name.
    if (IsGone(settled.status)) {
      settled.status = NotAppliedError(std::string(settled.status.message()));
    }
    co_return settled;
  }
  auto leaving = Leave();
  const absl::Status left = co_await std::move(leaving);
  if (!left.ok()) co_return NotSent(NotSentError(left));
  co_return std::nullopt;
}

asio::awaitable<Settled> OperationLife::Try(std::string phone_number) {
  auto looking = requests_.Look(phone_number);
  const auto look = co_await std::move(looking);
  if (!look.ok()) co_return NotSent(NotSentError(look.status()));
  const absl::Status allowed =
      CheckAllowed(*flight_->arguments(), look->value, overtaken_, record_.operation().lease_id());
  if (!allowed.ok()) co_return NotSent(allowed);

  auto marking = record_.MarkSent(phone_number, look->value);
  const absl::Status written = co_await std::move(marking);
  if (!written.ok()) co_return NotSent(NotSentError(written));
  if (!flight_->MaySend()) co_return NotSent(flight_->WhyNotSent());
  auto settling = Reconcile(true);
  co_return co_await std::move(settling);
}

asio::awaitable<Settled> OperationLife::Reconcile(bool send) {
  Reconciliation reconciliation(parts_, flight_, record_, requests_, overtaken_);
  auto running = reconciliation.Run(send);
  co_return co_await std::move(running);
}

// --- the outcome --------------------------------------------------------------------------------

asio::awaitable<void> OperationLife::Finish(Settled settled) {
  const std::string& request_id = flight_->identity().request_id;
  if (settled.stopped) {
    flight_->Publish(
        {OutcomeUnknownError(request_id, "the gateway is stopping"), record_.operation(), {}});
    co_return;
  }
  const bool was_unknown =
      record_.operation().state() == v1::OPERATION_STATE_UNKNOWN || start_ != Start::kCalled;
  const v1::Operation done = record_.Concluded(settled, parts_->environment.now());
  if (was_unknown) {
    spdlog::info("operation {}: settled for {}: {}", request_id, done.phone_number(),
                 settled.status.ok() ? "done" : std::string(settled.status.message()));
  }
  Outcome outcome{settled.status, done, std::move(settled.metadata)};
  for (bool published = false;; published = true) {
    auto writing = record_.Write(done);
    const absl::Status written = co_await std::move(writing);
    if (!published) flight_->Publish(outcome);
    if (written.ok() || flight_->IsStopped()) co_return;
    spdlog::error("operation {}: its outcome is not written down yet: {}", request_id,
                  std::string(written.message()));
    auto resting = Flight::Nap(flight_, kJournalPause);
    co_await std::move(resting);
  }
}

// --- the number's lock --------------------------------------------------------------------------

bool OperationLife::TryLock(const std::string& phone_number) {
  if (!locks_->TryLock(phone_number)) return false;
  holds_ = phone_number;
  return true;
}

asio::awaitable<bool> OperationLife::Lock(std::string phone_number) {
  auto locking = locks_->Lock(phone_number, [this]() -> std::optional<TimePoint> {
    const TimePoint now = parts_->environment.now();
    if (flight_->IsStopped()) return std::nullopt;
    // One that is open has to be settled, whoever waits for it.
    if (open_) return now + kLookTimeout;
    const TimePoint deadline = flight_->deadline();
    if (now >= deadline) return std::nullopt;
    return deadline;
  });
  const NumberLocks::Grant grant = co_await std::move(locking);
  if (grant == NumberLocks::Grant::kNone) co_return false;
  holds_ = phone_number;
  overtaken_ = grant == NumberLocks::Grant::kOvertaken;
  co_return true;
}

asio::awaitable<void> OperationLife::Keep(TimePoint until) {
  while (parts_->environment.now() < until) {
    const auto wakeup = std::make_shared<Wakeup>(flight_->strand());
    if (flight_->IsStopped()) co_return;
    auto waiting = parts_->environment.wait(wakeup, until);
    co_await std::move(waiting);
  }
}

asio::awaitable<absl::Status> OperationLife::Leave() {
  if (record_.operation().state() != v1::OPERATION_STATE_INTENDED) {
    auto marking = record_.MarkIntended();
    const absl::Status written = co_await std::move(marking);
    if (!written.ok()) co_return written;
  }
  Unlock();
  co_return absl::OkStatus();
}

void OperationLife::Unlock() {
  if (holds_.empty()) return;
  const v1::Operation& operation = record_.operation();
  locks_->Unlock(holds_,
                 operation.state() == v1::OPERATION_STATE_SUCCEEDED && operation.has_lease());
  holds_.clear();
  overtaken_ = false;
}

}  // namespace leasegateway
