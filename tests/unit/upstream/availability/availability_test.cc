#include "upstream/availability/availability.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <functional>
#include <initializer_list>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/support/snapshots.h"

namespace leasegateway {
namespace {

// --- replies -------------------------------------------------------------------------------------

TEST(AvailabilityTest, ListsAllNumbersInTheProvidersOrder) {
  v1::Number rich = Priced("+13059478667", Money("USD", 19, 990'000'000));
  rich.add_requirements("imessage_entitlement_required");
  (*rich.mutable_additional_data()->mutable_fields())["b"].set_string_value("x");
  (*rich.mutable_additional_data()->mutable_fields())["a"].set_number_value(1);
  const NumberList numbers = ListOf({rich, NumberOf("+12"), NumberOf("+4915112345678")});
  const auto availability = Build(numbers);
  EXPECT_EQ(availability->size(), 3U);
  EXPECT_EQ(availability->left_out(), 0U);
  EXPECT_THAT(ListReply(*availability), EqualsMessage(ListReplyOf(numbers)));
  EXPECT_THAT(availability->AllRows(), ElementsAre(0, 1, 2));
  EXPECT_THAT(availability->NumberAt(0), EqualsMessage(rich));
  EXPECT_THAT(availability->metadata(), EqualsMessage(Metadata()));
}

TEST(AvailabilityTest, RepliesOfNoNumbersHaveTheMetadata) {
  const auto availability = Build({});
  EXPECT_EQ(availability->size(), 0U);
  EXPECT_THAT(ListReply(*availability), EqualsMessage(ListReplyOf({})));
  EXPECT_EQ(availability->FindNumber("+12"), std::nullopt);
  const auto page = availability->Search({}, ParseOrderBy("create_time").value(), 0, 10);
  EXPECT_EQ(page.total, 0U);
  EXPECT_THAT(page.rows, IsEmpty());
}

TEST(AvailabilityTest, FindsTheWholeReplyOfEachNumber) {
  const NumberList numbers =
      ListOf({Priced("+13059478667", Money("USD", 1)), NumberOf("+12"), NumberOf("+123")});
  const auto availability = Build(numbers);
  for (const v1::Number& number : numbers) {
    const auto reply = availability->FindNumber(number.phone_number());
    ASSERT_TRUE(reply.has_value()) << number.phone_number();
    v1::GetNumberResponse expected;
    *expected.mutable_number() = number;
    *expected.mutable_metadata() = Metadata();
    EXPECT_THAT(ParseReply<v1::GetNumberResponse>(*reply), EqualsMessage(expected));
  }
}

TEST(AvailabilityTest, FindsNothingForAnUnknownOrMalformedNumber) {
  const auto availability = Build(ListOf({NumberOf("+13059478667")}));
  for (const std::string_view text :
       {"+13059478668", "13059478667", "", "+", "+1", "+03059478667", "+1305947866",
        "+130594786670", "+1305947866a", " +13059478667", "+13059478667\n", "+1234567890123456",
        "+13059478667000000000000000000000000000000"}) {
    EXPECT_EQ(availability->FindNumber(text), std::nullopt) << text;
  }
}

TEST(AvailabilityTest, CountsTheFirstOfEqualNumbersAndLeavesOutWhatIsNotE164) {
  const NumberList numbers = ListOf({Priced("+123", Money("USD", 1)), NumberOf("123"), NumberOf(""),
                                     Priced("+123", Money("USD", 2)), NumberOf("+1 23"),
                                     NumberOf("+1234567890123456"), NumberOf("+12")});
  const auto availability = Build(numbers);
  EXPECT_EQ(availability->left_out(), 5U);
  EXPECT_THAT(ListReply(*availability),
              EqualsMessage(ListReplyOf(ListOf({numbers[0], numbers[6]}))));
}

TEST(AvailabilityTest, PinsTheListAndTheRepliesOnce) {
  int pinned = 0;
  const PinBytes pin = [&](std::string bytes) {
    ++pinned;
    EXPECT_EQ(bytes.capacity(), bytes.size());
    return PinInMemory(std::move(bytes));
  };
  const auto availability = Availability::Build(
      ListOf({NumberOf("+13059478667"), NumberOf("+13059478668")}), Metadata(), pin);
  EXPECT_EQ(pinned, 2);
  const auto rest = availability->Without("+13059478667", pin);
  EXPECT_EQ(pinned, 3);
  EXPECT_EQ(rest->FindNumber("+13059478668")->bytes,
            availability->FindNumber("+13059478668")->bytes);
}

TEST(AvailabilityTest, SaysHowMuchMemoryItHolds) {
  NumberList numbers;
  for (int i = 0; i < 1000; ++i) *numbers.Add() = NumberOf("+1305" + std::to_string(1000000 + i));
  const auto availability = Build(numbers);
  const std::size_t replies = availability->list_reply().size() +
                              availability->FindNumber("+13051000000")->bytes->view().size();
  EXPECT_GT(availability->MemoryBytes(), replies);
  EXPECT_LT(availability->MemoryBytes(), replies + 150 * 1000);
}

// --- Renewed -------------------------------------------------------------------------------------

v1::ResponseMetadata LaterMetadata() {
  v1::ResponseMetadata metadata = Metadata();
  metadata.mutable_fetch_time()->set_seconds(1785699999);
  metadata.clear_upstream_request_id();
  return metadata;
}

TEST(AvailabilityTest, RenewedOnesHaveTheSameNumbersAndMetadataOfTheirOwn) {
  const NumberList numbers = ListOf({NumberOf("+123"), NumberOf("+12"), NumberOf("+13")});
  const auto old = Build(numbers);
  const auto renewed = old->Renewed(LaterMetadata(), PinInMemory);
  auto expected = ListReplyOf(numbers);
  *expected.mutable_metadata() = LaterMetadata();
  EXPECT_THAT(ListReply(*renewed), EqualsMessage(expected));
  EXPECT_THAT(ListReply(*old), EqualsMessage(ListReplyOf(numbers)));
  EXPECT_THAT(renewed->metadata(), EqualsMessage(LaterMetadata()));
  v1::GetNumberResponse one;
  *one.mutable_number() = numbers[1];
  *one.mutable_metadata() = LaterMetadata();
  EXPECT_THAT(ParseReply<v1::GetNumberResponse>(*renewed->FindNumber("+12")), EqualsMessage(one));
  EXPECT_THAT(Search(*renewed, {}, "phone_number"), ElementsAre("+12", "+123", "+13"));
  EXPECT_THAT(Availability::Compare(old.get(), *renewed), IsEmpty());
  EXPECT_TRUE(renewed->HasNumbersOf(*old));
}

TEST(AvailabilityTest, RenewingTakesNothingThatGrowsWithTheList) {
  NumberList numbers;
  for (int i = 0; i < 1000; ++i) *numbers.Add() = NumberOf("+1305" + std::to_string(1000000 + i));
  const auto old = Build(numbers);
  std::size_t pinned = 0;
  const auto renewed = old->Renewed(LaterMetadata(), [&](std::string bytes) {
    pinned += bytes.size();
    return PinInMemory(std::move(bytes));
  });
  EXPECT_LT(pinned, 200u);
  EXPECT_EQ(renewed->list_reply().bytes, old->list_reply().bytes);
  EXPECT_EQ(renewed->FindNumber("+13051000000")->bytes, old->FindNumber("+13051000000")->bytes);
  EXPECT_LT(renewed->MemoryBytesBeside(*old), 1'000u);
  EXPECT_EQ(old->MemoryBytesBeside(*old), 0u);
  EXPECT_GT(Build(numbers)->MemoryBytesBeside(*old), old->MemoryBytes() - 1'000);
}

TEST(AvailabilityTest, NumbersAreLeftOutBeforeAndAfterRenewing) {
  const NumberList numbers = ListOf({NumberOf("+123"), NumberOf("+12"), NumberOf("+13")});
  auto expected = ListReplyOf(ListOf({numbers[1]}));
  *expected.mutable_metadata() = LaterMetadata();
  const auto rest = Build(numbers)
                        ->Without("+123", PinInMemory)
                        ->Renewed(LaterMetadata(), PinInMemory)
                        ->Renewed(LaterMetadata(), PinInMemory)
                        ->Without("+13", PinInMemory);
  EXPECT_THAT(ListReply(*rest), EqualsMessage(expected));
  EXPECT_THAT(ParseReply<v1::GetNumberResponse>(*rest->FindNumber("+12")).metadata(),
              EqualsMessage(LaterMetadata()));
  EXPECT_EQ(rest->FindNumber("+13"), std::nullopt);
}

// --- Without -------------------------------------------------------------------------------------

TEST(AvailabilityTest, LeavesOutANumber) {
  const NumberList numbers = ListOf({Priced("+123", Money("USD", 1)), NumberOf("+12"),
                                     Priced("+1234", Money("USD", 22)), NumberOf("+13")});
  const auto all = Build(numbers);
  const auto rest = all->Without("+12", PinInMemory);
  ASSERT_NE(rest, nullptr);
  EXPECT_EQ(rest->size(), 3U);
  EXPECT_THAT(rest->AllRows(), ElementsAre(0, 2, 3));
  EXPECT_EQ(rest->FindNumber("+12"), std::nullopt);
  EXPECT_NE(rest->FindNumber("+13"), std::nullopt);
  EXPECT_THAT(ListReply(*rest),
              EqualsMessage(ListReplyOf(ListOf({numbers[0], numbers[2], numbers[3]}))));
  EXPECT_THAT(Search(*rest, {}, ""), ElementsAre("+123", "+1234", "+13"));
  EXPECT_THAT(Search(*rest, {}, "phone_number desc"), ElementsAre("+13", "+1234", "+123"));
  EXPECT_EQ(all->size(), 4U);
  EXPECT_NE(all->FindNumber("+12"), std::nullopt);
}

TEST(AvailabilityTest, LeavesOutOneNumberAfterAnotherInAnyOrder) {
  NumberList numbers;
  for (int i = 0; i < 5; ++i) {
    *numbers.Add() = Priced("+1305" + std::to_string(i), Money("USD", 1LL << (7 * i)));
  }
  std::vector<int> order = {0, 1, 2, 3, 4};
  do {
    auto availability = Build(numbers);
    NumberList left = numbers;
    for (const int i : order) {
      const std::string& gone = numbers[i].phone_number();
      availability = availability->Without(gone, PinInMemory);
      ASSERT_NE(availability, nullptr);
      left.erase(std::find_if(left.begin(), left.end(),
                              [&](const v1::Number& n) { return n.phone_number() == gone; }));
      EXPECT_THAT(ListReply(*availability), EqualsMessage(ListReplyOf(left)));
      EXPECT_EQ(availability->Without(gone, PinInMemory), nullptr);
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(AvailabilityTest, LeavesOutNothingThatIsNotThere) {
  const auto availability = Build(ListOf({NumberOf("+123")}));
  EXPECT_EQ(availability->Without("+124", PinInMemory), nullptr);
  EXPECT_EQ(availability->Without("123", PinInMemory), nullptr);
}

// --- Compare -------------------------------------------------------------------------------------

// "+12" as "- +12", "+ +12" or "~ +12".
std::vector<std::string> Describe(const std::vector<NumberChange>& changes) {
  std::vector<std::string> result;
  for (const NumberChange& change : changes) {
    const std::string sign = !change.before ? "+ " : !change.after ? "- " : "~ ";
    result.push_back(sign + (change.before ? change.before : change.after)->phone_number());
  }
  return result;
}

TEST(CompareTest, TellsWhatCameWentAndChangedByPhoneNumber) {
  const auto before = Build(
      ListOf({NumberOf("+15"), Priced("+14", Money("USD", 1)), NumberOf("+13"), NumberOf("+1")}));
  const auto after = Build(
      ListOf({NumberOf("+12"), NumberOf("+13"), NumberOf("+123"), Priced("+14", Money("USD", 2))}));
  const auto changes = Availability::Compare(before.get(), *after);
  EXPECT_THAT(Describe(changes), ElementsAre("+ +12", "+ +123", "~ +14", "- +15"));
  EXPECT_THAT(*changes[2].before, EqualsMessage(Priced("+14", Money("USD", 1))));
  EXPECT_THAT(*changes[2].after, EqualsMessage(Priced("+14", Money("USD", 2))));
}

TEST(CompareTest, EverythingIsNewWithoutABefore) {
  const auto after = Build(ListOf({NumberOf("+13"), NumberOf("+12"), NumberOf("+14")}));
  EXPECT_THAT(Describe(Availability::Compare(nullptr, *after)),
              ElementsAre("+ +12", "+ +13", "+ +14"));
  EXPECT_THAT(Describe(Availability::Compare(nullptr, *after->Without("+13", PinInMemory))),
              ElementsAre("+ +12", "+ +14"));
}

TEST(CompareTest, NeitherMetadataNorTheOrderOfListAndMapsIsAChange) {
  v1::Number one = NumberOf("+12");
  v1::Number other = NumberOf("+12");
  for (int i = 0; i < 20; ++i) {
    (*one.mutable_additional_data()->mutable_fields())[std::to_string(i)].set_number_value(i);
    (*other.mutable_additional_data()->mutable_fields())[std::to_string(19 - i)].set_number_value(
        19 - i);
  }
  const auto before = Build(ListOf({one, NumberOf("+13")}));
  const auto after =
      Availability::Build(ListOf({NumberOf("+13"), other}), v1::ResponseMetadata(), PinInMemory);
  EXPECT_THAT(Availability::Compare(before.get(), *after), IsEmpty());
}

TEST(CompareTest, SeesWhatWasLeftOut) {
  const NumberList numbers = ListOf({NumberOf("+14"), NumberOf("+13"), NumberOf("+12")});
  const auto all = Build(numbers);
  const auto without_12 = all->Without("+12", PinInMemory);
  const auto without_14 = all->Without("+14", PinInMemory);
  EXPECT_THAT(Describe(Availability::Compare(all.get(), *without_12)), ElementsAre("- +12"));
  EXPECT_THAT(Describe(Availability::Compare(without_12.get(), *all)), ElementsAre("+ +12"));
  EXPECT_THAT(Describe(Availability::Compare(without_12.get(), *without_14)),
              ElementsAre("+ +12", "- +14"));
  EXPECT_THAT(Availability::Compare(without_12.get(), *without_12), IsEmpty());
  const auto later = Build(numbers);
  EXPECT_THAT(Describe(Availability::Compare(without_12.get(), *later)), ElementsAre("+ +12"));
  EXPECT_THAT(Describe(Availability::Compare(later.get(), *without_12)), ElementsAre("- +12"));
  EXPECT_THAT(Availability::Compare(without_12.get(), *later->Without("+12", PinInMemory)),
              IsEmpty());
}

}  // namespace
}  // namespace leasegateway
