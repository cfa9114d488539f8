#include "service/guard/guarded_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace leasegateway {
namespace {

// Of a connection, at which it is looked at until there are fewer.
constexpr std::int64_t kManyUnfinished = 128;
// Bytes of unfinished requests, or so many of the longest ones, of a connection.
constexpr std::int64_t kUnfinishedBytes = 64 << 20;
constexpr std::int64_t kUnfinishedRequests = 4;
// Of all together: so many times their limits are there before the guard has looked, at most. Then
// none may have many calls, nor bytes of more than two of the longest requests.
constexpr std::int64_t kHardStop = 2;
constexpr std::int64_t kFewRequests = 2;

// A TLS record carries up to 16 KiB in a few bytes more. Who sends records for their own sake is an
// expense too: an eighth of the wire, beside what gRPC may read before it decrypts, is to carry
// something.
constexpr std::uint64_t kWireOverhead = 8;
constexpr std::uint64_t kWireAhead = 8 << 20;

// A record's header, the handshake message's header and its version are before the random.
constexpr std::size_t kRandomAt = 5 + 4 + 2;
constexpr unsigned char kHandshakeRecord = 22;

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
                .bytes_sent = [descriptor] { return BytesSent(descriptor); },
                .left = options.left}),
      max_request_bytes_(static_cast<std::int64_t>(options.max_request_bytes)) {}

GuardedConnection::~GuardedConnection() {
  Ended();
  if (descriptor_ >= 0) close(descriptor_);
}

bool GuardedConnection::OnWire(int descriptor, const iovec* parts, std::size_t size) {
  const auto reason = cut() ? cut() : JudgeWire(parts, size);
  if (!reason || !Has(descriptor)) return true;
  Cut(*reason);
  return false;
}

std::optional<CutReason> GuardedConnection::JudgeWire(const iovec* parts, std::size_t size) {
  const std::uint64_t before = wire_bytes_.fetch_add(size, std::memory_order_relaxed);
  if (tls_) {
    if (before < hello_.size()) ReadHello(parts, size);
    const std::uint64_t plain = plain_bytes_.load(std::memory_order_relaxed);
    if (before <= kWireAhead + kWireOverhead * plain) return std::nullopt;
    return CutReason::kEmptyRecords;
  }
  for (const iovec* part = parts; size > 0; ++part) {
    const std::size_t length = std::min(size, part->iov_len);
    if (const auto reason = Judge({static_cast<const char*>(part->iov_base), length})) {
      return reason;
    }
    size -= length;
  }
  return std::nullopt;
}

bool GuardedConnection::OnPlain(std::string_view bytes) {
  if (cut()) return false;
  const auto reason = Judge(bytes);
  if (reason) Cut(*reason);
  return !reason;
}

std::optional<CutReason> GuardedConnection::Judge(std::string_view bytes) {
  plain_bytes_.fetch_add(bytes.size(), std::memory_order_relaxed);
  if (const auto reason = conduct_.Read(bytes, Conduct::Clock::now())) return reason;
  CountUnfinished();
  if (suspect() && together_->unfinished_calls > kHardStop * Together::kMaxCalls) {
    return CutReason::kUnfinishedCalls;
  }
  if (HoldsTooMuch()) return CutReason::kUnfinishedBytes;
  return std::nullopt;
}

void GuardedConnection::Look() {
  if (const auto reason = conduct_.Look(Conduct::Clock::now())) Cut(*reason);
}

bool GuardedConnection::suspect() const { return conduct_.unfinished_calls() > kManyUnfinished; }

bool GuardedConnection::HoldsTooMuch() const {
  return counted_bytes_ > kFewRequests * max_request_bytes_ &&
         together_->unfinished_bytes > kHardStop * Together::MaxBytes(max_request_bytes_);
}

void GuardedConnection::CountUnfinished() {
  if (has_ended_) return;
  const auto count = [](std::atomic<std::int64_t>& mine, std::atomic<std::int64_t>& all,
                        std::int64_t now) {
    if (mine.load(std::memory_order_relaxed) == now) return now;
    const std::int64_t before = mine.exchange(now);
    all += now - before;
    return before;
  };
  const std::int64_t calls = conduct_.unfinished_calls();
  const std::int64_t before = count(counted_calls_, together_->unfinished_calls, calls);
  together_->suspects += (calls > kManyUnfinished) - (before > kManyUnfinished);
  count(counted_bytes_, together_->unfinished_bytes,
        static_cast<std::int64_t>(conduct_.unfinished_bytes()));
}

void GuardedConnection::Ended() {
  has_ended_ = true;
  const std::int64_t calls = counted_calls_.exchange(0);
  together_->unfinished_calls -= calls;
  if (calls > kManyUnfinished) --together_->suspects;
  together_->unfinished_bytes -= counted_bytes_.exchange(0);
}

// Descriptors of one socket are of one inode.
bool GuardedConnection::Has(int descriptor) const {
  struct stat mine;
  struct stat other;
  return fstat(descriptor_, &mine) == 0 && fstat(descriptor, &other) == 0 &&
         mine.st_ino == other.st_ino;
}

void GuardedConnection::Cut(CutReason reason) {
  int none = -1;
  if (!cut_.compare_exchange_strong(none, static_cast<int>(reason))) return;
  shutdown(descriptor_, SHUT_RDWR);
}

std::optional<CutReason> GuardedConnection::cut() const {
  const int reason = cut_.load(std::memory_order_acquire);
  if (reason < 0) return std::nullopt;
  return static_cast<CutReason>(reason);
}

void GuardedConnection::ReadHello(const iovec* parts, std::size_t size) {
  const std::lock_guard lock(mutex_);
  for (const iovec* part = parts; size > 0 && hello_size_ < hello_.size(); ++part) {
    const std::size_t length = std::min(size, part->iov_len);
    const std::size_t taken = std::min(length, hello_.size() - hello_size_);
    std::copy_n(static_cast<const unsigned char*>(part->iov_base), taken,
                hello_.begin() + static_cast<std::ptrdiff_t>(hello_size_));
    hello_size_ += taken;
    size -= length;
  }
}

std::optional<GuardedConnection::Random> GuardedConnection::random() const {
  const std::lock_guard lock(mutex_);
  if (hello_size_ < hello_.size() || hello_[0] != kHandshakeRecord) return std::nullopt;
  Random random;
  std::copy_n(hello_.begin() + kRandomAt, random.size(), random.begin());
  return random;
}

}  // namespace leasegateway
