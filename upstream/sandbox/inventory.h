#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_INVENTORY_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_INVENTORY_H_

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace leasegateway::sandbox {

// A number of the inventory, small enough for a million of them.
struct InventoryNumber {
  std::string e164;
  std::string formatted;
  std::uint16_t city = 0;  // a row of the table in inventory.cc
  std::uint8_t carrier = 0;
  std::uint8_t channels = 0;      // bits, in the order of the table
  std::uint8_t requirements = 0;  // bits, in the order of the table
  std::uint8_t reputation = 0;    // hundredths
  std::uint8_t previous_owners = 0;
  bool intl_sms = false;
  bool e911_capable = false;
  bool g_available = false;
  std::int32_t upfront_cents = 0;
  std::int32_t monthly_cents = 0;
  std::int64_t created_at = 0;  // seconds
};

// `count` different numbers; the same for the same seed on every platform, and the shorter
// inventory of a seed is the beginning of the longer one.
std::vector<InventoryNumber> MakeInventory(std::uint64_t seed, int count);

// The number as an object of the provider's, but for the closing brace.
void AppendNumber(const InventoryNumber& number, std::string_view status, std::string* out);

// The words of `data.requirements` that the number has.
std::vector<std::string_view> RequirementsOf(const InventoryNumber& number);
// Whether `word` is one that can stand there.
bool IsRequirement(std::string_view word);

// [0, bound), the same on every platform, which std::uniform_int_distribution isn't.
std::uint64_t Draw(std::mt19937_64& random, std::uint64_t bound);
// 16 lower-case hexadecimal digits.
std::string DrawHex(std::mt19937_64& random);

// '+', then 7 to 15 digits, the first of them not 0.
bool IsE164(std::string_view text);

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_INVENTORY_H_
