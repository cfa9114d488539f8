#include "upstream/postgres/database.h"

#include <libpq-fe.h>
#include <spdlog/spdlog.h>

#include <boost/endian/conversion.hpp>
#include <cstdlib>

#include "absl/strings/numbers.h"

namespace leasegateway::postgres {
namespace {

const PGresult* ResultOf(const void* result) { return static_cast<const PGresult*>(result); }

// A statement and the code that reads its rows don't fit: no state of the data helps.
[[noreturn]] void WrongColumn(const PGresult* result, int row, int column, std::string_view type) {
  const char* const name = PQfname(result, column);
  spdlog::critical("row {}, column {} ({}) of a statement is no {}", row, column,
                   name == nullptr ? "not there" : name, type);
  std::abort();
}

std::string_view Cell(const PGresult* result, int row, int column, std::string_view type) {
  if (row < 0 || row >= PQntuples(result) || column < 0 || column >= PQnfields(result) ||
      PQgetisnull(result, row, column) != 0) {
    WrongColumn(result, row, column, type);
  }
  return {PQgetvalue(result, row, column),
          static_cast<std::size_t>(PQgetlength(result, row, column))};
}

const unsigned char* AsBytes(std::string_view cell) {
  return reinterpret_cast<const unsigned char*>(cell.data());
}

bool IsText(const PGresult* result, int column) { return PQfformat(result, column) == 0; }

}  // namespace

Parameter::Parameter(std::int64_t value) : value_(std::to_string(value)) {}

Parameter::Parameter(std::string_view text) : value_(text) {}

Parameter Parameter::Bytes(std::string_view bytes) {
  Parameter parameter;
  parameter.value_ = std::string(bytes);
  parameter.is_binary_ = true;
  return parameter;
}

Parameter Parameter::Null() { return Parameter(); }

void Rows::Deleter::operator()(void* result) const { PQclear(static_cast<PGresult*>(result)); }

Rows::Rows(void* result) : result_(result) {}

int Rows::size() const { return result_ ? PQntuples(ResultOf(result_.get())) : 0; }

bool Rows::IsNull(int row, int column) const {
  const auto* const result = ResultOf(result_.get());
  if (row < 0 || row >= size() || column < 0 || column >= PQnfields(result)) {
    WrongColumn(result, row, column, "column");
  }
  return PQgetisnull(result, row, column) != 0;
}

std::int64_t Rows::Int(int row, int column) const {
  const auto* const result = ResultOf(result_.get());
  const auto cell = Cell(result, row, column, "integer");
  if (std::int64_t value = 0; IsText(result, column)) {
    if (absl::SimpleAtoi(std::string(cell), &value)) return value;
  } else if (cell.size() == 8) {
    return boost::endian::load_big_s64(AsBytes(cell));
  } else if (cell.size() == 4) {
    return boost::endian::load_big_s32(AsBytes(cell));
  }
  WrongColumn(result, row, column, "integer");
}

bool Rows::Bool(int row, int column) const {
  const auto* const result = ResultOf(result_.get());
  const auto cell = Cell(result, row, column, "boolean");
  if (cell.size() != 1) WrongColumn(result, row, column, "boolean");
  return IsText(result, column) ? cell[0] == 't' : cell[0] != 0;
}

std::string_view Rows::Bytes(int row, int column) const {
  return Cell(ResultOf(result_.get()), row, column, "text or bytea");
}

}  // namespace leasegateway::postgres
