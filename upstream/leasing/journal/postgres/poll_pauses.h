#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_POLL_PAUSES_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_POLL_PAUSES_H_

#include <chrono>
#include <map>
#include <mutex>
#include <string>

namespace leasegateway {

// How long to wait for news of something before it is looked at: 50 ms at first, twice as long each
// time that it is asked for again, 1 s at most. Forgotten when nobody asks for a while.
// Thread-safe.
class PollPauses {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  std::chrono::milliseconds Next(const std::string& topic, TimePoint now);

 private:
  struct Pause {
    std::chrono::milliseconds length{0};
    TimePoint asked_at;
  };

  std::mutex mutex_;
  std::map<std::string, Pause> pauses_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_POLL_PAUSES_H_
