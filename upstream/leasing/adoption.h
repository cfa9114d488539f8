#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_ADOPTION_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_ADOPTION_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/strand.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "upstream/leasing/flight_table.h"
#include "upstream/leasing/leasing_parts.h"
#include "upstream/leasing/number_locks.h"
#include "upstream/wakeup.h"

namespace leasegateway {

// Goes on with operations whose process has died: at the start with all that the journal has as
// open, then, where several processes share the journal, with those of others, looking every
// `adopt_interval`. Thread-safe.
class Adoption : public std::enable_shared_from_this<Adoption> {
 public:
  Adoption(std::shared_ptr<const LeasingParts> parts, std::shared_ptr<NumberLocks> locks,
           std::shared_ptr<FlightTable> flights, const boost::asio::any_io_executor& executor);

  // Once, on a strand; JOURNAL_UNAVAILABLE.
  boost::asio::awaitable<absl::Status> AdoptAll() { return Adopt(false); }
  // Goes on looking, on a strand of its own, until Stop. Called once at most; does nothing where
  // `adopt_interval` is 0.
  void Start();
  // Waits until nothing of this runs any more: the executor must run. May be called without Start.
  void Stop();

 private:
  static boost::asio::awaitable<void> Look(std::shared_ptr<Adoption> self);
  boost::asio::awaitable<absl::Status> Adopt(bool own);
  // Unless a flight of this process is there, of callers who waited for what the other process
  // would do: it goes on with it, or ends at this moment; so this is tried again with the next
  // look.
  void Resume(OperationJournal::Record record);

  const std::shared_ptr<const LeasingParts> parts_;
  const std::shared_ptr<NumberLocks> locks_;
  const std::shared_ptr<FlightTable> flights_;
  const boost::asio::strand<boost::asio::any_io_executor> strand_;
  std::vector<OperationJournal::Record> deferred_;  // only used by who looks

  std::mutex mutex_;  // guards all below
  bool running_ = false;
  bool stopped_ = false;
  std::shared_ptr<Wakeup> nap_;
  std::condition_variable ended_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_ADOPTION_H_
