#include "upstream/sandbox/text.h"

#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cmath>
#include <utility>

namespace leasegateway::sandbox {
namespace {

namespace json = boost::json;

void Write(const json::value& value, std::string* out) {
  if (value.is_object()) {
    *out += '{';
    bool first = true;
    for (const auto& member : value.get_object()) {
      if (!first) *out += ',';
      first = false;
      *out += json::serialize(json::string_view(member.key()));
      *out += ':';
      Write(member.value(), out);
    }
    *out += '}';
  } else if (value.is_array()) {
    *out += '[';
    bool first = true;
    for (const json::value& element : value.get_array()) {
      if (!first) *out += ',';
      first = false;
      Write(element, out);
    }
    *out += ']';
  } else if (value.is_double() && std::isfinite(value.get_double()) &&
             std::abs(value.get_double()) < 1e15) {
    std::array<char, 512> text;  // the smallest double needs some 340 places
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value.get_double(),
                                   std::chars_format::fixed);
    out->append(text.data(), end.ptr);
  } else {
    *out += json::serialize(value);
  }
}

}  // namespace

std::string_view Strip(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string WriteJson(const json::value& value) {
  std::string text;
  Write(value, &text);
  return text;
}

std::string Quote(std::string_view text) {
  return json::serialize(json::string_view(text.data(), text.size()));
}

std::optional<json::object> ParseObject(std::string_view body) {
  boost::system::error_code error;
  json::value value = json::parse(json::string_view(body.data(), body.size()), error);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.get_object());
}

void MergePatch(const json::value& patch, bool keep_null, json::value* target) {
  if (!patch.is_object()) {
    *target = patch;
    return;
  }
  if (!target->is_object()) target->emplace_object();
  json::object& object = target->get_object();
  for (const auto& member : patch.get_object()) {
    if (member.value().is_null() && !keep_null) {
      object.erase(member.key());
    } else {
      MergePatch(member.value(), keep_null, &object[member.key()]);
    }
  }
}

absl::Status BadField(std::string_view field, const json::value& value, std::string_view rule) {
  std::string text = WriteJson(value);
  if (text.size() > 100) text = Cat(text.substr(0, 100), "…");
  return absl::InvalidArgumentError(Cat(field, ": ", text, " ", rule));
}

}  // namespace leasegateway::sandbox
