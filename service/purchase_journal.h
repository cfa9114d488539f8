#ifndef LEASE_GATEWAY_SERVICE_PURCHASE_JOURNAL_H_
#define LEASE_GATEWAY_SERVICE_PURCHASE_JOURNAL_H_

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/config/config.h"
#include "upstream/rate_share.h"

namespace leasegateway {

class Cluster;
class OperationJournal;
class PostgresJournal;
class SharedLists;
class SqliteJournal;
struct MetricSources;

// Where purchases are written down: a file of this process's own, or a database that replicas
// share, with what else they share there. Thread-safe.
class PurchaseJournal {
 public:
  // Blocks; `executor`, which must outlive this, runs already. A database that does not answer is
  // waited for in the background. FAILED_PRECONDITION in one line for what cannot be used, and
  // names its key.
  static absl::StatusOr<std::unique_ptr<PurchaseJournal>> Open(
      const Config& config, const boost::asio::any_io_executor& executor);
  // Of a database: leaves the other replicas, so that they need not wait for `ownership_time`.
  // Blocks, for a second at most. Whoever writes has ended.
  ~PurchaseJournal();
  PurchaseJournal(const PurchaseJournal&) = delete;
  PurchaseJournal& operator=(const PurchaseJournal&) = delete;

  // The process stops: no read or write takes longer than a database that answers needs. Any
  // thread.
  void Hurry();

  std::shared_ptr<OperationJournal> journal() const;
  // Null: a file.
  Cluster* cluster() const { return cluster_.get(); }
  // With other replicas; by itself where it is a file.
  RateShare rate_share(const std::string& account) const;
  // The lists that memory has in common with other replicas; null: they are its own.
  std::shared_ptr<SharedLists> shared_lists(const std::string& account) const;
  // Between two looks for what dead replicas have left; 0: nobody else has this journal.
  std::chrono::milliseconds adopt_interval() const;

  // OK, or why nothing can be written down now. Never waits.
  absl::Status writable() const;
  // Sets the sources of its metrics, which must not be asked after its end.
  void Describe(MetricSources& sources) const;

 private:
  PurchaseJournal();

  std::unique_ptr<Cluster> cluster_;
  std::shared_ptr<PostgresJournal> shared_;  // either this
  std::shared_ptr<SqliteJournal> file_;      // or this
};

// Brings the schema of `database_url` up to date. Blocks; SIGTERM and SIGINT end it early. The
// error is one line that names the key.
absl::Status MigrateDatabase(const Config& config);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PURCHASE_JOURNAL_H_
