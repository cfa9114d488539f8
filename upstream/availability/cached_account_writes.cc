// What CachedAccount keeps: how answers become values, and how writes are laid over them.

#include "upstream/availability/cached_account.h"

namespace leasegateway {
std::shared_ptr<const AvailableValue> CachedAccount::Store(
    std::shared_ptr<const Availability> built, Stamp stamp, std::uint64_t restored) {
  std::uint64_t applied = stamp.writes;
  Source source;
  source.restored = restored;
  for (;;) {
    std::shared_ptr<const AvailableValue> before;
    std::vector<Write> pending;
    {
      const std::lock_guard lock(mutex_);
      if (restored != shared_stats_.restored) return nullptr;
      before = available_->value;
      pending = writes_.After(applied);
    }
    if (before && before->stamp.sent > stamp.sent) return before;
    for (const Write& write : pending) {
      applied = write.sequence;
      if (!write.takes_from_available()) continue;
      if (auto without = built->Without(write.phone_number, environment_.pin)) {
        built = std::move(without);
      }
    }
    std::vector<NumberChange> changes;
    if (before) changes = Availability::Compare(before->numbers.get(), *built);
    const bool changed = !before || !changes.empty();
    if (auto value = Publish(before, built, stamp, applied, std::move(changes), source)) {
      if (changed) Notify();
      return value;
    }
  }
}

std::shared_ptr<const AvailableValue> CachedAccount::Publish(
    const std::shared_ptr<const AvailableValue>& before,
    std::shared_ptr<const Availability> numbers_now, Stamp stamp,
    std::optional<std::uint64_t> applied, std::vector<NumberChange> changed, const Source& source) {
  const std::size_t bytes = ChangeLog::BytesOf(changed);
  const std::lock_guard lock(mutex_);
  if (available_->value != before) return nullptr;
  const bool is_outdated =
      applied && (source.restored != shared_stats_.restored || !writes_.After(*applied).empty());
  if (is_outdated) return nullptr;
  auto value = std::make_shared<AvailableValue>();
  value->numbers = std::move(numbers_now);
  value->version = before ? changes_.Add(std::move(changed), bytes) : changes_.Restart();
  value->stamp = stamp;
  value->is_shared = source.is_shared;
  if (source.last > 0) changes_.SetLogged(source.first, source.last);
  available_->value = value;
  return value;
}

std::shared_ptr<const LeasesValue> CachedAccount::Store(ReplyBytes answered, Stamp stamp,
                                                        std::uint64_t restored) {
  std::uint64_t applied = stamp.writes;
  std::optional<v1::ListLeasesResponse> list;  // once there is a write that changes it
  for (;;) {
    std::vector<Write> pending;
    {
      const std::lock_guard lock(mutex_);
      pending = writes_.After(applied);
    }
    for (const Write& write : pending) {
      applied = write.sequence;
      if (!write.changes_leases()) continue;
      if (!list) list = ParseReply<v1::ListLeasesResponse>(answered);
      ApplyTo(*list, write);
    }
    auto value = std::make_shared<LeasesValue>();
    value->stamp = stamp;
    value->reply = list ? WholeReply(environment_.pin(list->SerializeAsString())) : answered;
    const std::lock_guard lock(mutex_);
    if (restored != shared_stats_.restored) return nullptr;
    if (!writes_.After(applied).empty()) continue;
    if (leases_->value && leases_->value->stamp.sent > stamp.sent) return leases_->value;
    leases_->value = value;
    return value;
  }
}

void CachedAccount::Notify() {
  if (listener_) listener_();
}

void CachedAccount::Written(Write write) {
  using Effect = Write::Effect;
  {
    const std::lock_guard lock(mutex_);
    if (write.effect == Effect::kLeased) DescribeLeaseLocked(write);
    write = EnterLocked(std::move(write));
    if (shared_) pending_.push_back(write);
  }
  if (write.takes_from_available()) TakeFromAvailable(write.phone_number);
  if (write.changes_leases()) ChangeLeases(write);
  if (shared_) {
    Follow();
    // Those who watch wait for the log, but not for long.
    environment_.after(kLogPatience, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->Notify();
    });
  }

  Launch refresh_available, refresh_leases;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    if (available_->min_writes == write.sequence && available_->value && !IsIdle(*available_)) {
      refresh_available = RefreshLocked(available_, "");
    }
    if (write.effect != Effect::kGone && leases_->value && !IsIdle(*leases_)) {
      refresh_leases = RefreshLocked(leases_, "");
    }
  }
  if (refresh_available) refresh_available();
  if (refresh_leases) refresh_leases();
}

const Write& CachedAccount::EnterLocked(Write write) {
  using Effect = Write::Effect;
  const Write& entered = writes_.Add(std::move(write), environment_.now(), 2 * kFlightTimeout);
  if (entered.phone_number.empty()) {  // it may be any
    ForgetNumbersLocked();
  } else {
    // A new cell: flights that are on their way keep the old one.
    NumberCellLocked(entered.phone_number) = std::make_shared<Cell<NumberValue>>();
    NumberCellLocked(entered.phone_number)->min_writes = entered.sequence;
  }
  if (entered.effect != Effect::kConfigured) available_->last_change = entered.sequence;
  if (entered.effect != Effect::kGone) leases_->last_change = entered.sequence;
  if (entered.effect == Effect::kEnded || entered.effect == Effect::kUnknown) {
    available_->min_writes = entered.sequence;
  }
  if (entered.effect == Effect::kUnknown || entered.effect == Effect::kConfigured) {
    leases_->min_writes = entered.sequence;
  }
  return entered;
}

void CachedAccount::ForgetNumbersLocked() {
  for (auto& [phone_number, cell] : order_) {
    const std::uint64_t min_writes = cell->min_writes;
    cell = std::make_shared<Cell<NumberValue>>();
    cell->min_writes = min_writes;
  }
}

void CachedAccount::DescribeLeaseLocked(Write& write) const {
  v1::Number& number = *write.lease.mutable_number();
  if (const auto found = LookUpInListLocked(write.phone_number)) {
    number = std::move(*ParseReply<v1::GetNumberResponse>(found->reply).mutable_number());
  }
  number.set_phone_number(write.phone_number);
  number.set_status(v1::NUMBER_STATUS_LEASED);
  number.set_provider_status("leased");
}

void CachedAccount::TakeFromAvailable(const std::string& phone_number) {
  for (;;) {
    std::shared_ptr<const AvailableValue> before;
    {
      const std::lock_guard lock(mutex_);
      before = available_->value;
    }
    if (!before) return;
    auto without = before->numbers->Without(phone_number, environment_.pin);
    if (!without) return;
    NumberChange change;
    const auto reply = before->numbers->FindNumber(phone_number);
    change.before = std::move(*ParseReply<v1::GetNumberResponse>(*reply).mutable_number());
    Source source;
    source.is_shared = before->is_shared;
    if (Publish(before, std::move(without), before->stamp, std::nullopt, {std::move(change)},
                source)) {
      return Notify();
    }
  }
}

void CachedAccount::ChangeLeases(const Write& write) {
  for (;;) {
    std::shared_ptr<const LeasesValue> before;
    {
      const std::lock_guard lock(mutex_);
      before = leases_->value;
    }
    if (!before) return;
    auto list = ParseReply<v1::ListLeasesResponse>(before->reply);
    ApplyTo(list, write);
    auto value = std::make_shared<LeasesValue>(*before);
    value->reply = WholeReply(environment_.pin(list.SerializeAsString()));
    const std::lock_guard lock(mutex_);
    if (leases_->value != before) continue;
    leases_->value = std::move(value);
    return;
  }
}

}  // namespace leasegateway
