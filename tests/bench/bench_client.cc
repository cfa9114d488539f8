// The client of the benchmarks: a gRPC client that checks each reply and prints one line of JSON a
// result. Exits 1 with a line on stderr at the first reply that is wrong.
#include <google/protobuf/util/json_util.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "tests/bench/calls.h"
#include "tests/bench/samples.h"
#include "tests/bench/watchers.h"

namespace {

namespace v1 = leasegateway::v1;
namespace bench = leasegateway::bench;
using bench::CheckStatus;
using bench::Clock;
using bench::Fail;
using bench::SetDeadline;
using Stub = v1::LeaseService::Stub;

struct Options {
  std::string target;
  std::string ca_file;       // PEM; empty: plaintext
  std::string numbers_file;  // a number a line
  std::string out;           // for the reply's bytes
  std::string method = "get-number";
  std::string request;  // JSON of a ListAvailableNumbersRequest
  double seconds = 1;
  int concurrency = 1;
  int calls = 0;
  int watchers = 0;
  int expect_total = -1;  // of lists; -1: any
  bool fresh = false;     // max_staleness 0
  bool bare = false;      // the server gives the same answer to each request
};

std::vector<std::string> ReadNumbers(const Options& options) {
  std::vector<std::string> numbers = bench::ReadLines(options.numbers_file);
  if (numbers.empty()) Fail("there are no numbers in \"" + options.numbers_file + "\"");
  return numbers;
}

std::string CacheStatusOf(const grpc::ClientContext& context) {
  const auto& metadata = context.GetServerInitialMetadata();
  const auto found = metadata.find("cache-status");
  return found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
}

// That memory answered, or, for a fresh read, that it did not.
void CheckSource(const Options& options, const grpc::ClientContext& context) {
  const std::string text = CacheStatusOf(context);
  const bool hit = text.find("; hit") != std::string::npos;
  const bool forwarded = text.find("; fwd=") != std::string::npos;
  if (options.fresh ? !forwarded : !hit) Fail("cache-status is \"" + text + "\"");
}

void CheckNumber(const Options& options, const std::string& asked,
                 const v1::GetNumberResponse& reply) {
  const v1::Number& number = reply.number();
  if (options.bare ? number.phone_number().empty() : number.phone_number() != asked) {
    Fail("asked for " + asked + ", got \"" + number.phone_number() + "\"");
  }
  if (number.status() == v1::NUMBER_STATUS_UNSPECIFIED || number.carrier().empty() ||
      !number.has_location() || !number.has_pricing() || !number.has_create_time() ||
      reply.metadata().upstream_request_id().empty()) {
    Fail("the reply isn't complete: " + reply.ShortDebugString());
  }
}

v1::GetNumberRequest MakeGetNumber(const Options& options, const std::string& number) {
  v1::GetNumberRequest request;
  request.set_phone_number(number);
  if (options.fresh) request.mutable_max_staleness();
  return request;
}

// A stub for each thread, on at most 16 connections.
std::vector<std::unique_ptr<Stub>> MakeStubs(const Options& options, int count) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  std::vector<std::unique_ptr<Stub>> stubs;
  for (int i = 0; i < count; ++i) {
    if (channels.size() < 16) channels.push_back(bench::Connect(options.target, options.ca_file));
    stubs.push_back(
        v1::LeaseService::NewStub(channels[static_cast<std::size_t>(i) % channels.size()]));
  }
  return stubs;
}

void GetNumbers(const Options& options) {
  const auto numbers = ReadNumbers(options);
  const auto stubs = MakeStubs(options, options.concurrency);
  std::vector<std::minstd_rand> random;
  for (int i = 0; i < options.concurrency; ++i) random.emplace_back(i + 1);
  bench::RunLoops(options.concurrency, options.seconds, [&](int thread) {
    const auto index = static_cast<std::size_t>(thread);
    const std::string& number = numbers[random[index]() % numbers.size()];
    const v1::GetNumberRequest request = MakeGetNumber(options, number);
    v1::GetNumberResponse reply;
    grpc::ClientContext context;
    SetDeadline(&context);
    CheckStatus(stubs[index]->GetNumber(&context, request, &reply));
    CheckSource(options, context);
    CheckNumber(options, number, reply);
  });
}

v1::ListAvailableNumbersResponse List(const Options& options, Stub& stub,
                                      const v1::ListAvailableNumbersRequest& request,
                                      bool any_source) {
  v1::ListAvailableNumbersResponse reply;
  grpc::ClientContext context;
  SetDeadline(&context);
  CheckStatus(stub.ListAvailableNumbers(&context, request, &reply));
  if (!any_source) CheckSource(options, context);
  return reply;
}

void CheckList(const Options& options, const v1::ListAvailableNumbersResponse& reply) {
  if (reply.total_size() != reply.numbers_size() || reply.numbers_size() == 0) {
    Fail("total_size is " + std::to_string(reply.total_size()) + " with " +
         std::to_string(reply.numbers_size()) + " numbers");
  }
  if (options.expect_total >= 0 && reply.total_size() != options.expect_total) {
    Fail("total_size is " + std::to_string(reply.total_size()));
  }
}

void Lists(const Options& options) {
  const auto stubs = MakeStubs(options, options.concurrency);
  v1::ListAvailableNumbersRequest request;
  if (options.fresh) request.mutable_max_staleness();
  bench::RunLoops(options.concurrency, options.seconds, [&](int thread) {
    CheckList(options, List(options, *stubs[static_cast<std::size_t>(thread)], request, false));
  });
}

// Brings the list into the gateway's memory and writes its numbers, a line each.
void Warm(const Options& options) {
  const auto stubs = MakeStubs(options, 1);
  const auto reply = List(options, *stubs[0], {}, true);
  CheckList(options, reply);
  std::ofstream file(options.out);
  for (const v1::Number& number : reply.numbers()) file << number.phone_number() << "\n";
  if (!file.flush()) Fail("can't write " + options.out);
  std::printf("{\"numbers\":%d}\n", reply.numbers_size());
}

// Writes the bytes of one reply.
void Capture(const Options& options) {
  grpc::Slice slice;
  if (options.method == "get-number") {
    slice = grpc::Slice(MakeGetNumber(options, ReadNumbers(options).front()).SerializeAsString());
  }
  grpc::ByteBuffer request(&slice, 1), reply;
  grpc::GenericStub stub(bench::Connect(options.target, options.ca_file));
  grpc::ClientContext context;
  SetDeadline(&context);
  std::mutex mutex;
  std::condition_variable ended;
  bool done = false;
  grpc::Status status;
  stub.UnaryCall(&context,
                 options.method == "get-number"
                     ? "/leasegateway.v1.LeaseService/GetNumber"
                     : "/leasegateway.v1.LeaseService/ListAvailableNumbers",
                 grpc::StubOptions(), &request, &reply, [&](grpc::Status result) {
                   const std::lock_guard lock(mutex);
                   status = std::move(result);
                   done = true;
                   ended.notify_one();
                 });
  std::unique_lock lock(mutex);
  ended.wait(lock, [&] { return done; });
  CheckStatus(status);
  CheckSource(options, context);
  std::vector<grpc::Slice> slices;
  if (!reply.Dump(&slices).ok()) Fail("can't read the reply");
  std::ofstream file(options.out, std::ios::binary);
  for (const grpc::Slice& part : slices) {
    file.write(reinterpret_cast<const char*>(part.begin()),
               static_cast<std::streamsize>(part.size()));
  }
  if (!file.flush()) Fail("can't write " + options.out);
  std::printf("{\"bytes\":%zu,\"cache_status\":\"%s\"}\n", reply.Length(),
              CacheStatusOf(context).c_str());
}

bool Contains(const google::protobuf::RepeatedPtrField<std::string>& values,
              const std::string& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

std::int64_t Micros(const google::type::Money& money) {
  return money.units() * 1'000'000 + money.nanos() / 1000;
}

// The part of the filter that the benchmark uses, in plain code of its own.
bool Matches(const v1::AvailabilityFilter& filter, const v1::Number& number) {
  if (filter.countries_size() > 0 && !Contains(filter.countries(), number.location().country())) {
    return false;
  }
  for (const std::string& channel : filter.channels()) {
    if (!Contains(number.capabilities().channels(), channel)) return false;
  }
  if (filter.has_min_reputation() && number.health().reputation() < filter.min_reputation()) {
    return false;
  }
  const auto& rate = number.pricing().monthly_rate();
  return !filter.has_max_monthly_rate() ||
         (rate.currency_code() == filter.max_monthly_rate().currency_code() &&
          Micros(rate) <= Micros(filter.max_monthly_rate()));
}

// One search again and again; each page must be the one that a plain loop over the whole list
// finds.
void Search(const Options& options) {
  v1::ListAvailableNumbersRequest request;
  if (!google::protobuf::util::JsonStringToMessage(options.request, &request).ok()) {
    Fail("--request: no JSON of a ListAvailableNumbersRequest");
  }
  v1::AvailabilityFilter rest = request.filter();
  rest.clear_countries();
  rest.clear_channels();
  rest.clear_min_reputation();
  rest.clear_max_monthly_rate();
  if (rest.ByteSizeLong() > 0 ||
      (!request.order_by().empty() && request.order_by() != "pricing.monthly_rate")) {
    Fail("--request: has what this client can't check");
  }
  const auto stubs = MakeStubs(options, options.concurrency);
  const v1::ListAvailableNumbersResponse all = List(options, *stubs[0], {}, true);
  CheckList(options, all);
  std::vector<const v1::Number*> found;
  for (const v1::Number& number : all.numbers()) {
    if (Matches(request.filter(), number)) found.push_back(&number);
  }
  if (!request.order_by().empty()) {
    const auto key = [](const v1::Number* number) {
      const auto& rate = number->pricing().monthly_rate();
      return std::tuple(rate.currency_code(), Micros(rate), number->phone_number());
    };
    std::sort(found.begin(), found.end(),
              [&](const v1::Number* a, const v1::Number* b) { return key(a) < key(b); });
  }
  const std::size_t page = std::min(found.size(), static_cast<std::size_t>(request.page_size()));
  if (page == 0) Fail("--request: nothing matches");
  bench::RunLoops(options.concurrency, options.seconds, [&](int thread) {
    const auto reply = List(options, *stubs[static_cast<std::size_t>(thread)], request, true);
    bool right = reply.total_size() == static_cast<int>(found.size()) &&
                 reply.numbers_size() == static_cast<int>(page) &&
                 reply.next_page_token().empty() == (page == found.size());
    for (std::size_t i = 0; right && i < page; ++i) {
      right = reply.numbers(static_cast<int>(i)).phone_number() == found[i]->phone_number();
    }
    if (!right) {
      Fail("the page isn't the one that was looked for: total_size " +
           std::to_string(reply.total_size()) + " instead of " + std::to_string(found.size()));
    }
  });
}

// All calls at once on 16 connections, one number for all.
void Stampede(const Options& options) {
  struct Call {
    grpc::ClientContext context;
    v1::GetNumberRequest request;
    v1::GetNumberResponse number;
    v1::ListAvailableNumbersResponse list;
    grpc::Status status;
  };
  const bool lists = options.method == "list";
  // Fresh reads of different numbers, which no answer serves together; or all of one.
  const std::vector<std::string> numbers =
      lists ? std::vector<std::string>{""} : ReadNumbers(options);
  const auto number_of = [&](std::size_t call) {
    return options.fresh ? numbers[call % numbers.size()] : numbers.front();
  };
  const auto stubs = MakeStubs(options, 16);
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < options.calls; ++i) {
    calls.push_back(std::make_unique<Call>());
    calls.back()->request = MakeGetNumber(options, number_of(calls.size() - 1));
    SetDeadline(&calls.back()->context);
  }
  std::mutex mutex;
  std::condition_variable ended;
  std::size_t done = 0;
  std::vector<double> microseconds(calls.size());
  const auto started = Clock::now();
  for (std::size_t i = 0; i < calls.size(); ++i) {
    Call* const call = calls[i].get();
    const auto then = [&, call, i](grpc::Status status) {
      const double took = bench::Microseconds(Clock::now() - started);
      const std::lock_guard lock(mutex);
      microseconds[i] = took;
      call->status = std::move(status);
      if (++done == calls.size()) ended.notify_one();
    };
    auto* const async = stubs[i % stubs.size()]->async();
    if (lists) {
      static const v1::ListAvailableNumbersRequest request;
      async->ListAvailableNumbers(&call->context, &request, &call->list, then);
    } else {
      async->GetNumber(&call->context, &call->request, &call->number, then);
    }
  }
  std::unique_lock lock(mutex);
  ended.wait(lock, [&] { return done == calls.size(); });
  const auto took = Clock::now() - started;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    CheckStatus(calls[i]->status);
    if (lists) {
      CheckList(options, calls[i]->list);
    } else {
      CheckNumber(options, number_of(i), calls[i]->number);
    }
  }
  bench::PrintLatencies(microseconds, took);
}

// stdin: the number that is going to change, a line each, answered by a line {"expected":…}, upon
// which the change is to be made; then comes when the first and the last watcher had it, by the
// monotonic clock.
void Watch(const Options& options) {
  bench::Watchers watchers({options.target}, options.watchers, options.ca_file);
  watchers.AwaitState(options.expect_total);
  std::printf("{\"watching\":%d}\n", options.watchers);
  std::fflush(stdout);
  for (std::string number; std::getline(std::cin, number);) {
    watchers.Expect(number);
    std::printf("{\"expected\":\"%s\"}\n", number.c_str());
    std::fflush(stdout);
    Clock::time_point first, last;
    watchers.AwaitChange(&first, &last);
    const auto nanoseconds = [](Clock::time_point time) {
      return static_cast<long long>(
          std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
    };
    std::printf("{\"first_ns\":%lld,\"last_ns\":%lld}\n", nanoseconds(first), nanoseconds(last));
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  void (*run)(const Options&) = nullptr;
  CLI::App app("Calls a lease gateway and checks each reply.", "bench_client");
  app.require_subcommand(1);
  const auto add = [&](const char* name, const char* what, void (*function)(const Options&)) {
    CLI::App* const command = app.add_subcommand(name, what);
    command->add_option("--target", options.target, "HOST:PORT")->required();
    command
        ->add_option("--ca-file", options.ca_file,
                     "PEM of the authorities; TLS instead of plaintext")
        ->check(CLI::ExistingFile);
    command->callback([&run, function] { run = function; });
    return command;
  };
  const auto loop = [&](CLI::App* command) {
    command->add_option("--seconds", options.seconds, "how long");
    command->add_option("--concurrency", options.concurrency, "calls at a time")
        ->check(CLI::Range(1, 256));
  };
  const auto numbers = [&](CLI::App* command) {
    command->add_option("--numbers", options.numbers_file, "file with a number a line")
        ->check(CLI::ExistingFile);
  };
  const auto method = [&](CLI::App* command) {
    command->add_option("--method", options.method, "what to call")
        ->check(CLI::IsMember({"get-number", "list"}));
  };
  const auto total = [&](CLI::App* command) {
    command->add_option("--expect-total", options.expect_total, "how many numbers there are");
  };
  const auto fresh = [&](CLI::App* command) {
    command->add_flag("--fresh", options.fresh, "with max_staleness 0: misses instead of hits");
  };

  CLI::App* command = add("warm", "List once and write the numbers", Warm);
  command->add_option("--out", options.out, "file for the numbers")->required();
  total(command);
  command = add("capture", "Write the bytes of a reply from memory", Capture);
  command->add_option("--out", options.out, "file for the reply")->required();
  method(command);
  numbers(command);
  command = add("get-number", "GetNumber of random numbers", GetNumbers);
  loop(command);
  numbers(command);
  fresh(command);
  command->add_flag("--bare", options.bare, "the answer is always the same number");
  command = add("list", "ListAvailableNumbers", Lists);
  loop(command);
  total(command);
  fresh(command);
  command = add("search", "ListAvailableNumbers with a filter", Search);
  loop(command);
  command->add_option("--request", options.request, "JSON of the request")->required();
  command = add("stampede", "All calls at once", Stampede);
  command->add_option("--calls", options.calls, "how many")->check(CLI::Range(1, 100'000));
  method(command);
  numbers(command);
  total(command);
  fresh(command);
  command = add("watch", "Watch, and time the changes named on stdin", Watch);
  command->add_option("--watchers", options.watchers, "how many")->check(CLI::Range(1, 10'000));
  total(command);
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
  } catch (const std::exception& error) {
    std::cerr << "bench_client: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
