#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "upstream/leasing/journal/postgres/postgres_journal.h"
#include "upstream/leasing/journal/postgres/spending_statements.h"

// What a PostgresJournal says of what is spent.

namespace leasegateway {

namespace asio = boost::asio;
using postgres::Parameter;
using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

asio::awaitable<absl::StatusOr<SpendingCounts>> PostgresJournal::Spent(SpendingQuery asked) {
  enum Column { kScope, kCurrency, kPurchases, kToday, kLeases, kPerMonth };
  co_await asio::this_coro::throw_if_cancelled(false);
  postgres::Query query;
  query.statement = &kSumSpending;
  query.parameters = {Parameter(asked.account), Parameter(asked.caller)};
  auto running = Run(std::move(query), Clock::now() + options_.call_limit);
  const auto rows = co_await std::move(running);
  if (!rows.ok()) co_return FailedStatement(rows.status());
  SpendingCounts counts;
  SpendingUse* const uses[] = {&counts.caller, &counts.account, &counts.caller_on_account};
  for (int i = 0; i < rows->size(); ++i) {
    SpendingUse& use = *uses[rows->Int(i, kScope)];
    use.purchases_today += rows->Int(i, kPurchases);
    use.live_leases += rows->Int(i, kLeases);
    const std::string currency(rows->Bytes(i, kCurrency));
    if (currency.empty()) continue;  // a price that nobody knows
    use.money[currency] = {rows->Int(i, kToday), rows->Int(i, kPerMonth)};
  }
  co_return counts;
}

asio::awaitable<absl::StatusOr<std::vector<HeldLease>>> PostgresJournal::HeldWithout(
    std::string account, std::vector<std::string> lease_ids, TimePoint as_of, int limit) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto age = std::chrono::duration_cast<microseconds>(Clock::now() - as_of);
  postgres::Query query;
  query.statement = &kHeldLeases;
  query.parameters = {Parameter(account), Parameter(absl::StrJoin(lease_ids, "\n")),
                      Parameter(std::int64_t{age.count()}), Parameter(std::int64_t{limit})};
  auto running = Run(std::move(query), Clock::now() + options_.call_limit);
  const auto rows = co_await std::move(running);
  if (!rows.ok()) co_return FailedStatement(rows.status());
  std::vector<HeldLease> held;
  for (int i = 0; i < rows->size(); ++i) {
    held.push_back({std::string(rows->Bytes(i, 0)), std::string(rows->Bytes(i, 1))});
  }
  co_return held;
}

asio::awaitable<absl::Status> PostgresJournal::EndedElsewhere(std::string account,
                                                              std::vector<std::string> lease_ids) {
  co_await asio::this_coro::throw_if_cancelled(false);
  postgres::Query query;
  query.statement = &kEndLeases;
  query.parameters = {Parameter(account), Parameter(absl::StrJoin(lease_ids, "\n"))};
  auto running = Run(std::move(query), Clock::now() + options_.call_limit);
  const auto rows = co_await std::move(running);
  co_return rows.ok() ? absl::OkStatus() : FailedStatement(rows.status());
}

}  // namespace leasegateway
