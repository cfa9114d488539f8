// Callers that call at a steady rate, whether they are answered or not: in turn, with numbers that
// are asked for in turn, each read past memory but every so many leased. They prove who they are as
// a proxy on this machine would tell. Prints what was answered, in milliseconds, and how many calls
// were not, with the first one's reason:
//   {"sent":…,"reads":[…],"purchases":[…],"refused":…,"why":"…"}
// Exits 1 with a line on stderr when it could not call.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "tests/bench/calls.h"
#include "tests/bench/samples.h"

namespace {

namespace v1 = leasegateway::v1;
namespace bench = leasegateway::bench;
using bench::Clock;
using Stub = v1::LeaseService::Stub;

constexpr int kConnections = 4;
constexpr int kMostAtOnce = 3'000;  // calls; what would be more isn't sent
constexpr int kDeadlineSeconds = 5;

struct Options {
  std::string target;
  std::string numbers_file;          // a number a line
  std::size_t from = 0, count = 0;   // those that are asked for
  std::vector<std::string> callers;  // their SPIFFE IDs
  int rate = 1;                      // calls a second, of all callers together
  int purchase_every = 1;            // so many calls
  double seconds = 1;
};

class Callers {
 public:
  explicit Callers(const Options& options)
      : options_(options), numbers_(bench::ReadLines(options.numbers_file)) {
    if (numbers_.size() < options.from + options.count) bench::Fail("there are too few numbers");
    for (int i = 0; i < kConnections; ++i) {
      stubs_.push_back(v1::LeaseService::NewStub(bench::Connect(options.target)));
    }
  }

  void Run() {
    const auto began = Clock::now();
    const std::chrono::duration<double> pause(1.0 / options_.rate);
    const auto calls = static_cast<std::size_t>(options_.seconds * options_.rate);
    for (std::size_t i = 0; i < calls; ++i) {
      std::this_thread::sleep_until(
          began + std::chrono::duration_cast<Clock::duration>(pause * static_cast<double>(i)));
      if (Clock::now() - began > 1.5 * std::chrono::duration<double>(options_.seconds)) break;
      Send(i);
    }
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return under_way_ == 0; });
  }

  void Print() const {
    std::printf("{\"sent\":%zu", sent_);
    PrintList("reads", reads_);
    PrintList("purchases", purchases_);
    std::printf(",\"refused\":%zu,\"why\":\"%s\"}\n", refused_, why_.c_str());
  }

 private:
  template <typename Request, typename Response>
  struct Call {
    grpc::ClientContext context;
    Request request;
    Response response;
    Clock::time_point began;
  };
  using Read = Call<v1::GetNumberRequest, v1::GetNumberResponse>;
  using Purchase = Call<v1::CreateLeaseRequest, v1::CreateLeaseResponse>;

  void Send(std::size_t i) {
    {
      const std::lock_guard lock(mutex_);
      if (under_way_ == kMostAtOnce) return;
      ++under_way_;
      ++sent_;
    }
    Stub& stub = *stubs_[i % stubs_.size()];
    // Each caller purchases and reads, however many there are.
    if (i / options_.callers.size() % static_cast<std::size_t>(options_.purchase_every) == 0) {
      const auto call = Prepare<Purchase>(i);
      stub.async()->CreateLease(
          &call->context, &call->request, &call->response,
          [this, call](const grpc::Status& status) { End(status, call->began, &purchases_); });
    } else {
      const auto call = Prepare<Read>(i);
      call->request.mutable_max_staleness();
      stub.async()->GetNumber(
          &call->context, &call->request, &call->response,
          [this, call](const grpc::Status& status) { End(status, call->began, &reads_); });
    }
  }

  template <typename Kind>
  std::shared_ptr<Kind> Prepare(std::size_t i) const {
    auto call = std::make_shared<Kind>();
    bench::SetDeadline(&call->context, kDeadlineSeconds);
    call->context.AddMetadata("x-forwarded-client-cert",
                              "URI=" + options_.callers[i % options_.callers.size()]);
    call->request.set_phone_number(numbers_[options_.from + i % options_.count]);
    call->began = Clock::now();
    return call;
  }

  void End(const grpc::Status& status, Clock::time_point began, std::vector<double>* answered) {
    const double took = bench::Milliseconds(Clock::now() - began);
    const std::lock_guard lock(mutex_);
    if (status.ok()) {
      answered->push_back(took);
    } else if (refused_++ == 0) {
      why_ = status.error_message();
      for (char& c : why_) {
        if (c == '"' || c == '\\' || c < ' ') c = '\'';
      }
    }
    if (--under_way_ == 0) ended_.notify_one();
  }

  static void PrintList(const char* name, const std::vector<double>& values) {
    std::printf(",\"%s\":[", name);
    for (std::size_t i = 0; i < values.size(); ++i) std::printf(i ? ",%.2f" : "%.2f", values[i]);
    std::printf("]");
  }

  const Options options_;
  const std::vector<std::string> numbers_;
  std::vector<std::unique_ptr<Stub>> stubs_;
  std::mutex mutex_;  // guards all below
  std::condition_variable ended_;
  int under_way_ = 0;
  std::size_t sent_ = 0, refused_ = 0;
  std::vector<double> reads_, purchases_;
  std::string why_;
};

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Callers of a lease gateway at a steady rate.", "bench_shares");
  app.add_option("--target", options.target, "HOST:PORT")->required();
  app.add_option("--numbers", options.numbers_file, "file with a number a line")
      ->check(CLI::ExistingFile)
      ->required();
  app.add_option("--from", options.from, "the first that is asked for, from 0");
  app.add_option("--count", options.count, "how many are asked for")->required();
  app.add_option("--callers", options.callers, "SPIFFE IDs")->delimiter(',')->required();
  app.add_option("--rate", options.rate, "calls a second")->check(CLI::Range(1, 100'000));
  app.add_option("--purchase-every", options.purchase_every, "so many calls of a caller")
      ->check(CLI::Range(1, 1'000));
  app.add_option("--seconds", options.seconds, "how long")->check(CLI::Range(0.1, 60.0));
  CLI11_PARSE(app, argc, argv);
  try {
    Callers callers(options);
    callers.Run();
    callers.Print();
  } catch (const std::exception& error) {
    std::cerr << "bench_shares: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
