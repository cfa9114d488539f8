#ifndef LEASE_GATEWAY_TESTS_SUPPORT_FAKE_CALLS_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_FAKE_CALLS_H_

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "upstream/call_environment.h"
#include "upstream/lease_api.h"
#include "upstream/provider/http_error.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

inline constexpr char kNumber[] = "+13059478667";

// A clock that stands still until Advance, and the waits that go by it. One thread.
class FakeTime {
 public:
  using TimePoint = CallEnvironment::TimePoint;
  using Duration = TimePoint::duration;

  TimePoint now() const { return now_; }
  // Lets what waits go on in the order in which it is due, running all that is ready in between.
  void Advance(Duration duration, boost::asio::io_context& io) {
    const TimePoint end = now_ + duration;
    Run(io);
    for (;;) {
      const auto due = std::min_element(due_.begin(), due_.end(),
                                        [](const Due& a, const Due& b) { return a.at < b.at; });
      if (due == due_.end() || due->at > end) break;
      now_ = std::max(now_, due->at);
      const auto wakeup = due->wakeup;
      due_.erase(due);
      Wakeup::Wake(wakeup);
      Run(io);
    }
    now_ = end;
    Run(io);
  }
  // Everything that is ready, and nothing that must be waited for.
  static void Run(boost::asio::io_context& io) {
    io.restart();
    io.poll();
  }
  // The waits that were begun, as durations.
  std::vector<Duration> waits;
  double random = 0.5;

  CallEnvironment environment() {
    CallEnvironment environment;
    environment.now = [this] { return now_; };
    environment.random = [this] { return random; };
    environment.wait = [this](std::shared_ptr<Wakeup> wakeup, TimePoint until) {
      return Wait(this, std::move(wakeup), until);
    };
    return environment;
  }

 private:
  struct Due {
    TimePoint at;
    std::shared_ptr<Wakeup> wakeup;
  };

  // The real timer of `wakeup` is far away, so that only Advance, a wake or a cancellation ends it.
  static boost::asio::awaitable<void> Wait(FakeTime* time, std::shared_ptr<Wakeup> wakeup,
                                           TimePoint until) {
    time->waits.push_back(until - time->now_);
    if (until <= time->now_) co_return;
    time->due_.push_back({until, wakeup});
    auto waiting = wakeup->WaitUntil(std::chrono::steady_clock::now() + std::chrono::hours(24));
    co_await std::move(waiting);
    std::erase_if(time->due_, [&](const Due& due) { return due.wakeup == wakeup; });
  }

  TimePoint now_ = TimePoint() + std::chrono::hours(1);
  std::vector<Due> due_;
};

// What a layer above makes of the provider is decided by `answer`, an operation at a time. Replies
// are empty.
class FakeProvider final : public LeaseApi {
 public:
  struct Script {
    // Called once a call with its number, from 1. Awaits what the call shall wait for.
    std::function<boost::asio::awaitable<absl::Status>(CallContext, int)> answer;
    std::vector<std::string> calls;
  };
  explicit FakeProvider(Script* script) : script_(script) {}

  boost::asio::awaitable<absl::StatusOr<AnyReply>> Call(CallContext context,
                                                        Operation operation) override {
    script_->calls.emplace_back(NameOf(operation));
    auto answering = script_->answer(std::move(context), static_cast<int>(script_->calls.size()));
    const absl::Status status = co_await std::move(answering);
    if (!status.ok()) co_return status;
    co_return Empty(operation);
  }

 private:
  // "GetNumber" for get_number.
  static std::string NameOf(const Operation& operation) {
    std::string name;
    bool upper = true;
    for (const char c : kUpstreamOperationNames[operation.index()]) {
      if (c != '_') name += upper ? static_cast<char>(c - 'a' + 'A') : c;
      upper = c == '_';
    }
    return name;
  }
  static AnyReply Empty(const Operation& operation) {
    return std::visit(
        []<typename Known>(const Known&) { return AnyReply(Reply<typename Known::Value>()); },
        operation);
  }
  Script* const script_;
};

// A call that was started, and how it ended.
struct FakeCall {
  std::optional<absl::Status> status;  // nothing: it has not ended
  boost::asio::cancellation_signal cancellation;
};

template <typename T>
boost::asio::awaitable<void> Await(LeaseApiResult<T> result, FakeCall& call) {
  const auto reply = co_await std::move(result);
  call.status = reply.status();
}

template <typename T>
void StartCall(boost::asio::io_context& io, LeaseApiResult<T> result, FakeCall& call) {
  boost::asio::co_spawn(
      boost::asio::make_strand(io), Await(std::move(result), call),
      boost::asio::bind_cancellation_slot(call.cancellation.slot(), boost::asio::detached));
  FakeTime::Run(io);
}

// Errors as the layers below make them.
inline absl::Status Unreachable() {
  return FromTransport("GET /x", "refused", reason::kUpstreamUnreachable, RequestState::kNotSent,
                       false);
}
inline absl::Status FromBody(int status, bool is_write, const std::string& body,
                             const std::string& retry_after) {
  HttpFailure failure;
  failure.status = status;
  failure.body = body;
  failure.retry_after = retry_after;
  failure.is_write = is_write;
  failure.operation = "GET /x";
  return FromHttp(failure, std::chrono::system_clock::now());
}
inline absl::Status Http(int status, bool is_write, const std::string& retry_after = "") {
  return FromBody(status, is_write,
                  "{\"message\":\"no\",\"status\":" + std::to_string(status) + "}", retry_after);
}
// Of something between the gateway and the provider.
inline absl::Status MiddlemansHttp(int status, bool is_write, const std::string& retry_after = "") {
  return FromBody(status, is_write, "<html>no</html>", retry_after);
}
inline absl::Status LostAnswer(bool is_write) {
  return FromTransport("POST /x", "reset", reason::kUpstreamUnreachable, RequestState::kSent,
                       is_write);
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_FAKE_CALLS_H_
