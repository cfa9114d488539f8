// Who may do what: each identity × RPC × account, told apart by the error alone.

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "service/process/logging.h"
#include "tests/support/callers_fixture.h"

namespace leasegateway {
namespace {

using google::protobuf::MethodDescriptor;

constexpr char kMatrixCallers[] = R"(
roles:
  reads: [read]
  watches: [watch]
  buys: [lease]
  ends: [terminate]
  sets: [configure]
  sees: [see_operations]
  sees-all: [see_all_operations]
  rules: [administer]
callers:
  - {name: reader, match: {spiffe: spiffe://prod/reader}, roles: {sales: [reads]}}
  - {name: watcher, match: {spiffe: spiffe://prod/watcher}, roles: {sales: [watches]}}
  - {name: buyer, match: {spiffe: spiffe://prod/buyer}, roles: {sales: [buys]}}
  - {name: ender, match: {spiffe: spiffe://prod/ender}, roles: {sales: [ends]}}
  - {name: setter, match: {spiffe: spiffe://prod/setter}, roles: {sales: [sets]}}
  - {name: clerk, match: {spiffe: spiffe://prod/clerk}, roles: {sales: [sees]}}
  - {name: auditor, match: {spiffe: spiffe://prod/auditor}, roles: {sales: [sees-all]}}
  - {name: ruler, match: {spiffe: spiffe://prod/ruler}, roles: {sales: [rules]}}
  - {name: both, match: {spiffe_prefix: spiffe://prod/both/}, roles: {sales: [reads], support: [buys]}}
)";

// What each RPC asks for; nothing: no right. One that is missing here fails the test.
const std::map<std::string, std::optional<std::string>> kNeeded{
    {"ListAvailableNumbers", "read"},
    {"WatchAvailability", "watch"},
    {"GetNumber", "read"},
    {"BatchGetNumbers", "read"},
    {"CreateLease", "lease"},
    {"LeaseAnyNumber", "lease"},
    {"ListLeases", "read"},
    {"GetLease", "read"},
    {"TerminateLease", "terminate"},
    {"GetOperation", "see_operations"},
    {"ListOperations", "see_operations"},
    {"ConfigureFailover", "configure"},
    {"GetCallForwarding", "read"},
    {"EnableCallForwarding", "configure"},
    {"DisableCallForwarding", "configure"},
    {"WhoAmI", std::nullopt},
};

// By SPIFFE path: the rights on each account.
const std::map<std::string, std::map<std::string, std::set<std::string>>> kRightsOf{
    {"", {}},
    {"stranger", {}},
    {"reader", {{"sales", {"read"}}}},
    {"watcher", {{"sales", {"watch"}}}},
    {"buyer", {{"sales", {"lease"}}}},
    {"ender", {{"sales", {"terminate"}}}},
    {"setter", {{"sales", {"configure"}}}},
    {"clerk", {{"sales", {"see_operations"}}}},
    {"auditor", {{"sales", {"see_operations", "see_all_operations"}}}},
    {"ruler", {{"sales", {"administer"}}}},
    {"both/one", {{"sales", {"read"}}, {"support", {"lease"}}}},
    {"both", {}},
};

class CallersMatrixTest : public CallersTest {
 protected:
  // Calls any method with a request that has the account, and nothing else that is right: who is
  // let in learns what is wrong with it, or gets a list.
  grpc::Status Call(const MethodDescriptor& method, const std::string& caller,
                    const std::string& account) {
    const auto* prototype =
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(method.input_type());
    const std::unique_ptr<google::protobuf::Message> request(prototype->New());
    const auto* fields = method.input_type();
    request->GetReflection()->SetString(request.get(), fields->FindFieldByName("account"), account);
    if (const auto* token = fields->FindFieldByName("resume_token")) {
      request->GetReflection()->SetString(request.get(), token, "none");
    }
    const auto context = As(caller);
    grpc::GenericStub stub(channel_);
    grpc::CompletionQueue queue;
    grpc::Slice slice(request->SerializeAsString());
    grpc::ByteBuffer bytes(&slice, 1), reply;
    const auto call = stub.PrepareUnaryCall(
        context.get(), "/leasegateway.v1.LeaseService/" + method.name(), bytes, &queue);
    call->StartCall();
    grpc::Status status;
    call->Finish(&reply, &status, this);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
    return status;
  }

  static bool IsAllowed(const std::string& caller, const std::string& method,
                        const std::string& account) {
    const auto& rights = kRightsOf.at(caller);
    const auto& needed = kNeeded.at(method);
    if (!needed) return account.empty() || rights.count(account) > 0;
    if (!account.empty()) {
      return rights.count(account) > 0 && rights.at(account).count(*needed) > 0;
    }
    return rights.size() == 1 && rights.begin()->second.count(*needed) > 0;
  }
};

TEST_F(CallersMatrixTest, EachIdentityMayDoJustWhatItsRightsSay) {
  StartWithCallers(kMatrixCallers);
  const auto* service = v1::LeaseService::service_full_name() == nullptr
                            ? nullptr
                            : google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
                                  v1::LeaseService::service_full_name());
  ASSERT_NE(service, nullptr);
  for (int i = 0; i < service->method_count(); ++i) {
    const MethodDescriptor& method = *service->method(i);
    ASSERT_EQ(kNeeded.count(method.name()), 1U) << method.name() << " has no row";
    for (const auto& [caller, rights] : kRightsOf) {
      for (const std::string account : {"", "sales", "support", "nowhere"}) {
        SCOPED_TRACE(method.name() + " by \"" + caller + "\" on \"" + account + "\"");
        const Failure failure = Explain(Call(method, caller, account));
        if (IsAllowed(caller, method.name(), account)) {
          EXPECT_NE(failure.code, grpc::StatusCode::PERMISSION_DENIED);
          EXPECT_NE(failure.code, grpc::StatusCode::UNAUTHENTICATED);
          EXPECT_NE(failure.reason, "INVALID_ACCOUNT");
        } else if (account.empty() && rights.size() > 1) {
          EXPECT_EQ(failure.reason, "INVALID_ACCOUNT");
        } else {
          EXPECT_EQ(failure.code, grpc::StatusCode::PERMISSION_DENIED);
          EXPECT_EQ(failure.reason, "NOT_ALLOWED");
          EXPECT_EQ(failure.info.metadata().at("account"), account);
        }
      }
    }
  }
}

// Nothing tells an account that is there from one that is not.
TEST_F(CallersMatrixTest, AnAccountWithoutRightsIsLikeNone) {
  StartWithCallers(kMatrixCallers);
  v1::ListLeasesRequest request;
  v1::ListLeasesResponse response;
  std::vector<std::string> answers;
  for (const std::string account : {"support", "nowhere"}) {
    request.set_account(account);
    const auto status = stub_->ListLeases(As("reader").get(), request, &response);
    const Failure failure = Explain(status);
    std::string text = status.error_message() + failure.reason;
    // In an order of its own, as a map has none.
    const std::map<std::string, std::string> metadata(failure.info.metadata().begin(),
                                                      failure.info.metadata().end());
    for (const auto& [key, value] : metadata) text += " " + key + "=" + value;
    for (const std::string& type : failure.detail_types) text += " " + type;
    for (auto at = text.find(account); at != std::string::npos; at = text.find(account)) {
      text.replace(at, account.size(), "*");
    }
    answers.push_back(text);
  }
  EXPECT_EQ(answers[0], answers[1]);
}

TEST_F(CallersMatrixTest, AnAccountHasLeasesOfItsOwn) {
  StartWithCallers(
      kMatrixCallers +
      std::string("  - {name: owner, match: {spiffe: spiffe://prod/owner}, "
                  "roles: {sales: [reads, buys, sees], support: [reads, buys, sees]}}\n"));
  v1::ListAvailableNumbersRequest list;
  list.set_account("sales");
  v1::ListAvailableNumbersResponse numbers;
  ASSERT_TRUE(stub_->ListAvailableNumbers(As("owner").get(), list, &numbers).ok());
  std::map<std::string, std::string> bought;
  int next = 0;
  // The same request_id is another purchase on another account.
  for (const std::string account : {"sales", "support"}) {
    v1::CreateLeaseRequest create;
    create.set_account(account);
    create.set_request_id(kRequestId);
    create.set_phone_number(numbers.numbers(next++).phone_number());
    v1::CreateLeaseResponse created;
    const auto status = stub_->CreateLease(As("owner").get(), create, &created);
    ASSERT_TRUE(status.ok()) << status.error_message();
    bought[account] = create.phone_number();
  }
  for (const auto& [account, number] : bought) {
    v1::ListLeasesRequest leases;
    leases.set_account(account);
    v1::ListLeasesResponse response;
    ASSERT_TRUE(stub_->ListLeases(As("owner").get(), leases, &response).ok());
    ASSERT_EQ(response.leases_size(), 1) << account;
    EXPECT_EQ(response.leases(0).phone_number(), number);
    v1::GetOperationRequest get;
    get.set_account(account);
    get.set_request_id(kRequestId);
    v1::GetOperationResponse operation;
    ASSERT_TRUE(stub_->GetOperation(As("owner").get(), get, &operation).ok());
    EXPECT_EQ(operation.operation().account(), account);
    EXPECT_EQ(operation.operation().caller(), "owner");
    EXPECT_EQ(operation.operation().identity_kind(), v1::IDENTITY_KIND_SPIFFE_ID);
    EXPECT_EQ(operation.operation().phone_number(), number);
  }
}

// A token that was given out for one account says nothing on another.
TEST_F(CallersMatrixTest, ATokenOfOneAccountIsRefusedOnAnother) {
  StartWithCallers(kMatrixCallers +
                   std::string("  - {name: owner, match: {spiffe: spiffe://prod/owner}, "
                               "roles: {sales: [reads, watches, buys, sees], support: "
                               "[reads, watches, buys, sees]}}\n"));
  v1::ListAvailableNumbersRequest list;
  list.set_account("sales");
  list.set_page_size(10);
  v1::ListAvailableNumbersResponse page;
  ASSERT_TRUE(stub_->ListAvailableNumbers(As("owner").get(), list, &page).ok());
  list.set_page_token(page.next_page_token());
  ASSERT_TRUE(stub_->ListAvailableNumbers(As("owner").get(), list, &page).ok());
  list.set_account("support");
  EXPECT_EQ(Explain(stub_->ListAvailableNumbers(As("owner").get(), list, &page)).reason,
            "INVALID_PAGE_TOKEN");

  v1::CreateLeaseRequest create;
  create.set_account("sales");
  create.set_request_id(kRequestId);
  create.set_phone_number(page.numbers(0).phone_number());
  v1::CreateLeaseResponse created;
  ASSERT_TRUE(stub_->CreateLease(As("owner").get(), create, &created).ok());
  v1::ListLeasesRequest leases;
  leases.set_account("support");
  leases.set_consistency_token(created.metadata().consistency_token());
  v1::ListLeasesResponse leased;
  EXPECT_EQ(Explain(stub_->ListLeases(As("owner").get(), leases, &leased)).reason,
            "INVALID_CONSISTENCY_TOKEN");

  v1::WatchAvailabilityRequest watch;
  watch.set_account("sales");
  const auto watching = As("owner");
  auto stream = stub_->WatchAvailability(watching.get(), watch);
  v1::WatchAvailabilityResponse message;
  while (message.resume_token().empty()) ASSERT_TRUE(stream->Read(&message));
  watching->TryCancel();
  stream->Finish();
  watch.set_resume_token(message.resume_token());
  watch.set_account("support");
  const auto resuming = As("owner");
  stream = stub_->WatchAvailability(resuming.get(), watch);
  EXPECT_FALSE(stream->Read(&message));
  EXPECT_EQ(Explain(stream->Finish()).reason, "INVALID_RESUME_TOKEN");
}

// With the file that takes the right away, and nothing of the account comes after.
TEST_F(CallersMatrixTest, AWatchEndsOnceItsRightIsGone) {
  StartWithCallers(kMatrixCallers,
                   [](Config& config) { config.watch_heartbeat = std::chrono::milliseconds(50); });
  const auto watching = As("watcher", 30'000);
  const auto stream = stub_->WatchAvailability(watching.get(), {});
  v1::WatchAvailabilityResponse message;
  while (message.resume_token().empty()) ASSERT_TRUE(stream->Read(&message));
  // Another file that leaves it the right leaves it the watch.
  WriteCallers(std::string(kMatrixCallers) +
               "  - {name: late, match: {spiffe: spiffe://prod/late}, roles: {sales: [reads]}}\n");
  v1::ListLeasesResponse leases;
  while (!stub_->ListLeases(As("late").get(), {}, &leases).ok()) {
    ASSERT_TRUE(stream->Read(&message));
  }
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(stream->Read(&message));
  WriteCallers(
      "roles: {reads: [read]}\ncallers:\n"
      "  - {name: watcher, match: {spiffe: spiffe://prod/watcher}, roles: {sales: [reads]}}\n");
  while (stream->Read(&message)) {
  }
  const Failure failure = Explain(stream->Finish());
  EXPECT_EQ(failure.code, grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(failure.reason, "NOT_ALLOWED");
  EXPECT_EQ(failure.info.metadata().at("caller"), "watcher");
  EXPECT_EQ(failure.info.metadata().at("right"), "watch");
  EXPECT_EQ(failure.info.metadata().at("account"), "sales");
}

// Errors have the name that was asked for, and clients take 8 KiB of those.
TEST_F(CallersMatrixTest, ANameOfAnAccountThatCanBeNoneIsNotEchoedWhole) {
  StartWithCallers(kMatrixCallers);
  const std::string account(100'000, 'x');
  v1::ListLeasesRequest leases;
  leases.set_account(account);
  v1::ListLeasesResponse leased;
  v1::WhoAmIRequest who;
  who.set_account(account);
  v1::WhoAmIResponse told;
  for (const std::string caller : {"", "reader", "both/one"}) {
    for (const grpc::Status& status : {stub_->ListLeases(As(caller).get(), leases, &leased),
                                       stub_->WhoAmI(As(caller).get(), who, &told)}) {
      EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << caller;
      EXPECT_EQ(Explain(status).reason, "INVALID_ACCOUNT") << status.error_message();
    }
  }
}

// It is told some of them, and how many there are more.
TEST_F(CallersMatrixTest, WhoHasRightsOnManyAccountsIsToldToNameOne) {
  std::string more = "", roles = "sales: [reads]";
  for (int i = 10; i < 90; ++i) {
    const std::string name = std::string(61, 'x') + std::to_string(i);
    more += "  - {name: " + name + ", key_file: " + Path("sales.key") + "}\n";
    roles += ", " + name + ": [reads]";
  }
  StartWithCallers(more + "roles: {reads: [read]}\ncallers:\n" +
                   "  - {name: many, match: {spiffe: spiffe://prod/many}, roles: {" + roles +
                   "}}\n");
  v1::ListLeasesResponse leased;
  const auto status = stub_->ListLeases(As("many").get(), {}, &leased);
  EXPECT_EQ(Explain(status).reason, "INVALID_ACCOUNT") << status.error_message();
  EXPECT_THAT(status.error_message(), testing::HasSubstr("\"sales\""));
  EXPECT_THAT(status.error_message(), testing::HasSubstr(" and 71 more"));
}

// What somebody without a right calls an account is not what tells one refusal from another.
TEST_F(CallersMatrixTest, AFloodOfNamesHidesNobodysRefusalFromTheAudit) {
  std::ostringstream log;
  InitLoggingTo(log, "info", "text");
  StartWithCallers(kMatrixCallers);
  v1::ListLeasesRequest leases;
  v1::ListLeasesResponse leased;
  for (int i = 0; i < 100; ++i) {
    leases.set_account("nowhere-" + std::to_string(i));
    EXPECT_EQ(Explain(stub_->ListLeases(As("stranger").get(), leases, &leased)).reason,
              "NOT_ALLOWED");
  }
  v1::TerminateLeaseResponse ended;
  EXPECT_EQ(Explain(stub_->TerminateLease(As("reader").get(), {}, &ended)).reason, "NOT_ALLOWED");
  server_.reset();
  ShutdownLogging();
  EXPECT_THAT(log.str(), testing::HasSubstr("account=nowhere-0 "));
  EXPECT_THAT(log.str(), testing::ContainsRegex(" audit refused method=TerminateLease "
                                                "reason=NOT_ALLOWED right=terminate caller=reader "
                                                "identity=[^ ]* account=sales "));
}

}  // namespace
}  // namespace leasegateway
