#ifndef LEASE_GATEWAY_UPSTREAM_CLUSTER_NEWS_TEXT_H_
#define LEASE_GATEWAY_UPSTREAM_CLUSTER_NEWS_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace leasegateway {

// A part of a topic's name that stands for any text, such as an account or a request_id: 16
// hexadecimal digits of its SHA-256. Two texts with the same one only wake each other.
std::string TopicWord(std::string_view text);

struct Announcement {
  std::string topic;
  std::int64_t number = 0;
};

// PostgreSQL takes a payload of less than 8,000 bytes.
inline constexpr std::size_t kMaxPayload = 7'999;

// As payloads of NOTIFY, "topic=number topic=number", in this order, each as long as may be.
std::vector<std::string> WritePayloads(const std::vector<Announcement>& announcements);

// Calls `announced` for each. What can't be read, such as what a newer version tells, is left out.
void ReadPayload(std::string_view payload,
                 const std::function<void(std::string_view topic, std::int64_t number)>& announced);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CLUSTER_NEWS_TEXT_H_
