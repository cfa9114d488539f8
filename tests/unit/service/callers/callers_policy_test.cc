#include "service/callers/callers_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace leasegateway {
namespace {

std::shared_ptr<const CallerSetting> Caller(const std::string& name, Identity identity,
                                            bool prefix = false) {
  auto caller = std::make_shared<CallerSetting>();
  caller->name = name;
  caller->identity = std::move(identity);
  caller->prefix = prefix;
  return caller;
}

Identity Spiffe(const std::string& id) { return {v1::IDENTITY_KIND_SPIFFE_ID, id}; }

class CallersPolicyTest : public ::testing::Test {
 protected:
  // The name of the caller that an identity is.
  std::string Found(const Identity& identity) const { return policy_.Find(identity)->name; }

  const CallersPolicy policy_{
      {.accounts = {{.name = "b"}, {.name = "a"}},
       .issuers = {},
       .callers = {Caller("domain", Spiffe("spiffe://prod/"), true),
                   Caller("shop", Spiffe("spiffe://prod/ns/shop/"), true),
                   Caller("orders", Spiffe("spiffe://prod/ns/shop/sa/orders")),
                   Caller("web", {v1::IDENTITY_KIND_DNS_NAME, "web.example"}),
                   Caller("old", {v1::IDENTITY_KIND_COMMON_NAME, "web.example"}),
                   Caller("job", {v1::IDENTITY_KIND_TOKEN, "issuer subject"}),
                   Caller("guests", Identity())}}};
};

TEST_F(CallersPolicyTest, TheExactMatcherIsStrongest) {
  EXPECT_EQ(Found(Spiffe("spiffe://prod/ns/shop/sa/orders")), "orders");
}

TEST_F(CallersPolicyTest, ACallerIsFoundByItsName) {
  ASSERT_NE(policy_.CallerNamed("orders"), nullptr);
  EXPECT_EQ(policy_.CallerNamed("orders")->name, "orders");
  EXPECT_EQ(policy_.CallerNamed("nobody"), nullptr);
}

TEST_F(CallersPolicyTest, ThenTheLongestPrefix) {
  EXPECT_EQ(Found(Spiffe("spiffe://prod/ns/shop/sa/order")), "shop");
  EXPECT_EQ(Found(Spiffe("spiffe://prod/ns/shop/sa/orders/more")), "shop");
  EXPECT_EQ(Found(Spiffe("spiffe://prod/ns/shop/a")), "shop");
  EXPECT_EQ(Found(Spiffe("spiffe://prod/ns/shopping/a")), "domain");
  EXPECT_EQ(Found(Spiffe("spiffe://prod/ns/shop")), "domain");
  EXPECT_EQ(Found(Spiffe("spiffe://prod/a")), "domain");
  EXPECT_EQ(Found(Spiffe("spiffe://prod/" + std::string(3000, 'a'))), "domain");
}

TEST_F(CallersPolicyTest, APrefixIsNotOneOfItself) {
  EXPECT_EQ(Found(Spiffe("spiffe://prod/ns/shop/")), "domain");
  EXPECT_EQ(Found(Spiffe("spiffe://prod/")), "guests");
}

TEST_F(CallersPolicyTest, PrefixesAreOfSpiffeIdsAlone) {
  EXPECT_EQ(Found({v1::IDENTITY_KIND_COMMON_NAME, "spiffe://prod/a"}), "guests");
  EXPECT_EQ(Found({v1::IDENTITY_KIND_TOKEN, "spiffe://prod/a b"}), "guests");
}

TEST_F(CallersPolicyTest, KindsAreApart) {
  EXPECT_EQ(Found({v1::IDENTITY_KIND_DNS_NAME, "web.example"}), "web");
  EXPECT_EQ(Found({v1::IDENTITY_KIND_COMMON_NAME, "web.example"}), "old");
  EXPECT_EQ(Found({v1::IDENTITY_KIND_TOKEN, "web.example"}), "guests");
  EXPECT_EQ(Found({v1::IDENTITY_KIND_TOKEN, "issuer subject"}), "job");
}

TEST_F(CallersPolicyTest, OthersAreAnonymous) {
  for (const char* id : {"spiffe://test/a", "spiffe://pro", "spiffe://prod", "spiffe:", "/", ""}) {
    EXPECT_EQ(Found(Spiffe(id)), "guests") << id;
  }
  EXPECT_EQ(Found(Identity()), "guests");
}

TEST_F(CallersPolicyTest, WithoutAnEntryAnonymousHasNoRight) {
  const CallersPolicy policy({.accounts = {}, .issuers = {}, .callers = {}});
  const auto caller = policy.Find(Identity());
  ASSERT_NE(caller, nullptr);
  EXPECT_EQ(caller->name, "anonymous");
  EXPECT_TRUE(caller->grants.empty());
  EXPECT_EQ(policy.Find(Spiffe("spiffe://prod/a")), caller);
}

TEST_F(CallersPolicyTest, AccountsAreFoundByName) {
  EXPECT_EQ(policy_.AccountOf("a"), &policy_.accounts()[1]);
  EXPECT_EQ(policy_.AccountOf("b"), &policy_.accounts()[0]);
  EXPECT_EQ(policy_.AccountOf("c"), nullptr);
  EXPECT_EQ(policy_.AccountOf(""), nullptr);
}

TEST_F(CallersPolicyTest, GrantsAreFoundByAccount) {
  CallerSetting caller;
  EXPECT_EQ(caller.GrantOn("a"), nullptr);
  caller.grants = {{.account = "a", .rights = {}, .spending = nullptr},
                   {.account = "c", .rights = {}, .spending = nullptr}};
  EXPECT_EQ(caller.GrantOn("a"), &caller.grants[0]);
  EXPECT_EQ(caller.GrantOn("c"), &caller.grants[1]);
  EXPECT_EQ(caller.GrantOn("b"), nullptr);
  EXPECT_EQ(caller.GrantOn("d"), nullptr);
}

}  // namespace
}  // namespace leasegateway
