#ifndef LEASE_GATEWAY_UPSTREAM_CLUSTER_HEARTBEAT_H_
#define LEASE_GATEWAY_UPSTREAM_CLUSTER_HEARTBEAT_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "upstream/call_environment.h"
#include "upstream/cluster/replica.h"
#include "upstream/postgres/database.h"

namespace leasegateway {

// This replica's row. One statement a second moves it on, counts those that are alive, and deletes
// rows of the long dead. A try that fails is repeated soon, for as long as it takes. Thread-safe.
class Heartbeat final : public Replica {
 public:
  struct Options {
    std::chrono::milliseconds ownership_time{6'000};
    std::chrono::milliseconds interval{1'000};
    // For people who look into the table.
    std::string version;
    std::string host;
  };

  Heartbeat(const boost::asio::any_io_executor& executor,
            std::shared_ptr<postgres::Database> database, Options options,
            CallEnvironment environment);
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;
  // Stops without a word, as a death would.
  ~Heartbeat() override;

  // One beat, awaited on a strand: the first one, before anything is owned. Fails as the database
  // does.
  boost::asio::awaitable<absl::Status> Beat(CallEnvironment::TimePoint deadline);
  // Goes on by itself from now on. Called once.
  void Start();
  // Stops and deletes the row, so that others need not wait for its time to pass; by `deadline` it
  // gives up and that time has to pass. Awaited on a strand, once, also without a Start.
  boost::asio::awaitable<void> Leave(CallEnvironment::TimePoint deadline);

  std::int64_t id() const override;
  int alive() const override;
  // Since the latest beat that succeeded was begun; nothing: none did.
  std::optional<CallEnvironment::TimePoint::duration> age() const;
  // By this process's clock others may take it for dead.
  bool lapsed() const;

 private:
  struct State;

  static boost::asio::awaitable<absl::Status> BeatOnce(std::shared_ptr<State> state,
                                                       CallEnvironment::TimePoint deadline);
  static boost::asio::awaitable<void> Run(std::shared_ptr<State> state);

  const std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CLUSTER_HEARTBEAT_H_
