#include "upstream/provider/json_codec.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "upstream/provider/json_reader.h"
#include "upstream/provider/json_reply.h"
#include "upstream/provider/words.h"

namespace leasegateway {
namespace {

using Value = JsonReader::Value;
using Kind = Tolerated::Kind;

bool LooksLikeE164(std::string_view text) {
  constexpr size_t kMostDigits = 15;
  return text.size() >= 3 && text.size() <= kMostDigits + 1 && text[0] == '+' && text[1] != '0' &&
         text.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

// Amounts that can't be read are unknown, and so are those of a currency that can't.
bool ReadPricing(JsonReader& in, Value value, v1::Pricing& pricing) {
  std::string currency;
  bool currency_is_known = true;
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "currency") {
      return in.OrLeaveOut(
          in.ReadString(field, currency), [&] { currency_is_known = false; }, Kind::kAmount);
    }
    if (key == "upfront_fee") {
      return in.OrLeaveOut(in.ReadAmount(field, *pricing.mutable_upfront_fee()), pricing,
                           &v1::Pricing::clear_upfront_fee, Kind::kAmount);
    }
    if (key == "monthly_rate") {
      return in.OrLeaveOut(in.ReadAmount(field, *pricing.mutable_monthly_rate()), pricing,
                           &v1::Pricing::clear_monthly_rate, Kind::kAmount);
    }
    return in.Skip(field);
  });
  if (!currency_is_known) pricing.Clear();
  // The currency may come after the amounts.
  if (pricing.has_upfront_fee()) pricing.mutable_upfront_fee()->set_currency_code(currency);
  if (pricing.has_monthly_rate()) pricing.mutable_monthly_rate()->set_currency_code(currency);
  return ok;
}

bool ReadBillingPeriod(JsonReader& in, Value value, v1::Billing& billing) {
  return in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "start") {
      return in.OrLeaveOut(in.ReadTime(field, *billing.mutable_start_time()), billing,
                           &v1::Billing::clear_start_time);
    }
    if (key == "end") {
      return in.OrLeaveOut(in.ReadTime(field, *billing.mutable_end_time()), billing,
                           &v1::Billing::clear_end_time);
    }
    return in.Skip(field);
  });
}

bool ReadBilling(JsonReader& in, Value value, v1::Billing& billing) {
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "method") return in.ReadText(field, *billing.mutable_provider_method());
    if (key == "price") {
      return in.OrLeaveOut(ReadPricing(in, field, *billing.mutable_price()), billing,
                           &v1::Billing::clear_price, Kind::kAmount);
    }
    if (key == "period") {
      return in.OrLeaveOut(ReadBillingPeriod(in, field, billing), [&] {
        billing.clear_start_time();
        billing.clear_end_time();
      });
    }
    return in.Skip(field);
  });
  billing.set_method(EnumOf(kBillingMethods, billing.provider_method()));
  return ok;
}

bool ReadLocation(JsonReader& in, Value value, v1::Location& location) {
  return in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "country") return in.ReadText(field, *location.mutable_country());
    if (key == "region") return in.ReadText(field, *location.mutable_region());
    if (key == "city") return in.ReadText(field, *location.mutable_city());
    return in.Skip(field);
  });
}

bool ReadCapabilities(JsonReader& in, Value value, v1::Capabilities& capabilities) {
  const auto read_channels = [&](Value channels) {
    return in.OrLeaveOut(in.ReadStrings(channels, *capabilities.mutable_channels()), capabilities,
                         &v1::Capabilities::clear_channels);
  };
  // Older replies have the channels alone.
  if (in.IsType(value, JsonReader::Type::array)) return read_channels(value);
  return in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "channels") return read_channels(field);
    if (key == "intl_sms") {
      bool intl_sms = false;
      const bool ok = in.ReadBool(field, intl_sms);
      capabilities.set_intl_sms(intl_sms);
      return in.OrLeaveOut(ok, capabilities, &v1::Capabilities::clear_intl_sms);
    }
    return in.Skip(field);
  });
}

// All or nothing: the message has no word for a reputation, or a count, that nobody knows.
bool ReadHealth(JsonReader& in, Value value, v1::Health& health) {
  double reputation = 0;
  int32_t previous_owners = 0;
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "reputation") return in.ReadRatio(field, reputation);
    if (key == "previous_owners") return in.ReadCount(field, previous_owners);
    return in.Skip(field);
  });
  health.set_reputation(reputation);
  health.set_previous_owners(previous_owners);
  return ok;
}

// The `data` object of a number.
bool ReadNumberData(JsonReader& in, Value value, v1::Number& number) {
  return in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "requirements") {
      return in.OrLeaveOut(in.ReadStrings(field, *number.mutable_requirements()), number,
                           &v1::Number::clear_requirements);
    }
    if (key == "e911_capable") {
      bool capable = false;
      const bool ok = in.ReadBool(field, capable);
      number.set_e911_capable(capable);
      return in.OrLeaveOut(ok, number, &v1::Number::clear_e911_capable);
    }
    return in.ReadUnknown(key, field, *number.mutable_additional_data());
  });
}

// A number's forms: {e164, formatted}, or a string.
bool ReadForms(JsonReader& in, Value value, std::string& e164, std::string& formatted) {
  if (in.IsType(value, JsonReader::Type::string)) return in.ReadString(value, e164);
  return in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "e164") return in.ReadString(field, e164);
    if (key == "formatted") return in.ReadText(field, formatted);
    return in.Skip(field);
  });
}

// The provider gives the number twice; either will do, but not two different ones.
bool SetPhoneNumber(JsonReader& in, const std::string& id, const std::string& e164,
                    v1::Number& number) {
  if (id.empty() && e164.empty()) return in.FailMissing("id");
  for (const std::string& text : {id, e164}) {
    if (!text.empty() && !LooksLikeE164(text)) return in.FailWanted("an E.164 number", text);
  }
  if (!id.empty() && !e164.empty() && id != e164) return in.Fail("id and number.e164 differ");
  number.set_phone_number(id.empty() ? e164 : id);
  return true;
}

// Without a lease_id nobody can say which lease it is. That of a number that is leased must be
// told: without, it would look like somebody else's. Of any other number its fields mean nothing.
bool SetLease(JsonReader& in, v1::Number& number) {
  v1::Lease& lease = *number.mutable_lease();
  lease.set_phone_number(number.phone_number());
  lease.set_status(EnumOf(kLeaseStatuses, lease.provider_status()));
  if (!lease.lease_id().empty()) return true;
  const bool is_leased = number.status() == v1::NUMBER_STATUS_LEASED;
  return in.FailMissing("lease_id") ||
         (!is_leased && in.OrLeaveOut(false, number, &v1::Number::clear_lease));
}

bool ReadNumber(JsonReader& in, Value value, v1::Number& number) {
  std::string id;
  std::string e164;
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "id") return in.ReadString(field, id);
    if (key == "status") return in.ReadText(field, *number.mutable_provider_status());
    if (key == "number") return ReadForms(in, field, e164, *number.mutable_formatted());
    if (key == "location") {
      return in.OrLeaveOut(ReadLocation(in, field, *number.mutable_location()), number,
                           &v1::Number::clear_location);
    }
    if (key == "carrier") return in.ReadText(field, *number.mutable_carrier());
    if (key == "capabilities") {
      return in.OrLeaveOut(ReadCapabilities(in, field, *number.mutable_capabilities()), number,
                           &v1::Number::clear_capabilities);
    }
    if (key == "health") {
      return in.OrLeaveOut(ReadHealth(in, field, *number.mutable_health()), number,
                           &v1::Number::clear_health);
    }
    if (key == "data") {
      return in.OrLeaveOut(ReadNumberData(in, field, number), [&] {
        number.clear_requirements();
        number.clear_e911_capable();
        number.clear_additional_data();
      });
    }
    if (key == "created_at") {
      return in.OrLeaveOut(in.ReadTime(field, *number.mutable_create_time()), number,
                           &v1::Number::clear_create_time);
    }
    if (key == "pricing") {
      return in.OrLeaveOut(ReadPricing(in, field, *number.mutable_pricing()), number,
                           &v1::Number::clear_pricing, Kind::kAmount);
    }
    if (key == "lease_id") return in.ReadString(field, *number.mutable_lease()->mutable_lease_id());
    if (key == "lease_status")
      return in.ReadText(field, *number.mutable_lease()->mutable_provider_status());
    if (key == "billing") {
      v1::Lease& lease = *number.mutable_lease();
      return in.OrLeaveOut(ReadBilling(in, field, *lease.mutable_billing()), lease,
                           &v1::Lease::clear_billing);
    }
    return in.ReadUnknown(key, field, *number.mutable_additional_fields());
  });
  if (!ok || !SetPhoneNumber(in, id, e164, number)) return false;
  number.set_status(EnumOf(kNumberStatuses, number.provider_status()));
  return !number.has_lease() || SetLease(in, number);
}

// A number with its lease becomes a lease with its number.
bool ReadLeasedNumber(JsonReader& in, Value value, v1::Lease& lease) {
  v1::Number number;
  if (!ReadNumber(in, value, number)) return false;
  if (number.lease().lease_id().empty()) return in.FailMissing("lease_id");
  lease = std::move(*number.mutable_lease());
  number.clear_lease();
  *lease.mutable_number() = std::move(number);
  return true;
}

// What POST /lease/{number} answers.
bool ReadNewLease(JsonReader& in, Value value, v1::Lease& lease) {
  std::string formatted;
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "lease_id") return in.ReadString(field, *lease.mutable_lease_id());
    if (key == "number") return ReadForms(in, field, *lease.mutable_phone_number(), formatted);
    if (key == "status") return in.ReadText(field, *lease.mutable_provider_status());
    if (key == "billing") {
      return in.OrLeaveOut(ReadBilling(in, field, *lease.mutable_billing()), lease,
                           &v1::Lease::clear_billing);
    }
    return in.Skip(field);
  });
  if (!ok) return false;
  if (lease.lease_id().empty()) return in.FailMissing("lease_id");
  lease.set_status(EnumOf(kLeaseStatuses, lease.provider_status()));
  return true;
}

bool ReadTermination(JsonReader& in, Value value, v1::Termination& termination) {
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "lease_id") return in.ReadString(field, *termination.mutable_lease_id());
    if (key == "number_id") return in.ReadString(field, *termination.mutable_phone_number());
    if (key == "status") return in.ReadText(field, *termination.mutable_provider_status());
    if (key == "terminated_at") {
      return in.OrLeaveOut(in.ReadTime(field, *termination.mutable_terminate_time()), termination,
                           &v1::Termination::clear_terminate_time);
    }
    return in.Skip(field);
  });
  termination.set_status(EnumOf(kLeaseStatuses, termination.provider_status()));
  return ok;
}

bool ReadFailover(JsonReader& in, Value value, v1::Failover& failover) {
  std::optional<bool> enabled;
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "enabled") {
      return in.OrLeaveOut(in.ReadBool(field, enabled.emplace()), [&] { enabled.reset(); });
    }
    if (key == "mode") return in.ReadText(field, *failover.mutable_provider_mode());
    if (key == "numbers") {
      return in.OrLeaveOut(in.ReadStrings(field, *failover.mutable_phone_numbers()), failover,
                           &v1::Failover::clear_phone_numbers);
    }
    return in.Skip(field);
  });
  // Without it nothing is echoed, and "disabled" would be a guess.
  if (!enabled) {
    failover.Clear();
    return ok;
  }
  failover.set_enabled(*enabled);
  failover.set_mode(EnumOf(kFailoverModes, failover.provider_mode()));
  return ok;
}

bool ReadCallForwarding(JsonReader& in, Value value, v1::CallForwarding& forwarding) {
  std::optional<bool> enabled;
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "enabled") return in.ReadBool(field, enabled.emplace());
    if (key == "to") return in.ReadText(field, *forwarding.mutable_forward_to());
    if (key == "status") return in.ReadText(field, *forwarding.mutable_provider_status());
    if (key == "estimated_completion") {
      return in.OrLeaveOut(in.ReadTime(field, *forwarding.mutable_estimated_completion_time()),
                           forwarding, &v1::CallForwarding::clear_estimated_completion_time);
    }
    return in.Skip(field);
  });
  if (!ok) return false;
  // Without it the reply says nothing, and "disabled" would be a guess.
  if (!enabled) return in.FailMissing("enabled");
  forwarding.set_enabled(*enabled);
  forwarding.set_status(EnumOf(kCallForwardingStatuses, forwarding.provider_status()));
  return true;
}

}  // namespace

absl::StatusOr<Reply<NumberList>> DecodeAvailableNumbers(const PaddedText& body) {
  return DecodeList<NumberList>(body, ReadNumber);
}

absl::StatusOr<Reply<LeaseList>> DecodeLeases(const PaddedText& body) {
  return DecodeList<LeaseList>(body, ReadLeasedNumber);
}

absl::StatusOr<Reply<v1::Number>> DecodeNumber(const PaddedText& body) {
  return DecodeReply<v1::Number>(body, ReadNumber);
}

absl::StatusOr<Reply<v1::Lease>> DecodeLease(const PaddedText& body) {
  return DecodeReply<v1::Lease>(body, ReadNewLease);
}

absl::StatusOr<Reply<v1::Termination>> DecodeTermination(const PaddedText& body) {
  return DecodeReply<v1::Termination>(body, ReadTermination);
}

absl::StatusOr<Reply<v1::Failover>> DecodeFailover(const PaddedText& body) {
  return DecodeReply<v1::Failover>(body, [](JsonReader& in, Value data, v1::Failover& failover) {
    return in.ReadObject(data, [&](std::string_view key, Value field) {
      if (key != "failover") return in.Skip(field);
      return in.OrLeaveOut(ReadFailover(in, field, failover), failover, &v1::Failover::Clear);
    });
  });
}

absl::StatusOr<Reply<v1::CallForwarding>> DecodeCallForwarding(const PaddedText& body) {
  return DecodeReply<v1::CallForwarding>(
      body, [](JsonReader& in, Value data, v1::CallForwarding& forwarding) {
        return ReadNeededField(in, data, "call_forwarding", [&](Value value) {
          return ReadCallForwarding(in, value, forwarding);
        });
      });
}

}  // namespace leasegateway
