#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_OPERATION_JOURNAL_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_OPERATION_JOURNAL_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "leasegateway/v1/resources.pb.h"
#include "upstream/leasing/journal/spending.h"
#include "upstream/leasing/journal/spending_rules.h"

namespace leasegateway {

// The durable record of purchases and terminations, which several processes may share. What a
// function has returned OK for survives the loss of the process and of power. All are awaited on a
// strand and answer there; they fail with FAILED_PRECONDITION, JOURNAL_UNAVAILABLE when the record
// can't be read or written (a full disk, a broken file, a database that is away), and then callers
// may rely on nothing having changed, but for what the next write to the operation finds out.
// Thread-safe.
//
// An operation that is not settled has an owner, one process, which alone may write it. The owner
// of one that is settled is nobody. When a process dies another one takes over what it owned.
class OperationJournal {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  virtual ~OperationJournal() = default;

  struct Entry {
    v1::Operation operation;
    std::string fingerprint;  // of the arguments: 32 bytes
  };

  enum class Owner {
    kUs,       // this process
    kAnother,  // one that is alive
    kNobody,   // it is settled, or its owner has died
  };
  struct Record {
    Entry entry;
    Owner owner = Owner::kNobody;
    // Grows with each write and each owner. A write names the one that it follows (the fencing
    // token).
    std::int64_t revision = 0;
    // Of one that was taken over: a request of the owner before may be on its way until then.
    // Nothing may be sent earlier. In the past: nothing is.
    TimePoint quiet_at = TimePoint::min();
  };

  // Writes down an operation that nobody knows yet, as this process's, or returns what is there
  // under its account and `request_id`, unchanged, with `existed` set. `create_time` and
  // `update_time` are the journal's. `claim`: if it is new, Claim its number as well, where that
  // can be had.
  struct Begun {
    Record record;
    bool existed = false;
    bool claimed = false;
  };
  virtual boost::asio::awaitable<absl::StatusOr<Begun>> Begin(Entry entry, bool claim) = 0;

  // Makes this process the owner, unless another one that is alive is: `owner` says which. For an
  // operation that is settled as well, whose request comes again. `revision` is that of the record
  // for which it is wanted: where another process has written since, nothing is taken, what there
  // is now is returned, and its `owner` is not kUs. NOT_FOUND when there is none.
  virtual boost::asio::awaitable<absl::StatusOr<Record>> TakeOver(std::string account,
                                                                  std::string request_id,
                                                                  std::int64_t revision) = 0;

  // Makes this process the owner of operations that are INTENDED, SENT or UNKNOWN and whose owner
  // has died, the oldest first, `limit` at most. Where claims end with the process, also those that
  // are settled and whose `settle_time` is still to come, nobody's, with that time as `quiet_at`:
  // their number has to be kept until then. `own`: also some that it owns already and has not
  // written for a while: the answer to an Adopt, a TakeOver or a Begin may have got lost. Without,
  // each is handed out once.
  virtual boost::asio::awaitable<absl::StatusOr<std::vector<Record>>> Adopt(std::string account,
                                                                            int limit,
                                                                            bool own) = 0;

  // What becomes of the number that an operation has claimed.
  struct Change {
    v1::Operation operation;
    std::int64_t revision = 0;  // that this follows
    // More than 0: from now on a request may go out, whose first byte is on its way within that
    // time or never. It is over, whatever becomes of it, after the journal's `request_limit` more.
    std::chrono::milliseconds may_send_for{0};
    // Of a purchase with `may_send_for`: what it has to keep within at the operation's `price`.
    // Null: it is counted, not limited.
    std::shared_ptr<const SpendingRules> spending;
    // The number can be claimed by others, at once or once this has passed.
    bool release = false;
    std::chrono::milliseconds release_after{0};
  };
  struct Updated {
    std::int64_t revision = 0;
    // The first byte of a request may go out before this, and not after: `may_send_for` from before
    // the journal heard of it.
    TimePoint send_before = TimePoint::max();
  };
  // Replaces the operation of the same account and `request_id`, which this process owns. One that
  // becomes SUCCEEDED or FAILED has no owner any more. NOT_FOUND when there is none; ABORTED,
  // OWNERSHIP_LOST, when it isn't this process's any more, or was written since `revision` by other
  // than a lost write of this process.
  //
  // What is spent changes with it, or neither does: a purchase that may go out takes a reservation
  // of its price, in the place of one that it has; FAILED and INTENDED give that back, SUCCEEDED
  // makes it what was charged, and a termination that SUCCEEDED ends what its lease takes. While
  // the outcome is open the reservation stays. FAILED_PRECONDITION, SPEND_LIMIT_EXCEEDED, when the
  // purchase would not keep a limit, and then nothing has changed.
  virtual boost::asio::awaitable<absl::StatusOr<Updated>> Update(Change change) = 0;

  // Claims a number for an operation of this process's: one operation at a time has it, until it is
  // released. An operation has one number at most; what it had before is released.
  struct Claimed {
    bool granted = false;
    // Otherwise: whose it is, and when it is free for certain, if that is known.
    std::string holder;  // its request_id
    std::optional<TimePoint> free_at;
  };
  virtual boost::asio::awaitable<absl::StatusOr<Claimed>> Claim(std::string account,
                                                                std::string request_id,
                                                                std::int64_t revision,
                                                                std::string phone_number) = 0;

  // Nothing when nobody knows it.
  virtual boost::asio::awaitable<absl::StatusOr<std::optional<Record>>> Find(
      std::string account, std::string request_id) = 0;

  // Waits until another process may have changed the operation: until it says so, or a while, or
  // `until`. A cancellation ends it early.
  virtual boost::asio::awaitable<void> AwaitChange(std::string account, std::string request_id,
                                                   TimePoint until) = 0;

  // The newest first, by `create_time`, `limit` at most. `after` is the `next` of the page before;
  // empty: from the newest on.
  struct Query {
    std::string account;
    std::string phone_number;  // empty: any
    std::optional<v1::OperationState> state;
    std::optional<std::string> caller;
    std::optional<v1::OperationKind> kind;
    // Of `create_time`, in ns since 1970: from the first on, before the other one.
    std::int64_t start_time = std::numeric_limits<std::int64_t>::min();
    std::int64_t end_time = std::numeric_limits<std::int64_t>::max();
    std::string after;
    int limit = 100;
  };
  struct Page {
    std::vector<v1::Operation> operations;
    std::string next;  // empty: there are no more
  };
  virtual boost::asio::awaitable<absl::StatusOr<Page>> List(Query query) = 0;

  // What is used now. Days are UTC, by the journal's clock; a purchase that is under way at
  // midnight counts on both days. Operations that were settled before this was counted are not in
  // it.
  virtual boost::asio::awaitable<absl::StatusOr<SpendingCounts>> Spent(SpendingQuery query) = 0;

  // Leases of the account that count as live, were bought before `as_of` and are not among
  // `lease_ids`, the oldest first, `limit` at most: they may have ended outside the gateway.
  virtual boost::asio::awaitable<absl::StatusOr<std::vector<HeldLease>>> HeldWithout(
      std::string account, std::vector<std::string> lease_ids, TimePoint as_of, int limit) = 0;
  // They have.
  virtual boost::asio::awaitable<absl::Status> EndedElsewhere(
      std::string account, std::vector<std::string> lease_ids) = 0;
};

// Whether a purchase at that price would keep the limits now. Takes nothing, so that it may be
// refused all the same. SPEND_LIMIT_EXCEEDED; JOURNAL_UNAVAILABLE.
boost::asio::awaitable<absl::Status> CheckSpending(std::shared_ptr<OperationJournal> journal,
                                                   std::shared_ptr<const SpendingRules> rules,
                                                   Spender spender, SpendingPrice price);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_OPERATION_JOURNAL_H_
