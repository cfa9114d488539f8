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
}

namespace leasegateway {

namespace {

std::atomic<std::uint64_t> asked{0};
thread_local std::uint64_t done = 0;

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
  mi_collect(true);
}

}  // namespace leasegateway
