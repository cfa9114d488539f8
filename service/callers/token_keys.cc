#include "service/callers/token_keys.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <rhonabwy.h>

#include <algorithm>
#include <array>
#include <initializer_list>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "service/process/read_file.h"

namespace leasegateway {
namespace {

constexpr std::size_t kMinRsaBits = 2048;
constexpr std::size_t kMaxRsaBits =
    8192;  // a signature takes the longer to check, the longer it is

// The library's own set-up, which is not thread-safe. What it sets up is never ended: a thread may
// still use it while the process ends.
void SetUpLibrary() {
  static const int result = r_global_init();
  (void)result;  // is of curl, which fetches nothing here
}

// The text of a member; nothing: it is none.
std::optional<absl::string_view> JwkText(const json_t* object, const char* name) {
  const json_t* const value = json_object_get(object, name);
  if (!json_is_string(value)) return std::nullopt;
  return absl::string_view(json_string_value(value), json_string_length(value));
}

// A JWK as it is read: the rule that it breaks, that it is for others, or a key.
struct ReadJwkResult {
  std::string rule = {};
  std::optional<TokenKey> key = {};
};

ReadJwkResult BrokenJwk(absl::string_view rule) { return {std::string(rule)}; }

// The JWK with the named members of another, all of them text, and nothing of what could lead the
// library elsewhere, as x5u.
Json JwkOnly(const json_t* jwk, std::initializer_list<const char*> members) {
  Json only(json_object());
  for (const char* member : members) {
    json_object_set_new(only.get(), member, json_deep_copy(json_object_get(jwk, member)));
  }
  return only;
}

// The bytes of a member in base64url; nothing: it has none.
std::optional<std::string> JwkBytes(const json_t* jwk, const char* name) {
  const auto text = JwkText(jwk, name);
  return text ? DecodeBase64Url(*text) : std::nullopt;
}

ReadJwkResult ReadRsa(const json_t* jwk, std::string id) {
  const auto modulus = JwkBytes(jwk, "n");
  const auto exponent = JwkBytes(jwk, "e");
  if (!modulus || !exponent || modulus->empty() || exponent->empty() || (*modulus)[0] == 0 ||
      (*exponent)[0] == 0) {
    return BrokenJwk("must have n and e in base64url, without a zero at their beginning");
  }
  std::size_t bits = modulus->size() * 8;
  for (auto first = static_cast<unsigned char>((*modulus)[0]); first < 128; first <<= 1) --bits;
  if (bits < kMinRsaBits) return BrokenJwk(absl::StrCat("has less than ", kMinRsaBits, " bits"));
  if (bits > kMaxRsaBits) return BrokenJwk(absl::StrCat("has more than ", kMaxRsaBits, " bits"));
  const bool is_odd = (exponent->back() & 1) != 0;
  if (exponent->size() > 4 || !is_odd || *exponent == "\x01") {
    return BrokenJwk("must have an exponent that is odd, 3 to 4294967295");
  }
  return {"", TokenKey(std::move(id), TokenAlgorithm::kRs256, JwkOnly(jwk, {"kty", "n", "e"}),
                       modulus->size())};
}

// Whether a point is on the curve P-256. The library would find out with the first signature.
bool IsOnP256(const std::string& x, const std::string& y) {
  std::string group = "P-256";
  std::string point = "\x04" + x + y;  // without compression (SEC 1)
  OSSL_PARAM numbers[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), group.size()),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()),
      OSSL_PARAM_construct_end()};
  const std::unique_ptr<EVP_PKEY_CTX, void (*)(EVP_PKEY_CTX*)> context(
      EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr), &EVP_PKEY_CTX_free);
  EVP_PKEY* key = nullptr;
  const bool made = EVP_PKEY_fromdata_init(context.get()) == 1 &&
                    EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, numbers) == 1;
  EVP_PKEY_free(key);
  ERR_clear_error();
  return made;
}

ReadJwkResult ReadP256(const json_t* jwk, std::string id) {
  const auto x = JwkBytes(jwk, "x");
  const auto y = JwkBytes(jwk, "y");
  if (!x || !y || x->size() != 32 || y->size() != 32) {
    return BrokenJwk("must have x and y of 32 bytes in base64url");
  }
  if (!IsOnP256(*x, *y)) return BrokenJwk("is no point of its curve");
  return {"", TokenKey(std::move(id), TokenAlgorithm::kEs256,
                       JwkOnly(jwk, {"kty", "crv", "x", "y"}), 64)};
}

ReadJwkResult ReadEd25519(const json_t* jwk, std::string id) {
  const auto bytes = JwkBytes(jwk, "x");
  if (!bytes || bytes->size() != 32) return BrokenJwk("must have x of 32 bytes in base64url");
  return {"",
          TokenKey(std::move(id), TokenAlgorithm::kEdDsa, JwkOnly(jwk, {"kty", "crv", "x"}), 64)};
}

// Whether a member is there and says something else.
bool SaysOtherThan(const json_t* jwk, const char* name, absl::string_view expected) {
  return json_object_get(jwk, name) != nullptr && JwkText(jwk, name) != expected;
}

// Whether `key_ops` is there without "verify".
bool IsForOtherOperations(const json_t* jwk) {
  const json_t* const operations = json_object_get(jwk, "key_ops");
  for (std::size_t i = 0; i < json_array_size(operations); ++i) {
    const char* const operation = json_string_value(json_array_get(operations, i));
    if (operation != nullptr && absl::string_view(operation) == "verify") return false;
  }
  return operations != nullptr;
}

ReadJwkResult ReadJwk(const json_t* jwk) {
  if (!json_is_object(jwk)) return BrokenJwk("must be an object");
  for (const char* secret : {"d", "p", "q", "dp", "dq", "qi", "oth"}) {
    if (json_object_get(jwk, secret) != nullptr) {
      return BrokenJwk("is private: the file must have public keys only");
    }
  }
  const auto type = JwkText(jwk, "kty");
  if (!type) return BrokenJwk("must have kty");
  if (*type == "oct" || json_object_get(jwk, "k") != nullptr) {
    return BrokenJwk("is symmetric: the file must have public keys only");
  }
  std::string id;
  if (json_object_get(jwk, "kid") != nullptr) {
    const auto kid = JwkText(jwk, "kid");
    if (!kid || kid->empty() || kid->size() > TokenKeys::kMaxIdBytes) {
      return BrokenJwk(absl::StrCat("must have a kid of 1 to ", TokenKeys::kMaxIdBytes, " bytes"));
    }
    id = std::string(*kid);
  }
  if (SaysOtherThan(jwk, "use", "sig") || IsForOtherOperations(jwk)) return {};
  if (*type == "RSA")
    return SaysOtherThan(jwk, "alg", "RS256") ? ReadJwkResult() : ReadRsa(jwk, id);
  const auto curve = JwkText(jwk, "crv");
  if (*type == "EC" && curve == "P-256") {
    return SaysOtherThan(jwk, "alg", "ES256") ? ReadJwkResult() : ReadP256(jwk, id);
  }
  if (*type == "OKP" && curve == "Ed25519") {
    return SaysOtherThan(jwk, "alg", "EdDSA") ? ReadJwkResult() : ReadEd25519(jwk, id);
  }
  return {};
}

struct FreeJws {
  void operator()(jws_t* jws) const { r_jws_free(jws); }
};

}  // namespace

void FreeJson::operator()(json_t* value) const { json_decref(value); }

Json ParseJsonObject(absl::string_view text) {
  Json value(json_loadb(text.data(), text.size(), JSON_REJECT_DUPLICATES, nullptr));
  if (!json_is_object(value.get())) value.reset();
  return value;
}

std::optional<std::string> DecodeBase64Url(absl::string_view text) {
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(text, &bytes)) return std::nullopt;
  // Abseil also takes padding, spaces, and last bits that say nothing.
  if (absl::WebSafeBase64Escape(bytes) != text) return std::nullopt;
  return bytes;
}

std::optional<TokenAlgorithm> ParseTokenAlgorithm(absl::string_view name) {
  if (name == "RS256") return TokenAlgorithm::kRs256;
  if (name == "ES256") return TokenAlgorithm::kEs256;
  if (name == "EdDSA") return TokenAlgorithm::kEdDsa;
  return std::nullopt;
}

bool TokenKey::HasSigned(const std::string& token) const {
  SetUpLibrary();
  const std::size_t dot = token.rfind('.');
  if (dot == token.npos) return false;
  const auto signature = DecodeBase64Url(absl::string_view(token).substr(dot + 1));
  // The library would also take one of another curve's size.
  if (!signature || signature->size() != signature_bytes_) return false;
  jws_t* made = nullptr;
  if (r_jws_init(&made) != RHN_OK) return false;
  const std::unique_ptr<jws_t, FreeJws> jws(made);
  if (r_jws_advanced_compact_parsen(jws.get(), token.data(), token.size(), R_PARSE_NONE,
                                    R_FLAG_IGNORE_REMOTE) != RHN_OK) {
    return false;
  }
  static constexpr std::array<jwa_alg, 3> kLibraryNames{R_JWA_ALG_RS256, R_JWA_ALG_ES256,
                                                        R_JWA_ALG_EDDSA};
  if (r_jws_get_alg(jws.get()) != kLibraryNames[static_cast<std::size_t>(algorithm_)]) return false;
  return r_jws_verify_signature(jws.get(), key_.get(), R_FLAG_IGNORE_REMOTE) == RHN_OK;
}

absl::StatusOr<std::shared_ptr<const TokenKeys>> TokenKeys::Parse(absl::string_view text) {
  SetUpLibrary();
  const auto broken = [](absl::string_view rule) { return absl::InvalidArgumentError(rule); };
  const Json set = ParseJsonObject(text);
  const json_t* const keys = json_object_get(set.get(), "keys");
  if (!json_is_array(keys)) return broken("must be a JWKS: a JSON object with the array \"keys\"");
  if (json_array_size(keys) > kMaxKeys) {
    return broken(absl::StrCat("has more than ", kMaxKeys, " keys"));
  }
  std::shared_ptr<TokenKeys> parsed(new TokenKeys);
  parsed->text_ = std::string(text);
  for (std::size_t i = 0; i < json_array_size(keys); ++i) {
    ReadJwkResult read = ReadJwk(json_array_get(keys, i));
    if (!read.rule.empty()) return broken(absl::StrCat("key ", i + 1, " ", read.rule));
    if (!read.key) continue;
    const bool is_known =
        std::any_of(parsed->keys_.begin(), parsed->keys_.end(), [&](const TokenKey& other) {
          return other.id() == read.key->id() && other.algorithm() == read.key->algorithm();
        });
    if (is_known && !read.key->id().empty()) {
      return broken(absl::StrCat("key ", i + 1, " has the kid of another of its type"));
    }
    parsed->keys_.push_back(*std::move(read.key));
  }
  if (parsed->keys_.empty()) {
    return broken("has no public key for RS256, ES256 or EdDSA");
  }
  return parsed;
}

absl::StatusOr<std::shared_ptr<const TokenKeys>> TokenKeys::Read(const std::string& path) {
  const auto text = ReadFile(path, kMaxFileBytes);
  if (!text.ok()) return text.status();
  return Parse(*text);
}

const TokenKey* TokenKeys::Find(absl::string_view id, TokenAlgorithm algorithm) const {
  const TokenKey* found = nullptr;
  for (const TokenKey& key : keys_) {
    if (key.algorithm() != algorithm || (!id.empty() && key.id() != id)) continue;
    if (found != nullptr) return nullptr;
    found = &key;
  }
  return found;
}

}  // namespace leasegateway
