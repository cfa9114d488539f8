#include "service/callers/read_callers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/unit/service/callers/callers_files.h"

namespace leasegateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

Rights RightsOf(std::initializer_list<Right> list) {
  Rights rights;
  for (const Right right : list) rights.set(static_cast<std::size_t>(right));
  return rights;
}

class ReadCallersTest : public CallersFilesTest {
 protected:
  // KEY and JWKS stand for the paths of such files.
  std::string Text(std::string text) const {
    return absl::StrReplaceAll(text, {{"KEY", key_}, {"JWKS", jwks_}});
  }
  absl::StatusOr<CallersPolicy> Parse(const std::string& text, bool sandbox = false) const {
    return ParseCallers(Text(text), "f", {.sandbox = sandbox});
  }
  CallersPolicy Policy(const std::string& text) const {
    auto policy = Parse(text);
    EXPECT_TRUE(policy.ok()) << policy.status();
    return policy.ok() ? *std::move(policy) : CallersPolicy({});
  }
  // What is wrong with a text; empty: nothing.
  std::string Problems(const std::string& text, bool sandbox = false) const {
    return std::string(Parse(text, sandbox).status().message());
  }
};

constexpr char kWhole[] = R"(
accounts:
  - name: sales
    key_file: KEY
    auth_scheme: Token
    url: https://api.example/v1
    spending: {purchases_per_day: 500, live_leases: 1000,
               currencies: {USD: {monthly_rate: 5.00, upfront_fee: 10, money_per_day: 100, money_per_month: 500.5}}}
  - {name: support-2, key_file: KEY}
roles:
  reader: [read, watch, see_operations]
  buyer: [read, lease, terminate, configure]
  admin: [administer, see_all_operations]
tokens:
  - issuer: https://kubernetes.default.svc.cluster.local
    audiences: [lease-gateway, other]
    keys_file: JWKS
callers:
  - name: orders
    match: {spiffe: "spiffe://prod/ns/shop/sa/orders"}
    roles: {support-2: [reader], sales: [reader, buyer]}
    quotas: {reads_per_second: 100.5, reads_burst: 200, writes_per_second: 0.001, writes_burst: 10,
             calls_in_flight: 50, watchers: 4, rows_per_minute: 100000}
    spending: {live_leases: 0}
    spending_on: {sales: {currencies: {EUR: {}}}}
  - {name: shop, match: {spiffe_prefix: spiffe://prod/ns/shop/}, roles: {sales: [reader]}}
  - {name: web, match: {dns: Web.Shop.Example}, roles: {sales: [reader]}}
  - {name: old, match: {common_name: "Old One"}, roles: {sales: [admin]}}
  - name: job
    match: {token: {issuer: https://kubernetes.default.svc.cluster.local, subject: "system:serviceaccount:shop:job"}}
    roles: {}
  - {name: anonymous, match: {anonymous: true}, roles: {sales: [reader]}}
)";

TEST_F(ReadCallersTest, AccountsAreRead) {
  const CallersPolicy policy = Policy(kWhole);
  ASSERT_EQ(policy.accounts().size(), 2);
  const AccountSetting& sales = policy.accounts()[0];
  EXPECT_EQ(sales.name, "sales");
  EXPECT_EQ(sales.key_file, key_);
  EXPECT_EQ(sales.auth_scheme, "Token");
  EXPECT_EQ(sales.url, "https://api.example/v1");
  ASSERT_NE(sales.spending, nullptr);
  SpendingLimits limits;
  limits.purchases_per_day = 500;
  limits.live_leases = 1000;
  limits.currencies["USD"] = {.monthly_rate = 5'000'000'000,
                              .upfront_fee = 10'000'000'000,
                              .money_per_day = 100'000'000'000,
                              .money_per_month = 500'500'000'000};
  EXPECT_EQ(*sales.spending, limits);
  const AccountSetting& support = policy.accounts()[1];
  EXPECT_EQ(support.auth_scheme, "");
  EXPECT_EQ(support.url, "");
  EXPECT_EQ(support.spending, nullptr);
}

TEST_F(ReadCallersTest, IssuersAreRead) {
  const CallersPolicy policy = Policy(kWhole);
  EXPECT_THAT(policy.issuers(),
              ElementsAre(TokenIssuer{.issuer = "https://kubernetes.default.svc.cluster.local",
                                      .audiences = {"lease-gateway", "other"},
                                      .keys_file = jwks_}));
}

TEST_F(ReadCallersTest, CallersAreRead) {
  const CallersPolicy policy = Policy(kWhole);
  ASSERT_EQ(policy.callers().size(), 6);
  const CallerSetting& orders = *policy.callers()[0];
  EXPECT_EQ(orders.name, "orders");
  EXPECT_EQ(orders.identity, SpiffeIdentity("spiffe://prod/ns/shop/sa/orders"));
  EXPECT_FALSE(orders.prefix);
  const QuotaLimits quotas{.reads_per_second = 100.5,
                           .reads_burst = 200,
                           .writes_per_second = 0.001,
                           .writes_burst = 10,
                           .calls_in_flight = 50,
                           .watchers = 4,
                           .rows_per_minute = 100'000};
  EXPECT_EQ(orders.quotas, quotas);
  ASSERT_NE(orders.spending, nullptr);
  SpendingLimits none;
  none.live_leases = 0;
  EXPECT_EQ(*orders.spending, none);
  EXPECT_EQ(policy.callers()[1]->quotas, QuotaLimits());
  EXPECT_EQ(policy.callers()[1]->spending, nullptr);
}

TEST_F(ReadCallersTest, RolesOfAnAccountAreAddedUp) {
  const CallersPolicy policy = Policy(kWhole);
  const CallerSetting& orders = *policy.callers()[0];
  ASSERT_EQ(orders.grants.size(), 2);
  EXPECT_EQ(orders.grants[0].account, "sales");
  EXPECT_EQ(orders.grants[0].rights,
            RightsOf({Right::kRead, Right::kWatch, Right::kSeeOperations, Right::kLease,
                      Right::kTerminate, Right::kConfigure}));
  ASSERT_NE(orders.grants[0].spending, nullptr);
  EXPECT_THAT(orders.grants[0].spending->currencies, ElementsAre(Pair("EUR", CurrencyLimits())));
  EXPECT_EQ(orders.grants[1].account, "support-2");
  EXPECT_EQ(orders.grants[1].rights,
            RightsOf({Right::kRead, Right::kWatch, Right::kSeeOperations}));
  EXPECT_EQ(orders.grants[1].spending, nullptr);
  EXPECT_EQ(policy.callers()[3]->grants[0].rights,
            RightsOf({Right::kAdminister, Right::kSeeAllOperations}));
  EXPECT_TRUE(policy.callers()[4]->grants.empty());
}

TEST_F(ReadCallersTest, MatchersAreIdentities) {
  const CallersPolicy policy = Policy(kWhole);
  EXPECT_EQ(policy.callers()[1]->identity, SpiffeIdentity("spiffe://prod/ns/shop/"));
  EXPECT_TRUE(policy.callers()[1]->prefix);
  EXPECT_EQ(policy.callers()[2]->identity, DnsIdentity("web.shop.example"));
  EXPECT_EQ(policy.callers()[3]->identity, CommonNameIdentity("Old One"));
  EXPECT_EQ(policy.callers()[4]->identity,
            TokenIdentity("https://kubernetes.default.svc.cluster.local",
                          "system:serviceaccount:shop:job"));
  EXPECT_EQ(policy.callers()[5]->identity, Identity());
  for (int i = 2; i < 6; ++i) EXPECT_FALSE(policy.callers()[i]->prefix);
}

TEST_F(ReadCallersTest, TheSandboxNeedsNoKeys) {
  const std::string callers = "\ncallers: [{name: a, match: {anonymous: true}, roles: {}}]\n";
  EXPECT_EQ(Problems("accounts: [{name: a}]" + callers, /*sandbox=*/true), "");
  EXPECT_EQ(Problems("accounts: [{name: a, key_file: /none}]" + callers, /*sandbox=*/true), "");
  EXPECT_EQ(Problems("accounts: [{name: a}]" + callers), "f:1:12: accounts[0]: must have key_file");
}

TEST_F(ReadCallersTest, FilesCanBeLeftUnread) {
  const auto policy = ParseCallers(
      "accounts: [{name: a, key_file: /none}]\n"
      "tokens: [{issuer: i, audiences: [a], keys_file: /none}]\n"
      "callers: [{name: a, match: {anonymous: true}, roles: {}}]\n",
      "f", {.reads_files = false});
  EXPECT_TRUE(policy.ok()) << policy.status();
}

TEST_F(ReadCallersTest, TheExampleOfTheReadmeIsRight) {
  std::ifstream in(SOURCE_DIR "/service/callers/README.md");
  std::string readme((std::istreambuf_iterator<char>(in)), {});
  const std::size_t begin = readme.find("```yaml\n") + 8;
  ASSERT_NE(readme.find("\n```", begin), readme.npos);
  const auto policy = ParseCallers(readme.substr(begin, readme.find("\n```", begin) - begin), "f",
                                   {.reads_files = false});
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ(policy->callers().size(), 6);
  // The rights of its table are those that there are.
  for (const char* right : kRightNames) {
    EXPECT_THAT(readme, HasSubstr(absl::StrCat("`", right, "` (")));
  }
}

// --- what is wrong with a file ---

// A file that is right, with lines in the place of one of its own. LINE is where they begin.
struct Part {
  const char* lines;
  const char* problem;  // without "f:"
};

class BadCallersTest : public ReadCallersTest {
 protected:
  void ExpectEach(const std::string& before, const std::string& after,
                  std::initializer_list<Part> parts) {
    for (const Part& part : parts) {
      EXPECT_EQ(Problems(absl::StrCat(before, part.lines, after)),
                Text(absl::StrCat("f:", part.problem)))
          << part.lines;
    }
  }
  // Below each other: one account, two roles, an issuer, and two callers.
  static constexpr char kAccounts[] = "accounts: [{name: sales, key_file: KEY}]\n";
  static constexpr char kRoles[] = "roles: {reader: [read], buyer: [lease]}\n";
  static constexpr char kTokens[] = "tokens: [{issuer: i, audiences: [a], keys_file: JWKS}]\n";
  static constexpr char kCallers[] =
      "callers: [{name: a, match: {dns: a}, roles: {sales: [reader]}}]\n";
};

TEST_F(BadCallersTest, Wholes) {
  ExpectEach("", "",
             {{"", "1:1: has no value"},
              {"[]", "1:1: must be a mapping of key: value"},
              {"a", "1:1: must be a mapping of key: value"},
              {"{}", "1:1: must have accounts\nf:1:1: must have callers"},
              {"accounts: &x\n", "1:11: has an anchor, which is not allowed here"}});
  const std::string rest = absl::StrCat(kRoles, kTokens, kCallers);
  ExpectEach(rest, "",
             {{"acounts: []\n",
               "1:1: must have accounts\n"
               "f:4:1: acounts: is unknown; did you mean accounts?"}});
  EXPECT_EQ(Problems(absl::StrCat(kAccounts, kRoles, kTokens, kCallers)), "");
}

TEST_F(BadCallersTest, Accounts) {
  constexpr char kRule[] =
      "must be a DNS label: small letters, digits and '-' between them, at most 63 characters";
  const std::string rest = absl::StrCat(kRoles, kCallers);
  const std::string long_name(64, 'a');
  const auto name = [&](const std::string& text, const std::string& problem) {
    EXPECT_EQ(
        Problems(absl::StrCat("accounts: [{name: sales, key_file: KEY}, {name: ", text,
                              ", key_file: KEY}]\n", rest)),
        absl::StrReplaceAll(
            problem, {{"HERE", absl::StrCat("f:1:", 46 + key_.size(), ": accounts[1].name: ")}}));
  };
  name("Sales", absl::StrCat("HERE\"Sales\": ", kRule));
  name("-a", absl::StrCat("HERE\"-a\": ", kRule));
  name("a-", absl::StrCat("HERE\"a-\": ", kRule));
  name("a_b", absl::StrCat("HERE\"a_b\": ", kRule));
  name("''", absl::StrCat("HERE\"\": ", kRule));
  name(long_name, absl::StrCat("HERE\"", long_name, "\": ", kRule));
  name("sales", "HERE\"sales\": is the name of an account before it");
  name("~", "HEREhas no value");
  name("[]", "HEREmust be a single value");
  name(std::string(63, 'a'), "");
  ExpectEach("accounts:\n", rest,
             {{"  []\n", "2:3: accounts: must have at least one item"},
              {"  {}\n", "2:3: accounts: must be a list"},
              {"  - sales\n", "2:5: accounts[0]: must be a mapping of key: value"},
              {"", "1:10: accounts: has no value"},
              {"  - key_file: KEY\n", "2:5: accounts[0]: must have name"}});
}

TEST_F(BadCallersTest, AccountsAreBounded) {
  const auto problems = [&](int count, const char* key) {
    std::string text = absl::StrCat(kRoles, "accounts:\n- {name: sales, key_file: KEY}\n");
    for (int i = 1; i < count; ++i) absl::StrAppend(&text, "- {name: a", i, key, "}\n");
    return Problems(absl::StrCat(text, kCallers));
  };
  EXPECT_EQ(problems(1'000, ", key_file: KEY"), "");
  // None of them is read.
  EXPECT_EQ(problems(1'001, ""), "f:3:1: accounts: must be at most 1000");
}

TEST_F(BadCallersTest, KeysOfAccounts) {
  const std::string rest = absl::StrCat(kRoles, kCallers);
  Write("empty", "");
  Write("spaces", "a b\n");
  const std::string before = "accounts:\n- name: sales\n";
  for (const auto& [file, rule] : std::vector<std::pair<std::string, std::string>>{
           {folder_ + "/none", "cannot be read: No such file or directory"},
           {folder_, "cannot be read: Is a directory"},
           {folder_ + "/empty", "the API key must not be empty"},
           {folder_ + "/spaces", "the API key must be printable ASCII without spaces"}}) {
    EXPECT_EQ(Problems(absl::StrCat(before, "  key_file: ", file, "\n", rest)),
              absl::StrCat("f:3:13: accounts[0].key_file: \"", file, "\": ", rule));
  }
  ExpectEach(
      before + "  key_file: ", rest,
      {{"''\n", "3:13: accounts[0].key_file: \"\": must not be empty"},
       {"\"a\\tb\"\n",
        "3:13: accounts[0].key_file: \"a\\tb\": must be a path without control characters"}});
  // None of them shows a key that somebody has put there.
  ExpectEach(
      before + "  key_file: KEY\n", rest,
      {{"  key: s3cr3t\n",
        "4:8: accounts[0].key: cannot be set here: the API key stands in the file key_file"},
       {"  api_key: s3cr3t\n",
        "4:12: accounts[0].api_key: cannot be set here: the API key stands in the file key_file"},
       {"  token: s3cr3t\n",
        "4:10: accounts[0].token: cannot be set here: the API key stands in the file key_file"},
       {"  secret: s3cr3t\n", "4:3: accounts[0].secret: is unknown"},
       {"  auth_scheme: Basic\n",
        "4:16: accounts[0].auth_scheme: \"Basic\": must be one of Bearer, Token"},
       {"  auth_schema: Token\n",
        "4:3: accounts[0].auth_schema: is unknown; did you mean auth_scheme?"},
       {"  url: api.example\n",
        "4:8: accounts[0].url: \"api.example\": must be a URL as https://HOST/PATH"},
       {"  url: http://api.example\n",
        "4:8: accounts[0].url: \"http://api.example\": must be https://: http:// would send the "
        "API "
        "key unencrypted"},
       {"  url: https://me:s3cr3t@api.example\n",
        "4:8: accounts[0].url: \"https://***@api.example\": must have no user name or password: "
        "the "
        "API key stands in the file key_file"}});
}

TEST_F(BadCallersTest, Roles) {
  ExpectEach(
      kAccounts, kCallers,
      {{"roles: {reader: [red]}\n",
        "2:18: roles.reader[0]: \"red\": is no right: is unknown; did you mean read?"},
       {"roles: {reader: [everything]}\n",
        "2:18: roles.reader[0]: \"everything\": is no right: is unknown"},
       {"roles: {reader: [read, read]}\n", "2:24: roles.reader[1]: \"read\": stands here twice"},
       {"roles: {reader: []}\n", "2:17: roles.reader: must have at least one item"},
       {"roles: {reader: read}\n", "2:17: roles.reader: must be a list"},
       {"roles: {reader: [[read]]}\n", "2:18: roles.reader[0]: must be a single value"},
       {"roles: {reader: [~]}\n", "2:18: roles.reader[0]: has no value"},
       {"roles: {reader: [read], reader: [lease]}\n",
        "2:25: reader: stands here twice, before on line 2"},
       {"roles: {reader: [read], \"a b\": [read]}\n",
        "2:25: roles.a b: must be letters, digits and ._/@:- alone, at most 128 characters"},
       {"roles: [reader]\n", "2:8: roles: must be a mapping of name: value"},
       {"", "2:54: callers[0].roles.sales[0]: \"reader\": is no role: is unknown"}});
}

TEST_F(BadCallersTest, Tokens) {
  Write("bad.json", "{}");
  const std::string before = absl::StrCat(kAccounts, kRoles, "tokens:\n");
  ExpectEach(before, kCallers,
             {{"- {issuer: i, audiences: [a]}\n", "4:3: tokens[0]: must have keys_file"},
              {"- {issuer: i, keys_file: JWKS}\n", "4:3: tokens[0]: must have audiences"},
              {"- {audiences: [a], keys_file: JWKS}\n", "4:3: tokens[0]: must have issuer"},
              {"- {issuer: i j, audiences: [a], keys_file: JWKS}\n",
               "4:12: tokens[0].issuer: \"i j\": must have no spaces"},
              {"- {issuer: '', audiences: [a], keys_file: JWKS}\n",
               "4:12: tokens[0].issuer: \"\": must not be empty"},
              {"- {issuer: i, audiences: [], keys_file: JWKS}\n",
               "4:26: tokens[0].audiences: must have at least one item"},
              {"- {issuer: i, audiences: [''], keys_file: JWKS}\n",
               "4:27: tokens[0].audiences[0]: \"\": must not be empty"},
              {"- {issuer: i, audiences: a, keys_file: JWKS}\n",
               "4:26: tokens[0].audiences: must be a list"},
              {"- {issuer: i, audiences: [a], keys_file: /none}\n",
               "4:42: tokens[0].keys_file: \"/none\": cannot be read: No such file or directory"},
              {"- {issuer: i, audiences: [a], keys_file: JWKS}\n"
               "- {issuer: i, audiences: [b], keys_file: JWKS}\n",
               "5:12: tokens[1].issuer: \"i\": is an issuer before it"},
              {" []\n", "4:2: tokens: must have at least one item"}});
  EXPECT_THAT(Problems(absl::StrCat(before, "- {issuer: i, audiences: [a], keys_file: ", folder_,
                                    "/bad.json}\n", kCallers)),
              HasSubstr(absl::StrCat("f:4:42: tokens[0].keys_file: \"", folder_, "/bad.json\": ")));
}

TEST_F(BadCallersTest, NamesOfCallers) {
  ExpectEach(absl::StrCat(kAccounts, kRoles, "callers:\n"), "",
             {{"- {match: {dns: a}, roles: {}}\n", "4:3: callers[0]: must have name"},
              {"- {name: a, roles: {}}\n", "4:3: callers[0]: must have match"},
              {"- {name: a, match: {dns: a}}\n", "4:3: callers[0]: must have roles"},
              {"- {name: a, matc: {dns: a}, roles: {}}\n",
               "4:3: callers[0]: must have match\n"
               "f:4:13: callers[0].matc: is unknown; did you mean match?"},
              {"- {name: a b, match: {dns: a}, roles: {}}\n",
               "4:10: callers[0].name: \"a b\": must be letters, digits and ._/@:- alone, at most "
               "128 characters"},
              {"- {name: '', match: {dns: a}, roles: {}}\n",
               "4:10: callers[0].name: \"\": must be letters, digits and ._/@:- alone, at most 128 "
               "characters"},
              {"- {name: a, match: {dns: a}, roles: {}}\n- {name: a, match: {dns: b}, roles: {}}\n",
               "5:10: callers[1].name: \"a\": is the name of the caller on line 4"},
              {"- {name: anonymous, match: {dns: a}, roles: {}}\n",
               "4:28: callers[0].match: must be anonymous: true, as that is the caller's name"},
              {" []\n", "4:2: callers: must have at least one item"}});
}

TEST_F(BadCallersTest, Matchers) {
  constexpr char kOne[] =
      "must have exactly one of spiffe, spiffe_prefix, dns, common_name, token, anonymous";
  const auto match = [&](const std::string& text, const std::string& problem) {
    EXPECT_EQ(Problems(absl::StrCat(kAccounts, kRoles, kTokens,
                                    "callers:\n- name: a\n  roles: {}\n  match: ", text, "\n")),
              problem.empty() ? "" : absl::StrCat("f:7:", problem))
        << text;
  };
  match("{}", absl::StrCat("10: callers[0].match: ", kOne));
  match("{dns: a, common_name: a}", absl::StrCat("10: callers[0].match: ", kOne));
  match("{dns: a, anonymous: true}", absl::StrCat("10: callers[0].match: ", kOne));
  match("dns", "10: callers[0].match: must be a mapping of key: value");
  match("{dsn: a}", "11: callers[0].match.dsn: is unknown; did you mean dns?");
  match("{dns: '*.a'}",
        "16: callers[0].match.dns: \"*.a\": must have labels of letters, digits, '_', and '-' "
        "within");
  match("{common_name: ''}", "24: callers[0].match.common_name: \"\": must not be empty");
  match("{spiffe: https://prod/a}",
        "19: callers[0].match.spiffe: \"https://prod/a\": must begin with spiffe://");
  match(
      "{spiffe: spiffe://prod/a/}",
      "19: callers[0].match.spiffe: \"spiffe://prod/a/\": must have no empty segment in its path, "
      "nor '/' at its end");
  constexpr char kSlash[] = "must end with /, as spiffe://domain/ or spiffe://domain/ns/shop/";
  match("{spiffe_prefix: spiffe://prod}",
        absl::StrCat("26: callers[0].match.spiffe_prefix: \"spiffe://prod\": ", kSlash));
  match("{spiffe_prefix: spiffe://prod/a}",
        absl::StrCat("26: callers[0].match.spiffe_prefix: \"spiffe://prod/a\": ", kSlash));
  match("{spiffe_prefix: spiffe://}",
        "26: callers[0].match.spiffe_prefix: \"spiffe://\": must begin with spiffe://");
  match(
      "{spiffe_prefix: spiffe://prod//}",
      "26: callers[0].match.spiffe_prefix: \"spiffe://prod//\": must have no empty segment in its "
      "path, nor '/' at its end");
  match("{spiffe_prefix: spiffe://Prod/}",
        "26: callers[0].match.spiffe_prefix: \"spiffe://Prod/\": must have a trust domain of "
        "lower-case letters, digits, '.', '-' and '_', at most 255");
  match("{token: {issuer: j, subject: s}}",
        "27: callers[0].match.token.issuer: \"j\": is no issuer of tokens");
  match("{token: {issuer: i}}", "18: callers[0].match.token: must have subject");
  match("{token: {subject: s}}", "18: callers[0].match.token: must have issuer");
  match("{token: {issuer: i, subject: ''}}",
        "39: callers[0].match.token.subject: \"\": must not be empty");
  match("{anonymous: false}", "22: callers[0].match.anonymous: \"false\": must be true");
  match("{spiffe_prefix: spiffe://prod/}", "");
  match("{spiffe: spiffe://prod/a}", "");
  match("{token: {issuer: i, subject: s}}", "");
}

TEST_F(BadCallersTest, NoTwoCallersHaveOneMatcher) {
  const std::string before = absl::StrCat(kAccounts, kTokens, "callers:\n- {name: a, match: ");
  const auto both = [&](const std::string& a, const std::string& b, bool are_one) {
    EXPECT_EQ(
        Problems(absl::StrCat(before, a, ", roles: {}}\n- {name: b, match: ", b, ", roles: {}}\n")),
        are_one ? "f:5:20: callers[1].match: is the matcher of the caller a already" : "")
        << a << b;
  };
  both("{dns: a.b}", "{dns: A.b}", true);
  both("{spiffe: spiffe://p/a}", "{spiffe: spiffe://p/a}", true);
  both("{spiffe_prefix: spiffe://p/}", "{spiffe_prefix: spiffe://p/}", true);
  both("{common_name: a}", "{common_name: a}", true);
  both("{token: {issuer: i, subject: s}}", "{token: {issuer: i, subject: s}}", true);
  both("{anonymous: true}", "{anonymous: true}", true);
  both("{common_name: a}", "{dns: a}", false);
  both("{common_name: a}", "{common_name: A}", false);
  both("{spiffe_prefix: spiffe://p/}", "{spiffe_prefix: spiffe://p/a/}", false);
  both("{spiffe_prefix: spiffe://p/a/}", "{spiffe: spiffe://p/a}", false);
}

TEST_F(BadCallersTest, Grants) {
  ExpectEach(
      absl::StrCat(kAccounts, kRoles, "callers:\n- name: a\n  match: {dns: a}\n"), "",
      {{"  roles: {sale: [reader]}\n",
        "6:11: callers[0].roles.sale: is no account: is unknown; did you mean sales?"},
       {"  roles: {sales: [readr]}\n",
        "6:19: callers[0].roles.sales[0]: \"readr\": is no role: is unknown; did you mean "
        "reader?"},
       {"  roles: {sales: []}\n", "6:18: callers[0].roles.sales: must have at least one item"},
       {"  roles: [reader]\n", "6:10: callers[0].roles: must be a mapping of name: value"},
       {"  roles: {}\n  spending_on: {sales: {live_leases: 1}}\n",
        "7:17: callers[0].spending_on.sales: is an account on which the caller has no role"},
       {"  roles: {sales: [reader]}\n  spending_on: {other: {live_leases: 1}}\n",
        "7:17: callers[0].spending_on.other: is no account: is unknown"},
       {"  roles: {sales: [reader]}\n  spending_on: {}\n",
        "7:16: callers[0].spending_on: must have at least one account"},
       {"  roles: {sales: [reader]}\n  spending_on: {sales: {live_lease: 1}}\n",
        "7:25: callers[0].spending_on.sales.live_lease: is unknown; did you mean "
        "live_leases?"}});
}

TEST_F(BadCallersTest, Quotas) {
  const auto quota = [&](const std::string& text, const std::string& problem) {
    EXPECT_EQ(Problems(absl::StrCat(kAccounts,
                                    "callers:\n- name: a\n  match: {dns: a}\n  roles: {}\n"
                                    "  quotas:\n    ",
                                    text, "\n")),
              problem.empty() ? "" : absl::StrCat("f:7:", problem))
        << text;
  };
  constexpr char kRate[] = "must be a number from 0.001 to 1000000 with at most three decimals";
  for (const char* key : {"reads_per_second", "writes_per_second"}) {
    for (const char* bad : {"-1", "0", "0.0001", "1000001", "1e3", "many", "", "+1", "1.", ".5",
                            " 1", "0x10", "nan", "99999999999999999999"}) {
      EXPECT_THAT(Problems(absl::StrCat(kAccounts,
                                        "callers:\n- name: a\n  match: {dns: a}\n  roles: "
                                        "{}\n  quotas: {",
                                        key, ": '", bad, "'}\n")),
                  HasSubstr(absl::StrCat(": callers[0].quotas.", key, ": \"", bad, "\": ", kRate)))
          << bad;
    }
    quota(absl::StrCat(key, ": 0.001"), "");
    quota(absl::StrCat(key, ": 1000000"), "");
  }
  quota("{reads_burst: 1}", "19: callers[0].quotas.reads_burst: \"1\": needs reads_per_second");
  quota("{writes_burst: 1}", "20: callers[0].quotas.writes_burst: \"1\": needs writes_per_second");
  quota("{reads_per_second: 1, reads_burst: 0}",
        "40: callers[0].quotas.reads_burst: \"0\": must be an integer from 1 to 1000000");
  quota("{calls_in_flight: 0}",
        "23: callers[0].quotas.calls_in_flight: \"0\": must be an integer from 1 to 1000000");
  quota("{watchers: -1}",
        "16: callers[0].quotas.watchers: \"-1\": must be an integer from 0 to 1000000");
  quota("{watchers: 0}", "");
  quota("{rows_per_minute: 1.5}",
        "23: callers[0].quotas.rows_per_minute: \"1.5\": must be an integer from 1 to 1000000000");
  quota("{}", "5: callers[0].quotas: must have at least one limit");
  quota("{read_per_second: 1}",
        "6: callers[0].quotas.read_per_second: is unknown; did you mean reads_per_second?");
}

TEST_F(BadCallersTest, Spending) {
  const std::string before = absl::StrCat(
      kAccounts, "callers:\n- name: a\n  match: {dns: a}\n  roles: {}\n  spending:\n    ");
  constexpr char kCount[] = "must be an integer from 0 to 1000000000";
  const auto spending = [&](const std::string& text, const std::string& problem) {
    EXPECT_EQ(Problems(absl::StrCat(before, text, "\n")),
              problem.empty() ? "" : absl::StrCat("f:7:", problem))
        << text;
  };
  spending("{purchases_per_day: -1}",
           absl::StrCat("25: callers[0].spending.purchases_per_day: \"-1\": ", kCount));
  spending("{live_leases: 1.0}",
           absl::StrCat("19: callers[0].spending.live_leases: \"1.0\": ", kCount));
  spending("{live_leases: 99999999999999999999}",
           absl::StrCat("19: callers[0].spending.live_leases: \"99999999999999999999\": ", kCount));
  spending("{live_leases: [1]}", "19: callers[0].spending.live_leases: must be a single value");
  spending("{live_leases: }", "19: callers[0].spending.live_leases: has no value");
  spending("{}", "5: callers[0].spending: must have at least one limit");
  spending("{currencies: {}}",
           "18: callers[0].spending.currencies: must have at least one currency");
  for (const char* code : {"usd", "US", "USDT", "U1D", "''"}) {
    spending(absl::StrCat("{currencies: {", code, ": {money_per_day: 1}}}"),
             absl::StrCat("19: callers[0].spending.currencies.", code[0] == '\'' ? "" : code,
                          ": must be a currency's code of three capital letters (ISO 4217), as "
                          "USD"));
  }
  spending("{currencies: {USD: 5}}",
           "24: callers[0].spending.currencies.USD: must be a mapping of key: value");
  spending("{currencies: {USD: {mony_per_day: 5}}}",
           "25: callers[0].spending.currencies.USD.mony_per_day: is unknown; did you mean "
           "money_per_day?");
}

TEST_F(BadCallersTest, AMoneyLimitHasACurrency) {
  for (const char* key : {"monthly_rate", "upfront_fee", "money_per_day", "money_per_month"}) {
    const std::string problem =
        Problems(absl::StrCat(kAccounts, "callers:\n- name: a\n  match: {dns: a}\n  roles: {}\n",
                              "  spending: {purchases_per_day: 1, ", key, ": 5}\n"));
    EXPECT_THAT(problem,
                HasSubstr(absl::StrCat(
                    ": callers[0].spending.", key,
                    ": a limit of money stands below currencies.CODE, as currencies.USD")));
    EXPECT_THAT(problem, Not(HasSubstr("\n")));
  }
}

TEST_F(BadCallersTest, Money) {
  constexpr char kForm[] =
      "must be a decimal number with at most 9 places after the point, as 12.50";
  const struct {
    const char* text;
    const char* problem;
    std::int64_t billionths;
  } kCases[] = {
      {"0", "", 0},
      {"5", "", 5'000'000'000},
      {"5.00", "", 5'000'000'000},
      {"007.5", "", 7'500'000'000},
      {"0.000000001", "", 1},
      {"0.1", "", 100'000'000},
      {"9223372036.854775807", "", INT64_MAX},
      {"9223372036.854775808", "must be at most 9223372036.854775807", 0},
      {"9223372037", "must be at most 9223372036.854775807", 0},
      {"99999999999999999999999", "must be at most 9223372036.854775807", 0},
      {"0.0000000001", kForm, 0},
      {"1.0000000000", kForm, 0},
      {"-1", "must not be negative", 0},
      {"-0.5", "must not be negative", 0},
      {"1e3", kForm, 0},
      {"1,5", kForm, 0},
      {"1.", kForm, 0},
      {".5", kForm, 0},
      {".", kForm, 0},
      {"", kForm, 0},
      {"1.2.3", kForm, 0},
      {"$5", kForm, 0},
      {"five", kForm, 0},
      {".inf", kForm, 0},
      {"0x5", kForm, 0},
      {"1_000", kForm, 0},
  };
  for (const auto& [text, problem, billionths] : kCases) {
    const auto policy = Parse(absl::StrCat(
        kAccounts,
        "callers:\n- name: a\n  match: {dns: a}\n  roles: {}\n  spending:\n    currencies:\n",
        "      USD: {money_per_day: '", text, "'}\n"));
    const std::string message(policy.status().message());
    if (*problem != '\0') {
      EXPECT_EQ(message,
                absl::StrCat("f:8:28: callers[0].spending.currencies.USD.money_per_day: \"", text,
                             "\": ", problem));
    } else {
      ASSERT_TRUE(policy.ok()) << text << policy.status();
      EXPECT_EQ(policy->callers()[0]->spending->currencies.at("USD").money_per_day, billionths)
          << text;
    }
  }
}

TEST_F(BadCallersTest, AllProblemsAreToldInOrderUpToTwenty) {
  EXPECT_EQ(
      Problems("callers:\n- {name: a b, match: {dns: a}, roles: {}}\n- {name: b}\n"
               "accounts: []\n"),
      "f:2:10: callers[0].name: \"a b\": must be letters, digits and ._/@:- alone, at most 128 "
      "characters\n"
      "f:3:3: callers[1]: must have match\n"
      "f:3:3: callers[1]: must have roles\n"
      "f:4:11: accounts: must have at least one item");
  std::string many = absl::StrCat(kAccounts, "callers:\n");
  for (int i = 0; i < 100; ++i) many += "- []\n";
  const std::string problems = Problems(many);
  EXPECT_EQ(std::count(problems.begin(), problems.end(), '\n'), 19);
}

TEST_F(BadCallersTest, ValuesAreEscapedAndCut) {
  EXPECT_EQ(
      Problems(absl::StrCat(kAccounts, "callers:\n- name: \"a\\n", std::string(200, 'x'),
                            "\"\n  match: {dns: a}\n  roles: {}\n")),
      absl::StrCat("f:3:9: callers[0].name: \"a\\n", std::string(118, 'x'),
                   "...\": must be letters, digits and ._/@:- alone, at most 128 characters"));
}

TEST_F(BadCallersTest, FilesThatCannotBeRead) {
  EXPECT_EQ(ReadCallers(folder_ + "/none", {}).status().message(),
            folder_ + "/none: cannot be read: No such file or directory");
  Write("callers.yaml", std::string((8 << 20) + 1, '#'));
  EXPECT_EQ(ReadCallers(path_, {}).status().message(), path_ + ": is longer than 8MiB");
  Write("callers.yaml", "accounts: []\n");
  EXPECT_THAT(std::string(ReadCallers(path_, {}).status().message()),
              HasSubstr(path_ + ":1:11: accounts: must have at least one item"));
}

}  // namespace
}  // namespace leasegateway
