#ifndef LEASE_GATEWAY_SERVICE_SERVER_H_
#define LEASE_GATEWAY_SERVICE_SERVER_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/config/config.h"

namespace leasegateway {

class Account;
class Admission;
class AdminServer;
class Callers;
class GrpcPort;
class IoThreads;
class LeaseService;
class Metrics;
class PurchaseJournal;
class ReadinessProbe;
class ServingCertificates;
struct AccountSetting;
struct CallRuntime;
struct CallersStats;
struct UpstreamOptions;
namespace sandbox {
class Sandbox;
}

// The running gateway: the Asio threads, a stack an account (at the provider or the embedded
// sandbox), the gRPC port with health, reflection and channelz, and the admin port, which is there
// from the beginning of the start to the end of the stop. Thread-safe.
class Server {
 public:
  // FAILED_PRECONDITION when the address can't be listened on, the TLS files not be used or the
  // journal not be opened, INVALID_ARGUMENT for a provider that can't be used. A database that does
  // not answer is waited for in the background.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Config& config);
  // Drains without waiting, if Drain was not called.
  ~Server();

  int port() const;                         // of gRPC, as bound
  int admin_port() const;                   // as bound; 0: none
  std::string sandbox_control_url() const;  // empty without the sandbox

  // NOT_SERVING, `drain_wait`, no more connections, GOAWAY; returns when the calls in flight have
  // ended, at the latest after `grace`, when those that are left are cancelled. Called once.
  void Drain();

 private:
  explicit Server(const Config& config);

  // The start, in this order.
  absl::Status OpenTransport();
  absl::Status OpenCallers();
  absl::Status StartAdmin();
  absl::Status OpenJournal();
  absl::Status StartSandbox();
  absl::Status StartAccounts();
  // The stack's options, with its address and key.
  absl::StatusOr<UpstreamOptions> OptionsFor(const AccountSetting& account) const;
  void MakeService();
  void LoadLists();
  absl::Status Recover();
  absl::Status Listen();
  void Drain(std::chrono::milliseconds wait, std::chrono::milliseconds grace);
  // From now on the admin port tells of all that has been started.
  void AttachAdmin();
  CallersStats StatsOfCallers() const;  // with a callers file
  // Before what it looks at goes away.
  void DetachAdmin();

  const Config config_;
  const std::unique_ptr<IoThreads> io_;
  const std::unique_ptr<CallRuntime> runtime_;
  std::unique_ptr<ServingCertificates> certificates_;  // of TLS; null: none
  std::unique_ptr<Callers> callers_;                   // null: no callers file
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<ReadinessProbe> readiness_;
  std::unique_ptr<AdminServer> admin_;         // null: none
  std::unique_ptr<sandbox::Sandbox> sandbox_;  // null: none
  std::unique_ptr<PurchaseJournal> journal_;
  std::vector<std::unique_ptr<Account>> accounts_;  // one at least
  std::unique_ptr<Admission> admission_;
  std::unique_ptr<LeaseService> service_;
  std::unique_ptr<GrpcPort> port_;  // null: the start has failed before
  bool drained_ = false;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_SERVER_H_
