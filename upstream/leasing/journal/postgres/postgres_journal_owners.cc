#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "upstream/leasing/journal/journal_words.h"
#include "upstream/leasing/journal/postgres/lost_answers.h"
#include "upstream/leasing/journal/postgres/operation_statements.h"
#include "upstream/leasing/journal/postgres/postgres_journal.h"

// How a PostgresJournal comes to own operations that are there.

namespace leasegateway {

namespace asio = boost::asio;
using Record = OperationJournal::Record;
using TimePoint = OperationJournal::TimePoint;
using postgres::Parameter;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::int64_t kOwnAtATime = 1'000;

}  // namespace

asio::awaitable<absl::StatusOr<Record>> PostgresJournal::TakeOver(std::string account,
                                                                  std::string request_id,
                                                                  std::int64_t revision) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const TimePoint deadline = Clock::now() + options_.call_limit;
  const std::int64_t attempt = DrawAttempt();
  for (int tries = 0; tries == 0 || Clock::now() < deadline; ++tries) {
    auto taking = Take(account, request_id, revision, attempt, deadline);
    auto taken = co_await std::move(taking);
    if (!taken.ok()) co_return FailedStatement(taken.status());
    if (*taken) {
      Count([](Stats& stats) { ++stats.taken_over; });
      co_return std::move((*taken)->record);
    }
    auto reading = ReadRow(account, request_id, deadline);
    auto row = co_await std::move(reading);
    if (!row.ok()) co_return FailedStatement(row.status());
    if (!*row) co_return NoSuchOperation();
    Record& record = (*row)->record;
    if (record.revision != revision || record.owner == Owner::kAnother) {
      if (record.owner == Owner::kUs) record.owner = Owner::kNobody;
      co_return std::move(record);
    }
    auto resting = RestAfter(tries);
    co_await std::move(resting);
  }
  co_return ContendedError();
}

asio::awaitable<absl::StatusOr<std::optional<OperationRow>>> PostgresJournal::Take(
    std::string account, std::string request_id, std::int64_t revision, std::int64_t attempt,
    TimePoint deadline) {
  const bool is_new = own_.Reserve(account, request_id);
  auto trying = TryToTake(account, request_id, revision, attempt, deadline);
  auto taken = co_await std::move(trying);
  if (taken.ok() && *taken) {
    Hold(**taken);
  } else if (is_new) {
    own_.Drop(account, request_id);
  }
  co_return taken;
}

asio::awaitable<absl::StatusOr<std::optional<OperationRow>>> PostgresJournal::TryToTake(
    std::string account, std::string request_id, std::int64_t revision, std::int64_t attempt,
    TimePoint deadline) {
  postgres::Query query = ForOne(kTakeOperation, account, request_id);
  query.parameters.emplace_back(revision);
  query.parameters.emplace_back(attempt);
  auto taking = Run(std::move(query), deadline);
  const auto rows = co_await std::move(taking);
  if (rows.ok() && rows->size() > 0) {
    auto row = DecodeRow(*rows, 0);
    if (!row.ok()) co_return row.status();
    co_return std::optional<OperationRow>(*std::move(row));
  }
  if (!rows.ok()) {
    if (!IsLostAnswer(rows.status())) co_return rows.status();
    Count([](Stats& stats) { ++stats.answers_lost; });
  }
  // A try before, whose answer was lost, may have been done.
  auto reading = ReadRow(account, request_id, deadline);
  auto row = co_await std::move(reading);
  if (row.ok() && *row && (*row)->attempt != attempt) co_return std::optional<OperationRow>();
  co_return row;
}

asio::awaitable<absl::StatusOr<std::vector<Record>>> PostgresJournal::Adopt(std::string account,
                                                                            int limit, bool own) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const TimePoint deadline = Clock::now() + options_.call_limit;
  auto adopting = AdoptOrphans(account, limit, deadline);
  auto records = co_await std::move(adopting);
  if (!records.ok()) co_return FailedStatement(records.status());
  Count([&](Stats& stats) { stats.adopted += records->size(); });
  if (!own) co_return records;
  const int room = limit - static_cast<int>(records->size());
  // What was adopted is told, whatever becomes of the rest.
  auto finding = AdoptForgotten(account, room, deadline, &*records);
  const absl::Status found = co_await std::move(finding);
  if (!found.ok() && records->empty()) co_return FailedStatement(found);
  co_return records;
}

asio::awaitable<absl::StatusOr<std::vector<Record>>> PostgresJournal::AdoptOrphans(
    std::string account, int limit, TimePoint deadline) {
  const std::int64_t attempt = DrawAttempt();
  postgres::Query query;
  query.statement = &kAdoptOperations;
  query.parameters = {Parameter(replica_->id()), Parameter(account), Parameter(attempt),
                      Parameter(std::int64_t{limit})};
  auto adopting = Run(std::move(query), deadline);
  const auto rows = co_await std::move(adopting);
  if (rows.ok()) co_return HoldAll(*rows);
  if (!IsLostAnswer(rows.status())) co_return rows.status();
  Count([](Stats& stats) { ++stats.answers_lost; });
  postgres::Query again;
  again.statement = &kAdoptedOperations;
  again.parameters = {Parameter(replica_->id()), Parameter(account), Parameter(attempt)};
  auto reading = Run(std::move(again), deadline);
  const auto adopted = co_await std::move(reading);
  if (!adopted.ok()) co_return adopted.status();
  co_return HoldAll(*adopted);
}

absl::StatusOr<std::vector<Record>> PostgresJournal::HoldAll(const postgres::Rows& rows) {
  std::vector<OperationRow> decoded;
  for (int i = 0; i < rows.size(); ++i) {
    auto row = DecodeRow(rows, i);
    // A damaged one keeps no other one from being looked after.
    if (row.ok()) decoded.push_back(*std::move(row));
  }
  std::sort(decoded.begin(), decoded.end(), [](const OperationRow& a, const OperationRow& b) {
    return a.create_time < b.create_time;
  });
  std::vector<Record> records;
  for (OperationRow& row : decoded) {
    Hold(row);
    records.push_back(std::move(row.record));
  }
  return records;
}

asio::awaitable<absl::Status> PostgresJournal::AdoptForgotten(std::string account, int limit,
                                                              TimePoint deadline,
                                                              std::vector<Record>* records) {
  postgres::Query query;
  query.statement = &kOwnOperations;
  query.parameters = {Parameter(replica_->id()), Parameter(account), Parameter(kOwnAtATime)};
  auto listing = Run(std::move(query), deadline);
  const auto rows = co_await std::move(listing);
  if (!rows.ok()) co_return rows.status();
  for (int i = 0; i < rows->size() && limit > 0; ++i) {
    const std::string request_id(rows->Bytes(i, 0));
    if (own_.Holds(account, request_id)) continue;
    auto taking = Take(account, request_id, rows->Int(i, 1), DrawAttempt(), deadline);
    auto taken = co_await std::move(taking);
    // A damaged one keeps no other one from being found.
    if (absl::IsFailedPrecondition(taken.status())) continue;
    if (!taken.ok()) co_return taken.status();
    if (!*taken) continue;
    records->push_back(std::move((*taken)->record));
    --limit;
  }
  co_return absl::OkStatus();
}

}  // namespace leasegateway
