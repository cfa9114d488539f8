#ifndef LEASE_GATEWAY_SERVICE_ADMIN_READINESS_PROBE_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_READINESS_PROBE_H_

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "service/admin/admin_pages.h"
#include "upstream/availability/caching_lease_api.h"
#include "upstream/lease_api_factory.h"

namespace leasegateway {

// Whether the gateway takes calls, for /readyz. Thread-safe.
class ReadinessProbe {
 public:
  enum class Phase { kStarting, kServing, kDraining };

  using TimePoint = std::chrono::steady_clock::time_point;
  // None of it null.
  struct Account {
    std::string name;
    std::shared_ptr<CachingLeaseApi> api;
    std::shared_ptr<const UpstreamStats> upstream;
  };

  // `warm_age`: up to which memory answers when the provider gives no answer. `executor` runs calls
  // of the provider.
  ReadinessProbe(std::chrono::milliseconds warm_age, boost::asio::any_io_executor executor,
                 std::function<TimePoint()> now = TimePoint::clock::now);

  void SetPhase(Phase phase) { phase_ = phase; }

  // What it looks at.
  // `purchases`: OK, or why nothing can be written down, from any thread and without waiting.
  // `accounts`: one at least.
  void Attach(std::function<absl::Status()> purchases, std::vector<Account> accounts);
  // Returns when it looks at nothing any more.
  void Detach();

  // A provider that is down does not make a gateway unready: others could do no better, and memory
  // may have answers. Neither does a journal that can't be written, or a database that is away:
  // reads go on, and those who lease are told why not. Nor do keys that are refused, as long as one
  // account can answer: its callers need the gateway.
  Readiness Look();

 private:
  struct Looked {
    Account account;
    std::optional<TimePoint> asked;  // the provider, by AskProvider; nothing: never
  };

  // Asks for the lists that were refused, now and then: where nobody reads them, nobody else would
  // see that the provider takes the key again. While it isn't ready, that is everybody. Under the
  // lock.
  void AskProvider(Looked& looked, bool is_ready);

  const std::chrono::milliseconds warm_age_;
  const boost::asio::any_io_executor executor_;
  const std::function<TimePoint()> now_;
  std::atomic<Phase> phase_{Phase::kStarting};
  std::mutex mutex_;  // guards all below; held while they are in use
  std::function<absl::Status()> purchases_;
  std::vector<Looked> accounts_;  // empty: not attached
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_READINESS_PROBE_H_
