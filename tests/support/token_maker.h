#ifndef LEASE_GATEWAY_TESTS_SUPPORT_TOKEN_MAKER_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_TOKEN_MAKER_H_

#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

// Keys, key sets and tokens by OpenSSL alone: what they are is read from the RFCs a second time.
namespace leasegateway {

inline std::string Base64Url(const std::string& bytes) {
  return std::string(absl::WebSafeBase64Escape(bytes));
}

enum class KeyType { kRsa, kP256, kP384, kEd25519 };

// A key pair of an issuer.
class TokenKeyPair {
 public:
  // `id` empty: no `kid`. `bits` of RSA.
  explicit TokenKeyPair(KeyType type, std::string id = "", unsigned bits = 2048)
      : type_(type), id_(std::move(id)), key_(MakeKey(type, bits), &EVP_PKEY_free) {
    EXPECT_NE(key_, nullptr);
  }

  KeyType type() const { return type_; }
  const std::string& id() const { return id_; }
  std::string Algorithm() const {
    return type_ == KeyType::kRsa       ? "RS256"
           : type_ == KeyType::kEd25519 ? "EdDSA"
           : type_ == KeyType::kP256    ? "ES256"
                                        : "ES384";
  }

  // A JWK of the public key. `more`: members besides, as `,"use":"sig"`.
  std::string Jwk(const std::string& more = "") const {
    return absl::StrCat("{", PublicMembers(), id_.empty() ? "" : ",\"kid\":\"" + id_ + "\"", more,
                        "}");
  }
  std::string PrivateJwk() const { return Jwk(",\"d\":\"" + Base64Url("private") + "\""); }

  // The JSON of a header that names the key.
  std::string Header() const {
    return absl::StrCat("{\"alg\":\"", Algorithm(), "\"",
                        id_.empty() ? "" : ",\"kid\":\"" + id_ + "\"", ",\"typ\":\"JWT\"}");
  }
  // A token of any header and claims. `digest`: other than the one of its algorithm.
  std::string Sign(const std::string& header, const std::string& claims,
                   const EVP_MD* digest = nullptr) const {
    const std::string text = Base64Url(header) + "." + Base64Url(claims);
    return text + "." + Base64Url(Signature(text, digest));
  }
  std::string Sign(const std::string& claims) const { return Sign(Header(), claims); }

  // Of a text, as it stands in a token.
  std::string Signature(const std::string& text, const EVP_MD* digest = nullptr) const {
    const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                     &EVP_MD_CTX_free);
    if (digest == nullptr && type_ != KeyType::kEd25519) {
      digest = type_ == KeyType::kP384 ? EVP_sha384() : EVP_sha256();
    }
    EXPECT_EQ(EVP_DigestSignInit(context.get(), nullptr, digest, nullptr, key_.get()), 1);
    const auto* const data = reinterpret_cast<const unsigned char*>(text.data());
    std::size_t size = 0;
    EXPECT_EQ(EVP_DigestSign(context.get(), nullptr, &size, data, text.size()), 1);
    std::string signature(size, '\0');
    auto* const out = reinterpret_cast<unsigned char*>(signature.data());
    EXPECT_EQ(EVP_DigestSign(context.get(), out, &size, data, text.size()), 1);
    signature.resize(size);
    const bool is_ec = type_ == KeyType::kP256 || type_ == KeyType::kP384;
    return is_ec ? FromDer(signature, type_ == KeyType::kP256 ? 32 : 48) : signature;
  }

  // What an attacker has of it: the bytes that a key of HS256 would be made of.
  std::string PublicBytes() const { return PublicMembers(); }

 private:
  static EVP_PKEY* MakeKey(KeyType type, unsigned bits) {
    switch (type) {
      case KeyType::kRsa:
        return EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<std::size_t>(bits));
      case KeyType::kP256:
        return EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
      case KeyType::kP384:
        return EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384");
      case KeyType::kEd25519:
        return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
    }
    return nullptr;
  }

  // Of at least `size` bytes.
  static std::string Bytes(const BIGNUM* number, int size) {
    std::string bytes(static_cast<std::size_t>(std::max(size, BN_num_bytes(number))), '\0');
    BN_bn2binpad(number, reinterpret_cast<unsigned char*>(bytes.data()),
                 static_cast<int>(bytes.size()));
    return bytes;
  }
  std::string Number(const char* name, int size = 0) const {
    BIGNUM* number = nullptr;
    EXPECT_EQ(EVP_PKEY_get_bn_param(key_.get(), name, &number), 1);
    std::string bytes = Base64Url(Bytes(number, size));
    BN_free(number);
    return bytes;
  }

  std::string PublicMembers() const {
    if (type_ == KeyType::kRsa) {
      return absl::StrCat("\"kty\":\"RSA\",\"n\":\"", Number(OSSL_PKEY_PARAM_RSA_N), "\",\"e\":\"",
                          Number(OSSL_PKEY_PARAM_RSA_E), "\"");
    }
    if (type_ == KeyType::kEd25519) {
      std::string raw(32, '\0');
      std::size_t size = raw.size();
      EXPECT_EQ(EVP_PKEY_get_raw_public_key(key_.get(),
                                            reinterpret_cast<unsigned char*>(raw.data()), &size),
                1);
      return absl::StrCat("\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"", Base64Url(raw), "\"");
    }
    const bool is_p256 = type_ == KeyType::kP256;
    const int size = is_p256 ? 32 : 48;
    return absl::StrCat("\"kty\":\"EC\",\"crv\":\"", is_p256 ? "P-256" : "P-384", "\",\"x\":\"",
                        Number(OSSL_PKEY_PARAM_EC_PUB_X, size), "\",\"y\":\"",
                        Number(OSSL_PKEY_PARAM_EC_PUB_Y, size), "\"");
  }

  // The two numbers of an ECDSA signature, one after the other (RFC 7518).
  static std::string FromDer(const std::string& der, int size) {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    const std::unique_ptr<ECDSA_SIG, void (*)(ECDSA_SIG*)> signature(
        d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())), &ECDSA_SIG_free);
    EXPECT_NE(signature, nullptr);
    return Bytes(ECDSA_SIG_get0_r(signature.get()), size) +
           Bytes(ECDSA_SIG_get0_s(signature.get()), size);
  }

  const KeyType type_;
  const std::string id_;
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key_;
};

// A JWKS file of JWKs.
inline std::string Jwks(const std::vector<std::string>& keys) {
  std::string all;
  for (const std::string& key : keys) absl::StrAppend(&all, all.empty() ? "" : ",", key);
  return absl::StrCat("{\"keys\":[", all, "]}");
}

// The claims of a token. A member that is empty is left out; the others are JSON, and their names
// are those of RFC 7519.
struct TokenClaims {
  std::string iss = "\"https://issuer.example\"";
  std::string sub = "\"orders\"";
  std::string aud = "\"lease-gateway\"";
  std::string exp = {};
  std::string nbf = {};
  std::string iat = {};
  std::string more = {};  // members besides, as `"scope":"all"`

  std::string Json() const {
    std::string text;
    const auto add = [&](const char* name, const std::string& value) {
      if (value.empty()) return;
      absl::StrAppend(&text, text.empty() ? "" : ",", "\"", name, "\":", value);
    };
    add("iss", iss);
    add("sub", sub);
    add("aud", aud);
    add("exp", exp);
    add("nbf", nbf);
    add("iat", iat);
    if (!more.empty()) absl::StrAppend(&text, text.empty() ? "" : ",", more);
    return absl::StrCat("{", text, "}");
  }
};

// Seconds since 1970, as in a claim.
inline std::string ClaimTime(std::chrono::system_clock::time_point time) {
  return absl::StrCat(
      std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
}

// Claims that are good for an hour from `now` on.
inline TokenClaims GoodClaims(std::chrono::system_clock::time_point now) {
  TokenClaims claims;
  claims.iat = claims.nbf = ClaimTime(now);
  claims.exp = ClaimTime(now + std::chrono::hours(1));
  return claims;
}

// Tokens that nobody may believe.
inline std::string UnsignedToken(const std::string& claims) {
  return Base64Url(R"({"alg":"none","typ":"JWT"})") + "." + Base64Url(claims) + ".";
}
// Signed with HS256 by what is public of an issuer's key.
inline std::string ConfusedToken(const TokenKeyPair& key, const std::string& header,
                                 const std::string& claims) {
  const std::string text = Base64Url(header) + "." + Base64Url(claims);
  const std::string secret = key.PublicBytes();
  std::string mac(32, '\0');
  unsigned size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(),
       reinterpret_cast<unsigned char*>(mac.data()), &size);
  return text + "." + Base64Url(mac);
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_TOKEN_MAKER_H_
