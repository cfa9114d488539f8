#include "upstream/availability/logged_lists.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/support/snapshots.h"
#include "upstream/availability/list_delta.h"

namespace leasegateway {
namespace {

constexpr char kOne[] = "+13050000001";
constexpr char kTwo[] = "+13050000002";
constexpr char kThree[] = "+13050000003";

class LoggedListsTest : public testing::Test {
 protected:
  LoggedListsTest() {
    lists_.log = 7;
    page_.log = 7;
  }

  static std::string ReplyOf(const std::vector<std::string>& phone_numbers) {
    v1::ListAvailableNumbersResponse reply;
    for (const auto& phone_number : phone_numbers) *reply.add_numbers() = NumberOf(phone_number);
    return reply.SerializeAsString();
  }
  LogEntry& Append(LogEntry::Kind kind) {
    LogEntry& entry = page_.entries.emplace_back();
    entry.kind = kind;
    entry.sequence = ++page_.sequence;
    entry.mark = 100 + static_cast<std::int64_t>(entry.sequence);
    return entry;
  }
  void AppendWrite(Write::Effect effect, const std::string& phone_number,
                   const std::string& lease_id = "lease") {
    Write write;
    write.effect = effect;
    write.phone_number = phone_number;
    write.lease.set_lease_id(lease_id);
    write.lease.set_phone_number(phone_number);
    LogEntry& entry = Append(LogEntry::Kind::kWrite);
    entry.writer = 5;
    entry.writer_count = entry.sequence;
    entry.content = EncodeWrite(write);
  }
  // The provider has said so.
  void Refresh(const std::vector<std::string>& phone_numbers) {
    lists_ = Advance(lists_, page_, PinInMemory);
    const RefreshToLog refresh = RefreshOf(SharedList::kNumbers, lists_, ReplyOf(phone_numbers));
    EXPECT_EQ(refresh.at, page_.sequence);
    if (refresh.delta) {
      LogEntry& entry = Append(LogEntry::Kind::kNumbers);
      entry.content = *refresh.delta;
      entry.is_whole = refresh.is_whole;
      if (refresh.is_whole) page_.fetches[0].whole_at = entry.sequence;
    }
    page_.fetches[0].time = ++time_;
    page_.fetches[0].metadata = Metadata().SerializeAsString();
  }
  static std::vector<std::string> NumbersIn(const LoggedLists& lists) {
    const auto& numbers = lists[SharedList::kNumbers].numbers;
    if (!numbers) return {"unknown"};
    return PhoneNumbersOf(NumbersOf(*numbers, numbers->AllRows()));
  }
  LoggedLists Now() const { return Advance(lists_, page_, PinInMemory); }

  LoggedLists lists_;
  LogPage page_;
  std::int64_t time_ = 0;
};

TEST_F(LoggedListsTest, EntriesAreAppliedInTheirOrder) {
  Refresh({kOne, kTwo});
  AppendWrite(Write::Effect::kLeased, kOne);
  EXPECT_THAT(NumbersIn(Now()), ElementsAre(kTwo));
  Refresh({kThree, kTwo, kOne});
  EXPECT_THAT(NumbersIn(Now()), ElementsAre(kThree, kTwo, kOne));
  AppendWrite(Write::Effect::kGone, kTwo);
  EXPECT_THAT(NumbersIn(Now()), ElementsAre(kThree, kOne));
  EXPECT_EQ(Now().sequence, 4U);
  EXPECT_EQ(Now().mark, 104);
  EXPECT_EQ(Now()[SharedList::kNumbers].changed_at, 4U);
}

TEST_F(LoggedListsTest, AllAtOnceIsAsOneByOne) {
  Refresh({kOne, kTwo});
  AppendWrite(Write::Effect::kLeased, kOne);
  Refresh({kTwo, kThree});
  AppendWrite(Write::Effect::kLeased, kThree, "other");
  const LoggedLists one_by_one = Now();
  lists_ = LoggedLists();
  lists_.log = 7;
  EXPECT_THAT(NumbersIn(Now()), ElementsAre(kTwo));
  EXPECT_EQ(Now()[SharedList::kNumbers].reply(), one_by_one[SharedList::kNumbers].reply());
  EXPECT_EQ(Now()[SharedList::kNumbers].changed_at, one_by_one[SharedList::kNumbers].changed_at);
}

TEST_F(LoggedListsTest, WhatWasReadIsSkipped) {
  Refresh({kOne, kTwo});
  AppendWrite(Write::Effect::kLeased, kOne);
  lists_ = Now();
  EXPECT_EQ(Now().sequence, lists_.sequence);
  EXPECT_EQ(Now()[SharedList::kNumbers].numbers, lists_[SharedList::kNumbers].numbers);
}

TEST_F(LoggedListsTest, AGapEndsIt) {
  Refresh({kOne, kTwo});
  AppendWrite(Write::Effect::kLeased, kOne);
  AppendWrite(Write::Effect::kLeased, kTwo);
  page_.entries.erase(page_.entries.begin() + 1);
  EXPECT_EQ(Now().sequence, 1U);
  EXPECT_THAT(NumbersIn(Now()), ElementsAre(kOne, kTwo));
}

TEST_F(LoggedListsTest, AListThatCannotBeReadComesBackAsAWhole) {
  Refresh({kOne, kTwo});
  lists_ = Now();
  LogEntry& entry = Append(LogEntry::Kind::kNumbers);
  entry.is_readable = false;
  EXPECT_THAT(NumbersIn(Now()), ElementsAre("unknown"));
  AppendWrite(Write::Effect::kLeased, kOne);  // is nothing to what is unknown
  EXPECT_THAT(NumbersIn(Now()), ElementsAre("unknown"));
  Refresh({kTwo});
  EXPECT_TRUE(page_.entries.back().is_whole);
  EXPECT_THAT(NumbersIn(Now()), ElementsAre(kTwo));
}

TEST_F(LoggedListsTest, ADeltaToSomethingElseIsNotApplied) {
  Refresh({kOne, kTwo});
  lists_ = Now();
  Append(LogEntry::Kind::kNumbers).content = EncodeDelta({}, {});
  EXPECT_THAT(NumbersIn(Now()), IsEmpty());
  page_.entries.back().content[0] ^= 0x55;
  EXPECT_THAT(NumbersIn(Now()), ElementsAre("unknown"));
}

TEST_F(LoggedListsTest, AWriteThatCannotBeReadHasAnUnknownEffect) {
  Refresh({kOne, kTwo});
  AppendWrite(Write::Effect::kLeased, kOne);
  page_.entries.back().is_readable = false;
  const auto writes = WritesIn(page_, 1);
  ASSERT_EQ(writes.size(), 1U);
  EXPECT_EQ(writes[0].sequence, 2U);
  EXPECT_EQ(writes[0].write.effect, Write::Effect::kUnknown);
  EXPECT_EQ(writes[0].write.phone_number, "");
}

TEST_F(LoggedListsTest, AnEqualAnswerIsNoEntry) {
  Refresh({kOne, kTwo});
  Refresh({kOne, kTwo});
  EXPECT_EQ(page_.sequence, 1U);
  Refresh({kTwo, kOne});  // in another order
  EXPECT_EQ(page_.sequence, 2U);
}

TEST_F(LoggedListsTest, TheHeadsTimeIsTakenWhenTheClockWasSetBack) {
  const auto time_of = [&] { return Now()[SharedList::kNumbers].fetch.time; };
  Refresh({kOne, kTwo});
  const std::int64_t known = page_.fetches[0].time = 10'000'000;
  lists_ = Now();
  page_.fetches[0].time = 1'000'000;
  EXPECT_EQ(time_of(), known);
  page_.time = known - 1'000'000;  // a page that is late
  EXPECT_EQ(time_of(), known);
  page_.time = 1'500'000;
  EXPECT_EQ(time_of(), 1'000'000);
}

TEST_F(LoggedListsTest, AListOfWhichTheLogHasNoWholeIsStoredAsOne) {
  Refresh({kOne, kTwo});
  lists_ = Now();
  EXPECT_FALSE(RefreshOf(SharedList::kNumbers, lists_, ReplyOf({kOne, kTwo})).delta);
  lists_[SharedList::kNumbers].fetch.whole_at = 0;
  const RefreshToLog refresh = RefreshOf(SharedList::kNumbers, lists_, ReplyOf({kOne, kTwo}));
  EXPECT_TRUE(refresh.is_whole);
  EXPECT_TRUE(refresh.delta);
}

TEST_F(LoggedListsTest, AWholeIsStoredBesideDifferencesThatHaveGrown) {
  std::vector<std::string> many;
  for (int i = 0; i < 1'000; ++i) many.push_back("+1305" + std::to_string(1'000'000 + i));
  Refresh(many);
  lists_ = Now();
  many.pop_back();
  EXPECT_FALSE(RefreshOf(SharedList::kNumbers, lists_, ReplyOf(many)).checkpoint);
  EXPECT_FALSE(RefreshOf(SharedList::kNumbers, lists_, ReplyOf(many)).is_whole);
  lists_[SharedList::kNumbers].fetch.whole_bytes = 1'000;
  lists_[SharedList::kNumbers].fetch.delta_bytes = 1'001;
  EXPECT_TRUE(RefreshOf(SharedList::kNumbers, lists_, ReplyOf(many)).checkpoint);
  EXPECT_TRUE(RefreshOf(SharedList::kNumbers, lists_, ReplyOf({kOne})).is_whole);
}

TEST_F(LoggedListsTest, LeasesFollowWrites) {
  v1::ListLeasesResponse reply;
  reply.add_leases()->set_lease_id("old");
  reply.mutable_leases(0)->set_phone_number(kTwo);
  const RefreshToLog refresh = RefreshOf(SharedList::kLeases, lists_, reply.SerializeAsString());
  LogEntry& entry = Append(LogEntry::Kind::kLeases);
  entry.content = *refresh.delta;
  entry.is_whole = refresh.is_whole;
  AppendWrite(Write::Effect::kLeased, kOne, "new");
  AppendWrite(Write::Effect::kEnded, kTwo, "old");
  v1::ListLeasesResponse now;
  ASSERT_TRUE(now.ParseFromString(std::string(Now()[SharedList::kLeases].reply())));
  ASSERT_EQ(now.leases_size(), 1);
  EXPECT_EQ(now.leases(0).lease_id(), "new");
  EXPECT_EQ(now.total_size(), 1);
}

TEST_F(LoggedListsTest, RestoredIsAsReadFromTheBeginning) {
  Refresh({kOne, kTwo});
  AppendWrite(Write::Effect::kLeased, kOne);
  RestoredList stored;
  stored.whole = page_.entries[0];
  stored.entries = {page_.entries[1]};
  const auto list = Restored(SharedList::kNumbers, stored, 2, page_.fetches[0], PinInMemory);
  EXPECT_EQ(list.reply(), Now()[SharedList::kNumbers].reply());
  // A gap, and a whole that is broken.
  EXPECT_FALSE(Restored(SharedList::kNumbers, stored, 3, page_.fetches[0], PinInMemory).is_known());
  stored.whole->is_readable = false;
  EXPECT_FALSE(Restored(SharedList::kNumbers, stored, 2, page_.fetches[0], PinInMemory).is_known());
}

}  // namespace
}  // namespace leasegateway
