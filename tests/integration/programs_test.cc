// The programs as processes: leasectl's commands and exit codes, SIGTERM under load, and what the
// log says and keeps to itself.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <atomic>
#include <boost/json/parse.hpp>
#include <filesystem>
#include <sstream>
#include <thread>
#include <vector>

#include "gateway_fixture.h"

namespace leasegateway {
namespace {

constexpr char kSecret[] = "contiguity_sk_not_for_anybodys_eyes";

std::string ReadAll(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

class ProgramsTest : public testing::Test {
 protected:
  ProgramsTest() {
    std::string pattern = testing::TempDir() + "programs_testXXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~ProgramsTest() override {
    for (const pid_t pid : running_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  // Starts a program; its output goes to the files NAME.out and NAME.err.
  pid_t Start(const std::string& name, const std::string& program,
              const std::vector<std::string>& arguments,
              const std::vector<std::string>& environment = {}) {
    const std::string path = std::string(BINARY_DIR "/") + program;
    std::vector<char*> argv = {const_cast<char*>(path.c_str())};
    for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    std::vector<char*> envp;
    for (char** variable = environ; *variable != nullptr; ++variable) envp.push_back(*variable);
    for (const auto& variable : environment) envp.push_back(const_cast<char*>(variable.c_str()));
    envp.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    posix_spawn_file_actions_addopen(&actions, 1, Path(name + ".out").c_str(), flags, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, Path(name + ".err").c_str(), flags, 0600);
    pid_t pid = -1;
    EXPECT_EQ(posix_spawn(&pid, path.c_str(), &actions, nullptr, argv.data(), envp.data()), 0);
    posix_spawn_file_actions_destroy(&actions);
    running_.insert(pid);
    return pid;
  }

  // The exit status of a program that ends within 30 s; -1 when it does not, or is killed.
  int Wait(pid_t pid) {
    for (int i = 0; i < 3000; ++i) {
      int status = 0;
      if (waitpid(pid, &status, WNOHANG) == pid) {
        running_.erase(pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return -1;
  }

  // The text that follows `mark` in a file, up to `end`; waits for it up to 30 s.
  std::string After(const std::string& file, const std::string& mark, const std::string& end) {
    for (int i = 0; i < 3000; ++i) {
      const std::string text = ReadAll(Path(file));
      const auto at = text.find(mark);
      const auto stop = at == text.npos ? at : text.find_first_of(end, at + mark.size());
      if (stop != text.npos) return text.substr(at + mark.size(), stop - at - mark.size());
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "no \"" << mark << "\" in " << ReadAll(Path(file));
    return "";
  }

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

  std::string folder_;
  std::set<pid_t> running_;
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

TEST_F(ProgramsTest, SigtermUnderLoadFailsNoCallInFlight) {
  const pid_t gateway = StartGateway({"--drain-wait", "300ms", "--grace", "10s"});
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
        // Once nobody listens any more, new calls find no gateway; those that come at that very
        // moment are cancelled by gRPC.
        const bool refusal = !before && (status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                                         status.error_code() == grpc::StatusCode::CANCELLED);
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
  const std::vector<std::string> flags = {"--upstream-url", url,    "--upstream-ca-file", ca,
                                          "--log-level",    "trace"};
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
