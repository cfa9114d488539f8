// What page walks keep of lists that newer ones have replaced: a list of 10,000 numbers every 4 s,
// in which 1 % are others each time, for two minutes of a clock that doesn't wait, and 100 walks
// that begin in that time and go on at its end. Prints what the search counts next to what the
// process has grown by; then, of 100,000 numbers, how long the first and the second page of a
// search take, and the second once the list has been replaced. Exits 1 when a walk ended early or
// more than 64 MiB were used.
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "service/rpc/search.h"
#include "tests/bench/samples.h"
#include "upstream/provider/json_codec.h"
#include "upstream/sandbox/inventory.h"

namespace {

namespace bench = leasegateway::bench;
namespace sandbox = leasegateway::sandbox;
namespace v1 = leasegateway::v1;
using bench::Clock;
using leasegateway::Availability;
using leasegateway::AvailabilitySearch;
using leasegateway::NumberList;

constexpr int kLists = 30;
constexpr int kWalks = 100;
constexpr std::chrono::seconds kRefresh{4};
constexpr std::size_t kBytes = 64 << 20;

double ResidentMiB() {
  std::ifstream statm("/proc/self/statm");
  double size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 20);
}

// As the provider tells them.
NumberList MakeNumbers(int count) {
  std::string json =
      R"({"id":"req_0000000000000001","timestamp":1760000000000,"api_version":"v2026.10.1",)"
      R"("object":"response","data":{"available":1,"numbers":[)";
  const char* separator = "";
  for (const sandbox::InventoryNumber& number : sandbox::MakeInventory(1, count)) {
    json += separator;
    sandbox::AppendNumber(number, "available", &json);
    json += '}';
    separator = ",";
  }
  auto decoded = leasegateway::DecodeAvailableNumbers(json + "]}}");
  return decoded.ok() ? std::move(decoded->value) : NumberList();
}

// A search whose clock and threads are this program's.
struct Bench {
  AvailabilitySearch::Stats stats() const { return search.stats(); }
  void Pack() {
    for (const auto& call : std::exchange(calls, {})) call();
  }
  // The reply to `request`, over `present` unless its token names another list; nothing: refused.
  std::string Ask(const v1::ListAvailableNumbersRequest& request,
                  const std::shared_ptr<const Availability>& present) {
    const auto query = search.Prepare(request);
    return query.ok() ? search.Answer(*query, query->numbers ? query->numbers : present) : "";
  }
  std::string NextToken(const std::string& reply) {
    v1::ListAvailableNumbersResponse page;
    return page.ParseFromString(reply) ? page.next_page_token() : "";
  }

  Clock::time_point now = Clock::now();
  std::vector<std::function<void()>> calls;
  AvailabilitySearch search{[this] { return now; },
                            [this](std::chrono::milliseconds delay, std::function<void()> call) {
                              if (delay.count() == 0) calls.push_back(std::move(call));
                            },
                            kBytes, "default"};
};

bool Walk() {
  const NumberList inventory = MakeNumbers(10'000 + kLists * 100);
  std::vector<int> present(10'000);  // of the inventory
  int next = 0;
  for (int& number : present) number = next++;
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same each time
  const auto build = [&] {
    NumberList numbers;
    for (const int number : present) *numbers.Add() = inventory[number];
    return Availability::Build(numbers, {}, leasegateway::PinInMemory);
  };
  // The present list, and what the allocator keeps of making one, count as there before.
  auto list = build();
  for (int i = 0; i < 3; ++i) list = build();
  const double before = ResidentMiB();

  Bench bench;
  std::vector<v1::ListAvailableNumbersRequest> walks;
  const char* const orders[] = {"", "phone_number", "pricing.monthly_rate", "create_time desc"};
  for (int i = 0; i < kLists; ++i) {
    for (; static_cast<int>(walks.size()) * kLists < (i + 1) * kWalks;) {
      v1::ListAvailableNumbersRequest request;
      request.set_page_size(50);
      request.set_order_by(orders[walks.size() % 4]);
      request.mutable_filter()->set_min_reputation(0.01 * static_cast<double>(walks.size() % 7));
      request.set_page_token(bench.NextToken(bench.Ask(request, list)));
      walks.push_back(std::move(request));
    }
    bench.Pack();
    if (i + 1 == kLists) break;
    for (int k = 0; k < 100; ++k) {
      present.erase(present.begin() + static_cast<std::ptrdiff_t>(random() % present.size()));
      present.insert(present.begin() + static_cast<std::ptrdiff_t>(random() % present.size()),
                     next++);
    }
    list = build();
    bench.now += kRefresh;
  }
  const double grown = ResidentMiB() - before;
  const AvailabilitySearch::Stats stats = bench.stats();
  int gone = 0;
  for (const auto& walk : walks) gone += bench.Ask(walk, list).empty() ? 1 : 0;
  const double counted = static_cast<double>(stats.bytes) / (1 << 20);
  std::printf(
      "{\"walks\":%zu,\"gone\":%d,\"lists\":%zu,\"counted_mib\":%.1f,\"resident_mib\":%.1f}\n",
      walks.size(), gone, stats.snapshots, counted, grown);
  return gone == 0 && stats.bytes <= kBytes && grown <= static_cast<double>(kBytes >> 20);
}

// The median, in microseconds, of asking 1,000 times.
double Median(Bench& bench, const v1::ListAvailableNumbersRequest& request,
              const std::shared_ptr<const Availability>& list) {
  std::vector<double> samples;
  for (int i = 0; i < 1'000; ++i) {
    const auto started = Clock::now();
    bench.Ask(request, list);
    samples.push_back(bench::Microseconds(Clock::now() - started));
  }
  return bench::Percentile(std::move(samples), 0.5);
}

void Time() {
  const NumberList numbers = MakeNumbers(100'000);
  const auto list = Availability::Build(numbers, {}, leasegateway::PinInMemory);
  Bench bench;
  v1::ListAvailableNumbersRequest request;
  request.set_page_size(50);
  request.set_order_by("pricing.monthly_rate");
  request.mutable_filter()->add_countries("US");
  request.mutable_filter()->add_channels("sms");
  request.mutable_filter()->set_min_reputation(0.8);
  const double first = Median(bench, request, list);
  auto second_request = request;
  second_request.set_page_token(bench.NextToken(bench.Ask(request, list)));
  const double second = Median(bench, second_request, list);
  double packing = 0;
  for (int i = 0; i < 2; ++i) {  // the second time its numbers are there
    bench.Ask(request, Availability::Build(numbers, {}, leasegateway::PinInMemory));
    const auto started = Clock::now();
    bench.Pack();
    packing = bench::Milliseconds(Clock::now() - started);
  }
  const double packed = Median(bench, second_request, nullptr);
  std::printf(
      "{\"first_page_us\":%.1f,\"second_page_us\":%.1f,\"replaced\":{\"second_page_us\":%.1f,"
      "\"into_history_ms\":%.1f,\"counted_mib\":%.1f}}\n",
      first, second, packed, packing, static_cast<double>(bench.stats().bytes) / (1 << 20));
}

}  // namespace

int main() {
  const bool kept = Walk();
  Time();
  return kept ? 0 : 1;
}
