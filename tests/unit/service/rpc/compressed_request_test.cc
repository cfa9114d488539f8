#include "service/rpc/compressed_request.h"

#include <grpcpp/support/byte_buffer.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "leasegateway/v1/lease_service.pb.h"
#include "service/rpc/raw_request.h"
#include "tests/support/gzip.h"
#include "tests/support/raw_message.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using grpc::internal::GrpcByteBufferPeer;

constexpr std::size_t kLimit = 100'000;

v1::BatchGetNumbersRequest RequestOf(int count) {
  v1::BatchGetNumbersRequest request;
  for (int i = 0; i < count; ++i) {
    request.add_phone_numbers("+1305" + std::to_string(5'550'000 + i * 37));
  }
  return request;
}

// What Parse says of it.
absl::Status StatusOf(const grpc::ByteBuffer& bytes, std::size_t limit = kLimit) {
  v1::BatchGetNumbersRequest request;
  return Parse(bytes, limit, &request);
}

TEST(CompressedRequest, IsReadAsThePlainOneIs) {
  for (const int count : {0, 1, 3'000}) {
    const std::string plain = RequestOf(count).SerializeAsString();
    const std::pair<std::string, grpc_compression_algorithm> forms[] = {
        {plain, GRPC_COMPRESS_NONE},
        {Gzip(plain), GRPC_COMPRESS_GZIP},
        {Zlib(plain), GRPC_COMPRESS_DEFLATE}};
    for (const auto& [bytes, compression] : forms) {
      for (const std::size_t step : {std::size_t{1}, std::size_t{100}, std::string::npos}) {
        v1::BatchGetNumbersRequest request;
        EXPECT_TRUE(Parse(RawMessage(bytes, compression, step), kLimit, &request).ok())
            << count << " " << compression << " " << step;
        EXPECT_EQ(request.SerializeAsString(), plain) << count << " " << compression << " " << step;
      }
    }
  }
}

TEST(CompressedRequest, LimitIsOfWhatComesOut) {
  const std::string plain = RequestOf(1'000).SerializeAsString();
  const auto compressed = RawMessage(Gzip(plain), GRPC_COMPRESS_GZIP);
  EXPECT_TRUE(StatusOf(compressed, plain.size()).ok());
  const absl::Status larger = StatusOf(compressed, plain.size() - 1);
  EXPECT_EQ(larger.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(larger), reason::kRequestTooLarge);
  EXPECT_EQ(larger.message(), "Received message larger than max (inflated, more than " +
                                  std::to_string(plain.size() - 1) + ")");
  EXPECT_EQ(RetryDelayOf(larger), std::nullopt);
}

TEST(CompressedRequest, BrokenOneIsAnInvalidRequest) {
  const std::string gzip = Gzip(RequestOf(10).SerializeAsString());
  const std::string zlib = Zlib(RequestOf(10).SerializeAsString());
  std::string wrong_sum = gzip;
  wrong_sum[gzip.size() - 5] ^= 1;
  const std::pair<grpc::ByteBuffer, std::string> rows[] = {
      {RawMessage(wrong_sum, GRPC_COMPRESS_GZIP), "incorrect data check"},
      {RawMessage(gzip.substr(0, gzip.size() - 1), GRPC_COMPRESS_GZIP), "it is cut off"},
      {RawMessage(zlib + "x", GRPC_COMPRESS_DEFLATE), "there is something behind it"},
      {RawMessage(zlib, GRPC_COMPRESS_GZIP), "incorrect header check"},
      {RawMessage(gzip, GRPC_COMPRESS_DEFLATE), "incorrect header check"},
  };
  for (const auto& [bytes, what] : rows) {
    const absl::Status status = StatusOf(bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << what;
    EXPECT_EQ(ReasonOf(status), reason::kInvalidRequest) << what;
    EXPECT_EQ(status.message(), "the request's compression is broken: " + what);
  }
  const absl::Status no_message = StatusOf(RawMessage(Gzip("\xff"), GRPC_COMPRESS_GZIP));
  EXPECT_EQ(ReasonOf(no_message), reason::kInvalidRequest);
  EXPECT_EQ(no_message.message(), "the request is no message of this method");
}

// What comes out of it is held once, however small the pieces that it came in.
TEST(CompressedRequest, TakesLittleMoreThanItSays) {
  const std::string plain(kLimit, '\0');
  for (const std::size_t step : {std::size_t{1}, std::string::npos}) {
    auto bytes = RawMessage(Gzip(plain, 0), GRPC_COMPRESS_GZIP, step);
    auto* const inside = GrpcByteBufferPeer::Inside(&bytes);
    ASSERT_TRUE(Inflate(inside, kLimit).ok());
    EXPECT_EQ(inside->data.raw.slice_buffer.length, kLimit);
    EXPECT_LE(inside->data.raw.slice_buffer.count, kLimit / (16 << 10) + 1) << step;
  }
}

// As gRPC's own services read them, through what the program defines in the library's place.
TEST(CompressedRequest, GrpcReadsItInflatedAsWell) {
  const std::string text = "some text";
  EXPECT_EQ(BytesOf(RawMessage(text)), text);
  EXPECT_EQ(BytesOf(RawMessage(Gzip(text), GRPC_COMPRESS_GZIP)), text);
  EXPECT_EQ(BytesOf(RawMessage(Zlib(text), GRPC_COMPRESS_DEFLATE)), text);
  EXPECT_EQ(BytesOf(RawMessage("", GRPC_COMPRESS_GZIP)), "");
}

TEST(CompressedRequest, WhatIsTooLargeOrBrokenIsNoMessageToGrpc) {
  const std::string no_message = "\xff";
  const std::string most(kMostOfOwnServices, 'x');
  EXPECT_EQ(BytesOf(RawMessage(Gzip(most), GRPC_COMPRESS_GZIP)), most);
  EXPECT_EQ(BytesOf(RawMessage(Gzip(most + "x"), GRPC_COMPRESS_GZIP)), no_message);
  EXPECT_EQ(BytesOf(RawMessage(GzipBomb(8 << 20), GRPC_COMPRESS_GZIP)), no_message);
  EXPECT_EQ(BytesOf(RawMessage("no gzip", GRPC_COMPRESS_GZIP)), no_message);
  EXPECT_EQ(BytesOf(RawMessage(most + most)), most + most) << "one that is not compressed";
}

}  // namespace
}  // namespace leasegateway
