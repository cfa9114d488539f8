#ifndef LEASE_GATEWAY_SERVICE_GUARD_GUARDED_CONNECTION_H_
#define LEASE_GATEWAY_SERVICE_GUARD_GUARDED_CONNECTION_H_

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>

#include "service/guard/client_hello.h"
#include "service/guard/conduct.h"
#include "service/guard/cut_reason.h"

namespace leasegateway {

// A caller's connection, as the guard has it: a descriptor of its own, which stays when gRPC has
// closed the one that it was handed, and what has come over it. Thread-safe.
class GuardedConnection {
 public:
  // What connections have together. What some reads write is on a line of its own; an ordinary one,
  // whose request comes whole, writes none of it. Above a limit of unfinished calls, the guard
  // chooses who is cut; above twice that, whoever reads and has many is.
  struct Together {
    static constexpr std::int64_t kMaxCalls = 6'000;
    static constexpr std::int64_t kMaxBytes = 80 << 20;  // or so many of the longest requests
    static constexpr std::int64_t kMaxRequests = 16;
    static std::int64_t MaxBytes(std::int64_t max_request_bytes) {
      return std::max(kMaxBytes, kMaxRequests * max_request_bytes);
    }

    static constexpr std::size_t kLine = 64;  // bytes of a cache's

    alignas(kLine) std::atomic<std::int64_t> unfinished_calls{0};
    alignas(kLine) std::atomic<std::int64_t> unfinished_bytes{0};  // of their requests
    // Connections with many of them, which are to be looked at.
    alignas(kLine) std::atomic<int> suspects{0};
    // For their peers to take answers.
    alignas(kLine) std::atomic<std::int64_t> waiting_calls{0};
    std::atomic<std::int64_t> stalled_calls{0};  // of them, those of connections that stall
    // Those that connections had, or left, as they were cut: gRPC has them until it has closed
    // these.
    alignas(kLine) std::atomic<std::int64_t> held_calls{0};
    // Called when those that wait become many, until `alarmed` is taken back; by any thread.
    alignas(kLine) std::function<void()> alarm;
    std::atomic<bool> alarmed{false};
    // A call was seen to begin: reads do come by here.
    std::atomic<bool> has_seen{false};
    // Rapid resets that all may still do; below 0 none may do many.
    alignas(kLine) std::atomic<std::int64_t> resets{kResets};

    static constexpr std::int64_t kResets = 4'096;
    static constexpr std::int64_t kResetsAMillisecond = 4;
    // Whether there were so many; the debt is kResets at most, which a second pays.
    bool TakeResets(std::int64_t count);
    // Calls `alarm`, if it is due.
    void Watch();
    // On one thread.
    void Pass(std::chrono::milliseconds time);
  };
  // The random of a TLS ClientHello, by which OpenSSL's object is known again.
  using Random = ClientHello::Random;

  struct Options {
    bool tls = false;
    bool trusted = false;                         // a proxy, which may carry many callers
    std::uint32_t max_streams = 1'000;            // that gRPC announces
    std::uint32_t max_metadata_bytes = 16 << 10;  // that gRPC announces
    std::uint64_t max_request_bytes = 1 << 20;
    Conduct::Spent spent{};  // of its address's allowances
  };
  // Owns `descriptor`; -1: none.
  GuardedConnection(int descriptor, boost::asio::ip::tcp::endpoint peer, const Options& options,
                    std::shared_ptr<Together> together);
  ~GuardedConnection();
  GuardedConnection(const GuardedConnection&) = delete;
  GuardedConnection& operator=(const GuardedConnection&) = delete;

  // `size` bytes in `parts`, as `descriptor` received them and before gRPC has them. False: gRPC is
  // to have none of them, nor any later ones. When another socket has the number by now, as gRPC
  // has closed this one, its bytes are nobody's offence.
  bool OnWire(int descriptor, const iovec* parts, std::size_t size);
  // The same, of bytes that OpenSSL has decrypted.
  bool OnPlain(std::string_view bytes);
  // `count` parts are about to be sent to the peer by its socket, from the first byte on that it
  // has not taken yet; and then what sendmsg(2) says of it, with errno. One thread at a time, which
  // need not be the one that reads. Nothing that is sent is an offence.
  void BeforeSend(const iovec* parts, std::size_t count);
  void AfterSend(std::int64_t sent);
  // Bytes that OpenSSL has encrypted for it. One thread at a time.
  void OnSentPlain(std::string_view bytes);
  // What only time makes an offence.
  void Look();
  // Ends the connection at once: gRPC reads its end, and so does the peer. Later ones do nothing.
  void Cut(CutReason reason);
  // The connection has ended: it counts no more in what connections have together. Again: nothing.
  void Ended();
  // gRPC has closed it, and has none of its calls any more.
  void Closed();
  // Whether `descriptor` is one of its socket.
  bool Has(int descriptor) const;

  std::optional<CutReason> cut() const;
  // Whether there is no ClientHello to come any more.
  bool greeted() const { return !tls_ || greeted_.load(std::memory_order_acquire); }
  // Of the ClientHello, when that has come. What begins otherwise has none.
  std::optional<Random> random() const;

  int descriptor() const { return descriptor_; }
  const boost::asio::ip::tcp::endpoint& peer() const { return peer_; }
  bool tls() const { return tls_; }
  std::uint64_t wire_bytes() const { return wire_bytes_.load(std::memory_order_relaxed); }
  const Conduct& conduct() const { return conduct_; }  // what may be read from any thread
  bool suspect() const;
  // Whether it has been sent many answers, or long ones, for the calls that it has open.
  bool proven() const;

 private:
  std::optional<CutReason> Judge(std::string_view bytes);
  std::optional<CutReason> JudgeWire(const iovec* parts, std::size_t size);
  void CountUnfinished();
  bool HoldsTooMuch() const;
  bool ResetsTooMuch();
  std::optional<CutReason> AsksForTooMuch(std::uint32_t open_before) const;
  void Hold();
  void Send(std::string_view bytes);
  void ReadHello(const iovec* parts, std::size_t size);

  const int descriptor_;
  const boost::asio::ip::tcp::endpoint peer_;
  const bool tls_;
  const bool trusted_;
  const std::shared_ptr<Together> together_;
  std::atomic<int> cut_{-1};  // a CutReason
  std::atomic<std::uint64_t> wire_bytes_{0};
  std::atomic<std::uint64_t> plain_bytes_{0};
  Conduct conduct_;
  const std::int64_t max_request_bytes_;
  std::atomic<bool> has_ended_{false};
  std::atomic<std::uint32_t> given_calls_{0};   // open after the last read that gRPC was given
  std::atomic<std::int64_t> held_calls_{0};     // in together_
  std::atomic<std::int64_t> counted_calls_{0};  // in together_
  std::atomic<std::int64_t> counted_bytes_{0};  // in together_
  std::uint64_t counted_resets_ = 0;            // in together_; of the thread that reads
  std::size_t offered_ = 0;                     // bytes to the socket; of the thread that sends
  std::size_t untaken_ = 0;                     // of them, that it has not taken; likewise
  std::atomic<bool> greeted_{false};
  mutable std::mutex mutex_;  // of what follows
  ClientHello hello_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_GUARDED_CONNECTION_H_
