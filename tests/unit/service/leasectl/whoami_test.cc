#include "service/leasectl/whoami.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace leasegateway {
namespace {

using testing::HasSubstr;
using testing::Not;

v1::LimitState Count(v1::LimitScope scope, const std::string& name, int limit, int used) {
  v1::LimitState state;
  state.set_scope(scope);
  state.set_name(name);
  state.mutable_limit()->set_count(limit);
  state.mutable_used()->set_count(used);
  state.mutable_left()->set_count(limit - used);
  return state;
}

v1::WhoAmIResponse Orders() {
  v1::WhoAmIResponse reply;
  reply.set_caller("orders");
  reply.set_identity_kind(v1::IDENTITY_KIND_SPIFFE_ID);
  reply.set_identity("spiffe://prod/ns/shop/sa/orders");
  *reply.add_limits() = Count(v1::LIMIT_SCOPE_CALLER, "writes_per_second", 5, 0);
  v1::AccountAccess& sales = *reply.add_accounts();
  sales.set_account("sales");
  for (const char* right : {"read", "lease", "see_operations"}) sales.add_rights(right);
  *sales.add_limits() = Count(v1::LIMIT_SCOPE_CALLER_ON_ACCOUNT, "purchases_per_day", 500, 500);
  v1::LimitState& rate = *sales.add_limits();
  rate.set_scope(v1::LIMIT_SCOPE_ACCOUNT);
  rate.set_name("monthly_rate");
  rate.mutable_limit()->mutable_money()->set_units(5);
  rate.mutable_limit()->mutable_money()->set_currency_code("USD");
  v1::AccountAccess& support = *reply.add_accounts();
  support.set_account("support");
  support.add_rights("see_all_operations");
  return reply;
}

TEST(WhoAmI, ShowsCallerAccountsAndLimits) {
  EXPECT_EQ(Print(Orders(), false),
            "Caller         orders\n"
            "Identity kind  spiffe_id\n"
            "Identity       spiffe://prod/ns/shop/sa/orders\n"
            "\n"
            "ACCOUNT  RIGHTS\n"
            "sales    read, lease, see_operations\n"
            "support  see_all_operations\n"
            "\n"
            "LIMIT OF           ACCOUNT  NAME                  LIMIT  USED  LEFT\n"
            "caller             -        writes_per_second         5     0     5\n"
            "caller_on_account  sales    purchases_per_day       500   500     0\n"
            "account            sales    monthly_rate       5.00 USD     -     -\n");
}

TEST(WhoAmI, SaysThatAnAnonymousCallerMayDoNothing) {
  v1::WhoAmIResponse reply;
  reply.set_caller("anonymous");
  reply.set_identity_kind(v1::IDENTITY_KIND_ANONYMOUS);
  EXPECT_EQ(Print(reply, false),
            "Caller         anonymous\n"
            "Identity kind  anonymous\n"
            "Identity       -\n"
            "\n"
            "no rights on any account\n");
}

TEST(WhoAmI, WhatIsUsedUpIsRed) {
  v1::WhoAmIResponse reply = Orders();
  EXPECT_THAT(Print(reply, true), HasSubstr("\x1b[31m0\x1b[0m"));
  reply.mutable_accounts(0)->mutable_limits(0)->mutable_left()->set_count(1);
  EXPECT_THAT(Print(reply, true), Not(HasSubstr("\x1b[31m")));
  google::type::Money& left =
      *reply.mutable_accounts(0)->mutable_limits(1)->mutable_left()->mutable_money();
  left.set_nanos(10'000'000);
  EXPECT_THAT(Print(reply, true), Not(HasSubstr("\x1b[31m")));
  left.set_nanos(-10'000'000);  // the price rose meanwhile
  EXPECT_THAT(Print(reply, true), HasSubstr("\x1b[31m-0.01"));
}

TEST(WhoAmI, WhoSeesAllOperationsSeesItsOwn) {
  const v1::WhoAmIResponse reply = Orders();
  EXPECT_TRUE(SeesOperations(reply.accounts(0)));
  EXPECT_FALSE(SeesAllOperations(reply.accounts(0)));
  EXPECT_TRUE(SeesOperations(reply.accounts(1)));
  EXPECT_TRUE(SeesAllOperations(reply.accounts(1)));
  v1::AccountAccess reader;
  reader.add_rights("read");
  EXPECT_FALSE(SeesOperations(reader));
}

}  // namespace
}  // namespace leasegateway
