#include "service/guard/memory_gauge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace leasegateway {

// In GoogleTest's way: named so that it is found.
static void PrintTo(const MemoryGauge::Reading& reading, std::ostream* out) {
  *out << reading.used << " of " << reading.limit;
}

namespace {

constexpr std::uint64_t kMiB = 1 << 20;

MATCHER_P2(IsReading, used, limit, "") {
  return arg && arg->used == static_cast<std::uint64_t>(used) &&
         arg->limit == static_cast<std::uint64_t>(limit);
}

// A tree of files as the kernel has them, in a folder of its own.
class MemoryGaugeTest : public ::testing::Test {
 protected:
  MemoryGaugeTest() {
    char name[] = "/tmp/memory_gauge_test.XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~MemoryGaugeTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void V2(const std::string& path, const std::string& limit, std::uint64_t usage,
          std::uint64_t inactive_file) {
    const std::string folder = "/sys/fs/cgroup" + path;
    Write(folder + "/memory.max", limit + "\n");
    Write(folder + "/memory.current", std::to_string(usage) + "\n");
    Write(folder + "/memory.stat", "anon 1\nfile 2\ninactive_anon 3\ninactive_file " +
                                       std::to_string(inactive_file) + "\nunevictable 4\n");
  }
  void V1(const std::string& path, const std::string& limit, std::uint64_t usage,
          std::uint64_t inactive_file) {
    const std::string folder = "/sys/fs/cgroup/memory" + path;
    Write(folder + "/memory.limit_in_bytes", limit + "\n");
    Write(folder + "/memory.usage_in_bytes", std::to_string(usage) + "\n");
    Write(folder + "/memory.stat", "cache 1\ninactive_file 2\ntotal_cache 3\ntotal_inactive_file " +
                                       std::to_string(inactive_file) + "\n");
  }
  void Cgroup(const std::string& text) { Write("/proc/self/cgroup", text); }
  void ResidentPages(const std::string& pages) {
    Write("/proc/self/statm", "90000 " + pages + " 70 60 0 50 0\n");
  }
  std::optional<MemoryGauge::Reading> Read(std::uint64_t max_memory = 0) {
    return MemoryGauge(max_memory, root_).Read();
  }

  const std::uint64_t page_ = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  std::string root_;
};

TEST_F(MemoryGaugeTest, NoGroupAndNoLimit) {
  EXPECT_EQ(Read(), std::nullopt);
  Cgroup("0::/\n");
  EXPECT_EQ(Read(), std::nullopt);
}

TEST_F(MemoryGaugeTest, V2InAContainer) {
  Cgroup("0::/\n");
  V2("", "1000", 700, 200);
  EXPECT_THAT(Read(), IsReading(500, 1000));
}

TEST_F(MemoryGaugeTest, V2WithoutLimit) {
  Cgroup("0::/\n");
  V2("", "max", 700, 200);
  EXPECT_EQ(Read(), std::nullopt);
}

TEST_F(MemoryGaugeTest, V2OfTheGroupThatTheProcessIsIn) {
  Cgroup("0::/system.slice/gateway.service\n");
  V2("/system.slice/gateway.service", "1000", 700, 200);
  V2("/system.slice/other.service", "600", 599, 0);
  EXPECT_THAT(Read(), IsReading(500, 1000));
}

TEST_F(MemoryGaugeTest, OfNestedGroupsTheOneThatLeavesLeast) {
  Cgroup("0::/pod/container/inner\n");
  V2("/pod/container/inner", "max", 500, 0);
  V2("/pod/container", "2000", 600, 0);
  V2("/pod", "1500", 800, 0);
  EXPECT_THAT(Read(), IsReading(800, 1500));
  V2("/pod", "3000", 800, 0);
  EXPECT_THAT(Read(), IsReading(600, 2000));
  V2("/pod", "3000", 2900, 0);
  EXPECT_THAT(Read(), IsReading(2900, 3000)) << "what others in the pod take";
  V2("/pod", "700", 800, 0);
  EXPECT_THAT(Read(), IsReading(800, 700)) << "more than there may be, as after a lowered limit";
}

TEST_F(MemoryGaugeTest, APathThatIsNotMountedLeadsToTheMountItself) {
  for (const char* path : {"/kubepods/pod1/container1", "/../container1", "/..", "nonsense"}) {
    Cgroup(std::string("0::") + path + "\n");
    V2("", "1000", 700, 200);
    V2("/../container1", "600", 599, 0);
    EXPECT_THAT(Read(), IsReading(500, 1000)) << path;
  }
}

TEST_F(MemoryGaugeTest, V1InAContainer) {
  Cgroup("9:name=systemd:/docker/abc\n4:memory:/docker/abc\n0::/docker/abc\n");
  V1("", "1000", 700, 200);
  EXPECT_THAT(Read(), IsReading(500, 1000));
}

TEST_F(MemoryGaugeTest, V1NestedAndTogetherWithOthers) {
  Cgroup("4:cpuset,memory:/a/b\n3:cpu,cpuacct:/c\n0::/\n");
  V1("", "9223372036854771712", 90'000, 0);
  V1("/a", "2000", 600, 100);
  V1("/a/b", "1000", 300, 0);
  V1("/c", "400", 399, 0);
  EXPECT_THAT(Read(), IsReading(300, 1000));
}

TEST_F(MemoryGaugeTest, V1WithoutLimit) {
  Cgroup("4:memory:/\n");
  for (const char* most : {"9223372036854771712", "18446744073709551615", "-1"}) {
    V1("", most, 700, 200);
    EXPECT_EQ(Read(), std::nullopt) << most;
  }
}

TEST_F(MemoryGaugeTest, BothVersionsMounted) {
  Cgroup("4:memory:/a\n0::/b\n");
  Write("/sys/fs/cgroup/unified/cgroup.procs", "1\n");
  V1("/a", "1000", 700, 200);
  EXPECT_THAT(Read(), IsReading(500, 1000));
}

TEST_F(MemoryGaugeTest, WithoutThePathTheMountIsRead) {
  V2("", "1000", 700, 200);
  EXPECT_THAT(Read(), IsReading(500, 1000)) << "no /proc/self/cgroup";
  for (const char* text : {"", "\n\n", "::", "0:\n", "\x01\xff\n", "0::"}) {
    Cgroup(text);
    EXPECT_THAT(Read(), IsReading(500, 1000)) << text;
  }
}

TEST_F(MemoryGaugeTest, NonsenseIsNoLimit) {
  for (const char* most : {"", "\n", "many", "12many", "-5", "99999999999999999999999", "0x100"}) {
    V2("", most, 700, 200);
    EXPECT_EQ(Read(), std::nullopt) << most;
  }
  V2("", "1000", 700, 200);
  Write("/sys/fs/cgroup/memory.current", "much\n");
  EXPECT_EQ(Read(), std::nullopt);
}

TEST_F(MemoryGaugeTest, WhatTheKernelCanDropDoesNotCount) {
  V2("", "1000", 700, 0);
  Write("/sys/fs/cgroup/memory.stat",
        "anon 1\ninactive_file 200\nactive_file 100\nslab_reclaimable 30\nslab_unreclaimable 7\n");
  EXPECT_THAT(Read(), IsReading(370, 1000));
  Write("/sys/fs/cgroup/memory.stat", "inactive_file 18446744073709551615\nactive_file 900\n");
  EXPECT_THAT(Read(), IsReading(0, 1000)) << "no more than all";
}

TEST_F(MemoryGaugeTest, V1WhatTheKernelCanDropDoesNotCount) {
  Cgroup("4:memory:/\n");
  V1("", "1000", 700, 0);
  Write("/sys/fs/cgroup/memory/memory.stat",
        "inactive_file 1\nactive_file 2\ntotal_inactive_file 200\ntotal_active_file 100\n");
  EXPECT_THAT(Read(), IsReading(400, 1000));
}

TEST_F(MemoryGaugeTest, WithoutWhatCanBeDroppedAllCounts) {
  V2("", "1000", 700, 200);
  for (const char* stat : {"", "inactive_file\n", "inactive_file many\n", "inactive_files 200\n",
                           "inactive_files200\n", "total_inactive_file 200\n"}) {
    Write("/sys/fs/cgroup/memory.stat", stat);
    EXPECT_THAT(Read(), IsReading(700, 1000)) << stat;
  }
  std::filesystem::remove(root_ + "/sys/fs/cgroup/memory.stat");
  EXPECT_THAT(Read(), IsReading(700, 1000)) << "no such file";
  V2("", "1000", 700, 900);
  EXPECT_THAT(Read(), IsReading(0, 1000)) << "read at another time than the rest";
}

TEST_F(MemoryGaugeTest, AFolderInPlaceOfAFileIsNoLimit) {
  V2("", "1000", 700, 200);
  std::filesystem::remove(root_ + "/sys/fs/cgroup/memory.max");
  std::filesystem::create_directories(root_ + "/sys/fs/cgroup/memory.max");
  EXPECT_EQ(Read(), std::nullopt);
}

TEST_F(MemoryGaugeTest, ALongStatIsReadToItsEnd) {
  V2("", "1000", 700, 200);
  std::string stat;
  for (int i = 0; i < 300; ++i) stat += "a_name_of_the_kernel_" + std::to_string(i) + " 123\n";
  Write("/sys/fs/cgroup/memory.stat", stat + "inactive_file 200\n");
  EXPECT_THAT(Read(), IsReading(500, 1000));
}

TEST_F(MemoryGaugeTest, MaxMemoryIsOfWhatIsResident) {
  ResidentPages("300");
  EXPECT_THAT(Read(kMiB * 4), IsReading(300 * page_, kMiB * 4));
  EXPECT_EQ(Read(0), std::nullopt);
}

TEST_F(MemoryGaugeTest, WhicheverLeavesLess) {
  ResidentPages("300");
  V2("", std::to_string(300 * page_ + 500), 200 * page_, 0);
  EXPECT_THAT(Read(300 * page_ + 400), IsReading(300 * page_, 300 * page_ + 400));
  EXPECT_THAT(Read(400 * page_ + 501), IsReading(200 * page_, 300 * page_ + 500));
  EXPECT_THAT(Read(1), IsReading(300 * page_, 1));
}

TEST_F(MemoryGaugeTest, WithoutStatmTheContainersLimitHolds) {
  V2("", "1000", 700, 200);
  EXPECT_THAT(Read(100), IsReading(500, 1000));
  for (const char* statm : {"", "12345", "12345 ", "12345 many 3", "12345 -1 3"}) {
    Write("/proc/self/statm", statm);
    EXPECT_THAT(Read(100), IsReading(500, 1000)) << statm;
  }
}

TEST_F(MemoryGaugeTest, SeesWhatChanges) {
  V2("", "1000", 700, 200);
  ResidentPages("1");
  const MemoryGauge gauge(page_ + 700, root_);
  EXPECT_THAT(gauge.Read(), IsReading(500, 1000));
  V2("", "1000", 900, 300);
  EXPECT_THAT(gauge.Read(), IsReading(600, 1000));
  V2("", "max", 900, 300);
  EXPECT_THAT(gauge.Read(), IsReading(page_, page_ + 700));
  V2("", "640", 900, 300);
  EXPECT_THAT(gauge.Read(), IsReading(600, 640));
}

TEST(MemoryGaugeOfThisProcessTest, ReadsWhatIsResident) {
  const std::uint64_t much = std::uint64_t{1} << 50;
  const auto reading = MemoryGauge(1).Read();
  ASSERT_TRUE(reading);
  EXPECT_GT(reading->used, kMiB);
  EXPECT_LT(reading->used, much);
}

}  // namespace
}  // namespace leasegateway
