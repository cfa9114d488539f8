#include "upstream/tolerated.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <sstream>

namespace leasegateway {
namespace {

using Kind = Tolerated::Kind;
using testing::HasSubstr;
using testing::Not;

// Catches what is logged.
class ToleratedLogTest : public testing::Test {
 protected:
  ToleratedLogTest() : before_(spdlog::default_logger()) {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_)));
  }
  ~ToleratedLogTest() override { spdlog::set_default_logger(before_); }

  // What is logged of `count` things of the kind at this second.
  std::string Note(Kind kind, int count, const std::string& what, int second) {
    Tolerated tolerated;
    for (int i = 0; i < count; ++i) tolerated.Add(kind, i == 0 ? what : "another");
    text_.str("");
    log_.Note(UpstreamOperation::kListLeases, "GET /leased", tolerated,
              ToleratedLog::TimePoint(std::chrono::seconds(1'000 + second)));
    return text_.str();
  }

  std::shared_ptr<spdlog::logger> before_;
  std::ostringstream text_;
  ToleratedLog log_;
};

TEST_F(ToleratedLogTest, NamesTheFirstAndCountsAll) {
  const std::string said = Note(Kind::kField, 3, "data.numbers[3].carrier: is there twice", 0);
  EXPECT_THAT(said,
              HasSubstr("upstream GET /leased: left out what can't be read (kind field, 3 in"));
  EXPECT_THAT(said, HasSubstr(", now data.numbers[3].carrier: is there twice"));
  EXPECT_EQ(log_.count(UpstreamOperation::kListLeases, Kind::kField), 3u);
  EXPECT_EQ(log_.count(UpstreamOperation::kListLeases, Kind::kItem), 0u);
  EXPECT_EQ(log_.count(UpstreamOperation::kGetNumber, Kind::kField), 0u);
}

TEST_F(ToleratedLogTest, NamesEachKindOnceAMinute) {
  EXPECT_THAT(Note(Kind::kField, 1, "a", 0), HasSubstr("kind field, 1 in"));
  EXPECT_EQ(Note(Kind::kField, 2, "b", 1), "");
  EXPECT_THAT(Note(Kind::kAmount, 1, "c", 1), HasSubstr("kind amount, 1 in"));
  EXPECT_EQ(Note(Kind::kField, 4, "d", 59), "");
  const std::string said = Note(Kind::kField, 1, "e", 60);
  EXPECT_THAT(said, HasSubstr("kind field, 7 in"));
  EXPECT_THAT(said, HasSubstr("now e"));
  EXPECT_THAT(said, Not(HasSubstr("amount")));
  EXPECT_EQ(log_.count(UpstreamOperation::kListLeases, Kind::kField), 8u);
}

TEST_F(ToleratedLogTest, SaysNothingOfWhatWasReadWhole) {
  EXPECT_EQ(Note(Kind::kField, 0, "", 0), "");
}

}  // namespace
}  // namespace leasegateway
