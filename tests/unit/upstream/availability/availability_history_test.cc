#include "upstream/availability/availability_history.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace leasegateway {
namespace {

using Snapshot = std::shared_ptr<const Availability>;

// A number whose entry is some `bytes` long.
v1::Number SizedNumber(int i, int bytes = 0) {
  v1::Number number;
  number.set_phone_number("+1" + std::to_string(1'000'000 + i));
  number.set_formatted(std::string(static_cast<std::size_t>(bytes), 'f'));
  return number;
}

NumberList NumbersFrom(int first, int count, int bytes = 0) {
  NumberList numbers;
  for (int i = 0; i < count; ++i) *numbers.Add() = SizedNumber(first + i, bytes);
  return numbers;
}

Snapshot Pinned(const NumberList& numbers, const std::string& request_id = "") {
  v1::ResponseMetadata metadata;
  metadata.set_upstream_request_id(request_id);
  return Availability::Build(numbers, metadata, PinInMemory);
}

std::string PageOf(const Availability& list, const v1::AvailabilityFilter& filter,
                   const Order& order, std::size_t offset, std::size_t limit) {
  const Availability::Page page = list.Search(filter, order, offset, limit);
  std::string bytes = std::to_string(page.total) + " ";
  list.AppendNumbers(page.rows, &bytes);
  return bytes;
}

// Few values, so that many numbers are equal in all that they are ordered by.
NumberList RandomList(std::mt19937& random, int count) {
  const auto below = [&](unsigned bound) { return static_cast<int>(random() % bound); };
  NumberList numbers;
  for (int i = 0; i < count; ++i) {
    v1::Number& number = *numbers.Add();
    number = SizedNumber(below(5'000));  // some are there twice
    if (below(5) > 0) {
      auto& price = *number.mutable_pricing()->mutable_monthly_rate();
      price.set_currency_code(below(2) == 0 ? "USD" : "EUR");
      price.set_units(below(4));
    }
    if (below(5) > 0) number.mutable_health()->set_reputation(0.1 * below(10));
    number.mutable_location()->set_country(below(2) == 0 ? "US" : "CA");
    number.mutable_location()->set_city("City " + std::to_string(below(7)));
  }
  return numbers;
}

TEST(AvailabilityHistoryTest, EveryPageIsAsBefore) {
  const char* const orders[] = {"", "phone_number desc", "health.reputation desc",
                                "pricing.monthly_rate, health.reputation",
                                "pricing.monthly_rate desc, health.reputation, phone_number desc"};
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same each time
  AvailabilityHistory history;
  std::vector<Snapshot> kept;
  for (int round = 0; round < 12; ++round) {
    NumberList numbers = RandomList(random, static_cast<int>(random() % 200));
    Snapshot before = Pinned(numbers, std::to_string(round));
    for (unsigned left_out = random() % 3; left_out > 0 && !numbers.empty(); --left_out) {
      const int at = static_cast<int>(random() % static_cast<unsigned>(numbers.size()));
      if (const auto without = before->Without(numbers.at(at).phone_number(), PinInMemory)) {
        before = without;
      }
    }
    kept.push_back(history.Add(*before));
    const Availability& after = *kept.back();
    EXPECT_EQ(after.size(), before->size());
    EXPECT_EQ(after.metadata().upstream_request_id(), std::to_string(round));
    for (const char* const order_by : orders) {
      const Order order = ParseOrderBy(order_by).value();
      for (int i = 0; i < 8; ++i) {
        v1::AvailabilityFilter filter;
        if (random() % 2 == 0) filter.add_countries("us");
        if (random() % 2 == 0) filter.add_cities("city " + std::to_string(random() % 8));
        if (random() % 3 == 0) filter.set_min_reputation(0.5);
        if (random() % 3 == 0) filter.set_number_suffix(std::to_string(random() % 10));
        if (random() % 3 == 0) filter.set_number_prefix("+110");
        const std::size_t limit = 1 + random() % 60;
        for (std::size_t offset = 0; offset <= before->size(); offset += limit) {
          ASSERT_EQ(PageOf(after, filter, order, offset, limit),
                    PageOf(*before, filter, order, offset, limit))
              << round << " " << order_by << " " << filter.ShortDebugString() << " " << offset;
        }
      }
    }
    EXPECT_TRUE(Availability::Compare(before.get(), after).empty());
  }
}

TEST(AvailabilityHistoryTest, HoldsEachNumberOnce) {
  constexpr int kBytes = 10'000;
  AvailabilityHistory history;
  const Snapshot first = history.Add(*Pinned(NumbersFrom(0, 100, kBytes)));
  const std::size_t one = history.MemoryBytes();
  EXPECT_GT(one, 100U * kBytes);
  EXPECT_LT(one, 110U * kBytes);
  // Two numbers are new.
  const Snapshot second = history.Add(*Pinned(NumbersFrom(2, 100, kBytes)));
  EXPECT_GT(history.MemoryBytes() - one, 2U * kBytes);
  EXPECT_LT(history.MemoryBytes() - one, 5U * kBytes);
  const Order order;
  EXPECT_EQ(PageOf(*second, {}, order, 0, 200),
            PageOf(*Pinned(NumbersFrom(2, 100, kBytes)), {}, order, 0, 200));
}

TEST(AvailabilityHistoryTest, ANumberThatChangedIsAnother) {
  AvailabilityHistory history;
  NumberList numbers = NumbersFrom(0, 10, 10);
  const Snapshot first = history.Add(*Pinned(numbers));
  numbers[3].set_formatted("another");
  const Snapshot second = history.Add(*Pinned(numbers));
  EXPECT_EQ(first->NumberAt(3).formatted(), std::string(10, 'f'));
  EXPECT_EQ(second->NumberAt(3).formatted(), "another");
}

TEST(AvailabilityHistoryTest, TheSameNumbersAgainHoldNextToNothing) {
  AvailabilityHistory history;
  const NumberList numbers = NumbersFrom(0, 1'000);
  const Snapshot first = history.Add(*Pinned(numbers, "first"));
  const std::size_t one = history.MemoryBytes();
  const Snapshot second = history.Add(*Pinned(numbers, "second"));
  EXPECT_LT(history.MemoryBytes() - one, 1'000U);
  EXPECT_EQ(first->metadata().upstream_request_id(), "first");
  EXPECT_EQ(second->metadata().upstream_request_id(), "second");
}

TEST(AvailabilityHistoryTest, ListsThatLeaveOutNumbersHoldNextToNothing) {
  AvailabilityHistory history;
  const Snapshot whole = Pinned(NumbersFrom(0, 1'000));
  const Snapshot one_left_out = whole->Without(SizedNumber(5).phone_number(), PinInMemory);
  const Snapshot two_left_out = one_left_out->Without(SizedNumber(6).phone_number(), PinInMemory);
  const Snapshot first = history.Add(*whole);
  const std::size_t one = history.MemoryBytes();
  const Snapshot second = history.Add(*one_left_out);
  const Snapshot third = history.Add(*two_left_out);
  EXPECT_LT(history.MemoryBytes() - one, 2'000U);
  EXPECT_EQ(first->size(), 1'000U);
  EXPECT_EQ(second->size(), 999U);
  EXPECT_EQ(third->size(), 998U);
}

TEST(AvailabilityHistoryTest, WhatNobodyRefersToIsFreed) {
  AvailabilityHistory history;
  EXPECT_EQ(history.MemoryBytes(), 0U);
  Snapshot first = history.Add(*Pinned(NumbersFrom(0, 1'000, 100)));
  const std::size_t one = history.MemoryBytes();
  Snapshot second = history.Add(*Pinned(NumbersFrom(500, 1'000, 100)));
  Snapshot third = history.Add(*Pinned(NumbersFrom(500, 1'000, 100)));
  first.reset();  // half of its numbers are in the others
  EXPECT_GT(history.MemoryBytes(), one);
  EXPECT_LT(history.MemoryBytes(), one + one / 10);
  second.reset();
  EXPECT_EQ(third->NumberAt(0).phone_number(), SizedNumber(500).phone_number());
  third.reset();
  EXPECT_EQ(history.MemoryBytes(), 0U);
}

TEST(AvailabilityHistoryTest, ResultsOutliveIt) {
  auto history = std::make_unique<AvailabilityHistory>();
  const Snapshot list = history->Add(*Pinned(NumbersFrom(0, 10)));
  history.reset();
  EXPECT_EQ(list->NumberAt(9).phone_number(), SizedNumber(9).phone_number());
}

TEST(AvailabilityHistoryTest, HasNoRepliesToPlainReads) {
  AvailabilityHistory history;
  const Snapshot list = history.Add(*Pinned(NumbersFrom(0, 10)));
  EXPECT_FALSE(list->list_reply());
  EXPECT_FALSE(list->FindNumber(SizedNumber(0).phone_number()));
  EXPECT_EQ(list->Without(SizedNumber(0).phone_number(), PinInMemory), nullptr);
}

TEST(AvailabilityHistoryTest, ThreadsAddReadAndFreeAtATime) {
  AvailabilityHistory history;
  std::vector<Snapshot> sources;
  for (int i = 0; i < 8; ++i) sources.push_back(Pinned(NumbersFrom(100 * i, 2'500)));
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::vector<Snapshot> kept(3);
      for (unsigned i = 0; i < 20; ++i) {
        const Availability& source = *sources[(i * 3 + t) % sources.size()];
        Snapshot& list = kept[i % kept.size()] = history.Add(source);
        if (PageOf(*list, {}, {}, 2'450, 50) != PageOf(source, {}, {}, 2'450, 50)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(history.MemoryBytes(), 0U);
}

}  // namespace
}  // namespace leasegateway
