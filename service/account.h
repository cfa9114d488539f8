#ifndef LEASE_GATEWAY_SERVICE_ACCOUNT_H_
#define LEASE_GATEWAY_SERVICE_ACCOUNT_H_

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/admin/metric_snapshot.h"
#include "service/admin/readiness_probe.h"
#include "service/callers/callers_policy.h"
#include "service/config/config.h"
#include "service/rpc/account_stack.h"
#include "service/rpc/call_runtime.h"
#include "upstream/leasing/recorded_lease_api.h"

namespace leasegateway {

class AvailabilitySearch;
class CachingLeaseApi;
class PurchaseJournal;
class WatchHub;
struct UpstreamOptions;
struct UpstreamStats;

// One account at the provider: its key, memory, guard, leasing and watches. Thread-safe.
class Account {
 public:
  // What all accounts of a process share; outlives them.
  struct Shared {
    const Config& config;
    const CallRuntime& runtime;
    PurchaseJournal& journal;
    boost::asio::any_io_executor executor;
  };
  // `options`: with the provider's address and key. INVALID_ARGUMENT for a provider that can't be
  // used.
  static absl::StatusOr<std::unique_ptr<Account>> Make(const Shared& shared, std::string name,
                                                       UpstreamOptions options);
  // Waits for purchases that are on their way: the executor must run.
  ~Account();
  Account(const Account&) = delete;
  Account& operator=(const Account&) = delete;

  const std::string& name() const { return name_; }
  // Loads the lists that other replicas know already. Blocks, 2 s at most; the executor must run.
  void LoadLists();
  // Goes on with what a process before this one left open. Blocks; the executor must run.
  absl::Status Recover();
  // Ends the watches.
  void StopWatches();
  // What ends before the memory does: watches, searches and leasing.
  void End();

  RecordedLeaseApi::Stats leasing() const { return recorded_->stats(); }
  AccountStack stack();
  AccountSources sources();
  ReadinessProbe::Account readiness() const;

 private:
  Account(const Shared& shared, std::string name);

  const Shared shared_;
  const std::string name_;
  std::shared_ptr<UpstreamStats> upstream_stats_;
  std::shared_ptr<CachingLeaseApi> api_;
  std::unique_ptr<RecordedLeaseApi> recorded_;
  std::unique_ptr<AvailabilitySearch> search_;
  std::unique_ptr<WatchHub> watches_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ACCOUNT_H_
