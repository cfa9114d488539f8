#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_JOURNAL_QUEUE_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_JOURNAL_QUEUE_H_

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/leasing/journal/sqlite/operation_table.h"
#include "upstream/leasing/journal/sqlite/sqlite_journal_options.h"
#include "upstream/upstream_error.h"
#include "upstream/wakeup.h"

namespace leasegateway {

class JournalThread;

// What callers and the journal's thread have in common: callers add jobs and wait on their strands,
// the thread takes them, does them and wakes the callers. Thread-safe.
class JournalQueue {
 public:
  // Filled in by the thread before `done`, read by the caller after it.
  struct Job {
    std::shared_ptr<Wakeup> wakeup;  // the thread's, once it is queued
    std::atomic<bool> done{false};
  };
  struct Write : Job, OperationWrite {};
  struct Read : Job {
    virtual ~Read() = default;
    virtual void Run(JournalThread& thread) = 0;
  };
  // What the thread has to do next, in the order in which it came.
  struct Batch {
    std::vector<std::shared_ptr<Write>> writes;
    std::vector<std::shared_ptr<Read>> reads;
    bool stopping = false;
  };

  explicit JournalQueue(std::size_t max_queued);

  // --- callers

  // Has a write done, and returns it. A cancellation ends neither it nor the wait. Fails with its
  // status; OVERLOADED for a Begin when there are too many writes already.
  static boost::asio::awaitable<absl::StatusOr<OperationWrite>> Await(
      std::shared_ptr<JournalQueue> queue, OperationWrite write);
  // Asks a function of the thread's, which is run then, whether the caller still waits or not.
  // OVERLOADED when there are too many reads already.
  template <typename Result>
  static boost::asio::awaitable<absl::StatusOr<Result>> AskToTheEnd(
      std::shared_ptr<JournalQueue> queue,
      std::function<absl::StatusOr<Result>(JournalThread&)> call) {
    co_await boost::asio::this_coro::throw_if_cancelled(false);
    const auto read = std::make_shared<ReadOf<Result>>(std::move(call));
    read->wakeup = std::make_shared<Wakeup>(co_await boost::asio::this_coro::executor);
    const auto waiter = read->wakeup;
    if (auto status = queue->Add(std::shared_ptr<Read>(read)); !status.ok()) co_return status;
    co_await waiter->Wait();
    co_return std::move(read->result);
  }
  // The same for what only reads: CANCELLED as well.
  template <typename Result>
  static boost::asio::awaitable<absl::StatusOr<Result>> Ask(
      std::shared_ptr<JournalQueue> queue,
      std::function<absl::StatusOr<Result>(JournalThread&)> call) {
    co_await boost::asio::this_coro::throw_if_cancelled(false);
    const auto read = std::make_shared<ReadOf<Result>>(std::move(call));
    read->wakeup = std::make_shared<Wakeup>(co_await boost::asio::this_coro::executor);
    const auto waiter = read->wakeup;
    if (auto status = queue->Add(std::shared_ptr<Read>(read)); !status.ok()) co_return status;
    co_await waiter->WaitUntil(std::chrono::steady_clock::time_point::max());
    if (!read->done) {
      queue->Remove(read);
      co_return CancelledError("reading the operation journal");
    }
    co_return std::move(read->result);
  }
  // As the thread published them, with what is queued now.
  SqliteJournalStats stats() const;
  // The thread does what is queued, and ends.
  void Stop();

  // --- the thread

  // Waits for jobs, until then at most.
  Batch Take(std::chrono::steady_clock::time_point until, std::size_t max_writes,
             std::size_t max_reads);
  static void Finish(Job& job);
  void Publish(const SqliteJournalStats& stats);

 private:
  template <typename Result>
  struct ReadOf final : Read {
    explicit ReadOf(std::function<absl::StatusOr<Result>(JournalThread&)> call)
        : ask(std::move(call)) {}
    void Run(JournalThread& thread) override { result = ask(thread); }
    const std::function<absl::StatusOr<Result>(JournalThread&)> ask;
    absl::StatusOr<Result> result = absl::UnknownError("not run");
  };

  absl::Status Add(const std::shared_ptr<Write>& write);
  absl::Status Add(const std::shared_ptr<Read>& read);
  void Remove(const std::shared_ptr<Read>& read);
  absl::Status Overloaded() const;

  const std::size_t max_queued_;
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable wake_;
  bool stopping_ = false;
  std::deque<std::shared_ptr<Write>> writes_;
  std::deque<std::shared_ptr<Read>> reads_;
  SqliteJournalStats stats_;  // but for `queued`
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_JOURNAL_QUEUE_H_
