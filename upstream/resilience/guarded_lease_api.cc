#include "upstream/resilience/guarded_lease_api.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using Outcome = CircuitBreaker::Outcome;

constexpr auto kMinPatience = milliseconds(100);
// While nobody knows how long an operation takes.
constexpr auto kPatienceAtFirst = milliseconds(1'000);

absl::Status Refusal(absl::StatusCode code, std::string_view reason, std::string_view message,
                     std::chrono::steady_clock::duration retry_in) {
  auto status = MakeError(code, reason, message, {{"request_sent", "false"}});
  SetRetryDelay(status, std::chrono::ceil<milliseconds>(retry_in));
  return status;
}

absl::Status CircuitOpen(const CircuitBreaker::Refusal& refusal, UpstreamOperation operation) {
  const std::string_view name = kUpstreamOperationNames[static_cast<std::size_t>(operation)];
  auto status = Refusal(
      absl::StatusCode::kUnavailable, reason::kCircuitOpen,
      refusal.is_provider ? "the provider fails too often; the gateway does not ask it for a moment"
                          : absl::StrCat("the provider fails too often at ", std::string(name),
                                         "; the gateway does not ask it for that for a moment"),
      refusal.retry_in);
  AddMetadata(status, "circuit", refusal.is_provider ? "provider" : std::string(name));
  return status;
}

absl::Status Unsent(absl::Status status) {
  AddMetadata(status, "request_sent", "false");
  return status;
}

// The least time that an attempt must have had for its end without an answer to say something of
// the provider. A caller who gives an operation less than it usually takes learns of its own haste.
CircuitBreaker::Duration Patience(CircuitBreaker::Duration usual) {
  if (usual == usual.zero()) return kPatienceAtFirst;
  return std::max<CircuitBreaker::Duration>(kMinPatience, 2 * usual);
}

// What an attempt says of the provider's health. `patient`: it had the time that it takes.
Outcome Judge(const absl::Status& status, bool patient) {
  if (status.ok()) return Outcome::kSuccess;
  const std::string why = ReasonOf(status);
  if (why == reason::kNotApplied) return Outcome::kUnknown;  // its own time was over
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return why == reason::kUpstreamTls || why == reason::kUpstreamProxy ||
                     (why == reason::kUpstreamUnreachable &&
                      MetadataOf(status)["request_sent"] == "false")
                 ? Outcome::kUnreachable
                 : Outcome::kFailure;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kInternal:
      return Outcome::kFailure;
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
      return patient ? Outcome::kFailure : Outcome::kUnknown;
    default:
      return why == reason::kOverloaded ? Outcome::kUnknown : Outcome::kSuccess;
  }
}

// Whether the answer was that calls come too fast. Whoever between here and the provider says so
// will go on refusing them.
bool IsTooFast(const absl::Status& status) {
  if (ReasonOf(status) == reason::kUpstreamRateLimited) return true;
  const auto metadata = MetadataOf(status);
  const auto http_status = metadata.find("http_status");
  return http_status != metadata.end() && http_status->second == "429";
}

// Reports to the breaker, also where the coroutine is destroyed before it ends.
class Attempt {
 public:
  Attempt(CircuitBreaker& breaker, const CircuitBreaker::Permit& permit)
      : breaker_(breaker), permit_(permit) {}
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;
  ~Attempt() {
    if (!done_) breaker_.Record(permit_, Outcome::kUnknown, {});
  }
  void Done(Outcome outcome, CircuitBreaker::TimePoint now) {
    done_ = true;
    breaker_.Record(permit_, outcome, now);
  }

 private:
  CircuitBreaker& breaker_;
  const CircuitBreaker::Permit permit_;
  bool done_ = false;
};

}  // namespace

struct GuardedLeaseApi::State {
  State(const GuardOptions& options, CallEnvironment call_environment)
      : environment(std::move(call_environment)),
        breaker(options.breaker),
        rate(options.rate, environment),
        share(options.share),
        admission(options.admission, environment) {}

  // As many share the rate as now.
  void ShareRate(CallEnvironment::TimePoint now) {
    if (share.processes) rate.limiter().ShareAmong(now, share.processes());
  }

  const CallEnvironment environment;
  CircuitBreaker breaker;
  UsualTimes usual;  // once admitted
  RateQueue rate;
  const RateShare share;
  std::shared_ptr<void> listening;  // for what others tell of the rate; null: to nobody
  AdmissionQueue admission;
  std::atomic<std::uint64_t> circuit_open{0};
  std::atomic<std::uint64_t> rate_limited{0};
  std::atomic<std::uint64_t> overloaded{0};
};

GuardedLeaseApi::GuardedLeaseApi(std::unique_ptr<LeaseApi> inner, const GuardOptions& options,
                                 CallEnvironment environment)
    : inner_(std::move(inner)), state_(std::make_shared<State>(options, std::move(environment))) {
  if (!state_->share.listen) return;
  state_->listening = state_->share.listen(
      [listener = std::weak_ptr<State>(state_)](RateShare::RetryAfter retry_after) {
        const auto state = listener.lock();
        if (state) state->rate.limiter().Refused(state->environment.now(), retry_after);
      });
}

std::function<GuardedLeaseApi::Stats()> GuardedLeaseApi::StatsReader() const {
  return [state = state_] {
    const auto now = state->environment.now();
    Stats stats;
    stats.breaker = state->breaker.provider(now);
    for (std::size_t i = 0; i < stats.operation_breakers.size(); ++i) {
      stats.operation_breakers[i] =
          state->breaker.operation(static_cast<UpstreamOperation>(i), now);
    }
    stats.queue = state->admission.counts();
    stats.service_time = state->admission.service_time();
    state->ShareRate(now);
    stats.rate = state->rate.limiter().rate(now);
    stats.circuit_open = state->circuit_open;
    stats.rate_limited = state->rate_limited;
    stats.overloaded = state->overloaded;
    return stats;
  };
}

// Long, because what is taken on the way is given back on each way out, in sight of one another.
asio::awaitable<absl::StatusOr<AnyReply>> GuardedLeaseApi::Call(CallContext context,
                                                                Operation operation) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto inner = inner_;
  const auto state = state_;
  const CallEnvironment& environment = state->environment;
  const UpstreamOperation id = IdOf(operation);
  const auto start = environment.now();
  if (start >= context.deadline) co_return Unsent(DeadlineError("starting the call"));
  if (const auto open = state->breaker.FindOpen(id, start)) {
    ++state->circuit_open;
    co_return CircuitOpen(*open, id);
  }

  state->ShareRate(start);
  if (!state->rate.TakeNow(start)) {
    auto taking = state->rate.Take(context.deadline, context.background, context.share);
    absl::Status taken = co_await std::move(taking);
    if (!taken.ok()) {
      if (taken.code() == absl::StatusCode::kResourceExhausted) ++state->rate_limited;
      co_return taken;
    }
  }

  auto entering = state->admission.Enter(context.deadline, context.background, context.share);
  auto place = co_await std::move(entering);
  if (!place.ok()) {
    if (place.status().code() == absl::StatusCode::kResourceExhausted) ++state->overloaded;
    state->rate.limiter().GiveBack();
    co_return place.status();
  }
  const auto began = environment.now();
  const auto permit = state->breaker.Ask(id, PhoneNumberOf(operation), began);
  if (permit.refusal) {
    ++state->circuit_open;
    state->rate.limiter().GiveBack();
    co_return CircuitOpen(*permit.refusal, id);
  }
  Attempt attempt(state->breaker, permit);
  const auto deadline = context.deadline;
  state->rate.limiter().Sent(began);
  auto calling = inner->Call(std::move(context), std::move(operation));
  auto reply = co_await std::move(calling);
  const auto ended = environment.now();

  // A deadline of the caller's comes as a cancellation, a little before the gateway's own.
  const auto had = (absl::IsCancelled(reply.status()) ? ended : deadline) - began;
  const bool patient = had >= Patience(state->usual.Of(id));
  const Outcome outcome = Judge(reply.status(), patient);
  if (reply.ok()) state->usual.Took(id, ended - began);
  attempt.Done(outcome, ended);
  if (outcome != Outcome::kUnknown) place->Served(ended - began);
  if (!reply.ok() && IsTooFast(reply.status())) {
    const auto retry_after = RetryAfterOf(reply.status());
    const bool is_new = state->rate.limiter().Refused(ended, retry_after);
    if (is_new && state->share.tell) state->share.tell(retry_after);
  }
  co_return reply;
}

}  // namespace leasegateway
