#include "upstream/resilience/observed_lease_api.h"

#include <spdlog/spdlog.h>

#include <boost/asio/this_coro.hpp>
#include <cstdint>
#include <utility>

#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;

// Whether it shows that the provider takes the gateway's key.
bool TakesKey(AttemptOutcome outcome) {
  return outcome == AttemptOutcome::kOk || outcome == AttemptOutcome::kRejected;
}

// Once, until the key is taken again.
void LogRefusal(const absl::Status& status) {
  spdlog::error("reads go on from memory for a while: {}", std::string(status.message()));
}

// What the answer to a list, which has no argument that could be refused, says of the key.
void NoteList(AttemptStats& stats, std::size_t operation, AttemptOutcome outcome,
              const absl::Status& status) {
  const std::uint32_t bit = std::uint32_t{1} << operation;
  const std::string why = ReasonOf(status);
  if (why == reason::kUpstreamForbidden || why == reason::kAgreementRequired) {
    const auto before = stats.lists_forbidden.fetch_or(bit, std::memory_order_relaxed);
    if ((before & bit) == 0) LogRefusal(status);
  } else if (TakesKey(outcome)) {
    stats.lists_forbidden.fetch_and(~bit, std::memory_order_relaxed);
  }
}

}  // namespace

AttemptOutcome OutcomeOf(const absl::Status& status) {
  if (status.ok()) return AttemptOutcome::kOk;
  const std::string why = ReasonOf(status);
  auto metadata = MetadataOf(status);
  if (metadata[std::string(kFromProviderKey)] == "false") return AttemptOutcome::kIntermediary;
  if (why == reason::kUpstreamCredentialsRejected) return AttemptOutcome::kCredentialsRejected;
  if (why == reason::kUpstreamRateLimited) return AttemptOutcome::kRateLimited;
  if (why == reason::kUpstreamFailed) return AttemptOutcome::kFailed;
  if (why == reason::kUpstreamMalformed) return AttemptOutcome::kMalformed;
  if (why == reason::kUpstreamUnreachable) return AttemptOutcome::kUnreachable;
  if (why == reason::kUpstreamProxy) return AttemptOutcome::kProxy;
  if (why == reason::kUpstreamTls) return AttemptOutcome::kTls;
  if (why == reason::kOutcomeUnknown) return AttemptOutcome::kUnknown;
  if (why == reason::kNotApplied) return AttemptOutcome::kTooLate;
  if (why == reason::kDeadline) return AttemptOutcome::kDeadline;
  if (why == reason::kCancelled) return AttemptOutcome::kCancelled;
  if (why == reason::kUpstreamRejected || why == reason::kUpstreamForbidden ||
      why == reason::kAgreementRequired || why == reason::kNumberNotFound ||
      why == reason::kNumberNotAvailable || why == reason::kNotLeased) {
    return AttemptOutcome::kRejected;
  }
  return AttemptOutcome::kOther;
}

ObservedLeaseApi::ObservedLeaseApi(std::unique_ptr<LeaseApi> inner,
                                   std::shared_ptr<AttemptStats> stats, CallEnvironment environment)
    : inner_(std::move(inner)), stats_(std::move(stats)), environment_(std::move(environment)) {}

asio::awaitable<absl::StatusOr<AnyReply>> ObservedLeaseApi::Call(CallContext context,
                                                                 Operation operation) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto stats = stats_;
  const auto now = environment_.now;
  const auto began = now();
  const auto index = operation.index();
  const bool is_list = PhoneNumberOf(operation).empty();
  auto calling = inner_->Call(std::move(context), std::move(operation));
  auto reply = co_await std::move(calling);
  const auto outcome = OutcomeOf(reply.status());
  stats->times[index].Observe(now() - began);
  stats->outcomes[index][static_cast<std::size_t>(outcome)].fetch_add(1, std::memory_order_relaxed);
  if (outcome == AttemptOutcome::kCredentialsRejected) {
    const bool before = stats->credentials_rejected.exchange(true, std::memory_order_relaxed);
    if (!before) LogRefusal(reply.status());
  } else if (TakesKey(outcome)) {
    stats->credentials_rejected.store(false, std::memory_order_relaxed);
  }
  if (is_list) NoteList(*stats, index, outcome, reply.status());
  co_return reply;
}

}  // namespace leasegateway
