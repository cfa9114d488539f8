#include "upstream/leasing/reconciliation.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "upstream/leasing/operation_rules.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

// How often a request that got lost is sent again for callers who wait.
constexpr int kMaxResends = 5;
// Left for the answer when the provider says when to ask again, and a caller's deadline is near.
constexpr milliseconds kAnswerTime{500};

// Whether it is an answer that says when the request may come again, or that it came too soon.
bool IsTooEarly(const absl::Status& status) {
  const auto metadata = MetadataOf(status);
  const auto http_status = metadata.find("http_status");
  if (http_status == metadata.end()) return false;
  return http_status->second == "429" || RetryAfterOf(status).has_value();
}

}  // namespace

Reconciliation::Reconciliation(std::shared_ptr<const LeasingParts> parts,
                               std::shared_ptr<Flight> flight, OperationRecord& record,
                               OperationRequests& requests, bool overtaken)
    : parts_(std::move(parts)),
      flight_(std::move(flight)),
      record_(record),
      requests_(requests),
      overtaken_(overtaken),
      pause_(parts_->options.first_look) {}

asio::awaitable<Settled> Reconciliation::Run(bool send) {
  lost_ = !send;
  lost_at_ = std::max(parts_->environment.now(), record_.quiet_at());
  for (;;) {
    if (send) {
      auto sending = Send();
      auto sent = co_await std::move(sending);
      if (sent) co_return *std::move(sent);
      send = false;
    }
    if (flight_->IsStopped() || record_.is_lost()) co_return Stopped();
    const TimePoint looked_at = parts_->environment.now();
    auto looking = requests_.Look(record_.operation().phone_number());
    const auto look = co_await std::move(looking);
    if (flight_->IsStopped()) co_return Stopped();
    const bool may_repeat = MayRepeat(look);
    // Nothing is on its way that a look could show.
    if (may_repeat && is_early_ && !lost_ && !rested_) {
      flight_->SetSent(false);
      auto resting = RestUntilAllowed();
      rested_ = co_await std::move(resting);
      LengthenPause();
      if (rested_) continue;
    }
    bool is_awaited = may_repeat && is_early_ && IsAllowedInTime();
    if (is_awaited && rested_ && looked_at >= allowed_at_.value_or(looked_at)) {
      send = MayResend();
      if (send) continue;
      is_awaited = false;
    }
    const bool late = looked_at - lost_at_ >= parts_->options.settle && !is_awaited;
    if (auto settled = Judge(look, late)) {
      if (settled->status.ok() && lost_) settled->quiet_until = lost_at_ + parts_->options.settle;
      if (settled->status.ok() && !lost_) {
        spdlog::warn("operation {}: done for {}, although {}", record_.operation().request_id(),
                     record_.operation().phone_number(), cause_);
      }
      co_return *std::move(settled);
    }
    auto marking = MarkUnknown();
    co_await std::move(marking);
    if (record_.is_lost()) co_return Stopped();
    // At once, then after a pause.
    if (may_repeat && refused_.status.ok() && !is_early_ && (rested_ || resends_ == 0) &&
        MayResend()) {
      send = true;
      continue;
    }
    auto resting = Pause();
    co_await std::move(resting);
    rested_ = rested_ || !is_early_ || lost_;
    LengthenPause();
  }
}

asio::awaitable<bool> Reconciliation::MayGoOut() {
  if (parts_->environment.now() < record_.send_before()) co_return true;
  auto granting = record_.Grant(requests_.Window(), requests_.Spending());
  const absl::Status granted = co_await std::move(granting);
  co_return granted.ok();
}

asio::awaitable<std::optional<Settled>> Reconciliation::Send() {
  auto asking = MayGoOut();
  const bool may_go_out = co_await std::move(asking);
  if (!may_go_out) {
    rested_ = false;
    if (lost_ || record_.is_lost()) co_return std::nullopt;
    flight_->SetSent(false);
    co_return NotSent(NotAppliedError("the journal could not say any more that it goes out"));
  }
  auto sending = requests_.Send();
  Settled sent = co_await std::move(sending);
  if (sent.status.ok()) {
    if (lost_) sent.quiet_until = lost_at_ + parts_->options.settle;
    co_return sent;
  }
  const Fate fate = FateOf(sent.status);
  if (fate == Fate::kNotSent && !lost_) {  // what was sent before it has been looked after
    flight_->SetSent(false);
    co_return sent;
  }
  if (fate == Fate::kLost) {
    lost_ = true;
    lost_at_ = parts_->environment.now();
  }
  cause_ = std::string(sent.status.message());
  is_early_ = IsTooEarly(sent.status);
  allowed_at_.reset();
  if (const auto retry_after = RetryAfterOf(sent.status)) {
    allowed_at_ = parts_->environment.now() + *retry_after;
  }
  // Where the provider has said no, the same request would hear the same again.
  refused_ = fate == Fate::kLost ? Settled() : std::move(sent);
  rested_ = false;
  co_return std::nullopt;
}

asio::awaitable<void> Reconciliation::MarkUnknown() {
  if (record_.operation().state() == v1::OPERATION_STATE_UNKNOWN) co_return;
  spdlog::warn("operation {}: the outcome for {} is not known ({}); looking",
               record_.operation().request_id(), record_.operation().phone_number(), cause_);
  auto marking = record_.MarkUnknown();
  co_await std::move(marking);
}

bool Reconciliation::MayRepeat(const LookResult& look) const {
  return NothingHappened(look) && resends_ < kMaxResends && flight_->IsWanted() &&
         parts_->environment.now() >= record_.quiet_at() &&
         CheckAllowed(*flight_->arguments(), look->value, overtaken_,
                      record_.operation().lease_id())
             .ok();
}

bool Reconciliation::NothingHappened(const LookResult& look) const {
  if (!look.ok()) return false;
  const v1::Number& number = look->value;
  if (record_.operation().kind() == v1::OPERATION_KIND_TERMINATE) {
    return number.has_lease() && number.lease().lease_id() == record_.operation().lease_id();
  }
  return CheckLeasable(number).ok();
}

bool Reconciliation::MayResend() {
  if (!flight_->MaySend() || !parts_->options.may_resend()) return false;
  ++resends_;
  return true;
}

std::optional<Settled> Reconciliation::Judge(const LookResult& look, bool late) const {
  const v1::Operation& record = record_.operation();
  const bool unknown_number = !look.ok() && ReasonOf(look.status()) == reason::kNumberNotFound;
  if (!look.ok() && !unknown_number) return std::nullopt;
  Settled settled;
  settled.settlement = v1::OPERATION_SETTLEMENT_RECONCILED;
  if (look.ok()) settled.metadata = look->metadata;
  if (record.kind() == v1::OPERATION_KIND_TERMINATE) {
    // A number that the provider doesn't know, and still doesn't later, is leased by nobody.
    if (unknown_number ? lost_ && late : !NothingHappened(look)) {
      settled.termination.set_lease_id(record.lease_id());
      settled.termination.set_phone_number(record.phone_number());
      settled.termination.set_status(v1::LEASE_STATUS_TERMINATED);
      parts_->memory.ended(record.phone_number(), record.lease_id());
      return settled;
    }
  } else if (look.ok() && look->value.has_lease()) {
    settled.lease = look->value.lease();
    settled.lease.set_phone_number(record.phone_number());
    parts_->memory.leased(settled.lease);
    return settled;
  }
  if (lost_ && !late) return std::nullopt;
  if (!lost_) {
    settled.settlement = refused_.settlement;
    settled.metadata.Clear();  // the refusal has its own
  }
  const bool taken = look.ok() && !NothingHappened(look);
  if (taken) parts_->memory.taken(record.phone_number());
  const std::string why = ReasonOf(refused_.status);
  if (taken &&
      (why.empty() || why == reason::kUpstreamRejected || why == reason::kUpstreamRateLimited)) {
    settled.status = CheckLeasable(look->value);
    for (const auto& [key, value] : MetadataOf(refused_.status)) {
      AddMetadata(settled.status, key, value);
    }
  } else if (refused_.status.ok()) {
    settled.status = NotAppliedError("the provider shows nothing of it");
  } else {
    settled.status = refused_.status;
  }
  return settled;
}

bool Reconciliation::IsAllowedInTime() const {
  const TimePoint now = parts_->environment.now();
  return flight_->IsWanted(std::max(allowed_at_.value_or(now), now) + kAnswerTime);
}

asio::awaitable<bool> Reconciliation::RestUntilAllowed() {
  const TimePoint until = allowed_at_.value_or(parts_->environment.now() + pause_);
  while (flight_->IsWanted(until + kAnswerTime)) {
    if (parts_->environment.now() >= until) co_return true;
    auto resting = Flight::NapUntil(flight_, until);
    co_await std::move(resting);
  }
  co_return false;
}

asio::awaitable<void> Reconciliation::Pause() {
  const TimePoint now = parts_->environment.now();
  const bool is_soon = allowed_at_ && *allowed_at_ > now && *allowed_at_ - now <= pause_;
  auto napping = is_soon ? Flight::NapUntil(flight_, *allowed_at_) : Flight::Nap(flight_, pause_);
  co_await std::move(napping);
}

void Reconciliation::LengthenPause() {
  pause_ = std::min(2 * pause_, parts_->options.longest_look);
}

}  // namespace leasegateway
