#include "upstream/leasing/journal/sqlite/sqlite_journal.h"

#include <boost/asio/this_coro.hpp>
#include <memory>
#include <set>
#include <utility>

#include "upstream/leasing/journal/journal_words.h"
#include "upstream/leasing/journal/sqlite/journal_queue.h"
#include "upstream/leasing/journal/sqlite/journal_thread.h"
#include "upstream/wakeup.h"

namespace leasegateway {

namespace asio = boost::asio;
using Entry = OperationJournal::Entry;
using Begun = OperationJournal::Begun;
using Claimed = OperationJournal::Claimed;
using Page = OperationJournal::Page;
using Record = OperationJournal::Record;
using Updated = OperationJournal::Updated;

namespace {

Record ToRecord(Entry entry) {
  Record record;
  const bool is_settled = IsSettled(entry.operation.state());
  record.owner = is_settled ? OperationJournal::Owner::kNobody : OperationJournal::Owner::kUs;
  record.entry = std::move(entry);
  return record;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteJournal>> SqliteJournal::Open(Options options) {
  if (options.path.empty() || options.retention < std::chrono::hours(24) ||
      options.prune_interval <= std::chrono::milliseconds(0) ||
      options.recheck_interval <= std::chrono::milliseconds(0)) {
    return absl::InvalidArgumentError(
        "the operation journal needs a path, a retention of 24 h or more and intervals above 0");
  }
  auto queue = std::make_shared<JournalQueue>(options.max_queued);
  auto thread = std::make_unique<JournalThread>(std::move(options), queue);
  if (auto status = thread->Open(); !status.ok()) return status;
  return std::unique_ptr<SqliteJournal>(new SqliteJournal(std::move(queue), std::move(thread)));
}

SqliteJournal::SqliteJournal(std::shared_ptr<JournalQueue> queue,
                             std::unique_ptr<JournalThread> thread)
    : queue_(std::move(queue)), thread_(std::move(thread)) {
  thread_->Start();
}

SqliteJournal::~SqliteJournal() = default;

SqliteJournal::Stats SqliteJournal::stats() const { return queue_->stats(); }

asio::awaitable<absl::StatusOr<Begun>> SqliteJournal::Begin(Entry entry, bool claim) {
  co_await asio::this_coro::throw_if_cancelled(false);
  OperationWrite write;
  write.entry = std::move(entry);
  auto writing = JournalQueue::Await(queue_, std::move(write));
  auto written = co_await std::move(writing);
  if (!written.ok()) co_return written.status();
  Begun begun;
  begun.record = ToRecord(std::move(written->entry));
  begun.existed = written->existed;
  begun.claimed = claim && !written->existed;
  co_return begun;
}

asio::awaitable<absl::StatusOr<Record>> SqliteJournal::TakeOver(std::string account,
                                                                std::string request_id,
                                                                std::int64_t /*revision*/) {
  return JournalQueue::AskToTheEnd<Record>(
      queue_,
      [account = std::move(account),
       request_id = std::move(request_id)](JournalThread& thread) -> absl::StatusOr<Record> {
        auto found = thread.table().Find(account, request_id);
        if (!found.ok()) return found.status();
        if (!*found) return NoSuchOperation();
        thread.table().NoteTaken(account, request_id);
        Record record = ToRecord(**std::move(found));
        record.owner = Owner::kUs;
        return record;
      });
}

asio::awaitable<absl::StatusOr<std::vector<Record>>> SqliteJournal::Adopt(std::string account,
                                                                          int limit, bool /*own*/) {
  return JournalQueue::AskToTheEnd<std::vector<Record>>(
      queue_, [account = std::move(account), limit](JournalThread& thread) {
        return thread.table().Adopt(account, limit);
      });
}

asio::awaitable<absl::StatusOr<Updated>> SqliteJournal::Update(Change change) {
  co_await asio::this_coro::throw_if_cancelled(false);
  OperationWrite write;
  write.is_update = true;
  write.entry.operation = std::move(change.operation);
  write.may_send = change.may_send_for > change.may_send_for.zero();
  write.spending = std::move(change.spending);
  auto writing = JournalQueue::Await(queue_, std::move(write));
  const auto written = co_await std::move(writing);
  if (!written.ok()) co_return written.status();
  co_return Updated();
}

asio::awaitable<absl::StatusOr<Claimed>> SqliteJournal::Claim(std::string, std::string,
                                                              std::int64_t, std::string) {
  Claimed claimed;
  claimed.granted = true;
  co_return claimed;
}

asio::awaitable<absl::StatusOr<std::optional<Record>>> SqliteJournal::Find(std::string account,
                                                                           std::string request_id) {
  return JournalQueue::Ask<std::optional<Record>>(
      queue_,
      [account = std::move(account), request_id = std::move(request_id)](
          JournalThread& thread) -> absl::StatusOr<std::optional<Record>> {
        auto found = thread.table().Find(account, request_id);
        if (!found.ok()) return found.status();
        if (!*found) return std::nullopt;
        return ToRecord(**std::move(found));
      });
}

asio::awaitable<void> SqliteJournal::AwaitChange(std::string, std::string, TimePoint until) {
  co_await asio::this_coro::throw_if_cancelled(false);
  Wakeup wakeup(co_await asio::this_coro::executor);
  co_await wakeup.WaitUntil(until);
}

asio::awaitable<absl::StatusOr<Page>> SqliteJournal::List(Query query) {
  return JournalQueue::Ask<Page>(queue_, [query = std::move(query)](JournalThread& thread) {
    return thread.table().List(query);
  });
}

asio::awaitable<absl::StatusOr<SpendingCounts>> SqliteJournal::Spent(SpendingQuery query) {
  return JournalQueue::Ask<SpendingCounts>(
      queue_,
      [query = std::move(query)](JournalThread& thread) { return thread.spending().Spent(query); });
}

asio::awaitable<absl::StatusOr<std::vector<HeldLease>>> SqliteJournal::HeldWithout(
    std::string account, std::vector<std::string> lease_ids, TimePoint as_of, int limit) {
  const auto age = TimePoint::clock::now() - as_of;
  return JournalQueue::Ask<std::vector<HeldLease>>(
      queue_, [account = std::move(account),
               ids = std::set<std::string>(lease_ids.begin(), lease_ids.end()), age,
               limit](JournalThread& thread) {
        return thread.spending().HeldWithout(account, ids, thread.now() - age, limit);
      });
}

asio::awaitable<absl::Status> SqliteJournal::EndedElsewhere(std::string account,
                                                            std::vector<std::string> lease_ids) {
  auto asking = JournalQueue::AskToTheEnd<bool>(
      queue_,
      [account = std::move(account),
       lease_ids = std::move(lease_ids)](JournalThread& thread) -> absl::StatusOr<bool> {
        auto status = thread.EndLeases(account, lease_ids);
        if (!status.ok()) return status;
        return true;
      });
  const auto ended = co_await std::move(asking);
  co_return ended.status();
}

asio::awaitable<absl::StatusOr<std::int64_t>> SqliteJournal::Prune() {
  return JournalQueue::Ask<std::int64_t>(queue_,
                                         [](JournalThread& thread) { return thread.PruneAll(); });
}

}  // namespace leasegateway
