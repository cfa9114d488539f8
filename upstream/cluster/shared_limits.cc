#include "upstream/cluster/shared_limits.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/cluster/news_text.h"

namespace leasegateway {
namespace {

using RetryAfter = RateShare::RetryAfter;

// The number of the news has, from the lowest bit: 0 for no Retry-After, otherwise its milliseconds
// and 1; then the lowest bits of the replica's id.
constexpr int kTimeBits = 20;
constexpr std::int64_t kTimeMask = (std::int64_t{1} << kTimeBits) - 1;
constexpr std::int64_t kSenderMask = INT64_MAX >> kTimeBits;

std::int64_t SenderOf(std::int64_t id) { return id & kSenderMask; }

std::int64_t RefusalNumber(std::int64_t id, RetryAfter retry_after) {
  const std::int64_t time =
      retry_after ? std::clamp<std::int64_t>(retry_after->count() + 1, 1, kTimeMask) : 0;
  return SenderOf(id) << kTimeBits | time;
}

RetryAfter RetryAfterIn(std::int64_t number) {
  const std::int64_t time = number & kTimeMask;
  if (time == 0) return std::nullopt;
  return std::chrono::milliseconds(time - 1);
}

}  // namespace

RateShare MakeRateShare(std::shared_ptr<const Replica> replica, std::shared_ptr<News> news,
                        std::string_view account) {
  const std::string topic = absl::StrCat("l/", TopicWord(account));
  const std::int64_t id = replica->id();
  RateShare share;
  share.processes = [replica = std::move(replica)] { return std::max(1, replica->alive()); };
  share.tell = [news, topic, id](RetryAfter retry_after) {
    news->Tell(topic, RefusalNumber(id, retry_after));
  };
  share.listen = [news, topic, id](std::function<void(RetryAfter)> heard) {
    return news->Subscribe(topic, [heard = std::move(heard), id](std::int64_t number) {
      if (number < 0 || number >> kTimeBits == SenderOf(id)) return;
      heard(RetryAfterIn(number));
    });
  };
  return share;
}

}  // namespace leasegateway
