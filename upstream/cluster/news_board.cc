#include "upstream/cluster/news_board.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace leasegateway {
namespace {

// No topic has this name.
constexpr char kGapTopic[] = "";

}  // namespace

struct NewsBoard::State {
  using Hear = std::function<void(std::int64_t)>;

  // The caller keeps `hear`: what it holds may have subscriptions, whose ends take the lock.
  void Remove(const std::string& topic, const std::shared_ptr<const Hear>& hear) {
    const std::lock_guard lock(mutex);
    const auto at = hearers.find(topic);
    std::erase(at->second, hear);
    if (at->second.empty()) hearers.erase(at);
  }

  std::mutex mutex;
  absl::flat_hash_map<std::string, std::vector<std::shared_ptr<const Hear>>> hearers;
};

// A subscription.
class NewsBoard::Place {
 public:
  Place(std::shared_ptr<State> state, std::string topic, std::shared_ptr<const State::Hear> hear)
      : state_(std::move(state)), topic_(std::move(topic)), hear_(std::move(hear)) {}
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() { state_->Remove(topic_, hear_); }

 private:
  const std::shared_ptr<State> state_;
  const std::string topic_;
  const std::shared_ptr<const State::Hear> hear_;
};

NewsBoard::NewsBoard() : state_(std::make_shared<State>()) {}

News::Subscription NewsBoard::Subscribe(std::string topic,
                                        std::function<void(std::int64_t)> heard) {
  auto hear = std::make_shared<const State::Hear>(std::move(heard));
  {
    const std::lock_guard lock(state_->mutex);
    state_->hearers[topic].push_back(hear);
  }
  return std::make_shared<Place>(state_, std::move(topic), std::move(hear));
}

News::Subscription NewsBoard::OnGap(std::function<void()> missed) {
  return Subscribe(kGapTopic, [missed = std::move(missed)](std::int64_t) { missed(); });
}

void NewsBoard::Heard(std::string_view topic, std::int64_t number) const {
  std::vector<std::shared_ptr<const State::Hear>> hearers;
  {
    const std::lock_guard lock(state_->mutex);
    const auto at = state_->hearers.find(absl::string_view(topic.data(), topic.size()));
    if (at == state_->hearers.end()) return;
    hearers = at->second;
  }
  for (const auto& hear : hearers) (*hear)(number);
}

void NewsBoard::Gap() const { Heard(kGapTopic, 0); }

}  // namespace leasegateway
