#include "service/guard/connection_guard_port.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstddef>
#include <future>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "service/guard/intercepted_reads.h"

namespace leasegateway {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

// After an accept that failed, for want of descriptors, say.
constexpr milliseconds kPause{100};
constexpr int kAcceptedAtOnce = 64;
// From the end of a connection until it is looked whether gRPC has closed it, and from then on.
constexpr milliseconds kSoon{10};
constexpr milliseconds kFarewell{100};
// Of the process beside callers' connections.
constexpr std::uint64_t kOtherDescriptors = 512;

// How many the process may have, after it has been given all that it may ask for.
std::uint64_t AllowDescriptors() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMaxDescriptors;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

// Connections for which there are descriptors: the guard has one of each beside gRPC's.
std::size_t RoomFor(std::uint64_t descriptors) {
  const std::uint64_t others = std::min(kOtherDescriptors, descriptors / 2);
  return std::max<std::size_t>((descriptors - others) / 2, 1);
}

bool HasPeer(int descriptor) {
  sockaddr_storage address;
  socklen_t size = sizeof(address);
  return getpeername(descriptor, reinterpret_cast<sockaddr*>(&address), &size) == 0;
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

ConnectionGuard::Port::~Port() {
  together_->alarmed = true;  // what outlives this calls it no more
  io_.stop();
  if (thread_.joinable()) thread_.join();
  for (auto& [raw, guarded] : connections_) StopIntercepting(guarded.handed, guarded.connection);
  for (auto& [at, ended] : ended_) {
    StopIntercepting(ended.guarded.handed, ended.guarded.connection);
  }
}

absl::Status ConnectionGuard::Port::Listen(const std::string& listen) {
  const std::uint64_t allowed = AllowDescriptors();
  const std::uint64_t descriptors =
      options_.max_descriptors > 0 ? options_.max_descriptors : allowed;
  room_ = RoomFor(descriptors);
  if (room_ < options_.peers.max_connections) {
    spdlog::warn(
        "{} descriptors (RLIMIT_NOFILE) are enough for {} connections of callers, "
        "fewer than max_connections: {}",
        descriptors, room_, options_.peers.max_connections);
  }
  const int ends = epoll_create1(EPOLL_CLOEXEC);
  if (ends < 0) {
    return absl::FailedPreconditionError("can't watch callers' connections: " +
                                         LastError().message());
  }
  ends_.assign(ends);
  return port_.Listen(listen);
}

void ConnectionGuard::Port::Start(std::function<void(int)> take) {
  take_ = std::move(take);
  together_->alarm = [this] { asio::post(io_, [this] { LookAtAnswers(); }); };
  for (tcp::acceptor& acceptor : port_.acceptors()) Accept(acceptor);
  AwaitEnds();
  LookAgain();
  thread_ = std::thread([this] { Run(); });
}

void ConnectionGuard::Port::Run() {
  for (;;) {
    bool is_done = false;
    Try([&] {
      io_.run();
      is_done = true;
    });
    if (is_done) return;
  }
}

void ConnectionGuard::Port::StopListening() {
  if (!thread_.joinable()) return port_.Close();
  std::promise<void> stopped;
  asio::post(io_, [this, &stopped] {
    port_.Close();
    stopped.set_value();
  });
  stopped.get_future().wait();
}

void ConnectionGuard::Port::Accept(tcp::acceptor& acceptor) {
  acceptor.async_wait(tcp::acceptor::wait_read,
                      [this, &acceptor](const boost::system::error_code& e) {
                        if (e || !acceptor.is_open()) return;
                        bool goes_on = false;
                        Try([&] { goes_on = AcceptSome(acceptor); });
                        if (goes_on) return Accept(acceptor);
                        const auto pause = std::make_shared<asio::steady_timer>(io_, kPause);
                        pause->async_wait([this, &acceptor, pause](const auto&) {
                          if (acceptor.is_open()) Accept(acceptor);
                        });
                      });
}

bool ConnectionGuard::Port::AcceptSome(tcp::acceptor& acceptor) {
  for (int i = 0; i < kAcceptedAtOnce; ++i) {
    tcp::endpoint peer;
    socklen_t size = static_cast<socklen_t>(peer.capacity());
    Descriptor descriptor(
        accept4(acceptor.native_handle(), peer.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (descriptor.number() >= 0) {
      peer.resize(size);
      Take(std::move(descriptor), peer);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return true;
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      const std::string error = LastError().message();
      if (log_.Says(PeerLog::Kind::kFailure, error)) {
        spdlog::error("can't accept callers' connections: {}", error);
      }
      return false;
    }  // else this one has ended already
  }
  return true;
}

void ConnectionGuard::Port::Take(Descriptor descriptor, const tcp::endpoint& peer) {
  // One that was reset already: gRPC would ask whose it is, and say in the log that it can't tell.
  if (!HasPeer(descriptor.number())) return;
  const Clock::time_point now = Clock::now();
  if (connections_.size() + ended_.size() >= room_) {
    return Refuse(std::move(descriptor), peer, Refusal::kMaxConnections);
  }
  const auto why = peers_.Admit(peer.address(), now);
  // The next look makes room, so that others find it.
  if (peers_.crowded() && why.value_or(Refusal::kMaxConnections) == Refusal::kMaxConnections) {
    ++newcomers_;
  }
  if (why) return Refuse(std::move(descriptor), peer, *why);
  absl::Cleanup leave = [&] { peers_.Ended(peer.address(), now); };
  Descriptor own(fcntl(descriptor.number(), F_DUPFD_CLOEXEC, 0));
  if (own.number() < 0 || descriptor.number() >= kMaxDescriptors) {
    return Refuse(std::move(descriptor), peer, Refusal::kMaxConnections);
  }
  GuardedConnection::Options options = guarded_;
  options.trusted = options_.peers.trusted_proxies.Contains(peer.address());
  options.spent = peers_.SpentBy(peer.address(), now);
  const auto connection =
      std::make_shared<GuardedConnection>(own.number(), peer, options, together_);
  const int watched = own.Release();
  auto* const raw = connection.get();
  connections_.emplace(raw, Guarded{.connection = connection,
                                    .handed = descriptor.number(),
                                    .trusted = options.trusted,
                                    .called = now});
  absl::Cleanup forget = [&] { connections_.erase(raw); };
  // Edge-triggered and without an event but the end, which epoll always tells: data wakes nobody.
  epoll_event event{};
  event.events = EPOLLET;
  event.data.ptr = raw;
  if (epoll_ctl(ends_.native_handle(), EPOLL_CTL_ADD, watched, &event) != 0) {
    return Refuse(std::move(descriptor), peer, Refusal::kMaxConnections);
  }
  Intercept(descriptor.number(), connection);
  std::move(forget).Cancel();
  std::move(leave).Cancel();
  ++open_;
  ++accepted_;
  take_(descriptor.Release());
}

void ConnectionGuard::Port::Refuse(Descriptor descriptor, const tcp::endpoint& peer, Refusal why) {
  ++refused_[static_cast<std::size_t>(why)];
  const std::string address = peer.address().to_string();
  if (log_.Says(PeerLog::Kind::kRefused, address)) {
    spdlog::warn("refused a connection of {}: {}", address,
                 kRefusalNames[static_cast<std::size_t>(why)]);
  }
  Reset(descriptor.Release());
}

void ConnectionGuard::Port::AwaitEnds() {
  ends_.async_wait(asio::posix::stream_descriptor::wait_read,
                   [this](const boost::system::error_code& error) {
                     if (error) return;
                     Try([this] { TakeEnds(); });
                     AwaitEnds();
                   });
}

// Each is told of once.
void ConnectionGuard::Port::TakeEnds() {
  epoll_event events[64];
  int count = 0;
  do {
    count = epoll_wait(ends_.native_handle(), events, 64, 0);
    for (int i = 0; i < count; ++i) {
      Try([&] { End(static_cast<GuardedConnection*>(events[i].data.ptr)); });
    }
  } while (count == 64);
}

void ConnectionGuard::Port::End(GuardedConnection* connection) {
  const auto found = connections_.find(connection);
  if (found == connections_.end()) return;
  const Clock::time_point now = Clock::now();
  const auto reason = connection->cut();
  const auto ended =
      ended_.emplace(now + kSoon, Ended{.guarded = found->second, .counted = reason.has_value()});
  connections_.erase(found);
  --open_;
  epoll_ctl(ends_.native_handle(), EPOLL_CTL_DEL, connection->descriptor(), nullptr);
  peers_.Ended(connection->peer().address(), now);
  burdens_ += connection->conduct().open_calls().open() > UnreadAnswers::kFew;
  connection->Ended();
  if (reason) {
    Abort(connection->descriptor());
    CountCut(*connection, *reason);
  }
  TellWhatIsSpent(*connection, now);
  if (!Forget(ended, now)) ForgetSoon();
}

void ConnectionGuard::Port::TellWhatIsSpent(const GuardedConnection& connection,
                                            Clock::time_point now) {
  peers_.HasSpent(connection.peer().address(), connection.conduct().spent(now), now);
}

bool ConnectionGuard::Port::Forget(Farewells::iterator ended, Clock::time_point now) {
  const auto connection = ended->second.guarded.connection;
  const int handed = ended->second.guarded.handed;
  if (connection->Has(handed)) return false;
  const bool was_counted = ended->second.counted;
  ended_.erase(ended);
  StopIntercepting(handed, connection);
  connection->Closed();
  // What its peer had sent may have been read, and judged, after its end.
  TellWhatIsSpent(*connection, now);
  const auto reason = connection->cut();
  if (reason && !was_counted) CountCut(*connection, *reason);
  return true;
}

void ConnectionGuard::Port::ForgetEnded(Clock::time_point now) {
  while (!ended_.empty() && ended_.begin()->first <= now) {
    const auto ended = ended_.begin();
    if (Forget(ended, now)) continue;
    auto waiting = ended_.extract(ended);
    waiting.key() = now + kFarewell;
    ended_.insert(std::move(waiting));
  }
}

void ConnectionGuard::Port::ForgetSoon() {
  if (std::exchange(is_farewell_near_, true)) return;
  farewell_.expires_after(kSoon);
  farewell_.async_wait([this](const boost::system::error_code& error) {
    is_farewell_near_ = false;
    if (error) return;
    const Clock::time_point now = Clock::now();
    Try([&] { ForgetEnded(now); });
    if (!ended_.empty() && ended_.begin()->first <= now + kSoon) ForgetSoon();
  });
}

void ConnectionGuard::Port::CountCut(const GuardedConnection& connection, CutReason reason) {
  ++cut_[static_cast<std::size_t>(reason)];
  // What is short may be so for somebody else's doing.
  const bool is_offence = reason != CutReason::kMemory && reason != CutReason::kMadeRoom;
  const Clock::duration wait =
      is_offence ? peers_.Cut(connection.peer().address(), Clock::now()) : Clock::duration::zero();
  const std::string address = connection.peer().address().to_string();
  if (!log_.Says(PeerLog::Kind::kCut, address)) return;
  spdlog::warn("cut a connection of {}: {}, after {} calls and {} bytes; the address waits {} ms",
               address, kCutReasonNames[static_cast<std::size_t>(reason)],
               connection.conduct().calls(), connection.wire_bytes(),
               std::chrono::duration_cast<milliseconds>(wait).count());
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
