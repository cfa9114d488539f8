#include "upstream/leasing/journal/sqlite/journal_queue.h"

#include "absl/strings/str_cat.h"

namespace leasegateway {

namespace asio = boost::asio;

namespace {

template <typename T>
void TakeSome(std::deque<T>& from, std::vector<T>& to, std::size_t most) {
  while (!from.empty() && to.size() < most) {
    to.push_back(std::move(from.front()));
    from.pop_front();
  }
}

}  // namespace

JournalQueue::JournalQueue(std::size_t max_queued) : max_queued_(max_queued) {}

// --- callers ------------------------------------------------------------------------------------

asio::awaitable<absl::StatusOr<OperationWrite>> JournalQueue::Await(
    std::shared_ptr<JournalQueue> queue, OperationWrite write) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto job = std::make_shared<Write>();
  static_cast<OperationWrite&>(*job) = std::move(write);
  job->wakeup = std::make_shared<Wakeup>(co_await asio::this_coro::executor);
  const auto waiter = job->wakeup;
  if (auto status = queue->Add(job); !status.ok()) co_return status;
  co_await waiter->Wait();
  if (!job->status.ok()) co_return job->status;
  co_return std::move(static_cast<OperationWrite&>(*job));
}

absl::Status JournalQueue::Add(const std::shared_ptr<Write>& write) {
  {
    const std::lock_guard lock(mutex_);
    // Reads are no reason to refuse a purchase.
    if (!write->is_update && writes_.size() >= max_queued_) return Overloaded();
    writes_.push_back(write);
  }
  wake_.notify_one();
  return absl::OkStatus();
}

absl::Status JournalQueue::Add(const std::shared_ptr<Read>& read) {
  {
    const std::lock_guard lock(mutex_);
    if (reads_.size() >= max_queued_) return Overloaded();
    reads_.push_back(read);
  }
  wake_.notify_one();
  return absl::OkStatus();
}

void JournalQueue::Remove(const std::shared_ptr<Read>& read) {
  const std::lock_guard lock(mutex_);
  std::erase(reads_, read);
}

absl::Status JournalQueue::Overloaded() const {
  auto status =
      MakeError(absl::StatusCode::kResourceExhausted, reason::kOverloaded,
                absl::StrCat(max_queued_, " calls wait for the operation journal already"));
  SetRetryDelay(status, std::chrono::milliseconds(500));
  return status;
}

SqliteJournalStats JournalQueue::stats() const {
  const std::lock_guard lock(mutex_);
  SqliteJournalStats stats = stats_;
  stats.queued = writes_.size() + reads_.size();
  return stats;
}

void JournalQueue::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
}

// --- the thread ---------------------------------------------------------------------------------

JournalQueue::Batch JournalQueue::Take(std::chrono::steady_clock::time_point until,
                                       std::size_t max_writes, std::size_t max_reads) {
  Batch batch;
  std::unique_lock lock(mutex_);
  wake_.wait_until(lock, until, [&] { return stopping_ || !writes_.empty() || !reads_.empty(); });
  batch.stopping = stopping_;
  TakeSome(writes_, batch.writes, max_writes);
  TakeSome(reads_, batch.reads, max_reads);
  return batch;
}

void JournalQueue::Finish(Job& job) {
  job.done = true;
  Wakeup::Wake(std::move(job.wakeup));
}

void JournalQueue::Publish(const SqliteJournalStats& stats) {
  const std::lock_guard lock(mutex_);
  stats_ = stats;
}

}  // namespace leasegateway
