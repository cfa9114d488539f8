#ifndef LEASE_GATEWAY_UPSTREAM_PROVIDER_JSON_READER_H_
#define LEASE_GATEWAY_UPSTREAM_PROVIDER_JSON_READER_H_

#include <simdjson.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/type/money.pb.h"
#include "upstream/provider/json_text.h"
#include "upstream/tolerated.h"
#include "upstream/transport/padded_text.h"

namespace leasegateway {

// A body as the parser wants it, without a byte order mark; a part of it, not a copy.
simdjson::padded_string_view TextOf(const PaddedText& body);

// Reads one reply, front to back, by the rule of json_codec.h. Each function that reads returns
// false after the first thing that can not be read, which status() then tells; its caller returns
// at once, or leaves the thing out with OrLeaveOut and goes on. A reader reads one text and no
// thread reads two at a time; the text outlives it.
class JsonReader {
 public:
  using Value = simdjson::ondemand::value;
  using Type = simdjson::ondemand::json_type;
  using Kind = Tolerated::Kind;

  // `broken`: what is wrong with items that stand in the text as null, because they would have kept
  // the others from being read, by their index. It outlives the reader.
  using BrokenItems = std::map<size_t, std::string>;
  explicit JsonReader(const BrokenItems* broken = nullptr) : broken_(broken) {}
  // Of the item `index` of a list alone.
  explicit JsonReader(size_t index)
      : path_{
            {.key = "data"}, {.key = "numbers"}, {.key = {}, .index = index, .is_element = true}} {}

  // Of a reply that could not be read.
  absl::Status status() const;
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
  bool ReadDocument(simdjson::padded_string_view text, OnField on_field) {
    return Parse(text, [&](simdjson::ondemand::document& document) {
      simdjson::ondemand::object object;
      if (const auto error = document.get_object().get(object)) return FailJson(error);
      return ForEachField(object, SkippingNulls(on_field));
    });
  }
  // Calls `on_value(value)` for the one object that the text is.
  template <typename OnValue>
  bool ReadWhole(simdjson::padded_string_view text, OnValue on_value) {
    return Parse(text, [&](simdjson::ondemand::document& document) {
      Value value;
      if (const auto error = document.get_value().get(value)) return FailJson(error);
      return on_value(value);
    });
  }

  // As ReadDocument. A field that is null counts as absent.
  template <typename OnField>
  bool ReadObject(Value value, OnField on_field) {
    simdjson::ondemand::object object;
    if (!Expect(value, Type::object, "an object")) return false;
    if (const auto error = value.get_object().get(object)) return FailJson(error);
    return ForEachField(object, SkippingNulls(on_field));
  }

  // Calls `on_item(value)` for each element of an array, null or not. One for which it returns
  // false is left out and counted, unless none can be read: that is another format, not an empty
  // list.
  template <typename OnItem>
  bool ReadItems(Value value, OnItem on_item) {
    if (!Expect(value, Type::array, "an array")) return false;
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
    return FailAllItems(count);
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
    if (!twice_ && !IsType(value, Type::string)) return Skip(value);
    return ReadText(value, out);
  }
  bool IsType(Value value, Type type) {
    Type actual;
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
  bool FailWanted(std::string_view wanted, std::string_view token);

 private:
  // The text of a scalar as it stands in the reply, or the first character of anything else.
  static std::string_view TokenOf(Value value) {
    const std::string_view token = value.raw_json_token();
    return token.substr(0, token.find_last_not_of(" \t\r\n") + 1);
  }

  struct PathStep {
    std::string_view key;
    size_t index = 0;  // of an element of an array, which has no key
    bool is_element = false;
  };

  // Keeps its buffers from reply to reply. No reply is read while another one is.
  static simdjson::ondemand::parser& ParserOfThread() {
    thread_local simdjson::ondemand::parser parser;
    return parser;
  }

  template <typename ReadIt>
  bool Parse(simdjson::padded_string_view text, ReadIt read_it) {
    if (!CanBegin(text)) return false;
    end_ = text.data() + text.size();
    simdjson::ondemand::document document;
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

  // Whether there is something that the parser may be given.
  bool CanBegin(std::string_view text);

  template <typename OnField>
  auto SkippingNulls(OnField& on_field) {
    return [this, &on_field](std::string_view key, Value value) {
      return IsType(value, Type::null) && TokenOf(value) == "null" ? true : on_field(key, value);
    };
  }

  template <typename OnField>
  bool ForEachField(simdjson::ondemand::object& object, OnField on_field) {
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
      simdjson::ondemand::field field;
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
    simdjson::ondemand::array array;
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
  bool Expect(Value value, Type type, std::string_view wanted);
  bool ReadNumberText(Value value, std::string_view wanted, std::string_view& text);
  // The parser has lost its place.
  bool FailJson(simdjson::error_code error);
  bool FailText(std::string_view what, simdjson::error_code error);
  // That none of `count` items can be read.
  bool FailAllItems(size_t count);
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

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PROVIDER_JSON_READER_H_
