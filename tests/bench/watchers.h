#ifndef LEASE_GATEWAY_TESTS_BENCH_WATCHERS_H_
#define LEASE_GATEWAY_TESTS_BENCH_WATCHERS_H_

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "tests/bench/calls.h"

namespace leasegateway::bench {

// Many watchers, and when they had all got a change of a number. Thread-safe.
class Watchers {
 public:
  // On at most 16 connections, which are dealt out to the targets, as they are to the watchers.
  Watchers(const std::vector<std::string>& targets, int count, const std::string& ca_file = "") {
    std::vector<std::shared_ptr<grpc::Channel>> channels;
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      if (i < 16) channels.push_back(Connect(targets[i % targets.size()], ca_file));
      stubs_.push_back(v1::LeaseService::NewStub(channels[i % channels.size()]));
      watchers_.push_back(std::make_unique<Watcher>(this));
    }
    for (std::size_t i = 0; i < watchers_.size(); ++i) watchers_[i]->Begin(stubs_[i].get());
  }
  ~Watchers() {
    for (auto& watcher : watchers_) watcher->context.TryCancel();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ == watchers_.size(); });
  }

  // Until all have the whole list, of `total` numbers; -1: of any.
  void AwaitState(int total) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(60),
                           [&] { return failed_ || with_state_ == watchers_.size(); }) ||
        failed_) {
      Fail(std::to_string(with_state_) + " of " + std::to_string(watchers_.size()) +
           " watchers have the state; " + why_);
    }
    for (const auto& watcher : watchers_) {
      if (total >= 0 && watcher->numbers != total) {
        Fail("a watcher has " + std::to_string(watcher->numbers) + " numbers");
      }
    }
  }

  // The change that is waited for next; called before it is made.
  void Expect(const std::string& number) {
    const std::lock_guard lock(mutex_);
    expected_ = number;
    got_ = 0;
    for (auto& watcher : watchers_) watcher->got = false;
  }

  // Until all were told, within 30 s, and when the first and the last one was.
  void AwaitChange(Clock::time_point* first, Clock::time_point* last) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(30),
                           [&] { return failed_ || got_ == watchers_.size(); }) ||
        failed_) {
      Fail(std::to_string(got_) + " of " + std::to_string(watchers_.size()) +
           " watchers were told of " + expected_ + "; " + why_);
    }
    *first = first_;
    *last = last_;
  }

 private:
  struct Watcher final : grpc::ClientReadReactor<v1::WatchAvailabilityResponse> {
    explicit Watcher(Watchers* owner) : all(owner) {}
    void Begin(v1::LeaseService::Stub* stub) {
      stub->async()->WatchAvailability(&context, &request, this);
      StartRead(&message);
      StartCall();
    }
    void OnReadDone(bool ok) override {
      if (!ok) return;
      all->Take(this);
      StartRead(&message);
    }
    void OnDone(const grpc::Status& status) override { all->End(status); }

    Watchers* const all;
    grpc::ClientContext context;
    v1::WatchAvailabilityRequest request;
    v1::WatchAvailabilityResponse message;
    int numbers = 0;
    bool has_state = false;
    bool got = false;
  };

  void Take(Watcher* watcher) {
    const auto now = Clock::now();
    const v1::WatchAvailabilityResponse& message = watcher->message;
    const std::lock_guard lock(mutex_);
    if (message.reset()) watcher->numbers = 0;
    watcher->numbers += message.added_size() - message.removed_size();
    if (!watcher->has_state) {
      if (message.resume_token().empty()) return;
      watcher->has_state = true;
      if (++with_state_ == watchers_.size()) changed_.notify_all();
      return;
    }
    if (watcher->got || !IsOfExpected(message)) return;
    watcher->got = true;
    if (++got_ == 1) first_ = now;
    last_ = now;
    if (got_ == watchers_.size()) changed_.notify_all();
  }

  // It has changed or is gone. Call with `mutex_` held.
  bool IsOfExpected(const v1::WatchAvailabilityResponse& message) const {
    return std::any_of(
               message.changed().begin(), message.changed().end(),
               [this](const v1::Number& number) { return number.phone_number() == expected_; }) ||
           std::find(message.removed().begin(), message.removed().end(), expected_) !=
               message.removed().end();
  }

  void End(const grpc::Status& status) {
    const std::lock_guard lock(mutex_);
    ++ended_;
    if (status.error_code() != grpc::StatusCode::CANCELLED) {
      failed_ = true;
      why_ = "one ended: " + status.error_message();
    }
    changed_.notify_all();
  }

  std::vector<std::unique_ptr<v1::LeaseService::Stub>> stubs_;
  std::vector<std::unique_ptr<Watcher>> watchers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t with_state_ = 0;
  std::size_t got_ = 0;
  std::size_t ended_ = 0;
  bool failed_ = false;
  std::string why_;
  std::string expected_;
  Clock::time_point first_;
  Clock::time_point last_;
};

}  // namespace leasegateway::bench

#endif  // LEASE_GATEWAY_TESTS_BENCH_WATCHERS_H_
