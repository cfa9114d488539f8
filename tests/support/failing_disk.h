#ifndef LEASE_GATEWAY_TESTS_SUPPORT_FAILING_DISK_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_FAILING_DISK_H_

#include <sqlite3.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace leasegateway {

// A disk that can be told to fail.

// What SQLite's file functions do in this process; all else is the system's.
struct Disk {
  std::atomic<int> write_error{SQLITE_OK};
  std::atomic<int> flush_error{SQLITE_OK};
  std::atomic<bool> unflushed{false};  // the log has something that a loss of power would take
  std::mutex mutex;
  std::condition_variable changed;
  bool hold = false;  // flushes wait
  int holding = 0;    // that wait

  void Hold() {
    const std::lock_guard lock(mutex);
    hold = true;
  }
  void WaitUntilHeld() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return holding > 0; });
  }
  void Release() {
    const std::lock_guard lock(mutex);
    hold = false;
    changed.notify_all();
  }
};
inline Disk disk;

struct DiskFile {
  sqlite3_file base;
  bool is_log;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

inline sqlite3_vfs* real_vfs = nullptr;

inline DiskFile& Of(sqlite3_file* file) { return *reinterpret_cast<DiskFile*>(file); }

template <auto Method, typename... Arguments>
int Forward(sqlite3_file* file, Arguments... arguments) {
  sqlite3_file* real = Of(file).real();
  return (real->pMethods->*Method)(real, arguments...);
}

inline int Write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  if (disk.write_error != SQLITE_OK) return disk.write_error;
  if (Of(file).is_log) disk.unflushed = true;
  return Forward<&sqlite3_io_methods::xWrite>(file, data, size, offset);
}

inline int Flush(sqlite3_file* file, int flags) {
  {
    std::unique_lock lock(disk.mutex);
    ++disk.holding;
    disk.changed.notify_all();
    disk.changed.wait(lock, [] { return !disk.hold; });
    --disk.holding;
  }
  if (disk.flush_error != SQLITE_OK) return disk.flush_error;
  if (Of(file).is_log) disk.unflushed = false;
  return Forward<&sqlite3_io_methods::xSync>(file, flags);
}

inline constexpr sqlite3_io_methods kMethods = {
    .iVersion = 1,
    .xClose = Forward<&sqlite3_io_methods::xClose>,
    .xRead = Forward<&sqlite3_io_methods::xRead, void*, int, sqlite3_int64>,
    .xWrite = Write,
    .xTruncate = Forward<&sqlite3_io_methods::xTruncate, sqlite3_int64>,
    .xSync = Flush,
    .xFileSize = Forward<&sqlite3_io_methods::xFileSize, sqlite3_int64*>,
    .xLock = Forward<&sqlite3_io_methods::xLock, int>,
    .xUnlock = Forward<&sqlite3_io_methods::xUnlock, int>,
    .xCheckReservedLock = Forward<&sqlite3_io_methods::xCheckReservedLock, int*>,
    .xFileControl = Forward<&sqlite3_io_methods::xFileControl, int, void*>,
    .xSectorSize = Forward<&sqlite3_io_methods::xSectorSize>,
    .xDeviceCharacteristics = Forward<&sqlite3_io_methods::xDeviceCharacteristics>,
    .xShmMap = nullptr,
    .xShmLock = nullptr,
    .xShmBarrier = nullptr,
    .xShmUnmap = nullptr,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

inline int OpenFile(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
  DiskFile& opened = Of(file);
  opened.is_log = (flags & SQLITE_OPEN_WAL) != 0;
  const int code = real_vfs->xOpen(real_vfs, name, opened.real(), flags, out);
  file->pMethods = opened.real()->pMethods == nullptr ? nullptr : &kMethods;
  return code;
}

inline const bool disk_is_ours = [] {
  static sqlite3_vfs vfs;
  real_vfs = sqlite3_vfs_find(nullptr);
  vfs = *real_vfs;
  vfs.zName = "disk";
  vfs.pNext = nullptr;
  vfs.szOsFile = static_cast<int>(sizeof(DiskFile)) + real_vfs->szOsFile;
  vfs.xOpen = OpenFile;
  return sqlite3_vfs_register(&vfs, 1) == SQLITE_OK;
}();

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_FAILING_DISK_H_
