#ifndef LEASE_GATEWAY_TESTS_SUPPORT_GZIP_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_GZIP_H_

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace leasegateway {

// `bits`: as deflateInit2 has them.
inline std::string Deflate(std::string_view text, int bits, int level) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, level, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// One member of a gzip file (RFC 1952).
inline std::string Gzip(std::string_view text, int level = Z_DEFAULT_COMPRESSION) {
  return Deflate(text, MAX_WBITS + 16, level);
}

// A zlib stream (RFC 1950), which gRPC and HTTP call deflate.
inline std::string Zlib(std::string_view text, int level = Z_DEFAULT_COMPRESSION) {
  return Deflate(text, MAX_WBITS, level);
}

// So many zeros, which it never has in memory: some two hundred times smaller.
inline std::string BombOf(std::size_t zeros, int bits) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string piece(1 << 20, '\0');
  std::string out(zeros / 128 + 1'024, '\0');
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  while (zeros > 0) {
    const std::size_t size = zeros < piece.size() ? zeros : piece.size();
    stream.next_in = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_in = static_cast<uInt>(size);
    zeros -= size;
    EXPECT_EQ(deflate(&stream, zeros > 0 ? Z_NO_FLUSH : Z_FINISH), zeros > 0 ? Z_OK : Z_STREAM_END);
  }
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}
inline std::string GzipBomb(std::size_t zeros) { return BombOf(zeros, MAX_WBITS + 16); }
inline std::string ZlibBomb(std::size_t zeros) { return BombOf(zeros, MAX_WBITS); }

// The text of one member; what is none is a failure.
inline std::string Gunzip(std::string_view bytes, std::size_t longest = 1 << 20) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
  std::string text(longest, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  EXPECT_EQ(stream.avail_in, 0u);
  text.resize(stream.total_out);
  inflateEnd(&stream);
  return text;
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_GZIP_H_
