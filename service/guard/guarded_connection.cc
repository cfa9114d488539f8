#include "service/guard/guarded_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "service/guard/unread_answers.h"

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

// Rapid resets of a connection's allowance that it may have spent, when all together have done too
// many: until the service is done with a call that was reset, gRPC has its memory.
constexpr std::uint32_t kManyResets = 128;

// A TLS record carries up to 16 KiB in a few bytes more. Who sends records for their own sake is an
// expense too: an eighth of the wire, beside what gRPC may read before it decrypts, is to carry
// something.
constexpr std::uint64_t kWireOverhead = 8;
constexpr std::uint64_t kWireAhead = 8 << 20;

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

// To what one thread at a time writes, so without a locked instruction; as it was before.
std::uint64_t Add(std::atomic<std::uint64_t>& counter, std::uint64_t value) {
  const std::uint64_t before = counter.load(std::memory_order_relaxed);
  counter.store(before + value, std::memory_order_relaxed);
  return before;
}

// A few milliseconds late, and cheaper than one that is not.
Conduct::Clock::time_point CoarseNow() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return Conduct::Clock::time_point(std::chrono::seconds(now.tv_sec) +
                                    std::chrono::nanoseconds(now.tv_nsec));
}

std::uint64_t BytesSent(int descriptor) { return InfoOf(descriptor).bytes_acked; }

}  // namespace

GuardedConnection::GuardedConnection(int descriptor, boost::asio::ip::tcp::endpoint peer,
                                     const Options& options, std::shared_ptr<Together> together)
    : descriptor_(descriptor),
      peer_(std::move(peer)),
      tls_(options.tls),
      trusted_(options.trusted),
      together_(std::move(together)),
      conduct_({.max_streams = options.max_streams,
                .max_metadata_bytes = options.max_metadata_bytes,
                .max_unfinished_bytes = std::max<std::uint64_t>(
                    kUnfinishedBytes, kUnfinishedRequests * options.max_request_bytes),
                .trusted = options.trusted,
                .bytes_sent = [descriptor] { return BytesSent(descriptor); },
                .waiting_in_all = &together_->waiting_calls,
                .spent = options.spent}),
      max_request_bytes_(static_cast<std::int64_t>(options.max_request_bytes)) {}

GuardedConnection::~GuardedConnection() {
  Ended();
  Closed();
  if (descriptor_ >= 0) close(descriptor_);
}

bool GuardedConnection::OnWire(int descriptor, const iovec* parts, std::size_t size) {
  const auto reason = cut() ? cut() : JudgeWire(parts, size);
  if (!reason || !Has(descriptor)) return true;
  Cut(*reason);
  return false;
}

std::optional<CutReason> GuardedConnection::JudgeWire(const iovec* parts, std::size_t size) {
  const std::uint64_t before = Add(wire_bytes_, size);
  if (tls_) {
    if (!greeted()) ReadHello(parts, size);
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
  Add(plain_bytes_, bytes.size());
  const std::uint32_t open_before = conduct_.open_calls().open();
  if (const auto reason = conduct_.Read(bytes, CoarseNow())) return reason;
  if (conduct_.calls() + conduct_.unfinished_calls() > 0 && !together_->has_seen) {
    together_->has_seen = true;
  }
  CountUnfinished();
  if (suspect() && together_->unfinished_calls > kHardStop * Together::kMaxCalls) {
    return CutReason::kUnfinishedCalls;
  }
  if (HoldsTooMuch()) return CutReason::kUnfinishedBytes;
  if (ResetsTooMuch()) return CutReason::kRapidResets;
  if (const auto reason = AsksForTooMuch(open_before)) return reason;
  given_calls_.store(conduct_.open_calls().open(), std::memory_order_relaxed);
  together_->Watch();
  return std::nullopt;
}

bool GuardedConnection::proven() const {
  const OpenCalls& calls = conduct_.open_calls();
  return calls.answers() >= UnreadAnswers::kProven * calls.open() ||
         calls.answered() >= UnreadAnswers::kProvenBytes * calls.open();
}

// It begins many calls, and has taken few answers so far, while gRPC has too many calls of peers
// that do not take theirs, or that were cut. Before sockets are full nothing tells one from those.
std::optional<CutReason> GuardedConnection::AsksForTooMuch(std::uint32_t open_before) const {
  const std::uint32_t open = conduct_.open_calls().open();
  const bool is_much = open > UnreadAnswers::kFew && open > open_before && !trusted_ && !proven() &&
                       together_->stalled_calls + together_->held_calls >
                           static_cast<std::int64_t>(UnreadAnswers::kTooMany);
  if (!is_much) return std::nullopt;
  return conduct_.unfinished_calls() > open / 2 ? CutReason::kUnfinishedCalls
                                                : CutReason::kUnreadAnswers;
}

void GuardedConnection::Hold() {
  const std::int64_t calls = std::min(conduct_.open_calls().open(), given_calls_.load());
  together_->held_calls += calls - held_calls_.exchange(calls);
}

void GuardedConnection::Closed() { together_->held_calls -= held_calls_.exchange(0); }

void GuardedConnection::Together::Watch() {
  if (waiting_calls.load(std::memory_order_relaxed) <= UnreadAnswers::kAttention) return;
  if (alarm && !alarmed.exchange(true)) alarm();
}

bool GuardedConnection::ResetsTooMuch() {
  const std::uint64_t resets = conduct_.rapid_resets();
  const std::uint64_t more = resets - std::exchange(counted_resets_, resets);
  if (more == 0) return false;
  const bool are_left = together_->TakeResets(static_cast<std::int64_t>(more));
  return !are_left && conduct_.spent_resets() > kManyResets * (trusted_ ? Conduct::kTrusted : 1);
}

// Beyond a second's worth of debt more of it would only keep others from theirs for longer.
bool GuardedConnection::Together::TakeResets(std::int64_t count) {
  std::int64_t left = resets.load(std::memory_order_relaxed);
  while (!resets.compare_exchange_weak(left, std::max(left - count, -kResets))) {
  }
  return left >= count;
}

void GuardedConnection::Together::Pass(std::chrono::milliseconds time) {
  resets += std::clamp<std::int64_t>(kResets - resets, 0, kResetsAMillisecond * time.count());
}

// A call that is answered is waited for no more, whether or not its request is there.
void GuardedConnection::Send(std::string_view bytes) {
  bool are_fewer = false;
  conduct_.open_calls().Send(bytes, [&](std::uint32_t stream) {
    conduct_.Answered(stream);
    are_fewer = true;
  });
  if (are_fewer) CountUnfinished();
}

void GuardedConnection::BeforeSend(const iovec* parts, std::size_t count) {
  if (!tls_) conduct_.Answers();
  offered_ = 0;
  for (const iovec* part = parts; part != parts + count; ++part) {
    const std::string_view bytes(static_cast<const char*>(part->iov_base), part->iov_len);
    if (!tls_ && offered_ + bytes.size() > untaken_) {
      Send(bytes.substr(untaken_ - std::min(untaken_, offered_)));
    }
    offered_ += bytes.size();
  }
  untaken_ = std::max(untaken_, offered_);
}

void GuardedConnection::AfterSend(std::int64_t sent) {
  if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) return;
  const auto taken = static_cast<std::size_t>(std::max<std::int64_t>(sent, 0));
  untaken_ -= std::min(untaken_, taken);
  conduct_.open_calls().SetFull(taken < offered_);
  together_->Watch();
}

void GuardedConnection::OnSentPlain(std::string_view bytes) {
  conduct_.Answers();
  Send(bytes);
  together_->Watch();
}

void GuardedConnection::Look() {
  if (const auto reason = conduct_.Look(Conduct::Clock::now())) Cut(*reason);
  CountUnfinished();
}

bool GuardedConnection::suspect() const { return conduct_.unfinished_calls() > kManyUnfinished; }

bool GuardedConnection::HoldsTooMuch() const {
  return counted_bytes_ > kFewRequests * max_request_bytes_ &&
         together_->unfinished_bytes > kHardStop * Together::MaxBytes(max_request_bytes_);
}

// Calls are begun where it reads, and also end where it sends: what one of these has found may be
// no more by the time that it counts it.
void GuardedConnection::CountUnfinished() {
  const auto count = [](std::atomic<std::int64_t>& mine, std::atomic<std::int64_t>& all,
                        std::int64_t now) {
    if (mine.load(std::memory_order_relaxed) == now) return now;
    const std::int64_t before = mine.exchange(now);
    all += now - before;
    return before;
  };
  std::int64_t calls = 0;
  std::int64_t bytes = 0;
  do {
    calls = conduct_.unfinished_calls();
    bytes = static_cast<std::int64_t>(conduct_.unfinished_bytes());
    const std::int64_t before = count(counted_calls_, together_->unfinished_calls, calls);
    const int more = (calls > kManyUnfinished) - (before > kManyUnfinished);
    if (more != 0) together_->suspects += more;
    count(counted_bytes_, together_->unfinished_bytes, bytes);
  } while (calls != conduct_.unfinished_calls() ||
           bytes != static_cast<std::int64_t>(conduct_.unfinished_bytes()));
  if (has_ended_) Ended();  // which may not have found these
}

void GuardedConnection::Ended() {
  has_ended_ = true;
  if (conduct_.open_calls().waiting() > UnreadAnswers::kFew) Hold();
  conduct_.open_calls().Close();
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
  Hold();
  conduct_.open_calls().Close();
  shutdown(descriptor_, SHUT_RDWR);
}

std::optional<CutReason> GuardedConnection::cut() const {
  const int reason = cut_.load(std::memory_order_acquire);
  if (reason < 0) return std::nullopt;
  return static_cast<CutReason>(reason);
}

void GuardedConnection::ReadHello(const iovec* parts, std::size_t size) {
  const std::lock_guard lock(mutex_);
  for (const iovec* part = parts; size > 0; ++part) {
    const std::size_t length = std::min(size, part->iov_len);
    hello_.Read({static_cast<const char*>(part->iov_base), length});
    size -= length;
  }
  greeted_.store(hello_.is_over(), std::memory_order_release);
}

std::optional<GuardedConnection::Random> GuardedConnection::random() const {
  const std::lock_guard lock(mutex_);
  return hello_.random();
}

}  // namespace leasegateway
