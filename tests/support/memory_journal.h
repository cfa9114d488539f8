#ifndef LEASE_GATEWAY_TESTS_SUPPORT_MEMORY_JOURNAL_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_MEMORY_JOURNAL_H_

#include <google/protobuf/util/time_util.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/memory_spending.h"
#include "upstream/leasing/journal/operation_journal.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

// Entries in memory, and failures on demand. One thread. Entries of the account "default" have
// their `request_id` as key, those of others the account and a slash before it.
class MemoryJournal final : public OperationJournal {
 public:
  static std::string KeyOf(const std::string& account, const std::string& request_id) {
    return account.empty() || account == "default" ? request_id : account + "/" + request_id;
  }
  static std::string KeyOf(const v1::Operation& operation) {
    return KeyOf(operation.account(), operation.request_id());
  }

  boost::asio::awaitable<absl::StatusOr<Begun>> Begin(Entry entry, bool claim) override {
    if (before_begin) {
      auto waiting = before_begin();
      co_await std::move(waiting);
    }
    if (!failure.ok()) co_return failure;
    const std::string key = KeyOf(entry.operation);
    const auto [at, is_new] = entries.try_emplace(key, entry);
    if (is_new) order.push_back(key);
    Begun begun;
    begun.record = ToRecord(at->second);
    begun.existed = !is_new;
    begun.claimed = claim && is_new;
    co_return begun;
  }
  boost::asio::awaitable<absl::StatusOr<Record>> TakeOver(std::string account,
                                                          std::string request_id,
                                                          std::int64_t) override {
    if (!failure.ok()) co_return failure;
    Record record = ToRecord(entries.at(KeyOf(account, request_id)));
    record.owner = Owner::kUs;
    co_return record;
  }
  boost::asio::awaitable<absl::StatusOr<Updated>> Update(Change change) override {
    if (!failure.ok()) co_return failure;
    if (fail_updates > 0) {
      --fail_updates;
      co_return MakeError(absl::StatusCode::kFailedPrecondition, reason::kJournalUnavailable,
                          "disk full");
    }
    if (auto status = spending.Follow(change); !status.ok()) co_return status;
    states.push_back(change.operation.state());
    entries.at(KeyOf(change.operation)).operation = std::move(change.operation);
    co_return Updated();
  }
  boost::asio::awaitable<absl::StatusOr<Claimed>> Claim(std::string, std::string, std::int64_t,
                                                        std::string) override {
    if (!failure.ok()) co_return failure;
    Claimed claimed;
    claimed.granted = true;
    co_return claimed;
  }
  boost::asio::awaitable<absl::StatusOr<std::optional<Record>>> Find(
      std::string account, std::string request_id) override {
    if (!failure.ok()) co_return failure;
    const auto at = entries.find(KeyOf(account, request_id));
    if (at == entries.end()) co_return std::optional<Record>();
    co_return std::optional<Record>(ToRecord(at->second));
  }
  boost::asio::awaitable<void> AwaitChange(std::string, std::string, TimePoint until) override {
    const auto executor = co_await boost::asio::this_coro::executor;
    boost::asio::steady_timer timer(executor, until);
    boost::system::error_code ignored;
    co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }
  // By caller alone.
  boost::asio::awaitable<absl::StatusOr<Page>> List(Query query) override {
    Page page;
    for (const auto& [id, entry] : entries) {
      if (query.caller && entry.operation.caller() != *query.caller) continue;
      page.operations.push_back(entry.operation);
    }
    page.next = next;
    queries.push_back(std::move(query));
    co_return page;
  }
  boost::asio::awaitable<absl::StatusOr<SpendingCounts>> Spent(SpendingQuery query) override {
    if (!failure.ok()) co_return failure;
    co_return MemorySpending::Sum(spending.rows, query);
  }
  boost::asio::awaitable<absl::StatusOr<std::vector<HeldLease>>> HeldWithout(
      std::string, std::vector<std::string> lease_ids, TimePoint as_of, int) override {
    held_as_of = as_of;
    co_return spending.HeldWithout(lease_ids);
  }
  boost::asio::awaitable<absl::Status> EndedElsewhere(std::string,
                                                      std::vector<std::string> lease_ids) override {
    for (const auto& id : lease_ids) spending.End(id);
    co_return absl::OkStatus();
  }
  // All, as at a start.
  boost::asio::awaitable<absl::StatusOr<std::vector<Record>>> Adopt(std::string, int,
                                                                    bool) override {
    std::vector<Record> all;
    for (const std::string& id : order) all.push_back(ToRecord(entries.at(id)));
    co_return all;
  }

  Record ToRecord(Entry entry) const {
    Record record;
    const auto state = entry.operation.state();
    const bool is_settled =
        state == v1::OPERATION_STATE_SUCCEEDED || state == v1::OPERATION_STATE_FAILED;
    record.owner = is_settled ? Owner::kNobody : Owner::kUs;
    if (entry.operation.has_settle_time()) {
      const auto left =
          std::chrono::nanoseconds(google::protobuf::util::TimeUtil::TimestampToNanoseconds(
              entry.operation.settle_time())) -
          std::chrono::system_clock::now().time_since_epoch();
      record.quiet_at = now() + std::chrono::duration_cast<TimePoint::duration>(left);
    }
    record.entry = std::move(entry);
    return record;
  }

  std::function<TimePoint()> now = std::chrono::steady_clock::now;  // of the settle times
  std::map<std::string, Entry> entries;
  std::vector<std::string> order;
  MemorySpending spending;
  TimePoint held_as_of = TimePoint::min();
  std::vector<v1::OperationState> states;  // of the updates
  std::vector<Query> queries;              // of the lists
  std::string next;                        // of the lists
  absl::Status failure;                    // of all
  int fail_updates = 0;
  std::function<boost::asio::awaitable<void>()> before_begin;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_MEMORY_JOURNAL_H_
