#include "service/guard/intercepted_reads.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "service/guard/free_memory.h"
#include "service/guard/intercepted_tls.h"
#include "service/guard/next_function.h"
#include "service/guard/read_turn.h"

namespace leasegateway {
namespace {

using Connection = std::shared_ptr<GuardedConnection>;

// How gRPC waits for a descriptor: the set, and what it has registered there. The set is written
// last.
struct Waiting {
  std::atomic<int> set{-1};
  std::atomic<std::uint32_t> events{0};
  std::atomic<std::uint64_t> data{0};
};

struct Registered {
  explicit Registered(Connection guarded) : connection(std::move(guarded)) {}

  const Connection connection;
  Waiting waiting;
  ReadTurn turn;  // of who reads: gRPC reads a connection on one thread at a time
};

// A descriptor's. Who reads counts itself in `readers` before it looks at `registered`; who takes
// that away waits until nobody is counted.
struct alignas(64) Slot {
  std::atomic<Registered*> registered{nullptr};  // owned
  std::atomic<int> readers{0};
};

// Pages of it that no descriptor has reached take no memory.
Slot slots[kMaxDescriptors];
// Of whoever changes what is registered: gateways of one process come upon the same descriptors,
// and what one looks at may else be another's to delete.
std::mutex slots_mutex;

// gRPC's one epoll set, and the looks at it. -1: none yet.
std::atomic<int> polled{-1};
Looks looks;

void Replace(Slot& slot, Registered* by) {
  Registered* const old = slot.registered.exchange(by);
  if (old == nullptr) return;
  while (slot.readers != 0) std::this_thread::yield();
  delete old;
}

// While it lives what is registered of `descriptor` stays. Costs a load where nothing is.
class Reader {
 public:
  explicit Reader(int descriptor) {
    if (descriptor < 0 || descriptor >= kMaxDescriptors) return;
    Slot& slot = slots[descriptor];
    if (slot.registered.load(std::memory_order_relaxed) == nullptr) return;
    slot_ = &slot;
    ++slot.readers;
    registered_ = slot.registered;
  }
  ~Reader() {
    if (slot_ != nullptr) --slot_->readers;
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  Registered* registered() const { return registered_; }

 private:
  Slot* slot_ = nullptr;
  Registered* registered_ = nullptr;
};

ssize_t NextRecvmsg(int descriptor, msghdr* message, int flags) {
  static auto* const next = NextFunction<ssize_t(int, msghdr*, int)>("recvmsg");
  const UnseenBySanitizer unseen;
  return next(descriptor, message, flags);
}

int NextEpollCtl(int set, int operation, int descriptor, epoll_event* event) {
  static auto* const next = NextFunction<int(int, int, int, epoll_event*)>("epoll_ctl");
  return next(set, operation, descriptor, event);
}

// Has who waits for `descriptor` told anew that it is readable, if it still is, after those that
// are already: gRPC waits for edges, and a read that says "nothing there" waits for one. False:
// nobody would tell.
bool TellAgain(int descriptor, const Waiting& waiting) {
  const int set = waiting.set.load(std::memory_order_acquire);
  if (set < 0) return false;
  epoll_event event{};
  event.events = waiting.events.load(std::memory_order_relaxed);
  event.data.u64 = waiting.data.load(std::memory_order_relaxed);
  return NextEpollCtl(set, EPOLL_CTL_MOD, descriptor, &event) == 0;
}

// The room of a read, of which only so much is to be filled.
class Room {
 public:
  explicit Room(const msghdr& message) {
    for (std::size_t i = 0; i < message.msg_iovlen; ++i) {
      const iovec& part = message.msg_iov[i];
      all_ += part.iov_len;
      if (count_ == parts_.size() || size_ == ReadTurn::kMostBytes) continue;
      const std::size_t size = std::min(part.iov_len, ReadTurn::kMostBytes - size_);
      parts_[count_++] = {part.iov_base, size};
      size_ += size;
    }
  }
  // As recvmsg(2), of which nothing else is changed in `message`.
  ssize_t Fill(int descriptor, msghdr& message, int flags) {
    iovec* const parts = std::exchange(message.msg_iov, parts_.data());
    const auto count = std::exchange(message.msg_iovlen, count_);
    const ssize_t received = NextRecvmsg(descriptor, &message, flags);
    message.msg_iov = parts;
    message.msg_iovlen = count;
    return received;
  }
  std::size_t size() const { return size_; }
  std::size_t all() const { return all_; }

 private:
  std::array<iovec, 16> parts_;
  std::size_t count_ = 0;
  std::size_t size_ = 0;
  std::size_t all_ = 0;
};

// Whether a read that filled its room left something, as far as is known.
bool LeftMore(msghdr& message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level == SOL_TCP && part->cmsg_type == TCP_CM_INQ) {
      int left = 0;
      std::memcpy(&left, CMSG_DATA(part), sizeof(left));
      return left > 0;
    }
  }
  return true;
}

// Whether gRPC is to have what was read.
bool Judge(int descriptor, const Connection& connection, const msghdr& message,
           std::size_t received) {
  const bool greeted = connection->greeted();
  const bool goes_on = connection->OnWire(descriptor, message.msg_iov, received);
  if (!greeted && connection->greeted()) {
    if (const auto random = connection->random()) AddHello(*random, connection);
  }
  return goes_on;
}

ssize_t SayEmpty() {
  errno = EAGAIN;
  return -1;
}

ssize_t Read(int descriptor, Registered& registered, msghdr& message, int flags) {
  ReturnFreeMemoryOfThisThread();
  ReadTurn& turn = registered.turn;
  if (turn.ParsesFirst()) return SayEmpty();
  if (turn.goes_on() && looks.AreDue(Looks::Clock::now()) &&
      TellAgain(descriptor, registered.waiting)) {
    turn.End();
    return SayEmpty();
  }
  Room room(message);
  const ssize_t received = room.Fill(descriptor, message, flags);
  if (received <= 0) {
    turn.End();
    return received;
  }
  const auto size = static_cast<std::size_t>(received);
  const bool is_short = room.size() < room.all();
  // Only gRPC is known to read on: in other hands the number is another socket's by now.
  if (size == room.size() && LeftMore(message) &&
      (!is_short || registered.connection->Has(descriptor))) {
    turn.LeftMore(is_short);
  } else {
    turn.End();
  }
  return Judge(descriptor, registered.connection, message, size) ? received : 0;
}

}  // namespace

void Intercept(int descriptor, Connection connection) {
  if (connection->tls()) GuardTls();
  const std::lock_guard lock(slots_mutex);
  Replace(slots[descriptor], new Registered(std::move(connection)));
}

void StopIntercepting(int descriptor, const Connection& connection) {
  {
    const std::lock_guard lock(slots_mutex);
    Slot& slot = slots[descriptor];
    const Registered* const registered = slot.registered;
    if (registered != nullptr && registered->connection == connection) Replace(slot, nullptr);
  }
  if (const auto random = connection->tls() ? connection->random() : std::nullopt) {
    ForgetHello(*random, connection);
  }
}

}  // namespace leasegateway

extern "C" ssize_t recvmsg(int descriptor, msghdr* message, int flags) {
  const leasegateway::Reader reader(descriptor);
  // Of the socket's errors, which gRPC asks for on any thread, nothing is from the peer.
  return reader.registered() == nullptr || (flags & MSG_ERRQUEUE) != 0
             ? leasegateway::NextRecvmsg(descriptor, message, flags)
             : leasegateway::Read(descriptor, *reader.registered(), *message, flags);
}

extern "C" int epoll_ctl(int set, int operation, int descriptor, epoll_event* event) noexcept {
  const int result = leasegateway::NextEpollCtl(set, operation, descriptor, event);
  if (operation != EPOLL_CTL_ADD || result != 0) return result;
  const leasegateway::Reader reader(descriptor);
  if (leasegateway::Registered* const registered = reader.registered()) {
    registered->waiting.events.store(event->events, std::memory_order_relaxed);
    registered->waiting.data.store(event->data.u64, std::memory_order_relaxed);
    registered->waiting.set.store(set, std::memory_order_release);
    if (leasegateway::polled.load(std::memory_order_relaxed) != set) leasegateway::polled = set;
  }
  return result;
}

extern "C" int epoll_wait(int set, epoll_event* events, int most, int timeout) {
  using leasegateway::looks;
  static auto* const next =
      leasegateway::NextFunction<int(int, epoll_event*, int, int)>("epoll_wait");
  if (set != leasegateway::polled.load(std::memory_order_relaxed)) {
    return next(set, events, most, timeout);
  }
  looks.Begin();
  const int count = next(set, events, most, timeout);
  looks.End();
  return count;
}

extern "C" ssize_t sendmsg(int descriptor, const msghdr* message, int flags) {
  static auto* const next = leasegateway::NextFunction<ssize_t(int, const msghdr*, int)>("sendmsg");
  leasegateway::Connection connection;  // held no longer than needed, as others' sends may block
  {
    const leasegateway::Reader reader(descriptor);
    if (reader.registered() != nullptr) connection = reader.registered()->connection;
  }
  if (connection == nullptr) return next(descriptor, message, flags);
  connection->BeforeSend(message->msg_iov, message->msg_iovlen);
  const ssize_t sent = next(descriptor, message, flags);
  connection->AfterSend(sent);
  return sent;
}
