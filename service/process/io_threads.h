#ifndef LEASE_GATEWAY_SERVICE_PROCESS_IO_THREADS_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_IO_THREADS_H_

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

namespace leasegateway {

// An io_context and the threads that run it. What is posted before Start waits. All functions but
// executor() are called by one thread.
class IoThreads {
 public:
  using Executor = boost::asio::io_context::executor_type;

  ~IoThreads() { Join(); }

  Executor executor() { return io_.get_executor(); }

  // `work` blocks, and waits for what it posts: until Start and after Join a thread of this call's
  // runs it. What that leaves is still there afterwards.
  void RunDuring(const std::function<void()>& work) {
    if (!threads_.empty()) return work();
    auto busy = boost::asio::make_work_guard(io_);
    std::thread thread([this] { io_.run(); });
    work();
    io_.stop();
    thread.join();
    busy.reset();  // with nothing left to do it stops the context once more
    io_.restart();
  }

  // Called once.
  void Start(int threads) {
    work_.emplace(executor());
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this] { io_.run(); });
    }
  }

  // Returns when all that is under way has ended.
  void Join() {
    work_.reset();
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  boost::asio::io_context io_;
  std::optional<boost::asio::executor_work_guard<Executor>> work_;
  std::vector<std::thread> threads_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_IO_THREADS_H_
