// The client of the benchmarks that buys: each number of a file once. Prints one line of JSON;
// exits 1 with a line on stderr at the first call that fails.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "tests/bench/calls.h"
#include "tests/bench/samples.h"
#include "tests/bench/watchers.h"

namespace {

namespace v1 = leasegateway::v1;
namespace bench = leasegateway::bench;
using bench::Clock;
using bench::Fail;
using Stub = v1::LeaseService::Stub;

struct Options {
  std::vector<std::string> targets;
  std::string numbers_file;  // a number a line
  std::size_t from = 0;      // the first one that is not leased yet
  double seconds = 1;
  int concurrency = 1;
  int count = 1;
  int pause_ms = 0;
};

// The numbers that are not leased yet. Thread-safe.
class Numbers {
 public:
  explicit Numbers(const Options& options)
      : numbers_(bench::ReadLines(options.numbers_file)), next_(options.from) {}

  const std::string& Next() {
    const std::size_t at = next_++;
    if (at >= numbers_.size()) Fail("the file has too few numbers");
    return numbers_[at];
  }
  std::size_t next() const { return next_; }

 private:
  const std::vector<std::string> numbers_;
  std::atomic<std::size_t> next_;
};

void CreateLease(Stub& stub, const std::string& number) {
  v1::CreateLeaseRequest request;
  request.set_phone_number(number);
  v1::CreateLeaseResponse reply;
  grpc::ClientContext context;
  bench::SetDeadline(&context);
  bench::CheckStatus(stub.CreateLease(&context, request, &reply));
  if (reply.lease().phone_number() != number || reply.lease().lease_id().empty()) {
    Fail("the reply isn't complete: " + reply.ShortDebugString());
  }
}

std::vector<std::unique_ptr<Stub>> MakeStubs(const std::vector<std::string>& targets, int count) {
  std::vector<std::unique_ptr<Stub>> stubs;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    stubs.push_back(v1::LeaseService::NewStub(bench::Connect(targets[i % targets.size()])));
  }
  return stubs;
}

// Callers that lease one number after the other; the first line says how many numbers that took.
void Lease(const Options& options) {
  Numbers numbers(options);
  const auto stubs = MakeStubs(options.targets, options.concurrency);
  bench::RunLoops(options.concurrency, options.seconds, [&](int thread) {
    CreateLease(*stubs[static_cast<std::size_t>(thread)], numbers.Next());
  });
  std::printf("{\"next\":%zu}\n", numbers.next());
}

// Leases at the targets in turn, each watched once: how long after the reply, and after the first
// watcher, the last one was told that the number is gone.
void Seen(const Options& options) {
  Numbers numbers(options);
  const int targets = static_cast<int>(options.targets.size());
  const auto stubs = MakeStubs(options.targets, targets);
  bench::Watchers watchers(options.targets, targets);
  watchers.AwaitState(-1);
  std::vector<double> after_reply, after_first;
  for (int i = 0; i < options.count; ++i) {
    const std::string& number = numbers.Next();
    watchers.Expect(number);
    CreateLease(*stubs[static_cast<std::size_t>(i % targets)], number);
    const auto replied = Clock::now();
    Clock::time_point first, last;
    watchers.AwaitChange(&first, &last);
    after_reply.push_back(std::max(0.0, bench::Milliseconds(last - replied)));
    after_first.push_back(bench::Milliseconds(last - first));
    std::this_thread::sleep_for(std::chrono::milliseconds(options.pause_ms));
  }
  std::printf(
      "{\"changes\":%d,\"next\":%zu,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f,"
      "\"after_first_p50_ms\":%.2f,\"after_first_p99_ms\":%.2f}\n",
      options.count, numbers.next(), bench::Percentile(after_reply, 0.5),
      bench::Percentile(after_reply, 0.99), bench::Percentile(after_reply, 1),
      bench::Percentile(after_first, 0.5), bench::Percentile(after_first, 0.99));
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  void (*run)(const Options&) = nullptr;
  CLI::App app("Leases at lease gateways.", "bench_leases");
  app.require_subcommand(1);
  const auto add = [&](const char* name, const char* what, void (*function)(const Options&)) {
    CLI::App* const command = app.add_subcommand(name, what);
    command->add_option("--targets", options.targets, "HOST:PORT,…")->delimiter(',')->required();
    command->add_option("--numbers", options.numbers_file, "file with a number a line")
        ->check(CLI::ExistingFile)
        ->required();
    command->add_option("--from", options.from, "so many of them are leased already");
    command->callback([&run, function] { run = function; });
    return command;
  };
  CLI::App* command = add("lease", "CreateLease again and again", Lease);
  command->add_option("--seconds", options.seconds, "how long");
  command->add_option("--concurrency", options.concurrency, "calls at a time")
      ->check(CLI::Range(1, 256));
  command = add("seen", "CreateLease, and when watchers of all targets are told", Seen);
  command->add_option("--count", options.count, "how many")->check(CLI::Range(1, 100'000));
  command->add_option("--pause-ms", options.pause_ms, "between two");
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
  } catch (const std::exception& error) {
    std::cerr << "bench_leases: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
