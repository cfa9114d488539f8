#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_NUMBER_HOLD_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_NUMBER_HOLD_H_

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/leasing/flight.h"
#include "upstream/leasing/leasing_parts.h"
#include "upstream/leasing/number_locks.h"
#include "upstream/leasing/operation_record.h"

namespace leasegateway {

// The number that an operation works on: this process's lock of it and the journal's claim, which
// keeps other processes away. While the claim is another's the lock is given up, or that other
// operation could not go on here when its process has died.
//
// Of its life, which outlives it; used on its strand, by one coroutine.
class NumberHold {
 public:
  using TimePoint = CallEnvironment::TimePoint;

  NumberHold(std::shared_ptr<const LeasingParts> parts, std::shared_ptr<NumberLocks> locks,
             std::shared_ptr<Flight> flight, OperationRecord& record);
  NumberHold(const NumberHold&) = delete;
  NumberHold& operator=(const NumberHold&) = delete;
  ~NumberHold() { Unlock(false); }

  // The lock alone, for an operation that has or is about to have the claim. False: it is in use.
  bool TryLock(const std::string& phone_number);
  // What Begin has said of the claim.
  void SetClaimed(bool claimed) { claimed_ = claimed; }

  // Waits for the number, unless it is held. `patience`: until when to wait, asked whenever that
  // has come; nothing: no more. DEADLINE_EXCEEDED when there is no more patience; else an error of
  // the journal.
  boost::asio::awaitable<absl::Status> Take(std::string phone_number,
                                            NumberLocks::Patience patience);
  // Whether it could be had without waiting.
  boost::asio::awaitable<absl::StatusOr<bool>> TryTake(std::string phone_number);

  // Empty: none.
  const std::string& phone_number() const { return phone_number_; }
  // While it waited, another operation of the account leased the number.
  bool is_overtaken() const { return overtaken_; }

  // Gives up the lock. The claim is given up by what is written of the operation. `leased`: those
  // who wait hear that it was.
  void Unlock(bool leased);

 private:
  // Whether the claim is this operation's now. If not, `until` is set to when to look again at the
  // latest.
  boost::asio::awaitable<absl::StatusOr<bool>> Claim(std::string phone_number, TimePoint* until);
  // Whether one of those who had the claim has leased the number.
  boost::asio::awaitable<bool> HolderHasLeased();

  const std::shared_ptr<const LeasingParts> parts_;
  const std::shared_ptr<NumberLocks> locks_;
  const std::shared_ptr<Flight> flight_;
  OperationRecord& record_;
  std::string phone_number_;  // whose lock it has
  bool claimed_ = false;
  bool overtaken_ = false;
  std::string holder_;             // of the claim, when it was another's
  std::set<std::string> holders_;  // that were waited for
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_NUMBER_HOLD_H_
