// Replicas that share a log, with everything at random.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
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
  // What each entry has been seen to be, at whichever replica.
  void CheckEqual() {
    for (const auto& replica : replicas_) {
      const auto entry = StateOf(*replica);
      if (!entry) continue;
      const auto numbers = AvailableInMemory(*replica);
      const auto [known, is_new] = states_.try_emplace(entry->sequence, numbers);
      EXPECT_EQ(known->second, numbers) << "at entry " << entry->sequence;
    }
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
  std::map<std::uint64_t, std::vector<std::string>> states_;
};

TEST_P(SharedModelTest, EqualContentAtEqualEntriesAndNoWriteIsForgotten) {
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  std::vector<std::shared_ptr<Call<AvailabilityAnswer>>> reads;
  for (int i = 10; i < 40; ++i) free_.insert("+130500000" + std::to_string(i));
  Provide();
  int leases = 0;
  for (int step = 0; step < 150; ++step) {
    Replica& replica = At(random() % 3);
    script_.hold = random() % 2 == 0;
    switch (random() % 8) {
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
      default:
        Pass(milliseconds(random() % 900));
    }
    Provide();
    CheckEqual();
    CheckWritesAreSeen();
  }
  script_.hold = false;
  while (!script_.held.empty()) script_.Release(script_.held.front()->operation);
  Settle();
  Pass(milliseconds(1));
  Available(At(0), milliseconds(0));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(AvailableInMemory(At(i)), std::vector(free_.begin(), free_.end())) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SharedModelTest, testing::Range(1, 9));

}  // namespace
}  // namespace leasegateway
