#include "upstream/leasing/journal/postgres/spending_statements.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace leasegateway {

using postgres::Parameter;

namespace {

// {today}: the UTC day, since 1970.
constexpr char kToday[] = "floor(extract(epoch FROM clock_timestamp()) / 86400)::bigint";
constexpr char kMost[] = "9223372036854775807";

// {1}, {2}, … stand for the parameters from `first` on.
std::string Numbered(std::string text, int first) {
  for (int i = 15; i >= 0; --i) {
    text = absl::StrReplaceAll(
        text, {{absl::StrCat("{", i + 1, "}"), absl::StrCat("$", first + i)}, {"{today}", kToday}});
  }
  return text;
}

constexpr char kReservePart[] = R"sql(, reserved AS (
    INSERT INTO lease_gateway.spending AS held
           (account, request_id, caller, phone_number, currency, upfront, monthly)
    SELECT $2::text, $3::text, $11::text, $9::text, {1}::text, {2}::bigint, {3}::bigint
      FROM changed
    ON CONFLICT (account, request_id) WHERE last_day IS NULL DO UPDATE
       SET phone_number = excluded.phone_number, currency = excluded.currency,
           upfront = excluded.upfront, monthly = excluded.monthly
  ))sql";

constexpr char kGiveBackPart[] = R"sql(, given_back AS (
    DELETE FROM lease_gateway.spending
     WHERE account = $2::text AND request_id = $3::text AND last_day IS NULL
       AND EXISTS (SELECT FROM changed)
  ))sql";

// {5}: whether what was charged is known; otherwise what was reserved stands for it. Where nothing
// was reserved, the purchase went out before this was counted.
constexpr char kSettlePart[] = R"sql(, bought AS (
    UPDATE lease_gateway.spending
       SET lease_id = {4}::text, last_day = {today}, settle_time = clock_timestamp(),
           currency = CASE WHEN {5}::bigint = 1 THEN {1}::text ELSE currency END,
           upfront = CASE WHEN {5}::bigint = 1 THEN {2}::bigint ELSE upfront END,
           monthly = CASE WHEN {5}::bigint = 1 THEN {3}::bigint ELSE monthly END
     WHERE account = $2::text AND request_id = $3::text AND last_day IS NULL
       AND EXISTS (SELECT FROM changed)
    RETURNING 1
  ), bought_unreserved AS (
    INSERT INTO lease_gateway.spending
           (account, request_id, caller, phone_number, lease_id, currency, upfront, monthly,
            last_day, settle_time)
    SELECT $2::text, $3::text, $11::text, $9::text, {4}::text, {1}::text, {2}::bigint, {3}::bigint,
           {today}, clock_timestamp()
      FROM changed
     WHERE NOT EXISTS (SELECT FROM bought)
       AND NOT EXISTS (SELECT FROM lease_gateway.spending
                        WHERE account = $2::text AND lease_id = {4}::text)
  ))sql";

constexpr char kEndPart[] = R"sql(, ended AS (
    UPDATE lease_gateway.spending SET end_time = clock_timestamp()
     WHERE account = $2::text AND lease_id = {1}::text AND last_day IS NOT NULL
       AND end_time IS NULL AND EXISTS (SELECT FROM changed)
  ))sql";

// What is used of one scope's limits, without this operation's own reservation, and whether it
// leaves room. {1} … {4} are the limits, NULL: none. {currency}, {fee}, {rate}: of the purchase.
constexpr char kUsedPart[] = R"sql({scope} AS MATERIALIZED (
    SELECT count(*) FILTER (WHERE s.last_day IS NULL OR s.last_day >= clock.today) AS purchases,
           count(*) FILTER (WHERE s.end_time IS NULL) AS leases,
           coalesce(sum(s.upfront + s.monthly)
                      FILTER (WHERE (s.last_day IS NULL OR s.last_day >= clock.today)
                                AND s.currency = {currency}::text), 0) AS today,
           coalesce(sum(s.monthly) FILTER (WHERE s.end_time IS NULL
                                             AND s.currency = {currency}::text), 0) AS per_month
      FROM clock, lease_gateway.spending s
     WHERE coalesce({1}::bigint, {2}::bigint, {3}::bigint, {4}::bigint) IS NOT NULL
       AND {whose}
       AND NOT (s.account = $2::text AND s.request_id = $3::text AND s.last_day IS NULL)
  ), )sql";
constexpr char kRoomPart[] = R"sql(
       AND coalesce({scope}.purchases + 1 <= {1}::bigint, true)
       AND coalesce({scope}.leases + 1 <= {2}::bigint, true)
       AND coalesce({scope}.today + {fee}::bigint + {rate}::bigint <= {3}::bigint, true)
       AND coalesce({scope}.per_month + {rate}::bigint <= {4}::bigint, true))sql";

struct ScopePart {
  const char* name;
  const char* whose;
};
constexpr std::array<ScopePart, 3> kScopes = {{
    {"of_caller", "left(s.caller, 256) = left($11::text, 256) AND s.caller = $11::text"},
    {"of_account", "s.account = $2::text"},
    {"of_both",
     "left(s.caller, 256) = left($11::text, 256) AND s.caller = $11::text AND s.account = "
     "$2::text"},
}};
constexpr int kLimits = 4;  // of a scope

Parameter OrNull(const std::optional<std::int64_t>& value) {
  return value ? Parameter(*value) : Parameter::Null();
}

// Of a limit, for pg_advisory_xact_lock. Two that are the same by chance only wait for each other.
std::int64_t LockOf(const std::string& scope) {
  const std::string text = absl::StrCat("spending\n", scope);
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::int64_t lock = 0;
  std::memcpy(&lock, digest.data(), sizeof(lock));
  return lock;
}

}  // namespace

std::string SpendingPart(SpendingStep step, int first) {
  switch (step) {
    case SpendingStep::kReserve:
      return Numbered(kReservePart, first);
    case SpendingStep::kGiveBack:
      return Numbered(kGiveBackPart, first);
    case SpendingStep::kSettle:
      return Numbered(kSettlePart, first);
    case SpendingStep::kEnd:
      return Numbered(kEndPart, first);
    case SpendingStep::kNone:
      break;
  }
  return "";
}

void AddSpending(const v1::Operation& operation, SpendingStep step, postgres::Query& query) {
  if (step == SpendingStep::kEnd) query.parameters.emplace_back(EndedLeaseOf(operation));
  if (step != SpendingStep::kReserve && step != SpendingStep::kSettle) return;
  const SpendingPrice price = PriceOf(operation);
  query.parameters.emplace_back(price.currency);
  query.parameters.emplace_back(price.fee());
  query.parameters.emplace_back(price.rate());
  if (step == SpendingStep::kReserve) return;
  query.parameters.emplace_back(operation.lease_id());
  query.parameters.emplace_back(std::int64_t{price.is_known || !price.is_charged});
}

SpendingCondition SpendingWithin(int reserve, int first) {
  SpendingCondition within;
  std::string room;
  std::string from;
  within.before = absl::StrCat("clock AS MATERIALIZED (SELECT ", kToday, " AS today), ");
  within.columns =
      ", (SELECT ok FROM room),"
      " EXISTS (SELECT FROM lease_gateway.operation WHERE account = $2::text"
      " AND request_id = $3::text AND revision = $4::bigint"
      " AND (owner = $1::bigint OR $14::bigint = 1 AND owner IS NULL))";
  for (const ScopePart& scope : kScopes) {
    const auto part = [&](const char* text) {
      return Numbered(absl::StrReplaceAll(text, {{"{scope}", scope.name},
                                                 {"{whose}", scope.whose},
                                                 {"{currency}", absl::StrCat("$", reserve)},
                                                 {"{fee}", absl::StrCat("$", reserve + 1)},
                                                 {"{rate}", absl::StrCat("$", reserve + 2)}}),
                      first);
    };
    within.before += part(kUsedPart);
    room += part(kRoomPart);
    absl::StrAppend(&from, from.empty() ? "" : ", ", scope.name);
    for (const char* column : {"purchases", "leases", "today", "per_month"}) {
      absl::StrAppend(&within.columns, ", (SELECT least(", column, ", ", kMost, ")::bigint FROM ",
                      scope.name, ")");
    }
    first += kLimits;
  }
  // What it has reserved already it may spend.
  absl::StrAppend(&within.before,
                  Numbered(R"sql(room AS MATERIALIZED (
    SELECT (EXISTS (SELECT FROM lease_gateway.spending
                     WHERE account = $2::text AND request_id = $3::text AND last_day IS NULL
                       AND currency = {1}::text AND upfront = {2}::bigint AND monthly = {3}::bigint)
        OR (true)sql",
                           reserve),
                  room,
                  // A snapshot that is older than the locks would not show what others have taken.
                  ")) AND current_setting('transaction_isolation') = 'read committed' AS ok FROM ",
                  from, "), ");
  within.condition = " AND (SELECT ok FROM room)";
  return within;
}

void AddLimits(const SpendingRules& rules, const SpendingPrice& price, postgres::Query& query) {
  static const auto* const no_limits = new SpendingLimits;
  static const auto* const no_money = new CurrencyLimits;
  for (const SpendingLimits* limits :
       {rules.caller.get(), rules.account.get(), rules.caller_on_account.get()}) {
    const SpendingLimits& all = limits != nullptr ? *limits : *no_limits;
    const auto at = all.currencies.find(price.currency);
    const CurrencyLimits& money = at == all.currencies.end() ? *no_money : at->second;
    query.parameters.push_back(OrNull(all.purchases_per_day));
    query.parameters.push_back(OrNull(all.live_leases));
    query.parameters.push_back(OrNull(money.money_per_day));
    query.parameters.push_back(OrNull(money.money_per_month));
  }
}

postgres::Query LockLimits(const SpendingRules& rules, const Spender& spender,
                           const std::string& currency) {
  static constexpr postgres::Statement kLock{
      "spending_lock",
      "SELECT pg_advisory_xact_lock($1::bigint), pg_advisory_xact_lock($2::bigint),"
      " pg_advisory_xact_lock($3::bigint)"};
  std::vector<std::int64_t> locks;
  if (LimitsSums(rules.caller.get(), currency)) {
    locks.push_back(LockOf(absl::StrCat("caller\n", spender.caller)));
  }
  if (LimitsSums(rules.account.get(), currency)) {
    locks.push_back(LockOf(absl::StrCat("account\n", spender.account)));
  }
  if (LimitsSums(rules.caller_on_account.get(), currency)) {
    locks.push_back(LockOf(absl::StrCat("both\n", spender.account, "\n", spender.caller)));
  }
  std::sort(locks.begin(), locks.end());
  // One that is had already is had again at once.
  while (locks.size() < 3) locks.push_back(locks.empty() ? 0 : locks.back());
  postgres::Query query;
  query.statement = &kLock;
  for (const std::int64_t lock : locks) query.parameters.emplace_back(lock);
  return query;
}

SpendingAnswer ReadAnswer(const postgres::Rows& rows, int column, const std::string& currency) {
  SpendingAnswer answer;
  answer.within = rows.Bool(0, column++);
  answer.is_current = rows.Bool(0, column++);
  for (SpendingUse* use :
       {&answer.used.caller, &answer.used.account, &answer.used.caller_on_account}) {
    use->purchases_today = rows.Int(0, column++);
    use->live_leases = rows.Int(0, column++);
    MoneyUse& money = use->money[currency];
    money.today = rows.Int(0, column++);
    money.per_month = rows.Int(0, column++);
  }
  return answer;
}

const postgres::Statement kSumSpending{"spending_sum", R"sql(
  WITH clock AS MATERIALIZED (
    SELECT floor(extract(epoch FROM clock_timestamp()) / 86400)::bigint AS today
  ), counted AS MATERIALIZED (
    SELECT account, caller, currency, upfront + monthly AS fee, monthly, end_time IS NULL AS is_live,
           last_day IS NULL OR last_day >= clock.today AS is_of_today
      FROM clock, lease_gateway.spending
     WHERE account = $1::text OR left(caller, 256) = left($2::text, 256) AND caller = $2::text
  ), scoped AS (
    SELECT 0::bigint AS scope, * FROM counted WHERE caller = $2::text
    UNION ALL SELECT 1, * FROM counted WHERE account = $1::text
    UNION ALL SELECT 2, * FROM counted WHERE caller = $2::text AND account = $1::text
  )
  SELECT scope, currency, count(*) FILTER (WHERE is_of_today),
         least(coalesce(sum(fee) FILTER (WHERE is_of_today), 0), 9223372036854775807)::bigint,
         count(*) FILTER (WHERE is_live),
         least(coalesce(sum(monthly) FILTER (WHERE is_live), 0), 9223372036854775807)::bigint
    FROM scoped GROUP BY scope, currency)sql"};

const postgres::Statement kHeldLeases{"spending_held", R"sql(
  SELECT lease_id, phone_number FROM lease_gateway.spending
   WHERE account = $1::text AND end_time IS NULL
     AND settle_time < clock_timestamp() - $3::bigint * interval '1 microsecond'
     AND NOT EXISTS (SELECT FROM unnest(string_to_array($2::text, E'\n')) AS live (id)
                      WHERE live.id = lease_id)
   ORDER BY settle_time LIMIT $4::bigint)sql"};

const postgres::Statement kEndLeases{"spending_end", R"sql(
  WITH ended AS (
    UPDATE lease_gateway.spending SET end_time = clock_timestamp()
     WHERE account = $1::text AND lease_id IN (SELECT unnest(string_to_array($2::text, E'\n')))
       AND lease_id <> '' AND end_time IS NULL
    RETURNING 1
  )
  SELECT count(*) FROM ended)sql"};

const postgres::Statement kPruneSpending{"spending_prune", R"sql(
  WITH gone AS (
    DELETE FROM lease_gateway.spending WHERE id IN (
      SELECT id FROM lease_gateway.spending
       WHERE end_time IS NOT NULL
         AND last_day < floor(extract(epoch FROM clock_timestamp()) / 86400)::bigint - 2
       LIMIT $1::bigint FOR UPDATE SKIP LOCKED)
    RETURNING 1
  )
  SELECT count(*) FROM gone)sql"};

}  // namespace leasegateway
