#include "service/guard/guarded_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace leasegateway {
namespace {

// Of a connection, at which it is looked at until there are fewer.
constexpr std::uint32_t kManyUnfinished = 128;
// Of all connections together. Above, none may have many.
constexpr std::int64_t kMaxUnfinished = 10'000;

// Bytes of unfinished requests, or so many of the longest ones: of a connection, and of all
// together. Above that, none may have more than two of the longest.
constexpr std::int64_t kUnfinishedBytes = 64 << 20;
constexpr std::int64_t kUnfinishedRequests = 4;
constexpr std::int64_t kAllUnfinishedBytes = 128 << 20;
constexpr std::int64_t kAllUnfinishedRequests = 16;
constexpr std::int64_t kFewRequests = 2;

// A TLS record carries up to 16 KiB in a few bytes more. Who sends records for their own sake is an
// expense too: an eighth of the wire, beside what gRPC may read before it decrypts, is to carry
// something.
constexpr std::uint64_t kWireOverhead = 8;
constexpr std::uint64_t kWireAhead = 8 << 20;

// A record's header, the handshake message's header and its version are before the random.
constexpr std::size_t kRandomAt = 5 + 4 + 2;
constexpr unsigned char kHandshakeRecord = 22;

// TCP's states (RFC 9293), as Linux numbers them.
constexpr int kEstablished = 1;
constexpr int kCloseWait = 8;

// The beginning of Linux's tcp_info, of which the C library's has less.
struct TcpInfo {
  std::uint8_t state;
  std::uint8_t others[103];
  std::uint64_t pacing_rates[2];
  std::uint64_t bytes_acked;
};

// All zero when the kernel doesn't tell.
TcpInfo InfoOf(int descriptor) {
  TcpInfo info{};
  socklen_t size = sizeof(info);
  getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size);
  return info;
}

std::uint64_t BytesSent(int descriptor) { return InfoOf(descriptor).bytes_acked; }

// Whether this side has neither closed it nor shut it down, as far as the kernel tells.
bool IsOpen(int descriptor) {
  const int state = InfoOf(descriptor).state;
  return state == 0 || state == kEstablished || state == kCloseWait;
}

}  // namespace

GuardedConnection::GuardedConnection(int descriptor, boost::asio::ip::tcp::endpoint peer,
                                     const Options& options, std::shared_ptr<Together> together)
    : descriptor_(descriptor),
      peer_(std::move(peer)),
      tls_(options.tls),
      together_(std::move(together)),
      conduct_({.max_streams = options.max_streams,
                .max_metadata_bytes = options.max_metadata_bytes,
                .max_unfinished_bytes = std::max<std::uint64_t>(
                    kUnfinishedBytes, kUnfinishedRequests * options.max_request_bytes),
                .bytes_sent = [descriptor] { return BytesSent(descriptor); }}),
      max_request_bytes_(static_cast<std::int64_t>(options.max_request_bytes)) {}

GuardedConnection::~GuardedConnection() {
  together_->unfinished_calls -= counted_unfinished_;
  together_->unfinished_bytes -= static_cast<std::int64_t>(counted_bytes_);
  if (counted_unfinished_ > kManyUnfinished) --together_->suspects;
  if (descriptor_ >= 0) close(descriptor_);
}

bool GuardedConnection::OnWire(const iovec* parts, std::size_t size) {
  if (cut()) return false;
  const std::uint64_t before = wire_bytes_.fetch_add(size, std::memory_order_relaxed);
  if (tls_ && before < hello_.size()) {
    const std::lock_guard lock(mutex_);
    std::size_t left = size;
    for (const iovec* part = parts; left > 0; ++part) {
      const std::size_t length = std::min(left, part->iov_len);
      ReadHello({static_cast<const char*>(part->iov_base), length});
      left -= length;
    }
  }
  if (tls_) {
    const std::uint64_t plain = plain_bytes_.load(std::memory_order_relaxed);
    if (before > kWireAhead + kWireOverhead * plain) Cut(CutReason::kEmptyRecords);
    return !cut();
  }
  for (const iovec* part = parts; size > 0; ++part) {
    const std::size_t length = std::min(size, part->iov_len);
    if (!Judge({static_cast<const char*>(part->iov_base), length})) return false;
    size -= length;
  }
  return true;
}

bool GuardedConnection::OnPlain(std::string_view bytes) { return !cut() && Judge(bytes); }

bool GuardedConnection::Judge(std::string_view bytes) {
  plain_bytes_.fetch_add(bytes.size(), std::memory_order_relaxed);
  std::optional<CutReason> reason = conduct_.Read(bytes, Conduct::Clock::now());
  CountUnfinished();
  if (!reason && suspect() && together_->unfinished_calls > kMaxUnfinished) {
    reason = CutReason::kUnfinishedCalls;
  }
  if (!reason && HoldsTooMuch()) reason = CutReason::kUnfinishedBytes;
  if (reason) Cut(*reason);
  return !cut();
}

void GuardedConnection::Look() {
  if (const auto reason = conduct_.Look(Conduct::Clock::now())) Cut(*reason);
}

bool GuardedConnection::suspect() const { return conduct_.unfinished_calls() > kManyUnfinished; }

bool GuardedConnection::HoldsTooMuch() const {
  return static_cast<std::int64_t>(counted_bytes_) > kFewRequests * max_request_bytes_ &&
         together_->unfinished_bytes >
             std::max(kAllUnfinishedBytes, kAllUnfinishedRequests * max_request_bytes_);
}

void GuardedConnection::CountUnfinished() {
  if (const std::uint64_t bytes = conduct_.unfinished_bytes(); bytes != counted_bytes_) {
    together_->unfinished_bytes += static_cast<std::int64_t>(bytes - counted_bytes_);
    counted_bytes_ = bytes;
  }
  const std::uint32_t before = std::exchange(counted_unfinished_, conduct_.unfinished_calls());
  if (counted_unfinished_ == before) return;
  together_->unfinished_calls += static_cast<std::int64_t>(counted_unfinished_) - before;
  together_->suspects += (counted_unfinished_ > kManyUnfinished) - (before > kManyUnfinished);
}

void GuardedConnection::Cut(CutReason reason) {
  if (!IsOpen(descriptor_)) return;
  int none = -1;
  if (!cut_.compare_exchange_strong(none, static_cast<int>(reason))) return;
  shutdown(descriptor_, SHUT_RDWR);
}

std::optional<CutReason> GuardedConnection::cut() const {
  const int reason = cut_.load(std::memory_order_acquire);
  if (reason < 0) return std::nullopt;
  return static_cast<CutReason>(reason);
}

void GuardedConnection::ReadHello(std::string_view bytes) {
  const std::size_t length = std::min(bytes.size(), hello_.size() - hello_size_);
  std::copy_n(bytes.begin(), length, hello_.begin() + static_cast<std::ptrdiff_t>(hello_size_));
  hello_size_ += length;
}

std::optional<GuardedConnection::Random> GuardedConnection::random() const {
  const std::lock_guard lock(mutex_);
  if (hello_size_ < hello_.size() || hello_[0] != kHandshakeRecord) return std::nullopt;
  Random random;
  std::copy_n(hello_.begin() + kRandomAt, random.size(), random.begin());
  return random;
}

}  // namespace leasegateway
