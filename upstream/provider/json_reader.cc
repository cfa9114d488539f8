#include "upstream/provider/json_reader.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "upstream/provider/money_and_time.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace ondemand = simdjson::ondemand;

// Unknown values are copied down to this level. An object costs three nested messages in a Struct,
// and protobuf readers refuse more than 100.
constexpr int kMaxCopiedDepth = 32;
// Bytes of a value or of a key that an error message may quote.
constexpr size_t kMaxQuoted = 32;
// Bytes of a path in an error message. As deep as a reply may be, it would be thousands.
constexpr size_t kMaxPath = 256;
// Beyond it a double, which is what a Struct has for numbers, skips integers.
constexpr int64_t kMaxExactInteger = int64_t{1} << 53;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// Integers that a double can not hold exactly become strings.
void SetNumber(std::string_view text, double number, google::protobuf::Value& out) {
  const bool is_integer = text.find_first_of(".eE") == std::string_view::npos;
  if (is_integer && std::abs(number) >= static_cast<double>(kMaxExactInteger) &&
      ParseInteger(text) != kMaxExactInteger && ParseInteger(text) != -kMaxExactInteger) {
    out.set_string_value(std::string(text));
  } else {
    out.set_number_value(number);
  }
}

}  // namespace

// simdjson drops a byte order mark as well from version 3.2 on; so it is never given any.
simdjson::padded_string_view TextOf(const PaddedText& body) {
  static_assert(PaddedText::kPadding >= simdjson::SIMDJSON_PADDING);
  std::string_view text = body.view();
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  return simdjson::padded_string_view(text.data(), text.size(), text.size() + PaddedText::kPadding);
}

absl::Status JsonReader::status() const {
  return MakeError(absl::StatusCode::kInternal, reason::kUpstreamMalformed,
                   fmt::format("the provider's reply can not be read: {}", problem_));
}

bool JsonReader::CanBegin(std::string_view text) {
  if (text.empty()) return Fail("the body is empty");
  if (!text.starts_with(kByteOrderMark)) return true;
  lost_ = true;
  return Fail("there are two byte order marks before the JSON text");
}

std::string JsonReader::PathText() const {
  std::string text;
  for (const PathStep& step : path_) {
    if (text.size() > kMaxPath) return text + "...";
    if (step.is_element) {
      text += fmt::format("[{}]", step.index);
    } else {
      if (!text.empty()) text += '.';
      text += Printable(step.key, kMaxQuoted);
    }
  }
  return text;
}

bool JsonReader::Fail(std::string_view rule) {
  if (!problem_.empty()) return false;
  const std::string path = PathText();
  problem_ = fmt::format("{}{}{}", path, path.empty() ? "" : ": ", rule);
  return false;
}

bool JsonReader::FailJson(simdjson::error_code error) {
  lost_ = true;
  return Fail(fmt::format("not JSON: {}", simdjson::error_message(error)));
}

bool JsonReader::FailText(std::string_view what, simdjson::error_code error) {
  return Fail(fmt::format("{} can't be read: {}", what, simdjson::error_message(error)));
}

bool JsonReader::FailWanted(std::string_view wanted, std::string_view token) {
  return Fail(fmt::format("{} is wanted, not {}", wanted, Printable(token, kMaxQuoted)));
}

bool JsonReader::FailAllItems(size_t count) {
  problem_ =
      fmt::format("{} (and none of {} items can be read)", tolerated_.first_of(Kind::kItem), count);
  return false;
}

bool JsonReader::FailMissing(std::string_view key) {
  path_.push_back({.key = key});
  return Fail("is missing");
}

bool JsonReader::Expect(Value value, Type type, std::string_view wanted) {
  if (twice_) return Fail("is there twice");
  Type actual;
  if (value.type().get(actual) == simdjson::SUCCESS && actual == type) return true;
  return FailWanted(wanted, TokenOf(value));
}

bool JsonReader::ReadString(Value value, std::string& out) {
  if (!Expect(value, Type::string, "a string")) return false;
  std::string_view text;
  if (const auto error = value.get_string().get(text)) return FailText("the text", error);
  out = text;
  return true;
}

bool JsonReader::ReadStrings(Value value, google::protobuf::RepeatedPtrField<std::string>& out) {
  return Expect(value, Type::array, "an array") && ForEachElement(value, [&](Value element) {
           return OrLeaveOut(ReadString(element, *out.Add()), [&] { out.RemoveLast(); });
         });
}

bool JsonReader::ReadBool(Value value, bool& out) {
  constexpr std::string_view kWanted = "true or false";
  if (!Expect(value, Type::boolean, kWanted)) return false;
  return value.get_bool().get(out) == simdjson::SUCCESS || FailWanted(kWanted, TokenOf(value));
}

// `text` is the number as it was written, or the content of a string.
bool JsonReader::ReadNumberText(Value value, std::string_view wanted, std::string_view& text) {
  if (IsType(value, Type::string)) {
    if (const auto error = value.get_string().get(text)) return FailText("the text", error);
    return true;
  }
  if (!Expect(value, Type::number, wanted)) return false;
  text = TokenOf(value);
  return true;
}

bool JsonReader::ReadRatio(Value value, double& out) {
  constexpr std::string_view kWanted = "a number from 0 to 1";
  std::string_view text;
  if (!ReadNumberText(value, kWanted, text)) return false;
  // SimpleAtod alone would take "nan" and hexadecimal digits.
  if (!IsDecimal(text) || !absl::SimpleAtod(absl::string_view(text.data(), text.size()), &out) ||
      !(out >= 0 && out <= 1)) {
    return FailWanted(kWanted, text);
  }
  return true;
}

bool JsonReader::ReadCount(Value value, int32_t& out) {
  constexpr std::string_view kWanted = "a count";
  std::string_view text;
  if (!ReadNumberText(value, kWanted, text)) return false;
  const std::optional<int64_t> count = ParseInteger(text);
  if (!count || *count < 0 || *count > std::numeric_limits<int32_t>::max()) {
    return FailWanted(kWanted, text);
  }
  out = static_cast<int32_t>(*count);
  return true;
}

bool JsonReader::ReadAmount(Value value, google::type::Money& out) {
  constexpr std::string_view kWanted = "an amount of money, zero or more,";
  std::string_view text;
  if (!ReadNumberText(value, kWanted, text)) return false;
  const std::optional<FixedPoint> amount = ParseFixedPoint(text);
  if (!amount || amount->units < 0 || amount->nanos < 0) return FailWanted(kWanted, text);
  out.set_units(amount->units);
  out.set_nanos(amount->nanos);
  return OrLeaveOut(
      amount->exact || FailWanted("an amount of at most 9 decimals", text), [] {}, Kind::kRounded);
}

bool JsonReader::ReadTime(Value value, google::protobuf::Timestamp& out) {
  constexpr std::string_view kWanted = "a time";
  std::string_view text;
  if (!ReadNumberText(value, kWanted, text)) return false;
  return ParseProviderTime(text, out) || FailWanted(kWanted, text);
}

bool JsonReader::ReadAny(Value value, google::protobuf::Value* out) {
  if (twice_) return Fail("is there twice");
  // What is deeper is left out.
  if (depth_ >= kMaxCopiedDepth) {
    out->set_null_value(google::protobuf::NULL_VALUE);
    return Skip(value);
  }
  Type type;
  if (value.type().get(type)) return FailWanted("a value", TokenOf(value));
  switch (type) {
    case Type::object: {
      ondemand::object object;
      if (const auto error = value.get_object().get(object)) return FailJson(error);
      google::protobuf::Struct& fields = *out->mutable_struct_value();
      return ForEachField(object, [&](std::string_view key, Value field) {
        return ReadUnknown(key, field, fields);
      });
    }
    case Type::array: {
      google::protobuf::ListValue& list = *out->mutable_list_value();
      return ForEachElement(value, [&](Value element) {
        return OrLeaveOut(ReadAny(element, list.add_values()),
                          [&] { list.mutable_values()->RemoveLast(); });
      });
    }
    case Type::string:
      return ReadString(value, *out->mutable_string_value());
    case Type::number: {
      const std::string_view text = TokenOf(value);
      double number;
      if (!IsDecimal(text) || value.get_double().get(number)) {
        return FailWanted("a number of a magnitude below 1.8e308", text);
      }
      SetNumber(text, number, *out);
      return true;
    }
    case Type::boolean: {
      bool flag;
      if (!ReadBool(value, flag)) return false;
      out->set_bool_value(flag);
      return true;
    }
    case Type::null:
      // Left where it is: the reader steps over a value that nobody took.
      if (TokenOf(value) != "null") return FailWanted("a value", TokenOf(value));
      out->set_null_value(google::protobuf::NULL_VALUE);
      return true;
    default:
      return FailWanted("a value", TokenOf(value));
  }
}

}  // namespace leasegateway
