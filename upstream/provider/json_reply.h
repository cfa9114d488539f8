#ifndef LEASE_GATEWAY_UPSTREAM_PROVIDER_JSON_REPLY_H_
#define LEASE_GATEWAY_UPSTREAM_PROVIDER_JSON_REPLY_H_

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "upstream/lease_api.h"
#include "upstream/provider/json_reader.h"
#include "upstream/provider/json_text.h"

namespace leasegateway {

// What all replies have in common: the envelope, and that one broken item doesn't take the others
// of its list with it. What is in the envelope is the business of those who call DecodeReply and
// DecodeList, with functions that read it.

// Of an object `value`, reads the field `name` with `read_field(value)` and skips the others.
template <typename ReadField>
bool ReadNeededField(JsonReader& in, JsonReader::Value value, std::string_view name,
                     ReadField read_field) {
  bool found = false;
  const bool ok = in.ReadObject(value, [&](std::string_view key, JsonReader::Value field) {
    if (key != name) return in.Skip(field);
    found = true;
    return read_field(field);
  });
  return ok && (found || in.FailMissing(name));
}

// `read_item(in, value, item)` reads one of `data.numbers` into a new item of the list, which is
// gone again when it can't.
template <typename List, typename ReadItem>
bool ReadNumbers(JsonReader& in, JsonReader::Value data, List& list, ReadItem read_item) {
  return ReadNeededField(in, data, "numbers", [&](JsonReader::Value numbers) {
    return in.ReadItems(numbers, [&](JsonReader::Value item) {
      if (read_item(in, item, *list.Add())) return true;
      list.RemoveLast();
      return false;
    });
  });
}

// The envelope's `object`.
bool ReadObjectKind(JsonReader& in, JsonReader::Value value);

// The envelope; `read_data(in, value, reply_value)` reads what is in it.
template <typename T, typename ReadData>
bool ReadReply(JsonReader& in, simdjson::padded_string_view text, Reply<T>& reply,
               ReadData read_data) {
  v1::ResponseMetadata& metadata = reply.metadata;
  bool has_data = false;
  const bool ok = in.ReadDocument(text, [&](std::string_view key, JsonReader::Value value) {
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

// Why the parser loses its place in an item of a list; empty: it doesn't.
using ProblemOfItem = std::function<std::string(std::string_view text, size_t index)>;

// Puts null in the place of each item of the array whose bracket is at text[at] that would keep
// others from being read. Adds the reasons to `broken`.
std::string ReplaceBrokenItems(std::string_view text, size_t at, const ProblemOfItem& problem_of,
                               JsonReader::BrokenItems& broken);

// A ProblemOfItem.
template <typename Item, typename ReadItem>
std::string ProblemOf(std::string_view text, size_t index, ReadItem read_item) {
  JsonReader in(index);
  Item item;
  if (!text.starts_with('{')) {
    in.FailWanted("an object", text);
    return in.problem();
  }
  const PaddedText alone(text);
  const bool ok = in.ReadWhole(TextOf(alone),
                               [&](JsonReader::Value value) { return read_item(in, value, item); });
  const bool is_whole = ok || (!in.is_lost() && EndOfBrackets(text) == text.size());
  return is_whole ? "" : in.problem();
}

// Reads `body`; once more with its texts mended, or with null for the items that would hide others,
// when these keep it from being read. `read_data` as for ReadReply; `problem_of_item`: for a list.
template <typename T, typename ReadData>
absl::StatusOr<Reply<T>> DecodeReply(const PaddedText& body, ReadData read_data,
                                     const ProblemOfItem& problem_of_item = nullptr) {
  PaddedText mended_body;
  simdjson::padded_string_view text = TextOf(body);
  const auto read_instead = [&](std::string_view better) {
    mended_body = PaddedText(better);
    text = TextOf(mended_body);
  };
  JsonReader::BrokenItems broken;
  for (bool mended = false, replaced = false;;) {
    Reply<T> reply;
    JsonReader in(&broken);
    if (ReadReply(in, text, reply, read_data)) {
      reply.tolerated = in.tolerated();
      return reply;
    }
    if (in.has_bad_text() && !std::exchange(mended, true)) {
      read_instead(MendTexts(text));
    } else if (in.lost_in_items() != nullptr && !std::exchange(replaced, true)) {
      const auto at = static_cast<size_t>(in.lost_in_items() - text.data());
      read_instead(ReplaceBrokenItems(text, at, problem_of_item, broken));
    } else {
      return in.status();
    }
  }
}

// Of a list in `data.numbers`; `read_item` as for ReadNumbers.
template <typename List, typename ReadItem>
absl::StatusOr<Reply<List>> DecodeList(const PaddedText& body, ReadItem read_item) {
  return DecodeReply<List>(
      body,
      [read_item](JsonReader& in, JsonReader::Value data, List& list) {
        return ReadNumbers(in, data, list, read_item);
      },
      [read_item](std::string_view item, size_t index) {
        return ProblemOf<typename List::value_type>(item, index, read_item);
      });
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PROVIDER_JSON_REPLY_H_
