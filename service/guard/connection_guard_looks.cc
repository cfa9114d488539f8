#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "service/guard/connection_guard_port.h"
#include "service/guard/free_memory.h"
#include "service/guard/made_room.h"
#include "service/guard/unread_answers.h"

// What the guard looks at ten times a second, and more often while many calls wait for their peers.
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
      for (const auto& [at, ended] : ended_) TellWhatIsSpent(*ended.guarded.connection, now);
    });
    Try([&] { LookAtSuspects(); });
    Try([&] {
      together_->Pass(kLook);
      together_->Watch();
    });
    Try([&] { LookAtCalls(now); });
    Try([&] { MakeRoomForNewcomers(); });
    Try([&] { LookAtSums(now); });
    Try([&] { LookAtMemory(now); });
    Try([&] { LookWhetherItSees(); });
  });
}

void ConnectionGuard::Port::LookAtSuspects() {
  if (together_->suspects <= 0) return;
  for (auto& [raw, guarded] : connections_) {
    if (raw->suspect()) raw->Look();
  }
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

// Again and again while many calls wait for their peers.
void ConnectionGuard::Port::LookAtAnswers() {
  if (together_->waiting_calls <= UnreadAnswers::kAttention) {
    together_->stalled_calls = 0;
    together_->alarmed = false;
    return;
  }
  answers_timer_.expires_after(UnreadAnswers::kLook);
  answers_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) LookAtAnswers();
  });
  Try([&] { CutWhoStalls(Clock::now()); });
}

void ConnectionGuard::Port::CutWhoStalls(Clock::time_point now) {
  std::uint64_t in_all = 0;  // of those that stall
  std::vector<UnreadAnswers::Connection> seen;
  std::vector<GuardedConnection*> connections;  // of the same indices
  for (auto& [raw, guarded] : connections_) {
    const OpenCalls& calls = raw->conduct().open_calls();
    const auto stalled = guarded.stall.Look(calls.open(), calls.waiting(), calls.answered(), now);
    if (stalled == Clock::duration()) continue;
    seen.push_back({calls.waiting(), stalled, raw->proven(), guarded.trusted});
    connections.push_back(raw);
    if (stalled >= UnreadAnswers::kStalled) in_all += calls.waiting();
  }
  together_->stalled_calls = static_cast<std::int64_t>(in_all);
  for (const std::size_t i : UnreadAnswers::Choose(seen, in_all)) {
    connections[i]->Cut(CutReason::kUnreadAnswers);
  }
}

void ConnectionGuard::Port::LookAtCalls(Clock::time_point now) {
  if (now - looked_at_calls_ < kLookAtCalls) return;
  looked_at_calls_ = now;
  for (auto& [raw, guarded] : connections_) {
    const std::uint64_t calls = raw->conduct().calls();
    // A watch, or a call that takes long, is no idleness.
    const bool has_open = raw->conduct().open_calls().open() > 0;
    if (std::exchange(guarded.answered, calls) != calls || has_open) guarded.called = now;
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
  if (together_->unfinished_calls <= Together::kMaxCalls &&
      together_->unfinished_bytes <=
          Together::MaxBytes(static_cast<std::int64_t>(options_.max_request_bytes))) {
    return;
  }
  std::vector<UnfinishedSums::Connection> holders;
  std::vector<GuardedConnection*> connections;  // of the same indices
  for (auto& [raw, guarded] : connections_) {
    const Conduct& conduct = raw->conduct();
    const std::uint64_t calls = conduct.unfinished_calls();
    if (calls == 0 || raw->cut()) continue;
    // The last of them may have ended just now, or have grown.
    const Clock::time_point oldest = std::min(conduct.oldest_progress(), now);
    holders.push_back({.calls = calls,
                       .bytes = conduct.unfinished_bytes(),
                       .silent = now - oldest,
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
    // The last look at it may be long ago.
    cost.stalls = guarded.stall.time() >= UnreadAnswers::kSooner &&
                  conduct.open_calls().waiting() > UnreadAnswers::kFew;
    cost.unfinished_bytes = conduct.unfinished_bytes();
    cost.bytes = raw->wire_bytes() - std::exchange(guarded.bytes, raw->wire_bytes());
    cost.calls = conduct.calls() - std::exchange(guarded.calls, conduct.calls());
    cost.trusted = guarded.trusted;
    costs_.push_back(cost);
    costly_.push_back(guarded.connection);
  }
}

}  // namespace leasegateway
