#include "service/callers/token_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/token_maker.h"

namespace leasegateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const TokenKeyPair& LargeKey() {
  static const TokenKeyPair key(KeyType::kRsa, "large");
  return key;
}
const TokenKeyPair& CurveKey() {
  static const TokenKeyPair key(KeyType::kP256, "curve");
  return key;
}

// The rule that a file breaks.
std::string KeysRule(const std::string& text) {
  const auto keys = TokenKeys::Parse(text);
  return keys.ok() ? "" : std::string(keys.status().message());
}
std::string KeyRule(const std::string& jwk) { return KeysRule(Jwks({CurveKey().Jwk(), jwk})); }
// How many keys of two, the first of which is good, are used.
std::size_t UsedWith(const std::string& jwk) {
  const auto keys = TokenKeys::Parse(Jwks({CurveKey().Jwk(), jwk}));
  EXPECT_TRUE(keys.ok()) << keys.status();
  return keys.ok() ? (*keys)->size() : 0;
}
std::string With(const std::string& jwk, const std::string& name, const std::string& value) {
  const std::size_t begin = jwk.find("\"" + name + "\":\"") + name.size() + 4;
  return std::string(jwk).replace(begin, jwk.find('"', begin) - begin, value);
}

TEST(TokenKeysTest, KeysOfEachTypeCheckSignatures) {
  const TokenKeyPair ed(KeyType::kEd25519, "ed");
  const auto keys = TokenKeys::Parse(Jwks({LargeKey().Jwk(), CurveKey().Jwk(), ed.Jwk()}));
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ((*keys)->size(), 3u);
  for (const TokenKeyPair* pair : {&LargeKey(), &CurveKey(), &ed}) {
    const TokenKey* const key = (*keys)->Find(pair->id(), *ParseTokenAlgorithm(pair->Algorithm()));
    ASSERT_NE(key, nullptr);
    EXPECT_EQ(key->id(), pair->id());
    EXPECT_TRUE(key->HasSigned(pair->Sign("{}")));
    EXPECT_FALSE(key->HasSigned(pair->Sign("{}") + "AAAA"));
    EXPECT_FALSE(key->HasSigned(TokenKeyPair(KeyType::kP256, pair->id()).Sign("{}")));
    EXPECT_FALSE(key->HasSigned(UnsignedToken("{}")));
    EXPECT_FALSE(key->HasSigned(""));
    EXPECT_FALSE(key->HasSigned("..."));
  }
}

TEST(TokenKeysTest, KeyIsUsedWithItsAlgorithmOnly) {
  const auto keys = TokenKeys::Parse(Jwks({LargeKey().Jwk(), CurveKey().Jwk()}));
  ASSERT_TRUE(keys.ok());
  EXPECT_EQ((*keys)->Find("large", TokenAlgorithm::kEs256), nullptr);
  const TokenKey* const key = (*keys)->Find("large", TokenAlgorithm::kRs256);
  ASSERT_NE(key, nullptr);
  EXPECT_FALSE(key->HasSigned(ConfusedToken(LargeKey(), R"({"alg":"HS256"})", "{}")));
  EXPECT_FALSE(key->HasSigned(LargeKey().Sign(R"({"alg":"RS512"})", "{}")));
  EXPECT_FALSE(key->HasSigned(LargeKey().Sign(R"({"alg":"RS512"})", "{}", EVP_sha512())));
  // Signed as RS256 is, under another name.
  EXPECT_FALSE(key->HasSigned(LargeKey().Sign(R"({"alg":"PS256"})", "{}")));
}

// As a signature of a larger curve: the same two numbers, with zeros before them.
TEST(TokenKeysTest, SignaturesAreOfTheKeysSize) {
  const auto keys = TokenKeys::Parse(Jwks({CurveKey().Jwk()}));
  ASSERT_TRUE(keys.ok());
  const TokenKey* const key = (*keys)->Find("curve", TokenAlgorithm::kEs256);
  const std::string text = Base64Url(CurveKey().Header()) + "." + Base64Url("{}");
  const std::string signature = CurveKey().Signature(text);
  const std::string zeros(16, '\0');
  EXPECT_TRUE(key->HasSigned(text + "." + Base64Url(signature)));
  EXPECT_FALSE(key->HasSigned(
      text + "." + Base64Url(zeros + signature.substr(0, 32) + zeros + signature.substr(32))));
}

TEST(TokenKeysTest, KeyWithoutAnIdIsFoundWhenItIsTheOnlyOne) {
  const TokenKeyPair nameless(KeyType::kP256);
  auto keys = TokenKeys::Parse(Jwks({nameless.Jwk(), LargeKey().Jwk()}));
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_NE((*keys)->Find("", TokenAlgorithm::kEs256), nullptr);
  EXPECT_NE((*keys)->Find("", TokenAlgorithm::kRs256), nullptr);
  EXPECT_EQ((*keys)->Find("", TokenAlgorithm::kEdDsa), nullptr);
  EXPECT_EQ((*keys)->Find("any", TokenAlgorithm::kEs256), nullptr);
  keys = TokenKeys::Parse(Jwks({nameless.Jwk(), CurveKey().Jwk()}));
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ((*keys)->Find("", TokenAlgorithm::kEs256), nullptr);
  EXPECT_NE((*keys)->Find("curve", TokenAlgorithm::kEs256), nullptr);
}

TEST(TokenKeysTest, IdsAreOneOfAType) {
  EXPECT_EQ(KeyRule(TokenKeyPair(KeyType::kP256, "curve").Jwk()),
            "key 2 has the kid of another of its type");
  EXPECT_EQ(UsedWith(TokenKeyPair(KeyType::kEd25519, "curve").Jwk()), 2u);
  const std::string rule = "key 2 must have a kid of 1 to 256 bytes";
  EXPECT_EQ(KeyRule(TokenKeyPair(KeyType::kP256).Jwk(",\"kid\":\"\"")), rule);
  EXPECT_EQ(KeyRule(TokenKeyPair(KeyType::kP256).Jwk(",\"kid\":1")), rule);
  EXPECT_EQ(KeyRule(TokenKeyPair(KeyType::kP256, std::string(257, 'k')).Jwk()), rule);
  EXPECT_EQ(UsedWith(TokenKeyPair(KeyType::kP256, std::string(256, 'k')).Jwk()), 2u);
}

TEST(TokenKeysTest, SecretsAreRefused) {
  const std::string rule = "key 2 is private: the file must have public keys only";
  EXPECT_EQ(KeyRule(LargeKey().PrivateJwk()), rule);
  EXPECT_EQ(KeyRule(TokenKeyPair(KeyType::kEd25519, "ed").PrivateJwk()), rule);
  EXPECT_EQ(KeyRule(LargeKey().Jwk(",\"dq\":\"AQ\"")), rule);
  // Of a type that would be left out, too.
  EXPECT_EQ(KeyRule(TokenKeyPair(KeyType::kP384, "p384").PrivateJwk()), rule);
  const std::string symmetric = "key 2 is symmetric: the file must have public keys only";
  EXPECT_EQ(KeyRule(R"({"kty":"oct","k":"c2VjcmV0","alg":"HS256"})"), symmetric);
  EXPECT_EQ(KeyRule(R"({"kty":"oct"})"), symmetric);
  EXPECT_THAT(KeyRule(R"({"kty":"oct","k":"c2VjcmV0"})"), Not(HasSubstr("c2VjcmV0")));
}

TEST(TokenKeysTest, WeakAndBrokenKeysAreRefused) {
  EXPECT_EQ(KeyRule(TokenKeyPair(KeyType::kRsa, "small", 1024).Jwk()),
            "key 2 has less than 2048 bits");
  // A bit less than that.
  std::string modulus(256, '\xff');
  modulus[0] = '\x7f';
  EXPECT_EQ(KeyRule(With(LargeKey().Jwk(), "n", Base64Url(modulus))),
            "key 2 has less than 2048 bits");
  EXPECT_EQ(KeyRule(With(LargeKey().Jwk(), "n", Base64Url(std::string(1025, '\xff')))),
            "key 2 has more than 8192 bits");
  for (const std::string& exponent :
       {std::string("\x01"), std::string("\x02"), std::string("\x01\x00\x01\x00\x01", 5)}) {
    EXPECT_EQ(KeyRule(With(LargeKey().Jwk(), "e", Base64Url(exponent))),
              "key 2 must have an exponent that is odd, 3 to 4294967295");
  }
  const std::string numbers =
      "key 2 must have n and e in base64url, without a zero at their beginning";
  for (const std::string& bytes : {std::string("="), std::string("A"), Base64Url(""),
                                   Base64Url(std::string(300, '\0')), std::string("////")}) {
    EXPECT_EQ(KeyRule(With(LargeKey().Jwk(), "n", bytes)), numbers) << bytes;
  }
  EXPECT_EQ(KeyRule(R"({"kty":"RSA","n":1,"e":"AQAB"})"), numbers);
  EXPECT_EQ(KeyRule(R"({"kty":"RSA"})"), numbers);
  const std::string point = "key 2 must have x and y of 32 bytes in base64url";
  EXPECT_EQ(KeyRule(With(CurveKey().Jwk(), "x", Base64Url(std::string(31, 'x')))), point);
  EXPECT_EQ(KeyRule(With(CurveKey().Jwk(), "y", Base64Url(std::string(33, 'x')))), point);
  EXPECT_EQ(KeyRule(R"({"kty":"EC","crv":"P-256"})"), point);
  EXPECT_EQ(KeyRule(R"({"kty":"OKP","crv":"Ed25519","x":"AA"})"),
            "key 2 must have x of 32 bytes in base64url");
}

TEST(TokenKeysTest, PointsThatAreNotOnTheCurveAreRefused) {
  EXPECT_EQ(KeyRule(With(TokenKeyPair(KeyType::kP256, "off").Jwk(), "x",
                         Base64Url(std::string(32, '\x11')))),
            "key 2 is no point of its curve");
}

TEST(TokenKeysTest, KeysForOthersAreLeftOut) {
  EXPECT_EQ(UsedWith(LargeKey().Jwk(R"(,"use":"sig","alg":"RS256","key_ops":["verify"])")), 2u);
  EXPECT_EQ(UsedWith(LargeKey().Jwk(R"(,"key_ops":["sign","verify"],"x5c":["AA=="],"x":1)")), 2u);
  EXPECT_EQ(UsedWith(LargeKey().Jwk(R"(,"use":"enc")")), 1u);
  EXPECT_EQ(UsedWith(LargeKey().Jwk(R"(,"use":1)")), 1u);
  EXPECT_EQ(UsedWith(LargeKey().Jwk(R"(,"key_ops":["encrypt"])")), 1u);
  EXPECT_EQ(UsedWith(LargeKey().Jwk(R"(,"key_ops":[])")), 1u);
  for (const char* algorithm : {"\"RS512\"", "\"PS256\"", "\"RSA-OAEP\"", "\"ES256\"", "null"}) {
    EXPECT_EQ(UsedWith(LargeKey().Jwk(absl::StrCat(",\"alg\":", algorithm))), 1u) << algorithm;
  }
  EXPECT_EQ(UsedWith(TokenKeyPair(KeyType::kP256, "2").Jwk(R"(,"alg":"ES384")")), 1u);
  EXPECT_EQ(UsedWith(TokenKeyPair(KeyType::kEd25519, "2").Jwk(R"(,"alg":"ECDH-ES")")), 1u);
  EXPECT_EQ(UsedWith(TokenKeyPair(KeyType::kP384, "p384").Jwk()), 1u);
  EXPECT_EQ(UsedWith(R"({"kty":"OKP","crv":"X25519","x":"AA"})"), 1u);
  EXPECT_EQ(UsedWith(R"({"kty":"AKP"})"), 1u);
}

TEST(TokenKeysTest, WhatIsNoKeySetIsRefused) {
  const std::string form = "must be a JWKS: a JSON object with the array \"keys\"";
  for (const char* text :
       {"", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]", "{\"keys\":[],\"keys\":[]}",
        "-----BEGIN PUBLIC KEY-----", "{\"keys\":[]} x"}) {
    EXPECT_EQ(KeysRule(text), form) << text;
  }
  EXPECT_EQ(KeysRule(std::string(2'000'000, '[')), form);
  const std::string none = "has no public key for RS256, ES256 or EdDSA";
  EXPECT_EQ(KeysRule("{\"keys\":[]}"), none);
  EXPECT_EQ(KeysRule(Jwks({R"({"kty":"AKP"})"})), none);
  EXPECT_EQ(KeyRule("1"), "key 2 must be an object");
  EXPECT_EQ(KeyRule("{}"), "key 2 must have kty");
  EXPECT_EQ(KeyRule(R"({"kty":1})"), "key 2 must have kty");
  const std::vector<std::string> others(99, R"({"kty":"AKP"})");
  std::vector<std::string> keys = others;
  keys.push_back(CurveKey().Jwk());
  EXPECT_EQ(KeysRule(Jwks(keys)), "");
  keys.push_back(R"({"kty":"AKP"})");
  EXPECT_EQ(KeysRule(Jwks(keys)), "has more than 100 keys");
}

TEST(TokenKeysTest, FilesAreBounded) {
  const std::string path = testing::TempDir() + "token_keys_test";
  const std::string text = Jwks({CurveKey().Jwk()});
  std::ofstream(path) << text << std::string(TokenKeys::kMaxFileBytes - text.size(), ' ');
  EXPECT_TRUE(TokenKeys::Read(path).ok());
  std::ofstream(path, std::ios::app) << ' ';
  EXPECT_EQ(TokenKeys::Read(path).status().message(), "is longer than 256KiB");
  std::filesystem::remove(path);
  EXPECT_EQ(TokenKeys::Read(path).status().message(), "cannot be read: No such file or directory");
}

TEST(TokenKeysTest, Base64UrlHasOneForm) {
  EXPECT_EQ(DecodeBase64Url(""), "");
  EXPECT_EQ(DecodeBase64Url("Zg"), "f");
  EXPECT_EQ(DecodeBase64Url("_-8"), "\xff\xef");
  for (const char* text : {"Zg==", "Zh", "Z", "Zg.", "Zg\n", " Zg", "/+8", "Z g"}) {
    EXPECT_EQ(DecodeBase64Url(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace leasegateway
