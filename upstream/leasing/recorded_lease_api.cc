#include "upstream/leasing/recorded_lease_api.h"

#include <google/protobuf/util/time_util.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "upstream/availability/number_filter.h"
#include "upstream/leasing/operation_rules.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using TimePoint = CallEnvironment::TimePoint;

namespace {

// One look at a number, when no caller's deadline is nearer.
constexpr milliseconds kLookTimeout{10'000};
// Until the next try to write down an outcome after the journal has failed.
constexpr milliseconds kJournalPause{1'000};
// How often a request that got lost is sent again for callers who wait.
constexpr int kMaxResends = 5;
// Left for the answer when the provider says when to ask again, and a caller's deadline is near.
constexpr milliseconds kAnswerTime{500};
// Numbers that LeaseAnyNumber looks for at once.
constexpr std::size_t kMaxFound = 200;

using Arguments =
    std::variant<v1::CreateLeaseRequest, v1::LeaseAnyNumberRequest, v1::TerminateLeaseRequest>;

v1::OperationKind KindOf(const Arguments& arguments) {
  constexpr v1::OperationKind kKinds[] = {v1::OPERATION_KIND_LEASE, v1::OPERATION_KIND_LEASE_ANY,
                                          v1::OPERATION_KIND_TERMINATE};
  return kKinds[arguments.index()];
}

// What became of an operation.
struct Outcome {
  absl::Status status;
  v1::Operation operation;
  v1::ResponseMetadata metadata;
};

// How one request to the provider ended, as far as is known.
struct Settled {
  absl::Status status;
  v1::OperationSettlement settlement = v1::OPERATION_SETTLEMENT_NOT_SENT;
  v1::Lease lease;              // of a purchase that was made
  v1::Termination termination;  // of a lease that was ended
  v1::ResponseMetadata metadata;
  // A request that got lost could still arrive; nothing else may be done with the number until
  // then.
  TimePoint quiet_until = TimePoint::min();
  bool stopped = false;  // the gateway stops: not settled
};

Settled NotSent(absl::Status status) {
  Settled settled;
  settled.status = std::move(status);
  return settled;
}

Settled Stopped() {
  Settled settled;
  settled.stopped = true;
  return settled;
}

absl::Status StoppingError() {
  return MakeError(absl::StatusCode::kUnavailable, reason::kStopping, "the gateway is stopping",
                   {{"request_sent", "false"}});
}

absl::Status NotAppliedError(const std::string& why) {
  auto status =
      MakeError(absl::StatusCode::kUnavailable, reason::kNotApplied,
                absl::StrCat("it was not done: ", why, "; the same request can be sent again"));
  SetRetryDelay(status, milliseconds(100));
  return status;
}

absl::Status NotSentError(absl::Status status) {
  AddMetadata(status, "request_sent", "false");
  return status;
}

google::protobuf::Timestamp After(TimePoint::duration time) {
  const auto then = (std::chrono::system_clock::now() + time).time_since_epoch();
  return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::nanoseconds>(then).count());
}

TimePoint::duration Until(const google::protobuf::Timestamp& time) {
  const auto nanos =
      std::chrono::nanoseconds(google::protobuf::util::TimeUtil::TimestampToNanoseconds(time));
  return std::chrono::duration_cast<TimePoint::duration>(
      nanos - std::chrono::system_clock::now().time_since_epoch());
}

Outcome Replayed(const v1::Operation& operation) {
  Outcome outcome;
  if (operation.state() != v1::OPERATION_STATE_SUCCEEDED) {
    outcome.status = FromProto(operation.error());
  }
  outcome.operation = operation;
  outcome.metadata.set_upstream_request_id(operation.upstream_request_id());
  return outcome;
}

// One operation. What isn't said to be guarded by the state's mutex is its coroutine's own.
struct Flight {
  explicit Flight(const asio::any_io_executor& executor) : strand(asio::make_strand(executor)) {}

  asio::strand<asio::any_io_executor> strand;
  asio::cancellation_signal cancellation;  // only on the strand

  std::string request_id;   // does not change
  std::string fingerprint;  // does not change
  std::string call_id;
  std::string caller;
  std::shared_ptr<const TraceContext> trace;
  std::shared_ptr<CallStats> stats = std::make_shared<CallStats>();
  v1::Operation record;  // as the journal has it
  bool recovered = false;
  bool settled = false;    // by a process before this one, but the number has to be kept
  TimePoint quiet_until;   // if so
  bool open = false;       // a request of an earlier time may be on its way
  std::string holds;       // the number whose lock it has; empty: none
  bool overtaken = false;  // while it waited for that lock, another one leased the number

  // Guarded by the mutex.
  bool owns_id = false;  // the journal has the request_id with this fingerprint
  std::vector<std::shared_ptr<Wakeup>> rivals;  // wait to hear whether it does
  std::optional<Arguments> arguments;           // none after a restart, until a caller brings them
  TimePoint deadline;                           // the latest of its callers
  std::vector<std::shared_ptr<Wakeup>> waiters;
  std::shared_ptr<Wakeup> nap;  // of the coroutine, when it waits for time to pass
  bool sent = false;            // the provider may have got a request whose outcome isn't known
  bool done = false;
  Outcome outcome;
};

// Who waits for a number.
struct LockWaiter {
  std::shared_ptr<Wakeup> wakeup;
  bool granted = false;
  bool overtaken = false;
};

}  // namespace

struct RecordedLeaseApi::State : std::enable_shared_from_this<State> {
  using FlightPtr = std::shared_ptr<Flight>;

  // --- callers -----------------------------------------------------------------------------------

  asio::awaitable<absl::StatusOr<Outcome>> Execute(CallContext context, std::string fingerprint,
                                                   Arguments arguments) {
    co_await asio::this_coro::throw_if_cancelled(false);
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    const auto waiter = std::make_shared<Wakeup>(executor);
    context.stats->cache.emplace();
    FlightPtr flight;
    bool created = false;
    // Two requests of one name may come together, before the journal has said whose it is. The one
    // that is there can be the mistaken one, which ends then: `rival` hears of it.
    for (std::shared_ptr<Wakeup> rival; !flight;) {
      if (rival) {
        auto outliving = environment.wait(rival, context.deadline);
        co_await std::move(outliving);
        const std::string doing = "another request was using the request_id";
        const auto cancelled = co_await asio::this_coro::cancellation_state;
        if (cancelled.cancelled() != asio::cancellation_type::none) {
          co_return NotSentError(CancelledError(doing));
        }
        if (environment.now() >= context.deadline) co_return NotSentError(DeadlineError(doing));
      }
      const std::lock_guard lock(mutex);
      if (stopped) co_return StoppingError();
      if (const auto at = flights.find(context.request_id); at != flights.end()) {
        if (at->second->fingerprint != fingerprint) {
          if (at->second->owns_id) co_return RequestIdReusedError(context.request_id);
          rival = std::make_shared<Wakeup>(executor);
          at->second->rivals.push_back(rival);
          continue;
        }
        flight = at->second;
        if (flight->done) co_return flight->outcome;
        if (!flight->arguments) flight->arguments = std::move(arguments);
        flight->deadline = std::max(flight->deadline, context.deadline);
        if (flight->nap) Wakeup::Wake(flight->nap);
      } else {
        if (flights.size() >= options.max_open) co_return TooManyError();
        created = true;
        flight = std::make_shared<Flight>(executor_of_flights);
        flight->request_id = context.request_id;
        flight->fingerprint = std::move(fingerprint);
        flight->call_id = context.call_id;
        flight->caller = context.caller;
        flight->trace = context.trace;
        flight->deadline = context.deadline;
        flight->arguments = std::move(arguments);
        flights[flight->request_id] = flight;
      }
      flight->waiters.push_back(waiter);
    }
    if (created) Launch(flight);

    const auto left = context.deadline - environment.now();
    const auto margin = std::clamp<TimePoint::duration>(left / 8, milliseconds(0), options.margin);
    auto waiting = environment.wait(waiter, context.deadline - margin);
    co_await std::move(waiting);
    const asio::cancellation_state cancellation = co_await asio::this_coro::cancellation_state;

    const std::lock_guard lock(mutex);
    if (flight->done) {
      if (created) {
        context.stats->attempts += flight->stats->attempts;
        context.stats->upstream_request_id = flight->outcome.metadata.upstream_request_id();
      }
      co_return flight->outcome;
    }
    std::erase(flight->waiters, waiter);
    if (flight->sent) co_return OutcomeUnknownError(flight->request_id, "the deadline came first");
    const std::string doing = "nothing had been done yet";
    co_return NotSentError(cancellation.cancelled() != asio::cancellation_type::none
                               ? CancelledError(doing)
                               : DeadlineError(doing));
  }

  // With the lock held.
  static void WakeRivals(Flight& flight) {
    for (auto& rival : flight.rivals) Wakeup::Wake(std::move(rival));
    flight.rivals.clear();
  }

  absl::Status TooManyError() const {
    auto status = MakeError(absl::StatusCode::kResourceExhausted, reason::kOverloaded,
                            absl::StrCat(options.max_open, " operations are open already"),
                            {{"request_sent", "false"}});
    SetRetryDelay(status, milliseconds(1'000));
    return status;
  }

  // --- the life of an operation ------------------------------------------------------------------

  void Launch(const FlightPtr& flight) {
    {
      const std::lock_guard lock(mutex);
      ++running;
    }
    auto ended = [self = shared_from_this(), flight](std::exception_ptr exception) {
      if (exception) {
        spdlog::error("operation {}: the gateway failed; it stays open until the next start",
                      flight->request_id);
        self->Publish(
            *flight,
            Outcome{OutcomeUnknownError(flight->request_id, "the gateway failed"), {}, {}});
      } else {
        self->Unlock(*flight);
      }
      const std::lock_guard lock(self->mutex);
      self->flights.erase(flight->request_id);
      WakeRivals(*flight);
      if (--self->running == 0) self->all_ended.notify_all();
    };
    // From the strand, so that a cancellation posted later finds the slot connected.
    asio::post(flight->strand, [self = shared_from_this(), flight, ended = std::move(ended)] {
      asio::co_spawn(flight->strand, Run(self, flight),
                     asio::bind_cancellation_slot(flight->cancellation.slot(), ended));
    });
  }

  static asio::awaitable<void> Run(std::shared_ptr<State> self, FlightPtr flight) {
    co_await asio::this_coro::throw_if_cancelled(false);
    if (flight->settled) {
      auto holding = self->Hold(flight, flight->quiet_until);
      co_await std::move(holding);
      co_return;
    }
    if (!flight->recovered) {
      auto beginning = self->Begin(flight);
      auto known = co_await std::move(beginning);
      if (known) {
        self->Publish(*flight, *std::move(known));
        co_return;
      }
    }
    Settled settled;
    if (flight->recovered && !flight->open) {
      settled = NotSent(NotAppliedError("the gateway ended before it had sent anything"));
    } else {
      const bool any = flight->record.kind() == v1::OPERATION_KIND_LEASE_ANY;
      auto working = any ? self->LeaseAny(flight) : self->WorkOn(flight);
      settled = co_await std::move(working);
    }
    const TimePoint quiet_until = settled.quiet_until;
    auto finishing = self->Finish(flight, std::move(settled));
    co_await std::move(finishing);
    auto holding = self->Hold(flight, quiet_until);
    co_await std::move(holding);
  }

  // Keeps the lock until then.
  asio::awaitable<void> Hold(FlightPtr flight, TimePoint until) {
    while (environment.now() < until) {
      const auto wakeup = std::make_shared<Wakeup>(flight->strand);
      if (IsStopped()) co_return;
      auto waiting = environment.wait(wakeup, until);
      co_await std::move(waiting);
    }
  }

  // Writes down the intent. An outcome, when there is nothing more to do.
  asio::awaitable<std::optional<Outcome>> Begin(FlightPtr flight) {
    OperationJournal::Entry entry;
    entry.fingerprint = flight->fingerprint;
    v1::Operation& intent = entry.operation;
    intent.set_request_id(flight->request_id);
    intent.set_state(v1::OPERATION_STATE_INTENDED);
    intent.set_caller(flight->caller);
    intent.set_account(options.account);
    {
      const std::lock_guard lock(mutex);
      intent.set_kind(KindOf(*flight->arguments));
      std::visit(
          [&](const auto& request) {
            if constexpr (requires { request.phone_number(); }) {
              intent.set_phone_number(request.phone_number());
            }
            if constexpr (requires { request.billing_method(); }) {
              intent.set_billing_method(request.billing_method());
            }
          },
          *flight->arguments);
    }
    auto beginning = journal->Begin(std::move(entry));
    auto begun = co_await std::move(beginning);
    if (!begun.ok()) co_return Outcome{begun.status(), {}, {}};
    if (begun->existed && begun->entry.fingerprint != flight->fingerprint) {
      co_return Outcome{RequestIdReusedError(flight->request_id), {}, {}};
    }
    flight->record = std::move(begun->entry.operation);
    {
      const std::lock_guard lock(mutex);
      flight->owns_id = true;
      WakeRivals(*flight);
    }
    if (!begun->existed) co_return std::nullopt;

    switch (flight->record.state()) {
      case v1::OPERATION_STATE_SUCCEEDED:
        co_return Replayed(flight->record);
      case v1::OPERATION_STATE_FAILED: {
        if (IsFinal(FromProto(flight->record.error()))) co_return Replayed(flight->record);
        v1::Operation again = flight->record;
        again.set_state(v1::OPERATION_STATE_INTENDED);
        again.clear_settlement();
        again.clear_error();
        auto updating = Write(flight, std::move(again));
        const absl::Status status = co_await std::move(updating);
        if (!status.ok()) co_return Outcome{status, {}, {}};
        co_return std::nullopt;
      }
      case v1::OPERATION_STATE_SENT:
      case v1::OPERATION_STATE_UNKNOWN:
        SetOpen(flight);
        co_return std::nullopt;
      default:
        co_return std::nullopt;
    }
  }

  void SetOpen(const FlightPtr& flight) {
    flight->open = true;
    SetSent(*flight, true);
  }
  void SetSent(Flight& flight, bool sent) {
    const std::lock_guard lock(mutex);
    flight.sent = sent;
  }

  asio::awaitable<absl::Status> Write(FlightPtr flight, v1::Operation operation) {
    auto updating = journal->Update(operation);
    absl::Status status = co_await std::move(updating);
    if (status.ok()) flight->record = std::move(operation);
    co_return status;
  }

  // CreateLease and TerminateLease.
  asio::awaitable<Settled> WorkOn(FlightPtr flight) {
    const std::string phone_number = flight->record.phone_number();
    if (flight->holds.empty()) {
      auto locking = Lock(flight, phone_number);
      const bool locked = co_await std::move(locking);
      if (!locked) co_return flight->open ? Stopped() : NotSent(WhyNotSent(*flight));
    }
    auto working = flight->open ? Settle(flight, false) : Try(flight, phone_number);
    co_return co_await std::move(working);
  }

  asio::awaitable<Settled> LeaseAny(FlightPtr flight) {
    if (flight->open) {
      const std::string phone_number = flight->record.phone_number();
      if (flight->holds.empty()) {
        auto locking = Lock(flight, phone_number);
        const bool locked = co_await std::move(locking);
        if (!locked) co_return Stopped();
      }
      auto settling = Settle(flight, false);
      Settled settled = co_await std::move(settling);
      flight->open = false;
      if (settled.status.ok() || settled.stopped) co_return settled;
      if (!IsWanted(*flight)) {
        // Another number can be had under the same name.
        if (IsGone(settled.status)) {
          settled.status = NotAppliedError(std::string(settled.status.message()));
        }
        co_return settled;
      }
      auto leaving = Leave(flight);
      const absl::Status left = co_await std::move(leaving);
      if (!left.ok()) co_return NotSent(NotSentError(left));
    }

    const v1::LeaseAnyNumberRequest request = AnyRequestOf(*flight);
    const auto order = ParseOrderBy(request.order_by());
    if (!order.ok()) co_return NotSent(order.status());
    Settled last = NotSent(MakeError(absl::StatusCode::kNotFound, reason::kNoMatchingNumber,
                                     "no number that can be leased matches the filter"));
    std::set<std::string> tried;
    // Of numbers that memory has first, then, if none of them can be had, of the provider's list.
    for (const bool fresh : {false, true}) {
      CallContext context = MakeContext(*flight);
      if (fresh) context.max_staleness = milliseconds(0);
      auto finding = memory.availability(std::move(context));
      const auto numbers = co_await std::move(finding);
      if (!numbers.ok()) co_return NotSent(NotSentError(numbers.status()));
      const auto page = (*numbers)->Search(request.filter(), *order, 0, kMaxFound);
      // Numbers that another operation works on come last.
      for (const bool wait : {false, true}) {
        for (const std::uint32_t row : page.rows) {
          const std::string phone_number = (*numbers)->NumberAt(row).phone_number();
          if (tried.contains(phone_number)) continue;
          if (static_cast<int>(tried.size()) >= options.max_candidates) co_return last;
          if (!wait && !TryLock(*flight, phone_number)) continue;
          if (wait) {
            auto locking = Lock(flight, phone_number);
            const bool locked = co_await std::move(locking);
            if (!locked) co_return NotSent(WhyNotSent(*flight));
          }
          tried.insert(phone_number);
          auto trying = Try(flight, phone_number);
          Settled settled = co_await std::move(trying);
          if (settled.stopped || settled.status.ok()) co_return settled;
          if (!IsGone(settled.status)) co_return settled;
          auto leaving = Leave(flight);
          const absl::Status left = co_await std::move(leaving);
          if (!left.ok()) co_return NotSent(NotSentError(left));
          // A refusal says more than that there is nothing.
          if (ReasonOf(settled.status) == reason::kUpstreamRejected) last = std::move(settled);
        }
      }
    }
    co_return last;
  }

  // Gives up the number's lock, once the journal no longer says that a request for the number may
  // be on its way: after a restart, what another one leases there now would be taken for this
  // one's.
  asio::awaitable<absl::Status> Leave(FlightPtr flight) {
    if (flight->record.state() != v1::OPERATION_STATE_INTENDED) {
      v1::Operation intended = flight->record;
      intended.set_state(v1::OPERATION_STATE_INTENDED);
      auto writing = Write(flight, std::move(intended));
      const absl::Status written = co_await std::move(writing);
      if (!written.ok()) co_return written;
    }
    Unlock(*flight);
    co_return absl::OkStatus();
  }

  // Looks at the number, writes down that a request goes out, sends it, and finds out what became
  // of it. The flight has the number's lock.
  asio::awaitable<Settled> Try(FlightPtr flight, std::string phone_number) {
    auto looking = Look(flight, phone_number);
    const auto look = co_await std::move(looking);
    if (!look.ok()) co_return NotSent(NotSentError(look.status()));
    const v1::Number& number = look->value;
    const absl::Status allowed = Check(*flight, number);
    if (!allowed.ok()) co_return NotSent(allowed);

    v1::Operation sent = flight->record;
    sent.set_state(v1::OPERATION_STATE_SENT);
    sent.set_phone_number(phone_number);
    if (sent.kind() == v1::OPERATION_KIND_TERMINATE) {
      sent.set_lease_id(number.lease().lease_id());
      if (number.lease().billing().has_price()) {
        *sent.mutable_price() = number.lease().billing().price();
      }
    } else if (number.has_pricing()) {
      *sent.mutable_price() = number.pricing();
    }
    auto writing = Write(flight, std::move(sent));
    const absl::Status written = co_await std::move(writing);
    if (!written.ok()) co_return NotSent(NotSentError(written));
    if (!MaySend(*flight)) co_return NotSent(WhyNotSent(*flight));
    auto settling = Settle(flight, true);
    co_return co_await std::move(settling);
  }

  absl::Status Check(const Flight& flight, const v1::Number& number) {
    const std::lock_guard lock(mutex);
    if (const auto* create = std::get_if<v1::CreateLeaseRequest>(&*flight.arguments)) {
      absl::Status status = CheckLeasable(number);
      if (number.has_lease() && flight.overtaken) return OvertakenError(number.phone_number());
      if (status.ok()) status = CheckPrice(create->expected_price(), number);
      return status;
    }
    if (const auto* any = std::get_if<v1::LeaseAnyNumberRequest>(&*flight.arguments)) {
      return CheckMatching(*any, number);
    }
    // Without a word of the caller's, the lease that it tried to end before: a newer one is not
    // meant.
    const std::string& asked = std::get<v1::TerminateLeaseRequest>(*flight.arguments).lease_id();
    return CheckLease(number, asked.empty() ? flight.record.lease_id() : asked);
  }

  static absl::Status CheckMatching(const v1::LeaseAnyNumberRequest& request,
                                    const v1::Number& number) {
    const absl::Status status = CheckLeasable(number);
    if (!status.ok() || NumberFilter(request.filter()).Matches(number)) return status;
    return MakeError(absl::StatusCode::kNotFound, reason::kNoMatchingNumber,
                     absl::StrCat(number.phone_number(), " matches the filter no more"));
  }

  // From the first request, or from an earlier one that may be on its way, to the outcome. The
  // flight has the number's lock.
  asio::awaitable<Settled> Settle(FlightPtr flight, bool send) {
    std::string cause = "the gateway was restarted";
    // What the latest request was told that is not the outcome yet: OK for none.
    Settled refused;
    bool lost = !send;  // a request may have arrived that nobody has answered, or may still arrive
    TimePoint lost_at = environment.now();
    milliseconds pause = options.first_look;
    int resends = 0;
    bool rested = false;  // since the latest request; nothing is sent again before another look
    for (;;) {
      if (send) {
        auto sending = Send(flight);
        Settled sent = co_await std::move(sending);
        if (sent.status.ok()) {
          if (lost) sent.quiet_until = lost_at + options.settle;
          co_return sent;
        }
        const Fate fate = FateOf(sent.status);
        if (fate == Fate::kNotSent && !lost) {  // what was sent before it has been looked after
          SetSent(*flight, false);
          co_return sent;
        }
        if (fate == Fate::kLost) {
          lost = true;
          lost_at = environment.now();
        }
        cause = std::string(sent.status.message());
        // Where somebody has said no, the same request would hear the same again.
        refused = fate != Fate::kLost || IsRefusal(sent.status) ? std::move(sent) : Settled();
        send = rested = false;
      }
      if (IsStopped()) co_return Stopped();
      const TimePoint looked_at = environment.now();
      auto looking = Look(flight, flight->record.phone_number());
      auto look = co_await std::move(looking);
      if (IsStopped()) co_return Stopped();
      // For those who still want it as it is now: a price may have changed meanwhile.
      const bool may_repeat = NothingHappened(*flight, look) && resends < kMaxResends &&
                              IsWanted(*flight) && Check(*flight, look->value).ok();
      if (may_repeat && IsRateLimit(refused.status)) {
        if (!lost) SetSent(*flight, false);
        if (!rested) {
          auto resting = RestUntilAllowed(flight, refused.status, pause);
          rested = co_await std::move(resting);
          pause = std::min(2 * pause, options.longest_look);
          if (rested) continue;
        } else if (MaySend(*flight) && options.may_resend()) {
          ++resends;
          send = true;
          continue;
        }
      }
      const bool late = looked_at - lost_at >= options.settle;
      if (auto settled = Judge(*flight, look, lost, late, refused)) {
        if (settled->status.ok() && lost) settled->quiet_until = lost_at + options.settle;
        if (settled->status.ok() && !lost) {
          spdlog::warn("operation {}: done for {}, although {}", flight->request_id,
                       flight->record.phone_number(), cause);
        }
        co_return *std::move(settled);
      }
      if (flight->record.state() != v1::OPERATION_STATE_UNKNOWN) {
        spdlog::warn("operation {}: the outcome for {} is not known ({}); looking",
                     flight->request_id, flight->record.phone_number(), cause);
        v1::Operation unknown = flight->record;
        unknown.set_state(v1::OPERATION_STATE_UNKNOWN);
        auto writing = Write(flight, std::move(unknown));
        co_await std::move(writing);
      }
      // At once, then after a pause.
      if (may_repeat && refused.status.ok() && (rested || resends == 0) && MaySend(*flight) &&
          options.may_resend()) {
        ++resends;
        send = true;
        continue;
      }
      auto resting = Nap(flight, pause);
      co_await std::move(resting);
      rested = true;
      pause = std::min(2 * pause, options.longest_look);
    }
  }

  // Everything is as it was before, so that the request can be sent again.
  static bool NothingHappened(const Flight& flight, const absl::StatusOr<Reply<v1::Number>>& look) {
    if (!look.ok()) return false;
    const v1::Number& number = look->value;
    if (flight.record.kind() == v1::OPERATION_KIND_TERMINATE) {
      return number.has_lease() && number.lease().lease_id() == flight.record.lease_id();
    }
    return CheckLeasable(number).ok();
  }

  static bool IsRateLimit(const absl::Status& status) {
    return ReasonOf(status) == reason::kUpstreamRateLimited &&
           MetadataOf(status).contains("http_status");
  }

  // Waits as long as the provider asked for, or as long as `pause`. False: no caller has the time.
  asio::awaitable<bool> RestUntilAllowed(FlightPtr flight, absl::Status limited,
                                         milliseconds pause) {
    const TimePoint until = environment.now() + RetryAfterOf(limited).value_or(pause);
    while (IsWanted(*flight, until + kAnswerTime)) {
      if (environment.now() >= until) co_return true;
      auto resting = NapUntil(flight, until);
      co_await std::move(resting);
    }
    co_return false;
  }

  // What a look at the number shows after a request. Where one was `lost`: that nothing was done,
  // only when it is too `late` for the request to arrive; nothing while it can't be told. Otherwise
  // the provider has answered, with `refused`, and the look shows whether that is true: a lease
  // that was not there before is this operation's, and one that is gone was ended.
  std::optional<Settled> Judge(const Flight& flight, const absl::StatusOr<Reply<v1::Number>>& look,
                               bool lost, bool late, const Settled& refused) {
    const v1::Operation& record = flight.record;
    const bool unknown_number = !look.ok() && ReasonOf(look.status()) == reason::kNumberNotFound;
    if (!look.ok() && !unknown_number) return std::nullopt;
    Settled settled;
    settled.settlement = v1::OPERATION_SETTLEMENT_RECONCILED;
    if (look.ok()) settled.metadata = look->metadata;
    if (record.kind() == v1::OPERATION_KIND_TERMINATE) {
      // A number that the provider doesn't know, and still doesn't later, is leased by nobody.
      if (unknown_number ? lost && late : !NothingHappened(flight, look)) {
        settled.termination.set_lease_id(record.lease_id());
        settled.termination.set_phone_number(record.phone_number());
        settled.termination.set_status(v1::LEASE_STATUS_TERMINATED);
        memory.ended(record.phone_number(), record.lease_id());
        return settled;
      }
    } else if (look.ok() && look->value.has_lease()) {
      settled.lease = look->value.lease();
      settled.lease.set_phone_number(record.phone_number());
      memory.leased(settled.lease);
      return settled;
    }
    if (lost && !late) return std::nullopt;
    if (!lost) {
      settled.settlement = refused.settlement;
      settled.metadata.Clear();  // the refusal has its own
    }
    const bool taken = look.ok() && !NothingHappened(flight, look);
    if (taken) memory.taken(record.phone_number());
    const std::string why = ReasonOf(refused.status);
    if (taken &&
        (why.empty() || why == reason::kUpstreamRejected || why == reason::kUpstreamRateLimited)) {
      settled.status = CheckLeasable(look->value);
      for (const auto& [key, value] : MetadataOf(refused.status)) {
        AddMetadata(settled.status, key, value);
      }
    } else if (refused.status.ok()) {
      settled.status = NotAppliedError("the provider shows nothing of it");
    } else {
      settled.status = refused.status;
    }
    return settled;
  }

  asio::awaitable<Settled> Send(FlightPtr flight) {
    CallContext context = MakeContext(*flight);
    const v1::Operation& record = flight->record;
    Settled settled;
    settled.settlement = v1::OPERATION_SETTLEMENT_ANSWERED;
    if (record.kind() == v1::OPERATION_KIND_TERMINATE) {
      auto terminating =
          api->Perform(std::move(context), operation::TerminateLease{record.phone_number()});
      auto reply = co_await std::move(terminating);
      settled.status = reply.status();
      if (reply.ok()) {
        settled.termination = std::move(reply->value);
        settled.metadata = std::move(reply->metadata);
        if (settled.termination.lease_id() != record.lease_id()) {
          spdlog::error("operation {}: was to end {} of {}, the provider ended \"{}\"",
                        flight->request_id, record.lease_id(), record.phone_number(),
                        settled.termination.lease_id());
        }
      }
    } else {
      auto leasing =
          api->Perform(std::move(context),
                       operation::CreateLease{record.phone_number(), record.billing_method()});
      auto reply = co_await std::move(leasing);
      settled.status = reply.status();
      if (reply.ok()) {
        settled.lease = std::move(reply->value);
        settled.metadata = std::move(reply->metadata);
      }
    }
    if (!settled.status.ok()) {
      const auto metadata = MetadataOf(settled.status);
      if (!metadata.contains("http_status")) settled.settlement = v1::OPERATION_SETTLEMENT_NOT_SENT;
    }
    co_return settled;
  }

  LeaseApiResult<v1::Number> Look(FlightPtr flight, std::string phone_number) {
    CallContext context = MakeContext(*flight);
    context.deadline = std::min(context.deadline, environment.now() + kLookTimeout);
    context.max_staleness = milliseconds(0);
    // While nobody knows what was bought, it does not wait for all callers to have had their turn.
    const auto state = flight->record.state();
    if (state == v1::OPERATION_STATE_SENT || state == v1::OPERATION_STATE_UNKNOWN) {
      context.background = false;
    }
    auto getting = api->Perform(std::move(context), operation::GetNumber{std::move(phone_number)});
    co_return co_await std::move(getting);
  }

  // Of a request to the provider: until the last caller's deadline, or without callers a while.
  CallContext MakeContext(const Flight& flight) {
    CallContext context;
    context.call_id = flight.call_id;
    context.request_id = flight.request_id;
    context.caller = flight.caller;
    context.trace = flight.trace;
    context.stats = flight.stats;
    const TimePoint now = environment.now();
    const std::lock_guard lock(mutex);
    context.background = flight.waiters.empty() || flight.deadline <= now;
    context.deadline = context.background ? now + kLookTimeout : flight.deadline;
    return context;
  }

  // Half of it is left to chance. A caller who comes ends it early.
  asio::awaitable<void> Nap(FlightPtr flight, milliseconds longest) {
    const auto pause =
        std::chrono::duration_cast<TimePoint::duration>(std::chrono::duration<double, std::milli>(
            static_cast<double>(longest.count()) * (0.5 + 0.5 * environment.random())));
    return NapUntil(std::move(flight), environment.now() + pause);
  }

  asio::awaitable<void> NapUntil(FlightPtr flight, TimePoint until) {
    const auto wakeup = std::make_shared<Wakeup>(flight->strand);
    {
      const std::lock_guard lock(mutex);
      if (stopped) co_return;
      flight->nap = wakeup;
    }
    auto waiting = environment.wait(wakeup, until);
    co_await std::move(waiting);
    const std::lock_guard lock(mutex);
    flight->nap.reset();
  }

  // Writes down the outcome and tells the callers. They hear of it also when it can't be written:
  // what the journal has then leads to the same outcome, and writing is tried until it succeeds.
  asio::awaitable<void> Finish(FlightPtr flight, Settled settled) {
    if (settled.stopped) {
      Publish(*flight, Outcome{OutcomeUnknownError(flight->request_id, "the gateway is stopping"),
                               flight->record,
                               {}});
      co_return;
    }
    v1::Operation done = flight->record;
    const bool was_unknown = done.state() == v1::OPERATION_STATE_UNKNOWN || flight->recovered;
    done.set_settlement(settled.settlement);
    done.set_upstream_request_id(settled.metadata.upstream_request_id());
    if (settled.status.ok()) {
      done.set_state(v1::OPERATION_STATE_SUCCEEDED);
      done.clear_error();
      if (done.kind() == v1::OPERATION_KIND_TERMINATE) {
        *done.mutable_termination() = settled.termination;
      } else {
        done.set_lease_id(settled.lease.lease_id());
        if (settled.lease.billing().has_price()) {
          *done.mutable_price() = settled.lease.billing().price();
        }
        *done.mutable_lease() = settled.lease;
      }
      if (const TimePoint now = environment.now(); now < settled.quiet_until) {
        *done.mutable_settle_time() = After(settled.quiet_until - now);
      }
    } else {
      done.set_state(v1::OPERATION_STATE_FAILED);
      *done.mutable_error() = ToProto(settled.status);
      if (done.upstream_request_id().empty()) {
        const auto metadata = MetadataOf(settled.status);
        const auto id = metadata.find("upstream_error_id");
        if (id != metadata.end()) done.set_upstream_request_id(id->second);
      }
    }
    if (was_unknown) {
      spdlog::info("operation {}: settled for {}: {}", flight->request_id, done.phone_number(),
                   settled.status.ok() ? "done" : std::string(settled.status.message()));
    }
    Outcome outcome{settled.status, done, std::move(settled.metadata)};
    for (bool published = false;; published = true) {
      auto writing = Write(flight, done);
      const absl::Status written = co_await std::move(writing);
      if (written.ok()) outcome.operation = flight->record;
      if (!published) Publish(*flight, outcome);
      if (written.ok() || IsStopped()) co_return;
      spdlog::error("operation {}: its outcome is not written down yet: {}", flight->request_id,
                    std::string(written.message()));
      auto resting = Nap(flight, kJournalPause);
      co_await std::move(resting);
    }
  }

  void Publish(Flight& flight, Outcome outcome) {
    const std::lock_guard lock(mutex);
    if (flight.done) return;
    flight.done = true;
    flight.outcome = std::move(outcome);
    for (auto& waiter : flight.waiters) Wakeup::Wake(std::move(waiter));
    flight.waiters.clear();
  }

  // --- whether to go on --------------------------------------------------------------------------

  bool IsStopped() {
    const std::lock_guard lock(mutex);
    return stopped;
  }

  bool IsWantedLocked(const Flight& flight, TimePoint then) const {
    return !stopped && !flight.waiters.empty() && then < flight.deadline &&
           flight.arguments.has_value();
  }
  bool IsWanted(const Flight& flight) { return IsWanted(flight, environment.now()); }
  bool IsWanted(const Flight& flight, TimePoint then) {
    const std::lock_guard lock(mutex);
    return IsWantedLocked(flight, then);
  }
  // A request may go out for callers who wait. From then on they are told that it may have arrived.
  bool MaySend(Flight& flight) {
    const std::lock_guard lock(mutex);
    if (!IsWantedLocked(flight, environment.now())) return false;
    flight.sent = true;
    return true;
  }

  absl::Status WhyNotSent(const Flight& flight) {
    const std::lock_guard lock(mutex);
    if (stopped) return StoppingError();
    const std::string doing = "nothing had been done yet";
    return NotSentError(flight.waiters.empty() && environment.now() < flight.deadline
                            ? CancelledError(doing)
                            : DeadlineError(doing));
  }

  v1::LeaseAnyNumberRequest AnyRequestOf(const Flight& flight) {
    const std::lock_guard lock(mutex);
    return std::get<v1::LeaseAnyNumberRequest>(*flight.arguments);
  }

  // --- one operation at a time on a number -------------------------------------------------------

  bool TryLock(Flight& flight, const std::string& phone_number) {
    const std::lock_guard lock(mutex);
    if (!locks.try_emplace(phone_number).second) return false;
    flight.holds = phone_number;
    return true;
  }

  // First come, first served. False: time is over, or the gateway stops.
  asio::awaitable<bool> Lock(FlightPtr flight, std::string phone_number) {
    if (TryLock(*flight, phone_number)) co_return true;
    const auto waiter = std::make_shared<LockWaiter>();
    for (bool queued = false;; queued = true) {
      TimePoint until;
      {
        const std::lock_guard lock(mutex);
        if (!queued) {
          const auto [at, free] = locks.try_emplace(phone_number);
          if (free) {
            flight->holds = phone_number;
            co_return true;
          }
          waiter->wakeup = std::make_shared<Wakeup>(flight->strand);
          at->second.push_back(waiter);
        } else if (waiter->granted) {
          flight->holds = phone_number;
          flight->overtaken = waiter->overtaken;
          co_return true;
        }
        // One that is open has to be settled, whoever waits for it.
        if (stopped || (!flight->open && environment.now() >= flight->deadline)) {
          std::erase(locks[phone_number], waiter);
          co_return false;
        }
        until = flight->open ? environment.now() + kLookTimeout : flight->deadline;
      }
      auto waiting = environment.wait(waiter->wakeup, until);
      co_await std::move(waiting);
    }
  }

  void Unlock(Flight& flight) {
    const std::lock_guard lock(mutex);
    if (flight.holds.empty()) return;
    const auto at = locks.find(flight.holds);
    const bool leased =
        flight.record.state() == v1::OPERATION_STATE_SUCCEEDED && flight.record.has_lease();
    for (const auto& waiter : at->second) waiter->overtaken = waiter->overtaken || leased;
    flight.holds.clear();
    flight.overtaken = false;
    if (at->second.empty()) {
      locks.erase(at);
      return;
    }
    const auto next = at->second.front();
    at->second.pop_front();
    next->granted = true;
    Wakeup::Wake(next->wakeup);
  }

  // --- start and stop ----------------------------------------------------------------------------

  void Resume(const OperationJournal::Entry& entry) {
    const v1::Operation& operation = entry.operation;
    const auto flight = std::make_shared<Flight>(executor_of_flights);
    flight->request_id = operation.request_id();
    flight->fingerprint = entry.fingerprint;
    flight->call_id = "recover";
    flight->caller = operation.caller();
    flight->trace = std::make_shared<const TraceContext>(NewTrace());
    flight->record = operation;
    flight->recovered = true;
    flight->owns_id = true;
    flight->settled = operation.state() == v1::OPERATION_STATE_SUCCEEDED ||
                      operation.state() == v1::OPERATION_STATE_FAILED;
    flight->open = !flight->settled && operation.state() != v1::OPERATION_STATE_INTENDED;
    if (flight->settled) {
      const auto left =
          std::min<TimePoint::duration>(Until(operation.settle_time()), options.settle);
      if (!operation.has_settle_time() || left <= left.zero()) return;
      flight->quiet_until = environment.now() + left;
      flight->done = true;
      flight->outcome = Replayed(operation);
    }
    {
      const std::lock_guard lock(mutex);
      flight->deadline = environment.now();
      flight->sent = flight->open;
      flights[flight->request_id] = flight;
    }
    // Before anybody else can.
    if (flight->open || flight->settled) TryLock(*flight, operation.phone_number());
    Launch(flight);
  }

  void Stop() {
    std::vector<FlightPtr> stopping;
    {
      const std::lock_guard lock(mutex);
      stopped = true;
      for (const auto& [id, flight] : flights) stopping.push_back(flight);
    }
    // Ends naps, looks and waits for a number; what was sent runs to its end.
    for (const auto& flight : stopping) {
      asio::post(flight->strand,
                 [flight] { flight->cancellation.emit(asio::cancellation_type::terminal); });
    }
    std::unique_lock lock(mutex);
    all_ended.wait(lock, [this] { return running == 0; });
  }

  std::shared_ptr<LeaseApi> api;
  Memory memory;
  std::shared_ptr<OperationJournal> journal;
  Options options;
  asio::any_io_executor executor_of_flights;
  CallEnvironment environment;

  std::mutex mutex;  // guards all below
  bool stopped = false;
  std::map<std::string, FlightPtr> flights;  // by request_id
  // Numbers that an operation works on, with those that wait for it.
  std::map<std::string, std::deque<std::shared_ptr<LockWaiter>>> locks;
  int running = 0;
  std::condition_variable all_ended;
};

RecordedLeaseApi::RecordedLeaseApi(std::shared_ptr<LeaseApi> api, Memory memory,
                                   std::shared_ptr<OperationJournal> journal, Options options,
                                   asio::any_io_executor executor, CallEnvironment environment)
    : state_(std::make_shared<State>()) {
  state_->api = std::move(api);
  state_->memory = std::move(memory);
  state_->journal = std::move(journal);
  state_->options = std::move(options);
  state_->executor_of_flights = std::move(executor);
  state_->environment = std::move(environment);
}

namespace {

// Fills the reply to a purchase.
template <typename Response>
absl::StatusOr<Response> Leased(absl::StatusOr<Outcome> outcome, Response response) {
  if (!outcome.ok()) return outcome.status();
  if (!outcome->status.ok()) return outcome->status;
  response.mutable_lease()->Swap(outcome->operation.mutable_lease());
  response.mutable_metadata()->Swap(&outcome->metadata);
  return response;
}

asio::awaitable<absl::StatusOr<std::shared_ptr<const Availability>>> AvailabilityOf(
    std::shared_ptr<CachingLeaseApi> api, CallContext context) {
  auto finding = api->FindAvailability(std::move(context));
  auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  co_return std::move(found->numbers);
}

}  // namespace

RecordedLeaseApi::Memory RecordedLeaseApi::MemoryOf(std::shared_ptr<CachingLeaseApi> api) {
  Memory memory;
  memory.availability = [api](CallContext context) {
    return AvailabilityOf(api, std::move(context));
  };
  memory.leased = [api](const v1::Lease& lease) { api->FoundLeased(lease); };
  memory.taken = [api](const std::string& phone_number) { api->FoundTaken(phone_number); };
  memory.ended = [api](const std::string& phone_number, const std::string& lease_id) {
    api->FoundEnded(phone_number, lease_id);
  };
  return memory;
}

RecordedLeaseApi::~RecordedLeaseApi() { state_->Stop(); }

asio::awaitable<absl::Status> RecordedLeaseApi::Recover() {
  auto listing =
      state_->journal->Unresolved(std::chrono::system_clock::now() - state_->options.settle);
  const auto entries = co_await std::move(listing);
  if (!entries.ok()) co_return entries.status();
  for (const auto& entry : *entries) {
    if (entry.operation.account() == state_->options.account) state_->Resume(entry);
  }
  if (const std::size_t count = open(); count > 0) spdlog::info("{} operations are open", count);
  co_return absl::OkStatus();
}

asio::awaitable<absl::StatusOr<v1::CreateLeaseResponse>> RecordedLeaseApi::CreateLease(
    CallContext context, v1::CreateLeaseRequest request) {
  const auto state = state_;
  const std::string request_id = context.request_id;
  std::string fingerprint = Fingerprint(request);
  v1::CreateLeaseResponse response;
  response.set_request_id(request_id);
  if (request.validate_only()) {
    auto checking = CheckUnused(request_id, std::move(fingerprint));
    const absl::Status unused = co_await std::move(checking);
    if (!unused.ok()) co_return unused;
    context.max_staleness = milliseconds(0);
    auto looking =
        state->api->Perform(std::move(context), operation::GetNumber{request.phone_number()});
    const auto look = co_await std::move(looking);
    if (!look.ok()) co_return look.status();
    absl::Status status = CheckLeasable(look->value);
    if (status.ok()) status = CheckPrice(request.expected_price(), look->value);
    if (!status.ok()) co_return status;
    Describe(look->value, request.billing_method(), response.mutable_lease());
    *response.mutable_metadata() = look->metadata;
    co_return response;
  }
  auto executing =
      state->Execute(std::move(context), std::move(fingerprint), Arguments(std::move(request)));
  co_return Leased(co_await std::move(executing), std::move(response));
}

asio::awaitable<absl::StatusOr<v1::LeaseAnyNumberResponse>> RecordedLeaseApi::LeaseAnyNumber(
    CallContext context, v1::LeaseAnyNumberRequest request) {
  const auto state = state_;
  const std::string request_id = context.request_id;
  std::string fingerprint = Fingerprint(request);
  v1::LeaseAnyNumberResponse response;
  response.set_request_id(request_id);
  if (request.validate_only()) {
    auto checking = CheckUnused(request_id, std::move(fingerprint));
    const absl::Status unused = co_await std::move(checking);
    if (!unused.ok()) co_return unused;
    const auto order = ParseOrderBy(request.order_by());
    if (!order.ok()) co_return order.status();
    auto finding = state->memory.availability(context);
    const auto numbers = co_await std::move(finding);
    if (!numbers.ok()) co_return numbers.status();
    const auto page = (*numbers)->Search(request.filter(), *order, 0,
                                         static_cast<std::size_t>(state->options.max_candidates));
    context.max_staleness = milliseconds(0);
    for (const std::uint32_t row : page.rows) {
      auto looking = state->api->Perform(
          context, operation::GetNumber{(*numbers)->NumberAt(row).phone_number()});
      const auto look = co_await std::move(looking);
      absl::Status status = look.status();
      if (look.ok()) status = State::CheckMatching(request, look->value);
      if (!status.ok() && IsGone(status)) continue;
      if (!status.ok()) co_return status;
      Describe(look->value, request.billing_method(), response.mutable_lease());
      *response.mutable_metadata() = look->metadata;
      co_return response;
    }
    co_return MakeError(absl::StatusCode::kNotFound, reason::kNoMatchingNumber,
                        "no number that can be leased matches the filter");
  }
  auto executing =
      state->Execute(std::move(context), std::move(fingerprint), Arguments(std::move(request)));
  co_return Leased(co_await std::move(executing), std::move(response));
}

asio::awaitable<absl::StatusOr<v1::TerminateLeaseResponse>> RecordedLeaseApi::TerminateLease(
    CallContext context, v1::TerminateLeaseRequest request) {
  const auto state = state_;
  v1::TerminateLeaseResponse response;
  response.set_request_id(context.request_id);
  std::string fingerprint = Fingerprint(request);
  auto executing =
      state->Execute(std::move(context), std::move(fingerprint), Arguments(std::move(request)));
  auto outcome = co_await std::move(executing);
  if (!outcome.ok()) co_return outcome.status();
  if (!outcome->status.ok()) co_return outcome->status;
  response.mutable_termination()->Swap(outcome->operation.mutable_termination());
  response.mutable_metadata()->Swap(&outcome->metadata);
  co_return response;
}

asio::awaitable<absl::StatusOr<v1::Operation>> RecordedLeaseApi::GetOperation(
    CallContext, std::string request_id) {
  const auto state = state_;
  auto finding = state->journal->Find(state->options.account, request_id);
  auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  if (*found) co_return std::move((*found)->operation);
  co_return MakeError(absl::StatusCode::kNotFound, reason::kOperationNotFound,
                      absl::StrCat("request_id: \"", request_id,
                                   "\": the journal has no such "
                                   "purchase or termination"));
}

asio::awaitable<absl::StatusOr<v1::ListOperationsResponse>> RecordedLeaseApi::ListOperations(
    CallContext, v1::ListOperationsRequest request) {
  const auto state = state_;
  OperationJournal::Query query;
  query.account = state->options.account;
  query.phone_number = request.phone_number();
  if (request.state() != v1::OPERATION_STATE_UNSPECIFIED) query.state = request.state();
  query.after = request.page_token();
  if (request.page_size() > 0) query.limit = std::min(request.page_size(), 1'000);
  auto listing = state->journal->List(std::move(query));
  auto page = co_await std::move(listing);
  if (!page.ok()) co_return page.status();
  v1::ListOperationsResponse response;
  for (auto& operation : page->operations) *response.add_operations() = std::move(operation);
  response.set_next_page_token(page->next);
  co_return response;
}

std::size_t RecordedLeaseApi::open() const {
  const std::lock_guard lock(state_->mutex);
  return state_->flights.size();
}

asio::awaitable<absl::Status> RecordedLeaseApi::CheckUnused(std::string request_id,
                                                            std::string fingerprint) {
  auto finding = state_->journal->Find(state_->options.account, request_id);
  const auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  if (*found && (*found)->fingerprint != fingerprint) co_return RequestIdReusedError(request_id);
  co_return absl::OkStatus();
}

void RecordedLeaseApi::Describe(const v1::Number& number, v1::BillingMethod method,
                                v1::Lease* lease) {
  lease->set_phone_number(number.phone_number());
  *lease->mutable_number() = number;
  lease->mutable_billing()->set_method(
      method == v1::BILLING_METHOD_UNSPECIFIED ? v1::BILLING_METHOD_MONTHLY : method);
  if (number.has_pricing()) *lease->mutable_billing()->mutable_price() = number.pricing();
}

}  // namespace leasegateway
