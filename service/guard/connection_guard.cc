#include "service/guard/connection_guard.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstddef>
#include <deque>
#include <exception>
#include <future>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "service/guard/free_memory.h"
#include "service/guard/guarded_connection.h"
#include "service/guard/intercepted_reads.h"
#include "service/guard/memory_gauge.h"
#include "service/guard/memory_pressure.h"
#include "service/guard/peer_log.h"
#include "service/guard/unread_answers.h"

namespace leasegateway {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

constexpr milliseconds kLook{100};
// After an accept that failed, for want of descriptors, say.
constexpr milliseconds kPause{100};
constexpr int kAcceptedAtOnce = 64;
// From the end of a connection until it is looked whether gRPC has closed it, and again.
constexpr std::chrono::seconds kFarewell{1};
// Per cent of the memory's limit, from which on it is counted what each connection costs.
constexpr std::uint64_t kAttention = 75;

absl::Status CannotListen(const std::string& listen, const boost::system::error_code& error) {
  return absl::FailedPreconditionError(
      absl::StrCat("listen: \"", listen, "\": can't listen there: ", error.message(),
                   error == asio::error::address_in_use ? ": is the port taken?" : ""));
}

// The guard has a descriptor of each connection beside gRPC's.
void AllowDescriptors() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Closes it with a reset, which leaves nothing to wait for at either end.
void Reset(int descriptor) {
  const linger none{1, 0};
  setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
  close(descriptor);
}

// Resets it, whoever has descriptors of it, and frees what it has received and has yet to send.
void Abort(int descriptor) {
  const sockaddr none{AF_UNSPEC, {}};
  connect(descriptor, &none, sizeof(none));
}

boost::system::error_code LastError() {
  return boost::system::error_code(errno, boost::system::system_category());
}

}  // namespace

// All but what says otherwise on its thread.
class ConnectionGuard::Port {
 public:
  explicit Port(const Options& options)
      : options_(options), peers_(options.peers), gauge_(options.max_memory) {}
  ~Port();

  absl::Status Listen(const std::string& listen);  // before Start
  void Start(std::function<void(int)> take);       // on any thread
  void StopListening();                            // on any thread
  int number() const { return number_; }           // on any thread
  Stats stats() const;                             // on any thread

 private:
  struct Guarded {
    std::shared_ptr<GuardedConnection> connection;
    int handed = -1;       // the descriptor that gRPC has, or had
    bool trusted = false;  // of trusted_proxies
    UnreadAnswers::Stall stall = {};
    // As the last look found them.
    std::uint64_t bytes = 0;
    std::uint64_t calls = 0;
  };
  struct Ended {
    Guarded guarded;
    Clock::time_point forget;
    bool counted = false;  // its cut, if any
  };

  boost::system::error_code Open(const tcp::endpoint& endpoint);
  void Accept(tcp::acceptor& acceptor);
  void AcceptAfterPause(tcp::acceptor& acceptor);
  void Take(int descriptor, const tcp::endpoint& peer);
  void Refuse(int descriptor, const tcp::endpoint& peer, Refusal why);
  void AwaitEnds();
  void End(GuardedConnection* connection);
  void CountCut(const GuardedConnection& connection, CutReason reason);
  void LookAgain();
  void LookWhetherItSees();
  void LookAtAnswers();
  void LookAtMemory(Clock::time_point now);
  void LookAtCosts();
  void ForgetEnded(Clock::time_point now);
  void Run();

  const Options options_;
  const GuardedConnection::Options guarded_{.tls = options_.tls,
                                            .max_streams = options_.max_streams,
                                            .max_metadata_bytes = options_.max_metadata_bytes,
                                            .max_request_bytes = options_.max_request_bytes};
  std::function<void(int)> take_;
  int number_ = 0;
  const std::shared_ptr<GuardedConnection::Together> together_ =
      std::make_shared<GuardedConnection::Together>();
  asio::io_context io_{1};
  std::vector<tcp::acceptor> acceptors_;
  asio::posix::stream_descriptor ends_{io_};  // epoll's, of all connections
  asio::steady_timer timer_{io_};
  asio::steady_timer answers_timer_{io_};
  absl::flat_hash_map<GuardedConnection*, Guarded> connections_;
  std::deque<Ended> ended_;
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

ConnectionGuard::Port::~Port() {
  io_.stop();
  if (thread_.joinable()) thread_.join();
  for (auto& [raw, guarded] : connections_) StopIntercepting(guarded.handed, guarded.connection);
  for (auto& [guarded, forget, counted] : ended_)
    StopIntercepting(guarded.handed, guarded.connection);
}

absl::Status ConnectionGuard::Port::Listen(const std::string& listen) {
  AllowDescriptors();
  const int ends = epoll_create1(EPOLL_CLOEXEC);
  if (ends < 0) return CannotListen(listen, LastError());
  ends_.assign(ends);
  const std::size_t colon = listen.rfind(':');
  std::string host = listen.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  boost::system::error_code error;
  const auto found =
      tcp::resolver(io_).resolve(host, listen.substr(colon + 1), tcp::resolver::passive, error);
  if (error) return CannotListen(listen, error);
  // As gRPC has it: an address that this machine has not is left out, when there is another one.
  for (const auto& entry : found) {
    tcp::endpoint endpoint = entry.endpoint();
    if (endpoint.port() == 0) endpoint.port(static_cast<std::uint16_t>(number_));
    const boost::system::error_code failed = Open(endpoint);
    if (failed == asio::error::address_in_use) return CannotListen(listen, failed);
    if (failed) error = failed;
  }
  return acceptors_.empty() ? CannotListen(listen, error) : absl::OkStatus();
}

boost::system::error_code ConnectionGuard::Port::Open(const tcp::endpoint& endpoint) {
  boost::system::error_code error;
  tcp::acceptor acceptor(io_);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && endpoint.address().is_v6()) {
    acceptor.set_option(asio::ip::v6_only(!endpoint.address().is_unspecified()), error);
  }
  // Connections have these from the port that accepted them.
  if (!error) acceptor.set_option(tcp::no_delay(true), error);
  const auto timeout = static_cast<unsigned>(options_.user_timeout.count());
  if (!error && setsockopt(acceptor.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout,
                           sizeof(timeout)) != 0) {
    error = LastError();
  }
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.native_non_blocking(true, error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (error) return error;
  number_ = acceptor.local_endpoint(error).port();
  acceptors_.push_back(std::move(acceptor));
  return {};
}

void ConnectionGuard::Port::Start(std::function<void(int)> take) {
  take_ = std::move(take);
  together_->alarm = [this] { asio::post(io_, [this] { LookAtAnswers(); }); };
  for (tcp::acceptor& acceptor : acceptors_) Accept(acceptor);
  AwaitEnds();
  LookAgain();
  thread_ = std::thread([this] { Run(); });
}

void ConnectionGuard::Port::Run() {
  for (;;) {
    try {
      io_.run();
      return;
    } catch (const std::exception& e) {
      spdlog::error("the guard of callers' connections failed: {}", e.what());
    }
  }
}

void ConnectionGuard::Port::StopListening() {
  std::promise<void> stopped;
  asio::post(io_, [this, &stopped] {
    boost::system::error_code error;
    for (tcp::acceptor& acceptor : acceptors_) acceptor.close(error);
    stopped.set_value();
  });
  stopped.get_future().wait();
}

void ConnectionGuard::Port::Accept(tcp::acceptor& acceptor) {
  acceptor.async_wait(
      tcp::acceptor::wait_read, [this, &acceptor](const boost::system::error_code& e) {
        if (e || !acceptor.is_open()) return;
        for (int i = 0; i < kAcceptedAtOnce; ++i) {
          tcp::endpoint peer;
          socklen_t size = static_cast<socklen_t>(peer.capacity());
          const int descriptor =
              accept4(acceptor.native_handle(), peer.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
          if (descriptor >= 0) {
            peer.resize(size);
            Take(descriptor, peer);
          } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
          } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            return AcceptAfterPause(acceptor);
          }  // else this one has ended already
        }
        Accept(acceptor);
      });
}

void ConnectionGuard::Port::AcceptAfterPause(tcp::acceptor& acceptor) {
  if (log_.Says("accept"))
    spdlog::error("can't accept callers' connections: {}", LastError().message());
  const auto pause = std::make_shared<asio::steady_timer>(io_, kPause);
  pause->async_wait([this, &acceptor, pause](const boost::system::error_code&) {
    if (acceptor.is_open()) Accept(acceptor);
  });
}

void ConnectionGuard::Port::Take(int descriptor, const tcp::endpoint& peer) {
  if (const auto why = peers_.Admit(peer.address(), Clock::now())) {
    return Refuse(descriptor, peer, *why);
  }
  const int own = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  GuardedConnection::Options options = guarded_;
  options.trusted = options_.peers.trusted_proxies.Contains(peer.address());
  auto connection = std::make_shared<GuardedConnection>(own, peer, options, together_);
  // Edge-triggered and without an event but the end, which epoll always tells: data wakes nobody.
  epoll_event event{};
  event.events = EPOLLET;
  event.data.ptr = connection.get();
  if (descriptor >= kMaxDescriptors ||
      epoll_ctl(ends_.native_handle(), EPOLL_CTL_ADD, own, &event) != 0) {
    peers_.Ended(peer.address(), Clock::now());
    return Refuse(descriptor, peer, Refusal::kMaxConnections);
  }
  Intercept(descriptor, connection);
  auto* const raw = connection.get();
  connections_.emplace(raw, Guarded{std::move(connection), descriptor, options.trusted});
  ++open_;
  ++accepted_;
  take_(descriptor);
}

void ConnectionGuard::Port::Refuse(int descriptor, const tcp::endpoint& peer, Refusal why) {
  ++refused_[static_cast<std::size_t>(why)];
  const std::string address = peer.address().to_string();
  if (log_.Says(address)) {
    spdlog::warn("refused a connection of {}: {}", address,
                 kRefusalNames[static_cast<std::size_t>(why)]);
  }
  Reset(descriptor);
}

void ConnectionGuard::Port::AwaitEnds() {
  ends_.async_wait(asio::posix::stream_descriptor::wait_read,
                   [this](const boost::system::error_code& error) {
                     if (error) return;
                     epoll_event events[64];
                     int count = 0;
                     do {
                       count = epoll_wait(ends_.native_handle(), events, 64, 0);
                       for (int i = 0; i < count; ++i) {
                         End(static_cast<GuardedConnection*>(events[i].data.ptr));
                       }
                     } while (count == 64);
                     AwaitEnds();
                   });
}

void ConnectionGuard::Port::End(GuardedConnection* connection) {
  const auto found = connections_.find(connection);
  if (found == connections_.end()) return;
  Guarded guarded = std::move(found->second);
  connections_.erase(found);
  --open_;
  epoll_ctl(ends_.native_handle(), EPOLL_CTL_DEL, connection->descriptor(), nullptr);
  const Clock::time_point now = Clock::now();
  peers_.Ended(connection->peer().address(), now);
  burdens_ += connection->conduct().open_calls().open() > UnreadAnswers::kFew;
  connection->Ended();
  const auto reason = connection->cut();
  if (reason) {
    CountCut(*connection, *reason);
    Abort(connection->descriptor());
  }
  ended_.push_back({std::move(guarded), now + kFarewell, reason.has_value()});
}

void ConnectionGuard::Port::CountCut(const GuardedConnection& connection, CutReason reason) {
  ++cut_[static_cast<std::size_t>(reason)];
  const Clock::duration wait = peers_.Cut(connection.peer().address(), Clock::now());
  const std::string address = connection.peer().address().to_string();
  if (!log_.Says(address)) return;
  spdlog::warn("cut a connection of {}: {}, after {} calls and {} bytes; the address waits {} ms",
               address, kCutReasonNames[static_cast<std::size_t>(reason)],
               connection.conduct().calls(), connection.wire_bytes(),
               std::chrono::duration_cast<milliseconds>(wait).count());
}

void ConnectionGuard::Port::LookAgain() {
  timer_.expires_after(kLook);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    if (together_->suspects > 0) {
      for (auto& [raw, guarded] : connections_) {
        if (raw->suspect()) raw->Look();
      }
    }
    together_->Pass(kLook);
    together_->Watch();
    LookAtMemory(Clock::now());
    LookWhetherItSees();
    ForgetEnded(Clock::now());
    LookAgain();
  });
}

// Again and again while many calls wait for their peers.
void ConnectionGuard::Port::LookAtAnswers() {
  const std::int64_t waiting = together_->waiting_calls;
  if (waiting <= UnreadAnswers::kAttention) {
    together_->alarmed = false;
    return;
  }
  const Clock::time_point now = Clock::now();
  std::vector<UnreadAnswers::Connection> seen;
  std::vector<GuardedConnection*> connections;  // of the same indices
  for (auto& [raw, guarded] : connections_) {
    const OpenCalls& calls = raw->conduct().open_calls();
    const auto stalled = guarded.stall.Look(calls.open(), calls.waiting(), calls.answered(), now);
    if (stalled == Clock::duration()) continue;
    seen.push_back({calls.waiting(), stalled, raw->proven(), guarded.trusted});
    connections.push_back(raw);
  }
  for (const std::size_t i : UnreadAnswers::Choose(seen, static_cast<std::uint64_t>(waiting))) {
    connections[i]->Cut(CutReason::kUnreadAnswers);
  }
  answers_timer_.expires_after(UnreadAnswers::kLook);
  answers_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) LookAtAnswers();
  });
}

// A call is seen before the service has it.
void ConnectionGuard::Port::LookWhetherItSees() {
  if (!sees_ || together_->has_seen || !options_.has_served || !options_.has_served()) return;
  if (together_->has_seen) return;  // the first one, just now
  sees_ = false;
  spdlog::error(
      "calls are served that the guard of callers' connections sees nothing of: this gRPC does not "
      "read by the program's recvmsg and SSL_read, and nobody is cut");
}

void ConnectionGuard::Port::LookAtMemory(Clock::time_point now) {
  const auto reading = gauge_.Read();
  costs_.clear();
  costly_.clear();
  if (reading && reading->used > reading->limit / 100 * kAttention) {
    // What came since the last look is known from the second one on.
    LookAtCosts();
    if (!std::exchange(looked_at_costs_, true)) costs_.clear();
  } else {
    looked_at_costs_ = false;
  }
  std::uint64_t cuts = burdens_;  // either leaves memory behind
  for (const auto& count : cut_) cuts += count;
  const auto decision = pressure_.Look(reading, costs_, cuts, now);
  for (const std::size_t index : decision.cut) costly_[index]->Cut(CutReason::kMemory);
  if (decision.return_memory) ReturnFreeMemory();
}

void ConnectionGuard::Port::LookAtCosts() {
  for (auto& [raw, guarded] : connections_) {
    const Conduct& conduct = raw->conduct();
    MemoryPressure::Connection cost;
    cost.open_calls = conduct.open_calls().open();
    cost.stalls = guarded.stall.time() >= UnreadAnswers::kSooner;
    cost.unfinished_bytes = conduct.unfinished_bytes();
    cost.bytes = raw->wire_bytes() - std::exchange(guarded.bytes, raw->wire_bytes());
    cost.calls = conduct.calls() - std::exchange(guarded.calls, conduct.calls());
    cost.trusted = guarded.trusted;
    costs_.push_back(cost);
    costly_.push_back(guarded.connection);
  }
}

void ConnectionGuard::Port::ForgetEnded(Clock::time_point now) {
  while (!ended_.empty() && ended_.front().forget <= now) {
    Ended ended = std::move(ended_.front());
    ended_.pop_front();
    if (ended.guarded.connection->Has(ended.guarded.handed)) {  // gRPC has not closed it yet
      ended.forget = now + kFarewell;
      ended_.push_back(std::move(ended));
    } else {
      StopIntercepting(ended.guarded.handed, ended.guarded.connection);
      // What its peer had sent may have been read, and judged, after its end.
      const auto reason = ended.guarded.connection->cut();
      if (reason && !ended.counted) CountCut(*ended.guarded.connection, *reason);
    }
  }
}

ConnectionGuard::Stats ConnectionGuard::Port::stats() const {
  Stats stats;
  stats.connections = open_;
  stats.accepted = accepted_;
  std::copy(refused_.begin(), refused_.end(), stats.refused.begin());
  std::copy(cut_.begin(), cut_.end(), stats.cut.begin());
  stats.sees = sees_;
  return stats;
}

absl::StatusOr<std::unique_ptr<ConnectionGuard>> ConnectionGuard::Listen(const std::string& listen,
                                                                         const Options& options) {
  auto port = std::make_unique<Port>(options);
  absl::Status status = port->Listen(listen);
  if (!status.ok()) return status;
  return std::unique_ptr<ConnectionGuard>(new ConnectionGuard(std::move(port)));
}

ConnectionGuard::ConnectionGuard(std::unique_ptr<Port> port) : port_(std::move(port)) {}

ConnectionGuard::~ConnectionGuard() = default;

int ConnectionGuard::port() const { return port_->number(); }

void ConnectionGuard::Start(std::function<void(int)> take) { port_->Start(std::move(take)); }

void ConnectionGuard::StopListening() { port_->StopListening(); }

ConnectionGuard::Stats ConnectionGuard::stats() const { return port_->stats(); }

}  // namespace leasegateway
