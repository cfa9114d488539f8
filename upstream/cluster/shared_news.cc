#include "upstream/cluster/shared_news.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <string_view>
#include <utility>

#include "upstream/cluster/news_board.h"
#include "upstream/cluster/news_text.h"
#include "upstream/wakeup.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kMaxTopic = 200;
// What this replica tells itself, and how long that may take.
constexpr char kEchoTopic[] = "!echo";
constexpr auto kEchoLimit = std::chrono::seconds(10);

// '!' begins the topics that are news of the news.
bool IsTopic(std::string_view topic) {
  return !topic.empty() && topic.size() <= kMaxTopic && topic.front() != '!' &&
         std::all_of(topic.begin(), topic.end(),
                     [](char c) { return c > ' ' && c < '\x7f' && c != '='; });
}

}  // namespace

struct SharedNews::State {
  State(const asio::any_io_executor& executor, std::shared_ptr<postgres::Database> database,
        const NewsTeller::Options& options, const CallEnvironment& call_environment)
      : strand(asio::make_strand(executor)),
        environment(call_environment),
        teller(strand, std::move(database), options, call_environment) {}

  void Gap() {
    ++gaps;
    board.Gap();
  }
  void Read(std::string_view payload) {
    ReadPayload(payload, [this](std::string_view topic, std::int64_t number) {
      if (closed) return;
      ++heard;
      deaf = false;
      if (topic == NewsTeller::kGapTopic) {
        Gap();
      } else {
        board.Heard(topic, number);
      }
    });
  }

  // On the strand. Whether what is told from now on is heard.
  static asio::awaitable<void> ListenForEcho(std::shared_ptr<State> state);
  void StopListening() {
    if (echo) Wakeup::Wake(echo);
  }

  const asio::any_io_executor strand;
  const CallEnvironment environment;
  std::atomic<bool> closed{false};
  std::atomic<bool> deaf{false};
  std::atomic<std::uint64_t> heard{0};
  std::atomic<std::uint64_t> gaps{0};
  NewsBoard board;
  // On the strand.
  NewsTeller teller;
  std::shared_ptr<Wakeup> echo;  // of ListenForEcho, while it waits
  bool listened_again = false;   // meanwhile
};

asio::awaitable<void> SharedNews::State::ListenForEcho(std::shared_ptr<State> state) {
  state->listened_again = true;
  if (state->echo) co_return;
  while (std::exchange(state->listened_again, false)) {
    const auto told = state->teller.stats().told;
    const std::uint64_t heard = state->heard;
    const auto limit = state->environment.now() + kEchoLimit;
    state->teller.Tell(kEchoTopic, 0);
    state->echo = std::make_shared<Wakeup>(state->strand);
    auto waiting = state->environment.wait(state->echo, limit);
    co_await std::move(waiting);
    state->echo.reset();
    if (state->environment.now() < limit) co_return;  // the end
    // Behind a connection that was made anew the old one's loss may be the reason.
    const bool may_judge = !state->listened_again && state->teller.stats().told != told;
    if (!may_judge || state->heard != heard) continue;
    state->deaf = true;
    spdlog::warn(
        "news from other replicas does not get here: a pooler in transaction mode passes nothing "
        "on; name the server itself in database_listen_url");
  }
}

SharedNews::SharedNews(const asio::any_io_executor& executor,
                       std::shared_ptr<postgres::Database> database,
                       const NewsTeller::Options& options, const CallEnvironment& environment)
    : state_(std::make_shared<State>(executor, std::move(database), options, environment)) {}

SharedNews::~SharedNews() {
  state_->closed = true;
  asio::post(state_->strand, [state = state_] { state->StopListening(); });
}

void SharedNews::Tell(std::string topic, std::int64_t number) {
  if (!IsTopic(topic)) {
    spdlog::error("news of \"{}\" can't be told: it is no topic", topic);
    return;
  }
  // The caller may hold a lock that a callback takes.
  asio::post(state_->strand, [state = state_, topic = std::move(topic), number]() mutable {
    if (state->closed) return;
    state->board.Heard(topic, number);
    state->teller.Tell(std::move(topic), number);
  });
}

News::Subscription SharedNews::Subscribe(std::string topic,
                                         std::function<void(std::int64_t)> heard) {
  return state_->board.Subscribe(std::move(topic), std::move(heard));
}

News::Subscription SharedNews::OnGap(std::function<void()> missed) {
  return state_->board.OnGap(std::move(missed));
}

void SharedNews::Listening() {
  asio::post(state_->strand, [state = state_] {
    if (state->closed) return;
    state->Gap();
    asio::co_spawn(state->strand, State::ListenForEcho(state), asio::detached);
  });
}

void SharedNews::Received(std::string payload) {
  asio::post(state_->strand, [state = state_, payload = std::move(payload)] {
    if (!state->closed) state->Read(payload);
  });
}

asio::awaitable<void> SharedNews::Finish(CallEnvironment::TimePoint deadline) {
  const auto state = state_;
  asio::post(state->strand, [state] { state->StopListening(); });
  auto finishing = state->teller.Finish(deadline);
  co_await asio::co_spawn(state->strand, std::move(finishing), asio::use_awaitable);
}

SharedNews::Stats SharedNews::stats() const {
  return {state_->teller.stats(), state_->heard, state_->gaps, state_->deaf};
}

}  // namespace leasegateway
