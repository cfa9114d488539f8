#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <cstring>
#include <string>
#include <vector>

#include "upstream/postgres/database.h"

namespace leasegateway::postgres {
namespace {

// One row as the server sends it; format 0 is text, 1 binary.
Rows OneRow(const std::vector<std::string>& cells, int format) {
  PGresult* const result = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  std::vector<PGresAttDesc> columns(cells.size());
  for (auto& column : columns) {
    column.name = const_cast<char*>("column");
    column.format = format;
  }
  PQsetResultAttrs(result, static_cast<int>(cells.size()), columns.data());
  for (std::size_t i = 0; i < cells.size(); ++i) {
    std::string cell = cells[i];
    PQsetvalue(result, 0, static_cast<int>(i), cell.data(), static_cast<int>(cell.size()));
  }
  return Rows(result);
}

TEST(RowsTest, IntegersAreOfEightOrFourBytes) {
  const auto rows = OneRow({std::string("\xff\xff\xff\xff\xff\xff\xff\xfe", 8),
                            std::string("\x00\x00\x01\x00", 4), std::string("\xff\xff\xff\xff", 4)},
                           1);
  EXPECT_EQ(rows.Int(0, 0), -2);
  EXPECT_EQ(rows.Int(0, 1), 256);
  EXPECT_EQ(rows.Int(0, 2), -1);
}

TEST(RowsTest, TextOfTheSimpleProtocolIsReadAsWell) {
  const auto rows = OneRow({"-17", "t", "f", "words"}, 0);
  EXPECT_EQ(rows.Int(0, 0), -17);
  EXPECT_TRUE(rows.Bool(0, 1));
  EXPECT_FALSE(rows.Bool(0, 2));
  EXPECT_EQ(rows.Bytes(0, 3), "words");
}

TEST(RowsTest, NoRowsHaveASizeOfZero) { EXPECT_EQ(Rows().size(), 0); }

TEST(RowsDeathTest, AColumnOfAnotherTypeEndsTheProgram) {
  const auto rows = OneRow({std::string("\x01\x02", 2)}, 1);
  EXPECT_DEATH(rows.Int(0, 0), "");
  EXPECT_DEATH(rows.Bool(0, 0), "");
  EXPECT_DEATH(rows.Int(0, 1), "");
  EXPECT_DEATH(rows.Bytes(1, 0), "");
  EXPECT_DEATH(rows.IsNull(0, 1), "");
}

}  // namespace
}  // namespace leasegateway::postgres
