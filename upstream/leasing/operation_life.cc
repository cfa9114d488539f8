#include "upstream/leasing/operation_life.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <set>
#include <utility>
#include <variant>

#include "upstream/availability/availability.h"
#include "upstream/availability/order_by.h"
#include "upstream/leasing/ended_leases.h"
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
      flight_(std::move(flight)),
      record_(parts_->journal),
      requests_(parts_, flight_, record_),
      number_(parts_, std::move(locks), flight_, record_),
      start_(Start::kCalled),
      quiet_until_(TimePoint::min()) {}

OperationLife::OperationLife(std::shared_ptr<const LeasingParts> parts,
                             std::shared_ptr<NumberLocks> locks, std::shared_ptr<Flight> flight,
                             const OperationJournal::Record& found)
    : parts_(std::move(parts)),
      flight_(std::move(flight)),
      record_(parts_->journal, found),
      requests_(parts_, flight_, record_),
      number_(parts_, std::move(locks), flight_, record_),
      start_(StartOf(record_.operation().state())),
      quiet_until_(found.quiet_at),
      open_(start_ == Start::kOpen) {
  flight_->OwnId(record_.operation().caller());
  flight_->SetSent(open_);
  if (start_ == Start::kSettled) flight_->Publish(Replayed(record_.operation()));
  if (start_ != Start::kIntended) number_.TryLock(record_.operation().phone_number());
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
  bool begun = start_ != Start::kCalled;
  TimePoint quiet_until = TimePoint::min();
  do {
    if (!begun || record_.is_lost()) {
      auto beginning = begun ? TakeUp() : Begin();
      auto known = co_await std::move(beginning);
      if (known) {
        flight_->Publish(*std::move(known));
        co_return;
      }
      begun = true;
    }
    auto working = Work();
    Settled settled = co_await std::move(working);
    quiet_until = settled.quiet_until;
    if (!record_.is_lost()) {
      auto finishing = Finish(std::move(settled));
      co_await std::move(finishing);
    }
    if (record_.is_lost()) {
      ++parts_->counts->lost;
      spdlog::warn("operation {}: another process has taken it over",
                   flight_->identity().request_id);
      Unlock();
    }
  } while (record_.is_lost() && !published_ && !flight_->IsStopped());
  if (record_.is_lost()) flight_->Publish({StoppingUnknown(), record_.operation(), {}});
  auto keeping = Keep(quiet_until);
  co_await std::move(keeping);
}

asio::awaitable<Settled> OperationLife::Work() {
  if (!not_begun_.ok()) co_return NotSent(NotSentError(not_begun_));
  // Nobody has said here what is to be done.
  if (!open_ && flight_->arguments() == nullptr) {
    co_return NotSent(NotAppliedError("the gateway ended before it had sent anything"));
  }
  const bool any = record_.operation().kind() == v1::OPERATION_KIND_LEASE_ANY;
  auto working = any ? LeaseAny() : LeaseOrEnd();
  co_return co_await std::move(working);
}

// --- the intent ---------------------------------------------------------------------------------

asio::awaitable<std::optional<Outcome>> OperationLife::Begin() {
  OperationJournal::Entry intent = Intent();
  // Together with the intent, where nobody here has the number.
  const std::string phone_number = intent.operation.phone_number();
  const bool claim = !phone_number.empty() && number_.TryLock(phone_number);
  auto beginning = record_.Begin(std::move(intent), claim, flight_->identity().sees_all_operations);
  const auto begun = co_await std::move(beginning);
  if (!begun.ok()) co_return Outcome{begun.status(), {}, {}};
  flight_->OwnId(record_.operation().caller());
  if (!begun->existed) {
    number_.SetClaimed(begun->claimed);
    co_return std::nullopt;
  }
  number_.Unlock(false);
  auto taking = TakeUp();
  co_return co_await std::move(taking);
}

// --- other processes ----------------------------------------------------------------------------

asio::awaitable<std::optional<Outcome>> OperationLife::TakeUp() {
  using Owner = OperationJournal::Owner;
  joined_ = joined_ || record_.is_lost();
  for (bool read = record_.is_lost(); !flight_->IsStopped(); read = true) {
    if (read) {
      auto reading = record_.Read();
      const absl::Status status = co_await std::move(reading);
      if (!status.ok()) {
        co_return Outcome{
            OutcomeUnknownError(flight_->identity().request_id, std::string(status.message())),
            {},
            {}};
      }
    }
    if (record_.owner() == Owner::kAnother) {
      if (!joined_) ++parts_->counts->joined;
      joined_ = true;
      auto following = Follow();
      auto given_up = co_await std::move(following);
      if (given_up) co_return given_up;
      continue;
    }
    const v1::Operation& operation = record_.operation();
    if (operation.state() == v1::OPERATION_STATE_SUCCEEDED) co_return Learned();
    if (operation.state() == v1::OPERATION_STATE_FAILED) {
      const absl::Status failure = FromProto(operation.error());
      if (IsFinal(failure) || (joined_ && !IsOfItsCaller(failure)) || !flight_->IsWanted()) {
        co_return Learned();
      }
    }
    auto taking = record_.TakeOver();
    const absl::Status taken = co_await std::move(taking);
    if (!taken.ok()) {
      co_return Outcome{MaySomethingBeSent() ? OutcomeUnknownError(flight_->identity().request_id,
                                                                   std::string(taken.message()))
                                             : taken,
                        {},
                        {}};
    }
    if (record_.owner() != Owner::kUs) continue;
    auto going_on = GoOn();
    not_begun_ = co_await std::move(going_on);
    if (!record_.is_lost()) co_return std::nullopt;
  }
  co_return Outcome{MaySomethingBeSent() ? StoppingUnknown() : StoppingError(), {}, {}};
}

bool OperationLife::MaySomethingBeSent() const {
  const v1::OperationState state = record_.operation().state();
  return joined_ || state == v1::OPERATION_STATE_SENT || state == v1::OPERATION_STATE_UNKNOWN;
}

asio::awaitable<std::optional<Outcome>> OperationLife::Follow() {
  // It may send something at any time.
  flight_->SetSent(true);
  const auto until = flight_->AwaitedUntil();
  if (!until) {
    co_return Outcome{
        OutcomeUnknownError(flight_->identity().request_id, "another process works on it"), {}, {}};
  }
  auto waiting =
      parts_->journal->AwaitChange(parts_->options.account, flight_->identity().request_id, *until);
  co_await std::move(waiting);
  co_return std::nullopt;
}

Outcome OperationLife::Learned() {
  const v1::Operation& operation = record_.operation();
  Outcome outcome = Replayed(operation);
  if (joined_ && operation.state() == v1::OPERATION_STATE_SUCCEEDED) {
    outcome.settled_at.reset();  // memory knows
    if (operation.has_lease()) {
      parts_->memory.leased(operation.lease());
    } else {
      parts_->memory.ended(operation.phone_number(), operation.lease_id());
    }
  }
  return outcome;
}

asio::awaitable<absl::Status> OperationLife::GoOn() {
  const v1::OperationState state = record_.operation().state();
  open_ = state == v1::OPERATION_STATE_SENT || state == v1::OPERATION_STATE_UNKNOWN;
  flight_->SetSent(open_);
  if (state != v1::OPERATION_STATE_FAILED) co_return absl::OkStatus();
  auto marking = record_.MarkIntended();
  co_return co_await std::move(marking);
}

OperationJournal::Entry OperationLife::Intent() const {
  OperationJournal::Entry entry;
  entry.fingerprint = flight_->identity().fingerprint;
  v1::Operation& intent = entry.operation;
  intent.set_request_id(flight_->identity().request_id);
  intent.set_caller(flight_->identity().caller);
  intent.set_identity_kind(flight_->identity().identity_kind);
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
  auto taking = Take(phone_number);
  const absl::Status taken = co_await std::move(taking);
  if (!taken.ok()) co_return open_ ? Stopped() : NotSent(taken);
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
        if (tried.contains(phone_number) || IsTooDear((*numbers)->NumberAt(row))) continue;
        if (static_cast<int>(tried.size()) >= parts_->options.max_candidates) co_return last;
        if (wait) {
          auto taking = Take(phone_number);
          const absl::Status taken = co_await std::move(taking);
          if (!taken.ok()) co_return NotSent(taken);
        } else {
          auto taking = number_.TryTake(phone_number);
          const auto taken = co_await std::move(taking);
          if (!taken.ok()) co_return NotSent(NotSentError(taken.status()));
          if (!*taken) continue;
        }
        tried.insert(phone_number);
        auto trying = Try(phone_number);
        Settled settled = co_await std::move(trying);
        if (settled.stopped || settled.status.ok()) co_return settled;
        const bool too_dear = IsForItsPrice(settled.status);
        if (!IsGone(settled.status) && !too_dear) co_return settled;
        auto leaving = Leave();
        const absl::Status left = co_await std::move(leaving);
        if (!left.ok()) co_return NotSent(NotSentError(left));
        // A refusal says more than that there is nothing.
        if (too_dear || ReasonOf(settled.status) == reason::kUpstreamRejected) {
          last = std::move(settled);
        }
      }
    }
  }
  co_return last;
}

asio::awaitable<std::optional<Settled>> OperationLife::SettleOpen() {
  auto taking = Take(record_.operation().phone_number());
  const absl::Status taken = co_await std::move(taking);
  if (!taken.ok()) co_return Stopped();
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
  const absl::Status allowed = CheckAllowed(*flight_->arguments(), look->value,
                                            number_.is_overtaken(), record_.operation().lease_id());
  if (!allowed.ok()) co_return NotSent(allowed);

  auto marking = MarkSent(phone_number, look->value);
  const absl::Status written = co_await std::move(marking);
  if (!written.ok()) co_return NotSent(NotSentError(written));
  if (!flight_->MaySend()) co_return NotSent(flight_->WhyNotSent());
  auto settling = Reconcile(true);
  co_return co_await std::move(settling);
}

asio::awaitable<absl::Status> OperationLife::MarkSent(std::string phone_number, v1::Number number) {
  auto marking = record_.MarkSent(phone_number, number, requests_.Window(), requests_.Spending());
  absl::Status written = co_await std::move(marking);
  if (IsForLiveLeases(written)) {
    auto finding = FindEndedLeases(parts_, requests_.MakeContext());
    if (co_await std::move(finding)) {
      auto again = record_.MarkSent(phone_number, number, requests_.Window(), requests_.Spending());
      written = co_await std::move(again);
    }
  }
  if (ReasonOf(written) != reason::kSpendLimitExceeded) co_return written;
  ++parts_->spending->refused;
  SpendingPrice price = PriceOf(number.pricing(), record_.operation().billing_method());
  too_dear_.push_back(std::move(price));
  co_return written;
}

bool OperationLife::IsTooDear(const v1::Number& number) const {
  const SpendingPrice price = PriceOf(number.pricing(), record_.operation().billing_method());
  return std::any_of(too_dear_.begin(), too_dear_.end(), [&](const SpendingPrice& refused) {
    return price.currency == refused.currency && price.upfront_fee >= refused.upfront_fee &&
           price.monthly_rate >= refused.monthly_rate;
  });
}

asio::awaitable<Settled> OperationLife::Reconcile(bool send) {
  Reconciliation reconciliation(parts_, flight_, record_, requests_, number_.is_overtaken());
  auto running = reconciliation.Run(send);
  co_return co_await std::move(running);
}

// --- the outcome --------------------------------------------------------------------------------

asio::awaitable<void> OperationLife::Finish(Settled settled) {
  const std::string& request_id = flight_->identity().request_id;
  if (settled.stopped) {
    flight_->Publish({StoppingUnknown(), record_.operation(), {}});
    co_return;
  }
  const bool was_unknown =
      record_.operation().state() == v1::OPERATION_STATE_UNKNOWN || start_ != Start::kCalled;
  const TimePoint now = parts_->environment.now();
  const v1::Operation done = record_.Concluded(settled, now);
  if (was_unknown) {
    spdlog::info("operation {}: settled for {}: {}", request_id, done.phone_number(),
                 settled.status.ok() ? "done" : std::string(settled.status.message()));
  }
  if (settled.status.ok()) NoteOverrun(done);
  const auto quiet = std::chrono::ceil<milliseconds>(std::max(settled.quiet_until, now) - now);
  Outcome outcome{settled.status, done, std::move(settled.metadata)};
  for (;;) {
    auto writing = record_.Conclude(done, quiet);
    const absl::Status written = co_await std::move(writing);
    if (record_.is_lost()) co_return;
    // Until it is written, another process may take the operation over, and do it.
    if (!written.ok() && !outcome.status.ok() && parts_->options.adopt_interval.count() > 0) {
      outcome.status = OutcomeUnknownError(request_id, std::string(written.message()));
    }
    if (!published_) flight_->Publish(outcome);
    published_ = true;
    if (written.ok() || flight_->IsStopped()) co_return;
    spdlog::error("operation {}: its outcome is not written down yet: {}", request_id,
                  std::string(written.message()));
    auto resting = Flight::Nap(flight_, kJournalPause);
    co_await std::move(resting);
  }
}

void OperationLife::NoteOverrun(const v1::Operation& done) const {
  if (done.kind() == v1::OPERATION_KIND_TERMINATE) return;
  const SpendingPrice asked = PriceOf(record_.operation());
  const SpendingPrice charged = PriceOf(done);
  if (!IsOverrun(asked, charged)) return;
  ++parts_->spending->overruns;
  spdlog::error(
      "operation {}: the provider charged caller {} for {} {} and {} a month, asked for were "
      "{} and {} a month; it is counted as charged, also beyond limits",
      done.request_id(), done.caller(), done.phone_number(),
      ShowMoney(charged.upfront_fee, charged.currency),
      ShowMoney(charged.monthly_rate, charged.currency),
      ShowMoney(asked.upfront_fee, asked.currency), ShowMoney(asked.monthly_rate, asked.currency));
}

absl::Status OperationLife::StoppingUnknown() const {
  return OutcomeUnknownError(flight_->identity().request_id, "the gateway is stopping");
}

// --- the number ---------------------------------------------------------------------------------

asio::awaitable<absl::Status> OperationLife::Take(std::string phone_number) {
  auto taking = number_.Take(std::move(phone_number), [this]() -> std::optional<TimePoint> {
    const TimePoint now = parts_->environment.now();
    if (flight_->IsStopped()) return std::nullopt;
    // One that is open has to be settled, whoever waits for it.
    if (open_) return now + kLookTimeout;
    const TimePoint deadline = flight_->deadline();
    if (now >= deadline) return std::nullopt;
    return deadline;
  });
  const absl::Status taken = co_await std::move(taking);
  if (taken.code() == absl::StatusCode::kDeadlineExceeded) co_return flight_->WhyNotSent();
  // One that is open has its number's claim already, whether the journal can say so now or not.
  if (taken.ok() || (open_ && !record_.is_lost())) co_return absl::OkStatus();
  co_return NotSentError(taken);
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
  const v1::Operation& operation = record_.operation();
  number_.Unlock(operation.state() == v1::OPERATION_STATE_SUCCEEDED && operation.has_lease());
}

}  // namespace leasegateway
