#include "service/rpc/token.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <openssl/sha.h>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace leasegateway {

void AppendInteger(std::uint64_t value, std::string* out) {
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}

std::uint64_t ReadInteger(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

std::uint64_t Fingerprint(const v1::AvailabilityFilter& filter, std::string_view order_by,
                          std::string_view account) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    static_cast<void>(filter.SerializeToCodedStream(&coded));  // a string takes all
  }
  AppendInteger(bytes.size(), &bytes);
  bytes += order_by;
  if (account != "default") {
    bytes += account;
    AppendInteger(account.size(), &bytes);
  }
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  return ReadInteger({reinterpret_cast<const char*>(digest), 8});
}

std::string EncodeToken(const std::vector<std::uint64_t>& values) {
  std::string bytes;
  for (const std::uint64_t value : values) AppendInteger(value, &bytes);
  return absl::WebSafeBase64Escape(bytes);
}

std::optional<std::vector<std::uint64_t>> DecodeToken(std::string_view text, std::size_t count) {
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(absl::string_view(text.data(), text.size()), &bytes) ||
      bytes.size() != count * 8) {
    return std::nullopt;
  }
  std::vector<std::uint64_t> values;
  for (std::size_t i = 0; i < count; ++i) {
    values.push_back(ReadInteger(std::string_view(bytes).substr(i * 8, 8)));
  }
  // Base64 is lenient: white space, padding, and bits beyond the last byte.
  if (EncodeToken(values) != text) return std::nullopt;
  return values;
}

}  // namespace leasegateway
