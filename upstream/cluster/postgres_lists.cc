#include "upstream/cluster/postgres_lists.h"

#include <openssl/rand.h>
#include <openssl/sha.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "upstream/cluster/compressed.h"

namespace leasegateway {

namespace asio = boost::asio;
using postgres::Parameter;
using postgres::Query;
using postgres::Rows;
using postgres::Statement;
using std::chrono::microseconds;

namespace {

constexpr std::int64_t kFormat = 1;
constexpr std::int64_t kEntriesOfPage = 64;
constexpr std::chrono::minutes kPrunePause{1};
// The age of what was fetched in the future: the database's clock was set back since, as by a
// standby that took over. It has to be fetched again.
constexpr std::chrono::hours kAgeUnknown{1};

constexpr Statement kBegin{
    "lists_begin",
    "WITH log AS (INSERT INTO lease_gateway.list_log (account, log_id, key, sequence, mark)"
    " VALUES ($1::text, $2::bigint, $3::bytea, 0, 0) ON CONFLICT DO NOTHING)"
    "INSERT INTO lease_gateway.list_fetch (account, list) VALUES ($1::text, 0), ($1::text, 1)"
    " ON CONFLICT DO NOTHING"};

// Before whatever appends, or depends on where the log ends: what follows sees what whoever held
// the row has committed. Its commit waits for no disk: kRenew is for what a crash loses.
constexpr Statement kHold{
    "lists_hold",
    "SELECT set_config('synchronous_commit', 'off', true) FROM lease_gateway.list_log"
    " WHERE account = $1::text FOR NO KEY UPDATE"};

// The log gets another id, unless somebody has seen to that since the server's crash.
constexpr Statement kRenew{
    "lists_renew",
    "WITH head AS (UPDATE lease_gateway.list_log l SET log_id = $2::bigint"
    " WHERE account = $1::text AND NOT EXISTS (SELECT FROM lease_gateway.list_alive a"
    "  WHERE a.account = $1::text AND a.log_id = l.log_id)"
    " RETURNING account, log_id)"
    "INSERT INTO lease_gateway.list_alive SELECT account, log_id FROM head"
    " ON CONFLICT (account) DO UPDATE SET log_id = excluded.log_id"};

// Arrays: $3 numbers at this replica, $4 marks, $6 contents.
constexpr Statement kAppendWrites{
    "lists_append_writes",
    "WITH fresh AS (SELECT w.writer_count, w.mark, w.content,"
    "  row_number() OVER (ORDER BY w.place) AS place"
    " FROM unnest($3::bigint[], $4::bigint[], $6::bytea[]) WITH ORDINALITY"
    "  AS w (writer_count, mark, content, place)"
    " WHERE (SELECT e.sequence FROM lease_gateway.list_entry e WHERE e.account = $1::text"
    "  AND e.writer = $2::bigint AND e.writer_count = w.writer_count) IS NULL),"
    "head AS (UPDATE lease_gateway.list_log SET sequence = sequence + last.place, mark = last.mark"
    " FROM (SELECT place, mark FROM fresh ORDER BY place DESC LIMIT 1) AS last"
    " WHERE account = $1::text RETURNING sequence - last.place AS before)"
    "INSERT INTO lease_gateway.list_entry"
    " (account, sequence, kind, mark, writer, writer_count, format, content)"
    " SELECT $1::text, before + place, 0, mark, $2::bigint, writer_count, $5::bigint, content"
    " FROM head, fresh"};

constexpr Statement kClaim{
    "lists_claim",
    "UPDATE lease_gateway.list_fetch SET claim_replica = $3::bigint,"
    " claim_until = clock_timestamp() + $4::bigint * interval '1 millisecond'"
    " WHERE account = $1::text AND list = $2::bigint"
    " AND (claim_until IS NULL OR claim_until <= clock_timestamp())"
    " AND (fetch_time IS NULL OR seen < $7::bigint"
    "  OR fetch_time > clock_timestamp()"
    "  OR fetch_time <= 'epoch'::timestamptz + $5::bigint * interval '1 microsecond'"
    "  OR fetch_time < 'epoch'::timestamptz + $6::bigint * interval '1 microsecond')"
    " RETURNING 1::bigint"};

constexpr Statement kRelease{
    "lists_release",
    "UPDATE lease_gateway.list_fetch SET claim_until = NULL"
    " WHERE account = $1::text AND list = $2::bigint AND claim_replica = $3::bigint"
    " AND claim_until IS NOT NULL"};

// Nothing has changed: the small row, and now and then the list as it is.
constexpr Statement kRefreshTime{
    "lists_refresh_time",
    "WITH done AS (UPDATE lease_gateway.list_fetch SET"
    " fetch_time = 'epoch'::timestamptz + $4::bigint * interval '1 microsecond',"
    " seen = greatest(seen, $5::bigint), metadata = $6::bytea,"
    " whole_at = CASE WHEN $7::bytea IS NULL THEN whole_at ELSE $3::bigint END,"
    " whole_bytes = coalesce(octet_length($7::bytea), whole_bytes),"
    " delta_bytes = CASE WHEN $7::bytea IS NULL THEN delta_bytes ELSE 0 END,"
    " claim_until = CASE WHEN claim_replica = $8::bigint THEN NULL ELSE claim_until END"
    " WHERE account = $1::text AND list = $2::bigint"
    " AND (fetch_time IS NULL OR fetch_time > clock_timestamp()"
    "  OR fetch_time < 'epoch'::timestamptz + $4::bigint * interval '1 microsecond')"
    " AND $3::bigint = (SELECT sequence FROM lease_gateway.list_log WHERE account = $1::text)"
    " RETURNING 1::bigint AS one),"
    "whole AS (INSERT INTO lease_gateway.list_whole (account, list, sequence, format, content)"
    " SELECT $1::text, $2::bigint, $3::bigint, $9::bigint, $7::bytea FROM done"
    " WHERE $7::bytea IS NOT NULL ON CONFLICT DO NOTHING)"
    "SELECT one FROM done"};

// Something has: an entry, a whole list, or both.
constexpr Statement kRefresh{
    "lists_refresh",
    "WITH head AS (UPDATE lease_gateway.list_log SET sequence = sequence + 1, mark = $10::bigint"
    " WHERE account = $1::text AND sequence = $3::bigint"
    " AND EXISTS (SELECT FROM lease_gateway.list_fetch"
    "  WHERE account = $1::text AND list = $2::bigint AND (fetch_time IS NULL"
    "   OR fetch_time > clock_timestamp()"
    "   OR fetch_time < 'epoch'::timestamptz + $4::bigint * interval '1 microsecond'))"
    " RETURNING sequence),"
    "whole AS (INSERT INTO lease_gateway.list_whole (account, list, sequence, format, content)"
    " SELECT $1::text, $2::bigint, sequence, $9::bigint, $7::bytea FROM head"
    " WHERE $7::bytea IS NOT NULL),"
    "entry AS (INSERT INTO lease_gateway.list_entry"
    " (account, sequence, kind, mark, format, content)"
    " SELECT $1::text, sequence, $2::bigint + 1, $10::bigint, $9::bigint, $11::bytea FROM head"
    " RETURNING sequence)"
    "UPDATE lease_gateway.list_fetch SET"
    " fetch_time = 'epoch'::timestamptz + $4::bigint * interval '1 microsecond',"
    " seen = greatest(seen, $5::bigint), metadata = $6::bytea,"
    " whole_at = CASE WHEN $7::bytea IS NULL THEN whole_at ELSE $3::bigint + 1 END,"
    " whole_bytes = coalesce(octet_length($7::bytea), whole_bytes),"
    " delta_bytes = CASE WHEN $7::bytea IS NULL THEN delta_bytes + octet_length($11::bytea)"
    "  ELSE 0 END,"
    " claim_until = CASE WHEN claim_replica = $8::bigint THEN NULL ELSE claim_until END"
    " WHERE account = $1::text AND list = $2::bigint AND EXISTS (SELECT FROM entry)"
    " RETURNING 1::bigint"};

constexpr Statement kHead{
    "lists_head",
    "SELECT l.log_id, l.key, l.sequence, l.mark,"
    " EXISTS (SELECT FROM lease_gateway.list_alive a"
    "  WHERE a.account = l.account AND a.log_id = l.log_id),"
    " (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,"
    " (extract(epoch FROM n.fetch_time) * 1000000)::bigint, n.seen, n.metadata,"
    " n.whole_at, n.whole_bytes, n.delta_bytes,"
    " (extract(epoch FROM o.fetch_time) * 1000000)::bigint, o.seen, o.metadata,"
    " o.whole_at, o.whole_bytes, o.delta_bytes"
    " FROM lease_gateway.list_log l"
    " JOIN lease_gateway.list_fetch n ON n.account = l.account AND n.list = 0"
    " JOIN lease_gateway.list_fetch o ON o.account = l.account AND o.list = 1"
    " WHERE l.account = $1::text"};

constexpr Statement kEntries{
    "lists_entries",
    "SELECT e.sequence, e.kind::bigint, e.mark, coalesce(e.writer, 0), coalesce(e.writer_count, 0),"
    " coalesce(w.format, e.format)::bigint, w.content IS NOT NULL,"
    " CASE WHEN e.sequence = $2::bigint THEN NULL ELSE coalesce(e.content, w.content) END"
    " FROM lease_gateway.list_entry e LEFT JOIN lease_gateway.list_whole w"
    "  ON e.content IS NULL AND w.account = e.account AND w.list = e.kind - 1"
    "  AND w.sequence = e.sequence"
    " WHERE e.account = $1::text AND e.sequence >= $2::bigint ORDER BY e.sequence LIMIT "
    "$3::bigint"};

// In one statement, so that both parts are as of one moment.
constexpr Statement kRestore{
    "lists_restore",
    "WITH whole AS (SELECT sequence, list, format, content FROM lease_gateway.list_whole"
    " WHERE account = $1::text AND list = $2::bigint AND sequence <= $3::bigint"
    " ORDER BY sequence DESC LIMIT 1)"
    "SELECT sequence, (list + 1)::bigint, 0::bigint, 0::bigint, 0::bigint, format::bigint, true,"
    " content FROM whole UNION ALL "
    "SELECT e.sequence, e.kind::bigint, e.mark, coalesce(e.writer, 0), coalesce(e.writer_count, 0),"
    " e.format::bigint, false, CASE WHEN e.kind IN (0, $2::bigint + 1) THEN e.content END"
    " FROM lease_gateway.list_entry e WHERE e.account = $1::text AND e.sequence <= $3::bigint"
    " AND e.sequence > (SELECT sequence FROM whole) ORDER BY sequence"};

// Keeps of each list a whole that is as old as tokens may be, and all entries from the older of
// them on; of a log that is too large, only what follows the newest ones. A list that nobody has
// asked for in an hour keeps nothing: its next refresh is stored as a whole.
constexpr Statement kPrune{
    "lists_prune",
    "WITH size AS (SELECT"
    " coalesce((SELECT sum(octet_length(content)) FROM lease_gateway.list_entry"
    "  WHERE account = $1::text), 0)"
    " + coalesce((SELECT sum(octet_length(content)) FROM lease_gateway.list_whole"
    "  WHERE account = $1::text), 0) AS bytes),"
    "idle AS (UPDATE lease_gateway.list_fetch SET whole_at = 0, whole_bytes = 0, delta_bytes = 0"
    " WHERE account = $1::text AND whole_at > 0"
    " AND fetch_time < clock_timestamp() - interval '1 hour' RETURNING list),"
    "known AS (SELECT list, max(sequence) FILTER (WHERE bytes > $3::bigint"
    "  OR made_at < clock_timestamp() - $2::bigint * interval '1 millisecond') AS oldest"
    " FROM lease_gateway.list_whole, size WHERE account = $1::text"
    " AND list NOT IN (SELECT list FROM idle) GROUP BY list),"
    "kept AS (SELECT min(oldest) AS sequence FROM known HAVING bool_and(oldest IS NOT NULL)),"
    "wholes AS (DELETE FROM lease_gateway.list_whole w USING kept, known"
    " WHERE w.account = $1::text AND w.list = known.list AND w.sequence < known.oldest"
    " AND w.sequence < kept.sequence),"
    "unused AS (DELETE FROM lease_gateway.list_whole w USING idle"
    " WHERE w.account = $1::text AND w.list = idle.list)"
    "DELETE FROM lease_gateway.list_entry e USING kept"
    " WHERE e.account = $1::text AND e.sequence < kept.sequence"};

std::int64_t Random() {
  std::int64_t value = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&value), sizeof(value));
  return value & INT64_MAX;
}

std::string TopicOf(const std::string& account) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(account.data()), account.size(), digest);
  return absl::StrCat(
      "s/", absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), 8)));
}

Parameter Unsigned(std::uint64_t value) { return Parameter(static_cast<std::int64_t>(value)); }
Parameter ListOf(SharedList list) { return Parameter(static_cast<std::int64_t>(list)); }
Parameter CompressedOrNull(const std::optional<std::string>& content) {
  return content ? Parameter::Bytes(Compress(*content)) : Parameter::Null();
}

// The text of an array, of which each element is written as it stands there.
Parameter ArrayOf(const std::vector<std::string>& elements) {
  return Parameter(absl::StrCat("{", absl::StrJoin(elements, ","), "}"));
}

// A row of kEntries and those like it.
LogEntry ReadEntry(const Rows& rows, int row) {
  LogEntry entry;
  entry.sequence = static_cast<std::uint64_t>(rows.Int(row, 0));
  entry.kind = static_cast<LogEntry::Kind>(rows.Int(row, 1));
  entry.mark = rows.Int(row, 2);
  entry.writer = static_cast<std::uint64_t>(rows.Int(row, 3));
  entry.writer_count = static_cast<std::uint64_t>(rows.Int(row, 4));
  entry.is_whole = rows.Bool(row, 6);
  auto content = rows.Int(row, 5) == kFormat && !rows.IsNull(row, 7)
                     ? Decompress(rows.Bytes(row, 7))
                     : std::nullopt;
  entry.is_readable = content.has_value();
  if (content) entry.content = *std::move(content);
  return entry;
}

}  // namespace

PostgresLists::PostgresLists(std::shared_ptr<postgres::Database> database,
                             std::shared_ptr<News> news, Options options)
    : database_(std::move(database)),
      news_(std::move(news)),
      options_(std::move(options)),
      topic_(TopicOf(options_.account)) {}

std::int64_t PostgresLists::ToDatabase(TimePoint own) const {
  const std::lock_guard lock(mutex_);
  return moment_.database - std::chrono::duration_cast<microseconds>(moment_.own - own).count();
}

void PostgresLists::AddRefresh(const RefreshToLog& refresh, std::vector<Query>* queries) const {
  const auto& whole = refresh.is_whole ? refresh.delta : refresh.checkpoint;
  std::vector<Parameter> parameters = {
      options_.account,         ListOf(refresh.list),       Unsigned(refresh.at),
      ToDatabase(refresh.sent), Unsigned(refresh.seen),     Parameter::Bytes(refresh.metadata),
      CompressedOrNull(whole),  Unsigned(options_.replica), kFormat};
  if (!refresh.delta) {
    queries->push_back({&kRefreshTime, std::move(parameters)});
    return;
  }
  parameters.emplace_back(Random());
  parameters.push_back(refresh.is_whole ? Parameter::Null() : CompressedOrNull(refresh.delta));
  queries->push_back({&kRefresh, std::move(parameters)});
}

Query PostgresLists::AppendOf(const std::vector<WriteToLog>& writes) const {
  std::vector<std::string> counts, marks, contents;
  for (const WriteToLog& write : writes) {
    counts.push_back(std::to_string(write.count));
    marks.push_back(std::to_string(Random()));
    contents.push_back(
        absl::StrCat("\"\\\\x", absl::BytesToHexString(Compress(write.content)), "\""));
  }
  return {&kAppendWrites,
          {options_.account, Unsigned(options_.replica), ArrayOf(counts), ArrayOf(marks), kFormat,
           ArrayOf(contents)}};
}

std::vector<Query> PostgresLists::QueriesOf(const LogRequest& request, Places* places) const {
  std::vector<Query> queries;
  if (!request.writes.empty() || request.refresh) {
    queries.push_back({&kHold, {options_.account}});
  }
  if (!request.writes.empty()) queries.push_back(AppendOf(request.writes));
  if (request.claim) {
    const ClaimRequest& claim = *request.claim;
    places->claim = queries.size();
    queries.push_back({&kClaim,
                       {options_.account, ListOf(claim.list), Unsigned(options_.replica),
                        std::int64_t{options_.claim_time.count()}, claim.known_time,
                        claim.not_before ? ToDatabase(*claim.not_before) : std::int64_t{0},
                        Unsigned(claim.min_seen)}});
  }
  if (request.release) {
    queries.push_back(
        {&kRelease, {options_.account, ListOf(*request.release), Unsigned(options_.replica)}});
  }
  if (request.refresh) {
    places->refresh = queries.size();
    AddRefresh(*request.refresh, &queries);
  }
  places->head = queries.size();
  queries.push_back({&kHead, {options_.account}});
  places->entries = queries.size();
  queries.push_back({&kEntries,
                     {options_.account, Unsigned(request.after),
                      request.log == 0 ? std::int64_t{0} : kEntriesOfPage}});
  return queries;
}

PostgresLists::Head PostgresLists::ReadHead(const Rows& rows, TimePoint asked, TimePoint answered,
                                            LogPage* page) {
  if (rows.size() == 0) return Head::kMissing;
  page->log = static_cast<std::uint64_t>(rows.Int(0, 0));
  page->key = std::string(rows.Bytes(0, 1));
  page->sequence = static_cast<std::uint64_t>(rows.Int(0, 2));
  page->mark = rows.Int(0, 3);
  const bool may_have_lost = !rows.Bool(0, 4);
  const std::int64_t now = rows.Int(0, 5);
  page->time = now;
  int column = 6;
  for (SharedFetch& fetch : page->fetches) {
    fetch.time = rows.IsNull(0, column) ? 0 : rows.Int(0, column);
    fetch.sent =
        asked - (fetch.time > now ? microseconds(kAgeUnknown) : microseconds(now - fetch.time));
    fetch.seen = static_cast<std::uint64_t>(rows.Int(0, column + 1));
    fetch.metadata = std::string(rows.Bytes(0, column + 2));
    fetch.whole_at = static_cast<std::uint64_t>(rows.Int(0, column + 3));
    fetch.whole_bytes = static_cast<std::size_t>(rows.Int(0, column + 4));
    fetch.delta_bytes = static_cast<std::size_t>(rows.Int(0, column + 5));
    column += 6;
  }
  const std::lock_guard lock(mutex_);
  moment_ = {now, answered};
  return may_have_lost ? Head::kMayHaveLost : Head::kRead;
}

void PostgresLists::ReadEntries(const Rows& rows, const LogRequest& request, LogPage* page) const {
  if (request.log != page->log) return;  // to be restored
  if (request.after > page->sequence) {
    page->is_lost = true;
    return;
  }
  int row = 0;
  if (request.after > 0 && rows.size() > 0 &&
      static_cast<std::uint64_t>(rows.Int(0, 0)) == request.after) {
    row = 1;
    page->is_lost = rows.Int(0, 2) != request.after_mark;
  } else if (request.after == page->sequence) {
    page->is_lost = page->mark != request.after_mark;
  }
  std::uint64_t sequence = request.after;
  for (; row < rows.size() && !page->is_lost; ++row) {
    LogEntry entry = ReadEntry(rows, row);
    if (entry.sequence > page->sequence) break;  // came while this was read
    page->is_lost = entry.sequence != ++sequence;
    page->entries.push_back(std::move(entry));
  }
  if (request.after < page->sequence && page->entries.empty()) page->is_lost = true;
  if (page->is_lost) page->entries.clear();
}

asio::awaitable<absl::Status> PostgresLists::Begin(TimePoint deadline) {
  std::string key(32, '\0');
  RAND_bytes(reinterpret_cast<unsigned char*>(key.data()), static_cast<int>(key.size()));
  std::vector<Query> queries;
  queries.push_back({&kBegin, {options_.account, Random() | 1, Parameter::Bytes(key)}});
  auto running = database_->Run(std::move(queries), deadline);
  const auto done = co_await std::move(running);
  co_return done.status();
}

asio::awaitable<absl::Status> PostgresLists::Renew(TimePoint deadline) {
  std::vector<Query> queries;
  queries.push_back({&kHold, {options_.account}});
  queries.push_back({&kRenew, {options_.account, Random() | 1}});
  auto running = database_->Run(std::move(queries), deadline);
  const auto done = co_await std::move(running);
  co_return done.status();
}

asio::awaitable<absl::StatusOr<LogPage>> PostgresLists::Exchange(
    LogRequest request, std::chrono::steady_clock::time_point deadline) {
  bool claimed = false;
  bool refreshed = false;
  for (int tries = 0; tries < 3; ++tries) {
    Places places;
    const TimePoint asked = options_.now();
    auto running = database_->Run(QueriesOf(request, &places), deadline);
    const auto rows = co_await std::move(running);
    if (!rows.ok()) co_return rows.status();
    LogPage page;
    const Head head = ReadHead((*rows)[places.head], asked, options_.now(), &page);
    claimed = claimed || (places.claim && (*rows)[*places.claim].size() > 0);
    refreshed = refreshed || (places.refresh && (*rows)[*places.refresh].size() > 0);
    if (head != Head::kRead) {
      auto beginning = head == Head::kMissing ? Begin(deadline) : Renew(deadline);
      absl::Status begun = co_await std::move(beginning);
      if (!begun.ok()) co_return begun;
      continue;
    }
    page.claimed = claimed;
    page.refreshed = refreshed;
    ReadEntries((*rows)[places.entries], request, &page);
    if (!request.writes.empty() || page.refreshed || request.release) {
      news_->Tell(topic_, static_cast<std::int64_t>(options_.replica));
    }
    if (page.refreshed) {
      auto pruning = PruneNowAndThen(deadline);
      co_await std::move(pruning);
    }
    co_return page;
  }
  co_return absl::InternalError("the account has no log of lists");
}

asio::awaitable<absl::StatusOr<RestoredList>> PostgresLists::Restore(
    SharedList list, std::uint64_t at, std::chrono::steady_clock::time_point deadline) {
  std::vector<Query> queries;
  queries.push_back({&kRestore, {options_.account, ListOf(list), Unsigned(at)}});
  auto running = database_->Run(std::move(queries), deadline);
  const auto answer = co_await std::move(running);
  if (!answer.ok()) co_return answer.status();
  const Rows& rows = answer->front();
  if (rows.size() == 0) co_return absl::NotFoundError("the log does not reach back so far");
  RestoredList restored;
  restored.whole = ReadEntry(rows, 0);
  for (int row = 1; row < rows.size(); ++row) restored.entries.push_back(ReadEntry(rows, row));
  co_return restored;
}

asio::awaitable<void> PostgresLists::PruneNowAndThen(TimePoint deadline) {
  {
    const std::lock_guard lock(mutex_);
    const TimePoint now = options_.now();
    if (pruned_ != TimePoint::min() && now - pruned_ < kPrunePause) co_return;
    pruned_ = now;
  }
  std::vector<Query> queries;
  queries.push_back(
      {&kPrune, {options_.account, std::int64_t{options_.kept_for.count()}, options_.kept_bytes}});
  auto running = database_->Run(std::move(queries), deadline);
  const auto done = co_await std::move(running);
  if (!done.ok()) {
    spdlog::warn("old entries of the shared lists could not be removed: {}",
                 std::string(done.status().message()));
  }
}

std::shared_ptr<void> PostgresLists::OnNews(std::function<void()> heard) {
  using Both = std::pair<News::Subscription, News::Subscription>;
  const auto own = static_cast<std::int64_t>(options_.replica);
  auto others = news_->Subscribe(topic_, [heard, own](std::int64_t teller) {
    if (teller != own) heard();
  });
  return std::make_shared<Both>(std::move(others), news_->OnGap(heard));
}

}  // namespace leasegateway
