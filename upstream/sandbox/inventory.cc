#include "upstream/sandbox/inventory.h"

#include <algorithm>
#include <iterator>
#include <unordered_set>

namespace leasegateway::sandbox {
namespace {

struct City {
  std::string_view country;
  std::string_view region;
  std::string_view city;
  std::string_view currency;
  std::string_view pattern;  // N: a digit from 2 to 9, X: any digit
};

constexpr City kCities[] = {
    {"US", "FL", "Miami", "USD", "+1 (305) NXX-XXXX"},
    {"US", "NY", "New York", "USD", "+1 (212) NXX-XXXX"},
    {"US", "NY", "Brooklyn", "USD", "+1 (718) NXX-XXXX"},
    {"US", "CA", "Los Angeles", "USD", "+1 (213) NXX-XXXX"},
    {"US", "CA", "San Francisco", "USD", "+1 (415) NXX-XXXX"},
    {"US", "CA", "San Diego", "USD", "+1 (619) NXX-XXXX"},
    {"US", "IL", "Chicago", "USD", "+1 (312) NXX-XXXX"},
    {"US", "TX", "Houston", "USD", "+1 (713) NXX-XXXX"},
    {"US", "TX", "Austin", "USD", "+1 (512) NXX-XXXX"},
    {"US", "WA", "Seattle", "USD", "+1 (206) NXX-XXXX"},
    {"US", "MA", "Boston", "USD", "+1 (617) NXX-XXXX"},
    {"US", "GA", "Atlanta", "USD", "+1 (404) NXX-XXXX"},
    {"US", "CO", "Denver", "USD", "+1 (303) NXX-XXXX"},
    {"US", "PA", "Philadelphia", "USD", "+1 (215) NXX-XXXX"},
    {"CA", "ON", "Toronto", "CAD", "+1 (416) NXX-XXXX"},
    {"CA", "ON", "Ottawa", "CAD", "+1 (613) NXX-XXXX"},
    {"CA", "QC", "Montréal", "CAD", "+1 (514) NXX-XXXX"},
    {"CA", "BC", "Vancouver", "CAD", "+1 (604) NXX-XXXX"},
    {"CA", "AB", "Calgary", "CAD", "+1 (403) NXX-XXXX"},
    {"GB", "England", "London", "GBP", "+44 20 7NXX XXXX"},
    {"GB", "England", "Manchester", "GBP", "+44 161 NXX XXXX"},
    {"GB", "England", "Birmingham", "GBP", "+44 121 NXX XXXX"},
    {"GB", "Scotland", "Edinburgh", "GBP", "+44 131 NXX XXXX"},
    {"DE", "BE", "Berlin", "EUR", "+49 30 NXXXXXXX"},
    {"DE", "BY", "München", "EUR", "+49 89 NXXXXXXX"},
    {"DE", "HH", "Hamburg", "EUR", "+49 40 NXXXXXXX"},
    {"FR", "IDF", "Paris", "EUR", "+33 1 4X XX XX XX"},
    {"FR", "ARA", "Lyon", "EUR", "+33 4 7X XX XX XX"},
    {"FR", "PAC", "Marseille", "EUR", "+33 4 9X XX XX XX"},
    {"AU", "NSW", "Sydney", "AUD", "+61 2 9XXX XXXX"},
    {"AU", "VIC", "Melbourne", "AUD", "+61 3 9XXX XXXX"},
    {"AU", "QLD", "Brisbane", "AUD", "+61 7 3XXX XXXX"},
    {"IE", "Leinster", "Dublin", "EUR", "+353 1 NXX XXXX"},
    {"NL", "NH", "Amsterdam", "EUR", "+31 20 NXX XXXX"},
    {"ES", "MD", "Madrid", "EUR", "+34 91N XXX XXX"},
    {"ES", "CT", "Barcelona", "EUR", "+34 93N XXX XXX"},
};
constexpr std::string_view kCarriers[] = {"T-Mobile", "AT&T", "Verizon", "Contiguity",
                                          "International Partner"};
constexpr std::string_view kChannels[] = {"sms", "mms", "rcs", "imessage", "whatsapp"};
constexpr std::string_view kRequirements[] = {
    "imessage_entitlement_required", "whatsapp_entitlement_required", "enterprise_plan_required"};
constexpr std::int32_t kUpfrontCents[] = {0, 99, 199, 299, 499, 999};
constexpr std::int32_t kMonthlyCents[] = {199, 299, 499, 799, 999, 1499, 1999, 2999};

bool Chance(std::mt19937_64& random, std::uint64_t percent) { return Draw(random, 100) < percent; }

InventoryNumber MakeNumber(std::mt19937_64& random) {
  InventoryNumber number;
  number.city = static_cast<std::uint16_t>(Draw(random, std::size(kCities)));
  const City& city = kCities[number.city];
  for (char c : city.pattern) {
    if (c == 'N') c = static_cast<char>('2' + Draw(random, 8));
    if (c == 'X') c = static_cast<char>('0' + Draw(random, 10));
    number.formatted += c;
    if (c == '+' || (c >= '0' && c <= '9')) number.e164 += c;
  }
  const bool american = city.country == "US";
  const bool north_american = american || city.country == "CA";
  number.carrier = static_cast<std::uint8_t>(american ? Draw(random, 4) : 3 + Draw(random, 2));
  number.intl_sms = number.carrier == 0;
  const bool imessage = Chance(random, 30);
  const bool whatsapp = Chance(random, 40);
  number.channels =
      static_cast<std::uint8_t>(1 | (north_american ? 2 : 0) | (Chance(random, 30) ? 4 : 0) |
                                (imessage ? 8 : 0) | (whatsapp ? 16 : 0));
  if (imessage && Chance(random, 50)) number.requirements |= 1;
  if (whatsapp && Chance(random, 30)) number.requirements |= 2;
  if (Chance(random, 3)) number.requirements |= 4;
  number.reputation = static_cast<std::uint8_t>(50 + Draw(random, 50));
  number.previous_owners = static_cast<std::uint8_t>(Draw(random, 6));
  number.e911_capable = north_american && Chance(random, 90);
  number.g_available = Chance(random, 10);
  number.upfront_cents = kUpfrontCents[Draw(random, std::size(kUpfrontCents))];
  number.monthly_cents = kMonthlyCents[Draw(random, std::size(kMonthlyCents))];
  // From 2022-01-01, four years on.
  number.created_at = 1640995200 + static_cast<std::int64_t>(Draw(random, 4 * 365 * 86400));
  return number;
}

void AppendCents(std::int64_t cents, std::string* out) {
  *out += std::to_string(cents / 100);
  *out += '.';
  *out += static_cast<char>('0' + cents % 100 / 10);
  *out += static_cast<char>('0' + cents % 10);
}

template <typename Words>
void AppendWords(const Words& words, unsigned bits, std::string* out) {
  *out += '[';
  bool first = true;
  for (std::size_t i = 0; i < std::size(words); ++i) {
    if ((bits >> i & 1) == 0) continue;
    if (!first) *out += ',';
    first = false;
    ((*out += '"') += words[i]) += '"';
  }
  *out += ']';
}

}  // namespace

std::uint64_t Draw(std::mt19937_64& random, std::uint64_t bound) {
  return random() % bound;  // the bias is of no account with bounds this small
}

std::string DrawHex(std::mt19937_64& random) {
  std::string hex;
  std::uint64_t bits = random();
  for (int i = 0; i < 16; ++i, bits >>= 4) hex += "0123456789abcdef"[bits & 15];
  return hex;
}

std::vector<InventoryNumber> MakeInventory(std::uint64_t seed, int count) {
  std::mt19937_64 random(seed);
  std::vector<InventoryNumber> inventory;
  std::unordered_set<std::string> seen;
  const auto size = static_cast<std::size_t>(std::max(count, 0));
  inventory.reserve(size);
  seen.reserve(size);
  while (inventory.size() < size) {
    InventoryNumber number = MakeNumber(random);
    // 211, 311 ... 911 are services, not exchanges, in the North American plan.
    if (number.e164.starts_with("+1") && number.e164.compare(6, 2, "11") == 0) continue;
    if (seen.insert(number.e164).second) inventory.push_back(std::move(number));
  }
  return inventory;
}

void AppendNumber(const InventoryNumber& number, std::string_view status, std::string* out) {
  const City& city = kCities[number.city];
  (*out += R"({"id":")") += number.e164;
  (*out += R"(","status":")") += status;
  (*out += R"(","number":{"e164":")") += number.e164;
  (*out += R"(","formatted":")") += number.formatted;
  (*out += R"("},"location":{"country":")") += city.country;
  (*out += R"(","region":")") += city.region;
  (*out += R"(","city":")") += city.city;
  (*out += R"("},"carrier":")") += kCarriers[number.carrier];
  (*out += R"(","capabilities":{"intl_sms":)") += number.intl_sms ? "true" : "false";
  *out += R"(,"channels":)";
  AppendWords(kChannels, number.channels, out);
  *out += R"(},"health":{"reputation":)";
  AppendCents(number.reputation, out);
  (*out += R"(,"previous_owners":)") += std::to_string(number.previous_owners);
  *out += R"(},"data":{"requirements":)";
  AppendWords(kRequirements, number.requirements, out);
  (*out += R"(,"e911_capable":)") += number.e911_capable ? "true" : "false";
  (*out += R"(},"created_at":)") += std::to_string(number.created_at);
  (*out += R"(,"pricing":{"currency":")") += city.currency;
  *out += R"(","upfront_fee":)";
  AppendCents(number.upfront_cents, out);
  *out += R"(,"monthly_rate":)";
  AppendCents(number.monthly_cents, out);
  *out += '}';
}

std::vector<std::string_view> RequirementsOf(const InventoryNumber& number) {
  std::vector<std::string_view> words;
  for (std::size_t i = 0; i < std::size(kRequirements); ++i) {
    if ((number.requirements >> i & 1) != 0) words.push_back(kRequirements[i]);
  }
  return words;
}

bool IsRequirement(std::string_view word) {
  return std::find(std::begin(kRequirements), std::end(kRequirements), word) !=
         std::end(kRequirements);
}

bool IsE164(std::string_view text) {
  return text.size() >= 8 && text.size() <= 16 && text[0] == '+' && text[1] != '0' &&
         std::all_of(text.begin() + 1, text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace leasegateway::sandbox
