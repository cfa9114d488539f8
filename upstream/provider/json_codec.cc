#include "upstream/provider/json_codec.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <boost/nowide/utf/utf.hpp>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
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

using Kind = Tolerated::Kind;

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
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

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
  bool exact = false;  // false: rounded, because there are decimals after the ninth
};

// To the nearest billionth, halves away from zero. Nothing when the text is not a number or its
// units don't fit.
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
  if (digit_at(decimal->point + 9) >= 5 && ++result.nanos == kNanosPerUnit) {
    if (result.units == kMax) return std::nullopt;
    ++result.units;
    result.nanos = 0;
  }
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

// Behind the bracket that closes the one that `text` begins with; npos when those between don't
// match.
size_t EndOfBrackets(std::string_view text) {
  std::string open;
  bool in_text = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (in_text) {
      if (c == '\\') ++at;
      in_text = c != '"';
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      open.push_back(c == '{' ? '}' : ']');
    } else if (c == '}' || c == ']') {
      if (open.back() != c) return std::string_view::npos;
      open.pop_back();
      if (open.empty()) return at + 1;
    }
  }
  return std::string_view::npos;
}

// --- the reader ----------------------------------------------------------------------------------

// Reads one reply, front to back. Each function that reads returns false after the first thing that
// can not be read, which status() then tells; its caller returns at once, or leaves the thing out
// with OrLeaveOut and goes on.
class Reader {
 public:
  // `broken`: what is wrong with items that stand in the text as null, because they would have kept
  // the others from being read, by their index. It outlives the reader.
  using BrokenItems = std::map<size_t, std::string>;
  explicit Reader(const BrokenItems* broken = nullptr) : broken_(broken) {}
  // Of the item `index` of a list alone.
  explicit Reader(size_t index)
      : path_{
            {.key = "data"}, {.key = "numbers"}, {.key = {}, .index = index, .is_element = true}} {}

  // Of a reply that could not be read.
  absl::Status status() const {
    return MakeError(absl::StatusCode::kInternal, reason::kUpstreamMalformed,
                     fmt::format("the provider's reply can not be read: {}", problem_));
  }
  const std::string& problem() const { return problem_; }
  const Tolerated& tolerated() const { return tolerated_; }
  // Nothing more can be read, because the parser does not know where it is.
  bool is_lost() const { return lost_; }
  // It is lost because of a text that isn't UTF-8 or has a control character.
  bool has_bad_text() const { return has_bad_text_; }
  // It is lost in the items of a list, whose bracket this points to; null: elsewhere, or nowhere.
  const char* lost_in_items() const { return lost_ ? items_ : nullptr; }

  // Calls `on_field(key, value)` for each field of the outermost object that is not null.
  template <typename OnField>
  bool ReadDocument(const simdjson::padded_string& text, OnField on_field) {
    return Parse(text, [&](ondemand::document& document) {
      ondemand::object object;
      if (const auto error = document.get_object().get(object)) return FailJson(error);
      return ForEachField(object, SkippingNulls(on_field));
    });
  }
  // Calls `on_value(value)` for the one object that the text is.
  template <typename OnValue>
  bool ReadWhole(const simdjson::padded_string& text, OnValue on_value) {
    return Parse(text, [&](ondemand::document& document) {
      Value value;
      if (const auto error = document.get_value().get(value)) return FailJson(error);
      return on_value(value);
    });
  }

  // As ReadDocument. A field that is null counts as absent.
  template <typename OnField>
  bool ReadObject(Value value, OnField on_field) {
    ondemand::object object;
    if (!Expect(value, ondemand::json_type::object, "an object")) return false;
    if (const auto error = value.get_object().get(object)) return FailJson(error);
    return ForEachField(object, SkippingNulls(on_field));
  }

  // Calls `on_item(value)` for each element of an array, null or not. One for which it returns
  // false is left out and counted, unless none can be read: that is another format, not an empty
  // list.
  template <typename OnItem>
  bool ReadItems(Value value, OnItem on_item) {
    if (!Expect(value, ondemand::json_type::array, "an array")) return false;
    items_ = value.raw_json_token().data();
    size_t count = 0;
    size_t bad = 0;
    const bool is_array = ForEachElement(value, [&](Value item) {
      const auto broken = broken_ != nullptr ? broken_->find(count) : BrokenItems::const_iterator();
      const bool is_broken = broken_ != nullptr && broken != broken_->end();
      ++count;
      if (!is_broken && on_item(item)) return true;
      if (lost_) return false;
      if (is_broken) problem_ = broken->second;
      ++bad;
      Tolerate(Kind::kItem);
      return true;
    });
    if (!is_array) return false;
    items_ = nullptr;
    if (bad == 0 || bad < count) return true;
    problem_ = fmt::format("{} (and none of {} items can be read)",
                           tolerated_.first_of(Kind::kItem), count);
    return false;
  }

  bool ReadString(Value value, std::string& out);
  // The same of a field that may be left out: what can't be read is an empty text.
  bool ReadText(Value value, std::string& out) {
    return OrLeaveOut(ReadString(value, out), [&] { out.clear(); });
  }
  // Elements that can't be read are left out.
  bool ReadStrings(Value value, google::protobuf::RepeatedPtrField<std::string>& out);
  bool ReadBool(Value value, bool& out);
  // A number, or a string that holds one.
  bool ReadRatio(Value value, double& out);
  bool ReadCount(Value value, int32_t& out);
  bool ReadAmount(Value value, google::type::Money& out);
  bool ReadTime(Value value, google::protobuf::Timestamp& out);

  // Passes over a value, whatever it is.
  bool Skip(Value) {
    is_unread_ = true;
    return true;
  }
  // Adds a field that no message knows, or leaves it out.
  bool ReadUnknown(std::string_view key, Value value, google::protobuf::Struct& out) {
    return OrLeaveOut(ReadAny(value, &(*out.mutable_fields())[std::string(key)]),
                      [&] { out.mutable_fields()->erase(std::string(key)); });
  }
  // A string; anything else is passed over and leaves `out` as it is.
  bool ReadStringIfAny(Value value, std::string& out) {
    if (!twice_ && !IsType(value, ondemand::json_type::string)) return Skip(value);
    return ReadText(value, out);
  }
  bool IsType(Value value, ondemand::json_type type) {
    ondemand::json_type actual;
    return !twice_ && value.type().get(actual) == simdjson::SUCCESS && actual == type;
  }

  // Whether to go on after a thing that was read or, when `ok` is false, is to be left out: `clear`
  // then takes out what of it has been read.
  template <typename Clear>
  bool OrLeaveOut(bool ok, Clear clear, Kind kind = Kind::kField) {
    if (ok || lost_) return ok;
    clear();
    Tolerate(kind);
    return true;
  }
  template <typename Message>
  bool OrLeaveOut(bool ok, Message& message, void (Message::*clear)(), Kind kind = Kind::kField) {
    return OrLeaveOut(
        ok, [&] { (message.*clear)(); }, kind);
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

  // Keeps its buffers from reply to reply. No reply is read while another one is.
  static ondemand::parser& ParserOfThread() {
    thread_local ondemand::parser parser;
    return parser;
  }

  template <typename ReadIt>
  bool Parse(const simdjson::padded_string& text, ReadIt read_it) {
    if (text.size() == 0) return Fail("the body is empty");
    if (std::string_view(text.data(), text.size()).starts_with(kByteOrderMark)) {
      lost_ = true;
      return Fail("there are two byte order marks before the JSON text");
    }
    end_ = text.data() + text.size();
    ondemand::document document;
    if (const auto error = ParserOfThread().iterate(text).get(document)) {
      has_bad_text_ = error == simdjson::UTF8_ERROR || error == simdjson::UNESCAPED_CHARS;
      return FailJson(error);
    }
    if (!read_it(document)) return false;
    const char* rest;
    if (document.current_location().get(rest) == simdjson::OUT_OF_BOUNDS) return true;
    lost_ = true;
    return Fail("there is more after the end of the JSON text");
  }

  template <typename OnField>
  auto SkippingNulls(OnField& on_field) {
    return [this, &on_field](std::string_view key, Value value) {
      return IsType(value, ondemand::json_type::null) && TokenIs(value, "null")
                 ? true
                 : on_field(key, value);
    };
  }

  template <typename OnField>
  bool ForEachField(ondemand::object& object, OnField on_field) {
    ++depth_;
    const size_t path = path_.size();
    const int depth = depth_;
    const auto read = [&](std::string_view key, Value value) {
      path_.push_back({.key = key});
      const auto on_value = [&] { return on_field(key, value); };
      if (!(twice_ ? on_value() : Visit(value, '}', on_value))) return false;
      while (path_.size() > path) path_.pop_back();
      depth_ = depth;
      return true;
    };
    absl::InlinedVector<std::string_view, 24> keys;
    for (auto result : object) {
      ondemand::field field;
      if (const auto error = std::move(result).get(field)) return FailJson(error);
      std::string_view key;
      if (const auto error = field.unescaped_key().get(key)) {
        const auto skip = [&] { return OrLeaveOut(FailText("a key", error), [] {}); };
        if (!Visit(field.value(), '}', skip)) return false;
        continue;
      }
      keys.push_back(key);
      if (!read(key, field.value())) return false;
    }
    // Once at the end, because a look-up for each key is dear when there are many.
    std::sort(keys.begin(), keys.end());
    for (auto key = keys.begin(); (key = std::adjacent_find(key, keys.end())) != keys.end();) {
      // Nobody knows which of the two is meant: it is read once more, as what can't be read.
      twice_ = true;
      const bool goes_on = read(*key, Value());
      twice_ = false;
      if (!goes_on) return false;
      key = std::upper_bound(key, keys.end(), *key);
    }
    --depth_;
    return true;
  }

  template <typename OnElement>
  bool ForEachElement(Value value, OnElement on_element) {
    ondemand::array array;
    if (const auto error = value.get_array().get(array)) return FailJson(error);
    ++depth_;
    const size_t path = path_.size();
    const int depth = depth_;
    size_t index = 0;
    for (auto result : array) {
      path_.push_back({.key = {}, .index = index++, .is_element = true});
      Value element;
      if (const auto error = std::move(result).get(element)) return FailJson(error);
      if (!Visit(element, ']', [&] { return on_element(element); })) return false;
      while (path_.size() > path) path_.pop_back();
      depth_ = depth;
    }
    --depth_;
    return true;
  }

  // Calls `read`, and makes sure that the parser, which counts brackets, finds the end of a value
  // that nobody has read to its end. `closing` is the bracket of what the value is in.
  template <typename Read>
  bool Visit(Value value, char closing, Read read) {
    const std::string_view token = value.raw_json_token();
    const char first = token.front();
    const bool is_scalar = first != '{' && first != '[';
    const char next = token.data()[token.size()];
    const bool is_value = first != ',' && first != ':' && first != ']' && first != '}';
    if (!is_value || (is_scalar && next != ',' && next != closing)) {
      return FailJson(simdjson::TAPE_ERROR);
    }
    const bool outer = std::exchange(is_unread_, false);
    const bool goes_on = read();
    const bool is_unread = std::exchange(is_unread_, outer);
    if (!goes_on || !is_unread || is_scalar) return goes_on;
    const std::string_view rest(token.data(), static_cast<size_t>(end_ - token.data()));
    return EndOfBrackets(rest) != std::string_view::npos || FailJson(simdjson::TAPE_ERROR);
  }

  // Counts what the latest Fail said, and goes on as if it had not been said.
  void Tolerate(Kind kind) {
    tolerated_.Add(kind, std::move(problem_));
    problem_.clear();
    is_unread_ = true;
  }
  // Reads any value.
  bool ReadAny(Value value, google::protobuf::Value* out);
  bool Expect(Value value, ondemand::json_type type, std::string_view wanted);
  bool TokenIs(Value value, std::string_view text);
  bool ReadNumberText(Value value, std::string_view wanted, std::string_view& text);
  // The parser has lost its place.
  bool FailJson(simdjson::error_code error);
  bool FailText(std::string_view what, simdjson::error_code error) {
    return Fail(fmt::format("{} can't be read: {}", what, simdjson::error_message(error)));
  }
  std::string PathText() const;

  const BrokenItems* const broken_ = nullptr;
  std::vector<PathStep> path_;
  int depth_ = 0;
  std::string problem_;  // the first error and its place
  bool lost_ = false;
  bool has_bad_text_ = false;
  bool twice_ = false;      // the field at hand is one of two of the same key; there is no value
  bool is_unread_ = false;  // something of the value at hand
  const char* items_ = nullptr;
  const char* end_ = nullptr;  // of the text
  Tolerated tolerated_;
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
  lost_ = true;
  return Fail(fmt::format("not JSON: {}", simdjson::error_message(error)));
}

bool Reader::TokenIs(Value value, std::string_view text) { return TokenOf(value) == text; }

bool Reader::FailMissing(std::string_view key) {
  path_.push_back({.key = key});
  return Fail("is missing");
}

bool Reader::Expect(Value value, ondemand::json_type type, std::string_view wanted) {
  if (twice_) return Fail("is there twice");
  ondemand::json_type actual;
  if (value.type().get(actual) == simdjson::SUCCESS && actual == type) return true;
  return FailWanted(wanted, TokenOf(value));
}

bool Reader::ReadString(Value value, std::string& out) {
  if (!Expect(value, ondemand::json_type::string, "a string")) return false;
  std::string_view text;
  if (const auto error = value.get_string().get(text)) return FailText("the text", error);
  out = text;
  return true;
}

bool Reader::ReadStrings(Value value, google::protobuf::RepeatedPtrField<std::string>& out) {
  return Expect(value, ondemand::json_type::array, "an array") &&
         ForEachElement(value, [&](Value element) {
           return OrLeaveOut(ReadString(element, *out.Add()), [&] { out.RemoveLast(); });
         });
}

bool Reader::ReadBool(Value value, bool& out) {
  constexpr std::string_view kWanted = "true or false";
  if (!Expect(value, ondemand::json_type::boolean, kWanted)) return false;
  return value.get_bool().get(out) == simdjson::SUCCESS || FailWanted(kWanted, TokenOf(value));
}

// `text` is the number as it was written, or the content of a string.
bool Reader::ReadNumberText(Value value, std::string_view wanted, std::string_view& text) {
  if (IsType(value, ondemand::json_type::string)) {
    if (const auto error = value.get_string().get(text)) return FailText("the text", error);
    return true;
  }
  if (!Expect(value, ondemand::json_type::number, wanted)) return false;
  text = TokenOf(value);
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
  if (twice_) return Fail("is there twice");
  // What is deeper is left out.
  if (depth_ >= kMaxCopiedDepth) {
    out->set_null_value(google::protobuf::NULL_VALUE);
    return Skip(value);
  }
  ondemand::json_type type;
  if (value.type().get(type)) return FailWanted("a value", TokenOf(value));
  switch (type) {
    case ondemand::json_type::object: {
      ondemand::object object;
      if (const auto error = value.get_object().get(object)) return FailJson(error);
      google::protobuf::Struct& fields = *out->mutable_struct_value();
      return ForEachField(object, [&](std::string_view key, Value field) {
        return ReadUnknown(key, field, fields);
      });
    }
    case ondemand::json_type::array: {
      google::protobuf::ListValue& list = *out->mutable_list_value();
      return ForEachElement(value, [&](Value element) {
        return OrLeaveOut(ReadAny(element, list.add_values()),
                          [&] { list.mutable_values()->RemoveLast(); });
      });
    }
    case ondemand::json_type::string:
      return ReadString(value, *out->mutable_string_value());
    case ondemand::json_type::number: {
      const std::string_view text = TokenOf(value);
      double number;
      if (!SplitDecimal(text) || value.get_double().get(number)) {
        return FailWanted("a number of a magnitude below 1.8e308", text);
      }
      SetNumber(text, number, *out);
      return true;
    }
    case ondemand::json_type::boolean: {
      bool flag;
      if (!ReadBool(value, flag)) return false;
      out->set_bool_value(flag);
      return true;
    }
    case ondemand::json_type::null:
      // Left where it is: the reader steps over a value that nobody took.
      if (!TokenIs(value, "null")) return FailWanted("a value", TokenOf(value));
      out->set_null_value(google::protobuf::NULL_VALUE);
      return true;
    default:
      return FailWanted("a value", TokenOf(value));
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

// Amounts that can't be read are unknown, and so are those of a currency that can't.
bool ReadPricing(Reader& in, Value value, v1::Pricing& pricing) {
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

bool ReadBillingPeriod(Reader& in, Value value, v1::Billing& billing) {
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

bool ReadBilling(Reader& in, Value value, v1::Billing& billing) {
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

bool ReadLocation(Reader& in, Value value, v1::Location& location) {
  return in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "country") return in.ReadText(field, *location.mutable_country());
    if (key == "region") return in.ReadText(field, *location.mutable_region());
    if (key == "city") return in.ReadText(field, *location.mutable_city());
    return in.Skip(field);
  });
}

bool ReadCapabilities(Reader& in, Value value, v1::Capabilities& capabilities) {
  const auto read_channels = [&](Value channels) {
    return in.OrLeaveOut(in.ReadStrings(channels, *capabilities.mutable_channels()), capabilities,
                         &v1::Capabilities::clear_channels);
  };
  // Older replies have the channels alone.
  if (in.IsType(value, ondemand::json_type::array)) return read_channels(value);
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
bool ReadForms(Reader& in, Value value, std::string& e164, std::string& formatted) {
  if (in.IsType(value, ondemand::json_type::string)) return in.ReadString(value, e164);
  return in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key == "e164") return in.ReadString(field, e164);
    if (key == "formatted") return in.ReadText(field, formatted);
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

// Without a lease_id nobody can say which lease it is. That of a number that is leased must be
// told: without, it would look like somebody else's. Of any other number its fields mean nothing.
bool SetLease(Reader& in, v1::Number& number) {
  v1::Lease& lease = *number.mutable_lease();
  lease.set_phone_number(number.phone_number());
  lease.set_status(EnumOf(kLeaseStatuses, lease.provider_status()));
  if (!lease.lease_id().empty()) return true;
  const bool is_leased = number.status() == v1::NUMBER_STATUS_LEASED;
  return in.FailMissing("lease_id") ||
         (!is_leased && in.OrLeaveOut(false, number, &v1::Number::clear_lease));
}

bool ReadNumber(Reader& in, Value value, v1::Number& number) {
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

bool ReadTermination(Reader& in, Value value, v1::Termination& termination) {
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

bool ReadFailover(Reader& in, Value value, v1::Failover& failover) {
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

bool ReadCallForwarding(Reader& in, Value value, v1::CallForwarding& forwarding) {
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

// Of an object `value`, reads the field `name` with `read_field(value)` and skips the others.
template <typename ReadField>
bool ReadNeededField(Reader& in, Value value, std::string_view name, ReadField read_field) {
  bool found = false;
  const bool ok = in.ReadObject(value, [&](std::string_view key, Value field) {
    if (key != name) return in.Skip(field);
    found = true;
    return read_field(field);
  });
  return ok && (found || in.FailMissing(name));
}

// `read_item(in, value, item)` reads one of `data.numbers` into a new item of the list, which is
// gone again when it can't.
template <typename List, typename ReadItem>
bool ReadNumbers(Reader& in, Value data, List& list, ReadItem read_item) {
  return ReadNeededField(in, data, "numbers", [&](Value numbers) {
    return in.ReadItems(numbers, [&](Value item) {
      if (read_item(in, item, *list.Add())) return true;
      list.RemoveLast();
      return false;
    });
  });
}

bool ReadObjectKind(Reader& in, Value value) {
  std::string kind;
  return in.ReadText(value, kind) &&
         (kind != "error" || in.Fail("an error with an HTTP status of success"));
}

// The envelope; `read_data(in, value, reply_value)` reads what is in it.
template <typename T, typename ReadData>
bool ReadReply(Reader& in, const simdjson::padded_string& text, Reply<T>& reply,
               ReadData read_data) {
  v1::ResponseMetadata& metadata = reply.metadata;
  bool has_data = false;
  const bool ok = in.ReadDocument(text, [&](std::string_view key, Value value) {
    if (key == "id") return in.ReadText(value, *metadata.mutable_upstream_request_id());
    if (key == "timestamp") {
      return in.OrLeaveOut(in.ReadTime(value, *metadata.mutable_upstream_time()), metadata,
                           &v1::ResponseMetadata::clear_upstream_time);
    }
    if (key == "api_version") return in.ReadText(value, *metadata.mutable_upstream_api_version());
    if (key == "object") return ReadObjectKind(in, value);
    if (key == "data") {
      has_data = true;
      return read_data(in, value, reply.value);
    }
    return in.Skip(value);
  });
  return ok && (has_data || in.FailMissing("data"));
}

// --- what is no JSON -----------------------------------------------------------------------------

// simdjson drops a byte order mark as well from version 3.2 on; so it is never given any.
simdjson::padded_string TextOf(std::string_view body) {
  Consume(kByteOrderMark, body);
  return simdjson::padded_string(body);
}

// The parser refuses a whole reply for a byte that isn't UTF-8, or a control character, in one of
// its texts. In their place this puts half of a surrogate pair, which makes only that text
// unreadable.
std::string MendTexts(const simdjson::padded_string& text) {
  const std::string_view body(text.data(), text.size());
  using Utf8 = boost::nowide::utf::utf_traits<char>;
  std::string mended;
  mended.reserve(body.size());
  bool in_text = false;
  for (auto at = body.begin(); at != body.end();) {
    const auto start = at;
    const auto c = Utf8::decode(at, body.end());
    if (c == boost::nowide::utf::illegal || c == boost::nowide::utf::incomplete) {
      at = start + 1;
      mended += in_text ? "\\ud800" : "?";
    } else if (in_text && c < 0x20) {
      mended += "\\ud800";
    } else if (in_text && c == '\\') {
      // With what it escapes, so that a quote is none; before what is no text it is dropped.
      if (at != body.end() && absl::ascii_isprint(*at)) mended.append(start, ++at);
    } else {
      in_text = in_text != (c == '"');
      mended.append(start, at);
    }
  }
  return mended;
}

// Where the element of an array that begins at `at` ends: at the comma or bracket behind it, or at
// the end of the text. Finds it also where brackets inside of it don't match.
size_t EndOfItem(std::string_view text, size_t at) {
  std::string open;  // brackets
  bool in_text = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (in_text) {
      if (c == '\\') ++at;
      in_text = c != '"';
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      open.push_back(c);
    } else if (c == '}' || c == ']') {
      const size_t match = open.rfind(c == '}' ? '{' : '[');
      if (match == std::string::npos && c == ']') return at;
      open.resize(match == std::string::npos ? 0 : match);
    } else if (c == ',' && open.empty()) {
      return at;
    }
  }
  return text.size();
}

// Why the parser loses its place in an item of a list; empty: it doesn't.
using ProblemOfItem = std::function<std::string(std::string_view text, size_t index)>;

// Puts null in the place of each item of the array whose bracket is at text[at] that would keep
// others from being read. Adds the reasons to `broken`.
std::string ReplaceBrokenItems(std::string_view text, size_t at, const ProblemOfItem& problem_of,
                               Reader::BrokenItems& broken) {
  std::string replaced(text.substr(0, at + 1));
  size_t index = 0;
  size_t end = at;
  do {
    const size_t begin = end + 1;
    end = EndOfItem(text, begin);
    const auto stripped = absl::StripAsciiWhitespace(ToAbsl(text.substr(begin, end - begin)));
    if (stripped.empty()) continue;  // nothing between two commas
    const std::string_view item(stripped.data(), stripped.size());
    if (index > 0) replaced += ',';
    std::string problem = problem_of(item, index);
    replaced.append(problem.empty() ? item : std::string_view("null"));
    if (!problem.empty()) broken.emplace(index, std::move(problem));
    ++index;
  } while (end < text.size() && text[end] == ',');
  return replaced.append(text.substr(end));
}

// A ProblemOfItem.
template <typename Item, typename ReadItem>
std::string ProblemOf(std::string_view text, size_t index, ReadItem read_item) {
  Reader in(index);
  Item item;
  if (!text.starts_with('{')) {
    in.FailWanted("an object", text);
    return in.problem();
  }
  const bool ok = in.ReadWhole(simdjson::padded_string(text),
                               [&](Value value) { return read_item(in, value, item); });
  const bool is_whole = ok || (!in.is_lost() && EndOfBrackets(text) == text.size());
  return is_whole ? "" : in.problem();
}

// `problem_of_item`: for a list.
template <typename T, typename ReadData>
absl::StatusOr<Reply<T>> DecodeReply(std::string_view body, ReadData read_data,
                                     const ProblemOfItem& problem_of_item = nullptr) {
  simdjson::padded_string text = TextOf(body);
  Reader::BrokenItems broken;
  for (bool mended = false, replaced = false;;) {
    Reply<T> reply;
    Reader in(&broken);
    if (ReadReply(in, text, reply, read_data)) {
      reply.tolerated = in.tolerated();
      return reply;
    }
    if (in.has_bad_text() && !std::exchange(mended, true)) {
      text = simdjson::padded_string(MendTexts(text));
    } else if (in.lost_in_items() != nullptr && !std::exchange(replaced, true)) {
      const auto at = static_cast<size_t>(in.lost_in_items() - text.data());
      text = simdjson::padded_string(
          ReplaceBrokenItems({text.data(), text.size()}, at, problem_of_item, broken));
    } else {
      return in.status();
    }
  }
}

template <typename List, typename ReadItem>
absl::StatusOr<Reply<List>> DecodeList(std::string_view body, ReadItem read_item) {
  return DecodeReply<List>(
      body,
      [read_item](Reader& in, Value data, List& list) {
        return ReadNumbers(in, data, list, read_item);
      },
      [read_item](std::string_view item, size_t index) {
        return ProblemOf<typename List::value_type>(item, index, read_item);
      });
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

bool ReadError(Reader& in, const simdjson::padded_string& text, RawError& error) {
  return in.ReadDocument(text, [&](std::string_view key, Value value) {
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
  return DecodeList<NumberList>(body, ReadNumber);
}

absl::StatusOr<Reply<LeaseList>> DecodeLeases(std::string_view body) {
  return DecodeList<LeaseList>(body, ReadLeasedNumber);
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
    return in.ReadObject(data, [&](std::string_view key, Value field) {
      if (key != "failover") return in.Skip(field);
      return in.OrLeaveOut(ReadFailover(in, field, failover), failover, &v1::Failover::Clear);
    });
  });
}

absl::StatusOr<Reply<v1::CallForwarding>> DecodeCallForwarding(std::string_view body) {
  return DecodeReply<v1::CallForwarding>(
      body, [](Reader& in, Value data, v1::CallForwarding& forwarding) {
        return ReadNeededField(in, data, "call_forwarding", [&](Value value) {
          return ReadCallForwarding(in, value, forwarding);
        });
      });
}

UpstreamErrorBody DecodeError(std::string_view body) {
  const simdjson::padded_string text = TextOf(body);
  Reader in;
  RawError error;
  UpstreamErrorBody result;
  if (!ReadError(in, text, error)) {
    if (!in.has_bad_text()) return result;
    Reader again;
    if (!ReadError(again, simdjson::padded_string(MendTexts(text)), error)) return result;
  }
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
