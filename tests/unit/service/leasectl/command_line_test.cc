// Commands as they are typed, against a gateway that answers as a test wants.
#include "service/leasectl/command_line.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "google/rpc/error_details.pb.h"
#include "leasegateway/v1/lease_service.pb.h"

namespace leasegateway {
namespace {

using google::protobuf::Message;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char kService[] = "/leasegateway.v1.LeaseService/";
constexpr char kRequestId[] = "9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6f";

// Takes every method of the service. The reply is empty and OK unless the script says otherwise.
class FakeGateway final : public grpc::CallbackGenericService {
 public:
  struct Call {
    std::string method;
    std::string authorization;  // the header; empty: none
    std::shared_ptr<const Message> request;

    template <class Request>
    const Request& As() const {
      return dynamic_cast<const Request&>(*request);
    }
    std::string Account() const {
      const auto* const field = request->GetDescriptor()->FindFieldByName("account");
      return request->GetReflection()->GetString(*request, field);
    }
  };
  using Script = std::function<grpc::Status(const Call&, Message& reply)>;

  FakeGateway() {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
    target = absl::StrCat("127.0.0.1:", port);
  }
  ~FakeGateway() override {
    server_->Shutdown();
    server_->Wait();
  }

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return new Reactor(*this, *context);
  }

  std::vector<Call> calls() {
    const std::scoped_lock lock(mutex_);
    return calls_;
  }

  std::string target;
  Script script;

 private:
  // Reads the request and answers it; deletes itself.
  class Reactor final : public grpc::ServerGenericBidiReactor {
   public:
    Reactor(FakeGateway& gateway, grpc::GenericCallbackServerContext& context)
        : gateway_(gateway), context_(context) {
      StartRead(&buffer_);
    }

   private:
    void OnReadDone(bool ok) override {
      grpc::ByteBuffer reply;
      const grpc::Status status =
          ok ? gateway_.Answer(context_, buffer_, reply) : grpc::Status::CANCELLED;
      if (!status.ok()) return Finish(status);
      buffer_ = reply;
      StartWriteAndFinish(&buffer_, grpc::WriteOptions(), status);
    }
    void OnDone() override { delete this; }

    FakeGateway& gateway_;
    grpc::GenericCallbackServerContext& context_;
    grpc::ByteBuffer buffer_;
  };

  grpc::Status Answer(grpc::GenericCallbackServerContext& context, grpc::ByteBuffer& bytes,
                      grpc::ByteBuffer& answer) {
    Call call;
    absl::string_view name = context.method();
    if (!absl::ConsumePrefix(&name, kService)) return grpc::Status(grpc::UNIMPLEMENTED, "no");
    call.method = std::string(name);
    const auto header = context.client_metadata().find("authorization");
    if (header != context.client_metadata().end()) {
      call.authorization.assign(header->second.data(), header->second.size());
    }
    const auto* const method = google::protobuf::DescriptorPool::generated_pool()
                                   ->FindServiceByName("leasegateway.v1.LeaseService")
                                   ->FindMethodByName(call.method);
    auto* const messages = google::protobuf::MessageFactory::generated_factory();
    std::unique_ptr<Message> request(messages->GetPrototype(method->input_type())->New());
    std::unique_ptr<Message> reply(messages->GetPrototype(method->output_type())->New());
    grpc::Status status =
        grpc::GenericDeserialize<grpc::ProtoBufferReader, Message>(&bytes, request.get());
    call.request = std::move(request);
    const std::scoped_lock lock(mutex_);
    if (status.ok() && script) status = script(call, *reply);
    calls_.push_back(std::move(call));
    bool own = false;
    return status.ok()
               ? grpc::GenericSerialize<grpc::ProtoBufferWriter, Message>(*reply, &answer, &own)
               : status;
  }

  std::mutex mutex_;
  std::vector<Call> calls_;
  std::unique_ptr<grpc::Server> server_;
};

grpc::Status Refusal(grpc::StatusCode code, const std::string& reason) {
  google::rpc::Status status;
  status.set_code(code);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  EXPECT_TRUE(status.add_details()->PackFrom(info));
  return {code, "what happened", status.SerializeAsString()};
}

class CommandLineTest : public testing::Test {
 protected:
  CommandLineTest() {
    // What these tests talk to is on this machine.
    for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy"}) unsetenv(name);
  }
  ~CommandLineTest() override { unlink(token_path_.c_str()); }

  int Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"leasectl", "--target", target_});
    std::vector<const char*> words;
    for (const std::string& argument : arguments) words.push_back(argument.c_str());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int code = CommandLine().Run(static_cast<int>(words.size()), words.data());
    out_ = testing::internal::GetCapturedStdout();
    err_ = testing::internal::GetCapturedStderr();
    return code;
  }

  void WriteToken(const std::string& token) {
    std::ofstream(token_path_, std::ios::trunc) << token << "\n";
  }

  std::vector<std::string> Authorizations() {
    std::vector<std::string> result;
    for (const auto& call : gateway_.calls()) result.push_back(call.authorization);
    return result;
  }

  const std::string token_path_ = absl::StrCat(testing::TempDir(), "leasectl-command-", getpid());
  FakeGateway gateway_;
  std::string target_ = gateway_.target;
  std::string out_, err_;
};

// A row for each RPC; the messages of an RPC without an account don't compile.
const std::vector<std::vector<std::string>>& EveryCommand() {
  static const auto* const commands = new std::vector<std::vector<std::string>>{
      {"available"},
      {"watch"},
      {"get", "+13"},
      {"batch", "+13"},
      {"lease", "+13", "--request-id", kRequestId},
      {"lease-any", "--max-monthly", "5USD", "--max-upfront", "5USD", "--request-id", kRequestId},
      {"leases"},
      {"show", "+13"},
      {"terminate", "+13", "--request-id", kRequestId},
      {"failover", "+13", "--enable"},
      {"operations"},
      {"operation", kRequestId},
      {"whoami"},
      {"report", "--month", "2026-11"},
      {"forwarding", "get", "+13"},
      {"forwarding", "enable", "+13", "--to", "+14"},
      {"forwarding", "disable", "+13"}};
  return *commands;
}

TEST_F(CommandLineTest, EveryRequestHasTheAccountAndTheToken) {
  WriteToken("secret");
  gateway_.script = [](const FakeGateway::Call& call, Message&) {
    // It would go on watching.
    return call.method == "WatchAvailability" ? Refusal(grpc::PERMISSION_DENIED, "NOT_ALLOWED")
                                              : grpc::Status::OK;
  };
  for (std::vector<std::string> command : EveryCommand()) {
    const bool is_watch = command[0] == "watch";
    command.insert(command.end(), {"--account", "sales", "--token-file", token_path_});
    EXPECT_EQ(Run(command), is_watch ? kDenied : kDone) << command[0] << ": " << err_;
  }
  std::set<std::string> missing;
  const auto* const service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
      "leasegateway.v1.LeaseService");
  for (int i = 0; i < service->method_count(); ++i) missing.insert(service->method(i)->name());
  for (const auto& call : gateway_.calls()) {
    EXPECT_EQ(call.Account(), "sales") << call.method;
    EXPECT_EQ(call.authorization, "Bearer secret") << call.method;
    missing.erase(call.method);
  }
  EXPECT_THAT(missing, IsEmpty());
}

TEST_F(CommandLineTest, WithoutThemNothingIsSent) {
  EXPECT_EQ(Run({"leases"}), kDone) << err_;
  ASSERT_EQ(gateway_.calls().size(), 1U);
  EXPECT_EQ(gateway_.calls()[0].Account(), "");
  EXPECT_EQ(gateway_.calls()[0].authorization, "");
}

TEST_F(CommandLineTest, EnvironmentHasAccountAndToken) {
  WriteToken("secret");
  setenv("LEASECTL_ACCOUNT", "sales", 1);
  setenv("LEASECTL_TOKEN_FILE", token_path_.c_str(), 1);
  const int code = Run({"leases"});
  const int other = Run({"leases", "--account", "support"});
  unsetenv("LEASECTL_ACCOUNT");
  unsetenv("LEASECTL_TOKEN_FILE");
  EXPECT_EQ(code, kDone) << err_;
  EXPECT_EQ(other, kDone) << err_;
  EXPECT_EQ(gateway_.calls()[0].Account(), "sales");
  EXPECT_EQ(gateway_.calls()[1].Account(), "support");
  EXPECT_THAT(Authorizations(), Each("Bearer secret"));
}

TEST_F(CommandLineTest, TokenThatIsRotatedBetweenCallsIsTheNewOne) {
  WriteToken("first");
  int calls = 0;
  gateway_.script = [&](const FakeGateway::Call& call, Message& reply) {
    WriteToken(absl::StrCat("token", ++calls));
    if (call.method == "ListOperations" && calls < 3) {
      dynamic_cast<v1::ListOperationsResponse&>(reply).set_next_page_token("more");
    }
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"operations", "--all", "--token-file", token_path_}), kDone) << err_;
  EXPECT_THAT(Authorizations(), ElementsAre("Bearer first", "Bearer token1", "Bearer token2"));
}

TEST_F(CommandLineTest, TokenGoesNowhereInPlaintextButToLoopback) {
  WriteToken("secret");
  target_ = "192.0.2.1:1";
  for (const char* command : {"leases", "watch", "health"}) {
    EXPECT_EQ(Run({command, "--token-file", token_path_}), kLocalFailure);
    EXPECT_EQ(err_,
              "leasectl: --token-file: without --tls anybody on the way to 192.0.2.1:1 "
              "could read the token; only loopback needs no --tls\n");
  }
  // Nor to the proxy of the environment.
  target_ = gateway_.target;
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  const int code = Run({"leases", "--token-file", token_path_});
  unsetenv("http_proxy");
  EXPECT_EQ(code, kDone) << err_;
  EXPECT_EQ(gateway_.calls().size(), 1U);
}

TEST_F(CommandLineTest, BadTokenFileIsOneLineAndNoCall) {
  for (const char* command : {"leases", "watch", "health"}) {
    EXPECT_EQ(Run({command, "--token-file", "/no/such/file"}), kLocalFailure);
    EXPECT_EQ(err_, "leasectl: --token-file: /no/such/file: No such file or directory\n");
  }
  WriteToken("secret\nsecret");
  EXPECT_EQ(Run({"leases", "--token-file", token_path_}), kLocalFailure);
  EXPECT_THAT(err_, AllOf(HasSubstr("more than one line"), Not(HasSubstr("secret"))));
  EXPECT_THAT(gateway_.calls(), IsEmpty());
}

TEST_F(CommandLineTest, RefusedTokenIsNotPrinted) {
  WriteToken("secret");
  gateway_.script = [](const FakeGateway::Call&, Message&) {
    return Refusal(grpc::UNAUTHENTICATED, "IDENTITY_INVALID");
  };
  EXPECT_EQ(Run({"-v", "leases", "--token-file", token_path_}), kDenied);
  EXPECT_THAT(err_, AllOf(HasSubstr("IDENTITY_INVALID"), HasSubstr("hint: "),
                          HasSubstr("--token-file"), Not(HasSubstr("secret"))));
}

TEST_F(CommandLineTest, OperationsAreFilteredByCallerKindAndTime) {
  EXPECT_EQ(Run({"operations", "--caller", "orders", "--kind", "lease_any", "--from", "2026-11-01",
                 "--to", "2026-11-30T12:00:00+01:00", "--state", "failed", "--number", "+13"}),
            kDone)
      << err_;
  const auto request = gateway_.calls().at(0).As<v1::ListOperationsRequest>();
  EXPECT_EQ(request.caller(), "orders");
  EXPECT_EQ(request.kind(), v1::OPERATION_KIND_LEASE_ANY);
  EXPECT_EQ(request.start_time().seconds(), 1793491200);
  EXPECT_EQ(request.end_time().seconds(), 1796036400);
  EXPECT_EQ(request.state(), v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(request.phone_number(), "+13");

  EXPECT_EQ(Run({"operations"}), kDone) << err_;
  EXPECT_EQ(gateway_.calls().at(1).request->ByteSizeLong(), 0U);
}

TEST_F(CommandLineTest, BadValueNamesOptionValueAndRule) {
  const struct {
    std::vector<std::string> arguments;
    std::string option, value, rule;
  } cases[] = {
      {{"operations", "--from", "yesterday"}, "--from", "\"yesterday\"", "2026-11-30"},
      {{"operations", "--to", "2026-11"}, "--to", "\"2026-11\"", "2026-11-30"},
      {{"operations", "--kind", "hold"}, "--kind", "hold", "terminate"},
      {{"operations", "--from", "2026-11-02", "--to", "2026-11-02"}, "--from", "--to", "before"},
      {{"report"}, "--month", "", "required"},
      {{"report", "--month", "2026-13"}, "--month", "\"2026-13\"", "such as 2026-11"},
      {{"report", "--month", "2026-11", "--format", "xml"}, "--format", "xml", "csv"},
      {{"report", "--month", "2026-11", "--format", "csv", "--json"},
       "--format",
       "--json",
       "excludes"},
      {{"whoami", "--format", "csv"}, "--format", "csv", "json"},
      {{"leases", "--account", ""}, "--account", "", "must not be empty"}};
  for (const auto& [arguments, option, value, rule] : cases) {
    EXPECT_EQ(Run(arguments), kUsage) << err_;
    EXPECT_THAT(err_, AllOf(HasSubstr(option), HasSubstr(value), HasSubstr(rule)));
  }
  EXPECT_THAT(gateway_.calls(), IsEmpty());
}

TEST_F(CommandLineTest, WhoAmIIsATableOrTheReply) {
  gateway_.script = [](const FakeGateway::Call&, Message& reply) {
    dynamic_cast<v1::WhoAmIResponse&>(reply).set_caller("orders");
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"whoami"}), kDone) << err_;
  EXPECT_THAT(out_, HasSubstr("Caller         orders\n"));
  EXPECT_EQ(Run({"whoami", "--format", "json"}), kDone) << err_;
  const std::string json = out_;
  EXPECT_THAT(json, HasSubstr("\"caller\": \"orders\""));
  EXPECT_EQ(Run({"--json", "whoami"}), kDone) << err_;
  EXPECT_EQ(out_, json);
}

// A caller with all rights on one account, some on another and too few on a third.
class ReportTest : public CommandLineTest {
 protected:
  ReportTest() {
    gateway_.script = [this](const FakeGateway::Call& call, Message& reply) {
      if (call.method == "WhoAmI") {
        WriteSelf(call.Account(), dynamic_cast<v1::WhoAmIResponse&>(reply));
        return grpc::Status::OK;
      }
      return WritePage(call.As<v1::ListOperationsRequest>(),
                       dynamic_cast<v1::ListOperationsResponse&>(reply));
    };
  }

  // The accounts of the lists asked for, each with its kinds.
  std::vector<std::string> Walks() {
    std::vector<std::string> walks;
    for (const auto& call : gateway_.calls()) {
      if (call.method != "ListOperations") continue;
      const auto& request = call.As<v1::ListOperationsRequest>();
      EXPECT_EQ(request.state(), v1::OPERATION_STATE_SUCCEEDED);
      EXPECT_EQ(request.start_time().seconds(), 1793491200);
      EXPECT_EQ(request.end_time().seconds(), 1796083200);
      EXPECT_EQ(request.page_size(), 1000);
      walks.push_back(absl::StrCat(request.account(), " ", v1::OperationKind_Name(request.kind()),
                                   " ", request.page_token()));
    }
    return walks;
  }

  std::map<std::string, std::vector<std::string>> rights_ = {
      {"sales", {"read", "see_all_operations"}},
      {"support", {"see_operations"}},
      {"tests", {"read"}}};
  std::string broken_page_;  // the token of one that fails

 private:
  void WriteSelf(const std::string& account, v1::WhoAmIResponse& reply) {
    reply.set_caller("orders");
    for (const auto& [name, rights] : rights_) {
      if (!account.empty() && name != account) continue;
      v1::AccountAccess& access = *reply.add_accounts();
      access.set_account(name);
      for (const std::string& right : rights) access.add_rights(right);
    }
  }

  // Two pages with a purchase of each kind on either, as a gateway that knows no filter would.
  grpc::Status WritePage(const v1::ListOperationsRequest& request,
                         v1::ListOperationsResponse& reply) {
    if (!broken_page_.empty() && request.page_token() == broken_page_) {
      return Refusal(grpc::UNAVAILABLE, "JOURNAL_UNAVAILABLE");
    }
    for (const v1::OperationKind kind : {v1::OPERATION_KIND_LEASE, v1::OPERATION_KIND_LEASE_ANY}) {
      v1::Operation& operation = *reply.add_operations();
      operation.set_kind(kind);
      operation.set_state(v1::OPERATION_STATE_SUCCEEDED);
      operation.set_caller("orders");
      operation.set_account(request.account());
      operation.mutable_create_time()->set_seconds(1793491200);
      for (google::type::Money* money : {operation.mutable_price()->mutable_monthly_rate(),
                                         operation.mutable_price()->mutable_upfront_fee()}) {
        money->set_currency_code("USD");
        money->set_nanos(100'000'000);
      }
    }
    if (request.page_token().empty()) reply.set_next_page_token("second");
    return grpc::Status::OK;
  }
};

constexpr char kCsvHeader[] =
    "\"row\",\"month\",\"caller\",\"account\",\"currency\",\"purchases\",\"upfront_fees\","
    "\"monthly_rates\",\"unknown_prices\",\"contracts\"\r\n";

TEST_F(ReportTest, WalksAllPagesOfEachAccountWhoseOperationsItSees) {
  EXPECT_EQ(Run({"report", "--month", "2026-11", "--format", "csv"}), kDone) << err_;
  EXPECT_THAT(
      Walks(),
      ElementsAre("sales OPERATION_KIND_LEASE ", "sales OPERATION_KIND_LEASE second",
                  "sales OPERATION_KIND_LEASE_ANY ", "sales OPERATION_KIND_LEASE_ANY second",
                  "support OPERATION_KIND_LEASE ", "support OPERATION_KIND_LEASE second",
                  "support OPERATION_KIND_LEASE_ANY ", "support OPERATION_KIND_LEASE_ANY second"));
  EXPECT_EQ(out_,
            absl::StrCat(kCsvHeader,
                         "\"caller\",\"2026-11\",\"orders\",\"sales\",\"USD\",4,0.40,0.40,0,0\r\n"
                         "\"caller\",\"2026-11\",\"orders\",\"support\",\"USD\",4,0.40,0.40,0,0\r\n"
                         "\"total\",\"2026-11\",\"\",\"\",\"USD\",8,0.80,0.80,0,0\r\n"));
  EXPECT_EQ(err_,
            "leasectl: on support only what orders bought: the right see_all_operations shows "
            "everybody's\n");
}

TEST_F(ReportTest, OfOneAccountAsksForNoOther) {
  EXPECT_EQ(Run({"report", "--month", "2026-11", "--account", "sales"}), kDone) << err_;
  EXPECT_EQ(Walks().size(), 4U);
  for (const std::string& walk : Walks()) EXPECT_TRUE(absl::StartsWith(walk, "sales ")) << walk;
  EXPECT_THAT(out_, HasSubstr("orders  sales    USD               4          0.40"));
  EXPECT_EQ(err_, "");
  EXPECT_EQ(Run({"report", "--month", "2026-11", "--account", "sales", "--format", "json"}), kDone);
  EXPECT_THAT(out_, HasSubstr("\"month\": \"2026-11\""));
  const std::string json = out_;
  EXPECT_EQ(Run({"--json", "report", "--month", "2026-11", "--account", "sales"}), kDone);
  EXPECT_EQ(out_, json);
}

TEST_F(ReportTest, WithoutARightItSaysSo) {
  rights_ = {{"tests", {"read"}}};
  EXPECT_EQ(Run({"report", "--month", "2026-11"}), kDenied);
  EXPECT_THAT(err_, AllOf(HasSubstr("orders may see the operations of no account"),
                          HasSubstr("leasectl whoami")));
  EXPECT_THAT(Walks(), IsEmpty());
}

TEST_F(ReportTest, HalfAReportIsNone) {
  broken_page_ = "second";
  EXPECT_EQ(Run({"report", "--month", "2026-11"}), kUnavailable);
  EXPECT_EQ(out_, "");
  EXPECT_THAT(err_, HasSubstr("JOURNAL_UNAVAILABLE"));
}

}  // namespace
}  // namespace leasegateway
