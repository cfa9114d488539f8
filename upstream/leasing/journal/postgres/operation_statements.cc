#include "upstream/leasing/journal/postgres/operation_statements.h"

#include <deque>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "upstream/leasing/journal/postgres/spending_statements.h"

namespace leasegateway {

namespace {

// The text of a statement, where {row} stands for the columns of a row `o` of an operation, {alive}
// for whether its owner is.
std::string Sql(const std::string& text) {
  const std::string row =
      "o.account, o.request_id, o.fingerprint, o.kind::bigint, o.state::bigint, o.phone_number,"
      " o.lease_id, o.caller, round(extract(epoch FROM o.create_time) * 1000000)::bigint,"
      " round(extract(epoch FROM o.update_time) * 1000000)::bigint, o.operation, o.revision,"
      " o.attempt, CASE WHEN o.owner IS NULL OR o.state IN (3, 4) AND o.owner <> $1::bigint THEN 0"
      " WHEN o.owner = $1::bigint THEN 1"
      " WHEN {alive} THEN 2 ELSE 3 END::bigint,"
      " coalesce(round(extract(epoch FROM o.send_until - clock_timestamp()) * 1000000), 0)::bigint";
  const std::string alive =
      "EXISTS (SELECT FROM lease_gateway.replica r WHERE r.id = o.owner"
      " AND r.alive_until > clock_timestamp())";
  return absl::StrReplaceAll(absl::StrReplaceAll(text, {{"{row}", row}}), {{"{alive}", alive}});
}

const std::string kBeginSql = Sql(R"sql(
  WITH known AS (
    SELECT * FROM lease_gateway.operation WHERE account = $2::text AND request_id = $3::text
  ), turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(hashtextextended($2::text || E'\n' || $3::text, 1)) AS ours,
           clock_timestamp() AS now
     WHERE NOT EXISTS (SELECT FROM known)
  ), fresh AS (
    INSERT INTO lease_gateway.operation
           (account, request_id, fingerprint, kind, state, phone_number, lease_id, caller,
            operation, owner, revision, attempt, create_time, update_time)
    SELECT $2::text, $3::text, $4::bytea, $5::bigint, $6::bigint, $7::text, $8::text, $9::text,
           $10::bytea, $1::bigint, 1, $11::bigint, now, now
      FROM turn WHERE ours
    ON CONFLICT (account, request_id) DO NOTHING
    RETURNING *
  ), number_turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(hashtextextended(account || E'\n' || phone_number, 2)) AS ours
      FROM fresh
     WHERE $12::bigint > 0 AND phone_number <> ''
       AND NOT EXISTS (SELECT FROM lease_gateway.number_claim h
                        WHERE h.account = fresh.account AND h.phone_number = fresh.phone_number
                          AND (h.free_at IS NULL OR h.free_at > clock_timestamp()))
  ), claimed AS (
    INSERT INTO lease_gateway.number_claim AS held
           (account, phone_number, request_id, revision, attempt)
    SELECT account, phone_number, request_id, revision, $12::bigint
      FROM fresh, number_turn WHERE number_turn.ours
    ON CONFLICT (account, phone_number) DO UPDATE
       SET request_id = excluded.request_id, revision = excluded.revision,
           attempt = excluded.attempt, free_at = NULL
     WHERE held.free_at <= clock_timestamp() OR held.request_id = excluded.request_id
    RETURNING 1
  )
  SELECT {row}, true, EXISTS (SELECT FROM claimed) FROM fresh o
  UNION ALL
  SELECT {row}, false,
         EXISTS (SELECT FROM lease_gateway.number_claim c
                  WHERE c.account = o.account AND c.phone_number = o.phone_number
                    AND c.request_id = o.request_id AND c.free_at IS NULL)
    FROM known o)sql");

const std::string kReadSql = Sql(R"sql(
  SELECT {row} FROM lease_gateway.operation o
   WHERE o.account = $2::text AND o.request_id = $3::text)sql");

constexpr char kReleasePart[] = R"sql(, gone AS (
    DELETE FROM lease_gateway.number_claim
     WHERE account = $2::text AND request_id = $3::text AND free_at IS NULL
       AND EXISTS (SELECT FROM changed)
  ))sql";
constexpr char kReleaseLaterPart[] = R"sql(, freed AS (
    UPDATE lease_gateway.number_claim
       SET free_at = clock_timestamp() + $15::bigint * interval '1 microsecond'
     WHERE account = $2::text AND request_id = $3::text AND free_at IS NULL
       AND EXISTS (SELECT FROM changed)
  ))sql";

// What has come to its end has no owner, and nothing of its last owner's is on its way any more; a
// former owner's request may still be. What happens to claims is in a statement of its own only
// where something does: the server takes as long to get a part of a statement ready as to run it.
std::string UpdateSql(ClaimStep claim_step, SpendingStep step, bool within) {
  const std::string text = R"sql(
  WITH {before}changed AS (
    UPDATE lease_gateway.operation
       SET kind = $7::bigint, state = $8::bigint, phone_number = $9::text, lease_id = $10::text,
           caller = $11::text, operation = $12::bytea, revision = $5::bigint,
           attempt = $6::bigint,
           owner = CASE WHEN $8::bigint NOT IN (3, 4) THEN $1::bigint END,
           send_until = CASE WHEN $8::bigint IN (3, 4) AND sender = $1::bigint THEN NULL
                             WHEN $13::bigint > 0
                             THEN clock_timestamp() + $13::bigint * interval '1 microsecond'
                             ELSE send_until END,
           sender = CASE WHEN $13::bigint > 0 THEN $1::bigint ELSE sender END,
           counted = $8::bigint IN (2, 5),
           update_time = greatest(clock_timestamp(), update_time)
     WHERE account = $2::text AND request_id = $3::text AND revision = $4::bigint
       AND (owner = $1::bigint OR $14::bigint = 1 AND owner IS NULL){condition}
    RETURNING 1
  ){claims}{spending}
  SELECT (SELECT count(*) FROM changed){columns})sql";
  const bool is_later = claim_step == ClaimStep::kReleaseLater;
  const int first = is_later ? 16 : 15;
  const SpendingCondition condition =
      within ? SpendingWithin(first, first + 3) : SpendingCondition();
  return absl::StrReplaceAll(text, {{"{before}", condition.before},
                                    {"{condition}", condition.condition},
                                    {"{claims}", is_later ? kReleaseLaterPart
                                                 : claim_step == ClaimStep::kKeep ? ""
                                                                                  : kReleasePart},
                                    {"{spending}", SpendingPart(step, first)},
                                    {"{columns}", condition.columns}});
}

std::string RestoreSql(SpendingStep step) {
  const std::string text = R"sql(
  WITH changed AS (
    INSERT INTO lease_gateway.operation
           (account, request_id, fingerprint, kind, state, phone_number, lease_id, caller,
            operation, owner, revision, attempt, counted, send_until, sender, create_time,
            update_time)
    SELECT $2::text, $3::text, $4::bytea, $7::bigint, $8::bigint, $9::text, $10::text, $11::text,
           $12::bytea, CASE WHEN $8::bigint NOT IN (3, 4) THEN $1::bigint END, $5::bigint,
           $6::bigint, $8::bigint IN (2, 5),
           CASE WHEN $8::bigint NOT IN (3, 4)
                THEN clock_timestamp() + $15::bigint * interval '1 microsecond' END, $1::bigint,
           to_timestamp($13::bigint / 1000000.0), clock_timestamp()
    ON CONFLICT (account, request_id) DO NOTHING
    RETURNING *
  ), held AS (
    INSERT INTO lease_gateway.number_claim (account, phone_number, request_id, revision, attempt)
    SELECT account, phone_number, request_id, revision, $14::bigint
      FROM changed WHERE owner IS NOT NULL AND phone_number <> ''
    ON CONFLICT (account, phone_number) DO NOTHING
  ){spending}
  SELECT count(*) FROM changed)sql";
  return absl::StrReplaceAll(text, {{"{spending}", SpendingPart(step, 16)}});
}

const std::string kTakeSql = Sql(R"sql(
  UPDATE lease_gateway.operation o
     SET owner = $1::bigint, revision = o.revision + 1, attempt = $5::bigint
   WHERE o.account = $2::text AND o.request_id = $3::text AND o.revision = $4::bigint
     AND (o.owner IS NULL OR o.owner = $1::bigint OR o.state IN (3, 4) OR NOT {alive})
  RETURNING {row})sql");

const std::string kAdoptSql = Sql(R"sql(
  WITH orphan AS (
    SELECT o.account, o.request_id FROM lease_gateway.operation o
     WHERE o.account = $2::text AND o.state NOT IN (3, 4)
       AND (o.owner IS NULL OR o.owner <> $1::bigint AND NOT {alive})
     ORDER BY o.create_time, o.request_id LIMIT $4::bigint
       FOR NO KEY UPDATE SKIP LOCKED
  )
  UPDATE lease_gateway.operation o
     SET owner = $1::bigint, revision = o.revision + 1, attempt = $3::bigint
    FROM orphan
   WHERE o.account = orphan.account AND o.request_id = orphan.request_id
  RETURNING {row})sql");

const std::string kAdoptedSql = Sql(R"sql(
  SELECT {row} FROM lease_gateway.operation o
   WHERE o.account = $2::text AND o.state NOT IN (3, 4) AND o.owner = $1::bigint
     AND o.attempt = $3::bigint)sql");

const std::string kOwnSql = Sql(R"sql(
  SELECT o.request_id, o.revision FROM lease_gateway.operation o
   WHERE o.account = $2::text AND o.state NOT IN (3, 4) AND o.owner = $1::bigint
   ORDER BY o.create_time, o.request_id LIMIT $3::bigint)sql");

// A copy of this that arrives late must not end a later claim of the same operation.
const std::string kClaimSql = Sql(R"sql(
  WITH operation AS (
    SELECT owner, revision, attempt FROM lease_gateway.operation
     WHERE account = $2::text AND request_id = $3::text
  ), turn AS MATERIALIZED (
    SELECT CASE WHEN NOT EXISTS (
                       SELECT FROM lease_gateway.number_claim h
                        WHERE h.account = $2::text AND h.phone_number = $5::text
                          AND h.request_id <> $3::text
                          AND (h.free_at IS NULL OR h.free_at > clock_timestamp()))
                THEN pg_try_advisory_xact_lock(
                       hashtextextended($2::text || E'\n' || $5::text, 2)) END AS ours
      FROM operation WHERE owner = $1::bigint AND revision = $4::bigint
  ), granted AS (
    INSERT INTO lease_gateway.number_claim AS held
           (account, phone_number, request_id, revision, attempt)
    SELECT $2::text, $5::text, $3::text, $4::bigint, $6::bigint FROM turn WHERE ours
    ON CONFLICT (account, phone_number) DO UPDATE
       SET request_id = excluded.request_id, revision = excluded.revision,
           attempt = excluded.attempt, free_at = NULL
     WHERE held.free_at <= clock_timestamp() OR held.request_id = excluded.request_id
    RETURNING 1
  ), gone AS (
    DELETE FROM lease_gateway.number_claim
     WHERE account = $2::text AND request_id = $3::text AND phone_number <> $5::text
       AND free_at IS NULL AND (revision, attempt) < ($4::bigint, $6::bigint)
       AND EXISTS (SELECT FROM granted)
  )
  SELECT coalesce(operation.owner = $1::bigint, false), operation.revision, operation.attempt,
         coalesce((SELECT NOT ours FROM turn), false), EXISTS (SELECT FROM granted),
         held.request_id,
         round(extract(epoch FROM held.free_at - clock_timestamp()) * 1000000)::bigint
    FROM operation LEFT JOIN lease_gateway.number_claim held
      ON held.account = $2::text AND held.phone_number = $5::text)sql");

// {n} is a filter's own parameter. A caller's name may be too long for an index.
std::string ListSql(unsigned filters) {
  constexpr std::pair<unsigned, const char*> kFilters[] = {
      {kOfNumber, " AND o.phone_number = {n}::text"},
      {kOfState, " AND o.state = {n}::bigint"},
      {kOfCaller,
       " AND left(o.caller, 256) COLLATE \"C\" = left({n}::text, 256) AND o.caller = {n}::text"},
      {kOfKind, " AND o.kind = {n}::bigint"}};
  std::string filter;
  int parameter = 7;
  for (const auto& [bit, sql] : kFilters) {
    if ((filters & bit) == 0) continue;
    filter += absl::StrReplaceAll(sql, {{"{n}", absl::StrCat("$", parameter++)}});
  }
  const std::string text = R"sql(
    SELECT {row} FROM lease_gateway.operation o
     WHERE o.account = $2::text{filter}
       AND o.create_time >= CASE WHEN $6::bigint = -9223372036854775808
                                 THEN '-infinity'::timestamptz
                                 ELSE to_timestamp($6::bigint / 1000000.0) END
       AND (o.create_time, o.request_id) < (CASE WHEN $3::bigint = 9223372036854775807
                                                 THEN 'infinity'::timestamptz
                                                 ELSE to_timestamp($3::bigint / 1000000.0) END,
                                            $4::text COLLATE "C")
     ORDER BY o.create_time DESC, o.request_id DESC LIMIT $5::bigint)sql";
  return Sql(absl::StrReplaceAll(text, {{"{filter}", filter}}));
}

// Of each set of filters. One name in logs: those on the server have a hash of the text.
struct ListStatement {
  explicit ListStatement(unsigned filters) : sql(ListSql(filters)) {}
  ListStatement(const ListStatement&) = delete;
  ListStatement& operator=(const ListStatement&) = delete;
  const std::string sql;
  const postgres::Statement statement{"journal_list", sql.c_str()};
};

// `which`: the condition of an index that has them by their last change.
std::string PruneSql(const std::string& which) {
  const std::string text = R"sql(
  WITH old AS (
    SELECT o.account, o.request_id FROM lease_gateway.operation o
     WHERE {which}
       AND o.update_time < clock_timestamp() - $1::bigint * interval '1 microsecond'
       AND (o.owner IS NULL OR NOT {alive})
     ORDER BY o.update_time LIMIT $2::bigint
       FOR UPDATE SKIP LOCKED
  ), gone AS (
    DELETE FROM lease_gateway.operation o USING old
     WHERE o.account = old.account AND o.request_id = old.request_id
    RETURNING 1
  )
  SELECT count(*) FROM gone)sql";
  return Sql(absl::StrReplaceAll(text, {{"{which}", which}}));
}

const std::string kPruneSql = PruneSql("(o.state = 4 OR o.state = 3 AND o.kind NOT IN (1, 2))");
// All that is as old as this has been a purchase.
const std::string kPrunePurchasesSql =
    PruneSql("o.state IN (3, 4) AND o.state = 3 AND o.kind IN (1, 2)");

}  // namespace

const postgres::Statement kBeginOperation{"journal_begin", kBeginSql.c_str()};
const postgres::Statement kReadOperation{"journal_read", kReadSql.c_str()};
const postgres::Statement kTakeOperation{"journal_take", kTakeSql.c_str()};
const postgres::Statement kAdoptOperations{"journal_adopt", kAdoptSql.c_str()};
const postgres::Statement kAdoptedOperations{"journal_adopted", kAdoptedSql.c_str()};
const postgres::Statement kOwnOperations{"journal_own", kOwnSql.c_str()};
const postgres::Statement kClaimNumber{"journal_claim", kClaimSql.c_str()};
const postgres::Statement& ListOperations(unsigned filters) {
  static const std::deque<ListStatement> statements = [] {
    std::deque<ListStatement> all;
    for (unsigned each = 0; each < 16; ++each) all.emplace_back(each);
    return all;
  }();
  return statements[filters].statement;
}
const postgres::Statement kPruneOperations{"journal_prune", kPruneSql.c_str()};
const postgres::Statement kPrunePurchases{"journal_prune", kPrunePurchasesSql.c_str()};
const postgres::Statement kPruneClaims{"journal_prune_claims", R"sql(
  WITH gone AS (
    DELETE FROM lease_gateway.number_claim
     WHERE (account, phone_number) IN (
             SELECT account, phone_number FROM lease_gateway.number_claim
              WHERE free_at <= clock_timestamp()
                 -- One that came to be while its operation ended, which could not see it.
                 OR free_at IS NULL AND EXISTS (
                      SELECT FROM lease_gateway.operation o
                       WHERE o.account = number_claim.account
                         AND o.request_id = number_claim.request_id
                         AND o.state IN (3, 4) AND o.revision > number_claim.revision)
              LIMIT $1::bigint FOR UPDATE SKIP LOCKED)
    RETURNING 1
  )
  SELECT count(*) FROM gone)sql"};
const postgres::Statement kCountOpenOperations{"journal_open", R"sql(
  SELECT count(*), round(extract(epoch FROM min(create_time)) * 1000000)::bigint
    FROM lease_gateway.operation WHERE state NOT IN (3, 4))sql"};

namespace {

constexpr SpendingStep kSteps[] = {SpendingStep::kNone, SpendingStep::kReserve,
                                   SpendingStep::kGiveBack, SpendingStep::kSettle,
                                   SpendingStep::kEnd};

// One statement for each way of writing: one name in logs, as many on the server, where names have
// a hash of the text. Made once; never freed, for connections keep what points here.
struct WriteStatements {
  WriteStatements() {
    for (const SpendingStep step : kSteps) {
      for (const ClaimStep claims :
           {ClaimStep::kKeep, ClaimStep::kRelease, ClaimStep::kReleaseLater}) {
        updates[{claims, step}] = Make("journal_update", UpdateSql(claims, step, false));
      }
      restores[step] = Make("journal_restore", RestoreSql(step));
    }
    within = Make("journal_update", UpdateSql(ClaimStep::kKeep, SpendingStep::kReserve, true));
  }
  postgres::Statement Make(const char* name, std::string sql) {
    return {name, texts.emplace_back(std::move(sql)).c_str()};
  }

  std::deque<std::string> texts;
  std::map<std::pair<ClaimStep, SpendingStep>, postgres::Statement> updates;
  std::map<SpendingStep, postgres::Statement> restores;
  postgres::Statement within;
};

const WriteStatements& Writes() {
  static const auto* const statements = new WriteStatements;
  return *statements;
}

}  // namespace

const postgres::Statement& UpdateOperation(ClaimStep claims, SpendingStep step, bool within) {
  return within ? Writes().within : Writes().updates.at({claims, step});
}

const postgres::Statement& RestoreOperation(SpendingStep step) {
  return Writes().restores.at(step);
}

}  // namespace leasegateway
