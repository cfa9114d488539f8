#include "upstream/leasing/journal/sqlite/sqlite_journal.h"

#include <boost/asio/this_coro.hpp>
#include <utility>

#include "upstream/leasing/journal/sqlite/journal_queue.h"
#include "upstream/leasing/journal/sqlite/journal_thread.h"

namespace leasegateway {

namespace asio = boost::asio;
using Entry = OperationJournal::Entry;
using Begun = OperationJournal::Begun;
using Page = OperationJournal::Page;
using SystemTime = std::chrono::system_clock::time_point;

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

asio::awaitable<absl::StatusOr<Begun>> SqliteJournal::Begin(Entry entry) {
  co_await asio::this_coro::throw_if_cancelled(false);
  OperationWrite write;
  write.entry = std::move(entry);
  auto writing = JournalQueue::Await(queue_, std::move(write));
  auto written = co_await std::move(writing);
  if (!written.ok()) co_return written.status();
  co_return Begun{std::move(written->entry), written->existed};
}

asio::awaitable<absl::Status> SqliteJournal::Update(v1::Operation operation) {
  co_await asio::this_coro::throw_if_cancelled(false);
  OperationWrite write;
  write.is_update = true;
  write.entry.operation = std::move(operation);
  auto writing = JournalQueue::Await(queue_, std::move(write));
  const auto written = co_await std::move(writing);
  co_return written.status();
}

asio::awaitable<absl::StatusOr<std::optional<Entry>>> SqliteJournal::Find(std::string account,
                                                                          std::string request_id) {
  return JournalQueue::Ask<std::optional<Entry>>(
      queue_, [account = std::move(account), request_id = std::move(request_id)](
                  JournalThread& thread) { return thread.table().Find(account, request_id); });
}

asio::awaitable<absl::StatusOr<Page>> SqliteJournal::List(Query query) {
  return JournalQueue::Ask<Page>(queue_, [query = std::move(query)](JournalThread& thread) {
    return thread.table().List(query);
  });
}

asio::awaitable<absl::StatusOr<std::vector<Entry>>> SqliteJournal::Unresolved(
    SystemTime changed_since) {
  return JournalQueue::Ask<std::vector<Entry>>(queue_, [changed_since](JournalThread& thread) {
    return thread.table().Unresolved(changed_since);
  });
}

asio::awaitable<absl::StatusOr<std::int64_t>> SqliteJournal::Prune() {
  return JournalQueue::Ask<std::int64_t>(queue_,
                                         [](JournalThread& thread) { return thread.PruneAll(); });
}

}  // namespace leasegateway
