#include "upstream/json_codec.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/type/money.pb.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace ondemand = simdjson::ondemand;
using Value = ondemand::value;

// Levels of arrays and objects in a reply; the outermost object is the first.
constexpr int kMaxDepth = 64;
// The same inside of an item of a list that is left out. Reading recurses, so the stack bounds it.
constexpr int kMaxSkippedDepth = 512;
// A list may lack this many items, or this share of its items if that is more. A reply with more
// that can't be read has another format, and must not pass for a short list.
constexpr int kMaxBadItems = 10;
constexpr size_t kMaxBadItemsPercent = 10;
// Unknown values are copied down to this level. An object costs three nested messages in a Struct,
// and protobuf readers refuse more than 100.
constexpr int kMaxCopiedDepth = 32;
// Bytes of a value or of a key that an error message may quote.
constexpr size_t kMaxQuoted = 32;
// Bytes of a path in an error message. As deep as a reply may be, it would be thousands.
constexpr size_t kMaxPath = 256;
constexpr size_t kMaxErrorMessage = 512;
constexpr size_t kMaxErrorId = 128;
constexpr size_t kMaxAgreementUrl = 2048;
// Beyond it a double, which is what a Struct has for numbers, skips integers.
constexpr int64_t kMaxExactInteger = int64_t{1} << 53;
// From here on a time is in milliseconds: it is 1973 in those, and the year 5138 in seconds.
constexpr int64_t kMillisecondsFrom = 100'000'000'000;
// What google.protobuf.Timestamp can hold: the years 1 to 9999.
constexpr int64_t kMinSeconds = -62'135'596'800;
constexpr int64_t kMaxSeconds = 253'402'300'799;
constexpr int32_t kNanosPerUnit = 1'000'000'000;

// Abseil's own type is not the standard one where it was built for C++14.
absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }

// Whether `text` starts with `prefix`, which is then cut off.
bool Consume(std::string_view prefix, std::string_view& text) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// At most `max_bytes` of a UTF-8 text, cut between characters, with spaces for control characters.
std::string Printable(std::string_view text, size_t max_bytes) {
  if (text.size() > max_bytes) {
    size_t end = max_bytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text = text.substr(0, end);
  }
  std::string result(text);
  for (char& c : result) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = ' ';
  }
  return result;
}

// --- numbers -------------------------------------------------------------------------------------

// A JSON number taken apart: 0.DIGITS times ten to the power of `point`.
struct DecimalText {
  bool negative = false;
  std::string digits;  // without leading and trailing zeros; empty: zero
  int64_t point = 0;
};

// Nothing when the text does not follow the grammar of RFC 8259, section 6.
std::optional<DecimalText> SplitDecimal(std::string_view text) {
  const auto take_digits = [&text] {
    const size_t count = std::min(text.find_first_not_of("0123456789"), text.size());
    const std::string_view digits = text.substr(0, count);
    text.remove_prefix(count);
    return digits;
  };
  DecimalText result;
  result.negative = Consume("-", text);
  const std::string_view whole = take_digits();
  if (whole.empty() || (whole.size() > 1 && whole[0] == '0')) return std::nullopt;
  result.digits = whole;
  result.point = static_cast<int64_t>(whole.size());
  if (Consume(".", text)) {
    const std::string_view fraction = take_digits();
    if (fraction.empty()) return std::nullopt;
    result.digits += fraction;
  }
  if (Consume("e", text) || Consume("E", text)) {
    const bool negative_exponent = Consume("-", text);
    if (!negative_exponent) Consume("+", text);
    const std::string_view digits = take_digits();
    if (digits.empty()) return std::nullopt;
    // Clamped far beyond every number that fits, so that the sums below can't overflow.
    int64_t exponent = 0;
    for (const char c : digits) exponent = std::min<int64_t>(exponent * 10 + (c - '0'), 1LL << 40);
    result.point += negative_exponent ? -exponent : exponent;
  }
  if (!text.empty()) return std::nullopt;
  const size_t zeros = std::min(result.digits.find_first_not_of('0'), result.digits.size());
  result.digits.erase(0, zeros);
  result.point -= static_cast<int64_t>(zeros);
  result.digits.erase(result.digits.find_last_not_of('0') + 1);
  if (result.digits.empty()) result.point = 0;
  return result;
}

struct FixedPoint {
  int64_t units = 0;
  int32_t nanos = 0;   // of the same sign as `units`
  bool exact = false;  // false: decimals after the ninth were cut off
};

// Nothing when the text is not a number or its units don't fit.
std::optional<FixedPoint> ParseFixedPoint(std::string_view text) {
  const std::optional<DecimalText> decimal = SplitDecimal(text);
  if (!decimal) return std::nullopt;
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  constexpr int64_t kMostUnitDigits = 19;
  if (decimal->point > kMostUnitDigits) return std::nullopt;
  const auto size = static_cast<int64_t>(decimal->digits.size());
  const auto digit_at = [&](int64_t index) {
    return index >= 0 && index < size ? decimal->digits[static_cast<size_t>(index)] - '0' : 0;
  };
  FixedPoint result;
  for (int64_t i = 0; i < decimal->point; ++i) {
    if (result.units > (kMax - digit_at(i)) / 10) return std::nullopt;
    result.units = result.units * 10 + digit_at(i);
  }
  for (int64_t i = decimal->point; i < decimal->point + 9; ++i) {
    result.nanos = result.nanos * 10 + digit_at(i);
  }
  result.exact = decimal->point + 9 >= size;
  if (decimal->negative) {
    result.units = -result.units;
    result.nanos = -result.nanos;
  }
  return result;
}

std::optional<int64_t> ParseInteger(std::string_view text) {
  const std::optional<FixedPoint> fixed = ParseFixedPoint(text);
  if (!fixed || !fixed->exact || fixed->nanos != 0) return std::nullopt;
  return fixed->units;
}

// --- times ---------------------------------------------------------------------------------------

bool SetTimestamp(int64_t seconds, int64_t nanos, google::protobuf::Timestamp& out) {
  if (nanos < 0) {
    --seconds;
    nanos += kNanosPerUnit;
  }
  if (seconds < kMinSeconds || seconds > kMaxSeconds) return false;
  out.set_seconds(seconds);
  out.set_nanos(static_cast<int32_t>(nanos));
  return true;
}

// Seconds or milliseconds since the epoch: the provider has both, so the magnitude decides.
bool ParseEpoch(std::string_view text, google::protobuf::Timestamp& out) {
  const std::optional<FixedPoint> time = ParseFixedPoint(text);
  if (!time) return false;
  if (time->units < kMillisecondsFrom && time->units > -kMillisecondsFrom) {
    return SetTimestamp(time->units, time->nanos, out);
  }
  return SetTimestamp(time->units / 1000, time->units % 1000 * 1'000'000 + time->nanos / 1000, out);
}

// ISO 8601: a date with a time, or a date alone; UTC when it names no offset.
bool ParseIsoTime(std::string_view text, google::protobuf::Timestamp& out) {
  // ParseTime also takes "infinite-future" and leading spaces.
  if (text.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(text.front()))) return false;
  for (const char* format : {absl::RFC3339_full, "%Y-%m-%d%ET%H:%M:%E*S", "%Y-%m-%d"}) {
    absl::Time time;
    if (!absl::ParseTime(format, ToAbsl(text), &time, nullptr)) continue;
    const int64_t seconds = absl::ToUnixSeconds(time);
    const absl::Duration rest = time - absl::FromUnixSeconds(seconds);
    return SetTimestamp(seconds, absl::ToInt64Nanoseconds(rest), out);
  }
  return false;
}

// --- the reader ----------------------------------------------------------------------------------

// Reads one reply, front to back. Each function that reads returns false after the first thing that
// can not be read, which status() then tells; its caller must return at once.
class Reader {
 public:
  // Of a reply that could not be read.
  absl::Status status() const {
    return MakeError(absl::StatusCode::kInternal, reason::kUpstreamMalformed,
                     fmt::format("the provider's reply can not be read: {}", problem_));
  }
  // Those that ReadItems left out.
  int bad_items() const { return bad_items_; }
  const std::string& first_bad_item() const { return first_bad_item_; }

  // Calls `on_field(key, value)` for each field of the outermost object that is not null.
  template <typename OnField>
  bool ReadDocument(std::string_view body, OnField on_field) {
    // simdjson drops one as well from version 3.2 on; so it is never given any.
    if (Consume("\xEF\xBB\xBF", body) && body.starts_with("\xEF\xBB\xBF")) {
      return Fail("there are two byte order marks before the JSON text");
    }
    if (body.empty()) return Fail("the body is empty");
    // Keeps its buffers from reply to reply. No reply is read while another one is.
    thread_local ondemand::parser parser;
    const simdjson::padded_string padded(body);
    ondemand::document document;
    if (const auto error = parser.iterate(padded).get(document)) return FailJson(error);
    ondemand::object object;
    if (const auto error = document.get_object().get(object)) return FailJson(error);
    if (!ForEachField(object, SkippingNulls(on_field))) return false;
    const char* rest;
    const bool at_end = document.current_location().get(rest) == simdjson::OUT_OF_BOUNDS;
    return at_end || Fail("there is more after the end of the JSON text");
  }

  // As ReadDocument. A field that is null counts as absent.
  template <typename OnField>
  bool ReadObject(Value value, OnField on_field) {
    ondemand::object object;
    if (!Expect(value, ondemand::json_type::object, "an object")) return false;
    if (const auto error = value.get_object().get(object)) return FailJson(error);
    return ForEachField(object, SkippingNulls(on_field));
  }

  // Calls `on_element(value)` for each element, null or not.
  template <typename OnElement>
  bool ReadArray(Value value, OnElement on_element) {
    if (!Expect(value, ondemand::json_type::array, "an array")) return false;
    return ForEachElement(value, on_element);
  }

  // As ReadArray, but an element for which `on_item(value)` returns false is left out and counted,
  // as long as the whole is JSON and not too many are.
  template <typename OnItem>
  bool ReadItems(Value value, OnItem on_item) {
    if (!Expect(value, ondemand::json_type::array, "an array")) return false;
    ondemand::array array;
    if (const auto error = value.get_array().get(array)) return FailJson(error);
    if (!Enter()) return false;
    const size_t path_size = path_.size();
    const int depth = depth_;
    size_t count = 0;
    const char* bad_item = nullptr;  // the one before, when it was bad
    for (auto result : array) {
      Value item;
      if (const auto error = std::move(result).get(item)) return FailJson(error);
      const char* const begin = item.raw_json_token().data();
      if (bad_item != nullptr && !CheckSkipped(bad_item, begin, count - 1)) return false;
      bad_item = nullptr;
      path_.push_back({.key = {}, .index = count++, .is_element = true});
      if (!on_item(item)) {
        if (not_json_) return false;
        NoteBadItem();
        bad_item = begin;
        depth_ = depth;
      }
      path_.resize(path_size);
    }
    if (bad_item != nullptr) {
      const char* end;
      if (const auto error = value.current_location().get(end)) return FailJson(error);
      if (!CheckSkipped(bad_item, end, count - 1)) return false;
    }
    --depth_;
    return HasEnoughGoodItems(count);
  }

  bool ReadString(Value value, std::string& out);
  bool ReadStrings(Value value, google::protobuf::RepeatedPtrField<std::string>& out);
  bool ReadBool(Value value, bool& out);
  // A number, or a string that holds one.
  bool ReadRatio(Value value, double& out);
  bool ReadCount(Value value, int32_t& out);
  bool ReadAmount(Value value, google::type::Money& out);
  bool ReadTime(Value value, google::protobuf::Timestamp& out);

  // Reads any value. `out` null: only checks it.
  bool ReadAny(Value value, google::protobuf::Value* out);
  bool Skip(Value value) { return ReadAny(value, nullptr); }
  // Adds a field that no message knows.
  bool ReadUnknown(std::string_view key, Value value, google::protobuf::Struct& out) {
    return ReadAny(value, &(*out.mutable_fields())[std::string(key)]);
  }
  // A string; anything else is passed over and leaves `out` as it is.
  bool ReadStringIfAny(Value value, std::string& out);
  bool IsType(Value value, ondemand::json_type type) {
    ondemand::json_type actual;
    return value.type().get(actual) == simdjson::SUCCESS && actual == type;
  }

  // Each notes the error at the present place, unless there is one already, and returns false.
  bool Fail(std::string_view rule);
  bool FailMissing(std::string_view key);
  bool FailWanted(std::string_view wanted, std::string_view token) {
    return Fail(fmt::format("{} is wanted, not {}", wanted, Printable(token, kMaxQuoted)));
  }

 private:
  struct PathStep {
    std::string_view key;
    size_t index = 0;  // of an element of an array, which has no key
    bool is_element = false;
  };

  template <typename OnField>
  auto SkippingNulls(OnField& on_field) {
    return [this, &on_field](std::string_view key, Value value) {
      if (!IsType(value, ondemand::json_type::null)) return on_field(key, value);
      return Skip(value);
    };
  }

  template <typename OnField>
  bool ForEachField(ondemand::object& object, OnField on_field) {
    if (!Enter()) return false;
    absl::InlinedVector<std::string_view, 24> keys;
    for (auto result : object) {
      ondemand::field field;
      if (const auto error = std::move(result).get(field)) return FailJson(error);
      std::string_view key;
      if (const auto error = field.unescaped_key().get(key)) return FailJson(error);
      keys.push_back(key);
      path_.push_back({.key = key});
      if (!on_field(key, field.value())) return false;
      path_.pop_back();
    }
    if (only_syntax_) {
      --depth_;
      return true;
    }
    // Once at the end, because a look-up for each key is dear when there are many.
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end()) {
      return Fail(fmt::format("the key {} is there twice", Printable(*twice, kMaxQuoted)));
    }
    --depth_;
    return true;
  }

  template <typename OnElement>
  bool ForEachElement(Value value, OnElement on_element) {
    ondemand::array array;
    if (const auto error = value.get_array().get(array)) return FailJson(error);
    if (!Enter()) return false;
    size_t index = 0;
    for (auto result : array) {
      path_.push_back({.key = {}, .index = index++, .is_element = true});
      Value element;
      if (const auto error = std::move(result).get(element)) return FailJson(error);
      if (!on_element(element)) return false;
      path_.pop_back();
    }
    --depth_;
    return true;
  }

  bool Enter() {
    const int most = only_syntax_ ? kMaxSkippedDepth : kMaxDepth;
    if (++depth_ > most) return Fail(fmt::format("deeper than {} levels", most));
    return true;
  }
  void NoteBadItem();
  // Whether the element of an array that `begin` points to, which the parser has skipped by its
  // brackets alone, is JSON. `end` points behind it and the comma or bracket that follows it.
  bool CheckSkipped(const char* begin, const char* end, size_t index);
  bool CheckSyntax(std::string_view item);
  bool HasEnoughGoodItems(size_t count);
  bool Expect(Value value, ondemand::json_type type, std::string_view wanted);
  bool ReadNumberText(Value value, std::string_view wanted, std::string_view& text);
  bool FailJson(simdjson::error_code error);
  // `text` is what stands where a number should, and `error` what is wrong with it.
  bool FailNumber(simdjson::error_code error, std::string_view text);
  std::string PathText() const;

  std::vector<PathStep> path_;
  int depth_ = 0;
  std::string problem_;    // the first error and its place
  bool not_json_ = false;  // the parser's state is lost, and nothing more can be read
  // Checks no more than the grammar.
  bool only_syntax_ = false;
  int bad_items_ = 0;
  std::string first_bad_item_;
};

// The text of a scalar as it stands in the reply, or the first character of anything else.
std::string_view TokenOf(Value value) {
  const std::string_view token = value.raw_json_token();
  return token.substr(0, token.find_last_not_of(" \t\r\n") + 1);
}

std::string Reader::PathText() const {
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

bool Reader::Fail(std::string_view rule) {
  if (!problem_.empty()) return false;
  const std::string path = PathText();
  problem_ = fmt::format("{}{}{}", path, path.empty() ? "" : ": ", rule);
  return false;
}

bool Reader::FailJson(simdjson::error_code error) {
  not_json_ = true;
  return Fail(fmt::format("not JSON: {}", simdjson::error_message(error)));
}

bool Reader::FailNumber(simdjson::error_code error, std::string_view text) {
  if (!SplitDecimal(text)) return FailJson(error);
  return FailWanted("a number of a magnitude below 1.8e308", text);
}

void Reader::NoteBadItem() {
  if (++bad_items_ == 1) first_bad_item_ = std::move(problem_);
  problem_.clear();
}

bool Reader::CheckSkipped(const char* begin, const char* end, size_t index) {
  std::string_view text(begin, static_cast<size_t>(end - begin));
  text.remove_suffix(text.size() - text.find_last_of(",]"));
  Reader reader;
  reader.only_syntax_ = true;
  reader.path_ = path_;
  reader.path_.push_back({.key = {}, .index = index, .is_element = true});
  reader.depth_ = depth_;
  if (reader.CheckSyntax(text)) return true;
  problem_ = std::move(reader.problem_);
  not_json_ = true;
  return false;
}

bool Reader::CheckSyntax(std::string_view item) {
  // Not the one that is in the middle of the reply.
  thread_local ondemand::parser parser;
  // In brackets, because a document may be a scalar but no value is made of it.
  simdjson::padded_string padded(item.size() + 2);
  padded.data()[0] = '[';
  item.copy(padded.data() + 1, item.size());
  padded.data()[item.size() + 1] = ']';
  ondemand::document document;
  if (const auto error = parser.iterate(padded).get(document)) return FailJson(error);
  ondemand::array array;
  if (const auto error = document.get_array().get(array)) return FailJson(error);
  size_t count = 0;
  for (auto result : array) {
    Value value;
    if (const auto error = std::move(result).get(value)) return FailJson(error);
    if (++count > 1 || !Skip(value)) return Fail("not JSON");
  }
  const char* rest;
  const bool at_end = document.current_location().get(rest) == simdjson::OUT_OF_BOUNDS;
  return (at_end && count == 1) || Fail("not JSON");
}

bool Reader::HasEnoughGoodItems(size_t count) {
  const auto bad = static_cast<size_t>(bad_items_);
  const bool too_many = bad_items_ > kMaxBadItems && bad * 100 > count * kMaxBadItemsPercent;
  if (bad == 0 || (bad < count && !too_many)) return true;
  problem_ = fmt::format("{} ({} of {} items can not be read)", first_bad_item_, bad, count);
  return false;
}

bool Reader::FailMissing(std::string_view key) {
  path_.push_back({.key = key});
  return Fail("is missing");
}

bool Reader::Expect(Value value, ondemand::json_type type, std::string_view wanted) {
  ondemand::json_type actual;
  if (const auto error = value.type().get(actual)) return FailJson(error);
  if (actual == type) return true;
  return FailWanted(wanted, TokenOf(value));
}

bool Reader::ReadString(Value value, std::string& out) {
  if (!Expect(value, ondemand::json_type::string, "a string")) return false;
  std::string_view text;
  if (const auto error = value.get_string().get(text)) return FailJson(error);
  out = text;
  return true;
}

bool Reader::ReadStrings(Value value, google::protobuf::RepeatedPtrField<std::string>& out) {
  return ReadArray(value, [&](Value element) { return ReadString(element, *out.Add()); });
}

bool Reader::ReadBool(Value value, bool& out) {
  if (!Expect(value, ondemand::json_type::boolean, "true or false")) return false;
  if (const auto error = value.get_bool().get(out)) return FailJson(error);
  return true;
}

bool Reader::ReadStringIfAny(Value value, std::string& out) {
  return IsType(value, ondemand::json_type::string) ? ReadString(value, out) : Skip(value);
}

// `text` is the number as it was written, or the content of a string.
bool Reader::ReadNumberText(Value value, std::string_view wanted, std::string_view& text) {
  if (IsType(value, ondemand::json_type::string)) {
    if (const auto error = value.get_string().get(text)) return FailJson(error);
    return true;
  }
  if (!Expect(value, ondemand::json_type::number, wanted)) return false;
  text = TokenOf(value);
  // Read for what it checks: the grammar, and that the number is not beyond all bounds.
  double ignored;
  if (const auto error = value.get_double().get(ignored)) return FailNumber(error, text);
  return true;
}

bool Reader::ReadRatio(Value value, double& out) {
  constexpr std::string_view kWanted = "a number from 0 to 1";
  std::string_view text;
  if (!ReadNumberText(value, kWanted, text)) return false;
  // SimpleAtod alone would take "nan" and hexadecimal digits.
  if (!SplitDecimal(text) || !absl::SimpleAtod(ToAbsl(text), &out) || !(out >= 0 && out <= 1)) {
    return FailWanted(kWanted, text);
  }
  return true;
}

bool Reader::ReadCount(Value value, int32_t& out) {
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

bool Reader::ReadAmount(Value value, google::type::Money& out) {
  constexpr std::string_view kWanted = "an amount of at most 9 decimals";
  std::string_view text;
  if (!ReadNumberText(value, kWanted, text)) return false;
  const std::optional<FixedPoint> amount = ParseFixedPoint(text);
  if (!amount || !amount->exact) return FailWanted(kWanted, text);
  out.set_units(amount->units);
  out.set_nanos(amount->nanos);
  return true;
}

bool Reader::ReadTime(Value value, google::protobuf::Timestamp& out) {
  constexpr std::string_view kWanted = "a time";
  std::string_view text;
  if (!ReadNumberText(value, kWanted, text)) return false;
  if (!ParseEpoch(text, out) && !ParseIsoTime(text, out)) return FailWanted(kWanted, text);
  return true;
}

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

bool Reader::ReadAny(Value value, google::protobuf::Value* out) {
  // Deeper values are checked all the same, and left out.
  if (out != nullptr && depth_ >= kMaxCopiedDepth) {
    out->set_null_value(google::protobuf::NULL_VALUE);
    out = nullptr;
  }
  ondemand::json_type type;
  if (const auto error = value.type().get(type)) return FailJson(error);
  switch (type) {
    case ondemand::json_type::object: {
      ondemand::object object;
      if (const auto error = value.get_object().get(object)) return FailJson(error);
      google::protobuf::Struct* fields = out != nullptr ? out->mutable_struct_value() : nullptr;
      return ForEachField(object, [&](std::string_view key, Value field) {
        return fields != nullptr ? ReadUnknown(key, field, *fields) : Skip(field);
      });
    }
    case ondemand::json_type::array: {
      google::protobuf::ListValue* list = out != nullptr ? out->mutable_list_value() : nullptr;
      return ForEachElement(value, [&](Value element) {
        return ReadAny(element, list != nullptr ? list->add_values() : nullptr);
      });
    }
    case ondemand::json_type::string: {
      std::string_view text;
      if (const auto error = value.get_string().get(text)) return FailJson(error);
      if (out != nullptr) out->set_string_value(std::string(text));
      return true;
    }
    case ondemand::json_type::number: {
      const std::string_view text = TokenOf(value);
      double number;
      if (const auto error = value.get_double().get(number)) {
        // Left where it is, as null is.
        return (only_syntax_ && SplitDecimal(text)) || FailNumber(error, text);
      }
      if (out != nullptr) SetNumber(text, number, *out);
      return true;
    }
    case ondemand::json_type::boolean: {
      bool flag;
      if (!ReadBool(value, flag)) return false;
      if (out != nullptr) out->set_bool_value(flag);
      return true;
    }
    case ondemand::json_type::null:
      // Left where it is: the reader steps over a value that nobody took.
      if (TokenOf(value) != "null") return FailWanted("a value", TokenOf(value));
      if (out != nullptr) out->set_null_value(google::protobuf::NULL_VALUE);
      return true;
    default:
      not_json_ = true;
      return Fail("not JSON");
  }
}

// --- words ---------------------------------------------------------------------------------------

template <typename Enum>
struct Word {
  std::string_view text;
  Enum value;
};

constexpr Word<v1::NumberStatus> kNumberStatuses[] = {
    {"available", v1::NUMBER_STATUS_AVAILABLE},
    {"g-available", v1::NUMBER_STATUS_G_AVAILABLE},
    {"leased", v1::NUMBER_STATUS_LEASED},
    {"unavailable", v1::NUMBER_STATUS_UNAVAILABLE}};
constexpr Word<v1::LeaseStatus> kLeaseStatuses[] = {{"active", v1::LEASE_STATUS_ACTIVE},
                                                    {"paused", v1::LEASE_STATUS_PAUSED},
                                                    {"pending", v1::LEASE_STATUS_PENDING},
                                                    {"expired", v1::LEASE_STATUS_EXPIRED},
                                                    {"terminated", v1::LEASE_STATUS_TERMINATED}};
constexpr Word<v1::BillingMethod> kBillingMethods[] = {
    {"monthly", v1::BILLING_METHOD_MONTHLY},
    {"service_contract", v1::BILLING_METHOD_SERVICE_CONTRACT},
    {"goodwill", v1::BILLING_METHOD_GOODWILL}};
constexpr Word<v1::FailoverMode> kFailoverModes[] = {{"all", v1::FAILOVER_MODE_ALL},
                                                     {"selective", v1::FAILOVER_MODE_SELECTIVE}};
constexpr Word<v1::CallForwardingStatus> kCallForwardingStatuses[] = {
    {"active", v1::CALL_FORWARDING_STATUS_ACTIVE}, {"queued", v1::CALL_FORWARDING_STATUS_QUEUED}};

// The enum's zero, UNSPECIFIED, for a word that is not in the table.
template <typename Enum, size_t kSize>
Enum EnumOf(const Word<Enum> (&table)[kSize], std::string_view text) {
  for (const Word<Enum>& word : table) {
    if (word.text == text) return word.value;
  }
  return Enum{};
}

template <typename Enum, size_t kSize>
std::string_view WordOf(const Word<Enum> (&table)[kSize], Enum value) {
  for (const Word<Enum>& word : table) {
    if (word.value == value) return word.text;
  }
  return {};
}

// --- messages ------------------------------------------------------------------------------------

bool LooksLikeE164(std::string_view text) {
  constexpr size_t kMostDigits = 15;
  return text.size() >= 3 && text.size() <= kMostDigits + 1 && text[0] == '+' && text[1] != '0' &&
         text.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

bool ReadPricing(Reader& in, Value value, v1::Pricing& pricing) {
  std::string currency;
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "currency") return in.ReadString(field, currency);
    if (key == "upfront_fee") return in.ReadAmount(field, *pricing.mutable_upfront_fee());
    if (key == "monthly_rate") return in.ReadAmount(field, *pricing.mutable_monthly_rate());
    return in.Skip(field);
  });
  // The currency may come after the amounts.
  if (pricing.has_upfront_fee()) pricing.mutable_upfront_fee()->set_currency_code(currency);
  if (pricing.has_monthly_rate()) pricing.mutable_monthly_rate()->set_currency_code(currency);
  return ok;
}

bool ReadBillingPeriod(Reader& in, Value value, v1::Billing& billing) {
  return in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "start") return in.ReadTime(field, *billing.mutable_start_time());
    if (key == "end") return in.ReadTime(field, *billing.mutable_end_time());
    return in.Skip(field);
  });
}

bool ReadBilling(Reader& in, Value value, v1::Billing& billing) {
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "method") return in.ReadString(field, *billing.mutable_provider_method());
    if (key == "price") return ReadPricing(in, field, *billing.mutable_price());
    if (key == "period") return ReadBillingPeriod(in, field, billing);
    return in.Skip(field);
  });
  billing.set_method(EnumOf(kBillingMethods, billing.provider_method()));
  return ok;
}

bool ReadLocation(Reader& in, Value value, v1::Location& location) {
  return in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "country") return in.ReadString(field, *location.mutable_country());
    if (key == "region") return in.ReadString(field, *location.mutable_region());
    if (key == "city") return in.ReadString(field, *location.mutable_city());
    return in.Skip(field);
  });
}

bool ReadCapabilities(Reader& in, Value value, v1::Capabilities& capabilities) {
  // Older replies have the channels alone.
  if (in.IsType(value, ondemand::json_type::array)) {
    return in.ReadStrings(value, *capabilities.mutable_channels());
  }
  return in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "channels") return in.ReadStrings(field, *capabilities.mutable_channels());
    if (key == "intl_sms") {
      bool intl_sms = false;
      if (!in.ReadBool(field, intl_sms)) return false;
      capabilities.set_intl_sms(intl_sms);
      return true;
    }
    return in.Skip(field);
  });
}

bool ReadHealth(Reader& in, Value value, v1::Health& health) {
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
bool ReadNumberData(Reader& in, Value value, v1::Number& number) {
  return in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "requirements") return in.ReadStrings(field, *number.mutable_requirements());
    if (key == "e911_capable") {
      bool capable = false;
      if (!in.ReadBool(field, capable)) return false;
      number.set_e911_capable(capable);
      return true;
    }
    return in.ReadUnknown(key, field, *number.mutable_additional_data());
  });
}

// A number's forms: {e164, formatted}, or a string.
bool ReadForms(Reader& in, Value value, std::string& e164, std::string& formatted) {
  if (in.IsType(value, ondemand::json_type::string)) return in.ReadString(value, e164);
  return in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "e164") return in.ReadString(field, e164);
    if (key == "formatted") return in.ReadString(field, formatted);
    return in.Skip(field);
  });
}

// The provider gives the number twice; either will do, but not two different ones.
bool SetPhoneNumber(Reader& in, const std::string& id, const std::string& e164,
                    v1::Number& number) {
  if (id.empty() && e164.empty()) return in.FailMissing("id");
  for (const std::string& text : {id, e164}) {
    if (!text.empty() && !LooksLikeE164(text)) return in.FailWanted("an E.164 number", text);
  }
  if (!id.empty() && !e164.empty() && id != e164) return in.Fail("id and number.e164 differ");
  number.set_phone_number(id.empty() ? e164 : id);
  return true;
}

bool ReadNumber(Reader& in, Value value, v1::Number& number) {
  std::string id;
  std::string e164;
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "id") return in.ReadString(field, id);
    if (key == "status") return in.ReadString(field, *number.mutable_provider_status());
    if (key == "number") return ReadForms(in, field, e164, *number.mutable_formatted());
    if (key == "location") return ReadLocation(in, field, *number.mutable_location());
    if (key == "carrier") return in.ReadString(field, *number.mutable_carrier());
    if (key == "capabilities") return ReadCapabilities(in, field, *number.mutable_capabilities());
    if (key == "health") return ReadHealth(in, field, *number.mutable_health());
    if (key == "data") return ReadNumberData(in, field, number);
    if (key == "created_at") return in.ReadTime(field, *number.mutable_create_time());
    if (key == "pricing") return ReadPricing(in, field, *number.mutable_pricing());
    if (key == "lease_id") return in.ReadString(field, *number.mutable_lease()->mutable_lease_id());
    if (key == "lease_status") {
      return in.ReadString(field, *number.mutable_lease()->mutable_provider_status());
    }
    if (key == "billing") return ReadBilling(in, field, *number.mutable_lease()->mutable_billing());
    return in.ReadUnknown(key, field, *number.mutable_additional_fields());
  });
  if (!ok || !SetPhoneNumber(in, id, e164, number)) return false;
  number.set_status(EnumOf(kNumberStatuses, number.provider_status()));
  if (number.has_lease()) {
    v1::Lease& lease = *number.mutable_lease();
    lease.set_phone_number(number.phone_number());
    lease.set_status(EnumOf(kLeaseStatuses, lease.provider_status()));
  }
  return true;
}

// A number with its lease becomes a lease with its number.
bool ReadLeasedNumber(Reader& in, Value value, v1::Lease& lease) {
  v1::Number number;
  if (!ReadNumber(in, value, number)) return false;
  if (number.lease().lease_id().empty()) return in.FailMissing("lease_id");
  lease = std::move(*number.mutable_lease());
  number.clear_lease();
  *lease.mutable_number() = std::move(number);
  return true;
}

// What POST /lease/{number} answers.
bool ReadNewLease(Reader& in, Value value, v1::Lease& lease) {
  std::string formatted;
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "lease_id") return in.ReadString(field, *lease.mutable_lease_id());
    if (key == "number") return ReadForms(in, field, *lease.mutable_phone_number(), formatted);
    if (key == "status") return in.ReadString(field, *lease.mutable_provider_status());
    if (key == "billing") return ReadBilling(in, field, *lease.mutable_billing());
    return in.Skip(field);
  });
  if (!ok) return false;
  if (lease.lease_id().empty()) return in.FailMissing("lease_id");
  lease.set_status(EnumOf(kLeaseStatuses, lease.provider_status()));
  return true;
}

bool ReadTermination(Reader& in, Value value, v1::Termination& termination) {
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "lease_id") return in.ReadString(field, *termination.mutable_lease_id());
    if (key == "number_id") return in.ReadString(field, *termination.mutable_phone_number());
    if (key == "status") return in.ReadString(field, *termination.mutable_provider_status());
    if (key == "terminated_at") return in.ReadTime(field, *termination.mutable_terminate_time());
    return in.Skip(field);
  });
  termination.set_status(EnumOf(kLeaseStatuses, termination.provider_status()));
  return ok;
}

bool ReadFailover(Reader& in, Value value, v1::Failover& failover) {
  std::optional<bool> enabled;
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "enabled") return in.ReadBool(field, enabled.emplace());
    if (key == "mode") return in.ReadString(field, *failover.mutable_provider_mode());
    if (key == "numbers") return in.ReadStrings(field, *failover.mutable_phone_numbers());
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

bool ReadCallForwarding(Reader& in, Value value, v1::CallForwarding& forwarding) {
  std::optional<bool> enabled;
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "enabled") return in.ReadBool(field, enabled.emplace());
    if (key == "to") return in.ReadString(field, *forwarding.mutable_forward_to());
    if (key == "status") return in.ReadString(field, *forwarding.mutable_provider_status());
    if (key == "estimated_completion") {
      return in.ReadTime(field, *forwarding.mutable_estimated_completion_time());
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

enum class Presence { kRequired, kOptional };

// Of an object `value`, reads the field `name` with `read_field(value)` and skips the others.
template <typename ReadField>
bool ReadOneField(Reader& in, Value value, std::string_view name, Presence presence,
                  ReadField read_field) {
  bool found = false;
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key != name) return in.Skip(field);
    found = true;
    return read_field(field);
  });
  if (!ok) return false;
  return found || presence == Presence::kOptional || in.FailMissing(name);
}

// `read_item(in, value, item)` reads one of `data.numbers` into a new item of the list, which is
// gone again when it can't.
template <typename List, typename ReadItem>
bool ReadNumbers(Reader& in, Value data, List& list, ReadItem read_item) {
  return ReadOneField(in, data, "numbers", Presence::kRequired, [&](Value numbers) {
    return in.ReadItems(numbers, [&](Value item) {
      if (read_item(in, item, *list.Add())) return true;
      list.RemoveLast();
      return false;
    });
  });
}

bool ReadObjectKind(Reader& in, Value value) {
  std::string kind;
  if (!in.ReadString(value, kind)) return false;
  return kind != "error" || in.Fail("an error with an HTTP status of success");
}

// The envelope; `read_data(in, value, reply_value)` reads what is in it.
template <typename T, typename ReadData>
absl::StatusOr<Reply<T>> DecodeReply(std::string_view body, ReadData read_data) {
  Reply<T> reply;
  v1::ResponseMetadata& metadata = reply.metadata;
  Reader in;
  bool has_data = false;
  const bool ok = in.ReadDocument(body, [&](std::string_view key, Value value) {
    if (key == "id") return in.ReadString(value, *metadata.mutable_upstream_request_id());
    if (key == "timestamp") return in.ReadTime(value, *metadata.mutable_upstream_time());
    if (key == "api_version") return in.ReadString(value, *metadata.mutable_upstream_api_version());
    if (key == "object") return ReadObjectKind(in, value);
    if (key == "data") {
      has_data = true;
      return read_data(in, value, reply.value);
    }
    return in.Skip(value);
  });
  if (!ok) return in.status();
  if (!has_data) {
    in.FailMissing("data");
    return in.status();
  }
  reply.bad_items = in.bad_items();
  reply.first_bad_item = in.first_bad_item();
  return reply;
}

// --- errors --------------------------------------------------------------------------------------

// `https` and no character that an address can not have, because people are told to go there.
bool IsAgreementUrl(std::string_view text) {
  constexpr std::string_view kScheme = "https://";
  return text.size() > kScheme.size() && text.size() <= kMaxAgreementUrl &&
         text.starts_with(kScheme) && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isgraph(c);
         });
}

// What may be an error's, as it stands in the body.
struct RawError {
  std::string id;
  std::string object;
  std::string message;     // without the envelope
  std::string data_error;  // in the envelope
  std::string agreement_url;
  bool has_status = false;
};

// The envelope's `data`.
bool ReadErrorData(Reader& in, Value value, RawError& error) {
  if (!in.IsType(value, ondemand::json_type::object)) return in.Skip(value);
  return in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "error") return in.ReadStringIfAny(field, error.data_error);
    if (key == "agreement_url") return in.ReadStringIfAny(field, error.agreement_url);
    return in.Skip(field);
  });
}

bool ReadError(Reader& in, std::string_view body, RawError& error) {
  return in.ReadDocument(body, [&](std::string_view key, Value value) {
    if (key == "id") return in.ReadStringIfAny(value, error.id);
    if (key == "object") return in.ReadStringIfAny(value, error.object);
    if (key == "message") return in.ReadStringIfAny(value, error.message);
    if (key == "agreement_url") return in.ReadStringIfAny(value, error.agreement_url);
    if (key == "data") return ReadErrorData(in, value, error);
    if (key == "status") error.has_status = true;
    return in.Skip(value);
  });
}

}  // namespace

absl::StatusOr<Reply<NumberList>> DecodeAvailableNumbers(std::string_view body) {
  return DecodeReply<NumberList>(body, [](Reader& in, Value data, NumberList& numbers) {
    return ReadNumbers(in, data, numbers, ReadNumber);
  });
}

absl::StatusOr<Reply<LeaseList>> DecodeLeases(std::string_view body) {
  return DecodeReply<LeaseList>(body, [](Reader& in, Value data, LeaseList& leases) {
    return ReadNumbers(in, data, leases, ReadLeasedNumber);
  });
}

absl::StatusOr<Reply<v1::Number>> DecodeNumber(std::string_view body) {
  return DecodeReply<v1::Number>(body, ReadNumber);
}

absl::StatusOr<Reply<v1::Lease>> DecodeLease(std::string_view body) {
  return DecodeReply<v1::Lease>(body, ReadNewLease);
}

absl::StatusOr<Reply<v1::Termination>> DecodeTermination(std::string_view body) {
  return DecodeReply<v1::Termination>(body, ReadTermination);
}

absl::StatusOr<Reply<v1::Failover>> DecodeFailover(std::string_view body) {
  return DecodeReply<v1::Failover>(body, [](Reader& in, Value data, v1::Failover& failover) {
    return ReadOneField(in, data, "failover", Presence::kOptional,
                        [&](Value value) { return ReadFailover(in, value, failover); });
  });
}

absl::StatusOr<Reply<v1::CallForwarding>> DecodeCallForwarding(std::string_view body) {
  return DecodeReply<v1::CallForwarding>(
      body, [](Reader& in, Value data, v1::CallForwarding& forwarding) {
        return ReadOneField(in, data, "call_forwarding", Presence::kRequired,
                            [&](Value value) { return ReadCallForwarding(in, value, forwarding); });
      });
}

UpstreamErrorBody DecodeError(std::string_view body) {
  Reader in;
  RawError error;
  UpstreamErrorBody result;
  if (!ReadError(in, body, error)) return result;
  // A message alone is what any proxy may send; the provider's has a status beside it.
  const bool has_plain_form = !error.message.empty() && error.has_status;
  result.recognized = error.object == "error" || !error.data_error.empty() || has_plain_form;
  if (!result.recognized) return result;
  result.id = Printable(error.id, kMaxErrorId);
  result.message =
      Printable(error.data_error.empty() ? error.message : error.data_error, kMaxErrorMessage);
  if (IsAgreementUrl(error.agreement_url)) result.agreement_url = std::move(error.agreement_url);
  return result;
}

std::string EncodeCreateLease(v1::BillingMethod method) {
  boost::json::object body;
  const std::string_view word = WordOf(kBillingMethods, method);
  if (!word.empty()) body["billing_method"] = word;
  return boost::json::serialize(body);
}

std::string EncodeFailover(const v1::Failover& failover) {
  boost::json::object settings;
  settings["enabled"] = failover.enabled();
  const std::string_view mode = WordOf(kFailoverModes, failover.mode());
  if (!mode.empty()) settings["mode"] = mode;
  if (!failover.phone_numbers().empty()) {
    boost::json::array& numbers = settings["numbers"].emplace_array();
    for (const std::string& number : failover.phone_numbers()) numbers.emplace_back(number);
  }
  boost::json::object body;
  body["failover"] = std::move(settings);
  return boost::json::serialize(body);
}

std::string EncodeEnableCallForwarding(std::string_view forward_to) {
  boost::json::object body;
  body["to"] = forward_to;
  return boost::json::serialize(body);
}

}  // namespace leasegateway
