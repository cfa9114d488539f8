#ifndef LEASE_GATEWAY_TESTS_BENCH_SAMPLES_H_
#define LEASE_GATEWAY_TESTS_BENCH_SAMPLES_H_

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace leasegateway::bench {

using Clock = std::chrono::steady_clock;

inline double Microseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}
inline double Milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

// The value that `share` of the samples do not exceed (nearest rank); 0 without samples.
inline double Percentile(std::vector<double> samples, double share) {
  if (samples.empty()) return 0;
  const std::size_t rank = std::min(
      samples.size() - 1, static_cast<std::size_t>(share * static_cast<double>(samples.size())));
  std::nth_element(samples.begin(), samples.begin() + static_cast<std::ptrdiff_t>(rank),
                   samples.end());
  return samples[rank];
}

// Prints {"calls":…,"calls_s":…,"p50_us":…,"p99_us":…,"max_us":…}.
inline void PrintLatencies(const std::vector<double>& microseconds, Clock::duration took) {
  std::printf(
      "{\"calls\":%zu,\"calls_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
      microseconds.size(), static_cast<double>(microseconds.size()) * 1e6 / Microseconds(took),
      Percentile(microseconds, 0.5), Percentile(microseconds, 0.99), Percentile(microseconds, 1));
}

// The lines of a file that are not empty.
inline std::vector<std::string> ReadLines(const std::string& file) {
  std::vector<std::string> lines;
  std::ifstream text(file);
  for (std::string line; std::getline(text, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

}  // namespace leasegateway::bench

#endif  // LEASE_GATEWAY_TESTS_BENCH_SAMPLES_H_
