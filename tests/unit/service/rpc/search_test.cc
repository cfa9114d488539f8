#include "service/rpc/search.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "service/rpc/token.h"
#include "tests/support/search_fixture.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

TEST_F(SearchTest, PagesShowOneListInOneOrderWhileTheCacheMovesOn) {
  const auto search = Make();
  const std::string order_by = "health.reputation desc";
  const auto list = Snapshot(100, 97);
  const auto whole = Ask(*search, Request(0, "", order_by), list);
  ASSERT_TRUE(whole.ok());
  ASSERT_EQ(whole->numbers_size(), 97);
  EXPECT_EQ(whole->next_page_token(), "");

  v1::ListAvailableNumbersResponse walked;
  std::string token;
  int pages = 0;
  do {
    const int page_size = 1 + pages * 5 % 13;  // may change from page to page
    const auto page =
        Ask(*search, Request(page_size, token, order_by), pages == 0 ? list : Snapshot(500, 5));
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_EQ(page->total_size(), 97);
    EXPECT_EQ(page->metadata().upstream_request_id(), "req_100");
    EXPECT_LE(page->numbers_size(), page_size);
    if (!page->next_page_token().empty()) {
      EXPECT_EQ(page->numbers_size(), page_size);
    }
    walked.mutable_numbers()->MergeFrom(page->numbers());
    token = page->next_page_token();
    // Other walks over newer lists.
    Begin(*search, Snapshot(1000 + 100 * (pages % 5), 50), 3);
    ++pages;
  } while (!token.empty() && pages < 200);
  ASSERT_EQ(walked.numbers_size(), 97);
  for (int i = 0; i < 97; ++i) {
    EXPECT_EQ(walked.numbers(i).phone_number(), whole->numbers(i).phone_number()) << i;
  }
}

TEST_F(SearchTest, TokenMayBeUsedAgain) {
  const auto search = Make();
  const auto token = Begin(*search, Snapshot(100, 10), 4);
  const auto once = Ask(*search, Request(4, token), Snapshot(200, 10));
  const auto twice = Ask(*search, Request(4, token), Snapshot(300, 10));
  ASSERT_TRUE(once.ok() && twice.ok());
  EXPECT_EQ(once->SerializeAsString(), twice->SerializeAsString());
  EXPECT_EQ(once->numbers(0).phone_number(), "+1104");
}

TEST_F(SearchTest, LastPageHasNoToken) {
  const auto search = Make();
  const auto list = Snapshot(100, 10);
  // A page that ends exactly where the list does.
  EXPECT_EQ(Ask(*search, Request(10), list)->next_page_token(), "");
  EXPECT_EQ(Ask(*search, Request(11), list)->next_page_token(), "");
  EXPECT_EQ(Ask(*search, Request(1), Snapshot(100, 0))->next_page_token(), "");
  const auto token = Begin(*search, list, 9);
  const auto last = Ask(*search, Request(1, token), list);
  EXPECT_EQ(last->numbers_size(), 1);
  EXPECT_EQ(last->next_page_token(), "");
  EXPECT_TRUE(timers_.size() <= 1U);
}

TEST_F(SearchTest, OffsetBeyondTheEndIsAnEmptyPage) {
  const auto search = Make();
  AvailabilitySearch::Query query;
  query.page_size = 10;
  for (const std::size_t offset : {std::size_t{5}, std::size_t{6}, std::size_t{1'000'000}}) {
    query.offset = offset;
    v1::ListAvailableNumbersResponse response;
    ASSERT_TRUE(response.ParseFromString(search->Answer(query, Snapshot(100, 5))));
    EXPECT_EQ(response.numbers_size(), 0) << offset;
    EXPECT_EQ(response.total_size(), 5);
    EXPECT_EQ(response.next_page_token(), "");
  }
}

TEST_F(SearchTest, LargePagesAreCutToTheLimit) {
  const auto search = Make();
  const auto list = Snapshot(100'000, 10'001);
  for (const int page_size : {10'000, 10'001, 2'000'000'000}) {
    const auto page = Ask(*search, Request(page_size), list);
    EXPECT_EQ(page->numbers_size(), 10'000) << page_size;
    ASSERT_NE(page->next_page_token(), "");
    EXPECT_EQ(Ask(*search, Request(page_size, page->next_page_token()), list)->numbers_size(), 1);
  }
  EXPECT_EQ(Ask(*search, Request(0), list)->numbers_size(), 10'001);
}

TEST_F(SearchTest, ForeignTokenIsRefused) {
  const auto one = Make();
  const auto other = Make();
  const auto list = Snapshot(100, 10);
  const std::string token = Begin(*one, list);
  EXPECT_NE(token, Begin(*other, list));
  ExpectRefused(Ask(*other, Request(1, token), list).status(), reason::kInvalidPageToken);
  EXPECT_TRUE(Ask(*one, Request(1, token), list).ok());
}

TEST_F(SearchTest, ForgedTokenIsRefused) {
  const auto search = Make();
  const auto list = Snapshot(100, 10);
  const std::string token = Begin(*search, list);
  for (std::size_t i = 0; i < token.size(); ++i) {
    for (const char flip : {1, 2, 4, 8, 16, 32, 64}) {
      std::string forged = token;
      forged[i] = static_cast<char>(forged[i] ^ flip);
      ExpectRefused(Ask(*search, Request(1, forged), list).status(), reason::kInvalidPageToken);
    }
    ExpectRefused(Ask(*search, Request(1, token.substr(i + 1) + "A"), list).status(),
                  reason::kInvalidPageToken);
    if (i > 0) {
      ExpectRefused(Ask(*search, Request(1, token.substr(0, i)), list).status(),
                    reason::kInvalidPageToken);
    }
  }
  // Right in form, each integer changed alone.
  const auto values = DecodeToken(token, 4);
  ASSERT_TRUE(values);
  for (std::size_t i = 0; i < 4; ++i) {
    for (int bit = 0; bit < 64; ++bit) {
      auto forged = *values;
      forged[i] ^= std::uint64_t{1} << bit;
      ExpectRefused(Ask(*search, Request(1, EncodeToken(forged)), list).status(),
                    reason::kInvalidPageToken);
    }
  }
  for (const std::string& bad : std::vector<std::string>{
           token + token, token + " ", " " + token, token + "=", std::string("x"),
           std::string(1, '\0'), std::string(100'000, 'A')}) {
    ExpectRefused(Ask(*search, Request(1, bad), list).status(), reason::kInvalidPageToken);
  }
  EXPECT_TRUE(Ask(*search, Request(1, token), list).ok());
}

TEST_F(SearchTest, TokenBelongsToItsFilterAndOrder) {
  const auto search = Make();
  const auto list = Snapshot(100, 10);
  auto request = Request(1, "", "health.reputation");
  request.mutable_filter()->set_min_reputation(0.1);
  const auto first = Ask(*search, request, list);
  ASSERT_TRUE(first.ok());
  request.set_page_token(first->next_page_token());
  EXPECT_TRUE(Ask(*search, request, list).ok());
  auto other_filter = request;
  other_filter.mutable_filter()->set_min_reputation(0.2);
  ExpectRefused(Ask(*search, other_filter, list).status(), reason::kInvalidPageToken);
  auto without_filter = request;
  without_filter.clear_filter();
  ExpectRefused(Ask(*search, without_filter, list).status(), reason::kInvalidPageToken);
  auto other_order = request;
  other_order.set_order_by("health.reputation desc");
  ExpectRefused(Ask(*search, other_order, list).status(), reason::kInvalidPageToken);
}

TEST_F(SearchTest, FilterAndOrderWorkTogetherWithPages) {
  const auto search = Make();
  const auto list = Snapshot(100, 50);
  auto request = Request(7, "", "phone_number desc");
  request.mutable_filter()->set_number_suffix("3");
  const auto page = Ask(*search, request, list);
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(page->total_size(), 5);
  ASSERT_EQ(page->numbers_size(), 5);
  EXPECT_EQ(page->numbers(0).phone_number(), "+1143");
  EXPECT_EQ(page->numbers(4).phone_number(), "+1103");
}

// Of one log, at two replicas.
TEST_F(SearchTest, TokenOfAnEntryIsGoodAtAnotherReplica) {
  const auto make = [this](const std::string& key, const std::string& account = "default") {
    return AvailabilitySearch([this] { return now_; }, [](auto, auto) {}, 64 << 20, account,
                              [key] { return key; });
  };
  auto one = make("secret");
  auto other = make("secret");
  const auto list = Snapshot(1'000'000'000, 10);
  LoggedState entry;
  entry.log = 7;
  entry.sequence = 42;
  v1::ListAvailableNumbersResponse page;
  ASSERT_TRUE(page.ParseFromString(one.Answer(*one.Prepare(Request(4)), list, entry)));
  const std::string token = page.next_page_token();
  // Where the walk began, the list is kept.
  EXPECT_EQ(one.Prepare(Request(4, token))->numbers, list);
  // Elsewhere it has to be made anew, once.
  auto query = other.Prepare(Request(4, token));
  ASSERT_TRUE(query.ok());
  EXPECT_EQ(query->numbers, nullptr);
  ASSERT_TRUE(query->entry);
  EXPECT_EQ(query->entry->log, 7U);
  EXPECT_EQ(query->entry->sequence, 42U);
  EXPECT_EQ(query->offset, 4U);
  other.Continue(&*query, list);
  ASSERT_TRUE(page.ParseFromString(other.Answer(*query, list, query->entry)));
  EXPECT_EQ(page.numbers(0).phone_number(), "+11000000004");
  EXPECT_EQ(other.Prepare(Request(4, token))->numbers, list);
  EXPECT_TRUE(one.Prepare(Request(4, page.next_page_token())).ok());
  // Of another log's key, and before the key is known.
  EXPECT_EQ(ReasonOf(make("another").Prepare(Request(4, token)).status()),
            reason::kInvalidPageToken);
  EXPECT_EQ(ReasonOf(make("").Prepare(Request(4, token)).status()), reason::kPageTokenExpired);
  // Of another account, though its log had the same key.
  ExpectRefused(make("secret", "other").Prepare(Request(4, token)).status(),
                reason::kInvalidPageToken);
}

}  // namespace
}  // namespace leasegateway
