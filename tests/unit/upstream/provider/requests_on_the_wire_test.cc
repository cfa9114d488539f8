// What the provider, and whoever is in between, is asked with.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "tests/support/wire_fixture.h"

namespace leasegateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class RequestsOnTheWireTest : public WireFixture {
 protected:
  // To one connection, which stays open.
  void Answer(std::vector<std::string> answers) {
    WireConnection connection;
    connection.answers = std::move(answers);
    Start({std::move(connection)});
  }
};

// Or a cache on the road would show what was true before a write, as a look past memory.
TEST_F(RequestsOnTheWireTest, ReadsAskPastEveryCache) {
  const std::string page = HttpAnswer("403 Forbidden", "", "<html>");
  Answer({page, page, page, page});
  EXPECT_FALSE(Ask(operation::GetNumber{"+13059478667"}).ok());
  EXPECT_FALSE(Ask(operation::ListLeases()).ok());
  EXPECT_FALSE(Ask(operation::TerminateLease{"+13059478667"}).ok());
  EXPECT_FALSE(Ask(operation::DisableCallForwarding{"+13059478667"}).ok());
  const auto requests = server_->requests();
  ASSERT_EQ(requests.size(), 4u);
  for (const int read : {0, 1}) {
    EXPECT_THAT(requests[static_cast<std::size_t>(read)], HasSubstr("Cache-Control: no-cache\r\n"));
  }
  for (const int write : {2, 3}) {
    EXPECT_THAT(requests[static_cast<std::size_t>(write)], Not(HasSubstr("Cache-Control")));
  }
}

TEST_F(RequestsOnTheWireTest, CallWhoseTimeIsOverGivesItsConnectionBack) {
  const std::string page = HttpAnswer("403 Forbidden", "", "<html>");
  Answer({page, page});
  EXPECT_FALSE(Ask(operation::ListLeases()).ok());
  EXPECT_EQ(ReasonOf(Ask(operation::ListLeases(), 0).status()), reason::kDeadline);
  EXPECT_EQ(api_->pool_counts().idle, 1);
  EXPECT_FALSE(Ask(operation::ListLeases()).ok());
  EXPECT_EQ(server_->connections(), 1);
  EXPECT_EQ(server_->requests().size(), 2u);
}

}  // namespace
}  // namespace leasegateway
