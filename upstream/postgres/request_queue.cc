#include "upstream/postgres/request_queue.h"

#include <algorithm>
#include <utility>

namespace leasegateway::postgres {

namespace asio = boost::asio;

bool Request::Begin() {
  const std::lock_guard lock(mutex_);
  begun_ = !left_;
  return begun_;
}

void Request::Undo() {
  const std::lock_guard lock(mutex_);
  begun_ = false;
}

void Request::Finish(Result result) {
  const std::lock_guard lock(mutex_);
  if (left_ || result_) return;
  result_ = std::move(result);
  Wakeup::Wake(waiter_);
}

asio::awaitable<Request::Result> Request::Await() {
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (result_) co_return *std::move(result_);
      if (std::chrono::steady_clock::now() >= deadline_) {
        left_ = true;
        if (begun_) co_return absl::UnknownError("the database did not answer in time");
        co_return absl::UnavailableError("the database has no connection free in time");
      }
    }
    auto waiting = waiter_->WaitUntil(deadline_);
    co_await std::move(waiting);
  }
}

Batch RequestQueue::Take(bool shared) {
  Batch batch;
  const auto first = std::find_if(requests_.begin(), requests_.end(), [&](const auto& request) {
    return shared || !request->is_shared();
  });
  if (first == requests_.end()) return batch;
  batch.push_back(std::move(*first));
  requests_.erase(first);
  if (!batch.front()->is_shared()) return batch;
  auto kept = requests_.begin();
  auto at = requests_.begin();
  for (; at != requests_.end() && batch.size() < batch_limit_; ++at) {
    if ((*at)->is_shared()) {
      batch.push_back(std::move(*at));
    } else {
      *kept++ = std::move(*at);
    }
  }
  requests_.erase(kept, at);
  return batch;
}

Batch RequestQueue::TakeAll() {
  Batch all(requests_.begin(), requests_.end());
  requests_.clear();
  return all;
}

void RequestQueue::Remove(const std::shared_ptr<Request>& request) {
  std::erase(requests_, request);
}

}  // namespace leasegateway::postgres
