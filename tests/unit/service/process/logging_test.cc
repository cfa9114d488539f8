#include "service/process/logging.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace leasegateway {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;

class LoggingTest : public ::testing::Test {
 protected:
  ~LoggingTest() override { ShutdownLogging(); }

  // What was logged since InitLoggingTo(out_, ...), without the ends of the lines.
  std::vector<std::string> Lines() {
    ShutdownLogging();
    std::vector<std::string> lines;
    std::istringstream in(out_.str());
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }

  std::string Line() {
    const std::vector<std::string> lines = Lines();
    EXPECT_THAT(lines, SizeIs(1));
    return lines.empty() ? "" : lines[0];
  }

  // The line as JSON; null when it is not an object.
  boost::json::object Json() {
    boost::system::error_code error;
    const boost::json::value value = boost::json::parse(Line(), error);
    EXPECT_FALSE(error) << out_.str();
    return value.is_object() ? value.as_object() : boost::json::object();
  }

  std::ostringstream out_;
};

AccessRecord Record() {
  return {.method = "/leasegateway.v1.LeaseService/LeaseNumber",
          .code = "NOT_FOUND",
          .reason = "NUMBER_NOT_FOUND",
          .duration = std::chrono::microseconds(12'034),
          .upstream_attempts = 2,
          .call_id = "call-1",
          .request_id = "request-1",
          .upstream_request_id = "upstream-1",
          .peer = "ipv4:127.0.0.1:1234"};
}

constexpr char kTime[] = "20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-9:]*\\.[0-9][0-9][0-9]Z";

TEST_F(LoggingTest, TextLine) {
  InitLoggingTo(out_, "info", "text");
  spdlog::info("hello {}", 1);
  EXPECT_THAT(Line(), MatchesRegex(std::string(kTime) + " info  hello 1"));
}

TEST_F(LoggingTest, TextLevelsAreAligned) {
  InitLoggingTo(out_, "trace", "text");
  spdlog::trace("m");
  spdlog::debug("m");
  spdlog::info("m");
  spdlog::warn("m");
  spdlog::error("m");
  spdlog::critical("m");
  const std::vector<std::string> lines = Lines();
  ASSERT_THAT(lines, SizeIs(6));
  const char* const kLevels[] = {"trace", "debug", "info ", "warn ", "error", "error"};
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].substr(24), " " + std::string(kLevels[i]) + " m");
  }
}

TEST_F(LoggingTest, JsonLine) {
  InitLoggingTo(out_, "info", "json");
  spdlog::warn("hello \"{}\"", "a\\b");
  const std::string line = Line();
  EXPECT_THAT(line, MatchesRegex("\\{\"time\":\"" + std::string(kTime) +
                                 "\",\"level\":\"warn\",\"message\":\"hello .*\"\\}"));
  EXPECT_EQ(boost::json::parse(line).at("message").as_string(), "hello \"a\\b\"");
}

TEST_F(LoggingTest, TextMessageStaysOnItsLine) {
  InitLoggingTo(out_, "info", "text");
  spdlog::info("a\nb\r\x1b[2J\x7f\xc2\x9b\xe2\x80\xa8 \xff \xc3\xa9");
  EXPECT_THAT(Line(), EndsWith("info  a\\nb\\x0d\\x1b[2J\\x7f\\xc2\\x9b\\xe2\\x80\\xa8 \\xff "
                               "\xc3\xa9"));
}

TEST_F(LoggingTest, JsonEscapesEveryControlCharacter) {
  InitLoggingTo(out_, "info", "json");
  std::string message;
  for (int c = 0; c < 0x80; ++c) message += static_cast<char>(c);
  message += "\xc2\x85\xe2\x80\xa8\xe2\x80\xa9\xc3\xa9\xf0\x9f\x98\x80";
  spdlog::info(spdlog::string_view_t(message.data(), message.size()));
  EXPECT_EQ(Json().at("message").as_string(), message);
  const std::string raw = out_.str();
  EXPECT_TRUE(std::all_of(raw.begin(), raw.end() - 1, [](unsigned char c) { return c >= 0x20; }));
}

TEST_F(LoggingTest, JsonReplacesInvalidUtf8) {
  InitLoggingTo(out_, "info", "json");
  // A lone byte, a cut sequence, an overlong one, a surrogate, one above U+10FFFF.
  spdlog::info("\xff|\xe2\x82|\xc0\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|\xe2\x82");
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(Json().at("message").as_string(), bad + "|" + bad + bad + "|" + bad + bad + "|" + bad +
                                                  bad + bad + "|" + bad + bad + bad + bad + "|" +
                                                  bad + bad);
}

TEST_F(LoggingTest, LevelsBelowTheConfiguredAreDropped) {
  InitLoggingTo(out_, "warn", "text");
  spdlog::info("no");
  LogAccess(Record());
  spdlog::warn("yes");
  EXPECT_THAT(Line(), EndsWith("yes"));
}

TEST_F(LoggingTest, OffLogsNothing) {
  InitLoggingTo(out_, "off", "text");
  spdlog::critical("no");
  LogAccess(Record());
  EXPECT_THAT(Lines(), IsEmpty());
}

TEST_F(LoggingTest, AccessAsText) {
  InitLoggingTo(out_, "info", "text");
  LogAccess(Record());
  EXPECT_THAT(Line(), EndsWith("Z info  access method=/leasegateway.v1.LeaseService/LeaseNumber "
                               "code=NOT_FOUND reason=NUMBER_NOT_FOUND duration_ms=12.034 "
                               "upstream_attempts=2 call_id=call-1 request_id=request-1 "
                               "upstream_request_id=upstream-1 peer=ipv4:127.0.0.1:1234"));
}

TEST_F(LoggingTest, AccessAsJson) {
  InitLoggingTo(out_, "info", "json");
  LogAccess(Record());
  const boost::json::object json = Json();
  EXPECT_EQ(json.at("level").as_string(), "info");
  EXPECT_EQ(json.at("type").as_string(), "access");
  EXPECT_EQ(json.at("message").as_string(), "call finished");
  EXPECT_EQ(json.at("method").as_string(), "/leasegateway.v1.LeaseService/LeaseNumber");
  EXPECT_EQ(json.at("code").as_string(), "NOT_FOUND");
  EXPECT_EQ(json.at("reason").as_string(), "NUMBER_NOT_FOUND");
  EXPECT_DOUBLE_EQ(json.at("duration_ms").as_double(), 12.034);
  EXPECT_EQ(json.at("upstream_attempts").as_int64(), 2);
  EXPECT_EQ(json.at("call_id").as_string(), "call-1");
  EXPECT_EQ(json.at("request_id").as_string(), "request-1");
  EXPECT_EQ(json.at("upstream_request_id").as_string(), "upstream-1");
  EXPECT_EQ(json.at("peer").as_string(), "ipv4:127.0.0.1:1234");
  EXPECT_TRUE(json.contains("time"));
}

TEST_F(LoggingTest, EmptyFieldsAreLeftOut) {
  InitLoggingTo(out_, "info", "text");
  LogAccess({.method = "/m", .code = "OK"});
  EXPECT_THAT(Line(), EndsWith("access method=/m code=OK duration_ms=0.000 upstream_attempts=0"));
}

TEST_F(LoggingTest, AttemptsOfTheClientBeforeThisOne) {
  InitLoggingTo(out_, "info", "text");
  LogAccess({.method = "/m", .code = "OK", .previous_attempts = 3, .call_id = "call-1"});
  EXPECT_THAT(Line(), EndsWith("upstream_attempts=0 previous_attempts=3 call_id=call-1"));
}

TEST_F(LoggingTest, AttemptsOfTheClientAreANumberInJson) {
  InitLoggingTo(out_, "info", "json");
  LogAccess({.method = "/m", .code = "OK", .previous_attempts = 3});
  EXPECT_EQ(Json().at("previous_attempts").as_int64(), 3);
}

TEST_F(LoggingTest, CallersCannotInjectLinesOrFieldsInText) {
  InitLoggingTo(out_, "info", "text");
  LogAccess({.method = "/m",
             .code = "OK",
             .request_id = "a\n2026-01-01T00:00:00.000Z info  access code=OK",
             .upstream_request_id = "x\" code=\"OK\\",
             .peer = "{} a=b"});
  EXPECT_THAT(Line(), EndsWith("request_id=\"a\\n2026-01-01T00:00:00.000Z info  access code=OK\" "
                               "upstream_request_id=\"x\\\" code=\\\"OK\\\\\" peer=\"{} a=b\""));
}

TEST_F(LoggingTest, CallersCannotInjectLinesOrFieldsInJson) {
  InitLoggingTo(out_, "info", "json");
  LogAccess({.method = "/m", .code = "OK", .request_id = "a\n\",\"code\":\"X\xff", .peer = "{}"});
  const boost::json::object json = Json();
  EXPECT_EQ(json.at("request_id").as_string(), "a\n\",\"code\":\"X\xef\xbf\xbd");
  EXPECT_EQ(json.at("code").as_string(), "OK");
  EXPECT_EQ(json.at("peer").as_string(), "{}");
}

TEST_F(LoggingTest, LongValuesAreCutBetweenCharacters) {
  InitLoggingTo(out_, "info", "json");
  LogAccess({.method = "/m", .code = "OK", .request_id = std::string(255, 'x') + "\xc3\xa9yyy"});
  EXPECT_EQ(Json().at("request_id").as_string(), std::string(255, 'x') + "...");
}

TEST_F(LoggingTest, AuditAsText) {
  InitLoggingTo(out_, "info", "text");
  LogAudit("limit_changed", {{"caller", "orders"}, {"limit", "a b"}, {"nothing", ""}});
  EXPECT_THAT(Line(), MatchesRegex(std::string(kTime) +
                                   " audit limit_changed caller=orders limit=\"a b\""));
}

TEST_F(LoggingTest, AuditAsJson) {
  InitLoggingTo(out_, "info", "json");
  LogAudit("limit_changed", {{"caller", "orders"}, {"limit", "a \"b\""}, {"nothing", ""}});
  EXPECT_THAT(Line(),
              MatchesRegex("\\{\"time\":\"" + std::string(kTime) +
                           "\",\"type\":\"audit\",\"audit\":true,\"event\":\"limit_changed\","
                           "\"caller\":\"orders\",\"limit\":\"a ..b..\"\\}"));
  EXPECT_EQ(boost::json::parse(Line()).at("limit").as_string(), "a \"b\"");
}

TEST_F(LoggingTest, AuditIsWrittenWhateverTheLevel) {
  InitLoggingTo(out_, "off", "text");
  LogAudit("one", {});
  MoreVerbose();
  LessVerbose();
  LogAudit("two", {});
  EXPECT_THAT(Lines(), ::testing::ElementsAre(EndsWith(" audit one"), HasSubstr("is now error"),
                                              HasSubstr("is now off"), EndsWith(" audit two")));
}

TEST_F(LoggingTest, CallersCannotInjectLinesOrFieldsInTheAudit) {
  InitLoggingTo(out_, "info", "text");
  LogAudit("refused", {{"caller", "a\n2026-01-01T00:00:00.000Z audit refused caller=b {}"}});
  EXPECT_THAT(Line(),
              EndsWith("Z audit refused "
                       "caller=\"a\\n2026-01-01T00:00:00.000Z audit refused caller=b {}\""));
}

TEST_F(LoggingTest, LongValuesOfTheAuditAreCutLater) {
  InitLoggingTo(out_, "info", "json");
  LogAudit("a", {{"fits", std::string(1024, 'x')}, {"long", std::string(1025, 'x')}});
  const boost::json::object json = Json();
  EXPECT_EQ(json.at("fits").as_string(), std::string(1024, 'x'));
  EXPECT_EQ(json.at("long").as_string(), std::string(1024, 'x') + "...");
}

TEST_F(LoggingTest, LevelsAreSteppedAndLogged) {
  InitLoggingTo(out_, "info", "text");
  MoreVerbose();
  spdlog::debug("seen 1");
  MoreVerbose();
  MoreVerbose();  // nothing is beyond trace
  spdlog::trace("seen 2");
  for (int i = 0; i < 3; ++i) LessVerbose();
  spdlog::info("unseen");
  LogAccess(Record());
  spdlog::warn("seen 3");
  for (int i = 0; i < 3; ++i) LessVerbose();
  spdlog::critical("unseen");
  MoreVerbose();
  spdlog::error("seen 4");
  std::vector<std::string> messages;
  for (const std::string& line : Lines()) messages.push_back(line.substr(25));
  EXPECT_THAT(messages,
              ::testing::ElementsAre(
                  "info  log level is now debug", "debug seen 1", "info  log level is now trace",
                  "info  log level is now trace", "trace seen 2", "info  log level is now debug",
                  "info  log level is now info", "info  log level is now warn", "warn  seen 3",
                  "warn  log level is now error", "error log level is now off",
                  // Already off, hence nothing.
                  "error log level is now error", "error seen 4"));
}

TEST_F(LoggingTest, StepsApplyToTheAccessLog) {
  InitLoggingTo(out_, "warn", "text");
  MoreVerbose();
  LogAccess(Record());
  EXPECT_THAT(Lines(), SizeIs(2));
}

TEST_F(LoggingTest, UseAfterShutdownIsSafe) {
  InitLoggingTo(out_, "error", "text");
  ShutdownLogging();
  ShutdownLogging();
  ::testing::internal::CaptureStderr();
  spdlog::error("late");
  LogAccess(Record());
  LogAudit("late_event", {});
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr(" error late\n"), HasSubstr(" audit late_event\n")));
  EXPECT_EQ(out_.str(), "");
}

TEST_F(LoggingTest, WritesToStderr) {
  ::testing::internal::CaptureStderr();
  InitLogging("info", "json");
  spdlog::info("hello");
  ShutdownLogging();
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("\"message\":\"hello\"}\n"), Not(HasSubstr("[info]"))));
}

TEST_F(LoggingTest, ThreadsDoNotMixLines) {
  InitLoggingTo(out_, "info", "json");
  constexpr int kThreads = 4, kMessages = 500;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < kMessages; ++i) {
        if (i % 2 == 0) LogAccess(Record());
        if (i % 2 == 1) spdlog::info("message {}", i);
        if (i % 100 == 0) MoreVerbose();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<std::string> lines = Lines();
  EXPECT_THAT(lines, SizeIs(kThreads * (kMessages + kMessages / 100)));
  for (const std::string& line : lines) {
    boost::system::error_code error;
    boost::json::parse(line, error);
    ASSERT_FALSE(error) << line;
  }
}

}  // namespace
}  // namespace leasegateway
