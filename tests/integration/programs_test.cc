// The programs as processes: leasectl's commands and exit codes, SIGTERM under load, and what the
// log says and keeps to itself.
#include "tests/support/programs.h"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <boost/json/parse.hpp>
#include <filesystem>
#include <thread>
#include <vector>

#include "tests/support/gateway_fixture.h"

namespace leasegateway {
namespace {

constexpr char kSecret[] = "contiguity_sk_not_for_anybodys_eyes";

class ProgramsTest : public testing::Test, protected Programs {
 protected:
  pid_t StartGateway(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--sandbox", "--listen", "127.0.0.1:0"});
    const pid_t pid = Start("gateway", "lease-gateway", arguments);
    target_ = "127.0.0.1:" + After("gateway.err", "serves gRPC on port ", " \n");
    return pid;
  }

  int Leasectl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--target", target_});
    const int status = Wait(Start("leasectl", "leasectl", arguments));
    out_ = ReadAll(Path("leasectl.out"));
    err_ = ReadAll(Path("leasectl.err"));
    return status;
  }

  // The numbers that `leasectl --json available` prints, in their order.
  std::vector<std::string> Available(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--json", "available"});
    EXPECT_EQ(Leasectl(arguments), 0) << err_;
    std::vector<std::string> numbers;
    boost::system::error_code error;
    const auto reply = boost::json::parse(out_, error);
    if (error) return numbers;
    for (const auto& number : reply.at("numbers").as_array()) {
      numbers.emplace_back(number.at("phone_number").as_string());
    }
    return numbers;
  }

  pid_t StartWatch(const std::string& name, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--target", target_, "watch"});
    return Start(name, "leasectl", arguments);
  }

  std::string target_;
  std::string out_, err_;
};

TEST_F(ProgramsTest, EveryCommandOfLeasectl) {
  const pid_t gateway = StartGateway({});
  EXPECT_EQ(Leasectl({"health"}), 0) << err_;
  ASSERT_EQ(Leasectl({"--json", "available"}), 0) << err_;
  const auto available = boost::json::parse(out_);
  const auto& numbers = available.at("numbers").as_array();
  ASSERT_EQ(numbers.size(), 100U);
  const std::string number(numbers[0].at("phone_number").as_string());
  const std::string other(numbers[1].at("phone_number").as_string());
  EXPECT_EQ(Leasectl({"available"}), 0);
  EXPECT_NE(out_.find(number), out_.npos);
  EXPECT_EQ(Leasectl({"get", number}), 0);
  EXPECT_NE(out_.find(number), out_.npos);

  ASSERT_EQ(Leasectl({"--json", "lease", number}), 0) << err_;
  const auto leased = boost::json::parse(out_);
  const std::string lease_id(leased.at("lease").at("lease_id").as_string());
  EXPECT_EQ(Leasectl({"leases"}), 0);
  EXPECT_NE(out_.find(number), out_.npos);
  EXPECT_EQ(Leasectl({"show", number}), 0);
  EXPECT_NE(out_.find(lease_id), out_.npos);
  EXPECT_EQ(Leasectl({"forwarding", "enable", number, "--to", other}), 0) << err_;
  EXPECT_EQ(Leasectl({"forwarding", "get", number}), 0) << err_;
  EXPECT_NE(out_.find(other), out_.npos);
  EXPECT_EQ(Leasectl({"forwarding", "disable", number}), 0) << err_;
  EXPECT_EQ(Leasectl({"terminate", number}), 0) << err_;

  // Each kind of failure has its exit code; the reason goes to standard error.
  EXPECT_EQ(Leasectl({"no-such-command"}), 2);
  const int invalid = Leasectl({"get", "0123"});
  EXPECT_NE(err_.find("INVALID_PHONE_NUMBER"), err_.npos) << err_;
  const int not_found = Leasectl({"get", "+19999999999"});
  EXPECT_NE(err_.find("NUMBER_NOT_FOUND"), err_.npos) << err_;
  EXPECT_NE(err_.find("err_"), err_.npos) << err_;
  const int not_leased = Leasectl({"terminate", number});
  EXPECT_NE(err_.find("NOT_LEASED"), err_.npos) << err_;
  kill(gateway, SIGTERM);
  EXPECT_EQ(Wait(gateway), 0);
  const int unavailable = Leasectl({"--timeout", "1s", "get", number});
  const std::set<int> codes = {0, 2, not_found, not_leased, unavailable};
  EXPECT_EQ(codes.size(), 5U) << not_found << " " << not_leased << " " << unavailable;
  EXPECT_GT(invalid, 0);
  EXPECT_EQ(codes.count(-1), 0U);
}

TEST_F(ProgramsTest, LeasectlNamesOptionValueAndRuleOfABadValue) {
  target_ = "127.0.0.1:1";  // nothing is called
  const struct {
    std::vector<std::string> arguments;
    std::string option, value, rule;
  } cases[] = {{{"available", "--max-monthly", "5.00"}, "--max-monthly", "\"5.00\"", "currency"},
               {{"available", "--e911=perhaps"}, "--e911", "\"perhaps\"", "true or false"},
               {{"available", "--page-size", "10001"}, "--page-size", "\"10001\"", "1 to 10000"},
               {{"watch", "--min-reputation", "80"}, "--min-reputation", "\"80\"", "0 to 1"},
               {{"watch", "--count", "0"}, "--count", "\"0\"", "from 1"},
               {{"watch", "--for", "soon"}, "--for", "\"soon\"", "positive duration"},
               {{"leases", "--max-staleness", "-1s"}, "--max-staleness", "\"-1s\"", "from 0s"},
               {{"batch"}, "NUMBER", "", "required"},
               {{"lease", "+12", "--expect-upfront", "5"}, "--expect-upfront", "\"5\"", "currency"},
               {{"lease-any", "--max-monthly", "5USD"}, "--max-upfront", "", "required"},
               {{"operations", "--page-size", "1001"}, "--page-size", "\"1001\"", "1 to 1000"},
               {{"operations", "--state", "gone"}, "--state", "gone", "unknown"},
               {{"operation"}, "REQUEST_ID", "", "required"}};
  for (const auto& [arguments, option, value, rule] : cases) {
    EXPECT_EQ(Leasectl(arguments), 2) << err_;
    for (const auto& part : {option, value, rule}) EXPECT_NE(err_.find(part), err_.npos) << err_;
  }
}

TEST_F(ProgramsTest, LeasectlLeasesUnderANameAndShowsOperations) {
  StartGateway({});
  const auto all = Available({"--max-monthly", "1000USD", "--max-upfront", "1000USD", "--order-by",
                              "pricing.monthly_rate"});
  ASSERT_GT(all.size(), 1U);
  const std::string id = "9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6f";
  EXPECT_EQ(Leasectl({"lease", all[1], "--validate-only"}), 0) << err_;
  EXPECT_NE(out_.find("nothing was spent"), out_.npos) << out_;
  EXPECT_EQ(err_, "");
  EXPECT_EQ(Leasectl({"lease", all[1], "--request-id", id, "--expect-monthly", "12345 USD"}), 3);
  EXPECT_NE(err_.find("PRICE_CHANGED"), err_.npos) << err_;
  // A price that did not hold is an answer; another purchase has another name.
  const std::string other = "1c0e7a52-88d3-4b1f-9f6e-2b7d0a4c9e11";
  ASSERT_EQ(Leasectl({"--json", "lease", all[1], "--request-id", other}), 0) << err_;
  const auto lease = boost::json::parse(out_).at("lease");
  ASSERT_EQ(Leasectl({"--json", "lease", all[1], "--request-id", other}), 0) << err_;
  EXPECT_EQ(boost::json::parse(out_).at("lease"), lease);

  EXPECT_EQ(Leasectl({"lease-any", "--max-monthly", "1000USD"}), 2);
  EXPECT_NE(err_.find("--max-upfront"), err_.npos) << err_;
  EXPECT_EQ(Leasectl({"lease-any", "--max-monthly", "1000USD", "--max-upfront", "1000USD",
                      "--order-by", "pricing.monthly_rate", "--billing", "monthly"}),
            0)
      << err_;
  EXPECT_NE(out_.find(all[0]), out_.npos) << out_;
  // The name that leasectl makes is said before anything is sent.
  ASSERT_EQ(err_.substr(0, 12), "request_id: ") << err_;
  const std::string made = err_.substr(12, 36);
  EXPECT_EQ(Leasectl({"lease-any", "--max-monthly", "0USD", "--max-upfront", "0USD"}), 4);
  EXPECT_NE(err_.find("NO_MATCHING_NUMBER"), err_.npos) << err_;
  EXPECT_EQ(Leasectl({"terminate", all[0], "--lease-id", "lsd_0"}), 3);
  EXPECT_NE(err_.find("LEASE_CHANGED"), err_.npos) << err_;

  EXPECT_EQ(Leasectl({"operation", made}), 0) << err_;
  for (const std::string& part : {made, all[0], std::string("lease_any"), std::string("succeeded"),
                                  std::string("answered"), std::string("127.0.0.1")}) {
    EXPECT_NE(out_.find(part), out_.npos) << part << "\n" << out_;
  }
  EXPECT_EQ(Leasectl({"operation", "00000000-0000-4000-8000-000000000000"}), 4);
  EXPECT_NE(err_.find("OPERATION_NOT_FOUND"), err_.npos) << err_;
  EXPECT_EQ(Leasectl({"operations"}), 0) << err_;
  EXPECT_NE(out_.find("\n5 operations\n"), out_.npos) << out_;
  EXPECT_NE(out_.find("PRICE_CHANGED"), out_.npos) << out_;
  EXPECT_EQ(Leasectl({"operations", "--state", "succeeded", "--number", all[0]}), 0) << err_;
  EXPECT_NE(out_.find("\n1 operation\n"), out_.npos) << out_;
  EXPECT_EQ(Leasectl({"operations", "--page-size", "2"}), 0) << err_;
  EXPECT_NE(out_.find("\n2 operations\n"), out_.npos) << out_;
  EXPECT_NE(err_.find("next page: --page-token "), err_.npos) << err_;
  ASSERT_EQ(Leasectl({"--json", "operations", "--page-size", "2", "--all"}), 0) << err_;
  EXPECT_EQ(boost::json::parse(out_).at("operations").as_array().size(), 5U);
}

// A gateway that is killed and started again on its journal gives the answer of the one before.
TEST_F(ProgramsTest, JournalOutlivesTheGateway) {
  Start("sandbox", "lease-sandbox",
        {"--port", "0", "--control-port", "0", "--ca-out", Path("ca.pem")},
        {std::string("LEASE_SANDBOX_KEYS=") + kSecret});
  const std::string url = After("sandbox.out", "url: ", "\n");
  After("sandbox.out", "key: ", "\n");
  const auto start = [&](const std::string& name) {
    const pid_t pid = Start(name, "lease-gateway",
                            {"--upstream-url", url, "--upstream-ca-file", Path("ca.pem"),
                             "--journal", Path("journal.db"), "--listen", "127.0.0.1:0"},
                            {std::string("CONTIGUITY_API_KEY=") + kSecret});
    target_ = "127.0.0.1:" + After(name + ".err", "serves gRPC on port ", " \n");
    EXPECT_EQ(After(name + ".err", "the journal of purchases is ", "\n"), Path("journal.db"));
    return pid;
  };
  const pid_t first = start("first");
  const std::string number = Available({})[0];
  const std::vector<std::string> lease = {"--json", "lease", number, "--request-id",
                                          "9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6f"};
  ASSERT_EQ(Leasectl(lease), 0) << err_;
  const auto leased = boost::json::parse(out_).at("lease");
  EXPECT_EQ(Wait(Start("wrong", "lease-gateway",
                       {"--sandbox", "--journal", Path("journal.db"), "--listen", "127.0.0.1:0"})),
            1);
  EXPECT_NE(ReadAll(Path("wrong.err")).find(Path("journal.db")), std::string::npos)
      << ReadAll(Path("wrong.err"));
  kill(first, SIGKILL);
  Wait(first);
  start("second");
  ASSERT_EQ(Leasectl(lease), 0) << err_;
  EXPECT_EQ(boost::json::parse(out_).at("lease"), leased);
  EXPECT_EQ(Leasectl({"operations"}), 0) << err_;
  EXPECT_NE(out_.find("\n1 operation\n"), out_.npos) << out_;
}

TEST_F(ProgramsTest, LeasectlSearchesOrdersAndPages) {
  StartGateway({});
  const auto all = Available({});
  ASSERT_EQ(all.size(), 100U);
  // Searching for what the first number has finds it, and only what has that.
  ASSERT_EQ(Leasectl({"--json", "get", all[0]}), 0) << err_;
  const auto first = boost::json::parse(out_).at("number");
  const std::string country(first.at("location").at("country").as_string());
  const std::string suffix = all[0].substr(all[0].size() - 2);
  const auto found = Available({"--country", country, "--suffix", suffix});
  EXPECT_EQ(std::count(found.begin(), found.end(), all[0]), 1);
  EXPECT_LT(found.size(), all.size());
  for (const auto& number : found) EXPECT_TRUE(number.ends_with(suffix)) << number;
  EXPECT_EQ(Available({"--pattern", all[0]}), std::vector<std::string>{all[0]});
  EXPECT_EQ(Available({"--max-monthly", "1000000 XTS"}).size(), 0U);

  auto sorted = all;
  std::sort(sorted.rbegin(), sorted.rend());
  EXPECT_EQ(Available({"--order-by", "phone_number desc"}), sorted);
  EXPECT_EQ(Available({"--order-by", "phone_number desc", "--all", "--page-size", "30"}), sorted);
  EXPECT_EQ(Leasectl({"available", "--order-by", "no_such_field"}), 3) << err_;
  EXPECT_NE(err_.find("order_by"), err_.npos) << err_;

  EXPECT_EQ(Leasectl({"available", "--page-size", "60"}), 0) << err_;
  EXPECT_NE(out_.find("60 of 100 numbers"), out_.npos) << out_;
  const std::string mark = "next page: --page-token ";
  const auto at = err_.find(mark);
  ASSERT_NE(at, err_.npos) << err_;
  const std::string token = err_.substr(at + mark.size(), err_.find('\n', at) - at - mark.size());
  const auto rest = Available({"--page-size", "60", "--page-token", token});
  EXPECT_EQ(rest, std::vector<std::string>(all.begin() + 60, all.end()));
  EXPECT_EQ(Leasectl({"available", "--page-size", "60", "--page-token", token}), 0) << err_;
  EXPECT_EQ(err_, "");
}

TEST_F(ProgramsTest, LeasectlSaysWhereAnAnswerCameFrom) {
  StartGateway({});
  for (const auto& command : std::vector<std::vector<std::string>>{
           {"-v", "available"}, {"-v", "available", "--max-staleness", "0s"}, {"-v", "leases"}}) {
    EXPECT_EQ(Leasectl(command), 0) << err_;
    EXPECT_NE(err_.find("cache-status: lease-gateway"), err_.npos) << err_;
    EXPECT_NE(err_.find("fetched "), err_.npos) << err_;
  }
  EXPECT_EQ(Leasectl({"available"}), 0);
  EXPECT_EQ(err_, "");
}

TEST_F(ProgramsTest, LeasectlAsksForManyNumbersAtOnce) {
  StartGateway({});
  const auto all = Available({});
  ASSERT_EQ(all.size(), 100U);
  EXPECT_EQ(Leasectl({"batch", all[0], all[1]}), 0) << err_;
  EXPECT_NE(out_.find(all[0]), out_.npos);
  EXPECT_NE(out_.find("\n2 numbers\n"), out_.npos) << out_;
  // One that fails fails none of the others; the exit code is that of the first.
  EXPECT_EQ(Leasectl({"batch", all[0], "+19999999999", "0123"}), 4) << err_;
  EXPECT_NE(out_.find("NUMBER_NOT_FOUND"), out_.npos) << out_;
  EXPECT_NE(out_.find("INVALID_PHONE_NUMBER"), out_.npos) << out_;
  EXPECT_NE(out_.find("3 numbers, 2 failed"), out_.npos) << out_;

  // More than one call may have, on standard input.
  std::ofstream input(Path("leasectl.in"));
  for (int i = 0; i < 11; ++i) {
    for (const auto& number : all) input << number << "\n";
  }
  input.close();
  EXPECT_EQ(Leasectl({"--timeout", "25s", "--json", "batch", "-"}), 0) << err_;
  const auto reply = boost::json::parse(out_);
  const auto& results = reply.at("results").as_array();
  ASSERT_EQ(results.size(), 1100U);
  for (std::size_t i = 0; i < results.size(); ++i) {
    ASSERT_EQ(results[i].at("phone_number").as_string(), all[i % 100]);
    ASSERT_EQ(results[i].at("number").at("phone_number").as_string(), all[i % 100]);
  }
}

TEST_F(ProgramsTest, LeasectlWatchesUntilItHasSeenEnough) {
  StartGateway({});
  const auto all = Available({});
  ASSERT_EQ(all.size(), 100U);
  EXPECT_EQ(Leasectl({"watch", "--for", "500ms"}), 0) << err_;
  EXPECT_NE(out_.find("100 numbers\n"), out_.npos) << out_;
  EXPECT_EQ(Leasectl({"watch", "--for", "500ms", "--state", "--pattern", all[0]}), 0) << err_;
  EXPECT_NE(out_.find(" 1 number\n"), out_.npos) << out_;
  EXPECT_NE(out_.find(all[0]), out_.npos) << out_;

  // Each line is there as soon as it happens.
  const pid_t watch = StartWatch("watch", {"--count", "1"});
  const pid_t json = Start("json", "leasectl", {"--target", target_, "--json", "watch"});
  After("watch.out", "state", "\n");
  After("json.out", "\"reset\":true", "\n");
  EXPECT_EQ(Leasectl({"lease", all[0]}), 0) << err_;
  EXPECT_EQ(Wait(watch), 0) << ReadAll(Path("watch.err"));
  EXPECT_NE(After("watch.out", "removed  ", "\n").find(all[0]), std::string::npos);
  After("json.out", "\"removed\":[\"" + all[0], "\n");
  kill(json, SIGINT);
  EXPECT_EQ(Wait(json), 0) << ReadAll(Path("json.err"));
  std::istringstream lines(ReadAll(Path("json.out")));
  for (std::string line; std::getline(lines, line);) {
    boost::system::error_code error;
    boost::json::parse(line, error);
    EXPECT_FALSE(error) << line;
  }
}

TEST_F(ProgramsTest, LeasectlWatchesAgainWhenTheGatewayComesBack) {
  const pid_t gateway = StartGateway({"--grace", "1s"});
  const pid_t watch = StartWatch("watch", {});
  After("watch.out", "state", "\n");
  kill(gateway, SIGTERM);
  EXPECT_EQ(Wait(gateway), 0);
  After("watch.err", "watching again in ", "\n");
  Start("again", "lease-gateway", {"--sandbox", "--listen", target_});
  After("again.err", "serves gRPC on port ", " \n");
  // The new gateway does not know the token, so there is a second state; it has the same numbers.
  EXPECT_EQ(After("watch.out", "100 numbers\n", "\n").substr(20), "  state    100 numbers");
  kill(watch, SIGINT);
  EXPECT_EQ(Wait(watch), 0) << ReadAll(Path("watch.err"));
  EXPECT_EQ(ReadAll(Path("watch.out")).find("added"), std::string::npos);
}

TEST_F(ProgramsTest, SigtermUnderLoadFailsNoCallInFlight) {
  const pid_t gateway = StartGateway({"--grace", "10s"});
  const auto channel = grpc::CreateChannel(target_, grpc::InsecureChannelCredentials());
  const auto stub = v1::LeaseService::NewStub(channel);
  v1::ListAvailableNumbersResponse available;
  grpc::ClientContext context;
  ASSERT_TRUE(stub->ListAvailableNumbers(&context, {}, &available).ok());
  std::atomic<bool> signalled{false};
  std::atomic<int> succeeded{0}, refused{0}, failed_in_flight{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&, i] {
      v1::GetNumberRequest request;
      request.set_phone_number(available.numbers(i).phone_number());
      for (;;) {
        const bool before = !signalled;
        grpc::ClientContext call;
        call.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
        v1::GetNumberResponse response;
        const auto status = stub->GetNumber(&call, request, &response);
        if (status.ok()) {
          ++succeeded;
          continue;
        }
        // Once nobody listens any more, new calls find no gateway.
        const bool refusal = !before && status.error_code() == grpc::StatusCode::UNAVAILABLE;
        EXPECT_TRUE(refusal) << status.error_code() << ": " << status.error_message();
        ++(refusal ? refused : failed_in_flight);
        return;
      }
    });
  }
  for (int i = 0; i < 2000 && succeeded < 100; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  signalled = true;
  kill(gateway, SIGTERM);
  EXPECT_EQ(Wait(gateway), 0);
  for (auto& caller : callers) caller.join();
  EXPECT_GE(succeeded, 100);
  EXPECT_EQ(failed_in_flight, 0);
  EXPECT_EQ(refused, 8);
}

TEST_F(ProgramsTest, LogHasEveryCallAndNoSecret) {
  const std::string ca = Path("ca.pem");
  Start("sandbox", "lease-sandbox", {"--port", "0", "--control-port", "0", "--ca-out", ca},
        {std::string("LEASE_SANDBOX_KEYS=") + kSecret});
  const std::string url = After("sandbox.out", "url: ", "\n");
  After("sandbox.out", "key: ", "\n");
  const std::vector<std::string> environment = {std::string("CONTIGUITY_API_KEY=") + kSecret};
  const std::vector<std::string> flags = {
      "--upstream-url", url,     "--upstream-ca-file", ca,
      "--log-level",    "trace", "--journal",          Path("journal.db")};
  auto arguments = flags;
  arguments.push_back("--print-config");
  EXPECT_EQ(Wait(Start("print", "lease-gateway", arguments, environment)), 0);
  arguments = flags;
  arguments.insert(arguments.end(), {"--log-format", "json", "--listen", "127.0.0.1:0"});
  const pid_t gateway = Start("gateway", "lease-gateway", arguments, environment);
  target_ = "127.0.0.1:" + After("gateway.err", "serves gRPC on port ", " \n");
  EXPECT_EQ(Leasectl({"available"}), 0) << err_;
  EXPECT_NE(Leasectl({"get", "+19999999999"}), 0);
  EXPECT_NE(err_.find("NUMBER_NOT_FOUND"), std::string::npos) << err_;
  kill(gateway, SIGUSR2);
  kill(gateway, SIGTERM);
  EXPECT_EQ(Wait(gateway), 0);

  std::ifstream log(Path("gateway.err"));
  int calls = 0;
  for (std::string line; std::getline(log, line);) {
    boost::system::error_code error;
    const auto value = boost::json::parse(line, error);
    ASSERT_FALSE(error) << line;
    const auto& object = value.as_object();
    if (!object.contains("method")) continue;
    ++calls;
    const bool listed = object.at("method") == "/leasegateway.v1.LeaseService/ListAvailableNumbers";
    EXPECT_EQ(object.at("code"), listed ? "OK" : "NOT_FOUND") << line;
    if (!listed) {
      EXPECT_EQ(object.at("reason"), "NUMBER_NOT_FOUND") << line;
    }
    EXPECT_TRUE(object.contains("peer")) << line;
  }
  EXPECT_EQ(calls, 2) << ReadAll(Path("gateway.err"));
  for (const char* file : {"gateway.err", "gateway.out", "print.out", "print.err", "sandbox.err"}) {
    EXPECT_EQ(ReadAll(Path(file)).find(kSecret), std::string::npos) << file;
  }
}

TEST_F(ProgramsTest, WrongStartsSayWhy) {
  StartGateway({});
  EXPECT_EQ(Wait(Start("wrong", "lease-gateway", {"--no-such-flag"})), 2);
  EXPECT_NE(ReadAll(Path("wrong.err")).find("no-such-flag"), std::string::npos);
  EXPECT_EQ(Wait(Start("wrong", "lease-gateway", {"--sandbox"}, {"LEASE_GATEWAY_LISTNE=x"})), 2);
  EXPECT_NE(ReadAll(Path("wrong.err")).find("LEASE_GATEWAY_LISTNE"), std::string::npos);
  std::ofstream(Path("wrong.yaml")) << "listen: 127.0.0.1:0\nlisten_on: 1\n";
  EXPECT_EQ(Wait(Start("wrong", "lease-gateway", {"--sandbox", "--config", Path("wrong.yaml")})),
            2);
  EXPECT_NE(ReadAll(Path("wrong.err")).find("wrong.yaml:2: listen_on"), std::string::npos)
      << ReadAll(Path("wrong.err"));
  EXPECT_EQ(Wait(Start("wrong", "lease-gateway", {"--sandbox", "--listen", target_})), 1);
  EXPECT_NE(ReadAll(Path("wrong.err")).find(target_), std::string::npos);
  EXPECT_EQ(Wait(Start("wrong", "lease-sandbox", {"--numbers", "-1"})), 2);
  EXPECT_EQ(Wait(Start("wrong", "lease-sandbox",
                       {"--port", "0", "--control-port", "0", "--ca-out", Path("no/such/file")})),
            1);
  EXPECT_NE(ReadAll(Path("wrong.err")).find("--ca-out"), std::string::npos);
}

}  // namespace
}  // namespace leasegateway
