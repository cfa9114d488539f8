#include "service/guard/free_memory.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "service/guard/memory_gauge.h"

namespace leasegateway {
namespace {

std::uint64_t ResidentBytes() {
  const auto reading = MemoryGauge(1).Read();
  return reading ? reading->used : 0;
}

// As after an attack: of another thread's blocks all are freed by this one but those at the end,
// for which glibc keeps what lies before them.
TEST(FreeMemoryTest, WhatAnotherThreadAllocatedIsGivenBack) {
  for (const char* sanitizer : {"__asan_init", "__tsan_init"}) {
    if (::dlsym(RTLD_DEFAULT, sanitizer) != nullptr) GTEST_SKIP() << "it has a malloc of its own";
  }
  constexpr std::uint64_t kBytes = 64 << 20;
  constexpr std::size_t kBlock = 1024;
  std::vector<std::unique_ptr<char[]>> blocks(kBytes / kBlock);
  std::thread([&] {
    for (auto& block : blocks) block = std::make_unique<char[]>(kBlock);
  }).join();
  const std::uint64_t most = ResidentBytes();
  blocks.erase(blocks.begin(), blocks.end() - 1);
  ASSERT_GT(ResidentBytes(), most - kBytes / 4);
  ReturnFreeMemory();
  EXPECT_LT(ResidentBytes(), most - kBytes * 3 / 4);
}

TEST(FreeMemoryTest, OfThisThreadNothingIsDoneUnlessAsked) { ReturnFreeMemoryOfThisThread(); }

}  // namespace
}  // namespace leasegateway
