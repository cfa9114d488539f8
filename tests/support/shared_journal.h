#ifndef LEASE_GATEWAY_TESTS_SUPPORT_SHARED_JOURNAL_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_SHARED_JOURNAL_H_

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/fake_calls.h"
#include "tests/support/memory_spending.h"
#include "upstream/leasing/journal/operation_journal.h"
#include "upstream/leasing/operation_rules.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

// What several SharedJournals have in common, in memory.
struct SharedRecords {
  using TimePoint = OperationJournal::TimePoint;
  struct Row {
    OperationJournal::Entry entry;
    int owner = 0;  // 0: nobody
    std::int64_t revision = 1;
    TimePoint send_until = TimePoint::min();
    TimePoint written;
  };
  struct Claim {
    std::string request_id;
    std::optional<TimePoint> free_at;
  };

  std::map<std::string, Row> rows;
  std::map<std::string, Claim> claims;  // by number
  std::set<int> alive;
  MemorySpending spending;
  // What AwaitChange of any of them waits for.
  std::vector<std::shared_ptr<Wakeup>> waiting;

  void Tell() {
    for (auto& wakeup : std::exchange(waiting, {})) Wakeup::Wake(std::move(wakeup));
  }
};

// The journal as one of several replicas has it, by the rules of its interface. One thread.
class SharedJournal final : public OperationJournal {
 public:
  static constexpr std::chrono::milliseconds kRequestLimit{5'000};
  static constexpr std::chrono::milliseconds kPoll{1'000};
  static constexpr std::chrono::milliseconds kOwnAge{10'000};

  SharedJournal(std::shared_ptr<SharedRecords> records, int replica, FakeTime* time)
      : records_(std::move(records)), replica_(replica), time_(time) {
    records_->alive.insert(replica);
  }

  boost::asio::awaitable<absl::StatusOr<Begun>> Begin(Entry entry, bool claim) override {
    const TimePoint frozen_until = frozen;
    if (time_->now() < frozen_until) co_await Sleep(frozen_until);
    if (!failure.ok()) co_return failure;
    const std::string id = entry.operation.request_id();
    const auto [at, is_new] = records_->rows.try_emplace(id);
    Begun begun;
    begun.existed = !is_new;
    if (is_new) {
      at->second.entry = entry;
      at->second.owner = replica_;
      at->second.written = time_->now();
      if (claim) begun.claimed = TryClaim(id, entry.operation.phone_number()).granted;
    }
    begun.record = ToRecord(at->second);
    co_return begun;
  }

  boost::asio::awaitable<absl::StatusOr<Record>> TakeOver(std::string, std::string request_id,
                                                          std::int64_t revision) override {
    if (fail_take_overs) {
      co_return MakeError(absl::StatusCode::kFailedPrecondition, reason::kJournalUnavailable, "no");
    }
    if (!failure.ok()) co_return failure;
    if (before_take) before_take();
    auto& row = records_->rows.at(request_id);
    if (row.revision != revision) {
      Record record = ToRecord(row);
      if (record.owner == Owner::kUs) record.owner = Owner::kNobody;
      co_return record;
    }
    if (!IsAnothers(row) && row.owner != replica_) Take(row);
    Record record = ToRecord(row);
    if (row.owner == replica_) record.owner = Owner::kUs;
    co_return record;
  }

  boost::asio::awaitable<absl::StatusOr<std::vector<Record>>> Adopt(std::string, int limit,
                                                                    bool own) override {
    if (!failure.ok()) co_return failure;
    std::vector<Record> adopted;
    for (auto& [id, row] : records_->rows) {
      if (IsSettled(row) || static_cast<int>(adopted.size()) == limit) continue;
      const bool lost = own && row.owner == replica_ && time_->now() - row.written >= kOwnAge;
      if (row.owner == replica_ ? !lost : IsAnothers(row)) continue;
      if (row.owner != replica_) Take(row);
      adopted.push_back(ToRecord(row));
    }
    co_return adopted;
  }

  boost::asio::awaitable<absl::StatusOr<Updated>> Update(Change change) override {
    if (!failure.ok()) co_return failure;
    if (fail_updates > 0) {
      --fail_updates;
      co_return MakeError(absl::StatusCode::kFailedPrecondition, reason::kJournalUnavailable, "no");
    }
    auto& row = records_->rows.at(change.operation.request_id());
    const TimePoint began = time_->now();
    if (row.owner != replica_ || row.revision != change.revision) {
      co_return OwnershipLostError(change.operation.request_id());
    }
    if (auto status = records_->spending.Follow(change); !status.ok()) co_return status;
    row.entry.operation = change.operation;
    row.written = began;
    ++row.revision;
    const auto state = change.operation.state();
    if (change.may_send_for.count() > 0) {
      row.send_until = began + change.may_send_for + kRequestLimit;
    } else if (state != v1::OPERATION_STATE_UNKNOWN) {
      row.send_until = TimePoint::min();
    }
    if (change.release) Release(change.operation.request_id(), change.release_after);
    if (IsSettled(row)) row.owner = 0;
    Updated updated;
    updated.revision = row.revision;
    updated.send_before = began + change.may_send_for;
    records_->Tell();
    if (after_update) after_update(state);
    const TimePoint frozen_until = frozen;
    if (time_->now() < frozen_until) co_await Sleep(frozen_until);
    co_return updated;
  }

  boost::asio::awaitable<absl::StatusOr<Claimed>> Claim(std::string, std::string request_id,
                                                        std::int64_t revision,
                                                        std::string phone_number) override {
    if (!failure.ok()) co_return failure;
    const auto& row = records_->rows.at(request_id);
    if (row.owner != replica_ || row.revision != revision) {
      co_return OwnershipLostError(request_id);
    }
    co_return TryClaim(request_id, phone_number);
  }

  boost::asio::awaitable<absl::StatusOr<std::optional<Record>>> Find(
      std::string, std::string request_id) override {
    if (!failure.ok()) co_return failure;
    const auto at = records_->rows.find(request_id);
    if (at == records_->rows.end()) co_return std::optional<Record>();
    Record record = ToRecord(at->second);
    if (blind) record.owner = Owner::kAnother;
    co_return std::optional<Record>(std::move(record));
  }

  boost::asio::awaitable<void> AwaitChange(std::string, std::string, TimePoint until) override {
    const auto wakeup = std::make_shared<Wakeup>(co_await boost::asio::this_coro::executor);
    if (hears) records_->waiting.push_back(wakeup);
    auto waiting = time_->environment().wait(wakeup, std::min(until, time_->now() + kPoll));
    co_await std::move(waiting);
    std::erase(records_->waiting, wakeup);
  }

  boost::asio::awaitable<absl::StatusOr<Page>> List(Query) override { co_return Page(); }

  boost::asio::awaitable<absl::StatusOr<SpendingCounts>> Spent(SpendingQuery query) override {
    if (!failure.ok()) co_return failure;
    co_return MemorySpending::Sum(records_->spending.rows, query);
  }
  boost::asio::awaitable<absl::StatusOr<std::vector<HeldLease>>> HeldWithout(
      std::string, std::vector<std::string> lease_ids, TimePoint, int) override {
    co_return records_->spending.HeldWithout(lease_ids);
  }
  boost::asio::awaitable<absl::Status> EndedElsewhere(std::string,
                                                      std::vector<std::string> lease_ids) override {
    for (const auto& id : lease_ids) records_->spending.End(id);
    co_return absl::OkStatus();
  }

  absl::Status failure;  // of all but AwaitChange
  int fail_updates = 0;
  bool fail_take_overs = false;
  bool hears = true;                                     // what others tell; else it polls
  bool blind = false;                                    // Find takes all for another's
  TimePoint frozen = TimePoint::min();                   // answers to writes come after that
  std::function<void(v1::OperationState)> after_update;  // before the answer
  std::function<void()> before_take;

 private:
  static bool IsSettled(const SharedRecords::Row& row) {
    const auto state = row.entry.operation.state();
    return state == v1::OPERATION_STATE_SUCCEEDED || state == v1::OPERATION_STATE_FAILED;
  }
  bool IsAnothers(const SharedRecords::Row& row) const {
    return row.owner != 0 && row.owner != replica_ && records_->alive.contains(row.owner);
  }
  void Take(SharedRecords::Row& row) {
    row.owner = replica_;
    ++row.revision;
    row.written = time_->now();
  }
  Record ToRecord(const SharedRecords::Row& row) const {
    Record record;
    record.entry = row.entry;
    record.revision = row.revision;
    record.owner = row.owner == replica_ ? Owner::kUs
                   : IsAnothers(row)     ? Owner::kAnother
                                         : Owner::kNobody;
    record.quiet_at = row.send_until;
    return record;
  }
  Claimed TryClaim(const std::string& request_id, const std::string& phone_number) {
    Claimed claimed;
    const auto at = records_->claims.find(phone_number);
    if (at != records_->claims.end() && at->second.request_id != request_id &&
        (!at->second.free_at || *at->second.free_at > time_->now())) {
      claimed.holder = at->second.request_id;
      claimed.free_at = at->second.free_at;
      return claimed;
    }
    Release(request_id, {});
    records_->claims[phone_number] = {request_id, std::nullopt};
    claimed.granted = true;
    return claimed;
  }
  void Release(const std::string& request_id, std::chrono::milliseconds after) {
    for (auto& [number, claim] : records_->claims) {
      if (claim.request_id == request_id) claim.free_at = time_->now() + after;
    }
  }
  boost::asio::awaitable<void> Sleep(TimePoint until) {
    const auto wakeup = std::make_shared<Wakeup>(co_await boost::asio::this_coro::executor);
    auto waiting = time_->environment().wait(wakeup, until);
    co_await std::move(waiting);
  }

  const std::shared_ptr<SharedRecords> records_;
  const int replica_;
  FakeTime* const time_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_SHARED_JOURNAL_H_
