#include "upstream/availability/availability_history.h"

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/node_hash_map.h"
#include "absl/strings/string_view.h"
#include "upstream/availability/availability_table.h"

namespace leasegateway {

// The serialised numbers of all lists, each once, and the count of bytes.
class AvailabilityHistory::Entries {
 public:
  std::vector<SharedEntry*> Take(const AvailabilityTable& table) {
    std::vector<SharedEntry*> taken;
    taken.reserve(table.size());
    // Others get their turn in between.
    constexpr std::uint32_t kAtOnce = 1'000;
    for (std::uint32_t row = 0; row < table.size();) {
      const std::lock_guard lock(mutex_);
      for (const std::uint32_t end = row + kAtOnce; row < end && row < table.size(); ++row) {
        taken.push_back(TakeOne(table.Entry(row)));
      }
      CountSlots();
    }
    return taken;
  }

  void Release(const std::vector<SharedEntry*>& taken) {
    const std::lock_guard lock(mutex_);
    for (SharedEntry* const entry : taken) {
      if (--entry->second > 0) continue;
      bytes_ -= BytesOf(entry->first);
      map_.erase(entry->first);
    }
    if (map_.size() <= map_.capacity() / 8) map_.rehash(0);
    CountSlots();
  }

  void Count(std::size_t bytes) { bytes_ += bytes; }
  void Discount(std::size_t bytes) { bytes_ -= bytes; }
  std::size_t bytes() const { return bytes_; }

 private:
  SharedEntry* TakeOne(std::string_view number) {
    const absl::string_view key(number.data(), number.size());
    auto found = map_.find(key);
    if (found == map_.end()) {
      found = map_.try_emplace(std::string(number), 0).first;
      bytes_ += BytesOf(found->first);
    }
    ++found->second;
    return &*found;
  }

  // With what malloc adds to the two blocks: half of its 16 bytes of alignment each, on average.
  static std::size_t BytesOf(const std::string& number) {
    return sizeof(SharedEntry) + number.capacity() + 1 + 16;
  }

  // A pointer and a byte each. An empty map has none, although newer versions of Abseil count the
  // one that is within it.
  void CountSlots() {
    const std::size_t now = map_.empty() ? 0 : map_.capacity() * (sizeof(void*) + 1);
    bytes_ += now - std::exchange(slot_bytes_, now);
  }

  std::atomic<std::size_t> bytes_ = 0;
  std::mutex mutex_;  // guards all below
  absl::node_hash_map<std::string, std::uint32_t> map_;
  std::size_t slot_bytes_ = 0;
};

// Gives its entries back at its end.
struct AvailabilityHistory::Table : AvailabilityTable {
  Table(const AvailabilityTable& of, std::vector<SharedEntry*> taken, std::shared_ptr<Entries> from)
      : owner(std::move(from)) {
    static_cast<AvailabilityColumns&>(*this) = of;
    entries = std::move(taken);
    bytes = MemoryBytes();
    owner->Count(bytes);
  }
  ~Table() {
    owner->Release(entries);
    owner->Discount(bytes);
  }

  const std::shared_ptr<Entries> owner;
  std::size_t bytes;
};

AvailabilityHistory::AvailabilityHistory() : entries_(std::make_shared<Entries>()) {}

std::shared_ptr<const Availability> AvailabilityHistory::Add(const Availability& snapshot) {
  std::vector<SharedEntry*> taken = entries_->Take(*snapshot.table_);
  std::shared_ptr<const AvailabilityTable> table;
  {
    const std::lock_guard lock(mutex_);
    table = latest_.lock();
  }
  if (table && table->entries == taken) {
    entries_->Release(taken);
  } else {
    table = std::make_shared<const Table>(*snapshot.table_, std::move(taken), entries_);
    const std::lock_guard lock(mutex_);
    latest_ = table;
  }
  const auto* const result =
      new Availability(std::move(table), snapshot.metadata_, snapshot.removed_, {}, nullptr);
  const std::size_t own_bytes = result->OwnBytes();
  entries_->Count(own_bytes);
  return {result, [entries = entries_, own_bytes](const Availability* gone) {
            delete gone;
            entries->Discount(own_bytes);
          }};
}

std::size_t AvailabilityHistory::MemoryBytes() const { return entries_->bytes(); }

}  // namespace leasegateway
