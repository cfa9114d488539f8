#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_TABLE_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_TABLE_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace leasegateway {

// The text with control characters, bidirectional overrides and broken UTF-8 written as escapes,
// so that nothing that came over the wire can drive the terminal. Always valid UTF-8, one line.
std::string Harmless(std::string_view text);

// How many columns a terminal needs for UTF-8 text without control characters.
int DisplayWidth(std::string_view text);

enum class Color { kNone, kBold, kRed, kGreen, kYellow, kCyan };

// The text in a colour, if asked for.
std::string Painted(const std::string& text, Color color, bool colored);

struct Cell {
  Cell(std::string cell_text, Color cell_color = Color::kNone)  // NOLINT: implicit on purpose
      : text(std::move(cell_text)), color(cell_color) {}
  Cell(const char* cell_text, Color cell_color = Color::kNone)
      : text(cell_text), color(cell_color) {}  // NOLINT: implicit on purpose

  std::string text;
  Color color = Color::kNone;
};

// Aligned columns, two spaces apart. Cells are made harmless; empty ones become "-".
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  // Without titles there is no header line.
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void Add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  std::string Format(bool colored) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_TABLE_H_
