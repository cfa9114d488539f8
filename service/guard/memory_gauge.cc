#include "service/guard/memory_gauge.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace leasegateway {

namespace {

// memory.stat of either version takes 2 to 4 KB.
constexpr std::size_t kLongestFile = 16 * 1024;
// v1 has no word for "no limit", only a number of the order of 2^63.
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 60;

constexpr const char* kDroppableV2[] = {"inactive_file", "active_file", "slab_reclaimable"};
constexpr const char* kDroppableV1[] = {"total_inactive_file", "total_active_file"};

std::optional<std::uint64_t> ParseNumber(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = end == text.data() + text.size() || *end == '\n' || *end == ' ';
  if (error != std::errc() || !whole) return std::nullopt;
  return number;
}

std::uint64_t Headroom(const MemoryGauge::Reading& reading) {
  return reading.limit - std::min(reading.limit, reading.used);
}

}  // namespace

MemoryGauge::File::File(const std::string& path)
    : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}

MemoryGauge::File::File(File&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

MemoryGauge::File::~File() {
  if (open()) ::close(descriptor_);
}

// The kernel writes these files anew for each read at their beginning.
std::string_view MemoryGauge::File::Read(char* buffer, std::size_t size) const {
  std::size_t length = 0;
  while (open() && length < size) {
    const ssize_t got =
        ::pread(descriptor_, buffer + length, size - length, static_cast<off_t>(length));
    if (got < 0) return {};
    if (got == 0) break;
    length += static_cast<std::size_t>(got);
  }
  return {buffer, length};
}

std::optional<std::uint64_t> MemoryGauge::File::Number() const {
  char buffer[64];
  return ParseNumber(Read(buffer, sizeof(buffer)));
}

std::optional<std::uint64_t> MemoryGauge::File::Number(std::string_view name) const {
  char buffer[kLongestFile];
  std::string_view text = Read(buffer, sizeof(buffer));
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.size() > name.size() && line.substr(0, name.size()) == name &&
        line[name.size()] == ' ') {
      return ParseNumber(line.substr(name.size() + 1));
    }
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return std::nullopt;
}

std::optional<MemoryGauge::Reading> MemoryGauge::Group::Read() const {
  const auto most = limit.Number();
  if (!most || *most >= kNoLimit) return std::nullopt;
  const auto all = usage.Number();
  if (!all) return std::nullopt;
  std::uint64_t drop = 0;
  for (const char* name : droppable) drop += std::min(stat.Number(name).value_or(0), *all);
  return Reading{.used = *all - std::min(*all, drop), .limit = *most};
}

MemoryGauge::MemoryGauge(std::uint64_t max_memory, const std::string& root)
    : max_memory_(max_memory), statm_(root + "/proc/self/statm") {
  FindGroups(root);
}

void MemoryGauge::FindGroups(const std::string& root) {
  const std::string mount = root + "/sys/fs/cgroup";
  std::string v1;
  std::string v2;
  std::ifstream in(root + "/proc/self/cgroup");
  // "hierarchy:controllers:path"; v2's hierarchy is 0, and names none.
  for (std::string line; std::getline(in, line);) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() < 3) continue;
    const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
    if (std::find(controllers.begin(), controllers.end(), "memory") != controllers.end()) {
      v1 = parts[2];
    } else if (parts[0] == "0" && parts[1].empty()) {
      v2 = parts[2];
    }
  }
  AddGroups(mount, v2, true);
  AddGroups(mount + "/memory", v1, false);
}

void MemoryGauge::AddGroups(const std::string& mount, std::string path, bool v2) {
  // Of a group outside of what is mounted: "/../other".
  if (!absl::StartsWith(path, "/") || absl::StrContains(path, "..")) path.clear();
  for (;;) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    const std::string folder = mount + path;
    Group group{.limit = File(folder + (v2 ? "/memory.max" : "/memory.limit_in_bytes")),
                .usage = File(folder + (v2 ? "/memory.current" : "/memory.usage_in_bytes")),
                .stat = File(folder + "/memory.stat"),
                .droppable = v2 ? std::span<const char* const>(kDroppableV2)
                                : std::span<const char* const>(kDroppableV1)};
    if (group.limit.open() && group.usage.open()) groups_.push_back(std::move(group));
    if (path.empty()) return;
    path.resize(path.rfind('/'));
  }
}

std::optional<MemoryGauge::Reading> MemoryGauge::Read() const {
  std::optional<Reading> least;
  const auto consider = [&](const Reading& reading) {
    if (!least || Headroom(reading) < Headroom(*least)) least = reading;
  };
  for (const Group& group : groups_) {
    if (const auto reading = group.Read()) consider(*reading);
  }
  if (max_memory_ == 0) return least;
  // "size resident shared ...", in pages.
  char buffer[256];
  const std::string_view statm = statm_.Read(buffer, sizeof(buffer));
  const std::size_t space = statm.find(' ');
  if (space == statm.npos) return least;
  if (const auto pages = ParseNumber(statm.substr(space + 1))) {
    consider({.used = *pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)),
              .limit = max_memory_});
  }
  return least;
}

}  // namespace leasegateway
