#include "service/rpc/walked_snapshots.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/search_fixture.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TEST_F(SearchTest, UnusedTokenExpires) {
  const auto search = Make();
  const auto list = Snapshot(100, 10);
  const std::string token = Begin(*search, list);
  // Without the sweep, so that the age alone decides.
  now_ += minutes(2);
  ExpectRefused(Ask(*search, Request(1, token), list).status(), reason::kPageTokenExpired);
}

TEST_F(SearchTest, UseKeepsATokenAlive) {
  const auto search = Make();
  // A page in the middle, whose answer has a token too, and the last one, whose has not.
  for (const int size : {10, 2}) {
    SCOPED_TRACE(size);
    const auto list = Snapshot(100, size);
    const std::string token = Begin(*search, list);
    for (int i = 0; i < 10; ++i) {
      Advance(minutes(2) - milliseconds(1));
      ASSERT_TRUE(Ask(*search, Request(1, token), list).ok()) << i;
    }
    Advance(minutes(2));
    ExpectRefused(Ask(*search, Request(1, token), list).status(), reason::kPageTokenExpired);
  }
}

// Lists of numbers so long that what else there is of a list doesn't matter.
constexpr std::size_t kLong = 20'000;

TEST_F(SearchTest, TheListPagedLongestAgoMakesPlace) {
  const auto list = [](int i) { return Snapshot(100 + 50 * i, 10, kLong); };
  const auto search = Make(4 * 10 * kLong + 5 * kLong);
  std::vector<std::string> tokens;
  for (int i = 0; i < 5; ++i) tokens.push_back(Begin(*search, list(i)));
  Pack();
  // The newest one doesn't count.
  EXPECT_EQ(search->stats().snapshots, 5U);
  EXPECT_EQ(search->stats().evicted, 0U);
  const auto present = Snapshot(5000, 3);
  for (const auto& token : tokens) EXPECT_TRUE(Ask(*search, Request(1, token), present).ok());
  // The first was used last, for the last page, whose answer has no token.
  EXPECT_EQ(Ask(*search, Request(9, tokens[0]), present)->next_page_token(), "");
  tokens.push_back(Begin(*search, list(5)));
  Pack();
  EXPECT_EQ(search->stats().evicted, 1U);
  ExpectRefused(Ask(*search, Request(1, tokens[1]), present).status(), reason::kPageTokenExpired);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i != 1) {
      EXPECT_TRUE(Ask(*search, Request(1, tokens[i]), present).ok()) << i;
    }
  }
}

TEST_F(SearchTest, TheNewestListIsKeptHoweverLarge) {
  const auto search = Make(kLong);
  const auto large = Snapshot(100, 10, kLong);
  const std::string token = Begin(*search, large);
  Pack();
  EXPECT_TRUE(Ask(*search, Request(1, token), large).ok());
  EXPECT_EQ(search->stats().bytes, 0U);
  // Also when no list was paged longer ago.
  const std::string newer = Begin(*search, Snapshot(300, 10, kLong));
  EXPECT_TRUE(Ask(*search, Request(1, token), large).ok());
  Pack();
  ExpectRefused(Ask(*search, Request(1, token), large).status(), reason::kPageTokenExpired);
  EXPECT_TRUE(Ask(*search, Request(1, newer), large).ok());
  EXPECT_EQ(search->stats().snapshots, 1U);
  EXPECT_EQ(search->stats().evicted, 1U);
}

TEST_F(SearchTest, BytesAreTheReplacedLists) {
  const auto search = Make();
  const auto first = Snapshot(100, 10, kLong);
  Begin(*search, first);
  EXPECT_EQ(search->stats().bytes, 0U);
  Begin(*search, Snapshot(101, 10, kLong));
  EXPECT_EQ(search->stats().bytes, first->MemoryBytes());  // until the history has it
  Pack();
  const std::size_t one = search->stats().bytes;
  EXPECT_GT(one, 10 * kLong);
  EXPECT_LT(one, 11 * kLong);
  // What two of them have in common counts once.
  Begin(*search, Snapshot(102, 10, kLong));
  Pack();
  EXPECT_GT(search->stats().bytes, one + kLong);
  EXPECT_LT(search->stats().bytes, one + 2 * kLong);
  EXPECT_EQ(search->stats().snapshots, 3U);
}

TEST_F(SearchTest, AWalkOutlivesManyLists) {
  const auto search = Make();
  const auto list = Snapshot(100, 100);
  std::string token = Begin(*search, list);
  for (int i = 1; i <= 60; ++i) {
    Begin(*search, Snapshot(100 + i, 100));
    Advance(seconds(4));
    const auto page = Ask(*search, Request(1, token), list);
    ASSERT_TRUE(page.ok()) << i << page.status();
    EXPECT_EQ(page->numbers(0).phone_number(), "+1" + std::to_string(100 + i));
    EXPECT_EQ(page->total_size(), 100);
    EXPECT_EQ(page->metadata().upstream_request_id(), "req_100");
    token = page->next_page_token();
  }
  EXPECT_EQ(search->stats().evicted, 0U);
}

TEST_F(SearchTest, AnAnswerUnderWayHasItsList) {
  const auto search = Make(1);
  const auto list = Snapshot(100, 10);
  const std::string token = Begin(*search, list, 3);
  const auto query = search->Prepare(Request(3, token));
  Begin(*search, Snapshot(500, 10));
  const std::string expected = search->Answer(*query, query->numbers);
  const auto before_the_history = search->Prepare(Request(3, token));
  Pack();  // and gone
  EXPECT_EQ(search->Answer(*before_the_history, before_the_history->numbers), expected);
  EXPECT_EQ(search->stats().snapshots, 1U);
}

TEST_F(SearchTest, PagesFromTheHistoryAreThoseFromTheList) {
  const auto search = Make();
  const auto list = Snapshot(100, 60);
  std::vector<v1::ListAvailableNumbersRequest> requests;
  std::vector<std::string> expected;
  const auto ask = [&](const v1::ListAvailableNumbersRequest& request) {
    const auto query = search->Prepare(request);
    return search->Answer(*query, query->numbers);
  };
  for (const char* const order : {"", "phone_number desc", "health.reputation desc"}) {
    for (const char* const suffix : {"", "3"}) {
      auto request = Request(2, "", order);
      request.mutable_filter()->set_number_suffix(suffix);
      request.set_page_token(Ask(*search, request, list)->next_page_token());
      for (; !request.page_token().empty();
           request.set_page_token(Ask(*search, request, list)->next_page_token())) {
        expected.push_back(ask(request));
        requests.push_back(request);
      }
    }
  }
  Begin(*search, Snapshot(500, 10));
  Pack();
  EXPECT_EQ(list.use_count(), 1);  // so that they come from the history
  ASSERT_GT(requests.size(), 80U);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(ask(requests[i]), expected[i]) << requests[i].ShortDebugString();
  }
}

TEST_F(SearchTest, ASnapshotIsKeptOnce) {
  const auto search = Make();
  const auto list = Snapshot(100, 30);
  const std::string first = Begin(*search, Snapshot(1000, 10));
  // Many walks over one list take one place.
  for (int i = 1; i < 25; ++i) Begin(*search, list, i);
  EXPECT_TRUE(Ask(*search, Request(1, first), list).ok());
  EXPECT_EQ(search->stats().snapshots, 2U);
  // This object's and the search's.
  EXPECT_EQ(list.use_count(), 2);
}

TEST_F(SearchTest, TheSweepLetsGoOfMemory) {
  const auto search = Make();
  auto list = Snapshot(100, 10);
  auto later = Snapshot(200, 10);
  const std::weak_ptr<const Availability> first = list;
  const std::weak_ptr<const Availability> second = later;
  const std::string old_token = Begin(*search, list);
  list.reset();
  Advance(minutes(1));
  Begin(*search, later);
  later.reset();
  EXPECT_FALSE(first.expired());
  Pack();
  EXPECT_TRUE(first.expired());   // the history has its numbers
  EXPECT_EQ(timers_.size(), 1U);  // one sweep, however many walks
  EXPECT_GT(search->stats().bytes, 0U);
  Advance(minutes(1));
  EXPECT_EQ(search->stats().bytes, 0U);
  EXPECT_EQ(search->stats().snapshots, 1U);
  ExpectRefused(search->Prepare(Request(1, old_token)).status(), reason::kPageTokenExpired);
  EXPECT_FALSE(second.expired());
  Advance(minutes(4));
  EXPECT_TRUE(second.expired());
  EXPECT_TRUE(timers_.empty());  // nothing left to sweep
  EXPECT_EQ(search->stats().evicted, 0U);
  // It begins again with the next walk.
  auto third_list = Snapshot(300, 10);
  const std::weak_ptr<const Availability> third = third_list;
  Begin(*search, third_list);
  third_list.reset();
  Advance(minutes(2));
  EXPECT_TRUE(third.expired());
}

TEST_F(SearchTest, ListsThatExpiredBeforeTheHistoryHasThemAreSkipped) {
  const auto search = Make();
  Begin(*search, Snapshot(100, 10));
  Begin(*search, Snapshot(200, 10));
  std::vector<Timer> late;  // the way into the history
  for (auto timer = timers_.begin(); timer != timers_.end();) {
    const bool now = timer->due == now_;
    if (now) late.push_back(*timer);
    timer = now ? timers_.erase(timer) : std::next(timer);
  }
  ASSERT_EQ(late.size(), 1U);
  Advance(minutes(2));
  EXPECT_EQ(search->stats().bytes, 0U);
  late[0].call();
  EXPECT_EQ(search->stats().snapshots, 0U);
  // And the next list finds its way.
  Begin(*search, Snapshot(300, 10));
  const std::string token = Begin(*search, Snapshot(400, 10));
  Pack();
  EXPECT_EQ(search->stats().snapshots, 2U);
  EXPECT_TRUE(Ask(*search, Request(1, token), nullptr).ok());
}

// Two minutes with a list every 4 s, of which 1 % has changed, and 100 walks that begin in that
// time and go on within two minutes: what the default of cache_history_bytes leaves to them. Long,
// as it is one story.
TEST_F(SearchTest, AHundredWalksOfTwoMinutesOverTenThousandNumbers) {
  if (CONCURRENT_CALLS < 1000) GTEST_SKIP() << "ThreadSanitizer makes large lists slow";
  constexpr int kNumbers = 10'000, kLists = 31, kWalks = 100, kPageSize = 50;
  constexpr std::size_t kBytes = 48 << 20;
  const auto search = Make(kBytes);
  std::mt19937 random(3);  // NOLINT(cert-msc51-cpp): the same each time
  int next_number = 0;
  const auto fresh_number = [&] {
    v1::Number number;
    // Mixed, so that neighbours in the list are none by their numbers.
    const std::uint64_t digits =
        (std::uint64_t{7'919} * 1'000 * static_cast<unsigned>(next_number) +
         static_cast<unsigned>(next_number)) %
        9'000'000'000;
    ++next_number;
    number.set_phone_number("+1" + std::to_string(1'000'000'000 + digits));
    number.mutable_location()->set_country("US");
    number.mutable_location()->set_region("Region " + std::to_string(random() % 50));
    number.mutable_location()->set_city("A city's name " + std::to_string(random() % 300));
    number.set_carrier("Carrier " + std::to_string(random() % 9));
    auto& price = *number.mutable_pricing()->mutable_monthly_rate();
    price.set_currency_code("USD");
    price.set_units(random() % 20);
    *number.mutable_pricing()->mutable_upfront_fee() = price;
    number.mutable_health()->set_reputation(0.01 * static_cast<double>(random() % 100));
    number.mutable_health()->set_previous_owners(static_cast<int>(random() % 6));
    number.mutable_create_time()->set_seconds(1'700'000'000 + random() % 10'000'000);
    return number;
  };
  std::vector<v1::Number> present;
  while (present.size() < kNumbers) present.push_back(fresh_number());

  struct Walk {
    v1::ListAvailableNumbersRequest request;
    std::string second_page;  // its numbers
  };
  const char* const orders[] = {"", "phone_number", "pricing.monthly_rate", "create_time desc"};
  std::vector<Walk> walks;
  std::size_t most = 0;
  const auto numbers_of = [](const v1::ListAvailableNumbersResponse& page) {
    v1::ListAvailableNumbersResponse numbers;
    *numbers.mutable_numbers() = page.numbers();
    return numbers.SerializeAsString();
  };
  for (int list = 0; list < kLists; ++list) {
    const auto snapshot =
        Availability::Build(NumberList(present.begin(), present.end()), {}, PinInMemory);
    for (; static_cast<int>(walks.size()) * kLists < (list + 1) * kWalks;) {
      auto request = Request(kPageSize, "", orders[walks.size() % std::size(orders)]);
      if (walks.size() % 3 == 0) request.mutable_filter()->set_min_reputation(0.3);
      const auto first = Ask(*search, request, snapshot);
      ASSERT_TRUE(first.ok() && !first->next_page_token().empty());
      request.set_page_token(first->next_page_token());
      walks.push_back({request, numbers_of(*Ask(*search, request, snapshot))});
    }
    for (int i = 0; i < kNumbers / 100; ++i) {
      present.erase(present.begin() + static_cast<std::ptrdiff_t>(random() % present.size()));
      present.insert(present.begin() + static_cast<std::ptrdiff_t>(random() % present.size()),
                     fresh_number());
    }
    Advance(milliseconds(3'999));
    most = std::max(most, search->stats().bytes);
    // Half way each of them is asked once more.
    if (list == kLists / 2) {
      for (const Walk& walk : walks) ASSERT_TRUE(Ask(*search, walk.request, nullptr).ok());
    }
  }
  ASSERT_EQ(walks.size(), static_cast<std::size_t>(kWalks));
  for (const Walk& walk : walks) {
    const auto page = Ask(*search, walk.request, nullptr);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_EQ(numbers_of(*page), walk.second_page);
  }
  EXPECT_EQ(search->stats().evicted, 0U);
  EXPECT_LE(most, kBytes);
  RecordProperty("bytes", static_cast<int>(most));
}

// Pages of a few lists, asked for by some threads while others let those lists be replaced.
TEST(SearchThreadsTest, PagesAreAnsweredWhileListsGoIntoTheHistory) {
  std::mutex mutex;
  std::deque<std::function<void()>> calls;
  AvailabilitySearch search([] { return std::chrono::steady_clock::time_point(seconds(1)); },
                            [&](milliseconds delay, std::function<void()> call) {
                              const std::lock_guard lock(mutex);
                              if (delay == milliseconds(0)) calls.push_back(std::move(call));
                            },
                            500'000, "default");
  std::vector<std::shared_ptr<const Availability>> lists;
  for (int i = 0; i < 4; ++i) lists.push_back(Snapshot(1'000 + 1'000 * i, 500 + i));
  std::atomic<int> wrong = 0, pages = 0;
  std::atomic<bool> done = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const auto& list = lists[static_cast<std::size_t>((i + t) % 4)];
        v1::ListAvailableNumbersResponse page;
        std::string token;
        for (int offset = 0; offset < 3; ++offset) {
          const auto query = search.Prepare(Request(1, token));
          if (!query.ok()) break;  // made place for others
          const auto reply = search.Answer(*query, query->numbers ? query->numbers : list);
          if (!page.ParseFromString(reply)) ++wrong;
          token = page.next_page_token();
          ++pages;
          if (page.total_size() != static_cast<int>(list->size()) ||
              page.numbers(0).phone_number() !=
                  list->NumberAt(static_cast<std::uint32_t>(offset)).phone_number()) {
            ++wrong;
          }
        }
      }
    });
  }
  std::thread executor([&] {
    while (!done) {
      std::function<void()> call;
      {
        const std::lock_guard lock(mutex);
        if (!calls.empty()) {
          call = std::move(calls.front());
          calls.pop_front();
        }
      }
      if (call) call();
      search.stats();
      std::this_thread::yield();
    }
  });
  for (std::thread& thread : threads) thread.join();
  done = true;
  executor.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GE(pages, 600);  // the first ones at least
}

TEST_F(SearchTest, SweepAfterTheEndDoesNothing) {
  auto search = Make();
  auto list = Snapshot(100, 10);
  const std::weak_ptr<const Availability> kept = list;
  Begin(*search, list);
  list.reset();
  search.reset();
  EXPECT_TRUE(kept.expired());
  Advance(minutes(10));
  EXPECT_TRUE(timers_.empty());
}

}  // namespace
}  // namespace leasegateway
