#include "upstream/leasing/journal/sqlite/operation_table.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/leasing/journal/journal_words.h"
#include "upstream/leasing/journal/sqlite/journal_errors.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

using Entry = OperationJournal::Entry;
using Page = OperationJournal::Page;
using Record = OperationJournal::Record;
using SystemTime = std::chrono::system_clock::time_point;

namespace {

constexpr std::string_view kColumns =
    "account, request_id, fingerprint, kind, state, phone_number, create_time, update_time, "
    "operation, checksum, caller";

// What a list may be cut down to; the parameter is its own, with or without the others.
struct ListFilter {
  unsigned bit;
  const char* sql;
};
constexpr ListFilter kOfNumber{1, " AND phone_number = ?6"};
constexpr ListFilter kOfState{2, " AND state = ?7"};
constexpr ListFilter kOfCaller{4, " AND caller = ?8"};
constexpr ListFilter kOfKind{8, " AND kind = ?9"};

std::string ListSql(unsigned filters) {
  std::string sql =
      absl::StrCat("SELECT ", std::string(kColumns), " FROM operation WHERE account = ?1");
  for (const ListFilter& filter : {kOfNumber, kOfState, kOfCaller, kOfKind}) {
    if ((filters & filter.bit) != 0) sql += filter.sql;
  }
  return sql +
         " AND create_time >= ?5 AND (create_time, request_id) < (?2, ?3)"
         " ORDER BY create_time DESC, request_id DESC LIMIT ?4";
}

// `which`: the condition of the index that has them by their last change.
std::string PruneSql(const std::string& which) {
  return absl::StrCat("DELETE FROM operation WHERE id IN (SELECT id FROM operation WHERE ", which,
                      " AND update_time < ?1 ORDER BY update_time LIMIT ?2) RETURNING state");
}

// Against damage, not against malice.
std::int64_t Checksum(std::string_view fingerprint, std::string_view operation) {
  const std::string text =
      absl::StrCat(fingerprint.size(), ":", std::string(fingerprint), std::string(operation));
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::int64_t checksum = 0;
  std::memcpy(&checksum, digest.data(), sizeof(checksum));
  return checksum;
}

// The row of a statement that selects kColumns.
absl::StatusOr<Entry> Decode(const SqliteStatement& row) {
  Entry entry;
  entry.fingerprint = row.Blob(2);
  const std::string_view bytes = row.Blob(8);
  auto& operation = entry.operation;
  if (Checksum(entry.fingerprint, bytes) != row.Int(9) ||
      !operation.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      operation.account() != row.Text(0) || operation.request_id() != row.Text(1) ||
      operation.kind() != row.Int(3) || operation.state() != row.Int(4) ||
      operation.phone_number() != row.Text(5) || ToNanos(operation.create_time()) != row.Int(6) ||
      ToNanos(operation.update_time()) != row.Int(7) || operation.caller() != row.Text(10)) {
    return DamagedEntryError();
  }
  return entry;
}

// The parameters of insert_ and update_; `bytes` must live until the statement is reset.
void BindEntry(SqliteStatement& statement, const Entry& entry, const std::string& bytes) {
  const auto& operation = entry.operation;
  statement.BindText(1, operation.account());
  statement.BindText(2, operation.request_id());
  statement.BindBlob(3, entry.fingerprint);
  statement.Bind(4, operation.kind());
  statement.Bind(5, operation.state());
  statement.BindText(6, operation.phone_number());
  statement.Bind(7, ToNanos(operation.create_time()));
  statement.Bind(8, ToNanos(operation.update_time()));
  statement.BindBlob(9, bytes);
  statement.Bind(10, Checksum(entry.fingerprint, bytes));
  statement.BindText(11, operation.caller());
}

}  // namespace

OperationTable::OperationTable(SqliteDatabase& database, std::function<SystemTime()> now,
                               std::chrono::milliseconds settle_limit)
    : database_(database), now_(std::move(now)), settle_limit_(settle_limit) {}

int OperationTable::Prepare() {
  const std::string columns(kColumns);
  const std::pair<SqliteStatement*, std::string> statements[] = {
      {&find_,
       absl::StrCat("SELECT ", columns, " FROM operation WHERE account = ?1 AND request_id = ?2")},
      {&insert_, absl::StrCat("INSERT INTO operation (", columns,
                              ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
                              " ON CONFLICT (account, request_id) DO NOTHING")},
      {&update_,
       "UPDATE operation SET kind = ?4, state = ?5, phone_number = ?6, update_time = ?8,"
       " operation = ?9, checksum = ?10, caller = ?11 WHERE account = ?1 AND request_id = ?2"},
      {&orphans_of_,
       "SELECT account, request_id FROM operation WHERE state NOT IN (3, 4)"
       " OR (state IN (3, 4) AND update_time >= ?1)"
       " ORDER BY create_time, request_id"},
      {&oldest_, "SELECT min(create_time) FROM operation WHERE state NOT IN (3, 4)"},
      {&prune_others_, PruneSql("(state = 4 OR state = 3 AND kind NOT IN (1, 2))")},
      {&prune_purchases_, PruneSql("state IN (3, 4) AND state = 3 AND kind IN (1, 2)")},
  };
  for (const auto& [statement, sql] : statements) {
    if (const int code = database_.Prepare(sql, *statement); code != SQLITE_OK) return code;
  }
  for (unsigned filters = 0; filters < list_.size(); ++filters) {
    const int code = database_.Prepare(ListSql(filters), list_[filters]);
    if (code != SQLITE_OK) return code;
  }
  return SQLITE_OK;
}

absl::StatusOr<bool> OperationTable::Check(std::chrono::steady_clock::time_point until) {
  SqliteStatement all;
  int code =
      database_.Prepare(absl::StrCat("SELECT ", std::string(kColumns), " FROM operation"), all);
  if (code != SQLITE_OK) return JournalFailed(database_, code, "read");
  while ((code = all.Step()) == SQLITE_ROW) {
    if (auto entry = Decode(all); !entry.ok()) return entry.status();
    if (std::chrono::steady_clock::now() > until) return false;
  }
  if (code != SQLITE_DONE) return JournalFailed(database_, code, "read");
  return true;
}

// --- reading ------------------------------------------------------------------------------------

absl::StatusOr<std::optional<Entry>> OperationTable::Find(const std::string& account,
                                                          const std::string& request_id) {
  const SqliteResetter reset(find_);
  find_.BindText(1, account);
  find_.BindText(2, request_id);
  const int code = find_.Step();
  if (code == SQLITE_DONE) return std::optional<Entry>();
  if (code != SQLITE_ROW) return JournalFailed(database_, code, "read");
  auto entry = Decode(find_);
  if (!entry.ok()) return entry.status();
  return std::optional<Entry>(*std::move(entry));
}

absl::StatusOr<Page> OperationTable::List(const OperationJournal::Query& query) {
  const auto position = StartOf(query);
  if (!position.ok()) return position.status();
  const int limit = PageLimit(query.limit);
  SqliteStatement& list =
      list_[(query.phone_number.empty() ? 0 : kOfNumber.bit) | (query.state ? kOfState.bit : 0) |
            (query.caller ? kOfCaller.bit : 0) | (query.kind ? kOfKind.bit : 0)];
  const SqliteResetter reset(list);
  list.BindText(1, query.account);
  list.Bind(2, position->create_time);
  list.BindText(3, position->request_id);
  list.Bind(4, limit + 1);
  list.Bind(5, query.start_time);
  if (!query.phone_number.empty()) list.BindText(6, query.phone_number);
  if (query.state) list.Bind(7, *query.state);
  if (query.caller) list.BindText(8, *query.caller);
  if (query.kind) list.Bind(9, *query.kind);
  Page page;
  int code = SQLITE_OK;
  while ((code = list.Step()) == SQLITE_ROW) {
    if (static_cast<int>(page.operations.size()) == limit) {
      const auto& last = page.operations.back();
      page.next = EncodePosition({ToNanos(last.create_time()), last.request_id()});
      return page;
    }
    auto entry = Decode(list);
    if (!entry.ok()) return entry.status();
    page.operations.push_back(std::move(entry->operation));
  }
  if (code != SQLITE_DONE) return JournalFailed(database_, code, "read");
  return page;
}

int OperationTable::FindOrphans() {
  const SqliteResetter reset(orphans_of_);
  orphans_of_.Bind(1, ToNanos(now_() - settle_limit_));
  int code = SQLITE_OK;
  while ((code = orphans_of_.Step()) == SQLITE_ROW) {
    orphans_[std::string(orphans_of_.Text(0))].emplace_back(orphans_of_.Text(1));
  }
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

absl::StatusOr<std::vector<Record>> OperationTable::Adopt(const std::string& account, int limit) {
  std::vector<Record> records;
  const auto at = orphans_.find(account);
  if (at == orphans_.end()) return records;
  auto& ids = at->second;
  std::size_t seen = 0;
  for (; seen < ids.size() && static_cast<int>(records.size()) < limit; ++seen) {
    auto found = Find(account, ids[seen]);
    if (!found.ok()) return found.status();
    if (!*found) continue;
    Record record;
    if (IsSettled((*found)->operation.state())) {
      const auto left =
          std::chrono::nanoseconds(ToNanos((*found)->operation.settle_time()) - ToNanos(now_()));
      if (left <= left.zero()) continue;
      // The clock may have been put back.
      record.quiet_at = std::chrono::steady_clock::now() +
                        std::min<std::chrono::nanoseconds>(left, settle_limit_);
    } else {
      record.owner = OperationJournal::Owner::kUs;
    }
    record.entry = **std::move(found);
    records.push_back(std::move(record));
  }
  ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(seen));
  return records;
}

void OperationTable::NoteTaken(const std::string& account, const std::string& request_id) {
  const auto at = orphans_.find(account);
  if (at != orphans_.end()) std::erase(at->second, request_id);
}

int OperationTable::Count(Counts& counts) {
  SqliteStatement count;
  int code = database_.Prepare("SELECT state, count(*) FROM operation GROUP BY state", count);
  if (code != SQLITE_OK) return code;
  while ((code = count.Step()) == SQLITE_ROW) {
    counts[static_cast<v1::OperationState>(count.Int(0))] = count.Int(1);
  }
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

std::optional<SystemTime> OperationTable::Oldest() {
  const SqliteResetter reset(oldest_);
  if (oldest_.Step() != SQLITE_ROW) return std::nullopt;
  return FromNanos(oldest_.Int(0));
}

// --- writing ------------------------------------------------------------------------------------

int OperationTable::Apply(OperationWrite& write, Counts& change) {
  return write.is_update ? Replace(write, change) : Insert(write, change);
}

int OperationTable::Insert(OperationWrite& write, Counts& change) {
  auto& operation = write.entry.operation;
  const std::int64_t now = ToNanos(now_());
  SetNanos(now, *operation.mutable_create_time());
  SetNanos(now, *operation.mutable_update_time());
  const std::string bytes = operation.SerializeAsString();
  int code = SQLITE_OK;
  {
    const SqliteResetter reset(insert_);
    BindEntry(insert_, write.entry, bytes);
    code = insert_.Step();
  }
  if (code != SQLITE_DONE) return code;
  if (sqlite3_changes(database_.get()) == 1) {
    ++change[operation.state()];
    return code;
  }
  // Another one of this transaction.
  auto found = Find(operation.account(), operation.request_id());
  write.status = found.status();
  if (found.ok() && !*found) write.status = DamagedEntryError();
  if (!write.status.ok()) return code;
  write.entry = **std::move(found);
  write.existed = true;
  return code;
}

int OperationTable::Replace(OperationWrite& write, Counts& change) {
  auto& operation = write.entry.operation;
  const auto found = Find(operation.account(), operation.request_id());
  write.status = found.status();
  if (!found.ok()) return SQLITE_DONE;
  if (!*found) {
    write.status = NoSuchOperation();
    return SQLITE_DONE;
  }
  const Entry& before = **found;
  write.entry.fingerprint = before.fingerprint;
  *operation.mutable_create_time() = before.operation.create_time();
  SetNanos(std::max(ToNanos(now_()), ToNanos(operation.create_time())),
           *operation.mutable_update_time());
  const std::string bytes = operation.SerializeAsString();
  const SqliteResetter reset(update_);
  BindEntry(update_, write.entry, bytes);
  const int code = update_.Step();
  if (code == SQLITE_DONE) {
    --change[before.operation.state()];
    ++change[operation.state()];
  }
  return code;
}

int OperationTable::Prune(SystemTime others, SystemTime purchases, std::int64_t limit,
                          Counts& gone) {
  const int code = PruneBy(prune_others_, others, limit, gone);
  if (code != SQLITE_DONE) return code;
  for (const auto& [state, number] : gone) limit -= number;
  return limit > 0 ? PruneBy(prune_purchases_, purchases, limit, gone) : code;
}

int OperationTable::PruneBy(SqliteStatement& prune, SystemTime before, std::int64_t limit,
                            Counts& gone) {
  const SqliteResetter reset(prune);
  prune.Bind(1, ToNanos(before));
  prune.Bind(2, limit);
  int code = SQLITE_OK;
  while ((code = prune.Step()) == SQLITE_ROW) {
    ++gone[static_cast<v1::OperationState>(prune.Int(0))];
  }
  return code;
}

}  // namespace leasegateway
