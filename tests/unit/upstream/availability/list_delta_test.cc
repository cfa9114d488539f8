#include "upstream/availability/list_delta.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/availability/list_log.pb.h"

namespace leasegateway {
namespace {

using Entries = std::vector<std::string_view>;

std::string ListOfNumbers(const std::vector<std::string>& phone_numbers) {
  v1::ListAvailableNumbersResponse list;
  for (const std::string& phone_number : phone_numbers) {
    list.add_numbers()->set_phone_number(phone_number);
  }
  return list.SerializeAsString();
}

std::vector<std::string> MadeUp(int count, int first = 0) {
  std::vector<std::string> phone_numbers;
  for (int i = 0; i < count; ++i) {
    phone_numbers.push_back("+1305" + std::to_string(1'000'000 + first + i));
  }
  return phone_numbers;
}

TEST(ListDeltaTest, EntriesEndWhereAnotherFieldBegins) {
  v1::ListAvailableNumbersResponse list;
  list.add_numbers()->set_phone_number("+1");
  list.add_numbers()->set_phone_number("+2");
  list.set_total_size(2);
  list.mutable_metadata()->set_upstream_request_id("req");
  const std::string bytes = list.SerializeAsString();
  const auto entries = EntriesOf(bytes);
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 2U);
  v1::ListAvailableNumbersResponse first;
  ASSERT_TRUE(first.ParseFromString(std::string((*entries)[0])));
  EXPECT_EQ(first.numbers(0).phone_number(), "+1");
}

TEST(ListDeltaTest, EntriesThatAreCutAreNone) {
  const std::string bytes = ListOfNumbers({"+13050000001"});
  EXPECT_FALSE(EntriesOf(std::string_view(bytes).substr(0, bytes.size() - 1)));
}

TEST(ListDeltaTest, WhatIsNotNewCostsNextToNothing) {
  const std::string before = ListOfNumbers(MadeUp(10'000));
  EXPECT_LT(EncodeDelta(*EntriesOf(before), *EntriesOf(before)).size(), 32U);
}

TEST(ListDeltaTest, AnyListMakesAnyOther) {
  std::mt19937 random(15);
  std::vector<std::string> now = MadeUp(50);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> next = now;
    for (int i = 0; i < 5; ++i) {
      const auto at = [&] { return static_cast<std::ptrdiff_t>(random() % next.size()); };
      if (random() % 3 == 0) next.erase(next.begin() + at());
      if (random() % 3 == 0) next.insert(next.begin() + at(), MadeUp(1, round * 5 + 100 + i)[0]);
      if (random() % 5 == 0) std::swap(next[static_cast<std::size_t>(at())], next.back());
    }
    const std::string before = ListOfNumbers(now);
    const std::string after = ListOfNumbers(next);
    const std::string delta = EncodeDelta(*EntriesOf(before), *EntriesOf(after));
    ASSERT_EQ(ApplyDelta(*EntriesOf(before), delta), after) << round;
    now = next;
  }
}

TEST(ListDeltaTest, DeltaToAnotherListIsRefused) {
  const std::string before = ListOfNumbers(MadeUp(10));
  const std::string after = ListOfNumbers(MadeUp(11));
  const std::string delta = EncodeDelta(*EntriesOf(before), *EntriesOf(after));
  EXPECT_FALSE(ApplyDelta(*EntriesOf(ListOfNumbers(MadeUp(10, 5))), delta));  // other entries
  EXPECT_FALSE(ApplyDelta(Entries(), delta));                                 // too few
  EXPECT_FALSE(ApplyDelta(*EntriesOf(before), "garbage"));
}

TEST(ListDeltaTest, DeltaThatMakesTooMuchIsRefused) {
  const std::string entry(std::size_t{1} << 20, 'x');
  internal::ListDelta delta;
  for (int i = 0; i < 513; ++i) delta.add_pieces()->set_count(1);
  EXPECT_FALSE(ApplyDelta({entry}, delta.SerializeAsString()));
}

TEST(ListDeltaTest, WritesComeBack) {
  for (const auto effect : {Write::Effect::kLeased, Write::Effect::kGone, Write::Effect::kEnded,
                            Write::Effect::kUnknown, Write::Effect::kConfigured}) {
    Write write;
    write.effect = effect;
    write.phone_number = "+1";
    write.lease.set_lease_id("lease");
    const auto back = DecodeWrite(EncodeWrite(write));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->effect, effect);
    EXPECT_EQ(back->phone_number, "+1");
    EXPECT_EQ(back->lease.lease_id(), "lease");
  }
  EXPECT_FALSE(DecodeWrite(""));  // no effect
  EXPECT_FALSE(DecodeWrite("garbage"));
}

}  // namespace
}  // namespace leasegateway
