#include "service/callers/peer_identity.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/token_maker.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

const std::string kForwarded = "By=spiffe://prod/gateway;URI=spiffe://prod/orders";

class PeerIdentityTest : public testing::Test {
 protected:
  PeerIdentityTest() {
    std::string folder = testing::TempDir() + "peer_identity_testXXXXXX";
    folder_ = mkdtemp(folder.data());
    std::ofstream(folder_ / "keys") << Jwks({key_.Jwk()});
    auto opened = TokenVerifier::Open(
        {{"https://issuer.example", {"lease-gateway"}, folder_ / "keys"}}, std::chrono::hours(24));
    EXPECT_TRUE(opened.ok()) << opened.status();
    tokens_ = *std::move(opened);
  }
  ~PeerIdentityTest() override { std::filesystem::remove_all(folder_); }

  // `why` of the refusal, or kind and name.
  std::string Outcome(const PeerFacts& facts, bool has_issuers = true) {
    const IdentityReader reader(*Networks::Parse("10.1.0.0/16, 2001:db8::/32"),
                                has_issuers ? tokens_ : nullptr);
    const auto identity = reader.Read(facts);
    if (identity.ok()) {
      return v1::IdentityKind_Name(identity->kind).substr(14) + " " + identity->name;
    }
    EXPECT_EQ(identity.status().code(), absl::StatusCode::kUnauthenticated);
    EXPECT_EQ(ReasonOf(identity.status()), "IDENTITY_INVALID");
    return MetadataOf(identity.status())["why"];
  }
  std::string Token() const {
    return key_.Sign(GoodClaims(std::chrono::system_clock::now()).Json());
  }

  const TokenKeyPair key_{KeyType::kP256, "1"};
  std::filesystem::path folder_;
  std::shared_ptr<TokenVerifier> tokens_;
};

TEST_F(PeerIdentityTest, NobodyIsAnonymous) {
  EXPECT_EQ(Outcome({.address = "192.0.2.1"}), "ANONYMOUS ");
  EXPECT_EQ(Outcome({.address = "127.0.0.1"}), "ANONYMOUS ");
  EXPECT_EQ(Outcome({.address = ""}, false), "ANONYMOUS ");
  // Names without a verified certificate are no proof.
  EXPECT_EQ(Outcome({.address = "192.0.2.1", .uris = {"spiffe://prod/a"}, .common_name = "a"}),
            "ANONYMOUS ");
}

TEST_F(PeerIdentityTest, CertificateHasASpiffeIdADnsNameOrACommonName) {
  PeerFacts facts{.address = "192.0.2.1", .has_certificate = true};
  EXPECT_EQ(Outcome(facts), "no name");
  facts.common_name = "Orders";
  EXPECT_EQ(Outcome(facts), "COMMON_NAME Orders");
  facts.dns_names = {"Orders.Shop", "other"};
  EXPECT_EQ(Outcome(facts), "DNS_NAME orders.shop");
  facts.uris = {"https://orders"};
  EXPECT_EQ(Outcome(facts), "DNS_NAME orders.shop");
  facts.uris = {"https://orders", "spiffe://prod/orders"};
  EXPECT_EQ(Outcome(facts), "SPIFFE_ID spiffe://prod/orders");
}

TEST_F(PeerIdentityTest, BadNamesInACertificateAreNotPassedOver) {
  PeerFacts facts{.address = "192.0.2.1", .has_certificate = true};
  facts.common_name = "Orders";
  facts.uris = {"spiffe://prod/a", "spiffe://prod/b"};
  EXPECT_EQ(Outcome(facts), "several names");
  facts.uris = {"spiffe://prod/a/"};
  EXPECT_EQ(Outcome(facts), "invalid name");
  facts.uris = {};
  facts.dns_names = {"*.shop", "orders.shop"};
  EXPECT_EQ(Outcome(facts), "invalid name");
  facts.dns_names = {};
  facts.common_name = "two\nlines";
  EXPECT_EQ(Outcome(facts), "invalid name");
}

TEST_F(PeerIdentityTest, ForwardedCertificateIsBelievedFromTrustedPeersOnly) {
  for (const char* address : {"127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "", "10.1.255.1",
                              "::ffff:10.1.0.1", "2001:db8::1"}) {
    EXPECT_EQ(Outcome({.address = address, .forwarded_certificate = kForwarded}),
              "SPIFFE_ID spiffe://prod/orders")
        << address;
  }
  for (const char* address :
       {"10.2.0.1", "128.0.0.1", "::2", "::ffff:10.2.0.1", "2001:db9::1", "unknown"}) {
    EXPECT_EQ(Outcome({.address = address, .forwarded_certificate = kForwarded}), "untrusted proxy")
        << address;
  }
}

TEST_F(PeerIdentityTest, StrangersHeaderIsRefusedWhateverElseTheyProve) {
  PeerFacts facts{.address = "192.0.2.1", .has_certificate = true, .common_name = "orders"};
  facts.forwarded_certificate = kForwarded;
  facts.authorization = "Bearer " + Token();
  EXPECT_EQ(Outcome(facts), "untrusted proxy");
  facts.forwarded_certificate = "";
  EXPECT_EQ(Outcome(facts), "untrusted proxy");
}

TEST_F(PeerIdentityTest, WhatATrustedProxyForwardsComesBeforeItsOwnCertificate) {
  PeerFacts facts{.address = "10.1.0.1", .has_certificate = true, .uris = {"spiffe://prod/proxy"}};
  EXPECT_EQ(Outcome(facts), "SPIFFE_ID spiffe://prod/proxy");
  facts.forwarded_certificate = kForwarded;
  EXPECT_EQ(Outcome(facts), "SPIFFE_ID spiffe://prod/orders");
  for (const char* header : {"", "Hash=1", "URI"}) {
    facts.forwarded_certificate = header;
    EXPECT_EQ(Outcome(facts), *header == 'H' ? "no name" : "malformed header") << header;
  }
}

TEST_F(PeerIdentityTest, BearerTokens) {
  const std::string token = Token();
  for (const char* scheme : {"Bearer ", "bearer ", "BEARER  "}) {
    EXPECT_EQ(Outcome({.address = "192.0.2.1", .authorization = scheme + token}),
              "TOKEN https://issuer.example orders");
  }
  for (const std::string& header : {token, "Basic " + token, std::string(), " Bearer " + token,
                                    "Bearer\t" + token, "Bearer:" + token, "Bearers " + token}) {
    EXPECT_EQ(Outcome({.address = "192.0.2.1", .authorization = header}), "unknown scheme");
  }
  for (const std::string& header : {std::string("Bearer"), std::string("Bearer  "),
                                    "Bearer " + token + " ", "Bearer " + token + ",Bearer " + token,
                                    "Bearer " + token + ", " + token, "Bearer \"" + token + "\""}) {
    EXPECT_EQ(Outcome({.address = "192.0.2.1", .authorization = header}), "malformed");
  }
  EXPECT_EQ(Outcome({.address = "127.0.0.1", .authorization = "Bearer " + token}, false),
            "unknown issuer");
  EXPECT_EQ(Outcome({.address = "127.0.0.1", .authorization = "Basic b3JkZXJz"}, false),
            "unknown scheme");
}

TEST_F(PeerIdentityTest, CertificateComesBeforeAToken) {
  PeerFacts facts{.address = "192.0.2.1", .has_certificate = true, .common_name = "orders"};
  facts.authorization = "Bearer x";
  EXPECT_EQ(Outcome(facts), "COMMON_NAME orders");
  facts.common_name = "";
  facts.authorization = "Bearer " + Token();
  EXPECT_EQ(Outcome(facts), "no name");
}

}  // namespace
}  // namespace leasegateway
