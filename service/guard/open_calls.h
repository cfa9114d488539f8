#ifndef LEASE_GATEWAY_SERVICE_GUARD_OPEN_CALLS_H_
#define LEASE_GATEWAY_SERVICE_GUARD_OPEN_CALLS_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "service/guard/frame_reader.h"

namespace leasegateway {

// The calls that a connection has open: begun by the peer, and ended neither by the last frame of
// an answer, nor by a reset of either side (RFC 9113, 5.1). gRPC 1.51 holds some 17 KiB for each.
// And those of them that wait for the peer, as it gives their answers no window (5.2) or the socket
// takes no more; a call that the service is busy with, or a watch with no news, waits for nobody.
//
// What the peer sends is told by one thread at a time, and so is what it is sent; they may be two.
// An uncontended lock and a look-up each: some 50 ns for what a call is told of.
class OpenCalls {
 public:
  // What connections have together; outlives this. Null: nothing is counted there.
  explicit OpenCalls(std::atomic<std::int64_t>* waiting_in_all = nullptr)
      : waiting_in_all_(waiting_in_all) {}
  ~OpenCalls() { Close(); }
  OpenCalls(const OpenCalls&) = delete;
  OpenCalls& operator=(const OpenCalls&) = delete;

  // What the peer sends. A call is begun once.
  void Begin(std::uint32_t stream);
  void Reset(std::uint32_t stream);
  // SETTINGS_INITIAL_WINDOW_SIZE, of calls that there are as well.
  void SetWindow(std::uint32_t bytes);
  // WINDOW_UPDATE; of the connection when `stream` is 0.
  void Widen(std::uint32_t stream, std::uint32_t bytes);

  // The next bytes that the peer is sent, without TLS: before it may have them, so that it is never
  // taken to have a call open of which it knows the end. `ended` is called with each stream
  // whose answer they end, or that they reset; it may call nothing of this.
  void Send(std::string_view bytes, absl::FunctionRef<void(std::uint32_t stream)> ended);
  void Send(std::string_view bytes) {
    Send(bytes, [](std::uint32_t) {});
  }
  // The socket took less than it was offered, or all of it again.
  void SetFull(bool is_full);
  // The connection has ended: nothing waits any more, in all either.
  void Close();

  // From any thread.
  std::uint32_t open() const { return open_.load(std::memory_order_relaxed); }
  std::uint32_t waiting() const { return waiting_.load(std::memory_order_relaxed); }
  // Answers that the peer was sent to their end so far.
  std::uint64_t answers() const { return answers_.load(std::memory_order_relaxed); }
  // Bytes of answers (HEADERS, DATA) that the peer was sent so far.
  std::uint64_t answered() const { return answered_.load(std::memory_order_relaxed); }

 private:
  // All with `mutex_`.
  bool OnSent(const FrameHeader& frame);  // whether its stream has ended with it
  void End(std::uint32_t stream);
  bool Waits(std::int64_t widened) const { return window_ + widened <= 0; }
  void Change(std::int64_t& widened, std::int64_t by);
  void Count();

  std::atomic<std::int64_t>* const waiting_in_all_;
  FrameReader sent_{FrameReader::Sender::kServer};  // of who tells of it
  std::mutex mutex_;
  // By stream: what the peer has widened its window by, less what it was sent.
  absl::flat_hash_map<std::uint32_t, std::int64_t> calls_;
  std::int64_t window_ = 65'535;        // that a call begins with
  std::int64_t whole_window_ = 65'535;  // of the connection, that is left
  std::uint32_t without_window_ = 0;    // calls
  bool is_closed_ = false;
  std::atomic<bool> is_full_{false};
  std::atomic<std::uint32_t> open_{0};
  std::atomic<std::uint32_t> waiting_{0};
  std::atomic<std::uint64_t> answered_{0};
  std::atomic<std::uint64_t> answers_{0};
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_OPEN_CALLS_H_
