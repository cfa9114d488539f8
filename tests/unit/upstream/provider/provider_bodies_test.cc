// Thousands of replies that a provider could send, generated from one good reply an operation: the
// rule of json_codec.h, field by field for every operation. Each must be read as what it says but
// for the field that can't be read; or, where that says which number or lease it is, without the
// item; or be refused as UPSTREAM_MALFORMED.
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/provider/json_codec.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace json = boost::json;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;

// --- the operations ------------------------------------------------------------------------------

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

constexpr std::string_view kNumber = R"("id":"+13059478667","status":"leased",
"number":{"e164":"+13059478667","formatted":"+1 (305) 947-8667"},
"location":{"country":"US","region":"FL","city":"Miami","zip":"33101"},"carrier":"T-Mobile",
"capabilities":{"intl_sms":true,"channels":["sms","mms"]},
"health":{"reputation":0.9,"previous_owners":1},
"data":{"requirements":["imessage_entitlement_required"],"e911_capable":true,"note":"n"},
"created_at":1718851200,"pricing":{"currency":"USD","upfront_fee":2.99,"monthly_rate":19.99},
"color":"red")";
constexpr std::string_view kLease = R"("lease_id":"lsd_1","lease_status":"active",
"billing":{"method":"monthly","price":{"currency":"EUR","monthly_rate":5,"upfront_fee":6},
"period":{"start":1718851200,"end":1721443200}})";

std::string Envelope(std::string_view data) {
  return absl::StrCat(R"({"id":"req_1","timestamp":1785698220563,"api_version":"v1",)",
                      R"("object":"response","extra":1,"data":)",
                      absl::string_view(data.data(), data.size()), "}");
}

absl::string_view Text(std::string_view text) { return {text.data(), text.size()}; }

std::string NumberText(std::string_view more = "") {
  return absl::StrCat("{", Text(kNumber), more.empty() ? "" : ",", Text(more), "}");
}

// Three items, of which the fields are those of the second.
std::string ListText(std::string_view more = "") {
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

void AddEnvelope(std::vector<Field>& fields) {
  fields.push_back({"/id", Kind::kText, "metadata.upstream_request_id", {}});
  fields.push_back({"/timestamp", Kind::kTime, "metadata.upstream_time", {}});
  fields.push_back({"/api_version", Kind::kText, "metadata.upstream_api_version", {}});
  fields.push_back({"/extra", Kind::kDropped, "", {}});
}

// `at`: "/data"; `to`: "number".
void AddNumber(std::vector<Field>& fields, const std::string& at, const std::string& to) {
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

void AddBilling(std::vector<Field>& fields, const std::string& at, const std::string& to) {
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

std::vector<Operation> MakeOperations() {
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

const std::vector<Operation>& Operations() {
  static const auto* const operations = new std::vector<Operation>(MakeOperations());
  return *operations;
}

// --- responses -----------------------------------------------------------------------------------

// The place of a field in a message: "numbers.1.pricing.monthly_rate".
struct Place {
  Message* message = nullptr;  // null: a message on the way is not there
  const FieldDescriptor* field = nullptr;
};

Place Find(Message& root, const std::string& path) {
  Place place{&root, nullptr};
  const std::vector<std::string> names = absl::StrSplit(path, '.');
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto* const reflection = place.message->GetReflection();
    place.field = place.message->GetDescriptor()->FindFieldByName(names[i]);
    if (place.field == nullptr) {
      ADD_FAILURE() << "no field " << names[i] << " of " << path;
      return {};
    }
    if (i + 1 == names.size()) return place;
    if (place.field->is_repeated()) {
      const int index = std::atoi(names[++i].c_str());
      if (index >= reflection->FieldSize(*place.message, place.field)) return {};
      place.message = reflection->MutableRepeatedMessage(place.message, place.field, index);
    } else {
      if (!reflection->HasField(*place.message, place.field)) return {};
      place.message = reflection->MutableMessage(place.message, place.field);
    }
  }
  return place;
}

std::string Amount(std::int64_t units, std::int32_t nanos) {
  const bool negative = units < 0 || nanos < 0;
  return absl::StrFormat("%s%d.%09d", negative ? "-" : "", units < 0 ? -units : units,
                         nanos < 0 ? -nanos : nanos);
}

constexpr char kAbsent[] = "absent";
constexpr char kMalformed[] = "malformed";

// The field as text, or kAbsent where it has its default.
std::string Show(Message& root, const std::string& path) {
  const Place place = Find(root, path);
  if (place.message == nullptr) return kAbsent;
  const auto& message = *place.message;
  const auto* const reflection = message.GetReflection();
  if (place.field->is_repeated()) {
    std::string text = "[";
    for (int i = 0; i < reflection->FieldSize(message, place.field); ++i) {
      absl::StrAppend(&text, reflection->GetRepeatedString(message, place.field, i), ";");
    }
    return text == "[" ? kAbsent : text + "]";
  }
  if (!reflection->HasField(message, place.field)) return kAbsent;
  switch (place.field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection->GetString(message, place.field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->GetBool(message, place.field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(reflection->GetInt32(message, place.field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      if (reflection->GetDouble(message, place.field) == 0) return kAbsent;  // also -0
      return absl::StrFormat("%.17g", reflection->GetDouble(message, place.field));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
    default:
      return "?";
  }
  const Message& value = reflection->GetMessage(message, place.field);
  if (const auto* money = dynamic_cast<const google::type::Money*>(&value)) {
    return Amount(money->units(), money->nanos());
  }
  if (const auto* time = dynamic_cast<const google::protobuf::Timestamp*>(&value)) {
    return absl::StrFormat("%d.%09d", time->seconds(), time->nanos());
  }
  return value.ByteSizeLong() == 0 ? kAbsent : "{" + value.ShortDebugString() + "}";
}

void Clear(Message& root, const std::string& path) {
  const Place place = Find(root, path);
  if (place.message == nullptr) return;
  place.message->GetReflection()->ClearField(place.message, place.field);
}

// A message that has nothing in it says the same as one that is not there.
void DropEmpty(Message& message) {
  const auto* const reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) continue;
    if (field->is_repeated()) {
      for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
        DropEmpty(*reflection->MutableRepeatedMessage(&message, field, i));
      }
      continue;
    }
    DropEmpty(*reflection->MutableMessage(&message, field));
    if (reflection->GetMessage(message, field).ByteSizeLong() == 0) {
      reflection->ClearField(&message, field);
    }
  }
}

// --- the cases -----------------------------------------------------------------------------------

class ProviderBodiesTest : public testing::Test {
 protected:
  // Each test says how many it had, and that it had not lost most of them.
  void Enough(int floor) {
    RecordProperty("cases", cases_);
    std::printf("%d generated bodies\n", cases_);
    EXPECT_GE(cases_, floor);
  }

  Decoded Decode(const Operation& operation, std::string_view body) {
    ++cases_;
    Decoded decoded = operation.decode(body);
    if (!decoded.status.ok()) {
      EXPECT_EQ(decoded.status.code(), absl::StatusCode::kInternal) << Quote(operation, body);
      EXPECT_EQ(ReasonOf(decoded.status), reason::kUpstreamMalformed) << Quote(operation, body);
      EXPECT_LT(decoded.status.message().size(), 600U) << Quote(operation, body);
      return decoded;
    }
    // What can be sent to callers: text fields of proto3 are UTF-8.
    std::unique_ptr<Message> copy(decoded.response->New());
    EXPECT_TRUE(copy->ParseFromString(decoded.response->SerializeAsString()))
        << Quote(operation, body);
    return decoded;
  }

  static std::string Quote(const Operation& operation, std::string_view body) {
    return absl::StrCat(operation.name, ": ", Text(body.substr(0, 3000)));
  }

  void ExpectMalformed(const Operation& operation, std::string_view body) {
    EXPECT_FALSE(Decode(operation, body).status.ok()) << Quote(operation, body);
  }
  void ExpectSame(const Operation& operation, std::string_view body) {
    const Decoded decoded = Decode(operation, body);
    ASSERT_TRUE(decoded.status.ok()) << decoded.status << Quote(operation, body);
    for (const int count : decoded.tolerated.counts) EXPECT_EQ(count, 0);
    EXPECT_TRUE(MessageDifferencer::Equals(*decoded.response, *Good(operation)))
        << Quote(operation, body) << decoded.response->DebugString();
  }
  // Refused as a whole, or without the item that it is in.
  static void ExpectRefused(const Operation& operation, const Decoded& decoded,
                            std::string_view body) {
    if (!decoded.status.ok()) {
      EXPECT_FALSE(operation.is_list) << decoded.status << Quote(operation, body);
      return;
    }
    EXPECT_EQ(decoded.bad_items(), 1) << Quote(operation, body);
    ExpectOnlyTheSecondGone(operation, decoded, body);
  }
  // Read without the field alone.
  static void ExpectLeftOut(const Operation& operation, const Field& field, const Decoded& decoded,
                            std::string_view body) {
    ASSERT_TRUE(decoded.status.ok()) << decoded.status << Quote(operation, body);
    EXPECT_EQ(decoded.bad_items(), 0) << Quote(operation, body);
    EXPECT_EQ(decoded.left_out(), 1) << Quote(operation, body);
    const std::string& gone = field.gone.empty() ? field.in_response : field.gone;
    EXPECT_EQ(Show(*decoded.response, gone), kAbsent) << Quote(operation, body);
    ExpectTheRestSame(operation, field, decoded, body);
  }
  // All but the field, and what goes with it and follows from it.
  static void ExpectTheRestSame(const Operation& operation, const Field& field,
                                const Decoded& decoded, std::string_view body) {
    const auto good = Good(operation);
    std::vector<std::string> other = field.derived;
    if (!field.in_response.empty()) other.push_back(field.in_response);
    if (!field.gone.empty()) other.push_back(field.gone);
    for (const std::string& path : other) {
      Clear(*decoded.response, path);
      Clear(*good, path);
    }
    DropEmpty(*decoded.response);
    DropEmpty(*good);
    EXPECT_TRUE(MessageDifferencer::Equals(*decoded.response, *good))
        << Quote(operation, body) << decoded.response->DebugString();
  }

  // Malformed, or less than in the good one, which is noted.
  void ExpectNothingNew(const Operation& operation, const std::string& body) {
    const Decoded decoded = Decode(operation, body);
    if (!decoded.status.ok()) return;
    if (MessageDifferencer::Equals(*decoded.response, *Good(operation))) return;
    EXPECT_GT(decoded.bad_items() + decoded.left_out(), 0)
        << Quote(operation, body) << decoded.response->ShortDebugString();
  }

  static std::shared_ptr<Message> Good(const Operation& operation) {
    return operation.decode(operation.body).response;
  }

  static void ExpectOnlyTheSecondGone(const Operation& operation, const Decoded& decoded,
                                      std::string_view body) {
    ASSERT_TRUE(operation.is_list) << Quote(operation, body);
    auto expected = Good(operation);
    const auto* const list = expected->GetDescriptor()->FindFieldByNumber(1);
    expected->GetReflection()->SwapElements(expected.get(), list, 1, 2);
    expected->GetReflection()->RemoveLast(expected.get(), list);
    EXPECT_TRUE(MessageDifferencer::Equals(*decoded.response, *expected)) << Quote(operation, body);
  }

  // The body with raw text in place of a field's value.
  static std::string With(const Operation& operation, const std::string& at,
                          std::string_view raw_value) {
    json::value root = json::parse(operation.body);
    root.at_pointer(at) = "@@";
    std::string body = json::serialize(root);
    body.replace(body.find("\"@@\""), 4, raw_value);
    return body;
  }

  int cases_ = 0;
};

// Otherwise the cases below would look at nothing.
TEST_F(ProviderBodiesTest, TheGoodOnesAreReadWhole) {
  for (const Operation& operation : Operations()) {
    const Decoded decoded = Decode(operation, operation.body);
    ASSERT_TRUE(decoded.status.ok()) << operation.name << decoded.status;
    for (const Field& field : operation.fields) {
      if (field.in_response.empty()) continue;
      EXPECT_NE(Show(*decoded.response, field.in_response), kAbsent)
          << operation.name << " " << field.at;
    }
  }
}

TEST_F(ProviderBodiesTest, EveryTruncationIsMalformed) {
  for (const Operation& operation : Operations()) {
    for (std::size_t size = 0; size < operation.body.size(); ++size) {
      ExpectMalformed(operation, std::string_view(operation.body).substr(0, size));
    }
  }
  Enough(6'000);
}

// A value of JSON, and what each kind of field makes of it. kMalformed: it can't be read as that.
struct Row {
  const char* value;
  const char* text = kMalformed;
  const char* amount = kMalformed;
  const char* time = kMalformed;
  const char* count = kMalformed;
  const char* ratio = kMalformed;
  const char* flag = kMalformed;
  const char* texts = kMalformed;
  const char* object = kMalformed;
};
constexpr char M[] = "malformed";
constexpr Row kRows[] = {
    {"null", kAbsent, kAbsent, kAbsent, kAbsent, kAbsent, kAbsent, kAbsent, kAbsent},
    {"true", M, M, M, M, M, "true"},
    {"false", M, M, M, M, M, "false"},
    // Numbers.
    {"0", M, "0.000000000", "0.000000000", kAbsent, kAbsent},
    {"-0", M, "0.000000000", "0.000000000", kAbsent, kAbsent},
    {"-0.0", M, "0.000000000", "0.000000000", kAbsent, kAbsent},
    {"0e9", M, "0.000000000", "0.000000000", kAbsent, kAbsent},
    {"1", M, "1.000000000", "1.000000000", "1", "1"},
    {"-1", M, M, "-1.000000000"},
    {"0.5", M, "0.500000000", "0.500000000", M, "0.5"},
    {"-0.5", M, M, "-1.500000000"},
    {"0.1", M, "0.100000000", "0.100000000", M, "0.10000000000000001"},
    {"1.5", M, "1.500000000", "1.500000000"},
    {"1.0", M, "1.000000000", "1.000000000", "1", "1"},
    {"19.99", M, "19.990000000", "19.990000000"},
    {"-19.99", M, M, "-20.010000000"},
    {"12.345678901", M, "12.345678901", "12.345678901"},
    {"12.3456789012", M, "12.345678901", "12.345678901"},
    {"0.30000000000000004", M, "0.300000000", "0.300000000", M, "0.30000000000000004"},
    {"1e2", M, "100.000000000", "100.000000000", "100"},
    {"1E+2", M, "100.000000000", "100.000000000", "100"},
    {"1.5e1", M, "15.000000000", "15.000000000", "15"},
    {"100e-2", M, "1.000000000", "1.000000000", "1", "1"},
    {"5e-1", M, "0.500000000", "0.500000000", M, "0.5"},
    {"1e-9", M, "0.000000001", "0.000000001", M, "1.0000000000000001e-09"},
    {"1e-10", M, "0.000000000", "0.000000000", M, "1e-10"},
    {"1e-400", M, "0.000000000", "0.000000000", M, kAbsent},
    {"1e400"},
    {"-1e400"},
    {"1e308"},
    {"1e99999999999999999999"},
    {"0e-99999999999999999999", M, "0.000000000", "0.000000000", kAbsent, kAbsent},
    {"2147483647", M, "2147483647.000000000", "2147483647.000000000", "2147483647"},
    {"2147483648", M, "2147483648.000000000", "2147483648.000000000"},
    {"99999999999", M, "99999999999.000000000", "99999999999.000000000"},
    {"1718851200123", M, "1718851200123.000000000", "1718851200.123000000"},
    {"9007199254740993", M, "9007199254740993.000000000"},
    {"9223372036854775807", M, "9223372036854775807.000000000"},
    {"9223372036854775808"},
    {"18446744073709551616"},
    {"100000000000000000000000"},
    // Strings; some hold numbers, times or what looks like them.
    {R"("")", kAbsent},
    {R"("x")", "x"},
    {R"("0.5")", "0.5", "0.500000000", "0.500000000", M, "0.5"},
    {R"("12.50")", "12.50", "12.500000000", "12.500000000"},
    {R"("7")", "7", "7.000000000", "7.000000000", "7"},
    {R"("007")", "007"},
    {R"(" 1")", " 1"},
    {R"("1 ")", "1 "},
    {R"("+1")", "+1"},
    {R"("0x10")", "0x10"},
    {R"("1,5")", "1,5"},
    {R"("1_000")", "1_000"},
    {R"("$5")", "$5"},
    {R"("1e")", "1e"},
    {R"(".5")", ".5"},
    {R"("5.")", "5."},
    {R"("-")", "-"},
    {R"("--1")", "--1"},
    {R"("1.5.2")", "1.5.2"},
    {R"("nan")", "nan"},
    {R"("NaN")", "NaN"},
    {R"("inf")", "inf"},
    {R"("-Infinity")", "-Infinity"},
    {R"("infinite-future")", "infinite-future"},
    {R"("true")", "true"},
    {R"("null")", "null"},
    {"\"\xEF\xBC\x91\"", "\xEF\xBC\x91"},  // a fullwidth 1
    {R"("\u0031")", "1", "1.000000000", "1.000000000", "1", "1"},
    {R"("2024-06-20T00:00:00Z")", "2024-06-20T00:00:00Z", M, "1718841600.000000000"},
    {R"("2024-06-20")", "2024-06-20", M, "1718841600.000000000"},
    {R"("2024-02-30")", "2024-02-30"},
    {R"("2024-06-20T25:00:00Z")", "2024-06-20T25:00:00Z"},
    {R"("0000-00-00")", "0000-00-00"},
    {R"("Thu, 20 Jun 2024 00:00:00 GMT")", "Thu, 20 Jun 2024 00:00:00 GMT"},
    {R"("\"\\\/\b\f\n\r\t")", "\"\\/\b\f\n\r\t"},
    {R"("\u00e9\ud83d\ude00")", "\u00e9\U0001F600"},
    {"\"\u00e9\U0001F600\"", "\u00e9\U0001F600"},
    // Arrays and objects.
    {"[]", M, M, M, M, M, M, kAbsent},
    {R"([""])", M, M, M, M, M, M, "[;]"},
    {R"(["a"])", M, M, M, M, M, M, "[a;]"},
    {R"(["a","a"])", M, M, M, M, M, M, "[a;a;]"},
    {R"(["a",null])", M, M, M, M, M, M, "[a;]"},
    {R"(["a",1])", M, M, M, M, M, M, "[a;]"},
    {R"([1,"a",{"b":["c"]},"d"])", M, M, M, M, M, M, "[a;d;]"},
    {"[1]", M, M, M, M, M, M, kAbsent},
    {"[true]", M, M, M, M, M, M, kAbsent},
    {"[[]]", M, M, M, M, M, M, kAbsent},
    {R"([["a"]])", M, M, M, M, M, M, kAbsent},
    {R"([{}])", M, M, M, M, M, M, kAbsent},
    {"{}", M, M, M, M, M, M, M, kAbsent},
    {R"({"unheard_of":1})", M, M, M, M, M, M, M, kAbsent},
};

// A number that no double holds, or that the parser doesn't take for one.
bool IsOutOfBounds(const Row& row) {
  const std::string_view value = row.value;
  return value.ends_with("1e400") || value.ends_with("99999999999999999999");
}

// Of the elements of an array, those that are no strings.
int WrongTexts(const Row& row) {
  const std::string_view value = row.value;
  if (!value.starts_with('[')) return 0;
  const json::value parsed = json::parse(value);
  return static_cast<int>(
      std::count_if(parsed.get_array().begin(), parsed.get_array().end(),
                    [](const json::value& element) { return !element.is_string(); }));
}

// As kRows has it; for kPhone, kUnknown and kDropped, `before` is what the field was.
std::string Expected(const Row& row, Kind kind, const std::string& before) {
  const std::string_view value = row.value;
  switch (kind) {
    case Kind::kText:
    case Kind::kIdentity:
      return row.text;
    case Kind::kNeededText:
      return row.text == std::string_view(kAbsent) ? kMalformed : row.text;
    case Kind::kPhone:  // the other place has it still
      return row.text == std::string_view(kAbsent) ? before : kMalformed;
    case Kind::kAmount:
      return row.amount;
    case Kind::kTime:
      return row.time;
    case Kind::kCount:
      return row.count;
    case Kind::kRatio:
      return row.ratio;
    case Kind::kFlag:
      return row.flag;
    case Kind::kNeededFlag:
      if (value == "false") return kAbsent;  // proto3 has no other false
      return value == "null" ? kMalformed : row.flag;
    case Kind::kEchoedFlag:
      return value == "false" ? kAbsent : row.flag;
    case Kind::kTexts:
      return row.texts;
    case Kind::kObject:
      return row.object;
    case Kind::kNeededObject:
      return kMalformed;
    default:
      return before;
  }
}

bool IsNeeded(Kind kind) {
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

TEST_F(ProviderBodiesTest, EveryValueAtEveryFieldIsReadAsItIsOrLeftOut) {
  for (const Operation& operation : Operations()) {
    for (const Field& field : operation.fields) {
      if (field.kind == Kind::kUnknown) continue;  // below
      for (const Row& row : kRows) {
        const std::string body = With(operation, field.at, row.value);
        const Decoded decoded = Decode(operation, body);
        const std::string before =
            field.in_response.empty() ? kAbsent : Show(*Good(operation), field.in_response);
        const std::string expected = Expected(row, field.kind, before);
        const std::string where =
            absl::StrCat(operation.name, " ", field.at, " = ", row.value, " ");
        SCOPED_TRACE(where);
        if (expected == kMalformed) {
          if (IsNeeded(field.kind)) {
            ExpectRefused(operation, decoded, body);
          } else {
            ExpectLeftOut(operation, field, decoded, body);
          }
          continue;
        }
        ASSERT_TRUE(decoded.status.ok()) << decoded.status;
        ASSERT_EQ(decoded.bad_items(), 0);
        EXPECT_EQ(decoded.left_out(), field.kind == Kind::kTexts ? WrongTexts(row) : 0);
        // Of all values, those with more decimals than an amount has.
        const std::set<std::string_view> rounded = {"12.3456789012", "0.30000000000000004", "1e-10",
                                                    "1e-400"};
        const bool is_rounded = rounded.contains(row.value);
        EXPECT_EQ(decoded.tolerated.of(Tolerated::Kind::kRounded),
                  field.kind == Kind::kAmount && is_rounded ? 1 : 0);
        if (!field.in_response.empty()) {
          EXPECT_EQ(Show(*decoded.response, field.in_response), expected);
        }
        // No word of an enum is among the values.
        for (const std::string& derived : field.derived) {
          const Place place = Find(*decoded.response, derived);
          const bool is_enum = place.message != nullptr && place.field->enum_type() != nullptr;
          if (!is_enum) continue;
          EXPECT_FALSE(place.message->GetReflection()->HasField(*place.message, place.field))
              << derived;
        }
        Field alone = field;
        alone.gone.clear();
        ExpectTheRestSame(operation, alone, decoded, body);
      }
    }
  }
  Enough(8'000);
}

// Boost.JSON is what says what the value is.
void ExpectKept(const json::value& value, std::string_view raw, const google::protobuf::Value& kept,
                const std::string& where) {
  if (value.is_null()) {
    EXPECT_TRUE(kept.has_null_value()) << where;
  } else if (value.is_bool()) {
    EXPECT_TRUE(kept.has_bool_value()) << where;
    EXPECT_EQ(kept.bool_value(), value.get_bool()) << where;
  } else if (value.is_string()) {
    EXPECT_EQ(kept.string_value(), std::string(value.get_string())) << where;
  } else if (value.is_array()) {
    ASSERT_EQ(kept.list_value().values_size(), static_cast<int>(value.get_array().size())) << where;
    for (int i = 0; i < kept.list_value().values_size(); ++i) {
      const auto& element = value.get_array().at(static_cast<std::size_t>(i));
      ExpectKept(element, json::serialize(element), kept.list_value().values(i), where);
    }
  } else if (value.is_object()) {
    ASSERT_EQ(kept.struct_value().fields_size(), static_cast<int>(value.get_object().size()))
        << where;
    for (const auto& [key, inner] : value.get_object()) {
      const auto found = kept.struct_value().fields().find(std::string(key));
      ASSERT_NE(found, kept.struct_value().fields().end()) << where;
      ExpectKept(inner, json::serialize(inner), found->second, where);
    }
  } else if (kept.has_string_value()) {  // an integer that a double does not hold
    EXPECT_EQ(kept.string_value(), std::string(raw)) << where;
    EXPECT_GT(raw.size(), 15U) << where;
  } else {
    EXPECT_EQ(kept.number_value(), std::strtod(std::string(raw).c_str(), nullptr)) << where;
  }
}

TEST_F(ProviderBodiesTest, UnknownFieldsAreKeptAsTheyAre) {
  for (const Operation& operation : Operations()) {
    for (const Field& field : operation.fields) {
      if (field.kind != Kind::kUnknown) continue;
      const std::string key = field.at.substr(field.at.rfind('/') + 1);
      for (const Row& row : kRows) {
        const std::string where = absl::StrCat(operation.name, " ", field.at, " = ", row.value);
        const std::string body = With(operation, field.at, row.value);
        const Decoded decoded = Decode(operation, body);
        ASSERT_TRUE(decoded.status.ok()) << decoded.status << where;
        EXPECT_EQ(decoded.bad_items(), 0) << where;
        const Place place = Find(*decoded.response, field.in_response);
        const bool is_null = std::string_view(row.value) == "null";
        if (is_null && place.message == nullptr) continue;
        ASSERT_NE(place.message, nullptr) << where;
        const auto& fields =
            dynamic_cast<const google::protobuf::Struct&>(
                place.message->GetReflection()->GetMessage(*place.message, place.field))
                .fields();
        const auto found = fields.find(key);
        EXPECT_EQ(decoded.left_out(), found == fields.end() && !is_null ? 1 : 0) << where;
        if (found == fields.end()) {
          EXPECT_TRUE(is_null || IsOutOfBounds(row)) << where;
          continue;
        }
        ExpectKept(json::parse(row.value), row.value, found->second, where);
      }
    }
  }
  Enough(500);
}

// What RFC 8259 forbids, at every field, also at those that nobody reads.
constexpr std::string_view kNotJson[] = {
    "",
    "NaN",
    "Infinity",
    "-Infinity",
    "-",
    "+1",
    "01",
    "-01",
    "00",
    ".5",
    "1.",
    "-.5",
    "1.e1",
    "1e",
    "1e+",
    "1e-",
    "1.2.3",
    "0x10",
    "1_000",
    "1,5",
    "1 2",
    "1a",
    "0b1",
    "tru",
    "nul",
    "fals",
    "True",
    "TRUE",
    "NULL",
    "None",
    "undefined",
    "truetrue",
    "nulll",
    "'a'",
    "a",
    "`a`",
    "\"a",
    "a\"",
    "\"a\"\"b\"",
    "\"a\" \"b\"",
    R"("\x")",
    R"("\u12")",
    R"("\u12g4")",
    R"("\U00000041")",
    R"("\'")",
    R"("\0")",
    "\"\\",
    "[",
    "]",
    "{",
    "}",
    "[1",
    "1]",
    "[1,]",
    "[,1]",
    "[,]",
    "[1,,2]",
    "[1 2]",
    "[\"a\"",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{:1}",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{null:1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\" 1}",
    "{\"a\":1:2}",
    "{\"a\",\"b\"}",
    "{[1]:1}",
    "[1}",
    "{\"a\":1]",
    "1//c",
    "1/*c*/",
    "//c\n1",
    "#c\n1",
    "(1)",
    "<a/>",
    "1;",
    "\x01",
    "\"\x01\"",
    "\"\n\"",
    "\"\t\"",
    "\"\r\"",
    "\"\x1f\"",
    "\f1",
    "\v1",
    "\xC2\xA0"
    "1",
    "\xE2\x80\xA8"
    "1",
    "\xEF\xBB\xBF"
    "1",
    // Not UTF-8: stray and missing continuations, overlong forms, surrogates, above U+10FFFF.
    "\"\x80\"",
    "\"\xBF\"",
    "\"\xFF\"",
    "\"\xFE\"",
    "\"\xC3\"",
    "\"\xE2\x82\"",
    "\"\xF0\x9F\x98\"",
    "\"\xC3(\"",
    "\"\xE2(\xA1\"",
    "\"\xE2\x82(\"",
    "\"\xF0(\x8C\xBC\"",
    "\"\xC0\x80\"",
    "\"\xC0\xAF\"",
    "\"\xC1\xBF\"",
    "\"\xE0\x80\xAF\"",
    "\"\xE0\x9F\xBF\"",
    "\"\xF0\x80\x80\xAF\"",
    "\"\xF0\x8F\xBF\xBF\"",
    "\"\xED\xA0\x80\"",
    "\"\xED\xBF\xBF\"",
    "\"\xED\xA0\xBD\xED\xB8\x80\"",
    "\"\xF4\x90\x80\x80\"",
    "\"\xF5\x80\x80\x80\"",
    "\"\xF8\x88\x80\x80\x80\"",
    "\"\xFC\x84\x80\x80\x80\x80\"",
};

// Whether a reader that knows nothing else of JSON than its quotes and brackets finds the end of
// it.
bool EndCanBeSeen(std::string_view raw) {
  std::string open;
  bool in_text = false;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (in_text) {
      if (raw[i] == '\\') ++i;
      in_text = i >= raw.size() || raw[i] != '"';
    } else if (raw[i] == '"') {
      in_text = true;
    } else if (raw[i] == '{' || raw[i] == '[') {
      open += raw[i] == '{' ? '}' : ']';
    } else if (raw[i] == '}' || raw[i] == ']') {
      if (!open.ends_with(raw[i])) return false;
      open.pop_back();
    }
  }
  return open.empty() && !in_text;
}

// The whole, the item or the field: nothing else may be gone, and in a list never the others.
TEST_F(ProviderBodiesTest, WhatIsNotJsonTakesNoOtherFieldWithIt) {
  for (const Operation& operation : Operations()) {
    for (const Field& field : operation.fields) {
      const bool is_in_item = field.at.starts_with("/data/numbers/1/");
      for (const std::string_view raw : kNotJson) {
        const std::string body = With(operation, field.at, raw);
        const Decoded decoded = Decode(operation, body);
        SCOPED_TRACE(Quote(operation, body));
        if (!decoded.status.ok()) {
          EXPECT_FALSE(is_in_item && EndCanBeSeen(raw)) << decoded.status;
        } else if (decoded.bad_items() > 0) {
          ASSERT_TRUE(is_in_item);
          if (EndCanBeSeen(raw)) {
            EXPECT_EQ(decoded.bad_items(), 1);
            ExpectOnlyTheSecondGone(operation, decoded, body);
          }
        } else if (field.kind == Kind::kDropped) {
          EXPECT_TRUE(MessageDifferencer::Equals(*decoded.response, *Good(operation)));
        } else if (field.kind == Kind::kUnknown || field.kind == Kind::kTexts) {
          ExpectTheRestSame(operation, field, decoded, body);
        } else {
          ASSERT_FALSE(IsNeeded(field.kind));
          if (field.kind == Kind::kObject) {
            ExpectTheRestSame(operation, field, decoded, body);
          } else {
            ExpectLeftOut(operation, field, decoded, body);
          }
        }
      }
    }
  }
  Enough(10'000);
}

// The grammar allows them, and RFC 8259, section 8.2, leaves open what they are. They must not come
// out as text that is not UTF-8, which Decode checks.
TEST_F(ProviderBodiesTest, TextsThatAreNoneLeaveOutTheirFieldAlone) {
  for (const Operation& operation : Operations()) {
    for (const Field& field : operation.fields) {
      for (const char* raw :
           {R"("\ud800")", R"("\udc00")", R"("\ud800x")", R"("\ud800\u0041")", R"("\ud800\ud800")",
            R"("\udc00\ud800")", R"("\udfff\udbff")", "\"Caf\xE9\"", "\"\x80\\\"\"", "\"a\nb\""}) {
        const std::string body = With(operation, field.at, raw);
        const Decoded decoded = Decode(operation, body);
        SCOPED_TRACE(Quote(operation, body));
        if (IsNeeded(field.kind)) {
          ExpectRefused(operation, decoded, body);
        } else if (field.kind == Kind::kDropped) {
          ExpectSame(operation, body);
        } else if (field.kind == Kind::kUnknown) {
          ASSERT_TRUE(decoded.status.ok()) << decoded.status;
          EXPECT_EQ(decoded.left_out(), 1);
          ExpectTheRestSame(operation, field, decoded, body);
        } else {
          ExpectLeftOut(operation, field, decoded, body);
        }
      }
    }
  }
  Enough(900);
}

// --- whole bodies --------------------------------------------------------------------------------

// Calls `on_object` with every object in the value.
void ForEachObject(json::value& value, const std::function<void(json::object&)>& on_object) {
  if (value.is_object()) {
    on_object(value.get_object());
    for (auto& field : value.get_object()) ForEachObject(field.value(), on_object);
  } else if (value.is_array()) {
    for (auto& element : value.get_array()) ForEachObject(element, on_object);
  }
}

// A marker that becomes `raw`, a member of an object, when the value is serialised.
std::string WithMember(const json::value& root, std::string_view raw) {
  std::string body = json::serialize(root);
  const std::string_view marker = "\"@@\":0";
  body.replace(body.find(marker), marker.size(), raw);
  return body;
}

TEST_F(ProviderBodiesTest, KeysThatAreThereTwiceAreNone) {
  for (const Operation& operation : Operations()) {
    json::value root = json::parse(operation.body);
    ForEachObject(root, [&](json::object& object) {
      const json::object original = object;
      for (const auto& field : original) {
        const std::string key(field.key());
        const std::string escaped = absl::StrFormat("\\u%04x%s", key[0], key.substr(1));
        for (const std::string& spelling : {key, escaped}) {
          std::string first;
          for (const std::string& value : {json::serialize(field.value()), std::string("null"),
                                           std::string("0"), std::string("\"other\"")}) {
            object["@@"] = 0;
            const std::string member = absl::StrCat("\"", spelling, "\":", value);
            // After the key, and before it.
            const std::string after = WithMember(root, member);
            object = json::object();
            object["@@"] = 0;
            for (const auto& each : original) object[each.key()] = each.value();
            const std::string before = WithMember(root, member);
            object = original;
            for (const std::string& body : {after, before}) {
              const Decoded decoded = Decode(operation, body);
              const std::string result = decoded.status.ok() ? decoded.response->ShortDebugString()
                                                             : std::string(kMalformed);
              // Whichever comes first, and whatever it is, neither is believed.
              if (first.empty()) first = result;
              EXPECT_EQ(result, first) << Quote(operation, body);
            }
          }
        }
      }
    });
  }
  Enough(3'000);
}

TEST_F(ProviderBodiesTest, DeepValuesAreKeptOrLeftOut) {
  const auto nested = [](std::size_t levels, std::string_view open, std::string_view close) {
    std::string text;
    for (std::size_t i = 0; i < levels; ++i) text += open;
    text += "1";
    for (std::size_t i = 0; i < levels; ++i) text += close;
    return text;
  };
  for (const Operation& operation : Operations()) {
    for (const Field& field : operation.fields) {
      for (const std::size_t levels :
           {1,  2,  20, 29,  30,  31,  32,  33,  40,  58,  59,  60,   61,   62,   63,
            64, 65, 66, 100, 500, 510, 511, 512, 513, 514, 515, 1000, 1024, 1025, 20'000}) {
        for (const auto& value : {nested(levels, "[", "]"), nested(levels, R"({"a":)", "}")}) {
          const std::string body = With(operation, field.at, value);
          const Decoded decoded = Decode(operation, body);
          SCOPED_TRACE(absl::StrCat(operation.name, field.at, levels, value[0] == '{' ? "{" : "["));
          if (IsNeeded(field.kind)) {
            if (field.kind == Kind::kPhone && value[0] == '{') continue;
            ExpectRefused(operation, decoded, body);
            continue;
          }
          ASSERT_TRUE(decoded.status.ok()) << decoded.status;
          EXPECT_EQ(decoded.bad_items(), 0);
          const bool keeps = field.kind == Kind::kUnknown || field.kind == Kind::kDropped ||
                             (field.kind == Kind::kObject && value[0] == '{');
          if (field.kind == Kind::kTexts) continue;
          EXPECT_EQ(decoded.left_out(), keeps ? 0 : 1);
        }
      }
    }
  }
  Enough(5'000);
}

TEST_F(ProviderBodiesTest, LongTextsAndNumbersAreReadWhole) {
  for (const Operation& operation : Operations()) {
    for (const Field& field : operation.fields) {
      for (const std::size_t size : {15U, 16U, 63U, 64U, 65U, 1'000U, 20'000U}) {
        const std::string text(size, 'x');
        const Decoded decoded =
            Decode(operation, With(operation, field.at, absl::StrCat("\"", text, "\"")));
        if (field.kind == Kind::kText || field.kind == Kind::kNeededText) {
          ASSERT_TRUE(decoded.status.ok()) << operation.name << field.at << decoded.status;
          EXPECT_EQ(Show(*decoded.response, field.in_response), text);
        }
        // As many digits, before and after the point.
        for (const std::string& digits :
             {std::string(size, '9'), "1" + std::string(size, '0'), "0." + std::string(size, '0'),
              "1." + std::string(size, '0') + "1", "-" + std::string(size, '9'),
              "1e" + std::string(size, '0') + "1", "0." + std::string(size, '0') + "1"}) {
          for (const std::string& raw : {digits, absl::StrCat("\"", digits, "\"")}) {
            const Decoded read = Decode(operation, With(operation, field.at, raw));
            if (!read.status.ok() || read.bad_items() > 0) continue;
            const std::string shown =
                field.in_response.empty() ? kAbsent : Show(*read.response, field.in_response);
            if (field.kind == Kind::kAmount && shown != kAbsent) {
              // Read: then every digit of it, to the ninth decimal.
              const std::string all = digits.starts_with("1e")   ? "10.000000000"
                                      : digits.starts_with("0.") ? "0.000000000"
                                      : digits.starts_with("1.") ? "1.000000000"
                                                                 : digits + ".000000000";
              EXPECT_EQ(shown, all) << operation.name << field.at;
            } else if (field.kind == Kind::kCount && shown != kAbsent) {
              EXPECT_TRUE(digits.starts_with("0.") || digits.starts_with("1e")) << digits;
            }
          }
        }
      }
    }
  }
  Enough(10'000);
}

std::string Utf16(std::string_view ascii, bool big, bool mark, int bytes = 2) {
  std::string out;
  const auto put = [&](unsigned unit) {
    for (int i = 0; i < bytes; ++i) {
      const int shift = 8 * (big ? bytes - 1 - i : i);
      out += static_cast<char>(shift < 32 ? (unit >> shift) & 0xFF : 0);
    }
  };
  if (mark) put(0xFEFF);
  for (const char c : ascii) put(static_cast<unsigned char>(c));
  return out;
}

TEST_F(ProviderBodiesTest, OtherEncodingsOfTheWholeAreMalformed) {
  for (const Operation& operation : Operations()) {
    for (const bool big : {false, true}) {
      for (const bool mark : {false, true}) {
        for (const int bytes : {2, 4}) {
          ExpectMalformed(operation, Utf16(operation.body, big, mark, bytes));
        }
      }
    }
    ExpectSame(operation, "\xEF\xBB\xBF" + operation.body);
    ExpectMalformed(operation, "\xEF\xBB\xBF\xEF\xBB\xBF" + operation.body);
    ExpectMalformed(operation, operation.body + "\xEF\xBB\xBF");
    ExpectMalformed(operation, "\xEF\xBB" + operation.body);
    ExpectMalformed(operation, "\xEF\xBB\xBF");
    ExpectMalformed(operation, "\x1f\x8b\x08" + operation.body);  // as if compressed
    ExpectMalformed(operation, std::string(1, '\0') + operation.body);
    ExpectMalformed(operation, operation.body + std::string(1, '\0'));
  }
  Enough(100);
}

TEST_F(ProviderBodiesTest, WhatStandsAroundTheWholeIsMalformed) {
  for (const Operation& operation : Operations()) {
    const std::string& body = operation.body;
    for (const std::string& wrong : {body + body,
                                     body + "," + body,
                                     body + "}",
                                     body + "]",
                                     "[" + body + "]",
                                     "[" + body,
                                     "{" + body + "}",
                                     "{" + body,
                                     "x" + body,
                                     body + "x",
                                     body + "1",
                                     body + "null",
                                     "callback(" + body + ")",
                                     ")]}',\n" + body,
                                     "/**/" + body,
                                     body + "//",
                                     "\"" + body + "\"",
                                     json::serialize(json::string(body)),
                                     body + ";",
                                     "--b\r\n\r\n" + body,
                                     "\f" + body,
                                     body + "\v",
                                     "\xC2\xA0" + body,
                                     "data: " + body,
                                     std::string("null"),
                                     std::string("true"),
                                     std::string("1"),
                                     std::string("\"a\""),
                                     std::string("[]"),
                                     std::string("{}"),
                                     std::string("<html></html>"),
                                     std::string(" "),
                                     std::string(1, '\0'),
                                     std::string(100'000, '['),
                                     std::string(100'000, '{'),
                                     std::string(100'000, '"'),
                                     std::string(100'000, ' '),
                                     std::string(100'000, '9')}) {
      ExpectMalformed(operation, wrong);
    }
    for (const char* space : {" ", "\t", "\r", "\n", "\r\n \t"}) {
      ExpectSame(operation, space + body);
      ExpectSame(operation, body + space);
    }
  }
  Enough(350);
}

// Replaces each character: `in_text` those of strings, `outside` all others but quotes.
std::string Rewrite(std::string_view body, const std::function<std::string(char)>& in_text,
                    const std::function<std::string(char)>& outside) {
  std::string out;
  bool inside = false;
  for (const char c : body) {
    if (c == '"') inside = !inside;
    out += c == '"' ? "\"" : inside ? in_text(c) : outside(c);
  }
  return out;
}

TEST_F(ProviderBodiesTest, OtherSpellingsOfTheSameAreReadTheSame) {
  const auto same = [](char c) { return std::string(1, c); };
  const auto is_mark = [](char c) {
    return std::string_view("{}[]:,").find(c) != std::string::npos;
  };
  for (const Operation& operation : Operations()) {
    const std::string body = json::serialize(json::parse(operation.body));
    ASSERT_EQ(body.find('\\'), std::string::npos);
    ExpectSame(operation, body);
    for (const char* format : {"\\u%04x", "\\u%04X"}) {
      ExpectSame(operation, Rewrite(
                                body,
                                [&](char c) {
                                  char text[8];
                                  std::snprintf(text, sizeof(text), format, c);
                                  return std::string(text);
                                },
                                same));
    }
    for (const std::string space : {" ", "\n", "\t", "\r\n", "          "}) {
      ExpectSame(operation, Rewrite(body, same, [&](char c) {
                   return is_mark(c) ? absl::StrCat(space, std::string(1, c), space) : same(c);
                 }));
    }
    // Space that JSON does not know, at each place in turn.
    for (std::size_t at = 1; at < body.size(); ++at) {
      if (!is_mark(body[at])) continue;
      // Not within a string.
      if (std::count(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(at), '"') % 2 == 1) {
        continue;
      }
      for (const char* space : {"\f", "\v", "\xC2\xA0", "\xE2\x80\x89", "\xEF\xBB\xBF", "\x01"}) {
        ExpectNothingNew(operation, body.substr(0, at) + space + body.substr(at));
      }
      // Without it, doubled, or another one in its place.
      for (const std::string other :
           {"", "{", "}", "[", "]", ":", ",", ";", "|", ",,", "::", "{{", "\""}) {
        if (other == std::string(1, body[at])) continue;
        ExpectNothingNew(operation, body.substr(0, at) + other + body.substr(at + 1));
      }
    }
  }
  Enough(10'000);
}

TEST_F(ProviderBodiesTest, TheOrderOfTheKeysIsNothing) {
  for (const Operation& operation : Operations()) {
    // Each object has each of its keys first in turn.
    for (int turn = 1; turn < 12; ++turn) {
      json::value root = json::parse(operation.body);
      ForEachObject(root, [&](json::object& object) {
        std::vector<std::pair<std::string, json::value>> members;
        for (const auto& field : object) members.emplace_back(field.key(), field.value());
        std::rotate(members.begin(), members.begin() + turn % static_cast<int>(members.size()),
                    members.end());
        object.clear();
        for (auto& [key, value] : members) object[key] = std::move(value);
      });
      ExpectSame(operation, json::serialize(root));
    }
  }
  Enough(80);
}

}  // namespace
}  // namespace leasegateway
