#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/two_replicas_fixture.h"

// The argument in postgres_journal.h, tried with everything at random.

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kWindow{20};
constexpr milliseconds kRequestLimit{20};
constexpr int kIds = 3;

// A request that was on its way, from its first byte to its end.
struct Sent {
  std::int64_t replica = 0;
  Clock::time_point from, to;
};

class RequestsApartTest : public TwoReplicasTest {
 protected:
  static PostgresJournal::Options QuickOptions() {
    PostgresJournal::Options options;
    options.request_limit = kRequestLimit;
    options.clock_margin = milliseconds(5);
    return options;
  }

  // One that leases with a replica, on a thread of its own.
  class Caller {
   public:
    Caller(RequestsApartTest& test, std::int64_t id, unsigned seed)
        : test_(test), replica_(test.database_, id, QuickOptions()), random_(seed) {}

    void Step() {
      const std::string id = absl::StrCat("id-", Below(kIds));
      if (Below(4) == 0) LoseSomething();
      if (Below(8) == 0) {
        for (const auto& record : Adopted()) owned_[record.entry.operation.request_id()] = record;
      }
      if (!owned_.contains(id)) Acquire(id);
      const auto at = owned_.find(id);
      if (at != owned_.end()) Work(id, at->second);
      // As a heartbeat that comes late would have it.
      if (Below(10) == 0) test_.database_.Die(replica_.id);
      if (Below(3) == 0) test_.database_.Live(replica_.id);
    }
    JournalReplica& replica() { return replica_; }

   private:
    int Below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }

    void LoseSomething() {
      const std::array<const char*, 4> names{"journal_begin", "journal_update", "journal_take",
                                             "journal_adopt"};
      replica_.lossy->Lose(names[static_cast<std::size_t>(Below(4))], static_cast<Loss>(Below(3)));
      if (Below(3) == 0 && replica_.lossy->late() > 0)
        test_.Get(replica_.lossy->RunLate()).status().IgnoreError();
    }
    std::vector<Record> Adopted() {
      auto records = test_.Get(replica_.journal->Adopt("acme", 10, Below(2) == 0));
      return records.ok() ? *std::move(records) : std::vector<Record>();
    }
    void Acquire(const std::string& id) {
      auto begun = test_.Begin(replica_, id, absl::StrCat("+", id));
      if (!begun.ok() || begun->record.owner == Owner::kAnother) return;
      if (begun->record.owner == Owner::kUs) {
        owned_[id] = std::move(begun->record);
        return;
      }
      auto taken = test_.Get(replica_.journal->TakeOver("acme", id, begun->record.revision));
      if (taken.ok() && taken->owner == Owner::kUs) owned_[id] = *std::move(taken);
    }
    void Work(const std::string& id, Record& record) {
      const bool is_over = Clock::now() >= ends_[id];
      auto change = ChangeOf(record, v1::OPERATION_STATE_SENT);
      if (is_over && Below(4) == 0) {
        change.operation.set_state(v1::OPERATION_STATE_FAILED);
      } else if (is_over && Clock::now() >= record.quiet_at) {
        change.may_send_for = kWindow;
      } else {
        change.operation.set_state(v1::OPERATION_STATE_UNKNOWN);
      }
      const auto updated = test_.Update(replica_, change);
      if (ReasonOf(updated.status()) == reason::kOwnershipLost) owned_.erase(id);
      if (!updated.ok()) return;
      record.revision = updated->revision;
      if (change.operation.state() == v1::OPERATION_STATE_FAILED) {
        owned_.erase(id);
        return;
      }
      if (change.may_send_for.count() == 0) return;
      if (Below(2) == 0) std::this_thread::sleep_for(milliseconds(Below(25)));
      const auto now = Clock::now();
      if (now >= updated->send_before) return;
      ends_[id] = now + milliseconds(Below(static_cast<int>(kRequestLimit.count())));
      const std::lock_guard lock(test_.mutex_);
      test_.sent_[id].push_back({replica_.id, now, ends_[id]});
    }

    RequestsApartTest& test_;
    JournalReplica replica_;
    std::mt19937 random_;
    std::map<std::string, Record> owned_;
    std::map<std::string, Clock::time_point> ends_;  // of our own requests
  };

  std::mutex mutex_;
  std::map<std::string, std::vector<Sent>> sent_;
};

TEST_F(RequestsApartTest, NoTwoReplicasHaveARequestOnItsWayAtOnce) {
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 3; ++i) {
    callers.push_back(std::make_unique<Caller>(*this, 11 + i, 20'261'129u + i));
  }
  std::vector<std::thread> threads;
  for (const auto& caller : callers) {
    threads.emplace_back([&caller] {
      for (int step = 0; step < 250; ++step) caller->Step();
    });
  }
  for (auto& thread : threads) thread.join();
  int handed_over = 0;
  for (auto& [id, requests] : sent_) {
    std::sort(requests.begin(), requests.end(),
              [](const Sent& a, const Sent& b) { return a.from < b.from; });
    for (std::size_t i = 1; i < requests.size(); ++i) {
      if (requests[i].replica == requests[i - 1].replica) continue;
      ++handed_over;
      EXPECT_GE(requests[i].from, requests[i - 1].to) << id;
    }
  }
  EXPECT_GT(handed_over, 5);
}

}  // namespace
}  // namespace leasegateway
