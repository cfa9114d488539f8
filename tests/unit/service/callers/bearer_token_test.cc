#include "service/callers/bearer_token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "service/process/logging.h"
#include "tests/support/token_maker.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

// Made once: keys of RSA take a while.
const TokenKeyPair& RsaKey() {
  static const TokenKeyPair key(KeyType::kRsa, "rsa");
  return key;
}
const TokenKeyPair& EcKey() {
  static const TokenKeyPair key(KeyType::kP256, "ec");
  return key;
}
const TokenKeyPair& EdKey() {
  static const TokenKeyPair key(KeyType::kEd25519, "ed");
  return key;
}
const TokenKeyPair& StrangerKey(KeyType type) {
  static const TokenKeyPair rsa(KeyType::kRsa, "rsa"), ec(KeyType::kP256, "ec"),
      ed(KeyType::kEd25519, "ed");
  return type == KeyType::kRsa ? rsa : type == KeyType::kP256 ? ec : ed;
}

const std::string kTokenIssuer = "https://issuer.example";
const Identity kTokenOfOrders{v1::IDENTITY_KIND_TOKEN, "https://issuer.example orders"};

class BearerTokenTest : public testing::Test {
 protected:
  BearerTokenTest() {
    std::string folder = testing::TempDir() + "bearer_token_testXXXXXX";
    folder_ = mkdtemp(folder.data());
    Write("keys", Jwks({RsaKey().Jwk(), EcKey().Jwk(), EdKey().Jwk()}));
    verifier_ = Open({{kTokenIssuer, {"lease-gateway", "other"}, folder_ / "keys"}});
  }
  ~BearerTokenTest() override {
    verifier_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Write(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / "new") << content;
    std::filesystem::rename(folder_ / "new", folder_ / name);
  }
  // Reads its files only when told to.
  static std::unique_ptr<TokenVerifier> Open(std::vector<TokenIssuer> issuers) {
    auto opened = TokenVerifier::Open(std::move(issuers), hours(24));
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }

  absl::StatusOr<Identity> Verify(const std::string& token) {
    return verifier_->Verify(token, now_);
  }
  // The `why` of the refusal. What is said has nothing of the token in it.
  std::string WhyNot(const std::string& token) {
    const auto identity = Verify(token);
    if (identity.ok()) return "good";
    EXPECT_EQ(identity.status().code(), absl::StatusCode::kUnauthenticated);
    EXPECT_EQ(ReasonOf(identity.status()), "IDENTITY_INVALID");
    const std::vector<std::string> parts = absl::StrSplit(token, '.');
    for (const std::string& part : parts) {
      if (part.size() <= 3) continue;
      EXPECT_THAT(identity.status().ToString(), Not(HasSubstr(part)));
    }
    message_ = std::string(identity.status().message());
    return MetadataOf(identity.status())["why"];
  }
  void Pass(seconds time) {
    now_.wall += time;
    now_.steady += time;
  }
  TokenClaims Good() const { return GoodClaims(now_.wall); }
  std::string Time(seconds from_now) const { return ClaimTime(now_.wall + from_now); }

  std::filesystem::path folder_;
  TokenTime now_{std::chrono::system_clock::time_point(hours(500'000)),
                 std::chrono::steady_clock::time_point(hours(1))};
  std::unique_ptr<TokenVerifier> verifier_;
  std::string message_;  // of the last refusal
};

TEST_F(BearerTokenTest, TokensOfEachAlgorithmAreBelieved) {
  for (const TokenKeyPair* key : {&RsaKey(), &EcKey(), &EdKey()}) {
    const auto identity = Verify(key->Sign(Good().Json()));
    ASSERT_TRUE(identity.ok()) << key->Algorithm() << ": " << identity.status();
    EXPECT_EQ(*identity, kTokenOfOrders);
  }
}

TEST_F(BearerTokenTest, TokensOfStrangersAreNot) {
  for (const KeyType type : {KeyType::kRsa, KeyType::kP256, KeyType::kEd25519}) {
    EXPECT_EQ(WhyNot(StrangerKey(type).Sign(Good().Json())), "bad signature");
  }
  EXPECT_EQ(message_, "the token's signature is not of its issuer's key");
}

TEST_F(BearerTokenTest, ChangedTokensAreNot) {
  for (const TokenKeyPair* key : {&RsaKey(), &EcKey(), &EdKey()}) {
    const std::string token = key->Sign(Good().Json());
    const std::size_t dot = token.rfind('.');
    auto claims = Good();
    claims.sub = "\"admin\"";
    const std::string other = key->Sign(claims.Json());
    EXPECT_EQ(WhyNot(other.substr(0, other.rfind('.')) + token.substr(dot)), "bad signature");
    std::string changed = token;
    changed[dot + 10] = changed[dot + 10] == 'A' ? 'B' : 'A';
    EXPECT_EQ(WhyNot(changed), "bad signature");
    // A header with a member more says the same to a reader, but is not what was signed.
    const std::string header = Base64Url(
        absl::StrCat(R"({"alg":")", key->Algorithm(), R"(","kid":")", key->id(), R"(","x":1})"));
    EXPECT_EQ(WhyNot(header + token.substr(token.find('.'))), "bad signature");
    EXPECT_EQ(WhyNot(token + "AAAA"), "bad signature");
    EXPECT_EQ(WhyNot(token.substr(0, dot + 5)), "bad signature");
    EXPECT_EQ(WhyNot(token.substr(0, dot + 1) + Base64Url(std::string(96, '\1'))), "bad signature");
    EXPECT_TRUE(Verify(token).ok());
  }
}

TEST_F(BearerTokenTest, AlgorithmIsBoundToTheKey) {
  const std::string claims = Good().Json();
  EXPECT_EQ(WhyNot(UnsignedToken(claims)), "malformed");
  EXPECT_EQ(message_, "the token's alg must be RS256, ES256 or EdDSA");
  EXPECT_EQ(WhyNot(UnsignedToken(claims) + "AAAA"), "malformed");
  EXPECT_EQ(WhyNot(ConfusedToken(RsaKey(), R"({"alg":"HS256","kid":"rsa"})", claims)), "malformed");
  EXPECT_EQ(WhyNot(ConfusedToken(RsaKey(), R"({"alg":"RS256","kid":"rsa"})", claims)),
            "bad signature");
  for (const char* header :
       {R"({"alg":"None"})", R"({"alg":"rs256","kid":"rsa"})", R"({"alg":"RS512","kid":"rsa"})",
        R"({"alg":"PS256","kid":"rsa"})", R"({"alg":"ES384","kid":"ec"})", R"({"kid":"rsa"})",
        R"({"alg":null,"kid":"rsa"})", R"({"alg":["RS256"],"kid":"rsa"})"}) {
    EXPECT_EQ(WhyNot(RsaKey().Sign(header, claims)), "malformed") << header;
  }
  // The key of one type under the name of another's.
  EXPECT_EQ(WhyNot(RsaKey().Sign(R"({"alg":"RS256","kid":"ec"})", claims)), "unknown key");
  EXPECT_EQ(WhyNot(EcKey().Sign(R"({"alg":"ES256","kid":"rsa"})", claims)), "unknown key");
  EXPECT_EQ(WhyNot(RsaKey().Sign(R"({"alg":"ES256","kid":"ec"})", claims)), "bad signature");
}

TEST_F(BearerTokenTest, KeysThatATokenBringsAreNotUsed) {
  const TokenKeyPair& stranger = StrangerKey(KeyType::kP256);
  EXPECT_EQ(
      WhyNot(stranger.Sign(absl::StrCat(R"({"alg":"ES256","kid":"ec","jwk":)", stranger.Jwk(), "}"),
                           Good().Json())),
      "bad signature");
  EXPECT_EQ(WhyNot(stranger.Sign(R"({"alg":"ES256","kid":"ec","jku":"https://127.0.0.1:1/"})",
                                 Good().Json())),
            "bad signature");
}

TEST_F(BearerTokenTest, ExtensionsThatMustBeUnderstoodAreRefused) {
  EXPECT_EQ(WhyNot(EcKey().Sign(R"({"alg":"ES256","kid":"ec","crit":["b64"],"b64":false})",
                                Good().Json())),
            "malformed");
  EXPECT_EQ(message_, "the token's header must not have crit");
  EXPECT_EQ(WhyNot(EcKey().Sign(R"({"alg":"ES256","kid":"ec","crit":[]})", Good().Json())),
            "malformed");
  EXPECT_EQ(WhyNot(EcKey().Sign(R"({"alg":"ES256","kid":"ec","zip":"DEF"})", Good().Json())),
            "malformed");
  EXPECT_EQ(message_, "the token's header must not have zip");
}

TEST_F(BearerTokenTest, KeyIsFoundByItsIdOrIsTheOnlyOne) {
  EXPECT_EQ(WhyNot(EcKey().Sign(R"({"alg":"ES256","kid":"EC"})", Good().Json())), "unknown key");
  EXPECT_EQ(message_, "the token names a key that its issuer does not have for its alg");
  EXPECT_EQ(WhyNot(EcKey().Sign(R"({"alg":"ES256"})", Good().Json())), "good");
  for (const char* header : {R"({"alg":"ES256","kid":""})", R"({"alg":"ES256","kid":1})",
                             R"({"alg":"ES256","kid":null})"}) {
    EXPECT_EQ(WhyNot(EcKey().Sign(header, Good().Json())), "malformed") << header;
  }
  EXPECT_EQ(WhyNot(EcKey().Sign(R"({"alg":"ES256","kid":")" + std::string(257, 'k') + "\"}",
                                Good().Json())),
            "malformed");
  const TokenKeyPair other(KeyType::kP256, "ec 2");
  Write("keys", Jwks({EcKey().Jwk(), other.Jwk()}));
  verifier_->Refresh();
  EXPECT_EQ(WhyNot(other.Sign(Good().Json())), "good");
  EXPECT_EQ(WhyNot(EcKey().Sign(R"({"alg":"ES256"})", Good().Json())), "unknown key");
  EXPECT_EQ(message_, "the token names no key, and its issuer has not just one for its alg");
}

TEST_F(BearerTokenTest, IssuersKeysAreTheirOwn) {
  Write("others", Jwks({StrangerKey(KeyType::kP256).Jwk()}));
  verifier_ = Open({{kTokenIssuer, {"lease-gateway"}, folder_ / "keys"},
                    {"https://other.example", {"theirs"}, folder_ / "others"}});
  auto claims = Good();
  claims.iss = "\"https://other.example\"";
  EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "bad signature");
  EXPECT_EQ(WhyNot(StrangerKey(KeyType::kP256).Sign(claims.Json())), "wrong audience");
  claims.aud = "\"theirs\"";
  EXPECT_EQ(*Verify(StrangerKey(KeyType::kP256).Sign(claims.Json())),
            (Identity{v1::IDENTITY_KIND_TOKEN, "https://other.example orders"}));
  for (const char* issuer : {"", "1", "null", "\"\"", "\"https://issuer.example/\"",
                             "[\"https://issuer.example\"]", "\"https://Issuer.example\""}) {
    claims = Good();
    claims.iss = issuer;
    EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "unknown issuer") << issuer;
  }
}

TEST_F(BearerTokenTest, ExpiryHasAMinuteOfLeeway) {
  auto claims = Good();
  claims.exp = Time(seconds(-59));
  EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "good");
  claims.exp = Time(seconds(-60));
  EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "expired");
  EXPECT_EQ(message_, "the token has expired");
  for (const char* expiry : {"0", "-1", "-1e300"}) {
    claims.exp = expiry;
    EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "expired") << expiry;
  }
  for (const char* expiry : {"", "null", "\"9999999999\"", "true", "[9999999999]"}) {
    claims.exp = expiry;
    EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "malformed") << expiry;
  }
  for (const char* expiry : {"1e300", "9223372036854775807", "4102444800.5"}) {
    claims.exp = expiry;
    EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "good") << expiry;
  }
}

TEST_F(BearerTokenTest, BeginningHasAMinuteOfLeeway) {
  for (std::string TokenClaims::*const claim : {&TokenClaims::nbf, &TokenClaims::iat}) {
    auto claims = Good();
    claims.*claim = Time(seconds(60));
    EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "good");
    claims.*claim = Time(seconds(61));
    EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "not valid yet");
    EXPECT_EQ(message_, "the token is not valid yet");
    claims.*claim = "\"soon\"";
    EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "malformed");
    claims.*claim = "";
    EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "good");
  }
}

TEST_F(BearerTokenTest, AudienceIsOneOfOurs) {
  auto claims = Good();
  for (const char* audience :
       {"\"other\"", R"(["elsewhere","lease-gateway"])", R"(["lease-gateway"])"}) {
    claims.aud = audience;
    EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "good") << audience;
  }
  for (const char* audience : {"", "\"\"", "\"elsewhere\"", "\"LEASE-GATEWAY\"", "[]",
                               R"(["lease-gateway-2","a lease-gateway"])"}) {
    claims.aud = audience;
    EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "wrong audience") << audience;
  }
  EXPECT_EQ(message_, "the token is not for an audience of this gateway");
  for (const char* audience : {"1", "null", R"({"lease-gateway":1})", R"([1,"lease-gateway"])",
                               R"(["lease-gateway",1])"}) {
    claims.aud = audience;
    EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "malformed") << audience;
  }
}

TEST_F(BearerTokenTest, SubjectIsRequired) {
  auto claims = Good();
  for (const char* subject : {"", "\"\"", "1", "null", R"("two\nlines")", R"("a\u0000b")"}) {
    claims.sub = subject;
    EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "malformed") << subject;
  }
  claims.sub = "\"" + std::string(1025, 's') + "\"";
  EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "malformed");
  claims.sub = "\"a b \\u00e9\"";
  EXPECT_EQ(Verify(EcKey().Sign(claims.Json()))->name, "https://issuer.example a b \xc3\xa9");
}

TEST_F(BearerTokenTest, SignatureIsLookedAtBeforeWhatIsClaimed) {
  auto claims = Good();
  claims.exp = "1";
  claims.aud = "\"elsewhere\"";
  EXPECT_EQ(WhyNot(StrangerKey(KeyType::kP256).Sign(claims.Json())), "bad signature");
  EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "expired");
}

TEST_F(BearerTokenTest, FormIsStrict) {
  const std::string token = EcKey().Sign(Good().Json());
  const std::string header = token.substr(0, token.find('.'));
  const std::string rest = token.substr(token.find('.'));
  const std::string signature = token.substr(token.rfind('.'));
  for (const std::string& broken : {std::string(),
                                    std::string("."),
                                    std::string(".."),
                                    std::string("..."),
                                    header,
                                    header + rest.substr(0, rest.rfind('.')),
                                    token.substr(0, token.rfind('.') + 1),
                                    token + ".",
                                    "." + token,
                                    token + "." + header,
                                    " " + token,
                                    token + " ",
                                    token + "=",
                                    token + "\n",
                                    header + "=" + rest,
                                    header + "\n" + rest,
                                    token + "," + token,
                                    std::string(token).insert(5, 1, '\0'),
                                    std::string("\0", 1) + token,
                                    "@@@" + token.substr(3),
                                    Base64Url("[]") + rest,
                                    Base64Url("") + rest,
                                    Base64Url("{\"alg\":\"ES256\",\"kid\":\"ec\"") + rest,
                                    Base64Url(R"({"alg":"ES256","alg":"ES256","kid":"ec"})") + rest,
                                    header + "." + Base64Url("null") + signature,
                                    header + "." + signature,
                                    header + "." + Base64Url(Good().Json() + "x") + signature,
                                    header + "." + Base64Url("{\"iss\":\"\xff\"}") + signature}) {
    EXPECT_EQ(WhyNot(broken), "malformed") << broken;
  }
  EXPECT_EQ(verifier_->stats().verified, 0u);
}

TEST_F(BearerTokenTest, EachTokenHasOneForm) {
  // A last character whose low bits say nothing, other than the one that the signer wrote.
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string token = EcKey().Sign(Good().Json());
  token.back() = alphabet[alphabet.find(token.back()) + 1];
  EXPECT_EQ(WhyNot(token), "malformed");
  EXPECT_EQ(message_, "the token's signature must be in base64url");
  // The other alphabet.
  token = EcKey().Sign(R"({"alg":"ES256","kid":"ec","x":"???>>>"})", Good().Json());
  ASSERT_NE(token.find('_'), token.npos);
  token[token.find('_')] = '/';
  EXPECT_EQ(WhyNot(token), "malformed");
}

TEST_F(BearerTokenTest, ClaimsThatStandTwiceAreRefused) {
  auto claims = Good();
  claims.more = "\"sub\":\"admin\"";
  EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "malformed");
}

TEST_F(BearerTokenTest, SizeIsBounded) {
  auto claims = Good();
  claims.more = "\"x\":\"" + std::string(12'000, 'x') + "\"";
  EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "good");
  claims.more = "\"x\":\"" + std::string(13'000, 'x') + "\"";
  EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "malformed");
  EXPECT_EQ(message_, "the token must be at most 16 KiB");
  // Nesting that a reader which calls itself would not survive.
  claims.more = "\"x\":" + std::string(5'000, '[') + std::string(5'000, ']');
  EXPECT_EQ(WhyNot(EcKey().Sign(claims.Json())), "malformed");
}

// As `kubectl create token orders --audience lease-gateway` gives them.
TEST_F(BearerTokenTest, ServiceAccountTokensOfKubernetes) {
  Write("kubernetes", Jwks({RsaKey().Jwk(R"(,"use":"sig","alg":"RS256")")}));
  verifier_ = Open({{"https://kubernetes.default.svc.cluster.local",
                     {"lease-gateway"},
                     folder_ / "kubernetes"}});
  const std::string claims = absl::StrCat(
      R"({"aud":["lease-gateway"],"exp":)", Time(hours(1)), R"(,"iat":)", Time(seconds(0)),
      R"(,"iss":"https://kubernetes.default.svc.cluster.local","jti":"5a1f",)",
      R"("kubernetes.io":{"namespace":"shop","node":{"name":"n1","uid":"5a1f"},)",
      R"("pod":{"name":"orders-1","uid":"5a1f"},)",
      R"("serviceaccount":{"name":"orders","uid":"5a1f"},"warnafter":1},"nbf":)", Time(seconds(0)),
      R"(,"sub":"system:serviceaccount:shop:orders"})");
  const auto identity = Verify(RsaKey().Sign(R"({"alg":"RS256","kid":"rsa"})", claims));
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->name,
            "https://kubernetes.default.svc.cluster.local system:serviceaccount:shop:orders");
}

TEST_F(BearerTokenTest, TokenIsVerifiedOnceAMinute) {
  const std::string token = EcKey().Sign(Good().Json());
  for (int i = 0; i < 60; ++i) {
    EXPECT_EQ(*Verify(token), kTokenOfOrders);
    Pass(seconds(1));
  }
  EXPECT_EQ(verifier_->stats().verified, 1u);
  EXPECT_EQ(verifier_->stats().from_memory, 59u);
  EXPECT_EQ(*Verify(token), kTokenOfOrders);
  EXPECT_EQ(verifier_->stats().verified, 2u);
  EXPECT_EQ(verifier_->stats().remembered, 1u);
}

TEST_F(BearerTokenTest, KnownTokensExpireAllTheSame) {
  auto claims = Good();
  claims.exp = Time(seconds(-30));
  const std::string token = EcKey().Sign(claims.Json());
  EXPECT_EQ(WhyNot(token), "good");
  Pass(seconds(29));
  EXPECT_EQ(WhyNot(token), "good");
  Pass(seconds(1));
  EXPECT_EQ(WhyNot(token), "expired");
  EXPECT_EQ(verifier_->stats().verified, 1u);
  EXPECT_EQ(verifier_->stats().refused, 1u);
  now_.wall -= hours(2);  // as when the clock is set
  EXPECT_EQ(WhyNot(token), "not valid yet");
  EXPECT_EQ(verifier_->stats().verified, 1u);
}

TEST_F(BearerTokenTest, ForgedTokensAreNotRemembered) {
  const std::string token = StrangerKey(KeyType::kP256).Sign(Good().Json());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(WhyNot(token), "bad signature");
  EXPECT_EQ(verifier_->stats().remembered, 0u);
  EXPECT_EQ(verifier_->stats().verified, 3u);
  EXPECT_EQ(verifier_->stats().refused, 3u);
}

// Whoever comes with a token that has run out does so again and again.
TEST_F(BearerTokenTest, WhatIsWrongWithATokenIsFoundOnceAMinute) {
  auto expired = Good(), elsewhere = Good(), nobody = Good(), forever = Good();
  expired.exp = Time(seconds(-60));
  elsewhere.aud = "\"elsewhere\"";
  nobody.sub = "";
  forever.exp = "";
  std::uint64_t verified = 0;
  for (const auto& [claims, why] :
       {std::pair(expired, "expired"), std::pair(elsewhere, "wrong audience"),
        std::pair(nobody, "malformed"), std::pair(forever, "malformed")}) {
    const std::string token = EcKey().Sign(claims.Json());
    for (int i = 0; i < 3; ++i) EXPECT_EQ(WhyNot(token), why);
    EXPECT_EQ(verifier_->stats().verified, ++verified) << why;
  }
  EXPECT_EQ(verifier_->stats().remembered, 4u);
  EXPECT_EQ(verifier_->stats().refused, 12u);
  // It says so until it is good.
  auto claims = Good();
  claims.nbf = Time(seconds(90));
  const std::string token = EcKey().Sign(claims.Json());
  EXPECT_EQ(WhyNot(token), "not valid yet");
  Pass(seconds(30));
  EXPECT_EQ(WhyNot(token), "good");
  EXPECT_EQ(verifier_->stats().verified, ++verified);
}

TEST_F(BearerTokenTest, NewKeysForgetWhatWasVerifiedWithTheOld) {
  const std::string token = EcKey().Sign(Good().Json());
  EXPECT_EQ(WhyNot(token), "good");
  verifier_->Refresh();
  EXPECT_EQ(WhyNot(token), "good");
  EXPECT_EQ(verifier_->stats().verified, 1u);
  EXPECT_EQ(verifier_->stats().key_changes, 0u);
  Write("keys", Jwks({RsaKey().Jwk()}));
  verifier_->Refresh();
  EXPECT_EQ(WhyNot(token), "unknown key");
  EXPECT_EQ(verifier_->stats().key_changes, 1u);
  EXPECT_EQ(verifier_->stats().remembered, 0u);
}

TEST_F(BearerTokenTest, BadKeyFileLeavesTheOldKeysInForce) {
  const std::string token = EcKey().Sign(Good().Json());
  for (const std::string& content :
       {std::string(), std::string("{}"), Jwks({}), Jwks({EcKey().PrivateJwk()})}) {
    Write("keys", content);
    verifier_->Refresh();
    EXPECT_FALSE(verifier_->stats().key_files_ok);
    EXPECT_EQ(WhyNot(token), "good");
  }
  std::filesystem::remove(folder_ / "keys");
  verifier_->Refresh();
  EXPECT_FALSE(verifier_->stats().key_files_ok);
  EXPECT_EQ(WhyNot(token), "good");
  EXPECT_EQ(verifier_->stats().key_changes, 0u);
  Write("keys", Jwks({EcKey().Jwk()}));
  verifier_->Refresh();
  EXPECT_TRUE(verifier_->stats().key_files_ok);
  EXPECT_EQ(WhyNot(RsaKey().Sign(Good().Json())), "unknown key");
}

TEST_F(BearerTokenTest, BadKeyFileIsLoggedOnceAndNeverQuoted) {
  std::ostringstream log;
  InitLoggingTo(log, "info", "text");
  const std::string secret = EcKey().PrivateJwk();
  Write("keys", Jwks({secret}));
  for (int i = 0; i < 3; ++i) verifier_->Refresh();
  Write("keys", Jwks({EcKey().Jwk()}));
  verifier_->Refresh();
  Write("keys", Jwks({secret}));
  verifier_->Refresh();
  ShutdownLogging();
  const std::string text = log.str();
  const std::string path = folder_ / "keys";
  const auto line = [&](const std::string& rule) { return "keys_file: \"" + path + "\"" + rule; };
  const std::string bad = line(
      ": key 1 is private: the file must have public keys only; the keys from before stay in "
      "force");
  EXPECT_NE(text.find(bad), text.npos) << text;
  EXPECT_THAT(text, HasSubstr(line(" has changed: 1 key is in force")));
  const std::string issuer = "issuer=" + kTokenIssuer + " file=" + path;
  EXPECT_THAT(text, HasSubstr("audit keys_file_refused " + issuer + " problem=\"key 1 is private"));
  EXPECT_THAT(text, HasSubstr("audit keys_file_read " + issuer + " keys=1\n"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 6) << text;
  EXPECT_THAT(text, Not(HasSubstr("kty")));
}

// The library has a log of its own, on the console if it is not told otherwise.
TEST_F(BearerTokenTest, LibrarySaysNothing) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  WhyNot(StrangerKey(KeyType::kRsa).Sign(Good().Json()));
  WhyNot(EcKey().Sign(R"({"alg":"ES256","kid":"ec","jwk":{},"x5c":1})", Good().Json()));
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(BearerTokenTest, FilesAreReadByThemselves) {
  auto opened = TokenVerifier::Open({{kTokenIssuer, {"lease-gateway"}, folder_ / "keys"}},
                                    std::chrono::milliseconds(1));
  ASSERT_TRUE(opened.ok());
  Write("keys", Jwks({RsaKey().Jwk()}));
  for (int i = 0; i < 1'000 && (*opened)->stats().key_changes == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ((*opened)->stats().key_changes, 1u);
}

TEST_F(BearerTokenTest, MissingKeyFileIsAnErrorAtTheStart) {
  const std::string path = folder_ / "none";
  EXPECT_EQ(TokenVerifier::Open({{kTokenIssuer, {"a"}, path}}, hours(1)).status().message(),
            absl::StrCat("keys_file: \"", path, "\": cannot be read: No such file or directory"));
}

// ThreadSanitizer looks at this one.
TEST_F(BearerTokenTest, ManyThreadsVerifyATokenOnce) {
  constexpr int kThreads = 8, kTokens = 30;
  std::vector<std::string> tokens;
  for (int i = 0; i < kTokens; ++i) {
    auto claims = Good();
    claims.sub = absl::StrCat("\"caller-", i, "\"");
    tokens.push_back(RsaKey().Sign(claims.Json()));
  }
  std::barrier together(kThreads);
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (const std::string& token : tokens) {
        together.arrive_and_wait();
        good += verifier_->Verify(token, now_).ok() ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, kThreads * kTokens);
  EXPECT_EQ(verifier_->stats().verified, std::uint64_t{kTokens});
  EXPECT_EQ(verifier_->stats().from_memory, std::uint64_t{(kThreads - 1) * kTokens});
}

TEST_F(BearerTokenTest, KeysChangeWhileTokensAreVerified) {
  std::vector<std::string> tokens;
  for (int i = 0; i < 20; ++i) {
    auto claims = Good();
    claims.sub = absl::StrCat("\"caller-", i, "\"");
    tokens.push_back((i % 2 == 0 ? EcKey() : EdKey()).Sign(claims.Json()));
  }
  std::atomic<bool> done{false};
  std::atomic<int> bad{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!done) {
        for (const std::string& token : tokens) bad += verifier_->Verify(token, now_).ok() ? 0 : 1;
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    Write("keys", i % 2 == 0 ? Jwks({EcKey().Jwk(), EdKey().Jwk()})
                             : Jwks({EdKey().Jwk(), EcKey().Jwk(), RsaKey().Jwk()}));
    verifier_->Refresh();
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(bad, 0);
  EXPECT_EQ(verifier_->stats().key_changes, 20u);
  EXPECT_LE(verifier_->stats().remembered, tokens.size());
}

}  // namespace
}  // namespace leasegateway
