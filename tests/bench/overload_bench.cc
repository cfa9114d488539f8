// Ten times the load that the pool can carry. A sandbox that takes 50 ms an answer and a pool of 4
// connections carry 80 calls a second, few enough for a small machine to offer ten times as many.
// GetNumber calls arrive at a quarter of that rate, and then at ten times it, whether earlier ones
// have ended or not. Prints what the calls took, in one run. Exits 1 when the accepted ones' 99th
// percentile is more than 3 times that without load, the refused ones' more than 2 times, or one
// failed otherwise.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "service/server.h"
#include "upstream/sandbox/sandbox.h"

namespace {

namespace v1 = leasegateway::v1;
using Clock = std::chrono::steady_clock;

constexpr int kPool = 4;
constexpr int kAnswerMs = 50;
constexpr int kCapacity = kPool * 1000 / kAnswerMs;  // calls a second
constexpr double kMostRatio = 3;
// The queue gives up a call after twice what one takes.
constexpr double kMostRefusing = 2;

struct Call {
  grpc::ClientContext context;
  v1::GetNumberRequest request;
  v1::GetNumberResponse response;
  Clock::time_point started;
};

struct Results {
  std::vector<double> accepted_ms;
  std::vector<double> refused_ms;  // RESOURCE_EXHAUSTED
  int failed = 0;                  // otherwise
};

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

// `rate` calls a second for `seconds`, evenly spaced.
Results Load(v1::LeaseService::Stub& stub, const std::string& number, int rate, int seconds) {
  const int count = rate * seconds;
  std::vector<std::unique_ptr<Call>> calls;
  std::mutex mutex;
  std::condition_variable all_done;
  int done = 0;
  Results results;
  const auto begin = Clock::now();
  for (int i = 0; i < count; ++i) {
    std::this_thread::sleep_until(begin + i * std::chrono::nanoseconds(1'000'000'000 / rate));
    Call& call = *calls.emplace_back(std::make_unique<Call>());
    call.request.set_phone_number(number);
    call.request.mutable_max_staleness();  // zero: ask the provider
    call.context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
    call.started = Clock::now();
    stub.async()->GetNumber(
        &call.context, &call.request, &call.response, [&](const grpc::Status& status) {
          const double ms =
              std::chrono::duration<double, std::milli>(Clock::now() - call.started).count();
          const std::lock_guard lock(mutex);
          if (status.ok()) {
            results.accepted_ms.push_back(ms);
          } else if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) {
            results.refused_ms.push_back(ms);
          } else {
            ++results.failed;
          }
          if (++done == count) all_done.notify_one();
        });
  }
  std::unique_lock lock(mutex);
  all_done.wait(lock, [&] { return done == count; });
  return results;
}

void Print(const char* name, int rate, const Results& results) {
  std::printf("%-12s %9d %9zu %8.1f %8.1f %9zu %8.1f %8.1f %7d\n", name, rate,
              results.accepted_ms.size(), Percentile(results.accepted_ms, 0.5),
              Percentile(results.accepted_ms, 0.99), results.refused_ms.size(),
              Percentile(results.refused_ms, 0.5), Percentile(results.refused_ms, 0.99),
              results.failed);
}

}  // namespace

int main() {
  auto sandbox = leasegateway::sandbox::Sandbox::Start({});
  if (!sandbox.ok()) return 1;
  const std::string ca_file = "/tmp/lease-gateway-bench-" + std::to_string(getpid()) + ".pem";
  std::ofstream(ca_file) << (*sandbox)->ca_certificate();
  leasegateway::Config config;
  config.listen = "127.0.0.1:0";
  config.upstream_url = (*sandbox)->url();
  config.upstream_ca_file = ca_file;
  config.api_key = (*sandbox)->key();
  config.pool_size = kPool;
  config.threads = 2;
  auto server = leasegateway::Server::Start(config);
  std::filesystem::remove(ca_file);
  if (!server.ok()) return 1;
  const auto stub = v1::LeaseService::NewStub(grpc::CreateChannel(
      "127.0.0.1:" + std::to_string((*server)->port()), grpc::InsecureChannelCredentials()));
  v1::ListAvailableNumbersResponse available;
  grpc::ClientContext context;
  if (!stub->ListAvailableNumbers(&context, {}, &available).ok()) return 1;
  const std::string number = available.numbers(0).phone_number();
  const std::string delay =
      R"({"route":"GET /{number}","fraction":1,"kind":"delay","when":"before","delay_ms":)" +
      std::to_string(kAnswerMs) + "}";
  if (!(*sandbox)->Control("POST", "/_sandbox/faults", delay).ok()) return 1;

  Load(*stub, number, kCapacity / 4, 1);  // opens connections, and shows what a call takes
  std::printf("pool %d, %d ms an answer: carries %d calls a second\n", kPool, kAnswerMs, kCapacity);
  std::printf("%-12s %9s %9s %8s %8s %9s %8s %8s %7s\n", "", "calls/s", "accepted", "p50 ms",
              "p99 ms", "refused", "p50 ms", "p99 ms", "failed");
  const Results unloaded = Load(*stub, number, kCapacity / 4, 15);
  Print("a quarter", kCapacity / 4, unloaded);
  const Results overloaded = Load(*stub, number, kCapacity * 10, 15);
  Print("ten times", kCapacity * 10, overloaded);
  const double usual = Percentile(unloaded.accepted_ms, 0.99);
  const double ratio = Percentile(overloaded.accepted_ms, 0.99) / usual;
  const double refusing = Percentile(overloaded.refused_ms, 0.99) / usual;
  std::printf(
      "p99 of the accepted: %.2f times that without load (at most %.0f); of the refused: %.2f (at "
      "most %.0f)\n",
      ratio, kMostRatio, refusing, kMostRefusing);
  const bool good = ratio <= kMostRatio && refusing <= kMostRefusing &&
                    unloaded.refused_ms.empty() && unloaded.failed == 0 && overloaded.failed == 0;
  return good ? 0 : 1;
}
