// Replicas that share a log, with everything at random.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/shared_log_fixture.h"

namespace leasegateway {
namespace {

class SharedModelTest : public CachedAccountLogTest, public testing::WithParamInterface<int> {
 protected:
  void Provide() {
    script_.available = Reply<NumberList>();
    for (const auto& phone_number : free_) {
      *script_.available->value.Add() = LeasableNumber(phone_number);
    }
    script_.leases = Reply<LeaseList>();
    for (const auto& [phone_number, lease] : leased_) {
      *script_.leases->value.Add() = LeaseOf(phone_number, lease);
    }
  }
  // What each entry has been seen to be, at whichever replica. Also of versions of before, which
  // a slow watcher may still be at.
  void CheckEqual() {
    for (const auto& replica : replicas_) {
      const auto answer = replica->cache ? replica->cache->PeekAvailability({}) : std::nullopt;
      auto& versions = versions_[replica.get()];
      if (answer) versions[answer->version] = PhoneNumbers(*answer);
      for (const auto& [version, numbers] : versions) {
        const auto entry = replica->cache->account().EntryOf(version);
        if (!entry) continue;
        const auto [known, is_new] = states_.try_emplace({entry->log, entry->sequence}, numbers);
        EXPECT_EQ(known->second, numbers) << "log " << entry->log << ", entry " << entry->sequence;
      }
    }
  }
  // A watcher that has a list of before goes on anywhere.
  void Resume(Replica& replica, std::size_t place) {
    if (states_.empty()) return;
    const auto& [state, numbers] = *std::next(states_.begin(), place % states_.size());
    const auto first = Do(replica.cache->account().ChangeFrom({state.first, state.second}, Soon()));
    CheckEqual();
    if (!first || !*first) return;
    std::set<std::string> after(numbers.begin(), numbers.end());
    for (const NumberChange& change : *(*first)->numbers) {
      if (change.before) after.erase(change.before->phone_number());
      if (change.after) after.insert(change.after->phone_number());
    }
    const auto known = versions_[&replica].find((*first)->version);
    if (known == versions_[&replica].end()) return;
    EXPECT_EQ(known->second, std::vector(after.begin(), after.end()))
        << "from log " << state.first << ", entry " << state.second;
  }
  // The latest entries are lost, and others get their numbers. What was written there may be shown
  // otherwise until it is asked for again.
  void Crash(std::size_t entries) {
    auto before = std::find_if(saved_.begin(), saved_.end(), [&](const SharedLogContent& saved) {
      return saved.sequence + entries >= log_.sequence;
    });
    if (before == saved_.end()) return;
    log_.GoBackTo(*before);
    saved_.clear();
    has_crashed_ = true;
    log_.Tell();
    Settle();
    CheckEqual();
  }
  void CheckOneAsksForAll(Replica& replica) {
    ReleaseAll();
    Pass(milliseconds(1));
    Available(replica, milliseconds(0));
    const int asked = AvailableRequests();
    for (const auto& each : replicas_) Available(*each);
    EXPECT_EQ(AvailableRequests(), asked);
  }
  void ReleaseAll() {
    script_.hold = false;
    while (!script_.held.empty()) script_.Release(script_.held.front()->operation);
    Settle();
  }
  void CheckWritesAreSeen() {
    for (const auto& replica : replicas_) {
      for (const auto& number : AvailableInMemory(*replica)) {
        EXPECT_FALSE(leased_.contains(number)) << number << " is shown as available";
      }
      const auto ids = LeasesInMemory(*replica);
      if (ids == std::vector<std::string>{"nothing"}) continue;
      for (const auto& [number, lease] : leased_) {
        EXPECT_THAT(ids, testing::Contains(lease)) << number;
      }
      EXPECT_EQ(ids.size(), leased_.size());
    }
  }

  std::set<std::string> free_ = {kA, kB, kC};
  std::map<std::string, std::string> leased_;
  // By log and entry, and by version.
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<std::string>> states_;
  std::map<Replica*, std::map<std::uint64_t, std::vector<std::string>>> versions_;
  bool has_crashed_ = false;
  std::deque<SharedLogContent> saved_;  // at each step since the latest crash
};

TEST_P(SharedModelTest, EqualContentAtEqualEntriesAndNoWriteIsForgotten) {
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  std::vector<std::shared_ptr<Call<AvailabilityAnswer>>> reads;
  for (int i = 10; i < 40; ++i) free_.insert("+130500000" + std::to_string(i));
  Provide();
  const bool crashes = GetParam() % 2 == 0;
  int leases = 0;
  log_.before_exchange = [this] { CheckEqual(); };
  for (int step = 0; step < 250; ++step) {
    saved_.push_back(log_);
    Replica& replica = At(random() % 3);
    script_.hold = random() % 2 == 0;
    switch (random() % 10) {
      case 0:
      case 1:
        reads.push_back(StartAvailable(
            replica, random() % 2 == 0 ? MaxStaleness(milliseconds(0)) : MaxStaleness()));
        break;
      case 2:
        Start(replica.cache->FindLeases(Context()));
        break;
      case 3: {  // somebody else changes what there is
        const std::string number = "+130500001" + std::to_string(random() % 10);
        if (!leased_.contains(number) && !free_.insert(number).second) free_.erase(number);
        break;
      }
      case 4:
        if (free_.empty()) break;
        {
          const std::string number = *std::next(free_.begin(), random() % free_.size());
          const std::string lease = "lease_" + std::to_string(++leases);
          free_.erase(number);
          leased_[number] = lease;
          Provide();
          script_.hold = false;
          ASSERT_TRUE(Lease(replica, number, lease).ok());
        }
        break;
      case 5:
        if (leased_.empty()) break;
        {
          const auto [number, lease] = *std::next(leased_.begin(), random() % leased_.size());
          leased_.erase(number);
          free_.insert(number);
          Provide();
          script_.hold = false;
          ASSERT_TRUE(Terminate(replica, number, lease).ok());
        }
        break;
      case 6:
        script_.Release("ListAvailableNumbers");
        script_.Release("ListLeases");
        Settle();
        break;
      case 7:
        Resume(replica, random());
        break;
      case 8:
        if (crashes && random() % 3 == 0) Crash(random() % 6);
        break;
      default:
        Pass(milliseconds(random() % 900));
    }
    Provide();
    CheckEqual();
    if (!has_crashed_) CheckWritesAreSeen();
  }
  // Each may ask once, since it doesn't know what the refreshes of before have seen.
  ReleaseAll();
  for (const auto& each : replicas_) Available(*each, milliseconds(0));
  CheckOneAsksForAll(At(0));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(AvailableInMemory(At(i)), std::vector(free_.begin(), free_.end())) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SharedModelTest, testing::Range(1, 9));

}  // namespace
}  // namespace leasegateway
