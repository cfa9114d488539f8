#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include "service/guard/connection_guard_port.h"
#include "service/guard/free_memory.h"
#include "service/guard/made_room.h"

// What the guard looks at ten times a second.
namespace leasegateway {

using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::milliseconds kLook{100};
constexpr std::chrono::seconds kLookAtCalls{1};
// Per cent of the memory's limit, from which on it is counted what each connection costs.
constexpr std::uint64_t kAttention = 75;

}  // namespace

void ConnectionGuard::Port::LookAgain() {
  timer_.expires_after(kLook);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    LookAgain();
    const Clock::time_point now = Clock::now();
    Try([&] { ForgetEnded(now); });
    // gRPC reads on what came before an end.
    Try([&] {
      for (const auto& [at, ended] : ended_) TellWhatIsLeft(*ended.guarded.connection, now);
    });
    Try([&] { LookAtSuspects(); });
    Try([&] { LookAtCalls(now); });
    Try([&] { MakeRoomForNewcomers(); });
    Try([&] { LookAtSums(now); });
    Try([&] { LookAtMemory(now); });
  });
}

void ConnectionGuard::Port::LookAtSuspects() {
  if (together_->suspects <= 0) return;
  for (auto& [raw, guarded] : connections_) {
    if (raw->suspect()) raw->Look();
  }
}

void ConnectionGuard::Port::LookAtCalls(Clock::time_point now) {
  if (now - looked_at_calls_ < kLookAtCalls) return;
  looked_at_calls_ = now;
  for (auto& [raw, guarded] : connections_) {
    const std::uint64_t calls = raw->conduct().calls();
    if (std::exchange(guarded.answered, calls) != calls) guarded.called = now;
  }
}

void ConnectionGuard::Port::MakeRoomForNewcomers() {
  const std::size_t newcomers = std::exchange(newcomers_, 0);
  if (newcomers == 0) return;
  std::vector<Occupant> occupants;
  std::vector<GuardedConnection*> connections;  // of the same indices
  for (auto& [raw, guarded] : connections_) {
    if (guarded.trusted || raw->cut()) continue;
    occupants.push_back({SiteOf(raw->peer().address()), guarded.called});
    connections.push_back(raw);
  }
  for (const std::size_t index : MakeRoom(occupants, newcomers)) {
    connections[index]->Cut(CutReason::kMadeRoom);
  }
}

void ConnectionGuard::Port::LookAtSums(Clock::time_point now) {
  using Together = GuardedConnection::Together;
  // From half of a limit on it is known how long each has held what it has.
  if (together_->unfinished_calls <= Together::kMaxCalls / 2 &&
      together_->unfinished_bytes <=
          Together::MaxBytes(static_cast<std::int64_t>(options_.max_request_bytes)) / 2) {
    looked_at_sums_ = false;
    return;
  }
  const bool is_first = !std::exchange(looked_at_sums_, true);
  std::vector<UnfinishedSums::Connection> holders;
  std::vector<GuardedConnection*> connections;  // of the same indices
  for (auto& [raw, guarded] : connections_) {
    const std::uint64_t calls = raw->conduct().unfinished_calls();
    const std::uint64_t bytes = raw->conduct().unfinished_bytes();
    const bool has_changed = std::exchange(guarded.unfinished_calls, calls) != calls ||
                             guarded.unfinished_bytes != bytes;
    guarded.unfinished_bytes = bytes;
    if (is_first || has_changed) guarded.unfinished_since = now;
    if (calls == 0 || raw->cut()) continue;
    holders.push_back({.calls = calls,
                       .bytes = bytes,
                       .silent = now - guarded.unfinished_since,
                       .trusted = guarded.trusted});
    connections.push_back(raw);
  }
  for (const auto& [index, reason] : sums_.Choose(holders)) connections[index]->Cut(reason);
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
  std::uint64_t cuts = 0;
  for (const auto& count : cut_) cuts += count;
  const auto decision = pressure_.Look(reading, costs_, cuts, now);
  for (const std::size_t index : decision.cut) costly_[index]->Cut(CutReason::kMemory);
  if (decision.return_memory) ReturnFreeMemory();
}

void ConnectionGuard::Port::LookAtCosts() {
  for (auto& [raw, guarded] : connections_) {
    const Conduct& conduct = raw->conduct();
    MemoryPressure::Connection cost;
    cost.unfinished_calls = conduct.unfinished_calls();
    cost.unfinished_bytes = conduct.unfinished_bytes();
    cost.bytes = raw->wire_bytes() - std::exchange(guarded.bytes, raw->wire_bytes());
    cost.calls = conduct.calls() - std::exchange(guarded.calls, conduct.calls());
    cost.trusted = guarded.trusted;
    costs_.push_back(cost);
    costly_.push_back(guarded.connection);
  }
}

}  // namespace leasegateway
