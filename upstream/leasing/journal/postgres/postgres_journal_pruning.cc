#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <string>
#include <utility>

#include "upstream/leasing/journal/journal_words.h"
#include "upstream/leasing/journal/postgres/operation_statements.h"
#include "upstream/leasing/journal/postgres/postgres_journal.h"
#include "upstream/leasing/journal/postgres/spending_statements.h"

// How a PostgresJournal forgets what is old.

namespace leasegateway {

namespace asio = boost::asio;
using postgres::Parameter;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::int64_t kPrunedAtATime = 200;

}  // namespace

// The wait for the next time, which the end of the journal cuts short.
struct PostgresJournal::PruneTimer {
  explicit PruneTimer(const asio::any_io_executor& executor)
      : strand(asio::make_strand(executor)), timer(strand) {}
  const asio::any_io_executor strand;
  asio::steady_timer timer;  // this and below: on the strand
  bool is_over = false;
};

PostgresJournal::~PostgresJournal() {
  if (!prune_timer_) return;
  asio::post(prune_timer_->strand, [timer = prune_timer_] {
    timer->is_over = true;
    timer->timer.cancel();
  });
}

void PostgresJournal::KeepPruned(const std::shared_ptr<PostgresJournal>& journal,
                                 const asio::any_io_executor& executor) {
  journal->prune_timer_ = std::make_shared<PruneTimer>(executor);
  asio::co_spawn(journal->prune_timer_->strand,
                 PruneNowAndThen(journal, journal->prune_timer_, journal->options_.prune_interval),
                 asio::detached);
}

asio::awaitable<void> PostgresJournal::PruneNowAndThen(std::weak_ptr<PostgresJournal> weak,
                                                       std::shared_ptr<PruneTimer> timer,
                                                       std::chrono::milliseconds interval) {
  while (!timer->is_over) {
    if (const auto journal = weak.lock()) {
      auto pruning = journal->Prune();
      co_await std::move(pruning);
    }
    timer->timer.expires_after(interval);
    boost::system::error_code ignored;
    co_await timer->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

asio::awaitable<absl::StatusOr<std::int64_t>> PostgresJournal::Prune() {
  co_await asio::this_coro::throw_if_cancelled(false);
  std::int64_t pruned = 0;
  for (const auto& [statement, retention] :
       {std::pair(&kPruneOperations, options_.retention),
        std::pair(&kPrunePurchases, std::max(options_.retention, options_.purchase_retention))}) {
    for (bool more = true; more;) {
      postgres::Query query;
      query.statement = statement;
      query.parameters = {Parameter(std::int64_t{std::chrono::microseconds(retention).count()}),
                          Parameter(kPrunedAtATime)};
      auto pruning = CountOf(std::move(query));
      const auto count = co_await std::move(pruning);
      if (!count.ok()) co_return count.status();
      pruned += *count;
      Count([&](Stats& stats) { stats.pruned += static_cast<std::uint64_t>(*count); });
      more = *count == kPrunedAtATime;
    }
  }
  for (bool more = true; more;) {
    postgres::Query query;
    query.statement = &kPruneClaims;
    query.parameters = {Parameter(kPrunedAtATime)};
    auto pruning = CountOf(std::move(query));
    const auto count = co_await std::move(pruning);
    if (!count.ok()) co_return count.status();
    more = *count == kPrunedAtATime;
  }
  auto pruning = PruneSpending();
  if (const absl::Status status = co_await std::move(pruning); !status.ok()) co_return status;
  postgres::Query query;
  query.statement = &kCountOpenOperations;
  auto counting = Run(std::move(query), Clock::now() + options_.call_limit);
  const auto open = co_await std::move(counting);
  if (!open.ok()) co_return FailedStatement(open.status());
  Count([&](Stats& stats) {
    stats.open = open->Int(0, 0);
    stats.oldest_open.reset();
    if (!open->IsNull(0, 1)) stats.oldest_open = FromNanos(open->Int(0, 1) * 1'000);
  });
  co_return pruned;
}

asio::awaitable<absl::Status> PostgresJournal::PruneSpending() {
  for (bool more = true; more;) {
    postgres::Query query;
    query.statement = &kPruneSpending;
    query.parameters = {Parameter(kPrunedAtATime)};
    auto pruning = CountOf(std::move(query));
    const auto count = co_await std::move(pruning);
    if (!count.ok()) co_return count.status();
    more = *count == kPrunedAtATime;
  }
  co_return absl::OkStatus();
}

asio::awaitable<absl::StatusOr<std::int64_t>> PostgresJournal::CountOf(postgres::Query query) {
  auto running = Run(std::move(query), Clock::now() + options_.call_limit);
  const auto rows = co_await std::move(running);
  if (!rows.ok()) co_return FailedStatement(rows.status());
  co_return rows->Int(0, 0);
}

}  // namespace leasegateway
