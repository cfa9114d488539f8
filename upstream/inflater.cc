#include "upstream/inflater.h"

#include <limits>
#include <new>

namespace leasegateway {
namespace {

constexpr int kOnlyGzip = 16;  // beside the window's bits: with its header and trailer
constexpr unsigned char kFirstByteOfMember = 0x1f;

unsigned Clipped(std::size_t size) {
  return static_cast<unsigned>(std::min<std::size_t>(size, std::numeric_limits<unsigned>::max()));
}

}  // namespace

Inflater::Inflater(Format format, std::size_t limit) : format_(format), limit_(limit) {
  const int bits = MAX_WBITS + (format == Format::kGzip ? kOnlyGzip : 0);
  if (inflateInit2(&stream_, bits) != Z_OK) throw std::bad_alloc();
}

Inflater::~Inflater() { inflateEnd(&stream_); }

// False: these bytes are not the beginning of another member.
bool Inflater::Begin(std::string_view in) {
  if (place_ == Place::kAfterMember) {
    if (format_ != Format::kGzip) return false;
    if (static_cast<unsigned char>(in.front()) != kFirstByteOfMember) return false;
    inflateReset(&stream_);
  }
  place_ = Place::kInMember;
  // zlib does not write through it.
  stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  stream_.avail_in = Clipped(in.size());
  given_ = stream_.avail_in;
  return true;
}

// Wants no more when zlib has taken all that it was given, or the member has ended.
Inflater::Step Inflater::Inflate(char* place, std::size_t room) {
  stream_.next_out = reinterpret_cast<Bytef*>(place);
  stream_.avail_out = Clipped(room);
  const std::size_t offered = stream_.avail_out;
  const int result = inflate(&stream_, Z_NO_FLUSH);
  Step step;
  step.written = offered - stream_.avail_out;
  step.taken = given_ - stream_.avail_in;
  size_ += step.written;
  if (size_ > limit_) {
    step.outcome = Outcome::kTooLarge;
  } else if (result == Z_STREAM_END) {
    place_ = Place::kAfterMember;
  } else if (result == Z_OK) {
    step.more = stream_.avail_in > 0 || stream_.avail_out == 0;
  } else if (result != Z_BUF_ERROR) {
    // Z_BUF_ERROR: it needs more input, and says so only when it could do nothing at all.
    problem_ = stream_.msg != nullptr ? stream_.msg : zError(result);
    step.outcome = Outcome::kCorrupt;
  }
  return step;
}

Inflater::Outcome Inflater::Finish() const {
  return place_ == Place::kInMember ? Outcome::kCutOff : Outcome::kOk;
}

}  // namespace leasegateway
