#ifndef LEASE_GATEWAY_TESTS_SUPPORT_PROVIDER_OPERATIONS_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_PROVIDER_OPERATIONS_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/provider/json_codec.h"

namespace leasegateway::bodies {

// A good reply an operation, what each of its fields holds, and where in the RPC's response it
// goes.

using google::protobuf::Message;

// What a decoder made of a body: the RPC's response, or a status.
struct Decoded {
  absl::Status status;
  std::shared_ptr<Message> response;
  Tolerated tolerated;

  int bad_items() const { return tolerated.of(Tolerated::Kind::kItem); }
  // Fields and amounts.
  int left_out() const {
    return tolerated.of(Tolerated::Kind::kField) + tolerated.of(Tolerated::Kind::kAmount);
  }
};

// What a field holds, which says how each value of it is to be read.
enum class Kind {
  kText,
  kIdentity,    // says which number or lease it is
  kNeededText,  // the same, and without it there is no answer
  kPhone,       // the number's id, which is there twice
  kAmount,
  kTime,
  kCount,
  kRatio,
  kFlag,
  kNeededFlag,
  kEchoedFlag,  // without it nothing is echoed
  kTexts,
  kObject,
  kNeededObject,
  kUnknown,  // kept as it is
  kDropped
};

inline bool IsNeeded(Kind kind) {
  switch (kind) {
    case Kind::kIdentity:
    case Kind::kNeededText:
    case Kind::kPhone:
    case Kind::kNeededFlag:
    case Kind::kNeededObject:
      return true;
    default:
      return false;
  }
}

struct Field {
  std::string at;  // JSON pointer from the root
  Kind kind = Kind::kDropped;
  std::string in_response;           // "number.pricing.monthly_rate"; empty: nowhere
  std::vector<std::string> derived;  // what follows from it: cleared when the rest is compared
  std::string gone = "";             // what goes when it can't be read; empty: itself
};

struct Operation {
  std::string name;
  std::string body;
  std::function<Decoded(std::string_view)> decode;
  std::vector<Field> fields;
  bool is_list = false;
};

inline constexpr std::string_view kNumber = R"("id":"+13059478667","status":"leased",
"number":{"e164":"+13059478667","formatted":"+1 (305) 947-8667"},
"location":{"country":"US","region":"FL","city":"Miami","zip":"33101"},"carrier":"T-Mobile",
"capabilities":{"intl_sms":true,"channels":["sms","mms"]},
"health":{"reputation":0.9,"previous_owners":1},
"data":{"requirements":["imessage_entitlement_required"],"e911_capable":true,"note":"n"},
"created_at":1718851200,"pricing":{"currency":"USD","upfront_fee":2.99,"monthly_rate":19.99},
"color":"red")";
inline constexpr std::string_view kLease = R"("lease_id":"lsd_1","lease_status":"active",
"billing":{"method":"monthly","price":{"currency":"EUR","monthly_rate":5,"upfront_fee":6},
"period":{"start":1718851200,"end":1721443200}})";

inline std::string Envelope(std::string_view data) {
  return absl::StrCat(R"({"id":"req_1","timestamp":1785698220563,"api_version":"v1",)",
                      R"("object":"response","extra":1,"data":)",
                      absl::string_view(data.data(), data.size()), "}");
}

inline absl::string_view Text(std::string_view text) { return {text.data(), text.size()}; }

inline std::string NumberText(std::string_view more = "") {
  return absl::StrCat("{", Text(kNumber), more.empty() ? "" : ",", Text(more), "}");
}

// Three items, of which the fields are those of the second.
inline std::string ListText(std::string_view more = "") {
  const std::string item = NumberText(more);
  const auto other = [&](const char* number) {
    std::string text = item;
    for (std::size_t at = 0; (at = text.find("+13059478667", at)) != std::string::npos;) {
      text.replace(at, 12, number);
    }
    return text;
  };
  return absl::StrCat(R"({"total":3,"numbers":[)", other("+13050000001"), ",", item, ",",
                      other("+13050000003"), "]}");
}

template <typename Response, typename Reply, typename Take>
Decoded Wrap(absl::StatusOr<Reply> reply, Take take) {
  Decoded decoded;
  decoded.status = reply.status();
  if (!reply.ok()) return decoded;
  auto response = std::make_shared<Response>();
  decoded.tolerated = reply->tolerated;
  for (std::size_t kind = 0; kind < Tolerated::kNames.size(); ++kind) {
    EXPECT_EQ(reply->tolerated.counts[kind] > 0, !reply->tolerated.first[kind].empty());
    EXPECT_LT(reply->tolerated.first[kind].size(), 600U);
  }
  *response->mutable_metadata() = std::move(reply->metadata);
  take(*response, std::move(reply->value));
  decoded.response = std::move(response);
  return decoded;
}

inline void AddEnvelope(std::vector<Field>& fields) {
  fields.push_back({"/id", Kind::kText, "metadata.upstream_request_id", {}});
  fields.push_back({"/timestamp", Kind::kTime, "metadata.upstream_time", {}});
  fields.push_back({"/api_version", Kind::kText, "metadata.upstream_api_version", {}});
  fields.push_back({"/extra", Kind::kDropped, "", {}});
}

// `at`: "/data"; `to`: "number".
inline void AddNumber(std::vector<Field>& fields, const std::string& at, const std::string& to) {
  const auto add = [&](const char* from, Kind kind, const char* field,
                       std::vector<std::string> derived = {}, const char* gone = "") {
    for (auto& name : derived) name = absl::StrCat(to, ".", name);
    fields.push_back({at + from, kind, *field == 0 ? "" : absl::StrCat(to, ".", field), derived,
                      *gone == 0 ? "" : absl::StrCat(to, ".", gone)});
  };
  add("/id", Kind::kPhone, "phone_number");
  add("/number/e164", Kind::kPhone, "phone_number");
  add("/status", Kind::kText, "provider_status", {"status"});
  add("/number/formatted", Kind::kText, "formatted");
  add("/location", Kind::kObject, "location");
  add("/location/country", Kind::kText, "location.country");
  add("/location/region", Kind::kText, "location.region");
  add("/location/city", Kind::kText, "location.city");
  add("/location/zip", Kind::kDropped, "");
  add("/carrier", Kind::kText, "carrier");
  add("/capabilities/intl_sms", Kind::kFlag, "capabilities.intl_sms");
  add("/capabilities/channels", Kind::kTexts, "capabilities.channels");
  add("/health", Kind::kObject, "health");
  add("/health/reputation", Kind::kRatio, "health.reputation", {}, "health");
  add("/health/previous_owners", Kind::kCount, "health.previous_owners", {}, "health");
  add("/data/requirements", Kind::kTexts, "requirements");
  add("/data/e911_capable", Kind::kFlag, "e911_capable");
  add("/data/note", Kind::kUnknown, "additional_data");
  add("/created_at", Kind::kTime, "create_time");
  add("/pricing", Kind::kObject, "pricing");
  add("/pricing/currency", Kind::kText, "pricing.upfront_fee.currency_code",
      {"pricing.monthly_rate.currency_code"}, "pricing");
  add("/pricing/upfront_fee", Kind::kAmount, "pricing.upfront_fee");
  add("/pricing/monthly_rate", Kind::kAmount, "pricing.monthly_rate");
  add("/color", Kind::kUnknown, "additional_fields");
}

inline void AddBilling(std::vector<Field>& fields, const std::string& at, const std::string& to) {
  fields.push_back({at, Kind::kObject, to, {}});
  fields.push_back({at + "/method", Kind::kText, to + ".provider_method", {to + ".method"}});
  fields.push_back({at + "/price", Kind::kObject, to + ".price", {}});
  fields.push_back({at + "/price/currency",
                    Kind::kText,
                    to + ".price.upfront_fee.currency_code",
                    {to + ".price.monthly_rate.currency_code"},
                    to + ".price"});
  fields.push_back({at + "/price/monthly_rate", Kind::kAmount, to + ".price.monthly_rate", {}});
  fields.push_back({at + "/price/upfront_fee", Kind::kAmount, to + ".price.upfront_fee", {}});
  fields.push_back({at + "/period/start", Kind::kTime, to + ".start_time", {}});
  fields.push_back({at + "/period/end", Kind::kTime, to + ".end_time", {}});
}

// Long, because every field of every operation stands here.
inline std::vector<Operation> MakeOperations() {
  std::vector<Operation> operations;
  const auto add = [&](const char* name, const std::string& data,
                       std::function<Decoded(std::string_view)> decode) -> std::vector<Field>& {
    operations.push_back({name, Envelope(data), std::move(decode), {}, false});
    AddEnvelope(operations.back().fields);
    return operations.back().fields;
  };
  const auto decode_number = [](std::string_view body) {
    return Wrap<v1::GetNumberResponse>(DecodeNumber(body), [](auto& response, auto value) {
      *response.mutable_number() = std::move(value);
    });
  };
  AddNumber(add("GetNumber", NumberText(), decode_number), "/data", "number");
  {
    auto& fields = add("GetNumber, leased", NumberText(kLease), decode_number);
    AddNumber(fields, "/data", "number");
    fields.push_back({"/data/lease_id", Kind::kNeededText, "number.lease.lease_id", {}});
    fields.push_back({"/data/lease_status",
                      Kind::kText,
                      "number.lease.provider_status",
                      {"number.lease.status"}});
    AddBilling(fields, "/data/billing", "number.lease.billing");
  }
  {
    auto& fields = add("ListAvailableNumbers", ListText(), [](std::string_view body) {
      return Wrap<v1::ListAvailableNumbersResponse>(
          DecodeAvailableNumbers(body),
          [](auto& response, auto value) { response.mutable_numbers()->Swap(&value); });
    });
    AddNumber(fields, "/data/numbers/1", "numbers.1");
    operations.back().is_list = true;
  }
  {
    auto& fields = add("ListLeases", ListText(kLease), [](std::string_view body) {
      return Wrap<v1::ListLeasesResponse>(DecodeLeases(body), [](auto& response, auto value) {
        response.mutable_leases()->Swap(&value);
      });
    });
    AddNumber(fields, "/data/numbers/1", "leases.1.number");
    // The number is the lease's as well.
    for (Field& field : fields) {
      if (field.kind == Kind::kPhone) field.derived.push_back("leases.1.phone_number");
    }
    fields.push_back({"/data/numbers/1/lease_id", Kind::kNeededText, "leases.1.lease_id", {}});
    fields.push_back({"/data/numbers/1/lease_status",
                      Kind::kText,
                      "leases.1.provider_status",
                      {"leases.1.status"}});
    AddBilling(fields, "/data/numbers/1/billing", "leases.1.billing");
    operations.back().is_list = true;
  }
  {
    auto& fields = add("CreateLease",
                       R"({"lease_id":"lsd_1","number":"+13059478667","status":"active","x":"y",
"billing":{"method":"monthly","price":{"currency":"EUR","monthly_rate":5,"upfront_fee":6},
"period":{"start":1718851200,"end":1721443200}}})",
                       [](std::string_view body) {
                         return Wrap<v1::CreateLeaseResponse>(
                             DecodeLease(body), [](auto& response, auto value) {
                               *response.mutable_lease() = std::move(value);
                             });
                       });
    fields.push_back({"/data/lease_id", Kind::kNeededText, "lease.lease_id", {}});
    fields.push_back({"/data/status", Kind::kText, "lease.provider_status", {"lease.status"}});
    fields.push_back({"/data/x", Kind::kDropped, "", {}});
    AddBilling(fields, "/data/billing", "lease.billing");
  }
  {
    auto& fields = add("TerminateLease",
                       R"({"lease_id":"lsd_1","number_id":"+13059478667","status":"terminated",
"terminated_at":1718851200,"x":"y"})",
                       [](std::string_view body) {
                         return Wrap<v1::TerminateLeaseResponse>(
                             DecodeTermination(body), [](auto& response, auto value) {
                               *response.mutable_termination() = std::move(value);
                             });
                       });
    const std::string to = "termination";
    fields.push_back({"/data/lease_id", Kind::kIdentity, to + ".lease_id", {}});
    fields.push_back({"/data/number_id", Kind::kIdentity, to + ".phone_number", {}});
    fields.push_back({"/data/status", Kind::kText, to + ".provider_status", {to + ".status"}});
    fields.push_back({"/data/terminated_at", Kind::kTime, to + ".terminate_time", {}});
    fields.push_back({"/data/x", Kind::kDropped, "", {}});
  }
  {
    auto& fields = add("ConfigureFailover",
                       R"({"number":"+13059478667","failover":{"enabled":true,"mode":"selective",
"numbers":["+13059278337","+13059278338"],"x":"y"}})",
                       [](std::string_view body) {
                         return Wrap<v1::ConfigureFailoverResponse>(
                             DecodeFailover(body), [](auto& response, auto value) {
                               *response.mutable_failover() = std::move(value);
                             });
                       });
    const std::string at = "/data/failover";
    fields.push_back({"/data/number", Kind::kDropped, "", {}});
    fields.push_back({at, Kind::kObject, "failover", {}});
    fields.push_back(
        {at + "/enabled", Kind::kEchoedFlag, "failover.enabled", {"failover"}, "failover"});
    fields.push_back({at + "/mode", Kind::kText, "failover.provider_mode", {"failover.mode"}});
    fields.push_back({at + "/numbers", Kind::kTexts, "failover.phone_numbers", {}});
    fields.push_back({at + "/x", Kind::kDropped, "", {}});
  }
  {
    auto& fields =
        add("GetCallForwarding",
            R"({"number":"+13059478667","call_forwarding":{"enabled":true,"to":"+13059278337",
"status":"queued","estimated_completion":1790000000000,"x":"y"}})",
            [](std::string_view body) {
              return Wrap<v1::GetCallForwardingResponse>(
                  DecodeCallForwarding(body), [](auto& response, auto value) {
                    *response.mutable_call_forwarding() = std::move(value);
                  });
            });
    const std::string at = "/data/call_forwarding";
    const std::string to = "call_forwarding";
    fields.push_back({"/data/number", Kind::kDropped, "", {}});
    fields.push_back({at, Kind::kNeededObject, to, {}});
    fields.push_back({at + "/enabled", Kind::kNeededFlag, to + ".enabled", {}});
    fields.push_back({at + "/to", Kind::kText, to + ".forward_to", {}});
    fields.push_back({at + "/status", Kind::kText, to + ".provider_status", {to + ".status"}});
    fields.push_back(
        {at + "/estimated_completion", Kind::kTime, to + ".estimated_completion_time", {}});
    fields.push_back({at + "/x", Kind::kDropped, "", {}});
  }
  return operations;
}

inline const std::vector<Operation>& Operations() {
  static const auto* const operations = new std::vector<Operation>(MakeOperations());
  return *operations;
}

}  // namespace leasegateway::bodies

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_PROVIDER_OPERATIONS_H_
