// What a refresh of the available numbers costs on the way from the provider: CPU on loopback, of
// the thread that is all of the gateway here (the sandbox has one of its own); bytes as TLS sends
// them, and time, through a link of 20 Mbit/s. As it is sent, in gzip, and when the provider has
// nothing new. Memory, decoding and indexing are the gateway's own. Prints one line of JSON; exits
// 1 when a refresh fails or does not bring what it should.
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/bench/link.h"
#include "tests/bench/samples.h"
#include "upstream/lease_api_factory.h"
#include "upstream/sandbox/sandbox.h"

namespace {

namespace asio = boost::asio;
namespace bench = leasegateway::bench;
namespace sandbox = leasegateway::sandbox;
using bench::Clock;
using leasegateway::AvailabilityAnswer;

double CpuMilliseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// A provider and the gateway's side of it, on this thread.
class Side {
 public:
  // `compact`: with gzip and validators, whose sandbox's gzip is the fastest one, not the smallest.
  Side(int numbers, bool compact, double bytes_a_second) : numbers_(numbers) {
    sandbox::SandboxOptions options;
    options.numbers = numbers;
    options.gzip = options.validators = compact;
    auto started = sandbox::Sandbox::Start(options);
    if (!started.ok()) throw std::runtime_error(std::string(started.status().message()));
    sandbox_ = *std::move(started);
    leasegateway::UpstreamOptions upstream;
    upstream.url = sandbox_->url();
    if (bytes_a_second > 0) {
      const std::string port = upstream.url.substr(upstream.url.rfind(':') + 1);
      link_ = std::make_unique<bench::Link>(
          static_cast<std::uint16_t>(std::stoi(port)),
          bench::Link::Options{.bytes_a_second = bytes_a_second, .delay = {}});
      upstream.url = "https://localhost:" + std::to_string(link_->port()) + "/numbers";
    }
    const std::string ca_file = "/tmp/bench_bytes_" + std::to_string(getpid()) + ".pem";
    std::ofstream(ca_file) << sandbox_->ca_certificate();
    upstream.ca_file = ca_file;
    upstream.api_key = [key = sandbox_->key()] { return key; };
    // What a busy machine makes late is not asked for twice.
    upstream.retry.max_attempts = 1;
    upstream.https.handshake_timeout = upstream.https.response_timeout =
        upstream.https.read_timeout = std::chrono::minutes(1);
    auto api = leasegateway::MakeLeaseApi(io_.get_executor(), upstream);
    std::remove(ca_file.c_str());
    if (!api.ok()) throw std::runtime_error(std::string(api.status().message()));
    api_ = *std::move(api);
    Refresh();  // connects, and has a list from then on
  }

  struct Cost {
    double bytes = 0;  // through the link
    double cpu_ms = 0;
    double ms = 0;
  };
  Cost Refresh() {
    const std::uint64_t bytes = link_ ? link_->answered() : 0;
    const auto started = Clock::now();
    const double cpu = CpuMilliseconds();
    leasegateway::CallContext context;
    context.max_staleness = std::chrono::milliseconds(0);
    context.deadline = Clock::now() + std::chrono::seconds(30);
    std::optional<absl::StatusOr<AvailabilityAnswer>> answer;
    asio::co_spawn(asio::make_strand(io_), api_->FindAvailability(context),
                   [&](std::exception_ptr, absl::StatusOr<AvailabilityAnswer> found) {
                     answer = std::move(found);
                   });
    io_.restart();
    while (!answer) io_.run_one();
    Cost cost;
    cost.cpu_ms = CpuMilliseconds() - cpu;
    cost.ms = bench::Milliseconds(Clock::now() - started);
    if (link_) cost.bytes = static_cast<double>(link_->answered() - bytes);
    if (!answer->ok()) throw std::runtime_error(std::string(answer->status().message()));
    const std::size_t size = (*answer)->numbers->size();
    if (size < static_cast<std::size_t>(numbers_) * 9 / 10) throw std::runtime_error("too few");
    return cost;
  }
  Cost RefreshUnchanged() {
    const std::size_t before = NotModified();
    const Cost cost = Refresh();
    // The sandbox counts an answer once it is sent, which may be after it has been read.
    const auto give_up = Clock::now() + std::chrono::seconds(2);
    while (NotModified() == before) {
      if (Clock::now() > give_up) throw std::runtime_error("the list came once more");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return cost;
  }
  // A hundredth of the numbers.
  void Change() {
    const std::string count = std::to_string(numbers_ / 100);
    const auto done = sandbox_->Control("POST", "/_sandbox/churn", "{\"count\":" + count + "}");
    if (!done.ok()) throw std::runtime_error(std::string(done.status().message()));
  }

 private:
  std::size_t NotModified() {
    const std::string traffic = *sandbox_->Control("GET", "/_sandbox/requests", "");
    constexpr std::string_view kKey = "\"not_modified\":";
    return std::stoul(traffic.substr(traffic.find(kKey) + kKey.size()));
  }

  const int numbers_;
  std::unique_ptr<sandbox::Sandbox> sandbox_;
  std::unique_ptr<bench::Link> link_;  // null: straight
  asio::io_context io_;
  std::unique_ptr<leasegateway::CachingLeaseApi> api_;
};

struct Costs {
  std::vector<double> bytes, cpu_ms, ms;
  void Add(const Side::Cost& cost) {
    bytes.push_back(cost.bytes);
    cpu_ms.push_back(cost.cpu_ms);
    ms.push_back(cost.ms);
  }
};

void Print(const char* name, const Costs& costs, const char* end) {
  std::printf("\"%s_bytes\":%.0f,\"%s_cpu_ms\":%.3f,\"%s_ms\":%.3f%s", name,
              bench::Percentile(costs.bytes, 0.5), name, bench::Percentile(costs.cpu_ms, 0.5), name,
              bench::Percentile(costs.ms, 0.5), end);
}

// By turns, so that what else the machine does meets all three alike.
struct Turns {
  Costs plain, gzip, unchanged;
  void Run(Side& as_sent, Side& compact, int rounds) {
    for (int round = 0; round < rounds; ++round) {
      as_sent.Change();
      plain.Add(as_sent.Refresh());
      compact.Change();
      gzip.Add(compact.Refresh());
      unchanged.Add(compact.RefreshUnchanged());
    }
  }
};

void Measure(int numbers, int rounds) {
  constexpr double kSlow = 20e6 / 8;
  constexpr int kSlowRounds = 3;
  Turns fast, slow;
  {
    Side as_sent(numbers, false, 0);
    Side compact(numbers, true, 0);
    fast.Run(as_sent, compact, rounds);
  }
  Side as_sent(numbers, false, kSlow);
  Side compact(numbers, true, kSlow);
  slow.Run(as_sent, compact, kSlowRounds);
  std::printf("{\"numbers\":%d,", numbers);
  Print("plain", fast.plain, ",");
  Print("gzip", fast.gzip, ",");
  Print("unchanged", fast.unchanged, ",");
  Print("slow_plain", slow.plain, ",");
  Print("slow_gzip", slow.gzip, ",");
  Print("slow_unchanged", slow.unchanged, "}\n");
}

}  // namespace

int main(int argc, char** argv) {
  int numbers = 10'000;
  int rounds = 15;
  CLI::App app("Weighs a refresh on its way from the provider.", "bench_bytes");
  app.add_option("--numbers", numbers, "size of the inventory")->check(CLI::Range(100, 1'000'000));
  app.add_option("--rounds", rounds, "medians of so many")->check(CLI::Range(1, 1000));
  CLI11_PARSE(app, argc, argv);
  try {
    Measure(numbers, rounds);
  } catch (const std::exception& error) {
    std::cerr << "bench_bytes: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
