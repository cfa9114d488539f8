#include "upstream/postgres/listener.h"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "upstream/postgres/backoff.h"

namespace leasegateway::postgres {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr Statement kAreYouThere{"are_you_there", "SELECT 1"};

}  // namespace

// The callbacks, until they are not to be called any more.
class Listener::Calls {
 public:
  explicit Calls(ListenerOptions options)
      : options_(std::move(options)),
        listen_sql_(absl::StrCat("LISTEN \"",
                                 absl::StrReplaceAll(options_.channel, {{"\"", "\"\""}}), "\"")),
        listen_{"listen", listen_sql_.c_str()} {}

  void Heard(const std::string& payload) {
    const std::lock_guard lock(mutex_);
    if (!stopped_) options_.heard(payload);
  }
  void Connected() {
    const std::lock_guard lock(mutex_);
    connected_ = true;
    if (!stopped_) options_.connected();
  }
  void Lost() {
    const std::lock_guard lock(mutex_);
    connected_ = false;
  }
  void Stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  bool is_stopped() const {
    const std::lock_guard lock(mutex_);
    return stopped_;
  }
  bool is_connected() const {
    const std::lock_guard lock(mutex_);
    return connected_;
  }

  const ListenerOptions& options() const { return options_; }
  const Statement& listen() const { return listen_; }

 private:
  const ListenerOptions options_;
  const std::string listen_sql_;
  const Statement listen_;
  mutable std::recursive_mutex mutex_;  // guards all below; a callback may stop
  bool connected_ = false;
  bool stopped_ = false;
};

Listener::Listener(const asio::any_io_executor& executor, std::shared_ptr<Connector> connector,
                   ListenerOptions options)
    : calls_(std::make_shared<Calls>(std::move(options))),
      wakeup_(std::make_shared<Wakeup>(asio::make_strand(executor))) {
  asio::co_spawn(wakeup_->executor(), Listen(std::move(connector), calls_, wakeup_),
                 asio::detached);
}

Listener::~Listener() { Stop(); }

void Listener::Stop() {
  calls_->Stop();
  Wakeup::Wake(wakeup_);
}

bool Listener::is_connected() const { return calls_->is_connected(); }

asio::awaitable<void> Listener::Listen(std::shared_ptr<Connector> connector,
                                       std::shared_ptr<Calls> calls,
                                       std::shared_ptr<Wakeup> wakeup) {
  const auto& options = connector->options();
  Backoff backoff(options.first_pause, options.last_pause);
  bool told = false;  // the log has it that there is no connection
  while (!calls->is_stopped()) {
    auto connecting = connector->Connect(wakeup);
    auto connection = co_await std::move(connecting);
    if (connection.ok()) {
      auto listening = ListenOn(**connection, calls);
      if (co_await std::move(listening)) {
        backoff.Reset();
        told = false;
      }
      calls->Lost();
      connection->reset();
    } else if (!std::exchange(told, true)) {
      spdlog::warn("database, listening: {}", std::string(connection.status().message()));
    }
    const auto end = Clock::now() + backoff.Next();
    while (Clock::now() < end && !calls->is_stopped()) {
      auto waiting = wakeup->WaitUntil(end);
      co_await std::move(waiting);
    }
  }
}

// Until the connection is lost; true: it listened.
asio::awaitable<bool> Listener::ListenOn(Connection& connection, std::shared_ptr<Calls> calls) {
  const auto& options = calls->options();
  std::vector<Query> listen(1);
  listen.front().statement = &calls->listen();
  auto beginning = connection.Run(std::move(listen), Clock::now() + options.check_limit);
  const auto begun = co_await std::move(beginning);
  if (begun.fate != Fate::kCommitted) {
    spdlog::warn("database, listening: {}", Describe(begun.error));
    co_return false;
  }
  calls->Connected();
  auto next_check = Clock::now() + options.check_interval;
  while (connection.usable() && !calls->is_stopped()) {
    std::string payload;
    while (connection.TakeNotification(payload)) calls->Heard(payload);
    if (Clock::now() < next_check) {
      auto waiting = connection.WaitForMore(next_check);
      co_await std::move(waiting);
      continue;
    }
    std::vector<Query> check(1);
    check.front().statement = &kAreYouThere;
    auto checking = connection.Run(std::move(check), Clock::now() + options.check_limit);
    co_await std::move(checking);
    next_check = Clock::now() + options.check_interval;
  }
  co_return true;
}

}  // namespace leasegateway::postgres
