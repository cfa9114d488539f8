#include "upstream/leasing/journal/sqlite/journal_thread.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/leasing/journal/journal_words.h"
#include "upstream/leasing/journal/sqlite/journal_errors.h"
#include "upstream/leasing/journal/sqlite/journal_schema.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

using SteadyClock = std::chrono::steady_clock;

namespace {

constexpr std::size_t kMaxBatch = 1'000;      // writes in a transaction
constexpr std::size_t kReadsAtATime = 1;      // before writes have their turn again
constexpr std::int64_t kPrunedAtATime = 200;  // likewise

// Refuses the process's signals, which are for other threads, but for those of its own faults.
void BlockSignals(sigset_t& before) {
  sigset_t signals;
  sigfillset(&signals);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) {
    sigdelset(&signals, fault);
  }
  pthread_sigmask(SIG_SETMASK, &signals, &before);
}

}  // namespace

JournalThread::JournalThread(SqliteJournalOptions options, std::shared_ptr<JournalQueue> queue)
    : options_(std::move(options)),
      queue_(std::move(queue)),
      file_(options_.path),
      table_(file_.database(), options_.now, options_.settle_limit),
      spending_(file_.database(), options_.now) {}

absl::Status JournalThread::Open() {
  if (auto status = file_.Open(options_.check_limit); !status.ok()) return status;
  if (const int code = table_.Prepare(); code != SQLITE_OK) return file_.RefuseFor(code);
  if (const int code = spending_.Prepare(); code != SQLITE_OK) return file_.RefuseFor(code);
  const auto all_checked = table_.Check(file_.check_until());
  if (!all_checked.ok()) {
    return file_.Refuse(absl::StrCat("the file is damaged (",
                                     std::string(all_checked.status().message()), ")",
                                     std::string(kRestoreAdvice)));
  }
  if (!*all_checked) file_.WarnOfUnchecked();
  if (const int code = table_.Count(stats_.entries); code != SQLITE_OK) {
    return file_.RefuseFor(code);
  }
  if (const int code = table_.FindOrphans(); code != SQLITE_OK) return file_.RefuseFor(code);
  FindOldest();
  Publish();
  return absl::OkStatus();
}

void JournalThread::Start() {
  sigset_t before;
  BlockSignals(before);
  thread_ = std::thread([this] { Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

JournalThread::~JournalThread() {
  if (!thread_.joinable()) return;
  queue_->Stop();
  thread_.join();
}

void JournalThread::Run() {
  auto prune_at = SteadyClock::now() + options_.prune_interval;
  auto recheck_at = SteadyClock::time_point::max();  // while it can't be written
  for (;;) {
    const auto [writes, reads, stopping] =
        queue_->Take(std::min(prune_at, recheck_at), kMaxBatch, kReadsAtATime);
    if (stopping && writes.empty() && reads.empty()) return;
    if (!writes.empty()) WriteAll(writes);
    Publish();
    for (const auto& write : writes) JournalQueue::Finish(*write);
    for (const auto& read : reads) {
      read->Run(*this);
      JournalQueue::Finish(*read);
    }
    const auto now = SteadyClock::now();
    if (stats_.last_write.ok()) {
      recheck_at = SteadyClock::time_point::max();
    } else if (!writes.empty() || now >= recheck_at) {
      if (writes.empty()) {
        NoteState(Transact({}));
        Publish();
      }
      recheck_at = now + options_.recheck_interval;
    }
    if (now >= prune_at && !stopping) {
      const auto pruned = PruneSome();
      const bool more = pruned.ok() && *pruned == kPrunedAtATime;
      prune_at = more ? now : now + options_.prune_interval;
      Publish();
    }
  }
}

void JournalThread::WriteAll(const std::vector<std::shared_ptr<JournalQueue::Write>>& writes) {
  std::vector<OperationWrite*> pending;
  for (const auto& write : writes) {
    // What is on the disk is known to it even when nothing more can be written there.
    if (!write->is_update) {
      const auto& operation = write->entry.operation;
      auto found = table_.Find(operation.account(), operation.request_id());
      write->status = found.status();
      if (!found.ok()) continue;
      if (*found) {
        write->entry = **std::move(found);
        write->existed = true;
        // Whoever asked goes on with it.
        if (!IsSettled(write->entry.operation.state())) {
          table_.NoteTaken(write->entry.operation.account(), write->entry.operation.request_id());
        }
        continue;
      }
    }
    pending.push_back(write.get());
  }
  if (pending.empty()) return;
  change_.clear();
  const absl::Status status = Transact(pending);
  ++(status.ok() ? stats_.commits : stats_.failures);
  NoteState(status);
  if (status.ok()) {
    for (const auto& [state, change] : change_) stats_.entries[state] += change;
    FindOldest();
    return;
  }
  for (OperationWrite* write : pending) write->status = status;
}

absl::Status JournalThread::Transact(const std::vector<OperationWrite*>& writes) {
  if (file_.database().Moved()) {
    return JournalUnavailable(
        "the operation journal can't be written: its file was removed or replaced while the "
        "gateway ran; restore it and start the gateway again");
  }
  SqliteDatabase& database = file_.database();
  int code = database.Execute("BEGIN IMMEDIATE");
  if (code == SQLITE_OK && writes.empty()) {
    code = database.Execute(absl::StrCat("PRAGMA user_version = ", kJournalVersion));
  }
  if (code != SQLITE_OK) return Abort(code);
  for (OperationWrite* write : writes) {
    bool half_done = false;
    code = Apply(*write, half_done);
    if (code == SQLITE_DONE) continue;
    const int kind = code & 0xff;
    // These undo their own statement and nothing else.
    if (!half_done && (kind == SQLITE_CONSTRAINT || kind == SQLITE_TOOBIG) &&
        database.InTransaction()) {
      write->status = MakeError(
          absl::StatusCode::kInternal, reason::kInternal,
          absl::StrCat("the operation can't be written down: ", std::string(database.message())));
      continue;
    }
    return Abort(code);
  }
  code = database.Execute("COMMIT");
  if (code != SQLITE_OK) return Abort(code);
  return absl::OkStatus();
}

int JournalThread::Apply(OperationWrite& write, bool& half_done) {
  const v1::Operation& operation = write.entry.operation;
  if (write.is_update && write.may_send && write.spending &&
      StepOf(operation, true) == SpendingStep::kReserve) {
    write.status = spending_.Check(operation, *write.spending);
    if (!write.status.ok()) return SQLITE_DONE;
  }
  const int code = table_.Apply(write, change_);
  if (code != SQLITE_DONE || !write.is_update || !write.status.ok()) return code;
  half_done = true;
  return spending_.Follow(operation, write.may_send);
}

absl::Status JournalThread::EndLeases(const std::string& account,
                                      const std::vector<std::string>& lease_ids) {
  SqliteDatabase& database = file_.database();
  int code = database.Execute("BEGIN IMMEDIATE");
  if (code != SQLITE_OK) return Abort(code);
  for (const std::string& lease_id : lease_ids) {
    code = spending_.End(account, lease_id);
    if (code != SQLITE_DONE) return Abort(code);
  }
  code = database.Execute("COMMIT");
  return code == SQLITE_OK ? absl::OkStatus() : Abort(code);
}

absl::Status JournalThread::Abort(int code) {
  SqliteDatabase& database = file_.database();
  auto status = JournalFailed(database, code, "written");
  if (database.InTransaction()) database.Execute("ROLLBACK");
  // Room in the log, for as long as the file of the database takes it.
  if ((code & 0xff) == SQLITE_FULL) database.Execute("PRAGMA wal_checkpoint");
  return status;
}

absl::StatusOr<std::int64_t> JournalThread::PruneSome() {
  OperationTable::Counts gone;
  const auto now = options_.now();
  const auto purchases = std::max(options_.retention, options_.purchase_retention);
  int code = table_.Prune(now - options_.retention, now - purchases, kPrunedAtATime, gone);
  if (code == SQLITE_DONE) code = spending_.Prune(kPrunedAtATime);
  if (code != SQLITE_DONE) {
    auto status = JournalFailed(file_.database(), code, "pruned");
    spdlog::warn("{}", std::string(status.message()));
    return status;
  }
  std::int64_t count = 0;
  for (const auto& [state, number] : gone) {
    stats_.entries[state] -= number;
    count += number;
  }
  stats_.pruned += static_cast<std::uint64_t>(count);
  return count;
}

absl::StatusOr<std::int64_t> JournalThread::PruneAll() {
  std::int64_t all = 0;
  for (;;) {
    const auto some = PruneSome();
    if (!some.ok()) return some.status();
    all += *some;
    if (*some < kPrunedAtATime) break;
  }
  Publish();
  return all;
}

void JournalThread::FindOldest() {
  std::int64_t unresolved = 0;
  for (const auto& [state, count] : stats_.entries) unresolved += IsSettled(state) ? 0 : count;
  stats_.oldest_unresolved = unresolved > 0 ? table_.Oldest() : std::nullopt;
}

void JournalThread::NoteState(const absl::Status& status) {
  // Once a spell, not once a call.
  if (!status.ok() && stats_.last_write.ok()) {
    spdlog::error("{} ({}): nothing is leased or given back until it can be",
                  std::string(status.message()), options_.path);
  } else if (status.ok() && !stats_.last_write.ok()) {
    spdlog::info("the operation journal can be written again");
  }
  stats_.last_write = status;
}

void JournalThread::Publish() { queue_->Publish(stats_); }

}  // namespace leasegateway
