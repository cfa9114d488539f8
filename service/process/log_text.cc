#include "service/process/log_text.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>

namespace leasegateway {
namespace {

// The length of the valid UTF-8 sequence at the start of `text`, 0 when there is none.
std::size_t Utf8Length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xC2 && first <= 0xDF   ? 2
                             : first >= 0xE0 && first <= 0xEF ? 3
                             : first >= 0xF0 && first <= 0xF4 ? 4
                                                              : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Overlong, surrogate, above U+10FFFF.
  if ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F) ||
      (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)) {
    return 0;
  }
  return length;
}

// What ends a line or moves a terminal's cursor: C0, DEL, C1, U+2028 and U+2029.
bool IsControl(std::string_view sequence) {
  if (sequence.size() == 1) {
    return static_cast<unsigned char>(sequence[0]) < 0x20 || sequence[0] == 0x7F;
  }
  return (sequence.size() == 2 && sequence[0] == '\xC2' &&
          static_cast<unsigned char>(sequence[1]) < 0xA0) ||
         sequence == "\xE2\x80\xA8" || sequence == "\xE2\x80\xA9";
}

void AppendHex(const char* format, char c, std::string& out) {
  char buffer[8];
  std::snprintf(buffer, sizeof(buffer), format, static_cast<unsigned char>(c));
  out += buffer;
}

void AppendBytesEscaped(std::string_view bytes, std::string& out) {
  for (const char c : bytes) AppendHex("\\x%02x", c, out);
}

}  // namespace

void AppendText(std::string_view text, bool quotes, std::string& out) {
  while (!text.empty()) {
    const std::size_t length = Utf8Length(text);
    const std::string_view sequence = text.substr(0, std::max<std::size_t>(length, 1));
    if (sequence == "\n") {
      out += "\\n";
    } else if (length == 0 || IsControl(sequence)) {
      AppendBytesEscaped(sequence, out);
    } else {
      if (quotes && (sequence == "\"" || sequence == "\\")) out += '\\';
      out += sequence;
    }
    text.remove_prefix(sequence.size());
  }
}

void AppendJsonString(std::string_view text, std::string& out) {
  out += '"';
  while (!text.empty()) {
    const std::size_t length = Utf8Length(text);
    const std::string_view sequence = text.substr(0, std::max<std::size_t>(length, 1));
    if (length == 0) {
      out += "\\ufffd";
    } else if (sequence == "\n") {
      out += "\\n";
    } else if (sequence == "\"" || sequence == "\\") {
      out += '\\';
      out += sequence;
    } else if (sequence.size() == 3 && IsControl(sequence)) {
      out += sequence[2] == '\xA8' ? "\\u2028" : "\\u2029";
    } else if (IsControl(sequence)) {  // of two bytes: C1, whose second is the code point
      AppendHex("\\u%04x", sequence.back(), out);
    } else {
      out += sequence;
    }
    text.remove_prefix(sequence.size());
  }
  out += '"';
}

}  // namespace leasegateway
