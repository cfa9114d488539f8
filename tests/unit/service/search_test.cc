#include "service/search.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// `count` numbers from +1<first> on, with reputations that repeat.
std::shared_ptr<const Availability> Snapshot(int first, int count) {
  NumberList numbers;
  for (int i = 0; i < count; ++i) {
    v1::Number& number = *numbers.Add();
    number.set_phone_number("+1" + std::to_string(first + i));
    number.mutable_health()->set_reputation(0.1 * ((i * 7) % 10));
  }
  v1::ResponseMetadata metadata;
  metadata.set_upstream_request_id("req_" + std::to_string(first));
  return Availability::Build(numbers, metadata, PinInMemory);
}

v1::ListAvailableNumbersRequest Request(int page_size, const std::string& token = "",
                                        const std::string& order_by = "") {
  v1::ListAvailableNumbersRequest request;
  request.set_page_size(page_size);
  request.set_page_token(token);
  request.set_order_by(order_by);
  return request;
}

class SearchTest : public testing::Test {
 protected:
  struct Timer {
    std::chrono::steady_clock::time_point due;
    std::function<void()> call;
  };

  std::unique_ptr<AvailabilitySearch> Make() {
    return std::make_unique<AvailabilitySearch>(
        [this] { return now_; },
        [this](milliseconds delay, std::function<void()> call) {
          timers_.push_back({now_ + delay, std::move(call)});
        });
  }

  // Lets time pass; calls what is due, in the order in which it is due.
  void Advance(milliseconds time) {
    const auto until = now_ + time;
    for (;;) {
      auto first = timers_.end();
      for (auto timer = timers_.begin(); timer != timers_.end(); ++timer) {
        if (timer->due <= until && (first == timers_.end() || timer->due < first->due)) {
          first = timer;
        }
      }
      if (first == timers_.end()) break;
      now_ = std::max(now_, first->due);
      const auto call = std::move(first->call);
      timers_.erase(first);
      call();
    }
    now_ = until;
  }

  // As the service answers: a token's snapshot, or else the present one.
  static absl::StatusOr<v1::ListAvailableNumbersResponse> Ask(
      AvailabilitySearch& search, const v1::ListAvailableNumbersRequest& request,
      const std::shared_ptr<const Availability>& present) {
    auto query = search.Prepare(request);
    if (!query.ok()) return query.status();
    v1::ListAvailableNumbersResponse response;
    EXPECT_TRUE(
        response.ParseFromString(search.Answer(*query, query->numbers ? query->numbers : present)));
    return response;
  }

  // The first page's token.
  static std::string Begin(AvailabilitySearch& search,
                           const std::shared_ptr<const Availability>& numbers, int page_size = 1) {
    const auto page = Ask(search, Request(page_size), numbers);
    EXPECT_TRUE(page.ok()) << page.status();
    EXPECT_NE(page->next_page_token(), "");
    return page->next_page_token();
  }

  static void ExpectRefused(const absl::Status& status, std::string_view expected_reason) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(ReasonOf(status), expected_reason);
    google::rpc::BadRequest bad_request;
    const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
    ASSERT_TRUE(payload && bad_request.ParseFromString(std::string(*payload)));
    ASSERT_EQ(bad_request.field_violations_size(), 1);
    EXPECT_EQ(bad_request.field_violations(0).field(), "page_token");
    EXPECT_NE(bad_request.field_violations(0).description(), "");
  }

  std::chrono::steady_clock::time_point now_{seconds(1'000'000)};
  std::vector<Timer> timers_;
};

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

TEST_F(SearchTest, TheWalkUsedLongestAgoMakesPlace) {
  const auto search = Make();
  std::vector<std::string> tokens;
  for (int i = 0; i < 16; ++i) tokens.push_back(Begin(*search, Snapshot(100 + 50 * i, 10)));
  const auto present = Snapshot(5000, 3);
  for (const auto& token : tokens) EXPECT_TRUE(Ask(*search, Request(1, token), present).ok());
  // The first was used last, for the last page, whose answer keeps nothing.
  EXPECT_EQ(Ask(*search, Request(9, tokens[0]), present)->next_page_token(), "");
  const std::string seventeenth = Begin(*search, Snapshot(9000, 10));
  ExpectRefused(Ask(*search, Request(1, tokens[1]), present).status(), reason::kPageTokenExpired);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i != 1) {
      EXPECT_TRUE(Ask(*search, Request(1, tokens[i]), present).ok()) << i;
    }
  }
  EXPECT_TRUE(Ask(*search, Request(1, seventeenth), present).ok());
}

TEST_F(SearchTest, ASnapshotIsKeptOnce) {
  const auto search = Make();
  const auto list = Snapshot(100, 30);
  const std::string first = Begin(*search, Snapshot(1000, 10));
  // Many walks over one list take one place.
  for (int i = 1; i < 25; ++i) Begin(*search, list, i);
  EXPECT_TRUE(Ask(*search, Request(1, first), list).ok());
  // This object's and the search's.
  EXPECT_EQ(list.use_count(), 2);
}

TEST_F(SearchTest, TheSweepLetsGoOfMemory) {
  const auto search = Make();
  auto list = Snapshot(100, 10);
  auto later = Snapshot(200, 10);
  const std::weak_ptr<const Availability> first = list;
  const std::weak_ptr<const Availability> second = later;
  Begin(*search, list);
  list.reset();
  Advance(minutes(1));
  const std::string token = Begin(*search, later);
  later.reset();
  EXPECT_EQ(timers_.size(), 1U);  // one sweep, however many walks
  EXPECT_FALSE(first.expired());
  Advance(minutes(1));
  EXPECT_TRUE(first.expired());
  EXPECT_FALSE(second.expired());
  Advance(minutes(4));
  EXPECT_TRUE(second.expired());
  EXPECT_TRUE(timers_.empty());  // nothing left to sweep
  // It begins again with the next walk.
  auto third_list = Snapshot(300, 10);
  const std::weak_ptr<const Availability> third = third_list;
  Begin(*search, third_list);
  third_list.reset();
  Advance(minutes(2));
  EXPECT_TRUE(third.expired());
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

// A fixed value: the same in every process, and with every build.
TEST(FingerprintTest, IsTheSameEverywhere) {
  v1::AvailabilityFilter filter;
  filter.add_countries("US");
  filter.set_min_reputation(0.8);
  EXPECT_EQ(Fingerprint({}, ""), 0xaf5570f5a1810b7aU);
  EXPECT_EQ(Fingerprint(filter, "phone_number"), Fingerprint(filter, "phone_number"));
}

TEST(FingerprintTest, DiffersWithFilterAndOrder) {
  std::set<std::uint64_t> seen;
  std::vector<v1::AvailabilityFilter> filters(7);
  filters[1].add_countries("US");
  filters[2].add_regions("US");
  filters[3].set_number_prefix("1");
  filters[4].set_number_suffix("1");
  filters[5].mutable_allowed_requirements();
  filters[6].set_intl_sms(false);
  for (const auto& filter : filters) {
    for (const char* order : {"", "phone_number", "phone_number desc", "create_time"}) {
      EXPECT_TRUE(seen.insert(Fingerprint(filter, order)).second) << order;
    }
  }
  // What is the filter's end can't pass for the beginning of the order.
  v1::AvailabilityFilter filter;
  filter.set_number_suffix("7");
  EXPECT_NE(Fingerprint(filter, ""), Fingerprint({}, filter.SerializeAsString()));
}

TEST(TokenTest, RoundTrip) {
  for (const std::vector<std::uint64_t>& values : {std::vector<std::uint64_t>{0},
                                                   {~std::uint64_t{0}},
                                                   {1, 2, 3, 4},
                                                   {0x0123456789abcdef, 0xfedcba9876543210}}) {
    const std::string text = EncodeToken(values);
    EXPECT_EQ(text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-_"),
              std::string::npos)
        << text;
    EXPECT_EQ(DecodeToken(text, values.size()), values);
  }
}

TEST(TokenTest, RejectsWhatIsNoToken) {
  const std::string good = EncodeToken({1, 2, 0xffff'ffff'ffff'ffff});
  EXPECT_TRUE(DecodeToken(good, 3));
  EXPECT_FALSE(DecodeToken(good, 2));
  EXPECT_FALSE(DecodeToken(good, 4));
  EXPECT_FALSE(DecodeToken("", 1));
  EXPECT_FALSE(DecodeToken("!", 1));
  EXPECT_FALSE(DecodeToken(good.substr(1), 3));
  EXPECT_FALSE(DecodeToken(good + "A", 3));
  // Not of the alphabet for URLs.
  EXPECT_FALSE(DecodeToken("AAAAAAAAAA+", 1));
  EXPECT_FALSE(DecodeToken("AAAAAAAAAA/", 1));
  // One spelling only: no padding, no white space, no bits beyond the last byte.
  EXPECT_TRUE(DecodeToken("AAAAAAAAAAA", 1));
  EXPECT_FALSE(DecodeToken("AAAAAAAAAAA=", 1));
  EXPECT_FALSE(DecodeToken("AAAAAAAAAAA ", 1));
  EXPECT_FALSE(DecodeToken("AAAAAA\nAAAAA", 1));
  EXPECT_FALSE(DecodeToken("AAAAAAAAAAB", 1));
}

}  // namespace
}  // namespace leasegateway
