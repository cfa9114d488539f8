#include "upstream/leasing/number_hold.h"

#include <algorithm>
#include <utility>

#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;

NumberHold::NumberHold(std::shared_ptr<const LeasingParts> parts,
                       std::shared_ptr<NumberLocks> locks, std::shared_ptr<Flight> flight,
                       OperationRecord& record)
    : parts_(std::move(parts)),
      locks_(std::move(locks)),
      flight_(std::move(flight)),
      record_(record) {}

bool NumberHold::TryLock(const std::string& phone_number) {
  if (!locks_->TryLock(phone_number)) return false;
  phone_number_ = phone_number;
  return true;
}

asio::awaitable<absl::Status> NumberHold::Take(std::string phone_number,
                                               NumberLocks::Patience patience) {
  holders_.clear();
  for (;;) {
    if (phone_number_.empty()) {
      auto locking = locks_->Lock(phone_number, patience);
      const NumberLocks::Grant grant = co_await std::move(locking);
      if (grant == NumberLocks::Grant::kNone) co_return DeadlineError("waiting for the number");
      phone_number_ = phone_number;
      overtaken_ = overtaken_ || grant == NumberLocks::Grant::kOvertaken;
    }
    TimePoint until = TimePoint::max();
    auto claiming = Claim(phone_number, &until);
    const auto claimed = co_await std::move(claiming);
    if (!claimed.ok()) co_return claimed.status();
    if (*claimed) break;
    Unlock(false);
    const auto patient_until = patience();
    if (!patient_until) co_return DeadlineError("waiting for the number");
    auto waiting = parts_->journal->AwaitChange(parts_->options.account, holder_,
                                                std::min(until, *patient_until));
    co_await std::move(waiting);
  }
  if (!holders_.empty()) {
    auto finding = HolderHasLeased();
    const bool leased = co_await std::move(finding);
    overtaken_ = overtaken_ || leased;
  }
  co_return absl::OkStatus();
}

asio::awaitable<absl::StatusOr<bool>> NumberHold::TryTake(std::string phone_number) {
  if (!TryLock(phone_number)) co_return false;
  TimePoint until = TimePoint::max();
  auto claiming = Claim(std::move(phone_number), &until);
  const auto claimed = co_await std::move(claiming);
  if (!claimed.ok() || !*claimed) Unlock(false);
  co_return claimed;
}

asio::awaitable<absl::StatusOr<bool>> NumberHold::Claim(std::string phone_number,
                                                        TimePoint* until) {
  if (claimed_) co_return true;
  auto claiming = record_.Claim(std::move(phone_number));
  auto claimed = co_await std::move(claiming);
  if (!claimed.ok()) co_return claimed.status();
  claimed_ = claimed->granted;
  if (!claimed_) {
    holder_ = claimed->holder;
    holders_.insert(holder_);
    if (claimed->free_at) *until = *claimed->free_at;
  }
  co_return claimed_;
}

asio::awaitable<bool> NumberHold::HolderHasLeased() {
  const std::set<std::string> holders = std::exchange(holders_, {});
  for (const std::string& holder : holders) {
    auto finding = parts_->journal->Find(parts_->options.account, holder);
    const auto found = co_await std::move(finding);
    if (!found.ok() || !*found) continue;
    const v1::Operation& operation = (*found)->entry.operation;
    if (operation.state() == v1::OPERATION_STATE_SUCCEEDED && operation.has_lease()) co_return true;
  }
  co_return false;
}

void NumberHold::Unlock(bool leased) {
  claimed_ = false;
  if (phone_number_.empty()) return;
  locks_->Unlock(phone_number_, leased);
  phone_number_.clear();
}

}  // namespace leasegateway
