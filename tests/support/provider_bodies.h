#ifndef LEASE_GATEWAY_TESTS_SUPPORT_PROVIDER_BODIES_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_PROVIDER_BODIES_H_

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "tests/support/provider_operations.h"
#include "upstream/upstream_error.h"

namespace leasegateway::bodies {

namespace json = boost::json;
using google::protobuf::FieldDescriptor;
using google::protobuf::util::MessageDifferencer;

// The place of a field in a message: "numbers.1.pricing.monthly_rate".
struct Place {
  Message* message = nullptr;  // null: a message on the way is not there
  const FieldDescriptor* field = nullptr;
};

inline Place Find(Message& root, const std::string& path) {
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

inline std::string Amount(std::int64_t units, std::int32_t nanos) {
  const bool negative = units < 0 || nanos < 0;
  return absl::StrFormat("%s%d.%09d", negative ? "-" : "", units < 0 ? -units : units,
                         nanos < 0 ? -nanos : nanos);
}

inline constexpr char kAbsent[] = "absent";
inline constexpr char kMalformed[] = "malformed";

// The field as text, or kAbsent where it has its default.
inline std::string Show(Message& root, const std::string& path) {
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

inline void Clear(Message& root, const std::string& path) {
  const Place place = Find(root, path);
  if (place.message == nullptr) return;
  place.message->GetReflection()->ClearField(place.message, place.field);
}

// A message that has nothing in it says the same as one that is not there.
inline void DropEmpty(Message& message) {
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

// The fixture of the tests of generated bodies: their rule is that of json_codec.h.
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

}  // namespace leasegateway::bodies

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_PROVIDER_BODIES_H_
