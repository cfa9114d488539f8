#include "service/admin/process_stats.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

namespace leasegateway {
namespace {

double OpenFiles() {
  DIR* const folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  double count = 0;
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return std::max(0.0, count - 3);  // ".", ".." and the folder itself
}

// Seconds since 1970 at which the machine was started.
double BootTime() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    double value = 0;
    if (word == "btime" && file >> value) return value;
  }
  return 0;
}

}  // namespace

ProcessStats ReadProcessStats() {
  ProcessStats process;
  std::ifstream file("/proc/self/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  // After the name in parentheses, which may hold anything, come the fields from the third on.
  std::istringstream rest(text.substr(std::min(text.rfind(')') + 1, text.size())));
  std::vector<std::string> fields{std::istream_iterator<std::string>(rest), {}};
  const auto field = [&](std::size_t number) {
    return number - 3 < fields.size() ? std::strtod(fields[number - 3].c_str(), nullptr) : 0.0;
  };
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  process.cpu_seconds = (field(14) + field(15)) / ticks;
  process.threads = field(20);
  static const double boot_time = BootTime();
  process.start_time = boot_time + field(22) / ticks;
  process.virtual_bytes = field(23);
  process.resident_bytes = field(24) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  process.open_files = OpenFiles();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    process.max_files = static_cast<double>(limit.rlim_cur);
  }
  return process;
}

}  // namespace leasegateway
