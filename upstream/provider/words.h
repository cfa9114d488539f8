#ifndef LEASE_GATEWAY_UPSTREAM_PROVIDER_WORDS_H_
#define LEASE_GATEWAY_UPSTREAM_PROVIDER_WORDS_H_

#include <cstddef>
#include <string_view>

#include "leasegateway/v1/resources.pb.h"

namespace leasegateway {

// The provider's words, and our enums for them, both ways.

template <typename Enum>
struct Word {
  std::string_view text;
  Enum value;
};

inline constexpr Word<v1::NumberStatus> kNumberStatuses[] = {
    {"available", v1::NUMBER_STATUS_AVAILABLE},
    {"g-available", v1::NUMBER_STATUS_G_AVAILABLE},
    {"leased", v1::NUMBER_STATUS_LEASED},
    {"unavailable", v1::NUMBER_STATUS_UNAVAILABLE}};
inline constexpr Word<v1::LeaseStatus> kLeaseStatuses[] = {
    {"active", v1::LEASE_STATUS_ACTIVE},
    {"paused", v1::LEASE_STATUS_PAUSED},
    {"pending", v1::LEASE_STATUS_PENDING},
    {"expired", v1::LEASE_STATUS_EXPIRED},
    {"terminated", v1::LEASE_STATUS_TERMINATED}};
inline constexpr Word<v1::BillingMethod> kBillingMethods[] = {
    {"monthly", v1::BILLING_METHOD_MONTHLY},
    {"service_contract", v1::BILLING_METHOD_SERVICE_CONTRACT},
    {"goodwill", v1::BILLING_METHOD_GOODWILL}};
inline constexpr Word<v1::FailoverMode> kFailoverModes[] = {
    {"all", v1::FAILOVER_MODE_ALL}, {"selective", v1::FAILOVER_MODE_SELECTIVE}};
inline constexpr Word<v1::CallForwardingStatus> kCallForwardingStatuses[] = {
    {"active", v1::CALL_FORWARDING_STATUS_ACTIVE}, {"queued", v1::CALL_FORWARDING_STATUS_QUEUED}};

// The enum's zero, UNSPECIFIED, for a word that is not in the table.
template <typename Enum, size_t kSize>
Enum EnumOf(const Word<Enum> (&table)[kSize], std::string_view text) {
  for (const Word<Enum>& word : table) {
    if (word.text == text) return word.value;
  }
  return Enum{};
}

// Empty for an enum's value that is not in the table.
template <typename Enum, size_t kSize>
std::string_view WordOf(const Word<Enum> (&table)[kSize], Enum value) {
  for (const Word<Enum>& word : table) {
    if (word.value == value) return word.text;
  }
  return {};
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PROVIDER_WORDS_H_
