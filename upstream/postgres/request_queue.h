#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_REQUEST_QUEUE_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_REQUEST_QUEUE_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/postgres/database.h"
#include "upstream/wakeup.h"

namespace leasegateway::postgres {

// A transaction that a caller waits for. Thread-safe: the caller is on one strand, the connection
// that runs it on another.
class Request {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Result = absl::StatusOr<std::vector<Rows>>;

  Request(std::vector<Query> queries, TimePoint deadline, bool is_shared,
          std::shared_ptr<Wakeup> waiter)
      : queries_(std::move(queries)),
        deadline_(deadline),
        is_shared_(is_shared),
        waiter_(std::move(waiter)) {}

  const std::vector<Query>& queries() const { return queries_; }
  TimePoint deadline() const { return deadline_; }
  // Whether it may be committed with others.
  bool is_shared() const { return is_shared_; }
  void ForbidSharing() { is_shared_ = false; }  // by who took it, before it is put back

  // The connection is about to send it; false: its caller has gone.
  bool Begin();
  // Nothing of it was done, it may be begun again.
  void Undo();
  // The first is the answer; nobody hears a later one.
  void Finish(Result result);
  // The caller's: returns at the answer or at the deadline, when it is UNAVAILABLE or, once begun,
  // UNKNOWN.
  boost::asio::awaitable<Result> Await();

 private:
  const std::vector<Query> queries_;
  const TimePoint deadline_;
  bool is_shared_;
  const std::shared_ptr<Wakeup> waiter_;

  std::mutex mutex_;  // guards all below
  bool begun_ = false;
  bool left_ = false;
  std::optional<Result> result_;
};

using Batch = std::vector<std::shared_ptr<Request>>;

// What waits for a connection, oldest first. Not thread-safe: the pool's mutex guards it.
class RequestQueue {
 public:
  RequestQueue(std::size_t limit, std::size_t batch_limit)
      : limit_(limit), batch_limit_(batch_limit) {}

  bool empty() const { return requests_.empty(); }
  bool full() const { return requests_.size() >= limit_; }
  void Add(std::shared_ptr<Request> request) { requests_.push_back(std::move(request)); }
  // Again, before all others.
  void PutBack(const Batch& batch) {
    requests_.insert(requests_.begin(), batch.begin(), batch.end());
  }
  // The oldest, and when it may share its transaction, others that may, up to the limit. Without
  // `shared`, the oldest that may not. Empty: none.
  Batch Take(bool shared);
  Batch TakeAll();
  // Its caller has gone.
  void Remove(const std::shared_ptr<Request>& request);

 private:
  const std::size_t limit_;
  const std::size_t batch_limit_;
  std::deque<std::shared_ptr<Request>> requests_;
};

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_REQUEST_QUEUE_H_
