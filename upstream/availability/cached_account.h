#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CACHED_ACCOUNT_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CACHED_ACCOUNT_H_

#include <array>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/availability/availability.h"
#include "upstream/availability/cache_environment.h"
#include "upstream/availability/cache_stats.h"
#include "upstream/availability/change_log.h"
#include "upstream/availability/freshness.h"
#include "upstream/availability/logged_lists.h"
#include "upstream/availability/read_flight.h"
#include "upstream/availability/shared_lists.h"
#include "upstream/availability/write_overlay.h"
#include "upstream/lease_api.h"

namespace leasegateway {

// What memory keeps of an account, each immutable.
struct AvailableValue {
  std::shared_ptr<const Availability> numbers;
  std::uint64_t version = 0;
  Stamp stamp;
  bool is_shared = false;  // what the shared log has, perhaps with writes that are not there yet
};
struct LeasesValue {
  ReplyBytes reply;  // ListLeasesResponse
  Stamp stamp;
  bool is_shared = false;
};
struct NumberValue {
  absl::Status status;  // NOT_FOUND: the provider does not know it
  ReplyBytes reply;     // GetNumberResponse
  bool leasable = false;
  Stamp stamp;
};

// A list as the provider has answered it, without the writes that are laid over it; and what to ask
// with for the next, so that none has to come if it is still that one. Guarded by the account's
// lock.
template <typename List>
struct AnsweredList {
  Validators validators;  // empty: there is no list
  List list = {};
  std::uint64_t writes = 0;  // that had returned when it was asked for
};

// Where one value lives. Guarded by the account's lock.
template <typename Value>
struct CachedValue {
  std::shared_ptr<const Value> value;         // null: none
  std::shared_ptr<ReadFlight<Value>> flight;  // the latest; null: none
  std::uint64_t min_writes = 0;               // a value has to have seen so many writes
  std::uint64_t last_change = 0;  // of a list: the latest write that may have changed it
  RefreshPace pace;
  std::chrono::steady_clock::time_point last_used =
      std::chrono::steady_clock::time_point::min();  // by a reader
  bool refresh_scheduled = false;                    // of a list
  bool drop_scheduled = false;                       // of a list, once it is idle
};

// An answer that memory has.
struct Found {
  std::shared_ptr<const Availability> numbers;
  std::uint64_t version = 0;
  ReplyBytes reply;
  absl::Status status;  // of a number: not OK when the provider does not know it
  std::chrono::steady_clock::time_point sent;
  bool outdated = false;     // by a write
  bool from_list = false;    // a number out of the list
  bool from_others = false;  // the request that was waited for was another replica's
  CacheOutcome outcome;
};

// A state of the available numbers that other replicas know too: an entry of a log.
struct LoggedState {
  std::uint64_t log = 0;
  std::uint64_t sequence = 0;
};

// What was written, up to a point, as a reader can ask for it: a log and an entry, or a process and
// the number of its writes. Without an origin nobody knows what it includes.
struct WritesSeen {
  std::uint64_t origin = 0;
  std::uint64_t count = 0;
};

// The memory of one account: what was read, the flights that bring more, the writes that are laid
// over it, and the changes for those who watch. CachingLeaseApi is its door. It is an object of its
// own because flights share it and may end after the layer has gone; the layers below live as long.
//
// Thread-safe: one mutex, held for look-ups and for swapping snapshots that were built outside.
// Functions whose names end in Locked want it held.
class CachedAccount : public std::enable_shared_from_this<CachedAccount> {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `shared`: the log that it has in common with other replicas. Null: none.
  CachedAccount(std::unique_ptr<LeaseApi> inner, const CachePolicy& policy,
                CacheEnvironment environment, std::shared_ptr<SharedLists> shared);

  // Follows the log from now on. Once, before all else but the constructor.
  void Start();

  // Cancels all flights; no new one begins.
  void Stop();
  // Called after each change of availability, while no lock is held. Set once, before all else.
  void SetListener(std::function<void()> listener) { listener_ = std::move(listener); }
  LeaseApi& inner() { return *inner_; }

  // What memory can answer at once; nothing when the provider has to be asked.
  std::optional<Found> PeekAvailable(MaxStaleness max_staleness);
  std::optional<Found> PeekLeases(MaxStaleness max_staleness);
  std::optional<Found> PeekNumber(std::string_view phone_number, MaxStaleness max_staleness);

  // From memory or from the provider; awaited on a strand.
  boost::asio::awaitable<absl::StatusOr<Found>> FindAvailable(CallContext context);
  boost::asio::awaitable<absl::StatusOr<Found>> FindLeases(CallContext context);
  boost::asio::awaitable<absl::StatusOr<Found>> FindNumber(CallContext context,
                                                           std::string phone_number);

  // The first of the changes after a version.
  std::optional<std::vector<AvailabilityChange>> ChangesSince(std::uint64_t version);
  CacheStats stats() const;
  // How old a list gets before it is refreshed.
  std::chrono::milliseconds fresh() const { return policy_.fresh; }

  // --- with a shared log; without, they know nothing ---
  // Reads the lists that the log has; whether that came about by the deadline.
  boost::asio::awaitable<bool> Load(TimePoint deadline);
  // The log's entry that shows the numbers as of a version.
  std::optional<LoggedState> EntryOf(std::uint64_t version) const;
  // The numbers as of an entry; null when they are gone.
  boost::asio::awaitable<std::shared_ptr<const Availability>> NumbersAt(LoggedState state,
                                                                        TimePoint deadline);
  // What has changed from an entry to a version, from where ChangesSince goes on.
  boost::asio::awaitable<std::optional<AvailabilityChange>> ChangeFrom(LoggedState state,
                                                                       TimePoint deadline);
  std::string SharedKey() const;

  // --- reads that include a write ---
  // Whether there are writes that other replicas made.
  bool is_shared() const { return shared_ != nullptr; }
  // What includes all writes that have returned here. Waits for the log, by the deadline at most.
  boost::asio::awaitable<WritesSeen> SeenNow(TimePoint deadline);
  // Whether memory includes them already.
  bool HasSeen(const WritesSeen& seen) const;
  // Reads the log where that helps. Whether memory includes them then.
  boost::asio::awaitable<bool> CatchUp(WritesSeen seen, TimePoint deadline);

  // Makes memory show a write, before its caller hears of it.
  void Written(Write write);

 private:
  using Launch = std::function<void()>;  // to be called without the lock; may be empty
  template <typename Value>
  using Cell = CachedValue<Value>;
  template <typename Value>
  using Result = absl::StatusOr<std::shared_ptr<const Value>>;

  // --- look-ups: cached_account.cc ---
  std::optional<Found> LookUpLocked(const Cell<AvailableValue>& cell, std::string_view) const;
  std::optional<Found> LookUpLocked(const Cell<LeasesValue>& cell, std::string_view) const;
  // The newer of what the list says and what was said of the number alone.
  std::optional<Found> LookUpLocked(const Cell<NumberValue>& cell,
                                    std::string_view phone_number) const;
  std::optional<Found> LookUpInListLocked(std::string_view phone_number) const;
  // The number's cell, made when it is not there, as the one last used.
  std::shared_ptr<Cell<NumberValue>>& NumberCellLocked(const std::string& phone_number);
  // The pace at which what was found can be asked for again. A number of the list has two ways to
  // be, and rests while either does.
  template <typename Value>
  const RefreshPace& PaceLocked(const Cell<Value>& cell, const std::optional<Found>& found) const;

  template <typename Value>
  std::optional<Found> Peek(const std::shared_ptr<Cell<Value>>& cell, MaxStaleness max_staleness);
  template <typename Value>
  std::optional<Found> PeekLocked(const std::shared_ptr<Cell<Value>>& cell, std::string_view key,
                                  MaxStaleness max_staleness, Launch* launch);
  template <typename Value>
  boost::asio::awaitable<absl::StatusOr<Found>> Find(CallContext context,
                                                     std::shared_ptr<Cell<Value>> cell,
                                                     std::string key);
  // The same, but what another replica had asked for before may be older than the call wants.
  template <typename Value>
  boost::asio::awaitable<absl::StatusOr<Found>> FindOnce(CallContext context,
                                                         std::shared_ptr<Cell<Value>> cell,
                                                         std::string key);
  // What FindOnce begins with: the answer that memory has, or the flight to wait for and what to
  // use when it brings nothing.
  template <typename Value>
  struct Joined {
    std::shared_ptr<ReadFlight<Value>> flight;  // null: `found` is the answer
    std::optional<Found> found;
  };
  template <typename Value>
  Joined<Value> JoinLocked(const CallContext& context, const std::shared_ptr<Cell<Value>>& cell,
                           const std::string& key, const std::shared_ptr<Wakeup>& waiter,
                           Launch* launch);
  // What Find ends with, once its wait is over. Leaves in `joined` what may be large to free.
  template <typename Value>
  absl::StatusOr<Found> ConcludeLocked(const CallContext& context, Cell<Value>& cell,
                                       Joined<Value>&& joined,
                                       const std::shared_ptr<Wakeup>& waiter, bool cancelled);
  template <typename Value>
  Found LandedLocked(CacheOutcome& outcome, const Cell<Value>& cell,
                     const ReadFlight<Value>& flight) const;

  // --- flights: cached_account_flights.cc ---
  // A flight; `launch` sends it off. For a call, or with null to refresh memory.
  template <typename Value>
  std::shared_ptr<ReadFlight<Value>> PrepareLocked(const std::shared_ptr<Cell<Value>>& cell,
                                                   const std::string& key,
                                                   const CallContext* caller, Launch* launch);
  template <typename Value>
  void Land(const std::shared_ptr<Cell<Value>>& cell, ReadFlight<Value>& flight,
            Result<Value> result);
  // When a caller went away: a request that nobody waits for any more does not keep a connection
  // from others.
  template <typename Value>
  static void AbandonIfAloneLocked(Cell<Value>& cell,
                                   const std::shared_ptr<ReadFlight<Value>>& flight);
  // Sends off a refresh, unless one is under way that sees all writes.
  template <typename Value>
  Launch RefreshLocked(const std::shared_ptr<Cell<Value>>& cell, const std::string& key);
  // Where what was found came from.
  template <typename Value>
  Launch RefreshSourceLocked(const std::shared_ptr<Cell<Value>>& cell, const std::string& key,
                             const Found& found);
  // The next refresh of a list. A list that is always asked for has none; numbers are refreshed
  // when they are read.
  template <typename Value>
  Launch ScheduleRefreshLocked(const std::shared_ptr<Cell<Value>>& cell);
  template <typename Value>
  void RefreshDue(const std::shared_ptr<Cell<Value>>& cell);
  template <typename Value>
  bool IsIdle(const Cell<Value>& cell) const;
  template <typename Value>
  void ScheduleDrop(const std::shared_ptr<Cell<Value>>& cell, std::chrono::milliseconds pause);
  template <typename Value>
  void DropIfIdle(const std::shared_ptr<Cell<Value>>& cell);
  CacheStats::Refreshes& RefreshesOf(const Cell<AvailableValue>&) { return refreshes_.available; }
  CacheStats::Refreshes& RefreshesOf(const Cell<LeasesValue>&) { return refreshes_.leases; }
  CacheStats::Refreshes& RefreshesOf(const Cell<NumberValue>&) { return refreshes_.numbers; }
  template <typename Value>
  void CountUnchanged(const Cell<Value>& cell) {
    const std::lock_guard lock(mutex_);
    ++RefreshesOf(cell).unchanged;
  }
  bool IsStopped();
  // Answers of the provider become values.
  static boost::asio::awaitable<Result<AvailableValue>> Fetch(
      std::shared_ptr<CachedAccount> self, std::shared_ptr<Cell<AvailableValue>> cell,
      std::string key, CallContext context, Stamp stamp);
  static boost::asio::awaitable<Result<LeasesValue>> Fetch(std::shared_ptr<CachedAccount> self,
                                                           std::shared_ptr<Cell<LeasesValue>> cell,
                                                           std::string key, CallContext context,
                                                           Stamp stamp);
  static boost::asio::awaitable<Result<NumberValue>> Fetch(std::shared_ptr<CachedAccount> self,
                                                           std::shared_ptr<Cell<NumberValue>> cell,
                                                           std::string key, CallContext context,
                                                           Stamp stamp);
  bool HasNumbers();
  bool HasLeases();
  // Asks for a list, unless it is the one of `known`; for all of it before an empty one is believed
  // and after an answer that can't be read. `item`: what it has, for the log.
  template <typename List>
  static boost::asio::awaitable<absl::StatusOr<Reply<typename List::Value>>> AskForList(
      std::shared_ptr<CachedAccount> self, CallContext context, Validators known,
      std::string_view item, bool (CachedAccount::*has_some)());
  // What to ask with. Nothing after a write that may have changed the list: that it is as it was
  // before could only be said by a copy, on the way, that is too old, or by validators that don't
  // tell the two apart.
  template <typename List, typename Value>
  AnsweredList<List> KnownOf(const AnsweredList<List>& answered, const Cell<Value>& cell) const {
    const std::lock_guard lock(mutex_);
    return answered.writes < cell.last_change ? AnsweredList<List>() : answered;
  }
  template <typename List>
  void Remember(AnsweredList<List>& answered, AnsweredList<List> known);
  void ForgetAnswer(const Cell<AvailableValue>&);
  void ForgetAnswer(const Cell<LeasesValue>&);
  std::shared_ptr<const Availability> Built(const Reply<NumberList>& reply) const;

  // --- values and writes: cached_account_writes.cc ---
  // Becomes the list, with the writes that ended while it was on its way, unless a newer one has
  // come first. Returns what is the list then. Null when the log has been restored since it had
  // been `restored` times: the writes of others that would have to be laid over it are not known.
  std::shared_ptr<const AvailableValue> Store(std::shared_ptr<const Availability> built,
                                              Stamp stamp, std::uint64_t restored);
  std::shared_ptr<const LeasesValue> Store(ReplyBytes answered, Stamp stamp,
                                           std::uint64_t restored);
  // Where a list comes from.
  struct Source {
    bool is_shared = false;
    // The entries of the log that show just this list; 0: none does. And how often the log had been
    // restored by then.
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::uint64_t restored = 0;
  };
  // Null when the list is not `before` any more; or, given `applied`, when a write has ended after
  // that number or the log has been restored.
  std::shared_ptr<const AvailableValue> Publish(const std::shared_ptr<const AvailableValue>& before,
                                                std::shared_ptr<const Availability> numbers_now,
                                                Stamp stamp, std::optional<std::uint64_t> applied,
                                                std::vector<NumberChange> changed,
                                                const Source& source);
  // Numbers the write, and makes void what it outdates.
  const Write& EnterLocked(Write write);
  // Nothing that was said of a single number counts any more.
  void ForgetNumbersLocked();
  // What lists of leases say of the number, as far as memory knows it.
  void DescribeLeaseLocked(Write& write) const;
  void TakeFromAvailable(const std::string& phone_number);
  void ChangeLeases(const Write& write);
  void Notify();

  // --- the shared log: cached_account_log.cc ---
  // Appends what is pending, reads what is new, in a coroutine of its own; one at a time.
  void Follow();
  static boost::asio::awaitable<void> FollowLog(std::shared_ptr<CachedAccount> self);
  void ScheduleFollow();
  // One exchange, and further ones until the log's end is read; memory shows it then. What the
  // first one brought.
  static boost::asio::awaitable<absl::StatusOr<LogPage>> ExchangeWithLog(
      std::shared_ptr<CachedAccount> self, LogRequest request, TimePoint deadline);
  // `before`: what was found to be lost.
  static boost::asio::awaitable<bool> RestoreFromLog(std::shared_ptr<CachedAccount> self,
                                                     std::shared_ptr<const LoggedLists> before,
                                                     LogPage page, TimePoint deadline);
  // Whether what the log says becomes the list's value without further ado. A value of its own, or
  // one that the log does not know any more, gets the writes of others only one by one.
  template <typename Value>
  bool IsInLogLocked(const Cell<Value>& cell) const {
    constexpr auto kList =
        std::is_same_v<Value, LeasesValue> ? SharedList::kLeases : SharedList::kNumbers;
    return cell.value && cell.value->is_shared && (*logged_)[kList].is_known();
  }
  // What was known of entries may have been another log's, where they had other numbers: none
  // counts as later than `last`.
  void ForgetEntriesLocked(std::uint64_t last);
  void NoteRestored(const RestoredList& restored);
  void TakePage(const LogPage& page);
  // That a list has to show the write, if it does.
  void NoteLocked(const EnteredWrite& entered);
  void TakeWritesLocked(const std::vector<EnteredWrite>& entered, std::vector<Write>* others);
  void LeavePendingLocked(std::uint64_t count, std::uint64_t entry);
  // After each change of `logged_`, which has counted `showing_` up.
  void ShowLogged();
  void ShowNumbers();
  void ShowLeases();
  Stamp LoggedStampLocked(SharedList list, const SharedFetch& fetch,
                          std::uint64_t min_writes) const;
  // How the latest exchange went.
  void SetUpLocked(const absl::Status& status);
  void WakeLogWaitersLocked();
  // Until something of the log has changed; `until` at most.
  static boost::asio::awaitable<void> AwaitLog(std::shared_ptr<CachedAccount> self,
                                               TimePoint until);
  // Until the writes up to number `count` are in the log. False: the log is away, or it is `until`.
  static boost::asio::awaitable<bool> AwaitLogged(std::shared_ptr<CachedAccount> self,
                                                  std::uint64_t count, TimePoint until);
  // Until memory shows what was read of the log; `until` at most.
  static boost::asio::awaitable<void> AwaitShown(std::shared_ptr<CachedAccount> self,
                                                 TimePoint until);

  // --- one refresh for all replicas: cached_account_turns.cc ---
  struct Turn {
    bool is_loaded = false;      // another replica has asked for us: memory has it
    bool is_shared = false;      // the answer shall be shared
    bool is_claimed = false;     // nobody else asks meanwhile
    std::uint64_t seen = 0;      // the provider's answer will show the writes up to this entry
    std::uint64_t restored = 0;  // how often the log had been restored by then
  };
  static boost::asio::awaitable<Turn> TakeTurn(std::shared_ptr<CachedAccount> self, SharedList list,
                                               CallContext context);
  static boost::asio::awaitable<void> EndTurn(std::shared_ptr<CachedAccount> self, SharedList list);
  bool HasWaiters(SharedList list) const;
  // An answer of the provider on its way into the log.
  struct Answered {
    SharedList list = SharedList::kNumbers;
    Stamp stamp;
    Turn turn;
    std::string metadata;
    std::function<void(const Write&)> lay;    // a write over it
    std::function<std::string_view()> reply;  // what it is then
  };
  // Whether memory has it, or a newer one, out of the log. Not when the log was restored meanwhile:
  // the writes that would have to be laid over it are not known.
  static boost::asio::awaitable<bool> Share(std::shared_ptr<CachedAccount> self, Answered answer);
  static boost::asio::awaitable<bool> ShareNumbers(std::shared_ptr<CachedAccount> self,
                                                   std::shared_ptr<const Availability> built,
                                                   Turn turn, Stamp stamp);
  static boost::asio::awaitable<bool> ShareLeases(std::shared_ptr<CachedAccount> self,
                                                  ReplyBytes answered, Turn turn, Stamp stamp);
  // The next refresh of a list that the log has brought; none for one that is overdue because
  // nobody reads it.
  template <typename Value>
  Launch ScheduleShownLocked(const std::shared_ptr<Cell<Value>>& cell) {
    if (IsIdle(*cell) && IsSharedDueLocked(*cell)) return nullptr;
    return ScheduleRefreshLocked(cell);
  }
  Stamp StampNow() const;
  template <typename Value>
  std::shared_ptr<const Value> ValueOf(const Cell<Value>& cell) const {
    const std::lock_guard lock(mutex_);
    return cell.value;
  }
  // Until the next refresh of a list: at the same time at all replicas, so that the first of them
  // is not earlier the more there are.
  template <typename Value>
  std::chrono::milliseconds SharedPauseLocked(const Cell<Value>& cell) const;
  template <typename Value>
  bool IsSharedDueLocked(const Cell<Value>& cell) const {
    return SharedPauseLocked(cell) <= std::chrono::milliseconds(1);
  }

  const std::unique_ptr<LeaseApi> inner_;
  const CachePolicy policy_;
  const CacheEnvironment environment_;
  const std::shared_ptr<SharedLists> shared_;
  const std::uint64_t process_;  // so that writes of another one are told apart
  std::function<void()> listener_;

  mutable std::mutex mutex_;  // guards all below
  bool stopped_ = false;
  const std::shared_ptr<Cell<AvailableValue>> available_;
  const std::shared_ptr<Cell<LeasesValue>> leases_;
  AnsweredList<std::shared_ptr<const Availability>> answered_numbers_;
  AnsweredList<ReplyBytes> answered_leases_;
  using NumberOrder = std::list<std::pair<std::string, std::shared_ptr<Cell<NumberValue>>>>;
  NumberOrder order_;  // the last used first
  absl::flat_hash_map<std::string, NumberOrder::iterator> numbers_;
  std::set<std::shared_ptr<CancellableStrand>> active_;
  WriteOverlay writes_;
  ChangeLog changes_;     // of the available numbers
  CacheStats refreshes_;  // the counts of refreshes only

  // Of the shared log.
  std::shared_ptr<void> news_;
  std::shared_ptr<const LoggedLists> logged_;  // never null
  WritesSeen shown_;                           // of `logged_`, what memory shows
  int showing_ = 0;  // changes of `logged_` that are on their way into memory
  CacheStats::Shared shared_stats_;
  std::string shared_key_;
  std::deque<Write> pending_;  // of this process, not in the log yet
  std::array<std::uint64_t, kSharedLists>
      min_seen_{};  // by list: it has to show this entry's write
  bool following_ = false;
  bool follow_again_ = false;
  // Who waits for a change of `logged_`, `pending_` or whether it is there, and who waits for what
  // is on its way into memory. Each exchange ends the latter, not the former: those who wait for
  // another replica make exchanges themselves, and would keep each other awake.
  std::vector<std::shared_ptr<Wakeup>> log_waiters_;
  std::vector<std::shared_ptr<Wakeup>> shown_waiters_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CACHED_ACCOUNT_H_
