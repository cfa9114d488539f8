#ifndef LEASE_GATEWAY_SERVICE_CALLERS_TOKEN_KEYS_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_TOKEN_KEYS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct json_t;  // of Jansson

namespace leasegateway {

struct FreeJson {
  void operator()(json_t* value) const;
};
using Json = std::unique_ptr<json_t, FreeJson>;

// The value that `text` is, an object without a name twice; null: it is none.
Json ParseJsonObject(absl::string_view text);

// The bytes that `text` stands for in base64url without padding (RFC 7515), in the one form that
// they have there; nothing: it is none.
std::optional<std::string> DecodeBase64Url(absl::string_view text);

// How a token may be signed (RFC 7518, RFC 8037). Each has a type of keys of its own.
enum class TokenAlgorithm : std::uint8_t { kRs256, kEs256, kEdDsa };
// Nothing: none of these.
std::optional<TokenAlgorithm> ParseTokenAlgorithm(absl::string_view name);

// A public key. Does not change; thread-safe.
class TokenKey {
 public:
  // `key`: a JWK of the algorithm's type, with its public numbers and nothing else.
  // `signature_bytes`: of each of its signatures.
  TokenKey(std::string id, TokenAlgorithm algorithm, Json key, std::size_t signature_bytes)
      : id_(std::move(id)),
        algorithm_(algorithm),
        key_(std::move(key)),
        signature_bytes_(signature_bytes) {}

  const std::string& id() const { return id_; }  // `kid`; empty: it has none
  TokenAlgorithm algorithm() const { return algorithm_; }
  // Whether `token` has its signature. The header has been read: it names the algorithm, and has
  // neither `crit` nor `zip`.
  bool HasSigned(const std::string& token) const;

 private:
  std::string id_;
  TokenAlgorithm algorithm_;
  Json key_;
  std::size_t signature_bytes_;
};

// The keys of an issuer. Does not change; thread-safe.
class TokenKeys {
 public:
  static constexpr std::size_t kMaxFileBytes = 256 << 10;
  static constexpr std::size_t kMaxKeys = 100;
  static constexpr std::size_t kMaxIdBytes = 256;

  // Reads a JWKS (RFC 7517). Keys for other uses, algorithms and curves are left out, as the RFC
  // wants it. The error's message is the rule that the text breaks, with the key's place in it and
  // without any of the key: one that is private, symmetric, weak or unreadable, or no key is left.
  static absl::StatusOr<std::shared_ptr<const TokenKeys>> Parse(absl::string_view text);
  // The same of a file.
  static absl::StatusOr<std::shared_ptr<const TokenKeys>> Read(const std::string& path);

  // `id` empty: the only one of the algorithm. Null: none.
  const TokenKey* Find(absl::string_view id, TokenAlgorithm algorithm) const;
  std::size_t size() const { return keys_.size(); }
  // Of equal text.
  bool SameText(const TokenKeys& other) const { return text_ == other.text_; }

 private:
  TokenKeys() = default;

  std::string text_;
  std::vector<TokenKey> keys_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_TOKEN_KEYS_H_
