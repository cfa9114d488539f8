#include "service/callers/callers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "service/process/logging.h"
#include "tests/unit/service/callers/callers_files.h"

namespace leasegateway {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kAccountLines[] = "accounts:\n- {name: sales, key_file: KEY}\n";
constexpr char kRoleLines[] = "roles: {reader: [read], buyer: [read, lease]}\n";
constexpr char kCallerLines[] =
    "callers:\n"
    "- {name: orders, match: {dns: orders}, roles: {sales: [reader]}, quotas: {watchers: 1}}\n"
    "- {name: billing, match: {dns: billing}, roles: {sales: [buyer]}}\n";

PeerFacts Named(const std::string& dns_name) {
  return {.address = "192.0.2.1", .has_certificate = true, .dns_names = {dns_name}};
}

class CallersTest : public CallersFilesTest {
 protected:
  CallersTest() { InitLoggingTo(out_, "info", "text"); }
  ~CallersTest() override {
    callers_.reset();
    ShutdownLogging();
  }

  void WriteFile(const std::string& text) {
    Write("callers.yaml", absl::StrReplaceAll(text, {{"KEY", key_}, {"JWKS", jwks_}}));
  }
  void WriteCallers(const std::string& callers) {
    WriteFile(absl::StrCat(kAccountLines, kRoleLines, callers));
  }
  // Reads nothing anew by itself.
  void Open() {
    auto callers = Callers::Open({.path = path_, .refresh = std::chrono::hours(24)});
    ASSERT_TRUE(callers.ok()) << callers.status();
    callers_ = *std::move(callers);
  }
  Callers::Known Known(const std::string& dns_name) const {
    auto known = callers_->Identify(Named(dns_name));
    EXPECT_TRUE(known.ok()) << known.status();
    return known.ok() ? *std::move(known) : Callers::Known();
  }

  // What was logged since the last time.
  std::vector<std::string> Lines() {
    ShutdownLogging();
    std::vector<std::string> lines;
    std::istringstream in(out_.str());
    for (std::string line; std::getline(in, line);) lines.push_back(line.substr(25));
    out_.str("");
    InitLoggingTo(out_, "info", "text");
    return lines;
  }
  std::vector<std::string> AuditLines() {
    std::vector<std::string> audit;
    for (const std::string& line : Lines()) {
      if (line.rfind("audit ", 0) == 0) audit.push_back(line.substr(6));
    }
    return audit;
  }

  std::ostringstream out_;
  std::unique_ptr<Callers> callers_;
};

TEST_F(CallersTest, CallsAreOfTheirCaller) {
  WriteCallers(kCallerLines);
  Open();
  const Callers::Known orders = Known("orders");
  EXPECT_EQ(*orders.identity, DnsIdentity("orders"));
  EXPECT_EQ(orders.setting->name, "orders");
  ASSERT_NE(orders.use, nullptr);
  EXPECT_EQ(Known("orders").use, orders.use);
  EXPECT_NE(Known("billing").use, orders.use);
  EXPECT_EQ(callers_->policy()->callers().size(), 2);
}

TEST_F(CallersTest, OthersAreAnonymous) {
  WriteCallers(kCallerLines);
  Open();
  const Callers::Known other = Known("other");
  EXPECT_EQ(*other.identity, DnsIdentity("other"));
  EXPECT_EQ(other.setting->name, "anonymous");
  EXPECT_THAT(other.setting->grants, IsEmpty());
  ASSERT_NE(other.use, nullptr);
  EXPECT_EQ(Known("another").use, other.use);
}

TEST_F(CallersTest, TheFileHasToBeRightAtTheStart) {
  EXPECT_EQ(Callers::Open({.path = path_}).status(),
            absl::InvalidArgumentError(path_ + ": cannot be read: No such file or directory"));
  WriteFile("accounts: []\n");
  EXPECT_THAT(std::string(Callers::Open({.path = path_}).status().message()),
              HasSubstr(path_ + ":1:11: accounts: must have at least one item"));
}

TEST_F(CallersTest, ANewFileIsInForceFromTheNextCallOn) {
  WriteCallers(kCallerLines);
  Open();
  const auto before = Known("orders");
  const auto billing = Known("billing");
  const auto anonymous = Known("other");
  WriteCallers(absl::StrReplaceAll(kCallerLines, {{"watchers: 1", "watchers: 2"}}));
  EXPECT_EQ(Known("orders").setting, before.setting);
  callers_->Refresh();
  const auto after = Known("orders");
  EXPECT_EQ(before.setting->quotas.watchers, 1);
  EXPECT_EQ(after.setting->quotas.watchers, 2);
  // What they use goes on.
  EXPECT_EQ(after.use, before.use);
  EXPECT_EQ(Known("billing").use, billing.use);
  EXPECT_EQ(Known("other").use, anonymous.use);
  EXPECT_EQ(callers_->stats().reloads, 1);
  EXPECT_TRUE(callers_->stats().file_ok);
}

TEST_F(CallersTest, TheSameFileIsNoReload) {
  WriteCallers(kCallerLines);
  Open();
  const auto policy = callers_->policy();
  Lines();
  callers_->Refresh();
  EXPECT_EQ(callers_->policy(), policy);
  EXPECT_EQ(callers_->stats().reloads, 0);
  EXPECT_THAT(Lines(), IsEmpty());
}

TEST_F(CallersTest, AUseIsTheNames) {
  WriteCallers(kCallerLines);
  Open();
  const auto before = Known("orders");
  // Another identity of the same caller.
  WriteCallers(absl::StrReplaceAll(kCallerLines, {{"dns: orders", "dns: orders-2"}}));
  callers_->Refresh();
  EXPECT_EQ(Known("orders-2").use, before.use);
  EXPECT_EQ(Known("orders").setting->name, "anonymous");
}

TEST_F(CallersTest, TheUseOfACallerThatIsGoneIsForgotten) {
  WriteCallers(kCallerLines);
  Open();
  std::weak_ptr<CallerUse> use = Known("billing").use;
  EXPECT_FALSE(use.expired());
  WriteCallers("callers: [{name: orders, match: {dns: orders}, roles: {}}]\n");
  callers_->Refresh();
  callers_->Refresh();
  EXPECT_TRUE(use.expired());
  EXPECT_EQ(Known("billing").setting->name, "anonymous");
}

TEST_F(CallersTest, ABadFileLeavesTheOldOneInForce) {
  WriteCallers(kCallerLines);
  Open();
  const auto policy = callers_->policy();
  Lines();
  WriteCallers("callers:\n- {name: a, match: {dns: a}, roles: {sales: [byer]}}\n- {nam: b}\n");
  callers_->Refresh();
  callers_->Refresh();
  EXPECT_EQ(callers_->policy(), policy);
  EXPECT_EQ(Known("orders").setting->name, "orders");
  EXPECT_FALSE(callers_->stats().file_ok);
  EXPECT_EQ(callers_->stats().refused_reloads, 1);
  EXPECT_EQ(callers_->stats().reloads, 0);
  const std::string first = absl::StrCat(
      path_,
      ":5:46: callers[0].roles.sales[0]: \"byer\": is no role: is unknown; did you mean buyer?");
  // Once, although it was read twice.
  EXPECT_THAT(Lines(),
              ElementsAre(absl::StrCat("error callers_file: ", first), HasSubstr("must have name"),
                          HasSubstr("must have match"), HasSubstr("must have roles"),
                          HasSubstr("callers[1].nam: is unknown; did you mean name?"),
                          "error callers_file: the one from before stays in force",
                          AllOf(HasSubstr("audit callers_file_refused file="),
                                HasSubstr("is no role"), EndsWith(" problems=5"))));
}

TEST_F(CallersTest, EachBadFileIsTold) {
  WriteCallers(kCallerLines);
  Open();
  WriteCallers("callers: []\n");
  callers_->Refresh();
  WriteCallers("callers: {}\n");
  callers_->Refresh();
  std::filesystem::remove(path_);
  callers_->Refresh();
  callers_->Refresh();
  EXPECT_EQ(callers_->stats().refused_reloads, 3);
  EXPECT_FALSE(callers_->stats().file_ok);
  EXPECT_THAT(AuditLines(),
              ElementsAre(HasSubstr("callers_file_read"), HasSubstr("must have at least one item"),
                          HasSubstr("must be a list"), HasSubstr("cannot be read: No such file")));
}

TEST_F(CallersTest, AGoodFileAfterABadOneIsInForce) {
  WriteCallers(kCallerLines);
  Open();
  WriteCallers("callers: []\n");
  callers_->Refresh();
  EXPECT_FALSE(callers_->stats().file_ok);
  WriteCallers("callers: [{name: new, match: {dns: new}, roles: {}}]\n");
  callers_->Refresh();
  EXPECT_TRUE(callers_->stats().file_ok);
  EXPECT_EQ(Known("new").setting->name, "new");
  // The bad one once more is told once more.
  WriteCallers("callers: []\n");
  callers_->Refresh();
  EXPECT_EQ(callers_->stats().refused_reloads, 2);
}

TEST_F(CallersTest, TheOldFileAfterABadOneIsRight) {
  WriteCallers(kCallerLines);
  Open();
  WriteCallers("callers: []\n");
  callers_->Refresh();
  WriteCallers(kCallerLines);
  callers_->Refresh();
  callers_->Refresh();
  EXPECT_TRUE(callers_->stats().file_ok);
  EXPECT_EQ(callers_->stats().reloads, 0);
  EXPECT_THAT(AuditLines(),
              ElementsAre(HasSubstr("callers_file_read"), HasSubstr("callers_file_refused"),
                          HasSubstr("callers_file_restored")));
}

TEST_F(CallersTest, ARefusedFileIsTriedAgainWhenWhatItNamesIsThere) {
  WriteCallers(kCallerLines);
  Open();
  const std::string keys = folder_ + "/later.json";
  WriteCallers(
      absl::StrCat("tokens: [{issuer: i, audiences: [a], keys_file: ", keys, "}]\n", kCallerLines));
  callers_->Refresh();
  EXPECT_FALSE(callers_->stats().file_ok);
  Write("later.json", kJwks);
  callers_->Refresh();
  EXPECT_TRUE(callers_->stats().file_ok);
  EXPECT_THAT(callers_->policy()->issuers(), SizeIs(1));
}

TEST_F(CallersTest, AChangeOfAccountsTakesARestart) {
  WriteCallers(kCallerLines);
  Open();
  const auto policy = callers_->policy();
  for (const char* accounts : {
           "accounts:\n- {name: sales, key_file: KEY}\n- {name: b, key_file: KEY}\n",
           "accounts:\n- {name: sales, key_file: KEY, url: \"https://b\"}\n",
       }) {
    Lines();
    WriteFile(absl::StrCat(accounts, kRoleLines, kCallerLines));
    callers_->Refresh();
    EXPECT_EQ(callers_->policy(), policy) << accounts;
    EXPECT_FALSE(callers_->stats().file_ok);
    EXPECT_THAT(Lines(), Contains(AllOf(HasSubstr(path_ + ": accounts: \""),
                                        EndsWith(": a change of accounts takes a restart"))));
  }
  // But for their limits.
  WriteFile(absl::StrCat("accounts:\n- {name: sales, key_file: KEY, spending: {live_leases: 1}}\n",
                         kRoleLines, kCallerLines));
  callers_->Refresh();
  EXPECT_TRUE(callers_->stats().file_ok);
  ASSERT_NE(callers_->policy()->AccountOf("sales")->spending, nullptr);
}

TEST_F(CallersTest, ChangesAreAudited) {
  WriteCallers(kCallerLines);
  Open();
  EXPECT_THAT(AuditLines(),
              ElementsAre(absl::StrCat("callers_file_read file=", path_, " accounts=1 callers=2")));
  WriteCallers(
      "callers:\n"
      "- {name: orders, match: {dns: orders}, roles: {sales: [buyer]}, quotas: {watchers: 2}}\n"
      "- {name: new, match: {dns: new}, roles: {}}\n");
  callers_->Refresh();
  EXPECT_THAT(AuditLines(),
              ElementsAre(absl::StrCat("callers_file_read file=", path_, " accounts=1 callers=2"),
                          "caller_removed caller=billing", "caller_added caller=new",
                          "caller_changed caller=orders setting=quotas.watchers before=1 after=2",
                          "caller_changed caller=orders setting=rights.sales before=read "
                          "after=read,lease"));
}

TEST_F(CallersTest, ManyChangesAreCounted) {
  const auto many = [](const std::string& names) {
    std::string callers = "callers:\n";
    for (int i = 0; i < 300; ++i) {
      absl::StrAppend(&callers, "- {name: c", i, ", match: {dns: ", names, i, "}, roles: {}}\n");
    }
    return callers;
  };
  WriteCallers(many("a"));
  Open();
  Lines();
  WriteCallers(many("b"));
  callers_->Refresh();
  const std::vector<std::string> audit = AuditLines();
  EXPECT_THAT(audit, SizeIs(102));
  EXPECT_EQ(audit.back(), "more_entries_changed entries=200");
}

TEST_F(CallersTest, NoKeyIsLogged) {
  WriteCallers(kCallerLines);
  Open();
  WriteFile(absl::StrCat("accounts:\n- {name: sales, key: contiguity_sk_s3cr3t}\n", kCallerLines));
  callers_->Refresh();
  for (const std::string& line : Lines()) EXPECT_THAT(line, Not(HasSubstr("s3cr3t")));
}

TEST_F(CallersTest, IdentityFailuresAreCountedByWhy) {
  WriteCallers(kCallerLines);
  Open();
  const struct {
    const char* why;
    PeerFacts facts;
  } kCases[] = {
      {"not_trusted", {.address = "192.0.2.1", .forwarded_certificate = "URI=spiffe://p/a"}},
      {"unknown_issuer", {.address = "192.0.2.1", .authorization = "Bearer a.b.c"}},
      {"malformed", {.address = "127.0.0.1", .forwarded_certificate = "\""}},
      {"malformed", {.address = "192.0.2.1", .authorization = "Basic a"}},
      {"malformed", {.address = "192.0.2.1", .has_certificate = true}},
      {"malformed", {.address = "192.0.2.1", .has_certificate = true, .dns_names = {"*.a b"}}},
      {"malformed",
       {.address = "192.0.2.1", .has_certificate = true, .uris = {"spiffe://p/a", "spiffe://p/b"}}},
  };
  for (const auto& [why, facts] : kCases) {
    const std::size_t failure = IdentityFailureOf(why);
    const std::uint64_t before = callers_->stats().identity_failures[failure];
    EXPECT_EQ(callers_->Identify(facts).status().code(), absl::StatusCode::kUnauthenticated) << why;
    EXPECT_EQ(callers_->stats().identity_failures[failure], before + 1) << why;
  }
  const auto failures = callers_->stats().identity_failures;
  EXPECT_EQ(failures.back(), 0);  // none is counted as another
  EXPECT_TRUE(callers_->Identify(Named("orders")).ok());
  EXPECT_EQ(callers_->stats().identity_failures, failures);
}

TEST_F(CallersTest, QuotaRefusalsAreCounted) {
  WriteCallers(kCallerLines);
  Open();
  const Callers::Known orders = Known("orders");
  EXPECT_TRUE(orders.use->EnterWatch(*orders.setting).ok());
  EXPECT_FALSE(orders.use->EnterWatch(*orders.setting).ok());
  WriteCallers(absl::StrReplaceAll(kCallerLines, {{"dns: billing", "dns: b"}}));
  callers_->Refresh();
  EXPECT_FALSE(orders.use->EnterWatch(*orders.setting).ok());
  EXPECT_EQ(callers_->stats().quota_refusals[static_cast<std::size_t>(QuotaLimit::kWatchers)], 2);
}

TEST_F(CallersTest, IssuersComeAndGo) {
  const std::string tokens = "tokens: [{issuer: i, audiences: [a], keys_file: JWKS}]\n";
  WriteCallers(absl::StrCat(tokens, kCallerLines));
  Open();
  const PeerFacts facts{.address = "192.0.2.1", .authorization = "Bearer a.b.c"};
  EXPECT_FALSE(callers_->Identify(facts).ok());
  const std::uint64_t refused = callers_->stats().tokens_refused;
  EXPECT_EQ(refused, 1);
  // What was counted stays, whoever counts from then on.
  WriteCallers(absl::StrCat(absl::StrReplaceAll(tokens, {{"[a]", "[b]"}}), kCallerLines));
  callers_->Refresh();
  EXPECT_FALSE(callers_->Identify(facts).ok());
  EXPECT_EQ(callers_->stats().tokens_refused, 2);
  WriteCallers(kCallerLines);
  callers_->Refresh();
  EXPECT_EQ(callers_->stats().tokens_refused, 2);
  EXPECT_THAT(callers_->policy()->issuers(), IsEmpty());
}

TEST_F(CallersTest, AKeysFileWithAFaultIsToldOfTheFile) {
  WriteCallers(
      absl::StrCat("tokens: [{issuer: i, audiences: [a], keys_file: JWKS}]\n", kCallerLines));
  auto callers = Callers::Open({.path = path_, .refresh = std::chrono::milliseconds(1)});
  ASSERT_TRUE(callers.ok()) << callers.status();
  callers_ = *std::move(callers);
  EXPECT_TRUE(callers_->stats().file_ok);
  Write("jwks.json", "{}");
  while (callers_->stats().file_ok) std::this_thread::yield();
  EXPECT_EQ(callers_->stats().refused_reloads, 0);
  Write("jwks.json", kJwks);
  while (!callers_->stats().file_ok) std::this_thread::yield();
}

TEST_F(CallersTest, TheFileIsReadAnewByItself) {
  WriteCallers(kCallerLines);
  auto callers = Callers::Open({.path = path_, .refresh = std::chrono::milliseconds(1)});
  ASSERT_TRUE(callers.ok()) << callers.status();
  callers_ = *std::move(callers);
  WriteCallers("callers: [{name: new, match: {dns: new}, roles: {}}]\n");
  while (callers_->stats().reloads == 0) std::this_thread::yield();
  EXPECT_EQ(Known("new").setting->name, "new");
}

TEST_F(CallersTest, ReloadsAndCallsAtTheSameTime) {
  const std::string other = absl::StrReplaceAll(kCallerLines, {{"watchers: 1", "watchers: 2"}});
  WriteCallers(kCallerLines);
  Open();
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        const auto known = callers_->Identify(Named("orders"));
        ASSERT_TRUE(known.ok());
        ASSERT_EQ(known->setting->name, "orders");
        callers_->stats();
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    WriteCallers(i % 2 == 0 ? other : kCallerLines);
    callers_->Refresh();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(callers_->stats().reloads, 50);
}

}  // namespace
}  // namespace leasegateway
