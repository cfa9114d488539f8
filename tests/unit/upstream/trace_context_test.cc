#include "upstream/trace_context.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

namespace leasegateway {
namespace {

constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr char kSpan[] = "00f067aa0ba902b7";
const std::string kGood = std::string("00-") + kTrace + "-" + kSpan + "-01";

TEST(TraceContextTest, ReadsTraceparent) {
  const auto trace = ParseTraceparent(kGood);
  ASSERT_TRUE(trace);
  EXPECT_EQ(trace->TraceIdHex(), kTrace);
  EXPECT_EQ(trace->SpanIdHex(), kSpan);
  EXPECT_TRUE(trace->sampled);
  EXPECT_EQ(trace->Traceparent(), kGood);
}

TEST(TraceContextTest, RefusesWhatBreaksARule) {
  const std::string zeros16(32, '0');
  const std::string zeros8(16, '0');
  for (const std::string& header : std::initializer_list<std::string>{
           std::string(),
           std::string("00"),
           kGood.substr(0, 54),
           kGood + "-",
           kGood + "0",
           "ff" + kGood.substr(2),
           "0x" + kGood.substr(2),
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
           std::string("00-") + kTrace + "-" + kSpan + "-0G",
           std::string("00_") + kTrace + "_" + kSpan + "_01",
           "00-" + zeros16 + "-" + kSpan + "-01",
           std::string("00-") + kTrace + "-" + zeros8 + "-01",
           " " + kGood,
           "01" + kGood.substr(2) + "x",
       }) {
    EXPECT_FALSE(ParseTraceparent(header)) << header;
  }
}

TEST(TraceContextTest, ReadsLaterVersionsAsFarAsItKnowsThem) {
  for (const std::string& header :
       {"01" + kGood.substr(2), "cc" + kGood.substr(2) + "-what-comes-later"}) {
    const auto trace = ParseTraceparent(header);
    ASSERT_TRUE(trace) << header;
    EXPECT_EQ(trace->Traceparent(), kGood);
  }
}

TEST(TraceContextTest, ClearsFlagsThatItDoesNotKnow) {
  const auto trace = ParseTraceparent(kGood.substr(0, 53) + "fe");
  ASSERT_TRUE(trace);
  EXPECT_FALSE(trace->sampled);
  EXPECT_EQ(trace->Traceparent(), kGood.substr(0, 53) + "00");
}

TEST(TraceContextTest, ReadsTraceBin) {
  std::string bytes(29, '\0');
  for (int i = 0; i < 16; ++i) bytes[static_cast<std::size_t>(2 + i)] = static_cast<char>(0xA0 + i);
  bytes[18] = 1;
  for (int i = 0; i < 8; ++i) bytes[static_cast<std::size_t>(19 + i)] = static_cast<char>(i + 1);
  bytes[27] = 2;
  bytes[28] = 1;
  const auto trace = ParseTraceBin(bytes);
  ASSERT_TRUE(trace);
  EXPECT_EQ(trace->Traceparent(), "00-a0a1a2a3a4a5a6a7a8a9aaabacadaeaf-0102030405060708-01");

  EXPECT_FALSE(ParseTraceBin(bytes + "x"));
  EXPECT_FALSE(ParseTraceBin(bytes.substr(0, 28)));
  for (const std::size_t place : {0, 1, 18, 27}) {
    std::string broken = bytes;
    broken[place] = 7;
    EXPECT_FALSE(ParseTraceBin(broken)) << place;
  }
  EXPECT_FALSE(ParseTraceBin(bytes.substr(0, 19) + std::string(8, '\0') + bytes.substr(27)));
}

TEST(TraceContextTest, HandsOnTracestate) {
  EXPECT_EQ(CheckTracestate("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
  EXPECT_EQ(CheckTracestate(" a=1 ,, \t,1b@vendor=x y!, "), "a=1,1b@vendor=x y!");
  EXPECT_EQ(CheckTracestate(""), "");
}

TEST(TraceContextTest, DropsTracestateThatBreaksARule) {
  for (const std::string& header :
       {std::string("a"), std::string("=1"), std::string("a="), std::string("A=1"),
        std::string("1a=1"), std::string("a=1,a=2"), std::string("a=1=2"), std::string("a\x7f=1"),
        std::string("a=\x01"), std::string("a@=1"), std::string("a@abcdefghijklmno=1"),
        std::string("a=") + std::string(257, 'x')}) {
    EXPECT_EQ(CheckTracestate(header), "") << header;
  }
  std::string members;
  for (int i = 0; i < 32; ++i) members += "k" + std::to_string(i) + "=1,";
  EXPECT_NE(CheckTracestate(members), "");
  EXPECT_EQ(CheckTracestate(members + "k32=1"), "");
  const std::string half(254, 'x');
  EXPECT_NE(CheckTracestate("a=" + half + ",b=" + half.substr(1)), "");  // 512 bytes
  EXPECT_EQ(CheckTracestate("a=" + half + ",b=" + half), "");
}

TEST(TraceContextTest, SpansStayInTheirTrace) {
  TraceContext parent = *ParseTraceparent(kGood);
  parent.tracestate = "a=1";
  const TraceContext first = NewSpan(parent);
  const TraceContext second = NewSpan(parent);
  EXPECT_EQ(first.TraceIdHex(), kTrace);
  EXPECT_TRUE(first.sampled);
  EXPECT_EQ(first.tracestate, "a=1");
  EXPECT_NE(first.SpanIdHex(), parent.SpanIdHex());
  EXPECT_NE(first.SpanIdHex(), second.SpanIdHex());
}

TEST(TraceContextTest, NewTracesAreValidAndDifferent) {
  const TraceContext first = NewTrace();
  EXPECT_TRUE(ParseTraceparent(first.Traceparent()));
  EXPECT_FALSE(first.sampled);
  EXPECT_NE(first.TraceIdHex(), NewTrace().TraceIdHex());
}

}  // namespace
}  // namespace leasegateway
