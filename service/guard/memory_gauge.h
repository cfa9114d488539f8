#ifndef LEASE_GATEWAY_SERVICE_GUARD_MEMORY_GAUGE_H_
#define LEASE_GATEWAY_SERVICE_GUARD_MEMORY_GAUGE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace leasegateway {

// How much memory the process takes, and how much it may: `max_memory`, or the limit of its
// container (cgroup v2's memory.max, v1's memory.limit_in_bytes) or of a group around that,
// whichever leaves least. One thread. The files are held open: a reading is two or three calls of
// pread a group, some 10 µs, and sees a limit that was changed.
//
// Of https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html. Containers have
// their own group's files right in /sys/fs/cgroup (v1: /sys/fs/cgroup/memory), whatever path
// /proc/self/cgroup names; elsewhere that path leads to them from there.
class MemoryGauge {
 public:
  struct Reading {
    // Bytes: of the group without what the kernel can drop, or resident. That is files as it
    // keeps them, also those that were read again (inactive_file, active_file), and what it keeps
    // of their names (slab_reclaimable, which v1 doesn't tell).
    std::uint64_t used = 0;
    std::uint64_t limit = 0;  // bytes
  };
  // `max_memory` in bytes; 0: the container's limit alone. `root`: where /proc and /sys are, "" but
  // in tests.
  explicit MemoryGauge(std::uint64_t max_memory, const std::string& root = "");
  // None: there is no limit, or it can't be read.
  std::optional<Reading> Read() const;

 private:
  // Owns a descriptor.
  class File {
   public:
    explicit File(const std::string& path);
    ~File();
    File(File&& other) noexcept;
    File& operator=(File&&) = delete;

    // What is there now; empty when it can't be read.
    std::string_view Read(char* buffer, std::size_t size) const;
    // The number that is alone in it.
    std::optional<std::uint64_t> Number() const;
    // The number behind `name` and a space, at the beginning of a line.
    std::optional<std::uint64_t> Number(std::string_view name) const;
    bool open() const { return descriptor_ >= 0; }

   private:
    int descriptor_;
  };
  struct Group {
    File limit;
    File usage;
    File stat;
    std::span<const char* const> droppable;  // names in `stat`
    std::optional<Reading> Read() const;
  };

  void FindGroups(const std::string& root);
  // Those from `path` up to `mount`, as far as they have the files.
  void AddGroups(const std::string& mount, std::string path, bool v2);

  const std::uint64_t max_memory_;
  const File statm_;
  std::vector<Group> groups_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_MEMORY_GAUGE_H_
