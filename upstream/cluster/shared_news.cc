#include "upstream/cluster/shared_news.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <string_view>
#include <utility>

#include "upstream/cluster/news_board.h"
#include "upstream/cluster/news_text.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kMaxTopic = 200;

// '!' begins the topics that are news of the news.
bool IsTopic(std::string_view topic) {
  return !topic.empty() && topic.size() <= kMaxTopic && topic.front() != '!' &&
         std::all_of(topic.begin(), topic.end(),
                     [](char c) { return c > ' ' && c < '\x7f' && c != '='; });
}

}  // namespace

struct SharedNews::State {
  State(const asio::any_io_executor& executor, std::shared_ptr<postgres::Database> database,
        const NewsTeller::Options& options, CallEnvironment environment)
      : strand(asio::make_strand(executor)),
        teller(strand, std::move(database), options, std::move(environment)) {}

  void Gap() {
    ++gaps;
    board.Gap();
  }
  void Read(std::string_view payload) {
    ReadPayload(payload, [this](std::string_view topic, std::int64_t number) {
      if (closed) return;
      ++heard;
      if (topic == NewsTeller::kGapTopic) {
        Gap();
      } else {
        board.Heard(topic, number);
      }
    });
  }

  const asio::any_io_executor strand;
  std::atomic<bool> closed{false};
  std::atomic<std::uint64_t> heard{0};
  std::atomic<std::uint64_t> gaps{0};
  NewsBoard board;
  NewsTeller teller;  // on the strand
};

SharedNews::SharedNews(const asio::any_io_executor& executor,
                       std::shared_ptr<postgres::Database> database,
                       const NewsTeller::Options& options, CallEnvironment environment)
    : state_(std::make_shared<State>(executor, std::move(database), options,
                                     std::move(environment))) {}

SharedNews::~SharedNews() { state_->closed = true; }

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
    if (!state->closed) state->Gap();
  });
}

void SharedNews::Received(std::string payload) {
  asio::post(state_->strand, [state = state_, payload = std::move(payload)] {
    if (!state->closed) state->Read(payload);
  });
}

asio::awaitable<void> SharedNews::Finish(CallEnvironment::TimePoint deadline) {
  const auto state = state_;
  auto finishing = state->teller.Finish(deadline);
  co_await asio::co_spawn(state->strand, std::move(finishing), asio::use_awaitable);
}

SharedNews::Stats SharedNews::stats() const {
  return {state_->teller.stats(), state_->heard, state_->gaps};
}

}  // namespace leasegateway
