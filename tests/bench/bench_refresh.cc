// What a refresh costs: the provider's answer with N numbers decoded, then indexed and serialised
// as a snapshot; and what the snapshot holds compared with the answer's JSON, as the snapshot
// counts it and as the process grows by it. Prints one line of JSON for each N; exits 1 when a
// snapshot isn't whole.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/samples.h"
#include "upstream/availability/availability.h"
#include "upstream/provider/json_codec.h"
#include "upstream/sandbox/inventory.h"

namespace {

namespace bench = leasegateway::bench;
namespace sandbox = leasegateway::sandbox;
namespace v1 = leasegateway::v1;
using bench::Clock;
using leasegateway::Availability;

// As the provider answers GET /leases.
std::string MakeAnswer(const std::vector<sandbox::InventoryNumber>& inventory) {
  std::string json =
      R"({"id":"req_0000000000000001","timestamp":1760000000000,"api_version":"v2026.10.1",)"
      R"("object":"response","data":{"available":)" +
      std::to_string(inventory.size()) + R"(,"numbers":[)";
  const char* separator = "";
  for (const sandbox::InventoryNumber& number : inventory) {
    json += separator;
    sandbox::AppendNumber(number, number.g_available ? "g-available" : "available", &json);
    json += '}';
    separator = ",";
  }
  return json + "]}}";
}

double ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  double size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

bool Measure(int count, int rounds) {
  const auto inventory = sandbox::MakeInventory(1, count);
  const std::string json = MakeAnswer(inventory);
  std::vector<double> decode, build, serialise;
  double memory = 0, before = 0;
  // All are kept, so that one can't lie in memory that another has left.
  std::vector<std::shared_ptr<const Availability>> snapshots;
  std::size_t list_bytes = 0;
  // The first round isn't counted: it also pays for what the allocator and the libraries keep.
  for (int round = 0; round <= rounds; ++round) {
    if (round == 1) {
      for (auto* const phase : {&decode, &build, &serialise}) phase->clear();
      before = ResidentBytes();
    }
    auto started = Clock::now();
    auto decoded = leasegateway::DecodeAvailableNumbers(json);
    decode.push_back(bench::Milliseconds(Clock::now() - started));
    if (!decoded.ok()) {
      std::cerr << "bench_refresh: " << decoded.status().message() << "\n";
      return false;
    }
    started = Clock::now();
    std::shared_ptr<const Availability> snapshot =
        Availability::Build(decoded->value, decoded->metadata, leasegateway::PinInMemory);
    build.push_back(bench::Milliseconds(Clock::now() - started));

    v1::ListAvailableNumbersResponse list;
    list.mutable_numbers()->Swap(&decoded->value);
    started = Clock::now();
    std::string bytes = list.SerializeAsString();
    serialise.push_back(bench::Milliseconds(Clock::now() - started));
    list_bytes = bytes.size();

    const bool whole = snapshot->size() == inventory.size() &&
                       snapshot->FindNumber(inventory.back().e164).has_value() &&
                       snapshot->list_reply().size() >= list_bytes;
    if (!whole) {
      std::cerr << "bench_refresh: the snapshot of " << count << " numbers isn't whole\n";
      return false;
    }
    memory = static_cast<double>(snapshot->MemoryBytes());
    snapshots.push_back(std::move(snapshot));
  }
  const double growth = (ResidentBytes() - before) / rounds;
  const double size = static_cast<double>(json.size());
  std::printf(
      "{\"numbers\":%d,\"json_bytes\":%zu,\"list_bytes\":%zu,\"decode_ms\":%.2f,\"build_ms\":%.2f,"
      "\"serialise_ms\":%.2f,\"memory_bytes\":%.0f,\"memory_ratio\":%.3f,\"rss_bytes\":%.0f,"
      "\"rss_ratio\":%.3f}\n",
      count, json.size(), list_bytes, bench::Percentile(decode, 0.5), bench::Percentile(build, 0.5),
      bench::Percentile(serialise, 0.5), memory, memory / size, growth, growth / size);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<int> counts = {10'000, 100'000};
  int rounds = 5;
  CLI::App app("Times a refresh in-process and weighs the snapshot.", "bench_refresh");
  app.add_option("--numbers", counts, "sizes of the inventory");
  app.add_option("--rounds", rounds, "medians of so many")->check(CLI::Range(1, 1000));
  CLI11_PARSE(app, argc, argv);
  for (const int count : counts) {
    if (!Measure(count, rounds)) return 1;
  }
  return 0;
}
