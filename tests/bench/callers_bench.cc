// What a callers file of 10,000 costs: how long it takes until a changed one is in force, and how
// many calls a second find their caller, against a file with one. Arguments: the rounds (15), and
// the callers (10,000). Prints
//   {"callers":…,"file_mib":…,"reload_ms":…,"reload_max_ms":…,"reload_cpu_ms":…}
//   {"one_ns":…,"many_ns":…,"ratio":…,"all_ns":…}
// where `ratio` is the rounds' median of how many of the same caller's calls are found in a second
// with many to with one; `all_ns` is of calls by all callers in turn, which no processor's memory
// holds. run.py has the bars. Exits 2 when it could not be measured.

#include <spdlog/spdlog.h>
#include <stdlib.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "service/callers/callers.h"
#include "tests/bench/samples.h"

namespace {

namespace bench = leasegateway::bench;
using bench::Clock;
using leasegateway::Callers;
using leasegateway::PeerFacts;

constexpr int kCalls = 200'000;  // a round

std::string IdOf(int index) {
  return absl::StrCat("spiffe://prod.example/ns/team-", index % 100, "/sa/service-", index);
}

// As a company would have them: SPIFFE IDs, prefixes and names, each with rights and limits.
std::string MakeFile(int callers, int watchers) {
  std::string text =
      "accounts:\n- {name: sales}\n- {name: support}\n"
      "roles:\n  reader: [read, watch, see_operations]\n  buyer: [read, lease, terminate]\n"
      "callers:\n";
  for (int i = 0; i < callers; ++i) {
    const std::string matcher =
        i % 8 == 1   ? absl::StrCat("{spiffe_prefix: \"spiffe://prod.example/ns/team-", i, "/\"}")
        : i % 8 == 2 ? absl::StrCat("{dns: service-", i, ".prod.example}")
                     : absl::StrCat("{spiffe: \"", IdOf(i), "\"}");
    absl::StrAppend(&text, "- name: service-", i, "\n  match: ", matcher,
                    "\n  roles: {sales: [reader, buyer], support: [reader]}\n"
                    "  quotas: {reads_per_second: 100, writes_per_second: 5, watchers: ",
                    watchers,
                    "}\n"
                    "  spending: {purchases_per_day: 20, currencies: {USD: {monthly_rate: 5.00, "
                    "money_per_month: 500}}}\n");
  }
  return text;
}

std::unique_ptr<Callers> Open(const std::string& path) {
  auto callers = Callers::Open({.path = path, .refresh = std::chrono::hours(24), .sandbox = true});
  if (callers.ok()) return *std::move(callers);
  std::fprintf(stderr, "%s\n", callers.status().ToString().c_str());
  std::exit(2);
}

PeerFacts Facts(int index) {
  PeerFacts facts;
  facts.address = "192.0.2.1";
  facts.has_certificate = true;
  facts.uris = {IdOf(index)};
  return facts;
}

// The nanoseconds of a call, by each of `facts` in turn.
double Identify(const Callers& callers, const std::vector<PeerFacts>& facts) {
  std::size_t found = 0;
  const auto started = Clock::now();
  for (int i = 0; i < kCalls; ++i) {
    const auto known = callers.Identify(facts[static_cast<std::size_t>(i) % facts.size()]);
    found += known.ok() && known->use != nullptr && !known->setting->grants.empty() ? 1 : 0;
  }
  const double took = bench::Microseconds(Clock::now() - started) * 1'000 / kCalls;
  if (found != kCalls) std::exit(2);
  return took;
}

void Reload(const std::string& path, int callers, int rounds) {
  const std::string files[] = {MakeFile(callers, 1), MakeFile(callers, 2)};
  std::ofstream(path) << files[0];
  const auto opened = Open(path);
  std::vector<double> milliseconds;
  const std::clock_t cpu_before = std::clock();
  for (int i = 1; i <= rounds; ++i) {
    std::ofstream(path) << files[i % 2];
    const auto started = Clock::now();
    opened->Refresh();
    milliseconds.push_back(bench::Milliseconds(Clock::now() - started));
  }
  const double cpu_ms =
      1e3 * static_cast<double>(std::clock() - cpu_before) / CLOCKS_PER_SEC / rounds;
  if (opened->stats().reloads != static_cast<std::uint64_t>(rounds)) std::exit(2);
  std::printf(
      "{\"callers\":%d,\"file_mib\":%.1f,\"reload_ms\":%.1f,\"reload_max_ms\":%.1f,"
      "\"reload_cpu_ms\":%.1f}\n",
      callers, static_cast<double>(files[0].size()) / (1 << 20),
      bench::Percentile(milliseconds, 0.5), bench::Percentile(milliseconds, 1), cpu_ms);
}

void LookUp(const std::string& path, int callers, int rounds) {
  std::ofstream(path) << MakeFile(callers, 1);
  const auto many = Open(path);
  std::ofstream(path) << MakeFile(1, 1);
  const auto one = Open(path);
  const std::vector<PeerFacts> same{Facts(0)};
  std::vector<PeerFacts> all;
  for (int i = 0; i < callers; i += 8) all.push_back(Facts(i));
  std::vector<double> of_one, of_many, of_all, ratios;
  for (int i = 0; i < rounds; ++i) {
    const bool forwards = i % 2 == 0;
    if (forwards) of_one.push_back(Identify(*one, same));
    of_many.push_back(Identify(*many, same));
    if (!forwards) of_one.push_back(Identify(*one, same));
    of_all.push_back(Identify(*many, all));
    ratios.push_back(of_one.back() / of_many.back());
  }
  std::printf("{\"one_ns\":%.0f,\"many_ns\":%.0f,\"ratio\":%.3f,\"all_ns\":%.0f}\n",
              bench::Percentile(of_one, 0.5), bench::Percentile(of_many, 0.5),
              bench::Percentile(ratios, 0.5), bench::Percentile(of_all, 0.5));
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 15;
  const int callers = argc > 2 ? std::atoi(argv[2]) : 10'000;
  if (rounds < 1 || callers < 1) {
    std::fprintf(stderr, "usage: callers_bench [ROUNDS [CALLERS]]\n");
    return 2;
  }
  spdlog::set_level(spdlog::level::off);
  std::string folder = (std::filesystem::temp_directory_path() / "callers_benchXXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return 2;
  const std::string path = folder + "/callers.yaml";
  Reload(path, callers, rounds);
  LookUp(path, callers, rounds);
  std::filesystem::remove_all(folder);
  return 0;
}
