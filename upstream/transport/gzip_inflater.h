#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_GZIP_INFLATER_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_GZIP_INFLATER_H_

#include <zlib.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "upstream/transport/padded_text.h"

namespace leasegateway {

// Inflates a gzip file (RFC 1952), which may have several members one behind the other, while it
// arrives: one that would become too large ends with the byte that makes it so, wherever its own
// end may be. No bytes at all are an empty text.
class GzipInflater {
 public:
  enum class Outcome {
    kOk,
    kTooLarge,  // more than the limit comes out
    kCorrupt,   // no gzip, or its checksum or length is wrong; problem() says what
    kCutOff,    // it ends in the middle of a member
    kTrailing,  // what follows a member is not another one
  };

  // `limit`: bytes that may come out, at most.
  explicit GzipInflater(std::size_t limit);
  ~GzipInflater();
  GzipInflater(const GzipInflater&) = delete;
  GzipInflater& operator=(const GzipInflater&) = delete;

  // Appends to `out` what comes out of the next bytes. After anything but kOk it is used no more.
  Outcome Put(std::string_view in, PaddedText& out);
  // When all bytes have been put.
  Outcome Finish() const;
  // Of kCorrupt, in zlib's words: "incorrect data check".
  const std::string& problem() const { return problem_; }

 private:
  Outcome InflateSome(PaddedText& out);

  const std::size_t limit_;
  z_stream stream_{};
  enum class Place { kStart, kInMember, kAfterMember } place_ = Place::kStart;
  std::string problem_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_GZIP_INFLATER_H_
