#ifndef LEASE_GATEWAY_UPSTREAM_CLUSTER_CLUSTER_H_
#define LEASE_GATEWAY_UPSTREAM_CLUSTER_CLUSTER_H_

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "upstream/call_environment.h"
#include "upstream/cluster/gate.h"
#include "upstream/cluster/heartbeat.h"
#include "upstream/cluster/news.h"
#include "upstream/cluster/news_teller.h"
#include "upstream/cluster/replica.h"
#include "upstream/cluster/shared_news.h"
#include "upstream/postgres/database.h"
#include "upstream/postgres/options.h"
#include "upstream/rate_share.h"

namespace leasegateway {

struct ClusterOptions {
  postgres::DatabaseOptions database;
  // For LISTEN, where `database` goes through a pooler in transaction mode; the rest as there.
  std::optional<postgres::DatabaseUrl> listen_url;
  Heartbeat::Options heartbeat;
  NewsTeller::Options news;
  // How long Open waits for a database that does not answer, and Stop.
  std::chrono::milliseconds start_wait{5'000};
  std::chrono::milliseconds stop_wait{1'000};
};

// The replicas that share a database, as one of them sees it: brings the database up, keeps this
// replica alive in it, and owns what the parts of this room need. What it hands out may outlive it
// and is then away. Thread-safe.
class Cluster {
 public:
  // Checks the server, applies what is missing of the schema and lets this replica's heart beat
  // once. A database that is away now is tried again in the background for as long as it takes:
  // until then database() is away. Anything else that is wrong fails, in one line that names the
  // key: FAILED_PRECONDITION for what the operator has to mend, INTERNAL for a migration. Blocks,
  // `start_wait` at most; `executor`, which must outlive this, runs already on another thread.
  static absl::StatusOr<std::unique_ptr<Cluster>> Open(const boost::asio::any_io_executor& executor,
                                                       ClusterOptions options);
  // As Stop().
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // The process stops: the database is waited for no longer than one that answers needs. Any
  // thread.
  void Hurry();
  // As Hurry(). database() is away from now on, what was to be told is told, and the replica
  // leaves, so that others take over at once. Blocks, `stop_wait` at most; not for the executor's
  // threads.
  void Stop();

  // Away, UNAVAILABLE, until the database has been brought up and this replica is alive in it.
  std::shared_ptr<postgres::Database> database() const;
  std::shared_ptr<Replica> replica() const;
  std::shared_ptr<News> news() const;
  // For the provider's stack of that account.
  RateShare rate_share(std::string_view account) const;

  // For metrics. Never waits.
  struct Stats {
    bool up = false;          // it is reached, and takes what it is sent
    bool brought_up = false;  // since the start, once
    bool listening = false;   // LISTEN is in force
    int connections = 0;      // with that for LISTEN
    Gate::Counts transactions;
    SharedNews::Stats news;
    int replicas = 1;                                                   // alive
    std::optional<CallEnvironment::TimePoint::duration> heartbeat_age;  // nothing: none got through
    bool lapsed = false;  // others may take this replica for dead
  };
  Stats stats() const;

 private:
  struct State;

  explicit Cluster(std::shared_ptr<State> state);

  const std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CLUSTER_CLUSTER_H_
