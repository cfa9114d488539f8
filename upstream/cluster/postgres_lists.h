#ifndef LEASE_GATEWAY_UPSTREAM_CLUSTER_POSTGRES_LISTS_H_
#define LEASE_GATEWAY_UPSTREAM_CLUSTER_POSTGRES_LISTS_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "upstream/availability/shared_lists.h"
#include "upstream/cluster/news.h"
#include "upstream/postgres/database.h"

namespace leasegateway {

// The log of an account's lists in the tables of schema/0003_lists.sql, contents compressed. That
// it appended it tells on the topic `s/<hash of the account>`, with its id, and hears only others.
// Nothing waits for the disk: a log that may have lost entries by a crash of the server is another
// log from then on. Thread-safe.
class PostgresLists final : public SharedLists {
 public:
  struct Options {
    std::string account;
    std::uint64_t replica = 0;                        // Replica::id()
    std::chrono::milliseconds claim_time{10'000};     // for one answer of the provider
    std::chrono::milliseconds kept_for{15 * 60'000};  // how far back tokens reach
    std::int64_t kept_bytes = 256 << 20;              // but for what a restart needs
    std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
  };
  PostgresLists(std::shared_ptr<postgres::Database> database, std::shared_ptr<News> news,
                Options options);

  std::uint64_t writer() const override { return options_.replica; }
  boost::asio::awaitable<absl::StatusOr<LogPage>> Exchange(
      LogRequest request, std::chrono::steady_clock::time_point deadline) override;
  boost::asio::awaitable<absl::StatusOr<RestoredList>> Restore(
      SharedList list, std::uint64_t at, std::chrono::steady_clock::time_point deadline) override;
  std::shared_ptr<void> OnNews(std::function<void()> heard) override;

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  // A moment by both clocks; the database's was read no later.
  struct Moment {
    std::int64_t database = 0;  // microseconds since 1970; 0: not known yet
    TimePoint own;
  };
  // Where in the answer the parts of a request stand.
  struct Places {
    std::optional<std::size_t> claim, refresh;
    std::size_t head = 0, entries = 0;
  };

  enum class Head { kRead, kMissing, kMayHaveLost };

  std::int64_t ToDatabase(TimePoint own) const;
  postgres::Query AppendOf(const std::vector<WriteToLog>& writes) const;
  std::vector<postgres::Query> QueriesOf(const LogRequest& request, Places* places) const;
  void AddRefresh(const RefreshToLog& refresh, std::vector<postgres::Query>* queries) const;
  Head ReadHead(const postgres::Rows& rows, TimePoint asked, TimePoint answered, LogPage* page);
  void ReadEntries(const postgres::Rows& rows, const LogRequest& request, LogPage* page) const;
  boost::asio::awaitable<absl::Status> Begin(TimePoint deadline);
  boost::asio::awaitable<absl::Status> Renew(TimePoint deadline);
  boost::asio::awaitable<void> PruneNowAndThen(TimePoint deadline);

  const std::shared_ptr<postgres::Database> database_;
  const std::shared_ptr<News> news_;
  const Options options_;
  const std::string topic_;

  mutable std::mutex mutex_;  // guards all below
  Moment moment_;             // of the latest exchange
  TimePoint pruned_ = TimePoint::min();
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CLUSTER_POSTGRES_LISTS_H_
