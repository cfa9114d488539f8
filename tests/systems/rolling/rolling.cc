// Replaces gateways under load and prints the counts: two real processes on one provider, each with
// its own journal, behind a gRPC client with the service config that callers copy; then a third one
// that joins behind a balancer of connections; then the two again, over and over, under callers
// that share no code with the gateway. Exit status 1 when a call failed, when the provider's ledger
// and the calls' answers differ, or when the third gateway gets too little.
#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "leasegateway/v1/lease_service.grpc.pb.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr int kReaders = 4;
constexpr int kLeasers = 4;
constexpr int kNumbers = 4000;
constexpr int kConnections = 12;  // of callers behind the balancer

[[noreturn]] void Fail(const std::string& what) { throw std::runtime_error(what); }

std::string ReadAll(const std::string& path) {
  std::ostringstream content;
  std::ifstream file(path);
  if (!file) Fail("can't read " + path);
  content << file.rdbuf();
  return content.str();
}

// --- processes -----------------------------------------------------------------------------------

class Processes {
 public:
  explicit Processes(std::string binaries) : binaries_(std::move(binaries)) {
    std::string pattern = (std::filesystem::temp_directory_path() / "rollingXXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) Fail("no temporary folder");
    folder_ = pattern;
  }
  ~Processes() {
    for (const pid_t pid : running_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  // One of our own programs. Its output is in the file `name`.
  pid_t Start(const std::string& name, const std::string& program,
              std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), binaries_ + "/" + program);
    return Start(name, std::move(arguments));
  }
  // Any command.
  pid_t Start(const std::string& name, std::vector<std::string> arguments) {
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, Path(name).c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t pid = -1;
    if (posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ) != 0) {
      Fail("can't start " + arguments[0]);
    }
    posix_spawn_file_actions_destroy(&actions);
    running_.insert(pid);
    return pid;
  }

  // Ends it as Kubernetes does.
  void Terminate(pid_t pid) {
    kill(pid, SIGTERM);
    int status = 0;
    pid_t ended = 0;
    for (int i = 0; i < 3000 && (ended = waitpid(pid, &status, WNOHANG)) == 0; ++i) {
      std::this_thread::sleep_for(milliseconds(10));
    }
    if (ended != pid) Fail("a process did not end");
    running_.erase(pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) Fail("a process ended badly");
  }

  // What follows `mark` in its output, up to white space.
  std::string After(const std::string& name, const std::string& mark) const {
    for (int i = 0; i < 3000; ++i) {
      const std::string text = ReadAll(Path(name));
      const auto at = text.find(mark);
      const auto end = at == text.npos ? at : text.find_first_of(" \n", at + mark.size());
      if (end != text.npos) return text.substr(at + mark.size(), end - at - mark.size());
      std::this_thread::sleep_for(milliseconds(10));
    }
    Fail("no \"" + mark + "\" in the output of " + name + ": " + ReadAll(Path(name)));
  }

 private:
  const std::string binaries_;
  std::string folder_;
  std::set<pid_t> running_;
};

// One that stays free for a gateway that starts again: the system takes none below 32768 for
// connections.
int FreePort() {
  asio::io_context io;
  std::random_device random;
  for (;;) {
    const auto port = static_cast<asio::ip::port_type>(20'000 + random() % 12'000);
    tcp::acceptor acceptor(io, tcp::v4());
    boost::system::error_code taken;
    acceptor.bind({asio::ip::address_v4::loopback(), port}, taken);
    if (!taken) return port;
  }
}

// The gateways that share the provider.
class Gateways {
 public:
  explicit Gateways(Processes& processes) : processes_(processes) {
    processes_.Start("sandbox", "lease-sandbox",
                     {"--port", "0", "--control-port", "0", "--numbers", std::to_string(kNumbers),
                      "--ca-out", processes_.Path("ca.pem")});
    url_ = processes_.After("sandbox", "url: ");
    control_ = processes_.After("sandbox", "control: http://");
    setenv("CONTIGUITY_API_KEY", processes_.After("sandbox", "key: ").c_str(), 1);
    for (int i = 0; i < 3; ++i) ports_.push_back(FreePort());
  }

  void Start(int index) {
    const std::string name = absl::StrCat("gateway", index, "-", ++starts_);
    pids_[index] = processes_.Start(
        name, "lease-gateway",
        {"--listen", absl::StrCat("127.0.0.1:", ports_[index]), "--upstream-url", url_,
         "--upstream-ca-file", processes_.Path("ca.pem"), "--journal",
         processes_.Path(absl::StrCat("journal", index, ".db")), "--access-log-hits", "1",
         "--grace", "10s", "--max-connection-age", "2s", "--max-connection-age-grace", "10s"});
    processes_.After(name, "serves gRPC on port ");
  }
  void Stop(int index) { processes_.Terminate(pids_[index]); }
  int port(int index) const { return ports_[index]; }

  boost::json::array Ledger() const {
    const auto colon = control_.find(':');
    asio::io_context io;
    tcp::socket socket(io);
    tcp::resolver resolver(io);
    asio::connect(socket,
                  resolver.resolve(control_.substr(0, colon),
                                   control_.substr(colon + 1, control_.find('/') - colon - 1)));
    asio::write(socket, asio::buffer(absl::StrCat(
                            "GET /_sandbox/ledger HTTP/1.1\r\nHost: ", control_.substr(0, colon),
                            "\r\nConnection: close\r\n\r\n")));
    std::string reply;
    boost::system::error_code ended;
    asio::read(socket, asio::dynamic_buffer(reply), ended);
    const auto value = boost::json::parse(reply.substr(reply.find("\r\n\r\n") + 4));
    return value.at("entries").as_array();
  }

 private:
  Processes& processes_;
  std::string url_, control_;
  std::vector<int> ports_;
  std::map<int, pid_t> pids_;
  int starts_ = 0;
};

// --- load ----------------------------------------------------------------------------------------

class Counts {
 public:
  // The process that answered is the first part of the call's id.
  void Add(const std::string& method, const grpc::Status& status,
           const grpc::ClientContext& context) {
    const auto& metadata = context.GetServerTrailingMetadata();
    const auto id = metadata.find("lease-gateway-call-id");
    const std::lock_guard lock(mutex_);
    ++calls_[method];
    if (id != metadata.end()) {
      const std::string text(id->second.data(), id->second.size());
      const std::string process = text.substr(0, text.find('-'));
      if (++by_process_[process] == 1) order_.push_back(process);
      callers_[process].insert(std::this_thread::get_id());
    }
    if (status.ok()) return;
    ++failed_;
    if (failed_ <= 10) {
      std::cout << "FAILED " << method << ": " << status.error_code() << " "
                << status.error_message() << " " << context.debug_error_string() << std::endl;
    }
  }
  int failed() const {
    const std::lock_guard lock(mutex_);
    return failed_;
  }
  std::map<std::string, int> by_process() const {
    const std::lock_guard lock(mutex_);
    return by_process_;
  }
  // Whether the latest of so many processes has answered so many threads.
  bool LatestOf(std::size_t processes, std::size_t threads) const {
    const std::lock_guard lock(mutex_);
    return order_.size() == processes && callers_.at(order_.back()).size() >= threads;
  }
  void Print() const {
    const std::lock_guard lock(mutex_);
    for (const auto& [method, count] : calls_) {
      std::cout << absl::StrFormat("  %-24s %7d calls\n", method, count);
    }
    for (std::size_t i = 0; i < order_.size(); ++i) {
      std::cout << absl::StrFormat("  process %d %14s %7d calls\n", i + 1, "",
                                   by_process_.at(order_[i]));
    }
    std::cout << absl::StrFormat("  %-24s %7d calls\n", "failed", failed_) << std::flush;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, int> calls_;
  std::map<std::string, int> by_process_;
  std::map<std::string, std::set<std::thread::id>> callers_;
  std::vector<std::string> order_;
  int failed_ = 0;
};

class Load {
 public:
  using Stub = v1::LeaseService::Stub;
  ~Load() { Stop(); }
  void Stop() {
    stopped_ = true;
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }
  const Counts& counts() const { return counts_; }

  void Read(std::shared_ptr<grpc::Channel> channel, std::vector<std::string> numbers) {
    threads_.emplace_back([this, channel, numbers] {
      const auto stub = v1::LeaseService::NewStub(channel);
      for (std::size_t i = 0; !stopped_; ++i) {
        v1::GetNumberRequest get;
        get.set_phone_number(numbers[i % numbers.size()]);
        v1::GetNumberResponse number;
        Call("GetNumber", &Stub::GetNumber, *stub, get, number);
        if (i % 20 == 0) {
          v1::ListLeasesRequest list;
          v1::ListLeasesResponse leases;
          Call("ListLeases", &Stub::ListLeases, *stub, list, leases);
        }
        std::this_thread::sleep_for(milliseconds(3));
      }
    });
  }

  // Each number is leased once, and every second lease is given back.
  void Lease(std::shared_ptr<grpc::Channel> channel, std::vector<std::string> numbers, int index) {
    threads_.emplace_back([this, channel, numbers, index] {
      const auto stub = v1::LeaseService::NewStub(channel);
      for (std::size_t i = 0; i < numbers.size() && !stopped_; ++i) {
        v1::CreateLeaseRequest request;
        request.set_phone_number(numbers[i]);
        request.set_request_id(absl::StrFormat("00000000-0000-4000-8000-%04x%08x", index, 2 * i));
        v1::CreateLeaseResponse response;
        if (!Call("CreateLease", &Stub::CreateLease, *stub, request, response)) continue;
        {
          const std::lock_guard lock(mutex_);
          leased_.insert(response.lease().lease_id());
        }
        if (i % 2 == 0) {
          v1::TerminateLeaseRequest end;
          end.set_phone_number(numbers[i]);
          end.set_lease_id(response.lease().lease_id());
          end.set_request_id(absl::StrFormat("00000000-0000-4000-8000-%04x%08x", index, 2 * i + 1));
          v1::TerminateLeaseResponse ended;
          if (Call("TerminateLease", &Stub::TerminateLease, *stub, end, ended)) {
            const std::lock_guard lock(mutex_);
            ended_.insert(response.lease().lease_id());
          }
        }
        std::this_thread::sleep_for(milliseconds(20));
      }
    });
  }

  const std::set<std::string>& leased() const { return leased_; }  // after Stop
  const std::set<std::string>& ended() const { return ended_; }

 private:
  template <class Request, class Response>
  bool Call(const char* method,
            grpc::Status (Stub::*call)(grpc::ClientContext*, const Request&, Response*), Stub& stub,
            const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + seconds(10));
    const grpc::Status status = (stub.*call)(&context, request, &response);
    counts_.Add(method, status, context);
    return status.ok();
  }

  std::atomic<bool> stopped_{false};
  Counts counts_;
  std::mutex mutex_;
  std::set<std::string> leased_, ended_;
  std::vector<std::thread> threads_;
};

// --- a balancer of connections, as a Service of Kubernetes is ------------------------------------

class Balancer {
 public:
  Balancer() : acceptor_(io_, {asio::ip::address_v4::loopback(), 0}) {
    Accept();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Balancer() {
    io_.stop();
    thread_.join();
  }
  int port() const { return acceptor_.local_endpoint().port(); }
  void Add(int port) {
    const std::lock_guard lock(mutex_);
    backends_.push_back(port);
  }

 private:
  using Socket = std::shared_ptr<tcp::socket>;

  void Accept() {
    auto caller = std::make_shared<tcp::socket>(io_);
    acceptor_.async_accept(*caller, [this, caller](boost::system::error_code error) {
      if (error) return;
      int port = 0;
      {
        const std::lock_guard lock(mutex_);
        port = backends_[next_++ % backends_.size()];
      }
      auto backend = std::make_shared<tcp::socket>(io_);
      boost::system::error_code refused;
      backend->connect({asio::ip::address_v4::loopback(), static_cast<asio::ip::port_type>(port)},
                       refused);
      if (!refused) {
        Copy(caller, backend);
        Copy(backend, caller);
      }
      Accept();
    });
  }

  static void Copy(const Socket& from, const Socket& to) {
    auto buffer = std::make_shared<std::vector<char>>(1 << 16);
    from->async_read_some(asio::buffer(*buffer), [from, to, buffer](boost::system::error_code error,
                                                                    std::size_t size) {
      boost::system::error_code ignored;
      if (error) {
        to->shutdown(tcp::socket::shutdown_send, ignored);
        return;
      }
      asio::async_write(*to, asio::buffer(*buffer, size),
                        [from, to, buffer](boost::system::error_code failed, std::size_t) {
                          if (!failed) Copy(from, to);
                        });
    });
  }

  asio::io_context io_;
  tcp::acceptor acceptor_;
  std::mutex mutex_;
  std::vector<int> backends_;
  std::size_t next_ = 0;
  std::thread thread_;
};

// --- the trials ----------------------------------------------------------------------------------

std::shared_ptr<grpc::Channel> Channel(const std::string& target, const std::string& config) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (!config.empty()) arguments.SetServiceConfigJSON(config);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

std::vector<std::string> AvailableNumbers(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + seconds(20));
  v1::ListAvailableNumbersResponse response;
  const auto status =
      v1::LeaseService::NewStub(channel)->ListAvailableNumbers(&context, {}, &response);
  if (!status.ok()) Fail("ListAvailableNumbers: " + status.error_message());
  std::vector<std::string> numbers;
  for (const auto& number : response.numbers()) numbers.push_back(number.phone_number());
  return numbers;
}

bool ReplaceEachUnderLoad(Gateways& gateways, const std::string& config) {
  std::cout << "two gateways, each replaced under load\n";
  gateways.Start(0);
  gateways.Start(1);
  const std::string target =
      absl::StrCat("ipv4:127.0.0.1:", gateways.port(0), ",127.0.0.1:", gateways.port(1));
  const auto numbers = AvailableNumbers(Channel(target, config));
  if (numbers.size() != kNumbers) Fail("the sandbox has too few numbers");
  Load load;
  // The readers' numbers are leased by nobody.
  const auto first = numbers.begin();
  for (int i = 0; i < kReaders; ++i) {
    load.Read(Channel(target, config), {first + i * 10, first + (i + 1) * 10});
  }
  constexpr int kEach = (kNumbers - 10 * kReaders) / kLeasers;
  for (int i = 0; i < kLeasers; ++i) {
    const auto begin = first + 10 * kReaders + i * kEach;
    load.Lease(Channel(target, config), {begin, begin + kEach}, i);
  }
  // The next one goes when all callers have found the one before: what minReadySeconds is for.
  for (std::size_t processes = 2; processes <= 4; ++processes) {
    const auto give_up = Clock::now() + seconds(30);
    while (!load.counts().LatestOf(processes, kReaders + kLeasers)) {
      if (Clock::now() > give_up) Fail("a caller does not find a gateway that runs");
      std::this_thread::sleep_for(milliseconds(20));
    }
    std::this_thread::sleep_for(seconds(1));
    if (processes == 4) break;
    const int index = static_cast<int>(processes) - 2;
    gateways.Stop(index);
    gateways.Start(index);
  }
  load.Stop();

  std::multiset<std::string> bought, given_back;
  for (const auto& entry : gateways.Ledger()) {
    const auto& kind = entry.at("kind").as_string();
    if (kind == "lease") bought.emplace(entry.at("lease_id").as_string());
    if (kind == "terminate") given_back.emplace(entry.at("lease_id").as_string());
  }
  load.counts().Print();
  const auto compare = [](const char* what, const std::multiset<std::string>& ledger,
                          const std::set<std::string>& answers) {
    const bool same = std::multiset<std::string>(answers.begin(), answers.end()) == ledger;
    std::cout << absl::StrFormat("  %-24s %7d in the ledger, %d answered%s\n", what, ledger.size(),
                                 answers.size(), same ? "" : ": NOT THE SAME");
    return same && !answers.empty();
  };
  const bool leases = compare("leased", bought, load.leased());
  const bool ends = compare("given back", given_back, load.ended());
  const std::size_t processes = load.counts().by_process().size();
  if (processes != 4) std::cout << "  " << processes << " processes answered, not 4\n";
  return leases && ends && processes == 4 && load.counts().failed() == 0;
}

bool ThirdGatewayGetsItsShare(Gateways& gateways) {
  std::cout << "a third gateway joins " << kConnections << " callers' connections of 2 s at most\n";
  Balancer balancer;
  balancer.Add(gateways.port(0));
  balancer.Add(gateways.port(1));
  const std::string target = absl::StrCat("127.0.0.1:", balancer.port());
  Load load;
  const auto numbers = AvailableNumbers(Channel(target, ""));
  for (int i = 0; i < kConnections; ++i) load.Read(Channel(target, ""), {numbers[0], numbers[1]});
  std::this_thread::sleep_for(seconds(1));
  const auto before = load.counts().by_process();
  gateways.Start(2);
  balancer.Add(gateways.port(2));
  const auto joined = Clock::now();
  double share = 0;
  auto last = load.counts().by_process();
  while (share < 0.2 && Clock::now() - joined < seconds(20)) {
    std::this_thread::sleep_for(seconds(1));
    auto now = load.counts().by_process();
    int all = 0, third = 0;
    for (const auto& [process, count] : now) {
      all += count - last[process];
      if (before.count(process) == 0) third += count - last[process];
    }
    share = all > 0 ? static_cast<double>(third) / all : 0;
    last = std::move(now);
  }
  const double took = std::chrono::duration<double>(Clock::now() - joined).count();
  load.Stop();
  load.counts().Print();
  std::cout << absl::StrFormat("  the third has %.0f %% of the calls after %.0f s\n", 100 * share,
                               took);
  return share >= 0.2 && load.counts().failed() == 0;
}

// What a program of foreign_caller.py's kind has written so far.
struct Progress {
  int calls = 0;
  int gateways = 0;
  std::vector<std::string> failures;
};

Progress ReadProgress(const std::string& path) {
  Progress progress;
  std::ifstream lines(path);
  for (std::string line; std::getline(lines, line);) {
    const auto word = line.substr(0, line.find(' '));
    if (word == "process") ++progress.gateways;
    if (word == "FAILED") progress.failures.push_back(line);
    if (word == "calls" || word == "ended") {
      (void)absl::SimpleAtoi(line.substr(word.size()), &progress.calls);
    }
  }
  return progress;
}

// With their drain_wait of 0, until there were `calls` calls of `programs`, which are in Python or
// JavaScript.
bool ReplaceUnderForeignCallers(Processes& processes, Gateways& gateways,
                                const std::string& config_path, int calls,
                                const std::vector<std::string>& programs) {
  std::cout << "two gateways, replaced in turn under foreign callers\n";
  const std::string target =
      absl::StrCat("ipv4:127.0.0.1:", gateways.port(0), ",127.0.0.1:", gateways.port(1));
  v1::GetNumberRequest request;
  request.set_phone_number(AvailableNumbers(Channel(target, "")).front());
  std::map<std::string, pid_t> callers;
  for (const auto& program : programs) {
    const bool python = std::filesystem::path(program).extension() == ".py";
    for (int i = 0; i < (python ? 4 : 1); ++i) {
      const auto name =
          absl::StrCat(std::filesystem::path(program).filename().string(), " ", i + 1);
      callers[name] = processes.Start(name, {python ? "/usr/bin/python3" : "node", program, target,
                                             config_path, "/leasegateway.v1.LeaseService/GetNumber",
                                             absl::BytesToHexString(request.SerializeAsString())});
    }
  }

  int replaced = 0;
  for (;; ++replaced) {
    int sum = 0;
    const auto give_up = Clock::now() + seconds(30);
    for (const auto& [name, pid] : callers) {
      Progress progress;
      while (progress.gateways < 2 + replaced) {
        if (Clock::now() > give_up) {
          Fail(name + " does not find a gateway that runs: " + ReadAll(processes.Path(name)));
        }
        std::this_thread::sleep_for(milliseconds(20));
        progress = ReadProgress(processes.Path(name));
      }
      sum += progress.calls;
    }
    if (sum >= calls && replaced >= 4) break;
    std::this_thread::sleep_for(milliseconds(200));
    gateways.Stop(replaced % 2);
    gateways.Start(replaced % 2);
  }

  int sum = 0;
  std::size_t failed = 0;
  for (const auto& [name, pid] : callers) {
    processes.Terminate(pid);
    const Progress progress = ReadProgress(processes.Path(name));
    sum += progress.calls;
    failed += progress.failures.size();
    std::cout << absl::StrFormat("  %-24s %7d calls, %d failed\n", name, progress.calls,
                                 progress.failures.size());
    for (const auto& failure : progress.failures) std::cout << "    " << failure << "\n";
  }
  std::cout << absl::StrFormat("  %-24s %7d calls, %d failed, %d replacements\n", "all", sum,
                               failed, replaced)
            << std::flush;
  return failed == 0;
}

}  // namespace
}  // namespace leasegateway

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  int calls = 0;
  if (arguments.size() < 2 || arguments.size() == 3 ||
      (arguments.size() > 3 && !absl::SimpleAtoi(arguments[2], &calls))) {
    std::cerr << "usage: rolling FOLDER_OF_PROGRAMS SERVICE_CONFIG [CALLS FOREIGN_CALLER...]\n";
    return 2;
  }
  try {
    leasegateway::Processes processes(arguments[0]);
    leasegateway::Gateways gateways(processes);
    int passed = 0, failed = 0;
    const auto count = [&](bool good) { ++(good ? passed : failed); };
    count(leasegateway::ReplaceEachUnderLoad(gateways, leasegateway::ReadAll(arguments[1])));
    count(leasegateway::ThirdGatewayGetsItsShare(gateways));
    if (calls > 0) {
      count(leasegateway::ReplaceUnderForeignCallers(processes, gateways, arguments[1], calls,
                                                     {arguments.begin() + 3, arguments.end()}));
    }
    std::cout << passed << " passed, " << failed << " failed" << std::endl;
    return failed == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "rolling: " << error.what() << std::endl;
    return 1;
  }
}
