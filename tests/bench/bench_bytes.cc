// What a refresh of the available numbers costs on the way from the provider: bytes, CPU of the
// thread that asks, and the time through a link of 20 Mbit/s; as it is sent, in gzip, and when the
// provider has nothing new. Memory, decoding and indexing are the gateway's own. Prints one line of
// JSON; exits 1 when a refresh fails.
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/bench/samples.h"
#include "upstream/lease_api_factory.h"
#include "upstream/sandbox/sandbox.h"

namespace {

namespace asio = boost::asio;
namespace bench = leasegateway::bench;
namespace sandbox = leasegateway::sandbox;
using asio::ip::tcp;
using bench::Clock;
using leasegateway::AvailabilityAnswer;

double CpuMilliseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// One connection after the other to a port of localhost; answers come at so many bytes a second.
class SlowLink {
 public:
  SlowLink(std::uint16_t to, double bytes_a_second) : to_(to), pace_(bytes_a_second) {
    std::thread([this] { Run(); }).detach();  // until the program's end
  }
  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  void Run() {
    for (;;) {
      auto client = std::make_shared<tcp::socket>(acceptor_.accept());
      auto server = std::make_shared<tcp::socket>(io_);
      server->connect({asio::ip::address_v4::loopback(), to_});
      std::thread([client, server] { Pump(*client, *server, 0); }).detach();
      std::thread([client, server, pace = pace_] { Pump(*server, *client, pace); }).detach();
    }
  }
  static void Pump(tcp::socket& from, tcp::socket& to, double pace) {
    char bytes[4096];
    boost::system::error_code error;
    auto free_at = Clock::now();
    while (!error) {
      const std::size_t size = from.read_some(asio::buffer(bytes), error);
      if (pace > 0) {
        free_at = std::max(free_at, Clock::now()) +
                  std::chrono::duration_cast<Clock::duration>(
                      std::chrono::duration<double>(static_cast<double>(size) / pace));
        std::this_thread::sleep_until(free_at);
      }
      if (!error) asio::write(to, asio::buffer(bytes, size), error);
    }
    to.shutdown(tcp::socket::shutdown_send, error);
  }

  const std::uint16_t to_;
  const double pace_;
  asio::io_context io_;
  tcp::acceptor acceptor_{io_, {asio::ip::address_v4::loopback(), 0}};
};

// A provider and the gateway's side of it, on this thread.
class Side {
 public:
  Side(int numbers, bool gzip, bool validators, double bytes_a_second) : numbers_(numbers) {
    sandbox::SandboxOptions options;
    options.numbers = numbers;
    options.gzip = gzip;
    options.validators = validators;
    auto started = sandbox::Sandbox::Start(options);
    if (!started.ok()) throw std::runtime_error(std::string(started.status().message()));
    sandbox_ = *std::move(started);
    leasegateway::UpstreamOptions upstream;
    upstream.url = sandbox_->url();
    if (bytes_a_second > 0) {
      const std::string port = upstream.url.substr(upstream.url.rfind(':') + 1);
      link_ = new SlowLink(static_cast<std::uint16_t>(std::stoi(port)), bytes_a_second);
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
    double bytes = 0;
    double cpu_ms = 0;
    double ms = 0;
  };
  Cost Refresh() {
    const double bytes = SentBytes();
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
    cost.bytes = SentBytes() - bytes;
    if (!answer->ok()) throw std::runtime_error(std::string(answer->status().message()));
    const std::size_t size = (*answer)->numbers->size();
    if (size < static_cast<std::size_t>(numbers_) * 9 / 10) throw std::runtime_error("too few");
    return cost;
  }
  // A hundredth of the numbers.
  void Change() {
    const std::string count = std::to_string(numbers_ / 100);
    const auto done = sandbox_->Control("POST", "/_sandbox/churn", "{\"count\":" + count + "}");
    if (!done.ok()) throw std::runtime_error(std::string(done.status().message()));
  }

 private:
  double SentBytes() {
    const std::string traffic = *sandbox_->Control("GET", "/_sandbox/requests", "");
    constexpr std::string_view kKey = "\"sent_bytes\":";
    return std::stod(traffic.substr(traffic.find(kKey) + kKey.size()));
  }

  const int numbers_;
  std::unique_ptr<sandbox::Sandbox> sandbox_;
  SlowLink* link_ = nullptr;  // lives as long as its threads, until the program's end
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

void Measure(int numbers, int rounds) {
  constexpr double kSlow = 20e6 / 8;
  constexpr int kSlowRounds = 3;
  Side plain(numbers, false, false, 0);
  Side gzip(numbers, true, true, 0);
  Costs as_sent, in_gzip, unchanged, slow_as_sent, slow_in_gzip;
  for (int round = 0; round < rounds; ++round) {
    plain.Change();
    as_sent.Add(plain.Refresh());
    gzip.Change();
    in_gzip.Add(gzip.Refresh());
    unchanged.Add(gzip.Refresh());
  }
  Side slow_plain(numbers, false, false, kSlow);
  Side slow_gzip(numbers, true, true, kSlow);
  for (int round = 0; round < kSlowRounds; ++round) {
    slow_plain.Change();
    slow_as_sent.Add(slow_plain.Refresh());
    slow_gzip.Change();
    slow_in_gzip.Add(slow_gzip.Refresh());
  }
  std::printf("{\"numbers\":%d,", numbers);
  Print("plain", as_sent, ",");
  Print("gzip", in_gzip, ",");
  Print("unchanged", unchanged, ",");
  Print("slow_plain", slow_as_sent, ",");
  Print("slow_gzip", slow_in_gzip, "}\n");
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
