#include "upstream/transport/gzip_inflater.h"

#include <algorithm>
#include <limits>
#include <new>

namespace leasegateway {
namespace {

constexpr int kOnlyGzip = 16;  // beside the window's bits: with its header and trailer
constexpr unsigned char kFirstByteOfMember = 0x1f;
// The least that is inflated at once.
constexpr std::size_t kRoom = 16 << 10;

unsigned Clipped(std::size_t size) {
  return static_cast<unsigned>(std::min<std::size_t>(size, std::numeric_limits<unsigned>::max()));
}

}  // namespace

GzipInflater::GzipInflater(std::size_t limit) : limit_(limit) {
  if (inflateInit2(&stream_, MAX_WBITS + kOnlyGzip) != Z_OK) throw std::bad_alloc();
}

GzipInflater::~GzipInflater() { inflateEnd(&stream_); }

GzipInflater::Outcome GzipInflater::Put(std::string_view in, PaddedText& out) {
  while (!in.empty()) {
    if (place_ == Place::kAfterMember) {
      if (static_cast<unsigned char>(in.front()) != kFirstByteOfMember) return Outcome::kTrailing;
      inflateReset(&stream_);
    }
    place_ = Place::kInMember;
    // zlib does not write through it.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = Clipped(in.size());
    const std::size_t given = stream_.avail_in;
    const Outcome outcome = InflateSome(out);
    if (outcome != Outcome::kOk) return outcome;
    in.remove_prefix(given - stream_.avail_in);
  }
  return Outcome::kOk;
}

// Until zlib has taken all that it was given, or the member has ended.
GzipInflater::Outcome GzipInflater::InflateSome(PaddedText& out) {
  for (;;) {
    // One byte more than may come out, to see it.
    const std::size_t left = limit_ - out.size() + 1;
    char* const place = out.MakeRoom(std::min(kRoom, left));
    const unsigned room = Clipped(std::min(out.room(), left));
    stream_.next_out = reinterpret_cast<Bytef*>(place);
    stream_.avail_out = room;
    const int result = inflate(&stream_, Z_NO_FLUSH);
    out.Extend(room - stream_.avail_out);
    if (out.size() > limit_) return Outcome::kTooLarge;
    if (result == Z_STREAM_END) {
      place_ = Place::kAfterMember;
      return Outcome::kOk;
    }
    // Z_BUF_ERROR: it needs more input, and says so only when it could do nothing at all.
    if (result == Z_BUF_ERROR) return Outcome::kOk;
    if (result != Z_OK) {
      problem_ = stream_.msg != nullptr ? stream_.msg : zError(result);
      return Outcome::kCorrupt;
    }
    if (stream_.avail_in == 0 && stream_.avail_out > 0) return Outcome::kOk;
  }
}

GzipInflater::Outcome GzipInflater::Finish() const {
  return place_ == Place::kInMember ? Outcome::kCutOff : Outcome::kOk;
}

}  // namespace leasegateway
