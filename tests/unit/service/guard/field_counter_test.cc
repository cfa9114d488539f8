#include "service/guard/field_counter.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace leasegateway {
namespace {

std::uint32_t Count(std::string_view block) {
  FieldCounter counter;
  const std::uint32_t whole = counter.Read(block);
  FieldCounter pieces;
  std::uint32_t in_pieces = 0;
  for (const char byte : block) in_pieces = pieces.Read({&byte, 1});
  EXPECT_EQ(in_pieces, whole);
  EXPECT_EQ(pieces.decoded(), counter.decoded());
  return whole;
}

// A string that is not Huffman-coded, its length as RFC 7541, 5.1 has it.
std::string String(std::size_t length) {
  std::string text;
  if (length < 0x7f) {
    text += static_cast<char>(length);
  } else {
    text += '\x7f';
    std::size_t rest = length - 0x7f;
    for (; rest >= 0x80; rest >>= 7) text += static_cast<char>(0x80 | (rest & 0x7f));
    text += static_cast<char>(rest);
  }
  return text + std::string(length, '\x82');
}

TEST(FieldCounter, EachRepresentationIsAField) {
  EXPECT_EQ(Count("\x82"), 1);
  EXPECT_EQ(Count("\x82\x86\x84"), 3);
  EXPECT_EQ(Count(std::string("\x40", 1) + String(3) + String(4) + "\x82"), 2);
  EXPECT_EQ(Count("\x41" + String(4) + "\x82"), 2);
  EXPECT_EQ(Count(std::string("\0", 1) + String(3) + String(4) + "\x82"), 2);
  EXPECT_EQ(Count("\x04" + String(4) + "\x82"), 2);
  EXPECT_EQ(Count("\x10" + String(3) + String(4) + "\x82"), 2);
  EXPECT_EQ(Count("\x14" + String(4) + "\x82"), 2);
  EXPECT_EQ(Count("\x20\x82"), 2) << "a change of the table's size";
}

TEST(FieldCounter, NumbersOfSeveralBytes) {
  EXPECT_EQ(Count(std::string("\xff\x80\x01\x82", 4)), 2);
  EXPECT_EQ(Count(std::string("\x7f\x00", 2) + String(4) + "\x82"), 2);
  EXPECT_EQ(Count(std::string("\x0f\x81\x01", 3) + String(4) + "\x82"), 2);
  EXPECT_EQ(Count(std::string("\x3f\xe1\x1f\x82", 4)), 2);
}

TEST(FieldCounter, StringsOfAnyLengthAreOneFields) {
  for (const std::size_t length : {0, 1, 126, 127, 128, 254, 255, 16'384, 100'000}) {
    EXPECT_EQ(Count("\x41" + String(length) + "\x82"), 2) << length;
    EXPECT_EQ(Count(std::string("\x40", 1) + String(length) + String(length) + "\x82"), 2)
        << length;
  }
  EXPECT_EQ(Count(std::string("\x41\x84", 2) + "abcd" + "\x82"), 2) << "Huffman-coded";
}

// gRPC refuses it; what it takes for a string to its end is one.
TEST(FieldCounter, LengthWithoutEndIsOneField) {
  EXPECT_EQ(Count("\x41\x7f" + std::string(1'000, '\xff')), 1);
  EXPECT_EQ(Count("\x41\x7f" + std::string(20, '\xff') + "\x7f" + std::string(1'000, '\x82')), 1);
}

TEST(FieldCounter, ABlockBeginsAnew) {
  FieldCounter counter;
  EXPECT_EQ(counter.Read("\x41\x7f"), 1);
  counter.Begin();
  EXPECT_EQ(counter.Read("\x82"), 1);
}

// --- what fields have when decoded --------------------------------------------------------------

// Of a connection's next block.
std::uint64_t Decoded(FieldCounter& counter, const std::string& block) {
  counter.Begin();
  counter.Read(block);
  return counter.decoded();
}
std::uint64_t Decoded(const std::string& block) {
  FieldCounter counter;
  return Decoded(counter, block);
}
std::string Added(std::size_t name, std::size_t value) {
  return std::string("\x40") + String(name) + String(value);
}
// An index into the table of what was sent, the newest first.
std::string Sent(std::uint32_t age) {
  const std::uint32_t index = 62 + age;
  if (index < 127) return {static_cast<char>(0x80 | index)};
  std::string bytes = "\xff";
  std::uint32_t rest = index - 127;
  for (; rest >= 0x80; rest >>= 7) bytes += static_cast<char>(0x80 | (rest & 0x7f));
  return bytes + static_cast<char>(rest);
}

TEST(FieldCounter, StaticFieldsAreThoseOfTheTable) {
  EXPECT_EQ(Decoded("\x81"), 10 + 32);       // :authority
  EXPECT_EQ(Decoded("\x83"), 7 + 4 + 32);    // :method POST
  EXPECT_EQ(Decoded("\x86"), 7 + 4 + 32);    // :scheme http
  EXPECT_EQ(Decoded("\x90"), 15 + 13 + 32);  // accept-encoding gzip, deflate
  EXPECT_EQ(Decoded("\xbd"), 16 + 32);       // www-authenticate
  std::string all;
  for (int i = 1; i <= 61; ++i) all += static_cast<char>(0x80 | i);
  EXPECT_EQ(Decoded(all), 2'636);
  EXPECT_EQ(Decoded("\x80"), 0) << "gRPC refuses it";
}

TEST(FieldCounter, LiteralsHaveTheirStringsAndAnEntry) {
  const std::string name = std::string("\0", 1) + String(3) + String(200);
  EXPECT_EQ(Decoded(name), 3 + 200 + 32);
  EXPECT_EQ(Decoded("\x10" + String(3) + String(0)), 3 + 32);
  EXPECT_EQ(Decoded(Added(3, 4)), 7 + 32);
  EXPECT_EQ(Decoded("\x04" + String(100)), 5 + 100 + 32) << ":path";
  EXPECT_EQ(Decoded("\x44" + String(100)), 5 + 100 + 32);
  EXPECT_EQ(Decoded(name.substr(0, name.size() - 1)), 0) << "isn't whole";
  EXPECT_EQ(Decoded(std::string("\x04\x94", 2) + std::string(20, 'x')), 5 + 20 * 8 / 5 + 32)
      << "Huffman-coded";
  EXPECT_EQ(Decoded("\x3f\xe1\x1f"), 0) << "a change of the table's size";
}

TEST(FieldCounter, WhatWasAddedIsFoundFromTheNewest) {
  FieldCounter counter;
  EXPECT_EQ(Decoded(counter, Added(1, 10) + Added(1, 20) + "\x82" + Added(1, 30)),
            3 * 33 + 60 + 7 + 3 + 32);
  EXPECT_EQ(Decoded(counter, Sent(0)), 63);
  EXPECT_EQ(Decoded(counter, Sent(1)), 53);
  EXPECT_EQ(Decoded(counter, Sent(2)), 43);
  EXPECT_EQ(Decoded(counter, Sent(3)), 0) << "gRPC refuses it";
  EXPECT_EQ(Decoded(counter, Sent(0) + Sent(0) + Sent(0)), 3 * 63);
  EXPECT_EQ(Decoded(counter, std::string("\0", 1) + String(1) + String(5)), 38);
  EXPECT_EQ(Decoded(counter, Sent(0)), 63) << "the literal before is not added";
  EXPECT_EQ(Decoded(counter, "\x7e" + String(100)), 1 + 100 + 32) << "the name of the newest";
  EXPECT_EQ(Decoded(counter, Sent(0)), 133);
  EXPECT_EQ(Decoded(counter, Sent(1)), 63);
}

// So many as the table has room for when they are empty.
TEST(FieldCounter, TheTableHasItsLastEntries) {
  FieldCounter counter;
  for (std::size_t i = 0; i < 1'000; ++i) Decoded(counter, Added(1, i));
  for (std::uint32_t age = 0; age < 128; ++age) {
    EXPECT_EQ(Decoded(counter, Sent(age)), 33 + 999 - age) << age;
  }
  EXPECT_EQ(Decoded(counter, Sent(128)), 0);
  EXPECT_EQ(Decoded(counter, Sent(100'000'000)), 0);
}

TEST(FieldCounter, AnEntryIsNoLargerThanTheTable) {
  FieldCounter counter;
  EXPECT_EQ(Decoded(counter, Added(100, 10'000)), 10'132);
  EXPECT_EQ(Decoded(counter, Sent(0)), 4'096);
  EXPECT_EQ(Decoded(counter, Added(10'000, 0) + "\x7e" + String(0)), 10'032 + 4'096 + 32);
}

}  // namespace
}  // namespace leasegateway
