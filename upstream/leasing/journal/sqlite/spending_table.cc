#include "upstream/leasing/journal/sqlite/spending_table.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/leasing/journal/journal_words.h"
#include "upstream/leasing/journal/sqlite/journal_errors.h"

namespace leasegateway {

namespace {

constexpr std::int64_t kNanosInDay = 86'400'000'000'000;
constexpr std::int64_t kParts = 1'000'000'000;

// Of units and billionths, added up apart, for SQLite fails where a sum has no room.
std::int64_t Together(std::int64_t units, std::int64_t nanos) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  units += nanos / kParts;
  return units >= kMost / kParts ? kMost : units * kParts + nanos % kParts;
}

// A row a currency: purchases that count on the day ?1, their money; live leases, their money.
std::string SumSql(const char* of_whom) {
  return absl::StrCat(
      "SELECT currency, sum(today), sum(today * (fee / 1000000000)),"
      " sum(today * (fee % 1000000000)), sum(live), sum(live * (rate / 1000000000)),"
      " sum(live * (rate % 1000000000))"
      " FROM (SELECT currency, upfront + monthly AS fee, monthly AS rate, end_time IS NULL AS live,"
      " last_day IS NULL OR last_day >= ?1 AS today FROM spending WHERE ",
      of_whom,
      " AND (account <> ?2 OR request_id <> ?4 OR last_day IS NOT NULL)) GROUP BY currency");
}

}  // namespace

SpendingTable::SpendingTable(SqliteDatabase& database, std::function<SystemTime()> now)
    : database_(database), now_(std::move(now)) {}

int SpendingTable::Prepare() {
  const std::pair<SqliteStatement*, std::string> statements[] = {
      {&sum_of_caller_, SumSql("caller = ?3")},
      {&sum_of_account_, SumSql("account = ?2")},
      {&sum_of_both_, SumSql("caller = ?3 AND account = ?2")},
      {&reserved_,
       "SELECT 1 FROM spending WHERE account = ?1 AND request_id = ?2 AND last_day IS NULL"
       " AND currency = ?3 AND upfront = ?4 AND monthly = ?5"},
      {&reserve_,
       "INSERT INTO spending (account, request_id, caller, phone_number, currency, upfront,"
       " monthly) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
       " ON CONFLICT (account, request_id) WHERE last_day IS NULL DO UPDATE"
       " SET phone_number = ?4, currency = ?5, upfront = ?6, monthly = ?7"},
      {&give_back_,
       "DELETE FROM spending WHERE account = ?1 AND request_id = ?2 AND last_day IS NULL"},
      {&settle_,
       "UPDATE spending SET lease_id = ?3, last_day = ?4, settle_time = ?5,"
       " currency = iif(?6, ?7, currency), upfront = iif(?6, ?8, upfront),"
       " monthly = iif(?6, ?9, monthly)"
       " WHERE account = ?1 AND request_id = ?2 AND last_day IS NULL"},
      {&settle_anew_,
       "INSERT INTO spending (account, request_id, caller, phone_number, lease_id, last_day,"
       " settle_time, currency, upfront, monthly)"
       " SELECT ?1, ?2, ?10, ?11, ?3, ?4, ?5, ?7, ?8, ?9 WHERE NOT EXISTS"
       " (SELECT 1 FROM spending WHERE account = ?1 AND lease_id = ?3)"},
      {&end_,
       "UPDATE spending SET end_time = ?3 WHERE account = ?1 AND lease_id = ?2"
       " AND end_time IS NULL AND last_day IS NOT NULL"},
      {&held_,
       "SELECT lease_id, phone_number FROM spending WHERE account = ?1 AND end_time IS NULL"
       " AND settle_time < ?2 ORDER BY settle_time"},
      {&prune_,
       "DELETE FROM spending WHERE id IN (SELECT id FROM spending WHERE end_time IS NOT NULL"
       " AND last_day < ?1 LIMIT ?2)"},
  };
  for (const auto& [statement, sql] : statements) {
    if (const int code = database_.Prepare(sql, *statement); code != SQLITE_OK) return code;
  }
  return SQLITE_OK;
}

std::int64_t SpendingTable::Today() const { return ToNanos(now_()) / kNanosInDay; }

// --- sums ---------------------------------------------------------------------------------------

absl::Status SpendingTable::SumInto(SqliteStatement& sum, SpendingUse& use) {
  int code = SQLITE_OK;
  while ((code = sum.Step()) == SQLITE_ROW) {
    use.purchases_today += sum.Int(1);
    use.live_leases += sum.Int(4);
    const std::string currency(sum.Text(0));
    if (currency.empty()) continue;  // a price that nobody knows
    MoneyUse& money = use.money[currency];
    money.today = Together(sum.Int(2), sum.Int(3));
    money.per_month = Together(sum.Int(5), sum.Int(6));
  }
  return code == SQLITE_DONE ? absl::OkStatus() : JournalFailed(database_, code, "read");
}

absl::StatusOr<SpendingCounts> SpendingTable::Sum(const SpendingQuery& query,
                                                  const std::string& without) {
  SpendingCounts counts;
  const std::pair<SqliteStatement*, SpendingUse*> sums[] = {
      {&sum_of_caller_, &counts.caller},
      {&sum_of_account_, &counts.account},
      {&sum_of_both_, &counts.caller_on_account},
  };
  for (const auto& [sum, use] : sums) {
    const SqliteResetter reset(*sum);
    sum->Bind(1, Today());
    sum->BindText(2, query.account);
    sum->BindText(3, query.caller);
    sum->BindText(4, without);
    if (auto status = SumInto(*sum, *use); !status.ok()) return status;
  }
  return counts;
}

absl::StatusOr<SpendingCounts> SpendingTable::Spent(const SpendingQuery& query) {
  return Sum(query, "");
}

absl::Status SpendingTable::Check(const v1::Operation& operation, const SpendingRules& rules) {
  const SpendingPrice price = PriceOf(operation);
  const Spender spender{operation.account(), operation.caller()};
  if (auto status = CheckOnePurchase(rules, spender, price); !status.ok()) return status;
  if (!LimitsSums(rules, price.currency)) return absl::OkStatus();
  {
    // What it has reserved already it may spend.
    const SqliteResetter reset(reserved_);
    reserved_.BindText(1, operation.account());
    reserved_.BindText(2, operation.request_id());
    reserved_.BindText(3, price.currency);
    reserved_.Bind(4, price.fee());
    reserved_.Bind(5, price.rate());
    const int code = reserved_.Step();
    if (code == SQLITE_ROW) return absl::OkStatus();
    if (code != SQLITE_DONE) return JournalFailed(database_, code, "read");
  }
  const auto used = Sum(spender, operation.request_id());
  if (!used.ok()) return used.status();
  return CheckSpending(rules, spender, price, *used);
}

// --- what follows of a write --------------------------------------------------------------------

int SpendingTable::Follow(const v1::Operation& operation, bool may_send) {
  switch (StepOf(operation, may_send)) {
    case SpendingStep::kReserve:
      return Reserve(operation);
    case SpendingStep::kGiveBack:
      return GiveBack(operation);
    case SpendingStep::kSettle:
      return Settle(operation);
    case SpendingStep::kEnd:
      return End(operation.account(), EndedLeaseOf(operation));
    case SpendingStep::kNone:
      break;
  }
  return SQLITE_DONE;
}

int SpendingTable::Reserve(const v1::Operation& operation) {
  const SpendingPrice price = PriceOf(operation);
  const SqliteResetter reset(reserve_);
  reserve_.BindText(1, operation.account());
  reserve_.BindText(2, operation.request_id());
  reserve_.BindText(3, operation.caller());
  reserve_.BindText(4, operation.phone_number());
  reserve_.BindText(5, price.currency);
  reserve_.Bind(6, price.fee());
  reserve_.Bind(7, price.rate());
  return reserve_.Step();
}

int SpendingTable::GiveBack(const v1::Operation& operation) {
  const SqliteResetter reset(give_back_);
  give_back_.BindText(1, operation.account());
  give_back_.BindText(2, operation.request_id());
  return give_back_.Step();
}

int SpendingTable::Settle(const v1::Operation& operation) {
  const SpendingPrice price = PriceOf(operation);
  const auto bind = [&](SqliteStatement& statement) {
    statement.BindText(1, operation.account());
    statement.BindText(2, operation.request_id());
    statement.BindText(3, operation.lease_id());
    statement.Bind(4, Today());
    statement.Bind(5, ToNanos(now_()));
    statement.BindText(7, price.currency);
    statement.Bind(8, price.fee());
    statement.Bind(9, price.rate());
  };
  {
    const SqliteResetter reset(settle_);
    bind(settle_);
    // What was charged is not known: what was reserved stands for it.
    settle_.Bind(6, price.is_known || !price.is_charged ? 1 : 0);
    const int code = settle_.Step();
    if (code != SQLITE_DONE || sqlite3_changes(database_.get()) > 0) return code;
  }
  // It was sent before the table was there.
  const SqliteResetter reset(settle_anew_);
  bind(settle_anew_);
  settle_anew_.BindText(10, operation.caller());
  settle_anew_.BindText(11, operation.phone_number());
  return settle_anew_.Step();
}

int SpendingTable::End(const std::string& account, const std::string& lease_id) {
  const SqliteResetter reset(end_);
  end_.BindText(1, account);
  end_.BindText(2, lease_id);
  end_.Bind(3, ToNanos(now_()));
  return end_.Step();
}

// --- leases that may have ended elsewhere, and rows that count no more ---------------------------

absl::StatusOr<std::vector<HeldLease>> SpendingTable::HeldWithout(
    const std::string& account, const std::set<std::string>& lease_ids, SystemTime as_of,
    int limit) {
  std::vector<HeldLease> held;
  const SqliteResetter reset(held_);
  held_.BindText(1, account);
  held_.Bind(2, ToNanos(as_of));
  int code = SQLITE_ROW;
  while (static_cast<int>(held.size()) < limit && (code = held_.Step()) == SQLITE_ROW) {
    HeldLease lease{std::string(held_.Text(0)), std::string(held_.Text(1))};
    if (!lease_ids.contains(lease.lease_id)) held.push_back(std::move(lease));
  }
  if (code != SQLITE_DONE && code != SQLITE_ROW) return JournalFailed(database_, code, "read");
  return held;
}

int SpendingTable::Prune(std::int64_t limit) {
  const SqliteResetter reset(prune_);
  prune_.Bind(1, Today() - kSpendingDays);
  prune_.Bind(2, limit);
  return prune_.Step();
}

}  // namespace leasegateway
