#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_SHARED_LISTS_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_SHARED_LISTS_H_

#include <array>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace leasegateway {

enum class SharedList { kNumbers, kLeases };  // the index of arrays below
inline constexpr std::size_t kSharedLists = 2;

// One entry of the log. Its content is as list_delta.h encodes it.
struct LogEntry {
  enum class Kind { kWrite, kNumbers, kLeases };
  Kind kind = Kind::kWrite;
  std::uint64_t sequence = 0;  // from 1 on, without a gap
  std::int64_t mark = 0;       // chosen at random by who appended it: it tells entries apart that
                               // got the same number because the database lost one
  // kWrite: who appended it, and its number there. Both 0 for others.
  std::uint64_t writer = 0;
  std::uint64_t writer_count = 0;
  bool is_whole = false;    // of a list: the difference to nothing
  bool is_readable = true;  // false: of a newer version, or broken; `content` is empty then
  std::string content;      // kWrite: a LoggedWrite; otherwise a ListDelta
};

// What the log's head says of a list.
struct SharedFetch {
  std::int64_t time = 0;  // when the provider was asked, by the database's clock; 0: never
  // The same by this process's clock: not later than it was.
  std::chrono::steady_clock::time_point sent;
  std::uint64_t seen = 0;  // the provider's answer shows all writes up to this entry
  std::string metadata;    // a serialised ResponseMetadata
  // Where the list was last stored as a whole, 0: nowhere, or it is not kept any more; in how many
  // bytes, and how many differences to it have taken since.
  std::uint64_t whole_at = 0;
  std::size_t whole_bytes = 0;
  std::size_t delta_bytes = 0;
};

// A write to be appended.
struct WriteToLog {
  std::uint64_t count = 0;  // its number at this replica: a second copy is not appended
  std::string content;      // a LoggedWrite
};
// Asks for the right to ask the provider for a list. It is given to one replica at a time, for a
// while, and to nobody when the list has become as new meanwhile.
struct ClaimRequest {
  SharedList list = SharedList::kNumbers;
  std::int64_t known_time = 0;  // a list fetched later than this will do,
  std::optional<std::chrono::steady_clock::time_point> not_before;  // but not one older than this,
  std::uint64_t min_seen = 0;  // nor one that shows less than the writes up to this entry
};
// An answer of the provider. It is taken only when the log ends at `at`, with that entry's mark.
struct RefreshToLog {
  SharedList list = SharedList::kNumbers;
  std::uint64_t at = 0;
  std::int64_t mark = 0;
  std::chrono::steady_clock::time_point sent;
  std::uint64_t seen = 0;
  std::string metadata;
  std::optional<std::string> delta;       // a ListDelta; nothing: the list is as it was
  bool is_whole = false;                  // the delta is to nothing
  std::optional<std::string> checkpoint;  // the list after, as the difference to nothing
};

// All parts are done in one transaction, in this order, before the log is read.
struct LogRequest {
  std::vector<WriteToLog> writes;
  std::optional<ClaimRequest> claim;
  std::optional<SharedList> release;  // gives a claim back
  std::optional<RefreshToLog> refresh;
  // What this replica has read: of which log, up to which entry, and that entry's mark.
  std::uint64_t log = 0;  // 0: nothing
  std::uint64_t after = 0;
  std::int64_t after_mark = 0;
};

struct LogPage {
  std::uint64_t log = 0;       // an id, made at random with the log
  std::uint64_t sequence = 0;  // of the latest entry
  std::int64_t mark = 0;       // of the latest entry; 0: not known
  std::string key;             // the account's secret, for signing tokens
  std::int64_t time = 0;       // of reading it, as SharedFetch::time; 0: not known
  std::array<SharedFetch, kSharedLists> fetches;
  bool claimed = false;    // the claim was given
  bool refreshed = false;  // the refresh was taken
  // What this replica has read is not in the log, or what follows it is not there any more: it has
  // to be restored. There are no entries then.
  bool is_lost = false;
  std::vector<LogEntry> entries;  // after `after`, oldest first; perhaps not all
};

// A list as of an entry.
struct RestoredList {
  std::optional<LogEntry> whole;  // nothing: the log does not know the list
  std::vector<LogEntry> entries;  // after it, up to the one that was asked for
};

// The log of an account's lists that replicas share. Each entry is a write, or a refresh of a list:
// who applies them in their order has, at the same number, the same lists. Errors are those of a
// database: UNAVAILABLE, nothing was done; UNKNOWN, it may have been. Thread-safe; awaited on a
// strand, ends by its deadline.
class SharedLists {
 public:
  virtual ~SharedLists() = default;

  // This process, among the writers of entries.
  virtual std::uint64_t writer() const = 0;

  virtual boost::asio::awaitable<absl::StatusOr<LogPage>> Exchange(
      LogRequest request, std::chrono::steady_clock::time_point deadline) = 0;

  // NOT_FOUND: the log does not reach back so far.
  virtual boost::asio::awaitable<absl::StatusOr<RestoredList>> Restore(
      SharedList list, std::uint64_t at, std::chrono::steady_clock::time_point deadline) = 0;

  // `heard` is called, on any thread, when there may be something to read, until the result is
  // gone. It must not wait.
  virtual std::shared_ptr<void> OnNews(std::function<void()> heard) = 0;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_SHARED_LISTS_H_
