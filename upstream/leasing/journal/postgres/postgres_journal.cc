#include "upstream/leasing/journal/postgres/postgres_journal.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <boost/asio/this_coro.hpp>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "upstream/leasing/journal/journal_words.h"
#include "upstream/leasing/journal/postgres/lost_answers.h"
#include "upstream/leasing/journal/postgres/operation_statements.h"
#include "upstream/wakeup.h"

namespace leasegateway {

namespace asio = boost::asio;
using Begun = OperationJournal::Begun;
using Claimed = OperationJournal::Claimed;
using Page = OperationJournal::Page;
using Record = OperationJournal::Record;
using TimePoint = OperationJournal::TimePoint;
using postgres::Parameter;
using postgres::Rows;
using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

namespace {

// Year 9999.
constexpr std::int64_t kLastMicros = 253'402'300'799'000'000;

// The first µs since 1970 that is not before a time in ns.
std::int64_t MicrosFrom(std::int64_t nanos) {
  const std::int64_t micros = nanos / 1'000 + (nanos > 0 && nanos % 1'000 > 0 ? 1 : 0);
  return std::clamp<std::int64_t>(micros, 0, kLastMicros);
}

std::string HashOf(const std::string& text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return absl::BytesToHexString({reinterpret_cast<const char*>(digest.data()), 16});
}

}  // namespace

PostgresJournal::PostgresJournal(std::shared_ptr<postgres::Database> database,
                                 std::shared_ptr<News> news, std::shared_ptr<const Replica> replica,
                                 Options options)
    : database_(std::move(database)),
      news_(std::move(news)),
      replica_(std::move(replica)),
      options_(options) {}

std::string PostgresJournal::TopicOf(const std::string& account, const std::string& request_id) {
  return absl::StrCat("o/", HashOf(account), "/", HashOf(request_id));
}

PostgresJournal::Stats PostgresJournal::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

// --- statements ---------------------------------------------------------------------------------

postgres::Query PostgresJournal::ForOne(const postgres::Statement& statement,
                                        const std::string& account,
                                        const std::string& request_id) const {
  postgres::Query query;
  query.statement = &statement;
  query.parameters = {Parameter(replica_->id()), Parameter(account), Parameter(request_id)};
  return query;
}

asio::awaitable<absl::StatusOr<Rows>> PostgresJournal::Run(postgres::Query query,
                                                           TimePoint deadline) {
  return database_->RunShared(std::move(query), CallDeadline(deadline));
}

TimePoint PostgresJournal::CallDeadline(TimePoint deadline) const {
  return std::min(deadline, Clock::now() + options_.call_limit * 2 / 5);
}

asio::awaitable<absl::StatusOr<std::optional<OperationRow>>> PostgresJournal::ReadRow(
    std::string account, std::string request_id, TimePoint deadline) {
  auto reading = Run(ForOne(kReadOperation, account, request_id), deadline);
  const auto rows = co_await std::move(reading);
  if (!rows.ok()) co_return rows.status();
  if (rows->size() == 0) co_return std::optional<OperationRow>();
  auto row = DecodeRow(*rows, 0);
  if (!row.ok()) co_return row.status();
  co_return std::optional<OperationRow>(*std::move(row));
}

void PostgresJournal::Hold(const OperationRow& row) {
  const auto& entry = row.record.entry;
  OwnOperations::Origin origin;
  origin.fingerprint = entry.fingerprint;
  origin.create_time = row.create_time;
  own_.Hold(entry.operation.account(), entry.operation.request_id(), std::move(origin));
}

// --- begin --------------------------------------------------------------------------------------

postgres::Query PostgresJournal::Begins(const Entry& entry, std::int64_t attempt,
                                        std::int64_t claim) const {
  const auto& operation = entry.operation;
  postgres::Query query = ForOne(kBeginOperation, operation.account(), operation.request_id());
  query.parameters.push_back(Parameter::Bytes(entry.fingerprint));
  AddContents(operation, EncodeOperation(operation), query);
  query.parameters.emplace_back(attempt);
  query.parameters.emplace_back(claim);
  return query;
}

asio::awaitable<absl::StatusOr<Begun>> PostgresJournal::Begin(Entry entry, bool claim) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const TimePoint deadline = Clock::now() + options_.call_limit;
  const std::int64_t attempt = DrawAttempt();
  const std::int64_t claim_attempt = claim ? ++claims_ : 0;
  const std::string account = entry.operation.account();
  const std::string request_id = entry.operation.request_id();
  // From now on it isn't one that nobody works on.
  const bool is_new = own_.Reserve(account, request_id);
  absl::Status failure = ContendedError();
  for (int tries = 0; tries == 0 || Clock::now() < deadline; ++tries) {
    auto beginning = Run(Begins(entry, attempt, claim_attempt), deadline);
    const auto rows = co_await std::move(beginning);
    if (!rows.ok()) {
      failure = FailedStatement(rows.status());
      if (!IsLostAnswer(rows.status())) break;
      Count([](Stats& stats) { ++stats.answers_lost; });
    } else if (rows->size() > 0) {
      auto row = DecodeRow(*rows, 0);
      if (!row.ok()) {
        failure = row.status();
        break;
      }
      Begun begun;
      begun.existed = !rows->Bool(0, kRowColumns) && row->attempt != attempt;
      begun.claimed = claim && !begun.existed && rows->Bool(0, kRowColumns + 1);
      // One that was there is held once it is taken over; until then an Adopt may find it.
      if (!begun.existed && row->record.owner == Owner::kUs) {
        Hold(*row);
      } else if (is_new || row->record.owner != Owner::kUs) {
        own_.Drop(account, request_id);
      }
      begun.record = std::move(row->record);
      co_return begun;
    }
    auto resting = RestAfter(tries);
    co_await std::move(resting);
  }
  if (is_new) own_.Drop(account, request_id);
  co_return failure;
}

// --- claims -------------------------------------------------------------------------------------

asio::awaitable<absl::StatusOr<Claimed>> PostgresJournal::Claim(std::string account,
                                                                std::string request_id,
                                                                std::int64_t revision,
                                                                std::string phone_number) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const TimePoint deadline = Clock::now() + options_.call_limit;
  const std::int64_t attempt = ++claims_;
  absl::Status failure = ContendedError();
  for (int tries = 0; tries == 0 || Clock::now() < deadline; ++tries) {
    postgres::Query query = ForOne(kClaimNumber, account, request_id);
    query.parameters.emplace_back(revision);
    query.parameters.emplace_back(phone_number);
    query.parameters.emplace_back(attempt);
    auto claiming = Run(std::move(query), deadline);
    const auto rows = co_await std::move(claiming);
    if (rows.ok()) {
      auto claimed = ReadClaim(*rows, account, request_id, &revision);
      if (!claimed.ok()) co_return claimed.status();
      if (*claimed) co_return **std::move(claimed);
    } else {
      failure = FailedStatement(rows.status());
      if (!IsLostAnswer(rows.status())) co_return failure;
      Count([](Stats& stats) { ++stats.answers_lost; });
    }
    auto resting = RestAfter(tries);
    co_await std::move(resting);
  }
  co_return failure;
}

absl::StatusOr<std::optional<Claimed>> PostgresJournal::ReadClaim(const Rows& rows,
                                                                  const std::string& account,
                                                                  const std::string& request_id,
                                                                  std::int64_t* revision) {
  enum Column { kIsOurs, kRevision, kAttempt, kIsContended, kIsGranted, kHolder, kFreeIn };
  if (rows.size() == 0) return NoSuchOperation();
  const std::int64_t there = rows.Int(0, kRevision);
  if (!rows.Bool(0, kIsOurs) ||
      (there > *revision && !own_.IsLost(account, request_id, rows.Int(0, kAttempt)))) {
    return OwnershipLost(account, request_id);
  }
  if (there != *revision) {
    *revision = there;
    return std::nullopt;
  }
  Claimed claimed;
  claimed.granted = rows.Bool(0, kIsGranted);
  if (claimed.granted) return claimed;
  // Somebody else is claiming it just now, or has since this statement began.
  if (rows.Bool(0, kIsContended) || rows.IsNull(0, kHolder)) return std::nullopt;
  claimed.holder = rows.Bytes(0, kHolder);
  if (!rows.IsNull(0, kFreeIn)) {
    claimed.free_at = Clock::now() + microseconds(rows.Int(0, kFreeIn));
  }
  return claimed;
}

// --- reading ------------------------------------------------------------------------------------

asio::awaitable<absl::StatusOr<std::optional<Record>>> PostgresJournal::Find(
    std::string account, std::string request_id) {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto reading = ReadRow(account, request_id, Clock::now() + options_.call_limit);
  auto row = co_await std::move(reading);
  if (!row.ok()) co_return FailedStatement(row.status());
  if (!*row) co_return std::optional<Record>();
  co_return std::optional<Record>(std::move((*row)->record));
}

asio::awaitable<void> PostgresJournal::AwaitChange(std::string account, std::string request_id,
                                                   TimePoint until) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const std::string topic = TopicOf(account, request_id);
  const TimePoint now = Clock::now();
  until = std::min(until, now + pauses_.Next(topic, now));
  const auto wakeup = std::make_shared<Wakeup>(co_await asio::this_coro::executor);
  const auto heard = news_->Subscribe(topic, [wakeup](std::int64_t) { Wakeup::Wake(wakeup); });
  const auto missed = news_->OnGap([wakeup] { Wakeup::Wake(wakeup); });
  auto waiting = wakeup->WaitUntil(until);
  co_await std::move(waiting);
}

asio::awaitable<absl::StatusOr<Page>> PostgresJournal::List(Query query) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto position = StartOf(query);
  if (!position.ok()) co_return position.status();
  const int limit = PageLimit(query.limit);
  std::int64_t before = position->create_time;
  if (before != std::numeric_limits<std::int64_t>::max()) before = MicrosFrom(before);
  std::int64_t start = query.start_time;
  if (start != std::numeric_limits<std::int64_t>::min()) start = MicrosFrom(start);
  postgres::Query listing;
  listing.parameters = {
      Parameter(replica_->id()),       Parameter(query.account),           Parameter(before),
      Parameter(position->request_id), Parameter(std::int64_t{limit} + 1), Parameter(start)};
  unsigned filters = 0;
  if (!query.phone_number.empty()) {
    filters |= kOfNumber;
    listing.parameters.emplace_back(query.phone_number);
  }
  if (query.state) {
    filters |= kOfState;
    listing.parameters.emplace_back(std::int64_t{*query.state});
  }
  if (query.caller) {
    filters |= kOfCaller;
    listing.parameters.emplace_back(*query.caller);
  }
  if (query.kind) {
    filters |= kOfKind;
    listing.parameters.emplace_back(std::int64_t{*query.kind});
  }
  listing.statement = &ListOperations(filters);
  auto running = Run(std::move(listing), Clock::now() + options_.call_limit);
  const auto rows = co_await std::move(running);
  if (!rows.ok()) co_return FailedStatement(rows.status());
  Page page;
  for (int i = 0; i < std::min(rows->size(), limit); ++i) {
    auto row = DecodeRow(*rows, i);
    if (!row.ok()) co_return row.status();
    page.operations.push_back(std::move(row->record.entry.operation));
  }
  if (rows->size() > limit) {
    const auto& last = page.operations.back();
    ListPosition end;
    end.create_time = ToNanos(last.create_time());
    end.request_id = last.request_id();
    page.next = EncodePosition(end);
  }
  co_return page;
}

}  // namespace leasegateway
