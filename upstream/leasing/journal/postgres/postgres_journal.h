#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_POSTGRES_JOURNAL_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_POSTGRES_JOURNAL_H_

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/cluster/news.h"
#include "upstream/cluster/replica.h"
#include "upstream/leasing/journal/operation_journal.h"
#include "upstream/leasing/journal/postgres/operation_row.h"
#include "upstream/leasing/journal/postgres/own_operations.h"
#include "upstream/leasing/journal/postgres/poll_pauses.h"
#include "upstream/leasing/journal/postgres/postgres_journal_options.h"
#include "upstream/postgres/database.h"

namespace leasegateway {

// The journal in a PostgreSQL database that several replicas share. Begin, Update, Claim and Find
// are one round trip each; more only where an answer got lost or replicas meet. A cancellation ends
// AwaitChange alone. What it returned OK for survives as the server promises: with
// `synchronous_commit` on, and a standby that takes over only if it has all of it.
//
// Why two replicas never have a request for one `request_id` on its way at once
//
// 1. One row is the operation: (account, request_id) is the primary key. Each write of it adds 1 to
//    `revision` and applies only to the revision that its writer has seen, while the writer is
//    `owner`. So writes of a row follow one another, and a writer whose write applied knows all
//    that was written before. A copy of a write that arrives late finds its revision gone.
// 2. A replica may send only after its own write of SENT applied, and may begin to send until
//    `send_before`, which is t0 + W: W is `may_send_for`, t0 its monotonic clock before it handed
//    the write to the connection. It asks for the time right before the first byte. That write put
//    `send_until` = d + W + request_limit + clock_margin into the row, where d is the server's
//    clock while it applied the write: later than t0. So the request begins before d + W, and is
//    over, answered or given up, before `send_until`. An owner writes an outcome only when its
//    own request is over or was never begun; that takes `send_until` away, unless it is a former
//    owner's.
// 3. Another replica becomes the owner only by a write too. Either it applies before SENT does:
//    then SENT finds its revision gone, and the former owner sends nothing. Or it applies after:
//    then it reads `send_until`, and returns as `quiet_at` what is left of that by the server's
//    clock, added to the monotonic clock when the answer had come, which is later than the server
//    read it. The new owner sends nothing before.
// 4. So the requests of two owners are apart, whatever either of them, or anybody's heartbeat,
//    believes of who is alive. Heartbeats only say when a take-over is worth it.
// 5. Within a process, one flight works on an operation, and one Begin is told `existed` = false:
//    the one whose number, drawn at random, is in the row as `attempt`.
//
// It rests on this: monotonic clocks go on while a process is stopped, or its machine (Linux:
// CLOCK_MONOTONIC stands still while a machine is suspended, so a replica must not run on one that
// is); the server's clock, and that of the server that takes over from it, doesn't jump ahead by
// more than `clock_margin`; a process isn't stopped for longer than `request_limit` between asking
// for the time and the first byte; a server that takes over has what was acknowledged. Where that
// last one is not so, a row that has gone missing in its owner's hands is written anew and the log
// says so; what nobody holds any more is gone.
class PostgresJournal final : public OperationJournal {
 public:
  using Options = PostgresJournalOptions;
  using Stats = PostgresJournalStats;

  PostgresJournal(std::shared_ptr<postgres::Database> database, std::shared_ptr<News> news,
                  std::shared_ptr<const Replica> replica, Options options);

  ~PostgresJournal() override;

  // Prunes now and every `prune_interval`, on a strand of `executor`, until the journal is gone;
  // `executor` outlives it. Once.
  static void KeepPruned(const std::shared_ptr<PostgresJournal>& journal,
                         const boost::asio::any_io_executor& executor);

  boost::asio::awaitable<absl::StatusOr<Begun>> Begin(Entry entry, bool claim) override;
  // One round trip where it succeeds. A settled one stays settled and is this process's, but others
  // can take it over as if it were nobody's, until it is written.
  boost::asio::awaitable<absl::StatusOr<Record>> TakeOver(std::string account,
                                                          std::string request_id,
                                                          std::int64_t revision) override;
  // `own`: what is this process's, open, and in the hands of nobody who got it from here: what a
  // lost answer, or a server that had lost writes, left behind; each once. One call at a time.
  boost::asio::awaitable<absl::StatusOr<std::vector<Record>>> Adopt(std::string account, int limit,
                                                                    bool own) override;
  // NOT_FOUND only for one that this process never had: a row that has gone missing in its hands is
  // written anew.
  boost::asio::awaitable<absl::StatusOr<Updated>> Update(Change change) override;
  boost::asio::awaitable<absl::StatusOr<Claimed>> Claim(std::string account, std::string request_id,
                                                        std::int64_t revision,
                                                        std::string phone_number) override;
  boost::asio::awaitable<absl::StatusOr<std::optional<Record>>> Find(
      std::string account, std::string request_id) override;
  // Woken by News of TopicOf; otherwise after 50 ms, and twice that each time that the same
  // operation is waited for again, up to 1 s.
  boost::asio::awaitable<void> AwaitChange(std::string account, std::string request_id,
                                           TimePoint until) override;
  // 1 to 1000 at a time; a limit out of that is taken as the nearest.
  boost::asio::awaitable<absl::StatusOr<Page>> List(Query query) override;

  boost::asio::awaitable<absl::StatusOr<SpendingCounts>> Spent(SpendingQuery query) override;
  boost::asio::awaitable<absl::StatusOr<std::vector<HeldLease>>> HeldWithout(
      std::string account, std::vector<std::string> lease_ids, TimePoint as_of, int limit) override;
  boost::asio::awaitable<absl::Status> EndedElsewhere(std::string account,
                                                      std::vector<std::string> lease_ids) override;

  // Deletes what is older than the retention and claims that are free, now instead of when the
  // interval is over, and counts what is open. Returns how many operations were deleted.
  boost::asio::awaitable<absl::StatusOr<std::int64_t>> Prune();

  // Never waits for the database.
  Stats stats() const;

  // What News tells of an operation that was settled, with its revision.
  static std::string TopicOf(const std::string& account, const std::string& request_id);

 private:
  // A write that has to become true, however often it takes to ask.
  struct Write {
    Change change;
    std::string bytes;  // of the operation
    std::int64_t attempt = 0;
    std::int64_t follows = 0;   // the revision that is there
    std::int64_t revision = 0;  // that it makes
    bool from_nobody = false;   // a lost write of ours has settled it already
    bool answer_lost = false;   // of one try at least
    // The server had lost what it told, perhaps also what may still be on its way.
    bool was_forgotten = false;
    bool within = false;  // only if limits of sums are kept
  };
  enum class Found { kWritten, kNotWritten };

  postgres::Query Begins(const Entry& entry, std::int64_t attempt, std::int64_t claim) const;
  postgres::Query UpdateFor(const Write& write) const;
  // `forgotten`: the server has lost what was written before.
  static SpendingStep StepFor(const Write& write, bool forgotten);
  // The statement of UpdateFor, where limits of sums have to be kept after their locks.
  boost::asio::awaitable<absl::StatusOr<postgres::Rows>> RunUpdate(const Write* write,
                                                                   TimePoint deadline);
  // OK: it is not for a limit that the write changed nothing.
  static absl::Status RefusalOf(const Write& write, const postgres::Rows& rows);
  // For how many µs a request may be on its way from now on.
  std::int64_t OnItsWay(const Write& write) const;
  postgres::Query RestoreFor(const Write& write, const OwnOperations::Origin& origin);
  postgres::Query ForOne(const postgres::Statement& statement, const std::string& account,
                         const std::string& request_id) const;
  // Of one try, so that there is time for another one.
  TimePoint CallDeadline(TimePoint deadline) const;
  boost::asio::awaitable<absl::StatusOr<postgres::Rows>> Run(postgres::Query query,
                                                             TimePoint deadline);
  // Nothing when there is no such row.
  boost::asio::awaitable<absl::StatusOr<std::optional<OperationRow>>> ReadRow(
      std::string account, std::string request_id, TimePoint deadline);
  // After a write that found nothing to replace, or whose answer was lost: whether it is done, or
  // on what it has to be tried again.
  boost::asio::awaitable<absl::StatusOr<Found>> FindOut(Write* write, TimePoint deadline);
  boost::asio::awaitable<absl::StatusOr<Found>> Restore(Write* write, TimePoint deadline);
  absl::StatusOr<Found> Judge(Write* write, const OperationRow& row);
  Updated Done(const Write& write, TimePoint started);
  // The row, if it is ours now.
  boost::asio::awaitable<absl::StatusOr<std::optional<OperationRow>>> Take(std::string account,
                                                                           std::string request_id,
                                                                           std::int64_t revision,
                                                                           std::int64_t attempt,
                                                                           TimePoint deadline);
  boost::asio::awaitable<absl::StatusOr<std::optional<OperationRow>>> TryToTake(
      std::string account, std::string request_id, std::int64_t revision, std::int64_t attempt,
      TimePoint deadline);
  boost::asio::awaitable<absl::StatusOr<std::vector<Record>>> AdoptOrphans(std::string account,
                                                                           int limit,
                                                                           TimePoint deadline);
  boost::asio::awaitable<absl::Status> AdoptForgotten(std::string account, int limit,
                                                      TimePoint deadline,
                                                      std::vector<Record>* records);
  // Of rows that are this process's.
  absl::StatusOr<std::vector<Record>> HoldAll(const postgres::Rows& rows);
  void Hold(const OperationRow& row);
  absl::Status OwnershipLost(const std::string& account, const std::string& request_id);
  // Nothing: it has to be asked again, with `revision`.
  absl::StatusOr<std::optional<Claimed>> ReadClaim(const postgres::Rows& rows,
                                                   const std::string& account,
                                                   const std::string& request_id,
                                                   std::int64_t* revision);
  struct PruneTimer;
  static boost::asio::awaitable<void> PruneNowAndThen(std::weak_ptr<PostgresJournal> weak,
                                                      std::shared_ptr<PruneTimer> timer,
                                                      std::chrono::milliseconds interval);
  boost::asio::awaitable<absl::Status> PruneSpending();
  // Of a statement that selects one number.
  boost::asio::awaitable<absl::StatusOr<std::int64_t>> CountOf(postgres::Query query);
  template <typename Change>
  void Count(Change change) {
    const std::lock_guard lock(mutex_);
    change(stats_);
  }

  const std::shared_ptr<postgres::Database> database_;
  const std::shared_ptr<News> news_;
  const std::shared_ptr<const Replica> replica_;
  const Options options_;
  OwnOperations own_;
  PollPauses pauses_;
  std::shared_ptr<PruneTimer> prune_timer_;
  std::atomic<std::int64_t> claims_{0};  // tried so far
  mutable std::mutex mutex_;             // guards all below
  Stats stats_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_POSTGRES_JOURNAL_H_
