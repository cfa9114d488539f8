#include "upstream/postgres/connection_pool.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>
#include <utility>

namespace leasegateway::postgres {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

ConnectionPool::ConnectionPool(const asio::any_io_executor& executor,
                               std::shared_ptr<Connector> connector, Serve serve)
    : executor_(executor),
      connector_(std::move(connector)),
      serve_(serve),
      queue_(connector_->options().queue_limit, connector_->options().batch_limit) {}

absl::Status ConnectionPool::Add(std::shared_ptr<Request> request) {
  const auto& options = connector_->options();
  Server begun;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return absl::UnavailableError("the gateway is stopping");
    if (connected_.empty() && !last_try_.ok()) return last_try_;
    if (queue_.full()) return absl::ResourceExhaustedError("too much waits for the database");
    const bool has_to_wait = request->is_shared() && !MayShare();
    queue_.Add(std::move(request));
    if (has_to_wait) return absl::OkStatus();
    const bool may_try = last_try_.ok() || Clock::now() - last_failure_ > options.last_pause;
    if (!idle_.empty()) {
      WakeOne();
    } else if (may_try && servers_.size() < static_cast<std::size_t>(options.connections)) {
      begun = std::make_shared<Wakeup>(asio::make_strand(executor_));
      servers_.insert(begun);
    }
  }
  if (begun) {
    asio::co_spawn(begun->executor(), serve_(shared_from_this(), begun), asio::detached);
  }
  return absl::OkStatus();
}

void ConnectionPool::Remove(const std::shared_ptr<Request>& request) {
  const std::lock_guard lock(mutex_);
  queue_.Remove(request);
}

int ConnectionPool::connections() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(connected_.size());
}

bool ConnectionPool::is_up() const {
  const std::lock_guard lock(mutex_);
  return !connected_.empty() || last_try_.ok();
}

bool ConnectionPool::is_stopped() const {
  const std::lock_guard lock(mutex_);
  return stopped_;
}

void ConnectionPool::Stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  for (const auto& request : queue_.TakeAll()) {
    request->Finish(absl::UnavailableError("the gateway is stopping"));
  }
  for (const auto& server : servers_) Wakeup::Wake(server);
}

void ConnectionPool::Connected(const Server& server) {
  const std::lock_guard lock(mutex_);
  if (!last_try_.ok()) spdlog::info("database: connected to {}", connector_->options().url.where);
  last_try_ = absl::OkStatus();
  connected_.insert(server);
  if (trying_ == server) trying_.reset();
}

bool ConnectionPool::ConnectFailed(const Server& server, const absl::Status& why) {
  const std::lock_guard lock(mutex_);
  if (last_try_.ok()) spdlog::warn("database: {}", std::string(why.message()));
  last_try_ = absl::UnavailableError(why.message());
  last_failure_ = Clock::now();
  if (connected_.empty()) {
    for (const auto& request : queue_.TakeAll()) request->Finish(last_try_);
    if (!trying_) trying_ = server;
  }
  if (!stopped_ && trying_ == server) return true;
  End(server);
  return false;
}

bool ConnectionPool::Lost(const Server& server) {
  const std::lock_guard lock(mutex_);
  connected_.erase(server);
  sharing_.erase(server);
  std::erase(idle_, server);
  if (!queue_.empty() && !idle_.empty()) WakeOne();
  // The last one comes back by itself, so that it is known whether the database is up.
  if (!stopped_ && (connected_.empty() || !queue_.empty())) return true;
  End(server);
  return false;
}

Batch ConnectionPool::Take(const Server& server) {
  const std::lock_guard lock(mutex_);
  std::erase(idle_, server);
  sharing_.erase(server);
  auto batch = queue_.Take(MayShare());
  if (batch.empty()) {
    idle_.push_back(server);
  } else if (batch.front()->is_shared()) {
    sharing_.insert(server);
  }
  if (!queue_.empty() && !idle_.empty() && MayShare()) WakeOne();
  return batch;
}

void ConnectionPool::PutBack(const Batch& batch) {
  const std::lock_guard lock(mutex_);
  queue_.PutBack(batch);
  for (std::size_t i = 0; i < batch.size() && !idle_.empty(); ++i) WakeOne();
}

bool ConnectionPool::MayShare() const {
  return sharing_.size() < std::max<std::size_t>(connector_->options().connections / 2, 1);
}

void ConnectionPool::WakeOne() {
  Wakeup::Wake(std::move(idle_.back()));
  idle_.pop_back();
}

void ConnectionPool::End(const Server& server) {
  if (trying_ == server) trying_.reset();
  servers_.erase(server);
}

}  // namespace leasegateway::postgres
