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
#include "upstream/availability/availability.h"

namespace leasegateway {
namespace {

// --- searching -----------------------------------------------------------------------------------

TEST(SearchTest, OrdersPhoneNumbersAsTexts) {
  const auto availability = Build(ListOf({NumberOf("+13"), NumberOf("+123"), NumberOf("+120"),
                                          NumberOf("+12"), NumberOf("+999999999999999")}));
  EXPECT_THAT(Search(*availability, {}, "phone_number"),
              ElementsAre("+12", "+120", "+123", "+13", "+999999999999999"));
}

TEST(SearchTest, OrdersAmountsWithinACurrencyAndMissingOnesLast) {
  const auto availability =
      Build(ListOf({NumberOf("+10"), Priced("+11", Money("usd", 2)), Priced("+12", Money("EUR", 9)),
                    Priced("+13", Money("USD", 1, 990'000'000)), Priced("+14", Money("USD", 0)),
                    Priced("+15", Money("USD", 2)), Priced("+16", Money("", 5))}));
  EXPECT_THAT(Search(*availability, {}, "pricing.monthly_rate"),
              ElementsAre("+16", "+12", "+14", "+13", "+11", "+15", "+10"));
  EXPECT_THAT(Search(*availability, {}, "pricing.monthly_rate desc"),
              ElementsAre("+11", "+15", "+13", "+14", "+12", "+16", "+10"));
}

TEST(SearchTest, ComparesAmountsExactly) {
  const auto availability = Build(ListOf({Priced("+11", Money("USD", 9'007'199'254'740'993, 1)),
                                          Priced("+12", Money("USD", 9'007'199'254'740'993)),
                                          Priced("+13", Money("EUR", 1)), NumberOf("+14")}));
  v1::AvailabilityFilter filter;
  *filter.mutable_max_monthly_rate() = Money("usd", 9'007'199'254'740'993);
  EXPECT_THAT(Search(*availability, filter, ""), ElementsAre("+12"));
  *filter.mutable_max_monthly_rate() = Money("GBP", 9'007'199'254'740'993);
  EXPECT_THAT(Search(*availability, filter, ""), IsEmpty());
}

TEST(SearchTest, APrefixIsNotFoundInAShorterNumberThatZerosWouldComplete) {
  const auto availability =
      Build(ListOf({NumberOf("+12"), NumberOf("+120"), NumberOf("+1200"), NumberOf("+121")}));
  v1::AvailabilityFilter filter;
  filter.set_number_prefix("+120");
  EXPECT_THAT(Search(*availability, filter, ""), ElementsAre("+120", "+1200"));
  filter.set_number_prefix("12000000000000000000");
  EXPECT_THAT(Search(*availability, filter, ""), IsEmpty());
}

TEST(SearchTest, MatchesPatterns) {
  const std::tuple<std::string_view, std::string_view, bool> cases[] = {
      {"+13059478667", "+13059478667", true},
      {"+13059478667", "1305*66?", true},
      {"+13059478667", "1305*67?", false},
      {"+13059478667", "???????????", true},
      {"+13059478667", "????????????", false},
      {"+13059478667", "??????????", false},
      {"+13059478667", "*", true},
      {"+13059478667", "**1**3**", true},
      {"+13059478667", "*05*47*6*", true},
      {"+13059478667", "*47*05*", false},
      {"+13059478667", "1*7", true},
      {"+13059478667", "13059478667*13059478667", false},
      {"+13059478667", "1305947866*8667", false},
      {"+13059478667", "*8?6*7*", true},
      {"+13059478667", "*8?6*6*", false},
      {"+1212121213", "*12121213", true},
      {"+1212121213", "*2121*213", true},
      {"+1212121213", "*2121*1213", true},
      {"+1212121213", "*2121*12121*", false},
      {"+112", "1*12", true},
      {"+12", "1*12", false},
      {"+123456789012345", "*5", true},
      {"+123456789012345", "*6*2345*6*", false},
      {"+123456789012345", "*1234?*", true},
      {"+123456789012345", "????????????????", false},
      {"+12", "*0*", false},
      {"+12", "*2?*", false},
  };
  for (const auto& [phone_number, pattern, matches] : cases) {
    v1::AvailabilityFilter filter;
    filter.set_number_pattern(std::string(pattern));
    const v1::Number number = NumberOf(phone_number);
    EXPECT_EQ(NumberFilter(filter).Matches(number), matches) << phone_number << " " << pattern;
    EXPECT_EQ(Search(*Build(ListOf({number})), filter, "").size(), matches ? 1U : 0U)
        << phone_number << " " << pattern;
  }
}

TEST(NumberFilterTest, MatchesAllWhenNothingIsSet) {
  EXPECT_TRUE(NumberFilter(v1::AvailabilityFilter()).matches_all());
  EXPECT_TRUE(NumberFilter(v1::AvailabilityFilter()).Matches(v1::Number()));
  v1::AvailabilityFilter filter;
  filter.mutable_allowed_requirements();
  EXPECT_FALSE(NumberFilter(filter).matches_all());
  filter.Clear();
  filter.set_min_reputation(0);
  EXPECT_FALSE(NumberFilter(filter).matches_all());
  EXPECT_FALSE(NumberFilter(filter).Matches(v1::Number()));
}

// --- any search of any inventory is that of a plain loop -----------------------------------------

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

template <typename Words>
bool Has(const Words& words, const std::string& word) {
  for (const std::string& each : words) {
    if (Lower(each) == Lower(word)) return true;
  }
  return false;
}

bool Globs(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') {
    return Globs(pattern.substr(1), text) || (!text.empty() && Globs(pattern, text.substr(1)));
  }
  return !text.empty() && (pattern[0] == '?' || pattern[0] == text[0]) &&
         Globs(pattern.substr(1), text.substr(1));
}

std::string WithoutPlus(const std::string& text) {
  return text.starts_with('+') ? text.substr(1) : text;
}

bool AtMost(const google::type::Money& amount, const google::type::Money& ceiling) {
  if (Lower(amount.currency_code()) != Lower(ceiling.currency_code())) return false;
  if (amount.units() != ceiling.units()) return amount.units() < ceiling.units();
  return amount.nanos() <= ceiling.nanos();
}

struct Condition {
  std::string name;
  std::function<bool(const v1::AvailabilityFilter&)> is_set;
  std::function<bool(const v1::AvailabilityFilter&, const v1::Number&)> holds;
};

const std::vector<Condition>& Conditions() {
  using F = v1::AvailabilityFilter;
  using N = v1::Number;
  static const auto& conditions = *new std::vector<Condition>{
      {"countries", [](const F& f) { return f.countries_size() > 0; },
       [](const F& f, const N& n) { return Has(f.countries(), n.location().country()); }},
      {"regions", [](const F& f) { return f.regions_size() > 0; },
       [](const F& f, const N& n) { return Has(f.regions(), n.location().region()); }},
      {"cities", [](const F& f) { return f.cities_size() > 0; },
       [](const F& f, const N& n) { return Has(f.cities(), n.location().city()); }},
      {"carriers", [](const F& f) { return f.carriers_size() > 0; },
       [](const F& f, const N& n) { return Has(f.carriers(), n.carrier()); }},
      {"channels", [](const F& f) { return f.channels_size() > 0; },
       [](const F& f, const N& n) {
         for (const std::string& channel : f.channels()) {
           if (!Has(n.capabilities().channels(), channel)) return false;
         }
         return true;
       }},
      {"intl_sms", [](const F& f) { return f.has_intl_sms(); },
       [](const F& f, const N& n) {
         return n.capabilities().has_intl_sms() && n.capabilities().intl_sms() == f.intl_sms();
       }},
      {"min_reputation", [](const F& f) { return f.has_min_reputation(); },
       [](const F& f, const N& n) {
         return n.has_health() && n.health().reputation() >= f.min_reputation();
       }},
      {"max_previous_owners", [](const F& f) { return f.has_max_previous_owners(); },
       [](const F& f, const N& n) {
         return n.has_health() && n.health().previous_owners() <= f.max_previous_owners();
       }},
      {"max_monthly_rate", [](const F& f) { return f.has_max_monthly_rate(); },
       [](const F& f, const N& n) {
         return n.pricing().has_monthly_rate() &&
                AtMost(n.pricing().monthly_rate(), f.max_monthly_rate());
       }},
      {"max_upfront_fee", [](const F& f) { return f.has_max_upfront_fee(); },
       [](const F& f, const N& n) {
         return n.pricing().has_upfront_fee() &&
                AtMost(n.pricing().upfront_fee(), f.max_upfront_fee());
       }},
      {"e911_capable", [](const F& f) { return f.has_e911_capable(); },
       [](const F& f, const N& n) {
         return n.has_e911_capable() && n.e911_capable() == f.e911_capable();
       }},
      {"allowed_requirements", [](const F& f) { return f.has_allowed_requirements(); },
       [](const F& f, const N& n) {
         for (const std::string& requirement : n.requirements()) {
           if (!Has(f.allowed_requirements().requirements(), requirement)) return false;
         }
         return true;
       }},
      {"statuses", [](const F& f) { return f.statuses_size() > 0; },
       [](const F& f, const N& n) {
         for (const int status : f.statuses()) {
           if (status == n.status()) return true;
         }
         return false;
       }},
      {"number_prefix", [](const F& f) { return !f.number_prefix().empty(); },
       [](const F& f, const N& n) {
         return n.phone_number().starts_with("+" + WithoutPlus(f.number_prefix()));
       }},
      {"number_suffix", [](const F& f) { return !f.number_suffix().empty(); },
       [](const F& f, const N& n) { return n.phone_number().ends_with(f.number_suffix()); }},
      {"number_contains", [](const F& f) { return !f.number_contains().empty(); },
       [](const F& f, const N& n) {
         return n.phone_number().find(f.number_contains()) != std::string::npos;
       }},
      {"number_pattern", [](const F& f) { return !f.number_pattern().empty(); },
       [](const F& f, const N& n) {
         return Globs(WithoutPlus(f.number_pattern()), n.phone_number().substr(1));
       }},
  };
  return conditions;
}

// Negative, zero or positive. What isn't there comes last.
template <typename Value>
int CompareValues(const std::optional<Value>& a, const std::optional<Value>& b, bool descending) {
  if (!a || !b) return static_cast<int>(!a) - static_cast<int>(!b);
  const int sign = *a < *b ? -1 : *b < *a ? 1 : 0;
  return descending ? -sign : sign;
}

std::optional<std::tuple<std::string, std::int64_t, std::int32_t>> PriceOf(
    bool is_there, const google::type::Money& m) {
  if (!is_there) return std::nullopt;
  return std::tuple(Lower(m.currency_code()), m.units(), m.nanos());
}

template <typename Value>
std::optional<Value> If(bool is_there, Value value) {
  return is_there ? std::optional<Value>(value) : std::nullopt;
}

int CompareBy(const OrderKey& key, const v1::Number& a, const v1::Number& b) {
  const auto by = [&](auto value_of) {
    return CompareValues(value_of(a), value_of(b), key.descending);
  };
  using N = v1::Number;
  switch (key.field) {
    case OrderKey::Field::kMonthlyRate:
      return by([](const N& n) {
        return PriceOf(n.pricing().has_monthly_rate(), n.pricing().monthly_rate());
      });
    case OrderKey::Field::kUpfrontFee:
      return by([](const N& n) {
        return PriceOf(n.pricing().has_upfront_fee(), n.pricing().upfront_fee());
      });
    case OrderKey::Field::kReputation:
      return by([](const N& n) { return If(n.has_health(), n.health().reputation()); });
    case OrderKey::Field::kPreviousOwners:
      return by([](const N& n) { return If(n.has_health(), n.health().previous_owners()); });
    case OrderKey::Field::kCreateTime:
      return by([](const N& n) {
        return If(n.has_create_time(),
                  std::pair(n.create_time().seconds(), n.create_time().nanos()));
      });
    case OrderKey::Field::kPhoneNumber:
      return by([](const N& n) { return std::optional<std::string>(n.phone_number()); });
  }
  return 0;
}

class Random {
 public:
  explicit Random(unsigned seed) : random_(seed) {}
  std::uint64_t Below(std::uint64_t bound) { return random_() % bound; }
  bool Chance(int percent) { return Below(100) < static_cast<std::uint64_t>(percent); }
  std::string OneOf(std::initializer_list<const char*> texts) {
    return *(texts.begin() + Below(texts.size()));
  }
  // The same word in some spelling.
  std::string Spell(std::string word) {
    const std::uint64_t spelling = Below(4);
    for (char& c : word) {
      if (spelling == 1) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      if (spelling == 2) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    return word;
  }
  std::string Country() { return Spell(OneOf({"US", "CA", "DE"})); }
  std::string Region() { return Spell(OneOf({"FL", "NY", "ON"})); }
  std::string City() { return Spell(OneOf({"Miami", "New York", "Toronto", "Köln"})); }
  std::string Carrier() { return Spell(OneOf({"T-Mobile", "Verizon", "AT&T"})); }
  std::string Channel() { return Spell(OneOf({"sms", "mms", "rcs", "voice"})); }
  std::string Requirement() { return Spell(OneOf({"imessage", "whatsapp", "enterprise"})); }
  v1::NumberStatus Status() { return static_cast<v1::NumberStatus>(Below(5)); }
  google::type::Money Price() {
    return Money(Spell(OneOf({"USD", "EUR", "Gbp", ""})), static_cast<std::int64_t>(Below(4)),
                 static_cast<std::int32_t>(Below(3) * 330'000'000));
  }
  double Reputation() { return static_cast<double>(Below(12)) / 10; }
  std::string Digits(std::uint64_t most) {
    std::string digits;
    for (std::uint64_t count = 1 + Below(most); count > 0; --count)
      digits += OneOf({"0", "1", "2"});
    return digits;
  }

 private:
  std::mt19937_64 random_;
};

v1::Number AnyNumber(Random& random) {
  v1::Number number = NumberOf("+1" + random.Digits(14));
  if (random.Chance(80)) number.mutable_location()->set_country(random.Country());
  if (random.Chance(80)) number.mutable_location()->set_region(random.Region());
  if (random.Chance(80)) number.mutable_location()->set_city(random.City());
  if (random.Chance(80)) number.set_carrier(random.Carrier());
  if (random.Chance(70)) number.mutable_capabilities()->set_intl_sms(random.Chance(50));
  for (std::uint64_t i = random.Below(5); i > 0; --i) {
    number.mutable_capabilities()->add_channels(random.Channel());
  }
  if (random.Chance(75)) {
    number.mutable_health()->set_reputation(random.Reputation());
    number.mutable_health()->set_previous_owners(static_cast<std::int32_t>(random.Below(4)));
  }
  for (std::uint64_t i = random.Below(3); i > 0; --i) number.add_requirements(random.Requirement());
  if (random.Chance(70)) number.set_e911_capable(random.Chance(50));
  if (random.Chance(70)) {
    number.mutable_create_time()->set_seconds(static_cast<std::int64_t>(random.Below(30)) - 10);
    number.mutable_create_time()->set_nanos(static_cast<std::int32_t>(random.Below(2)));
  }
  if (random.Chance(80)) {
    if (random.Chance(80)) *number.mutable_pricing()->mutable_monthly_rate() = random.Price();
    if (random.Chance(80)) *number.mutable_pricing()->mutable_upfront_fee() = random.Price();
  }
  number.set_status(random.Status());
  if (random.Chance(10)) {
    auto& fields = *number.mutable_additional_data()->mutable_fields();
    for (int i = 0; i < 5; ++i) fields[random.Digits(4)].set_string_value(random.City());
  }
  return number;
}

NumberList AnyInventory(Random& random, std::uint64_t size) {
  NumberList numbers;
  for (std::uint64_t i = 0; i < size; ++i) {
    *numbers.Add() = AnyNumber(random);
    if (random.Chance(3)) numbers[static_cast<int>(i)].set_phone_number("1" + random.Digits(5));
  }
  return numbers;
}

v1::AvailabilityFilter AnyFilter(Random& random) {
  v1::AvailabilityFilter filter;
  const int percent = random.Chance(50) ? 8 : 16;
  const auto set = [&] { return random.Chance(percent); };
  const auto count = [&] { return random.Below(3) + 1; };
  if (set()) {
    for (auto i = count(); i > 0; --i) filter.add_countries(random.Country());
  }
  if (set()) {
    for (auto i = count(); i > 0; --i) filter.add_regions(random.Region());
  }
  if (set()) {
    for (auto i = count(); i > 0; --i) filter.add_cities(random.City());
  }
  if (set()) {
    for (auto i = count(); i > 0; --i) filter.add_carriers(random.Carrier());
  }
  if (set()) {
    for (auto i = count(); i > 0; --i) filter.add_channels(random.Channel());
  }
  if (set()) filter.add_cities("Nowhere");
  if (random.Chance(2)) filter.add_channels("pigeon");
  if (set()) filter.set_intl_sms(random.Chance(50));
  if (set()) filter.set_min_reputation(std::min(random.Reputation(), 1.0));
  if (set()) filter.set_max_previous_owners(static_cast<std::int32_t>(random.Below(4)));
  if (set()) *filter.mutable_max_monthly_rate() = random.Price();
  if (set()) *filter.mutable_max_upfront_fee() = random.Price();
  if (set()) filter.set_e911_capable(random.Chance(50));
  if (set()) {
    auto& allowed = *filter.mutable_allowed_requirements();
    for (auto i = random.Below(4); i > 0; --i) allowed.add_requirements(random.Requirement());
    if (random.Chance(20)) allowed.add_requirements("unheard_of");
  }
  if (set()) {
    for (auto i = count(); i > 0; --i) {
      filter.add_statuses(static_cast<v1::NumberStatus>(1 + random.Below(4)));
    }
  }
  if (set()) filter.set_number_prefix(random.OneOf({"", "+"}) + "1" + random.Digits(3));
  if (random.Chance(1)) filter.set_number_prefix("0");
  if (set()) filter.set_number_suffix(random.Digits(3));
  if (set()) filter.set_number_contains(random.Digits(4));
  if (set()) {
    std::string pattern = random.OneOf({"", "+"});
    for (auto i = random.Below(6) + 1; i > 0; --i)
      pattern += random.OneOf({"*", "?", "1", "0", "*"});
    if (pattern.ends_with('+')) pattern += "*";
    filter.set_number_pattern(pattern);
  }
  return filter;
}

Order AnyOrder(Random& random) {
  std::vector<OrderKey::Field> fields = {
      OrderKey::Field::kMonthlyRate, OrderKey::Field::kUpfrontFee,
      OrderKey::Field::kReputation,  OrderKey::Field::kPreviousOwners,
      OrderKey::Field::kCreateTime,  OrderKey::Field::kPhoneNumber};
  Order order;
  for (std::uint64_t i = random.Below(5); i > 0; --i) {
    const auto at = fields.begin() + static_cast<std::ptrdiff_t>(random.Below(fields.size()));
    order.push_back({.field = *at, .descending = random.Chance(50)});
    fields.erase(at);
  }
  return order;
}

// What Build takes of the numbers.
NumberList Taken(const NumberList& numbers) {
  NumberList taken;
  std::map<std::string, int> seen;
  for (const v1::Number& number : numbers) {
    if (number.phone_number().starts_with('+') && seen[number.phone_number()]++ == 0) {
      *taken.Add() = number;
    }
  }
  return taken;
}

class AnySearchTest : public testing::Test {
 protected:
  NumberList Expected(const NumberList& numbers, const v1::AvailabilityFilter& filter,
                      const Order& order) {
    std::vector<const v1::Number*> found;
    const NumberFilter number_filter(filter);
    for (const v1::Number& number : numbers) {
      bool matches = true;
      for (const Condition& condition : Conditions()) {
        if (!condition.is_set(filter)) continue;
        const bool holds = condition.holds(filter, number);
        ++seen_[condition.name].at(holds ? 1 : 0);
        matches = matches && holds;
      }
      EXPECT_EQ(number_filter.Matches(number), matches)
          << number.DebugString() << filter.DebugString();
      if (matches) found.push_back(&number);
    }
    if (!order.empty()) {
      std::stable_sort(found.begin(), found.end(), [&](const v1::Number* a, const v1::Number* b) {
        for (const OrderKey& key : order) {
          const int sign = CompareBy(key, *a, *b);
          if (sign != 0) return sign < 0;
        }
        return a->phone_number() < b->phone_number();
      });
    }
    NumberList result;
    for (const v1::Number* number : found) *result.Add() = *number;
    return result;
  }

  void Check(const Availability& availability, const NumberList& numbers, Random& random) {
    const v1::AvailabilityFilter filter =
        random.Chance(15) ? v1::AvailabilityFilter() : AnyFilter(random);
    const Order order = AnyOrder(random);
    const NumberList expected = Expected(numbers, filter, order);
    most_found_ = std::max(most_found_, expected.size());
    const auto total = static_cast<std::size_t>(expected.size());
    const auto check_page = [&](std::size_t offset, std::size_t limit) {
      const auto page = availability.Search(filter, order, offset, limit);
      EXPECT_EQ(page.total, total) << filter.DebugString();
      NumberList wanted;
      for (std::size_t i = offset; i < total && i - offset < limit; ++i) {
        *wanted.Add() = expected[static_cast<int>(i)];
      }
      ASSERT_EQ(PhoneNumbersOf(NumbersOf(availability, page.rows)), PhoneNumbersOf(wanted))
          << filter.DebugString() << order.size() << " keys, " << offset << " " << limit;
      for (int i = 0; i < wanted.size(); ++i) {
        ASSERT_THAT(availability.NumberAt(page.rows[static_cast<std::size_t>(i)]),
                    EqualsMessage(wanted[i]));
      }
    };
    check_page(random.Below(total + 3), random.Below(total + 3));
    check_page(random.Below(5), 1 + random.Below(10));
    check_page(0, std::numeric_limits<std::size_t>::max());
    check_page(std::numeric_limits<std::size_t>::max(), std::numeric_limits<std::size_t>::max());
    if (random.Chance(10)) {
      const std::size_t page_size = 1 + random.Below(30);
      for (std::size_t offset = 0; offset < total; offset += page_size) {
        check_page(offset, page_size);
      }
    }
  }

  std::map<std::string, std::array<int, 2>> seen_;  // numbers that failed and met a condition
  int most_found_ = 0;
};

TEST_F(AnySearchTest, FindsWhatALoopOverTheListFinds) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const NumberList numbers = AnyInventory(random, seed < 4 ? seed : random.Below(401));
    NumberList taken = Taken(numbers);
    auto availability = Build(numbers);
    ASSERT_EQ(availability->size(), static_cast<std::size_t>(taken.size()));
    ASSERT_EQ(availability->left_out(), static_cast<std::size_t>(numbers.size() - taken.size()));
    ASSERT_THAT(ListReply(*availability), EqualsMessage(ListReplyOf(taken)));
    for (int i = 0; i < 25; ++i) Check(*availability, taken, random);
    for (std::uint64_t leave_out = random.Below(4); leave_out > 0 && !taken.empty(); --leave_out) {
      const auto gone = taken.begin() + static_cast<std::ptrdiff_t>(
                                            random.Below(static_cast<std::uint64_t>(taken.size())));
      availability = availability->Without(gone->phone_number(), PinInMemory);
      ASSERT_NE(availability, nullptr);
      taken.erase(gone);
    }
    ASSERT_THAT(ListReply(*availability), EqualsMessage(ListReplyOf(taken)));
    for (int i = 0; i < 15; ++i) Check(*availability, taken, random);
  }
  for (const Condition& condition : Conditions()) {
    EXPECT_GT(seen_[condition.name][0], 100) << condition.name << " never failed";
    EXPECT_GT(seen_[condition.name][1], 100) << condition.name << " never held";
  }
  EXPECT_GT(most_found_, 100);
}

}  // namespace
}  // namespace leasegateway
