#include "service/guard/free_memory.h"

#include <malloc.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

// There if the program is linked with the one or the other; their headers are not needed.
extern "C" {
[[gnu::weak]] int mallctl(const char* name, void* old_value, std::size_t* old_size, void* new_value,
                          std::size_t new_size);
[[gnu::weak]] void mi_collect(bool force);
[[gnu::weak]] void mi_option_set(int option, long value);
[[gnu::weak]] long mi_option_get(int option);
}

namespace leasegateway {

namespace {

std::atomic<std::uint64_t> asked{0};
std::atomic<int> collecting{0};
thread_local std::uint64_t done = 0;

// mi_option_decommit_delay of mimalloc 2.0, purge_delay since 2.1, in milliseconds. What mi_collect
// frees is given back after it, by a later call of the thread, which an idle one never makes.
constexpr int kDecommitDelay = 15;

}  // namespace

void ReturnFreeMemory() {
  if (mallctl != nullptr) {
    // 4096 is MALLCTL_ARENAS_ALL: all arenas.
    mallctl("arena.4096.purge", nullptr, nullptr, nullptr, 0);
  } else if (mi_collect != nullptr) {
    asked.fetch_add(1, std::memory_order_relaxed);
    ReturnFreeMemoryOfThisThread();
  } else {
    ::malloc_trim(0);
  }
}

void ReturnFreeMemoryOfThisThread() {
  const std::uint64_t now = asked.load(std::memory_order_relaxed);
  if (now == done) return;
  done = now;
  // Zero for the others as well in the meantime, which costs them some calls of madvise.
  static const long delay = mi_option_get(kDecommitDelay);
  if (collecting.fetch_add(1) == 0) mi_option_set(kDecommitDelay, 0);
  mi_collect(true);
  if (collecting.fetch_sub(1) == 1) mi_option_set(kDecommitDelay, delay);
}

}  // namespace leasegateway
