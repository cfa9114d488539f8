// 1,000 GetNumber calls at once against a sandbox that delays each answer by 200 ms, over a pool of
// 256 connections and two Asio threads. Prints the time against the floor, ceil(1000 / 256) × 200
// ms; then 10,000 calls, and what they left behind. Exits 1 when a call failed.
#include <grpcpp/grpcpp.h>
#include <malloc.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "service/server.h"
#include "upstream/sandbox/sandbox.h"

namespace {

namespace v1 = leasegateway::v1;
using Clock = std::chrono::steady_clock;

struct Call {
  grpc::ClientContext context;
  v1::GetNumberRequest request;
  v1::GetNumberResponse response;
};

// Starts `count` calls at once and waits for all. Returns how many succeeded.
int CallAtOnce(v1::LeaseService::Stub& stub, const std::string& number, int count) {
  std::vector<std::unique_ptr<Call>> calls;
  std::mutex mutex;
  std::condition_variable all_done;
  int done = 0;
  int ok = 0;
  for (int i = 0; i < count; ++i) {
    calls.push_back(std::make_unique<Call>());
    Call& call = *calls.back();
    call.request.set_phone_number(number);
    call.request.mutable_max_staleness();  // zero: ask the provider
    call.context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    stub.async()->GetNumber(&call.context, &call.request, &call.response,
                            [&](const grpc::Status& status) {
                              const std::lock_guard lock(mutex);
                              ok += status.ok();
                              if (++done == count) all_done.notify_one();
                            });
  }
  std::unique_lock lock(mutex);
  all_done.wait(lock, [&] { return done == count; });
  return ok;
}

long ResidentKiB() {
  malloc_trim(0);
  std::ifstream statm("/proc/self/statm");
  long size = 0, resident = 0;
  statm >> size >> resident;
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

long OpenFiles() {
  const std::filesystem::directory_iterator files("/proc/self/fd");
  return std::distance(begin(files), end(files));
}

}  // namespace

int main() {
  constexpr int kCalls = 1000, kPool = 256, kDelayMs = 200;
  auto sandbox = leasegateway::sandbox::Sandbox::Start({});
  if (!sandbox.ok()) return 1;
  const std::string ca_file = "/tmp/lease-gateway-bench-" + std::to_string(getpid()) + ".pem";
  std::ofstream(ca_file) << (*sandbox)->ca_certificate();
  leasegateway::Config config;
  config.listen = "127.0.0.1:0";
  config.upstream_url = (*sandbox)->url();
  config.upstream_ca_file = ca_file;
  config.api_key = (*sandbox)->key();
  config.journal = ":memory:";
  config.pool_size = kPool;
  config.pool_wait = std::chrono::minutes(1);
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
  const auto delay = [&](int requests) {
    return (*sandbox)
        ->Control("POST", "/_sandbox/faults",
                  R"({"route":"GET /{number}","kind":"delay","when":"before","delay_ms":)" +
                      std::to_string(kDelayMs) + R"(,"count":)" + std::to_string(requests) + "}")
        .ok();
  };

  const int rounds = (kCalls + kPool - 1) / kPool;
  int failed = 0;
  std::printf("%-34s %10s %10s %7s\n", "", "ms", "floor ms", "ratio");
  for (const char* name : {"1,000 at once, cold pool", "1,000 at once, warm pool"}) {
    if (!delay(kCalls)) return 1;
    const auto started = Clock::now();
    failed += kCalls - CallAtOnce(*stub, number, kCalls);
    const double ms = std::chrono::duration<double, std::milli>(Clock::now() - started).count();
    std::printf("%-34s %10.0f %10d %7.2f\n", name, ms, rounds * kDelayMs, ms / (rounds * kDelayMs));
  }
  CallAtOnce(*stub, number, 1000);
  const long memory = ResidentKiB(), files = OpenFiles();
  for (int i = 0; i < 10; ++i) failed += 1000 - CallAtOnce(*stub, number, 1000);
  std::printf("10,000 calls more: resident %+ld KiB, open files %+ld, failed %d\n",
              ResidentKiB() - memory, OpenFiles() - files, failed);
  return failed == 0 ? 0 : 1;
}
