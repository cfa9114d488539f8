#ifndef LEASE_GATEWAY_SERVICE_ADMIN_READINESS_PROBE_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_READINESS_PROBE_H_

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "absl/status/status.h"
#include "service/admin/admin_pages.h"
#include "upstream/availability/caching_lease_api.h"
#include "upstream/lease_api_factory.h"

namespace leasegateway {

// Whether the gateway takes calls, for /readyz. Thread-safe.
class ReadinessProbe {
 public:
  enum class Phase { kStarting, kServing, kDraining };

  // `warm_age`: up to which memory answers when the provider gives no answer. `executor` runs calls
  // of the provider.
  ReadinessProbe(std::chrono::milliseconds warm_age, boost::asio::any_io_executor executor);

  void SetPhase(Phase phase) { phase_ = phase; }

  // What it looks at, none of it null.
  // `purchases`: OK, or why nothing can be written down, from any thread and without waiting.
  void Attach(std::function<absl::Status()> purchases, std::shared_ptr<CachingLeaseApi> api,
              std::shared_ptr<const UpstreamStats> upstream);
  // Returns when it looks at nothing any more.
  void Detach();

  // A provider that is down does not make a gateway unready: others could do no better, and memory
  // may have answers. Neither does a journal that can't be written, or a database that is away:
  // reads go on, and those who lease are told why not.
  Readiness Look();

 private:
  // Asks for the lists that were refused, now and then: where nobody reads them, nobody else would
  // see that the provider takes the key again. While it isn't ready, that is everybody. Under the
  // lock.
  void AskProvider(bool is_ready);

  const std::chrono::milliseconds warm_age_;
  const boost::asio::any_io_executor executor_;
  std::atomic<Phase> phase_{Phase::kStarting};
  std::mutex mutex_;  // guards all below; held while they are in use
  std::function<absl::Status()> purchases_;
  std::shared_ptr<CachingLeaseApi> api_;  // null: not attached
  std::shared_ptr<const UpstreamStats> upstream_;
  std::optional<std::chrono::steady_clock::time_point> asked_;  // nothing: never
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_READINESS_PROBE_H_
