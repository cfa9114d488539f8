#ifndef LEASE_GATEWAY_TESTS_BENCH_CALLS_H_
#define LEASE_GATEWAY_TESTS_BENCH_CALLS_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstddef>
#include <exception>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/samples.h"

// How the clients of the benchmarks connect and call. What goes wrong is thrown, and ends them.

namespace leasegateway::bench {

[[noreturn]] inline void Fail(const std::string& what) { throw std::runtime_error(what); }

// A connection of its own, within 20 s. `ca_file`: PEM; empty: plaintext.
inline std::shared_ptr<grpc::Channel> Connect(const std::string& target,
                                              const std::string& ca_file = "") {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection a channel
  auto credentials = grpc::InsecureChannelCredentials();
  if (!ca_file.empty()) {
    std::ostringstream ca;
    ca << std::ifstream(ca_file).rdbuf();
    credentials = grpc::SslCredentials({ca.str(), "", ""});
  }
  auto channel = grpc::CreateCustomChannel(target, credentials, arguments);
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20))) {
    Fail("can't connect to " + target);
  }
  return channel;
}

inline void SetDeadline(grpc::ClientContext* context, int seconds = 60) {
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(seconds));
}

inline void CheckStatus(const grpc::Status& status) {
  if (!status.ok()) {
    Fail("status " + std::to_string(status.error_code()) + ": " + status.error_message());
  }
}

// What a thread of a closed loop has done.
struct Loop {
  std::vector<double> microseconds;
  std::exception_ptr error;
};

// Calls `call` one after the other on each of `concurrency` threads for so many seconds, after a
// tenth of a second that doesn't count. `call` gets the number of its thread.
inline void RunLoops(int concurrency, double seconds, const std::function<void(int)>& call) {
  std::vector<Loop> loops(static_cast<std::size_t>(concurrency));
  std::vector<std::thread> threads;
  const auto warm = Clock::now() + std::chrono::milliseconds(100);
  const auto end =
      warm + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  for (int i = 0; i < concurrency; ++i) {
    threads.emplace_back([&call, warm, end, i, loop = &loops[static_cast<std::size_t>(i)]] {
      try {
        for (auto started = Clock::now(); started < end; started = Clock::now()) {
          call(i);
          if (started >= warm) {
            loop->microseconds.push_back(Microseconds(Clock::now() - started));
          }
        }
      } catch (...) {
        loop->error = std::current_exception();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const auto took = Clock::now() - warm;
  std::vector<double> all;
  for (const Loop& loop : loops) {
    if (loop.error) std::rethrow_exception(loop.error);
    all.insert(all.end(), loop.microseconds.begin(), loop.microseconds.end());
  }
  if (all.empty()) Fail("no call ended in time");
  PrintLatencies(all, took);
}

}  // namespace leasegateway::bench

#endif  // LEASE_GATEWAY_TESTS_BENCH_CALLS_H_
