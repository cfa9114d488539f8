#ifndef LEASE_GATEWAY_SERVICE_GUARD_GUARDED_CONNECTION_H_
#define LEASE_GATEWAY_SERVICE_GUARD_GUARDED_CONNECTION_H_

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>

#include "service/guard/conduct.h"
#include "service/guard/cut_reason.h"

namespace leasegateway {

// A caller's connection, as the guard has it: a descriptor of its own, which stays when gRPC has
// closed the one that it was handed, and what has come over it. Thread-safe.
class GuardedConnection {
 public:
  // What connections have together. Above a limit, the guard chooses who is cut; above twice that,
  // whoever reads and has many is.
  struct Together {
    static constexpr std::int64_t kMaxCalls = 10'000;
    static constexpr std::int64_t kMaxBytes = 128 << 20;  // or so many of the longest requests
    static constexpr std::int64_t kMaxRequests = 16;
    static std::int64_t MaxBytes(std::int64_t max_request_bytes) {
      return std::max(kMaxBytes, kMaxRequests * max_request_bytes);
    }

    std::atomic<std::int64_t> unfinished_calls{0};
    std::atomic<std::int64_t> unfinished_bytes{0};  // of their requests
    std::atomic<int> suspects{0};  // connections with many of them, which are to be looked at
  };
  // The random of a TLS ClientHello (RFC 8446, 4.1.2), by which OpenSSL's object is known again.
  using Random = std::array<unsigned char, 32>;

  struct Options {
    bool tls = false;
    std::uint32_t max_streams = 1'000;            // that gRPC announces
    std::uint32_t max_metadata_bytes = 16 << 10;  // that gRPC announces
    std::uint64_t max_request_bytes = 1 << 20;
    Conduct::Left left{};  // of its address's allowances
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
  // What only time makes an offence.
  void Look();
  // Ends the connection at once: gRPC reads its end, and so does the peer. Later ones do nothing.
  void Cut(CutReason reason);
  // The connection has ended: it counts no more in what connections have together.
  void Ended();
  // Whether `descriptor` is one of its socket.
  bool Has(int descriptor) const;

  std::optional<CutReason> cut() const;
  // Whether there is no ClientHello to come any more.
  bool greeted() const { return !tls_ || wire_bytes() >= hello_.size(); }
  // Of the ClientHello, when that has come.
  std::optional<Random> random() const;

  int descriptor() const { return descriptor_; }
  const boost::asio::ip::tcp::endpoint& peer() const { return peer_; }
  bool tls() const { return tls_; }
  std::uint64_t wire_bytes() const { return wire_bytes_.load(std::memory_order_relaxed); }
  const Conduct& conduct() const { return conduct_; }  // what may be read from any thread
  bool suspect() const;

 private:
  std::optional<CutReason> Judge(std::string_view bytes);
  std::optional<CutReason> JudgeWire(const iovec* parts, std::size_t size);
  void CountUnfinished();
  bool HoldsTooMuch() const;
  void ReadHello(const iovec* parts, std::size_t size);

  const int descriptor_;
  const boost::asio::ip::tcp::endpoint peer_;
  const bool tls_;
  const std::shared_ptr<Together> together_;
  std::atomic<int> cut_{-1};  // a CutReason
  std::atomic<std::uint64_t> wire_bytes_{0};
  std::atomic<std::uint64_t> plain_bytes_{0};
  Conduct conduct_;
  const std::int64_t max_request_bytes_;
  std::atomic<bool> has_ended_{false};
  std::atomic<std::int64_t> counted_calls_{0};  // in together_
  std::atomic<std::int64_t> counted_bytes_{0};  // in together_
  mutable std::mutex mutex_;                    // of what follows
  std::array<unsigned char, 43> hello_{};       // the beginning of the wire
  std::size_t hello_size_ = 0;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_GUARDED_CONNECTION_H_
