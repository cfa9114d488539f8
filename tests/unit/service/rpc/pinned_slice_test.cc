#include "service/rpc/pinned_slice.h"

#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace leasegateway {
namespace {

// Longer than what gRPC keeps inside a slice, and not all the same.
std::string SomeBytes(std::size_t size = 1000) {
  std::string bytes;
  for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i * 31 % 251));
  return bytes;
}

grpc::Slice OnlySlice(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  EXPECT_EQ(slices.size(), 1U);
  return slices.empty() ? grpc::Slice() : slices[0];
}

std::string_view View(const grpc::Slice& slice) {
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

TEST(PinnedSlice, TakesTheBytesOverWithoutACopy) {
  std::string bytes = SomeBytes();
  const std::string expected = bytes;
  const char* const place = bytes.data();
  const auto pinned = PinSlice(std::move(bytes));
  EXPECT_EQ(pinned->view(), expected);
  EXPECT_EQ(pinned->view().data(), place);
}

TEST(PinnedSlice, MessagesShareTheBytes) {
  const auto pinned = PinSlice(SomeBytes());
  const grpc::ByteBuffer one = ToByteBuffer(*pinned);
  const grpc::ByteBuffer two = ToByteBuffer(*pinned);
  const grpc::Slice slice_of_one = OnlySlice(one);
  EXPECT_EQ(View(slice_of_one).data(), pinned->view().data());
  EXPECT_EQ(View(OnlySlice(two)).data(), pinned->view().data());
  EXPECT_EQ(one.Length(), 1000U);
}

TEST(PinnedSlice, PartsShareTheBytes) {
  const auto pinned = PinSlice(SomeBytes());
  // Also as small as what gRPC would otherwise copy into the slice.
  for (const BytesRange range : {BytesRange{0, 1000}, BytesRange{1, 998}, BytesRange{500, 100},
                                 BytesRange{990, 10}, BytesRange{10, 40}}) {
    const grpc::ByteBuffer buffer = ToByteBuffer(*pinned, range);
    const grpc::Slice slice = OnlySlice(buffer);
    EXPECT_EQ(View(slice), pinned->view().substr(range.offset, range.size));
    EXPECT_EQ(View(slice).data(), pinned->view().data() + range.offset);
  }
  EXPECT_EQ(ToByteBuffer(*pinned, {1000, 0}).Length(), 0U);
}

TEST(PinnedSlice, MessagesOutliveWhatTheyWereMadeFrom) {
  const std::string expected = SomeBytes();
  auto pinned = PinSlice(SomeBytes());
  grpc::ByteBuffer whole = ToByteBuffer(*pinned);
  grpc::ByteBuffer part = ToByteBuffer(*pinned, {100, 300});
  grpc::ByteBuffer other_part = ToByteBuffer(*pinned, {400, 600});
  pinned.reset();
  EXPECT_EQ(View(OnlySlice(whole)), expected);
  whole.Clear();
  EXPECT_EQ(View(OnlySlice(part)), expected.substr(100, 300));
  part.Clear();
  EXPECT_EQ(View(OnlySlice(other_part)), expected.substr(400));
  grpc::ByteBuffer copy(other_part);
  other_part.Clear();
  EXPECT_EQ(View(OnlySlice(copy)), expected.substr(400));
}

// LeakSanitizer finds a reference too many, AddressSanitizer one too few.
TEST(PinnedSlice, ManyPartsGoAwayInAnyOrder) {
  for (int round = 0; round < 50; ++round) {
    auto pinned = PinSlice(SomeBytes(5000));
    std::vector<grpc::ByteBuffer> parts;
    for (std::size_t i = 0; i < 100; ++i) {
      parts.push_back(ToByteBuffer(*pinned, {i * 50, 50}));
    }
    if (round % 2 == 0) pinned.reset();
    for (std::size_t i = 0; i < parts.size(); i += 3) parts[i].Clear();
    EXPECT_EQ(View(OnlySlice(parts[1])), SomeBytes(5000).substr(50, 50));
  }
}

TEST(PinnedSlice, ReplyOfTwoPartsSharesBoth) {
  const auto pinned = PinSlice(SomeBytes());
  const auto end = PinSlice(SomeBytes(100));
  const grpc::ByteBuffer buffer = ToByteBuffer(ReplyBytes{pinned, {200, 300}, end});
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(buffer.Dump(&slices).ok());
  ASSERT_EQ(slices.size(), 2U);
  EXPECT_EQ(View(slices[0]).data(), pinned->view().data() + 200);
  EXPECT_EQ(slices[0].size(), 300U);
  EXPECT_EQ(View(slices[1]).data(), end->view().data());
  EXPECT_EQ(slices[1].size(), 100U);
  EXPECT_EQ(ToByteBuffer(ReplyBytes{pinned, {0, 0}, end}).Length(), 100U);
  EXPECT_EQ(View(OnlySlice(ToByteBuffer(WholeReply(pinned)))), pinned->view());
}

TEST(PinnedSlice, EmptyBytes) {
  const auto pinned = PinSlice("");
  EXPECT_EQ(pinned->view(), "");
  EXPECT_EQ(ToByteBuffer(*pinned).Length(), 0U);
  EXPECT_EQ(ToByteBuffer(*pinned, {0, 0}).Length(), 0U);
  EXPECT_EQ(ToByteBuffer(std::string()).Length(), 0U);
}

TEST(PinnedSlice, OwnedBytesAreNotCopiedEither) {
  std::string bytes = SomeBytes();
  const std::string expected = bytes;
  const char* const place = bytes.data();
  const grpc::ByteBuffer buffer = ToByteBuffer(std::move(bytes));
  const grpc::Slice slice = OnlySlice(buffer);
  EXPECT_EQ(View(slice), expected);
  EXPECT_EQ(View(slice).data(), place);
}

}  // namespace
}  // namespace leasegateway
