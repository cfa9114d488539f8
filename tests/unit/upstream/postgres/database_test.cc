#include "upstream/postgres/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/database_fixture.h"
#include "upstream/postgres/pooled_database.h"

namespace leasegateway::postgres {
namespace {

class DatabaseTest : public ::testing::Test {
 protected:
  PostgresServer& server_ = PostgresServer::Shared();
  const std::string name_ = server_.CreateDatabase();
  IoThreads io_;
};

TEST_F(DatabaseTest, ParametersAndRowsKeepTheirValues) {
  static constexpr Statement kEcho{
      "echo", "SELECT $1::bigint, $2::text, $3::bytea, $4::text, $1::bigint > 0"};
  PooledDatabase database(io_.executor(), OptionsFor(server_.Url(name_)));
  std::vector<Query> queries;
  queries.push_back({&kEcho,
                     {std::int64_t{-5'000'000'000}, "o'clock",
                      Parameter::Bytes(std::string("\0a", 2)), Parameter::Null()}});
  const auto rows = io_.Get(database.Run(std::move(queries), Soon()));
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 1U);
  EXPECT_EQ(rows->front().size(), 1);
  EXPECT_EQ(rows->front().Int(0, 0), -5'000'000'000);
  EXPECT_EQ(rows->front().Bytes(0, 1), "o'clock");
  EXPECT_EQ(rows->front().Bytes(0, 2), std::string_view("\0a", 2));
  EXPECT_TRUE(rows->front().IsNull(0, 3));
  EXPECT_FALSE(rows->front().Bool(0, 4));
}

}  // namespace
}  // namespace leasegateway::postgres
