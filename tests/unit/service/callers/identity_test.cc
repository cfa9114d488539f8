#include "service/callers/identity.h"

#include <gtest/gtest.h>

#include <string>

#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

constexpr const char* kTrustDomainRule =
    "must have a trust domain of lower-case letters, digits, '.', '-' and '_', at most 255";
constexpr const char* kSpiffePathRule = "must have a path of letters, digits, '.', '-' and '_'";
constexpr const char* kSpiffeSegmentRule =
    "must have no empty segment in its path, nor '/' at its end";

TEST(IdentityTest, SpiffeIds) {
  EXPECT_EQ(CheckSpiffeId("spiffe://prod/ns/shop/sa/orders"), "");
  EXPECT_EQ(CheckSpiffeId("spiffe://a-b_c.example/Job.1_x-Y"), "");
  EXPECT_EQ(CheckSpiffeId("spiffe://prod"), "");
  EXPECT_EQ(CheckSpiffeId("spiffe://prod/..."), "");
  EXPECT_EQ(CheckSpiffeId(""), "must begin with spiffe://");
  EXPECT_EQ(CheckSpiffeId("https://prod/a"), "must begin with spiffe://");
  EXPECT_EQ(CheckSpiffeId("SPIFFE://prod/a"), "must begin with spiffe://");
  EXPECT_EQ(CheckSpiffeId("spiffe:/prod/a"), "must begin with spiffe://");
  for (const char* id : {"spiffe://", "spiffe:///a", "spiffe://Prod/a", "spiffe://prod:8080/a",
                         "spiffe://user@prod/a", "spiffe://pr%6fd/a", "spiffe://prod?a"}) {
    EXPECT_EQ(CheckSpiffeId(id), kTrustDomainRule) << id;
  }
  for (const char* id : {"spiffe://prod/a?b", "spiffe://prod/a#b", "spiffe://prod/%41",
                         "spiffe://prod/a b", "spiffe://prod/\xc3\xa9"}) {
    EXPECT_EQ(CheckSpiffeId(id), kSpiffePathRule) << id;
  }
  EXPECT_EQ(CheckSpiffeId(std::string("spiffe://prod/a\0b", 17)), kSpiffePathRule);
  EXPECT_EQ(CheckSpiffeId("spiffe://prod/"), kSpiffeSegmentRule);
  EXPECT_EQ(CheckSpiffeId("spiffe://prod/a/"), kSpiffeSegmentRule);
  EXPECT_EQ(CheckSpiffeId("spiffe://prod//a"), kSpiffeSegmentRule);
  EXPECT_EQ(CheckSpiffeId("spiffe://prod/./a"), "must have no '.' or '..' in its path");
  EXPECT_EQ(CheckSpiffeId("spiffe://prod/a/.."), "must have no '.' or '..' in its path");
}

TEST(IdentityTest, SpiffeIdsAreBounded) {
  const std::string domain(255, 'd');
  EXPECT_EQ(CheckSpiffeId("spiffe://" + domain + "/a"), "");
  EXPECT_EQ(CheckSpiffeId("spiffe://" + domain + "d/a"), kTrustDomainRule);
  const std::string id = "spiffe://prod/" + std::string(kMaxSpiffeIdBytes - 14, 'a');
  EXPECT_EQ(CheckSpiffeId(id), "");
  EXPECT_EQ(CheckSpiffeId(id + "a"), "must be at most 2048 bytes");
}

TEST(IdentityTest, DnsNames) {
  EXPECT_EQ(CheckDnsName("orders.shop.svc"), "");
  EXPECT_EQ(CheckDnsName("_x.Example-1.COM"), "");
  EXPECT_EQ(CheckDnsName(std::string(63, 'a') + ".b"), "");
  EXPECT_EQ(CheckDnsName(""), "must not be empty");
  for (const std::string& name : {std::string("."), std::string("a..b"), std::string(".a"),
                                  std::string("a."), std::string(64, 'a') + ".b"}) {
    EXPECT_EQ(CheckDnsName(name), "must have labels of 1 to 63 characters with '.' between");
  }
  for (const std::string& name :
       {std::string("*.example"), std::string("-a.b"), std::string("a-.b"), std::string("a b"),
        std::string("a/b"), std::string("\xc3\xa9.fr"), std::string("a\0b", 3)}) {
    EXPECT_EQ(CheckDnsName(name), "must have labels of letters, digits, '_', and '-' within");
  }
  std::string longest;
  while (longest.size() < 252) longest += "a.";
  EXPECT_EQ(CheckDnsName(longest + "a"), "");
  EXPECT_EQ(CheckDnsName(longest + "aa"), "must be at most 253 bytes");
}

TEST(IdentityTest, CommonNames) {
  EXPECT_EQ(CheckCommonName("Orders, \"the\" \xc3\xa9quipe"), "");
  EXPECT_EQ(CheckCommonName(std::string(256, 'a')), "");
  EXPECT_EQ(CheckCommonName(""), "must not be empty");
  EXPECT_EQ(CheckCommonName(std::string(257, 'a')), "must be at most 256 bytes");
  EXPECT_EQ(CheckCommonName("caf\xe9"), "must be UTF-8");
  EXPECT_EQ(CheckCommonName("cut \xc3"), "must be UTF-8");
  EXPECT_EQ(CheckCommonName("two\nlines"), "must have no control characters");
  EXPECT_EQ(CheckCommonName(std::string("a\0b", 3)), "must have no control characters");
}

TEST(IdentityTest, IssuersHaveNoSpacesSoThatTheFirstOneEndsThem) {
  EXPECT_EQ(CheckTokenIssuer("https://issuer.example"), "");
  EXPECT_EQ(CheckTokenIssuer("a b"), "must have no spaces");
  EXPECT_EQ(CheckTokenIssuer(""), "must not be empty");
  EXPECT_EQ(CheckTokenSubject("system:serviceaccount:shop:orders 1"), "");
  EXPECT_EQ(CheckTokenSubject(std::string(1025, 'a')), "must be at most 1024 bytes");
}

TEST(IdentityTest, NamesAsTheyAreCompared) {
  EXPECT_EQ(SpiffeIdentity("spiffe://prod/A"),
            (Identity{v1::IDENTITY_KIND_SPIFFE_ID, "spiffe://prod/A"}));
  EXPECT_EQ(DnsIdentity("Orders.Shop"), (Identity{v1::IDENTITY_KIND_DNS_NAME, "orders.shop"}));
  EXPECT_EQ(CommonNameIdentity("Orders"), (Identity{v1::IDENTITY_KIND_COMMON_NAME, "Orders"}));
  EXPECT_EQ(TokenIdentity("https://a", "b"), (Identity{v1::IDENTITY_KIND_TOKEN, "https://a b"}));
}

TEST(IdentityTest, ErrorSaysWhy) {
  const absl::Status error = IdentityInvalid("expired", "the token has expired");
  EXPECT_EQ(error.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(error), "IDENTITY_INVALID");
  EXPECT_EQ(MetadataOf(error).at("why"), "expired");
  EXPECT_EQ(error.message(), "the token has expired");
}

}  // namespace
}  // namespace leasegateway
