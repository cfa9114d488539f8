#include "service/guard/client_hello.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>

namespace leasegateway {
namespace {

std::string Record(char type, const std::string& payload) {
  return std::string{type, 3, 1, static_cast<char>(payload.size() >> 8),
                     static_cast<char>(payload.size())} +
         payload;
}

const std::string kRandom = "0123456789abcdefghijklmnopqrstuv";
const std::string kHello = std::string("\1\0\1\xfc\3\3", 6) + kRandom + "and so on";

// In pieces of `piece` bytes; what it is found to be in the end.
std::string Found(const std::string& wire, std::size_t piece) {
  ClientHello hello;
  for (std::size_t at = 0; at < wire.size(); at += piece) hello.Read(wire.substr(at, piece));
  EXPECT_TRUE(hello.is_over());
  const auto random = hello.random();
  return random ? std::string(random->begin(), random->end()) : "none";
}

TEST(ClientHelloTest, RandomIsFoundInAnyPiecesAndRecords) {
  for (std::size_t size = 1; size <= kHello.size(); ++size) {
    std::string wire;
    for (std::size_t at = 0; at < kHello.size(); at += size) {
      wire += Record(22, kHello.substr(at, size)) + Record(22, "");
    }
    for (const std::size_t piece : {1, 5, 6, 43, 1'000}) EXPECT_EQ(Found(wire, piece), kRandom);
  }
}

TEST(ClientHelloTest, WhatBeginsOtherwiseHasNone) {
  for (const std::size_t piece : {1, 1'000}) {
    EXPECT_EQ(Found("PRI * HTTP/2.0\r\n\r\n", piece), "none");
    EXPECT_EQ(Found(Record(21, "\1\x5a") + Record(22, kHello), piece), "none");
    EXPECT_EQ(Found(Record(22, "\2" + kHello.substr(1)), piece), "none");
    EXPECT_EQ(Found(Record(22, kHello.substr(0, 20)) + Record(20, kHello), piece), "none");
  }
}

TEST(ClientHelloTest, WhatIsNotYetThereHasNone) {
  ClientHello hello;
  hello.Read(Record(22, kHello).substr(0, 42));
  EXPECT_FALSE(hello.is_over());
  EXPECT_FALSE(hello.random());
}

}  // namespace
}  // namespace leasegateway
