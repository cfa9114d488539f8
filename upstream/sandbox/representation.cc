#include "upstream/sandbox/representation.h"

#include <zlib.h>

#include <cctype>
#include <cstddef>

#include "absl/time/time.h"
#include "upstream/sandbox/text.h"

namespace leasegateway::sandbox {
namespace {

constexpr absl::string_view kHttpDate = "%a, %d %b %Y %H:%M:%S GMT";
constexpr int kOnlyGzip = 16;  // beside the window's bits
constexpr int kMemory = 8;     // zlib's default

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

// Calls `on_part` with each part of a list, without spaces around it.
template <typename OnPart>
void ForEachPart(std::string_view list, char separator, OnPart on_part) {
  for (;;) {
    const std::size_t end = list.find(separator);
    on_part(Strip(list.substr(0, end)));
    if (end == std::string_view::npos) return;
    list.remove_prefix(end + 1);
  }
}

std::string_view Opaque(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  return etag;
}

}  // namespace

bool TakesGzip(std::string_view accept_encoding) {
  bool takes = false;
  const std::string lower = LowerCase(accept_encoding);
  ForEachPart(lower, ',', [&](std::string_view coding) {
    const std::size_t semicolon = coding.find(';');
    if (Strip(coding.substr(0, semicolon)) != "gzip") return;
    takes = true;
    if (semicolon == std::string_view::npos) return;
    const std::string_view weight = Strip(coding.substr(semicolon + 1));
    takes = weight.find_first_of("123456789") != std::string_view::npos;
  });
  return takes;
}

std::string Gzip(std::string_view text) {
  z_stream stream{};
  // As fast as it can be, as servers have it that compress on the way.
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + kOnlyGzip, kMemory,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    return {};
  }
  std::string bytes(deflateBound(&stream, text.size()), '\0');
  // zlib does not write through it.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  deflate(&stream, Z_FINISH);
  bytes.resize(stream.total_out);
  deflateEnd(&stream);
  return bytes;
}

std::string HttpDate(std::int64_t seconds) {
  return absl::FormatTime(kHttpDate, absl::FromUnixSeconds(seconds), absl::UTCTimeZone());
}

bool IsUnchanged(const Conditions& conditions, std::string_view etag, std::int64_t modified) {
  if (!conditions.if_none_match.empty()) {
    bool is_one_of_them = false;
    ForEachPart(conditions.if_none_match, ',', [&](std::string_view known) {
      is_one_of_them = is_one_of_them || known == "*" || Opaque(known) == Opaque(etag);
    });
    return is_one_of_them;
  }
  absl::Time since;
  const absl::string_view text(conditions.if_modified_since.data(),
                               conditions.if_modified_since.size());
  return modified > 0 && absl::ParseTime(kHttpDate, text, &since, nullptr) &&
         absl::FromUnixSeconds(modified) <= since;
}

}  // namespace leasegateway::sandbox
