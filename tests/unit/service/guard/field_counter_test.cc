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

}  // namespace
}  // namespace leasegateway
