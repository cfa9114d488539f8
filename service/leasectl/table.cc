#include "service/leasectl/table.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iterator>

namespace leasegateway {
namespace {

struct Rune {
  char32_t value = 0;
  std::size_t bytes = 1;
  bool valid = false;
};

// The first code point. Overlong forms, surrogates and the like are not valid.
Rune Decode(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  std::size_t length = 0;
  char32_t value = 0;
  char32_t smallest = 0;
  if ((lead & 0xe0) == 0xc0) {
    length = 2, value = lead & 0x1f, smallest = 0x80;
  } else if ((lead & 0xf0) == 0xe0) {
    length = 3, value = lead & 0x0f, smallest = 0x800;
  } else if ((lead & 0xf8) == 0xf0) {
    length = 4, value = lead & 0x07, smallest = 0x10000;
  }
  if (length == 0 || text.size() < length) return {};
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3f);
  }
  if (value < smallest || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return {};
  return {value, length, true};
}

struct Range {
  char32_t first;
  char32_t last;
};

template <std::size_t N>
bool IsIn(const Range (&ranges)[N], char32_t value) {
  return std::any_of(std::begin(ranges), std::end(ranges), [value](const Range& range) {
    return range.first <= value && value <= range.last;
  });
}

// Controls (C0, DEL, C1), and what is invisible or turns the direction of writing.
constexpr Range kHarmful[] = {{0x00, 0x1f},     {0x7f, 0x9f},      {0xad, 0xad},
                              {0x61c, 0x61c},   {0x180e, 0x180e},  {0x200b, 0x200f},
                              {0x2028, 0x202e}, {0x2060, 0x206f},  {0xfeff, 0xfeff},
                              {0xfff9, 0xfffb}, {0xe0000, 0xe007f}};
constexpr Range kZeroWidth[] = {{0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},
                                {0x64b, 0x65f},   {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},
                                {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};
constexpr Range kDoubleWidth[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0x4dbf},
                                  {0x4e00, 0xa4cf},   {0xa960, 0xa97f},   {0xac00, 0xd7a3},
                                  {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},
                                  {0xffe0, 0xffe6},   {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
                                  {0x1f900, 0x1f9ff}, {0x1fa70, 0x1faff}, {0x20000, 0x3fffd}};

std::string Escape(const char* format, unsigned value) {
  char buffer[16];
  std::snprintf(buffer, sizeof(buffer), format, value);
  return buffer;
}

const char* Sequence(Color color) {
  switch (color) {
    case Color::kNone:
      return "";
    case Color::kBold:
      return "\x1b[1m";
    case Color::kRed:
      return "\x1b[31m";
    case Color::kGreen:
      return "\x1b[32m";
    case Color::kYellow:
      return "\x1b[33m";
    case Color::kCyan:
      return "\x1b[36m";
  }
  return "";
}

}  // namespace

std::string Harmless(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const Rune rune = Decode(text);
    if (!rune.valid) {
      result += Escape("\\x%02x", static_cast<unsigned char>(text[0]));
    } else if (rune.value == '\n') {
      result += "\\n";
    } else if (rune.value == '\t') {
      result += "\\t";
    } else if (IsIn(kHarmful, rune.value)) {
      result +=
          Escape(rune.value < 0x80 ? "\\x%02x" : "\\u%04x", static_cast<unsigned>(rune.value));
    } else {
      result += text.substr(0, rune.bytes);
    }
    text.remove_prefix(rune.bytes);
  }
  return result;
}

int DisplayWidth(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const Rune rune = Decode(text);
    if (IsIn(kDoubleWidth, rune.value)) {
      width += 2;
    } else if (!IsIn(kZeroWidth, rune.value)) {
      width += 1;
    }
    text.remove_prefix(rune.bytes);
  }
  return width;
}

std::string Painted(const std::string& text, Color color, bool colored) {
  if (!colored || color == Color::kNone) return text;
  return std::string(Sequence(color)) + text + "\x1b[0m";
}

std::string Table::Format(bool colored) const {
  std::vector<std::vector<Cell>> lines;
  const bool titled = std::any_of(columns_.begin(), columns_.end(),
                                  [](const Column& column) { return !column.title.empty(); });
  if (titled) {
    std::vector<Cell>& header = lines.emplace_back();
    for (const Column& column : columns_) header.emplace_back(column.title, Color::kBold);
  }
  lines.insert(lines.end(), rows_.begin(), rows_.end());

  std::vector<int> widths(columns_.size());
  for (std::vector<Cell>& line : lines) {
    for (std::size_t i = 0; i < line.size() && i < widths.size(); ++i) {
      line[i].text = line[i].text.empty() ? "-" : Harmless(line[i].text);
      widths[i] = std::max(widths[i], DisplayWidth(line[i].text));
    }
  }

  std::string result;
  for (const std::vector<Cell>& line : lines) {
    for (std::size_t i = 0; i < line.size() && i < widths.size(); ++i) {
      const Cell& cell = line[i];
      const std::string padding(static_cast<std::size_t>(widths[i] - DisplayWidth(cell.text)), ' ');
      const bool right = columns_[i].align == Align::kRight;
      if (i > 0) result += "  ";
      if (right) result += padding;
      result += Painted(cell.text, cell.color, colored);
      // No spaces at the end of a line.
      if (!right && i + 1 < line.size()) result += padding;
    }
    result += '\n';
  }
  return result;
}

}  // namespace leasegateway
