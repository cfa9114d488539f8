#include "upstream/provider/json_text.h"

#include <boost/nowide/utf/utf.hpp>

#include "absl/strings/ascii.h"

namespace leasegateway {
namespace {

// Where the first character from `at` on is that stands outside of texts and for which `stops(c)`;
// the size when there is none.
template <typename Stops>
size_t FindOutsideTexts(std::string_view text, size_t at, Stops stops) {
  bool in_text = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (in_text) {
      if (c == '\\') ++at;
      in_text = c != '"';
    } else if (c == '"') {
      in_text = true;
    } else if (stops(c)) {
      return at;
    }
  }
  return text.size();
}

}  // namespace

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

size_t EndOfBrackets(std::string_view text) {
  std::string open;  // what closes them
  bool match = true;
  const size_t end = FindOutsideTexts(text, 0, [&](char c) {
    if (c == '{' || c == '[') open.push_back(c == '{' ? '}' : ']');
    if (c != '}' && c != ']') return false;
    match = open.back() == c;
    open.pop_back();
    return !match || open.empty();
  });
  return match && end < text.size() ? end + 1 : std::string_view::npos;
}

size_t EndOfItem(std::string_view text, size_t at) {
  std::string open;
  return FindOutsideTexts(text, at, [&](char c) {
    if (c == '{' || c == '[') open.push_back(c);
    if (c == '}' || c == ']') {
      const size_t match = open.rfind(c == '}' ? '{' : '[');
      if (match == std::string::npos && c == ']') return true;
      open.resize(match == std::string::npos ? 0 : match);
    }
    return c == ',' && open.empty();
  });
}

std::string MendTexts(std::string_view text) {
  using Utf8 = boost::nowide::utf::utf_traits<char>;
  std::string mended;
  mended.reserve(text.size());
  bool in_text = false;
  for (auto at = text.begin(); at != text.end();) {
    const auto start = at;
    const auto c = Utf8::decode(at, text.end());
    if (c == boost::nowide::utf::illegal || c == boost::nowide::utf::incomplete) {
      at = start + 1;
      mended += in_text ? "\\ud800" : "?";
    } else if (in_text && c < 0x20) {
      mended += "\\ud800";
    } else if (in_text && c == '\\') {
      // With what it escapes, so that a quote is none; before what is no text it is dropped.
      if (at != text.end() && absl::ascii_isprint(*at)) mended.append(start, ++at);
    } else {
      in_text = in_text != (c == '"');
      mended.append(start, at);
    }
  }
  return mended;
}

}  // namespace leasegateway
