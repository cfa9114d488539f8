#include <spdlog/spdlog.h>

#include <boost/asio/this_coro.hpp>
#include <string>
#include <utility>
#include <vector>

#include "upstream/leasing/journal/journal_words.h"
#include "upstream/leasing/journal/postgres/lost_answers.h"
#include "upstream/leasing/journal/postgres/operation_statements.h"
#include "upstream/leasing/journal/postgres/postgres_journal.h"
#include "upstream/leasing/journal/postgres/spending_statements.h"
#include "upstream/upstream_error.h"

// How a PostgresJournal writes operations that it owns, and finds out what became of a write.

namespace leasegateway {

namespace asio = boost::asio;
using TimePoint = OperationJournal::TimePoint;
using Updated = OperationJournal::Updated;
using postgres::Parameter;
using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

postgres::Query PostgresJournal::UpdateFor(const Write& write) const {
  const auto& operation = write.change.operation;
  const bool releases = write.change.release || IsSettled(operation.state());
  const std::int64_t later = microseconds(write.change.release_after).count();
  const ClaimStep claims = !releases   ? ClaimStep::kKeep
                           : later > 0 ? ClaimStep::kReleaseLater
                                       : ClaimStep::kRelease;
  const SpendingStep step = StepFor(write, write.was_forgotten);
  postgres::Query query = ForOne(UpdateOperation(claims, step, write.within), operation.account(),
                                 operation.request_id());
  query.parameters.emplace_back(write.follows);
  query.parameters.emplace_back(write.revision);
  query.parameters.emplace_back(write.attempt);
  AddContents(operation, write.bytes, query);
  const bool may_send = write.change.may_send_for > write.change.may_send_for.zero();
  query.parameters.emplace_back(may_send || write.was_forgotten ? OnItsWay(write) : 0);
  query.parameters.emplace_back(std::int64_t{write.from_nobody});
  if (releases && later > 0) query.parameters.emplace_back(later);
  AddSpending(operation, step, query);
  if (write.within) AddLimits(*write.change.spending, PriceOf(operation), query);
  return query;
}

SpendingStep PostgresJournal::StepFor(const Write& write, bool forgotten) {
  const v1::Operation& operation = write.change.operation;
  const auto state = operation.state();
  const bool may_send = write.change.may_send_for > write.change.may_send_for.zero();
  // What is lost with it was reserved.
  const bool is_open = state == v1::OPERATION_STATE_SENT || state == v1::OPERATION_STATE_UNKNOWN;
  return StepOf(operation, may_send || (forgotten && is_open));
}

asio::awaitable<absl::StatusOr<postgres::Rows>> PostgresJournal::RunUpdate(const Write* write,
                                                                           TimePoint deadline) {
  if (!write->within) {
    auto running = Run(UpdateFor(*write), deadline);
    co_return co_await std::move(running);
  }
  const v1::Operation& operation = write->change.operation;
  std::vector<postgres::Query> queries;
  queries.push_back(LockLimits(*write->change.spending, {operation.account(), operation.caller()},
                               PriceOf(operation).currency));
  queries.push_back(UpdateFor(*write));
  auto running = database_->Run(std::move(queries), CallDeadline(deadline));
  auto rows = co_await std::move(running);
  if (!rows.ok()) co_return rows.status();
  co_return std::move(rows->back());
}

absl::Status PostgresJournal::RefusalOf(const Write& write, const postgres::Rows& rows) {
  if (!write.within) return absl::OkStatus();
  const v1::Operation& operation = write.change.operation;
  const SpendingPrice price = PriceOf(operation);
  const SpendingAnswer answer = ReadAnswer(rows, 1, price.currency);
  if (answer.within || !answer.is_current) return absl::OkStatus();
  return CheckSpending(*write.change.spending, {operation.account(), operation.caller()}, price,
                       answer.used);
}

std::int64_t PostgresJournal::OnItsWay(const Write& write) const {
  return microseconds(write.change.may_send_for + options_.request_limit + options_.clock_margin)
      .count();
}

asio::awaitable<absl::StatusOr<Updated>> PostgresJournal::Update(Change change) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const TimePoint started = Clock::now();
  const TimePoint deadline = started + options_.call_limit;
  Write write;
  write.bytes = EncodeOperation(change.operation);
  write.attempt = DrawAttempt();
  write.follows = change.revision;
  write.revision = change.revision + 1;
  write.change = std::move(change);
  const v1::Operation& operation = write.change.operation;
  if (const auto& rules = write.change.spending;
      rules && StepFor(write, false) == SpendingStep::kReserve) {
    const SpendingPrice price = PriceOf(operation);
    auto allowed = CheckOnePurchase(*rules, {operation.account(), operation.caller()}, price);
    if (!allowed.ok()) co_return allowed;
    write.within = LimitsSums(*rules, price.currency);
  }
  absl::Status failure = ContendedError();
  for (int tries = 0; tries == 0 || Clock::now() < deadline; ++tries) {
    auto writing = RunUpdate(&write, deadline);
    const auto rows = co_await std::move(writing);
    if (rows.ok() && rows->Int(0, 0) == 1) co_return Done(write, started);
    if (rows.ok()) {
      failure = RefusalOf(write, *rows);
      if (!failure.ok()) break;
      failure = ContendedError();
    } else {
      failure = FailedStatement(rows.status());
      if (!IsLostAnswer(rows.status())) break;
      write.answer_lost = true;
      Count([](Stats& stats) { ++stats.answers_lost; });
    }
    auto finding = FindOut(&write, deadline);
    const auto found = co_await std::move(finding);
    if (!found.ok()) {
      failure = found.status();
      break;
    }
    if (*found == Found::kWritten) co_return Done(write, started);
    auto resting = RestAfter(tries);
    co_await std::move(resting);
  }
  if (write.answer_lost) {
    own_.NoteLost(operation.account(), operation.request_id(), write.attempt);
  }
  co_return failure;
}

Updated PostgresJournal::Done(const Write& write, TimePoint started) {
  const v1::Operation& operation = write.change.operation;
  const bool is_settled = IsSettled(operation.state());
  if (is_settled) own_.Drop(operation.account(), operation.request_id());
  // Others wait for its outcome, or for its number.
  if (is_settled || write.change.release) {
    news_->Tell(TopicOf(operation.account(), operation.request_id()), write.revision);
  }
  Updated updated;
  updated.revision = write.revision;
  if (write.change.may_send_for > write.change.may_send_for.zero()) {
    updated.send_before = started + write.change.may_send_for;
  }
  return updated;
}

asio::awaitable<absl::StatusOr<PostgresJournal::Found>> PostgresJournal::FindOut(
    Write* write, TimePoint deadline) {
  const v1::Operation& operation = write->change.operation;
  auto reading = ReadRow(operation.account(), operation.request_id(), deadline);
  const auto row = co_await std::move(reading);
  if (!row.ok()) co_return FailedStatement(row.status());
  if (*row) co_return Judge(write, **row);
  auto restoring = Restore(write, deadline);
  co_return co_await std::move(restoring);
}

absl::StatusOr<PostgresJournal::Found> PostgresJournal::Judge(Write* write,
                                                              const OperationRow& row) {
  const v1::Operation& operation = write->change.operation;
  const std::int64_t there = row.record.revision;
  const bool is_ours = row.record.owner == Owner::kUs;
  if (row.attempt == write->attempt) {
    write->revision = there;
    return Found::kWritten;
  }
  if (is_ours && there == write->follows) return Found::kNotWritten;
  if (is_ours && there < write->follows) {
    spdlog::error(
        "operation {}: the database has lost what it had acknowledged of it: it has "
        "revision {} instead of {}; it is written again",
        operation.request_id(), there, write->follows);
    Count([](Stats& stats) { ++stats.restored; });
    write->was_forgotten = true;
    write->revision = write->follows + 1;
    write->follows = there;
    return Found::kNotWritten;
  }
  const bool was_ours = own_.IsLost(operation.account(), operation.request_id(), row.attempt) &&
                        (is_ours || !row.is_owned);
  if (!was_ours) return OwnershipLost(operation.account(), operation.request_id());
  write->follows = there;
  write->revision = there + 1;
  write->from_nobody = !row.is_owned;
  return Found::kNotWritten;
}

postgres::Query PostgresJournal::RestoreFor(const Write& write,
                                            const OwnOperations::Origin& origin) {
  const auto& operation = write.change.operation;
  const SpendingStep step = StepFor(write, true);
  postgres::Query query =
      ForOne(RestoreOperation(step), operation.account(), operation.request_id());
  query.parameters.push_back(Parameter::Bytes(origin.fingerprint));
  query.parameters.emplace_back(write.revision);
  query.parameters.emplace_back(write.attempt);
  AddContents(operation, write.bytes, query);
  query.parameters.emplace_back(origin.create_time);
  query.parameters.emplace_back(++claims_);
  query.parameters.emplace_back(OnItsWay(write));
  AddSpending(operation, step, query);
  return query;
}

asio::awaitable<absl::StatusOr<PostgresJournal::Found>> PostgresJournal::Restore(
    Write* write, TimePoint deadline) {
  const v1::Operation& operation = write->change.operation;
  const auto origin = own_.Find(operation.account(), operation.request_id());
  if (!origin) co_return NoSuchOperation();
  auto restoring = Run(RestoreFor(*write, *origin), deadline);
  const auto rows = co_await std::move(restoring);
  if (!rows.ok()) {
    write->answer_lost = write->answer_lost || IsLostAnswer(rows.status());
    co_return FailedStatement(rows.status());
  }
  if (rows->Int(0, 0) == 0) co_return Found::kNotWritten;
  spdlog::error("operation {}: the database has lost its row; it is written anew",
                operation.request_id());
  Count([](Stats& stats) { ++stats.restored; });
  co_return Found::kWritten;
}

absl::Status PostgresJournal::OwnershipLost(const std::string& account,
                                            const std::string& request_id) {
  own_.Drop(account, request_id);
  Count([](Stats& stats) { ++stats.ownership_lost; });
  return MakeError(absl::StatusCode::kAborted, reason::kOwnershipLost,
                   "another replica of the gateway works on this operation");
}

}  // namespace leasegateway
