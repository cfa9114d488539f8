#ifndef LEASE_GATEWAY_SERVICE_GUARD_CONNECTION_GUARD_PORT_H_
#define LEASE_GATEWAY_SERVICE_GUARD_CONNECTION_GUARD_PORT_H_

#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "service/guard/callers_port.h"
#include "service/guard/connection_guard.h"
#include "service/guard/descriptor.h"
#include "service/guard/guarded_connection.h"
#include "service/guard/memory_gauge.h"
#include "service/guard/memory_pressure.h"
#include "service/guard/peer_ledger.h"
#include "service/guard/peer_log.h"
#include "service/guard/unfinished_sums.h"
#include "service/guard/unread_answers.h"

namespace leasegateway {

// All but what says otherwise on its thread.
class ConnectionGuard::Port {
 public:
  explicit Port(const Options& options)
      : options_(options), peers_(options.peers), gauge_(options.max_memory) {}
  ~Port();

  absl::Status Listen(const std::string& listen);  // before Start
  void Start(std::function<void(int)> take);       // on any thread
  void StopListening();                            // on any thread; after Start has returned
  int number() const { return port_.number(); }    // on any thread
  Stats stats() const;                             // on any thread

 private:
  using Clock = std::chrono::steady_clock;
  struct Guarded {
    std::shared_ptr<GuardedConnection> connection;
    int handed = -1;       // the descriptor that gRPC has, or had
    bool trusted = false;  // of trusted_proxies
    UnreadAnswers::Stall stall = {};
    // As the last look found them.
    std::uint64_t bytes = 0;
    std::uint64_t calls = 0;
    // As the last look at calls found them, and since when.
    std::uint64_t answered = 0;
    Clock::time_point called{};
  };
  struct Ended {
    Guarded guarded;
    bool counted = false;  // its cut, if any
  };

  using Farewells = std::multimap<Clock::time_point, Ended>;

  // Does `work`. What that throws is logged, and ends nothing else.
  template <typename Work>
  void Try(Work work) {
    try {
      work();
    } catch (const std::exception& e) {
      if (log_.Says(PeerLog::Kind::kFailure, e.what())) {
        spdlog::error("the guard of callers' connections failed: {}", e.what());
      }
    }
  }
  void Accept(boost::asio::ip::tcp::acceptor& acceptor);
  bool AcceptSome(boost::asio::ip::tcp::acceptor& acceptor);  // whether there was all that it takes
  void Take(Descriptor descriptor, const boost::asio::ip::tcp::endpoint& peer);
  void Refuse(Descriptor descriptor, const boost::asio::ip::tcp::endpoint& peer, Refusal why);
  void AwaitEnds();
  void TakeEnds();
  void End(GuardedConnection* connection);
  void CountCut(const GuardedConnection& connection, CutReason reason);
  void LookAgain();
  void LookAtSuspects();
  void LookWhetherItSees();
  void LookAtAnswers();
  void CutWhoStalls(Clock::time_point now);
  void LookAtSums(Clock::time_point now);
  void LookAtCalls(Clock::time_point now);
  void MakeRoomForNewcomers();
  void LookAtMemory(Clock::time_point now);
  void LookAtCosts();
  void TellWhatIsSpent(const GuardedConnection& connection, Clock::time_point now);
  bool Forget(Farewells::iterator ended, Clock::time_point now);  // whether gRPC has closed it
  void ForgetEnded(Clock::time_point now);
  void ForgetSoon();
  void Run();

  const Options options_;
  const GuardedConnection::Options guarded_{.tls = options_.tls,
                                            .max_streams = options_.max_streams,
                                            .max_metadata_bytes = options_.max_metadata_bytes,
                                            .max_request_bytes = options_.max_request_bytes};
  std::function<void(int)> take_;
  const std::shared_ptr<GuardedConnection::Together> together_ =
      std::make_shared<GuardedConnection::Together>();
  const UnfinishedSums sums_{GuardedConnection::Together::kMaxCalls,
                             static_cast<std::uint64_t>(GuardedConnection::Together::MaxBytes(
                                 static_cast<std::int64_t>(options_.max_request_bytes)))};
  Clock::time_point looked_at_calls_{};
  std::size_t newcomers_ = 0;  // since the last look, of the last tenth of places
  std::size_t room_ = 0;       // for connections, also those that gRPC hasn't closed yet
  boost::asio::io_context io_{1};
  const boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  CallersPort port_{io_, options_.user_timeout};
  boost::asio::posix::stream_descriptor ends_{io_};  // epoll's, of all connections
  boost::asio::steady_timer timer_{io_};
  boost::asio::steady_timer answers_timer_{io_};
  absl::flat_hash_map<GuardedConnection*, Guarded> connections_;
  Farewells ended_;                          // by when they are looked at
  boost::asio::steady_timer farewell_{io_};  // for those that are to be soon
  bool is_farewell_near_ = false;
  PeerLedger peers_;
  const MemoryGauge gauge_;
  MemoryPressure pressure_;
  // What each connection cost since the look before, filled while memory is short.
  std::vector<MemoryPressure::Connection> costs_;
  std::vector<std::shared_ptr<GuardedConnection>> costly_;  // of the same indices
  bool looked_at_costs_ = false;
  std::uint64_t burdens_ = 0;  // connections that have ended with many calls open
  PeerLog log_;
  std::atomic<std::uint64_t> open_{0};
  std::atomic<std::uint64_t> accepted_{0};
  std::array<std::atomic<std::uint64_t>, kRefusals> refused_{};
  std::array<std::atomic<std::uint64_t>, kCutReasons> cut_{};
  std::atomic<bool> sees_{true};
  std::thread thread_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_CONNECTION_GUARD_PORT_H_
