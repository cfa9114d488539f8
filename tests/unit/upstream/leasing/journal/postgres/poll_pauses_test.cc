#include "upstream/leasing/journal/postgres/poll_pauses.h"

#include <gtest/gtest.h>

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(PollPausesTest, GrowWhileTheSameIsAskedForAndAreForgotten) {
  PollPauses pauses;
  PollPauses::TimePoint now{};
  for (const int expected : {50, 100, 200, 400, 800, 1'000, 1'000}) {
    EXPECT_EQ(pauses.Next("a", now), milliseconds(expected));
    now += milliseconds(expected);
  }
  EXPECT_EQ(pauses.Next("b", now), milliseconds(50));
  EXPECT_EQ(pauses.Next("a", now + seconds(6)), milliseconds(50));
}

}  // namespace
}  // namespace leasegateway
