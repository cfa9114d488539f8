#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_RECONCILIATION_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_RECONCILIATION_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "leasegateway/v1/resources.pb.h"
#include "upstream/leasing/flight.h"
#include "upstream/leasing/leasing_parts.h"
#include "upstream/leasing/operation_record.h"
#include "upstream/leasing/operation_requests.h"

namespace leasegateway {

// What becomes of a request for one number: from the first one, or from an earlier one that may be
// on its way, to the outcome. No lost answer and no refusal is believed before a look past memory;
// that nothing was done, only when the request can't arrive any more. A request is sent again only
// when the latest look shows everything as it was before, and nothing of another process's may be
// on its way. When the operation isn't this process's any more, it ends as if the gateway stopped.
//
// Made for one number of an operation, whose life outlives it and has the number's lock. Awaited on
// its strand, once.
class Reconciliation {
 public:
  using TimePoint = CallEnvironment::TimePoint;
  using LookResult = absl::StatusOr<Reply<v1::Number>>;

  // `overtaken` as for CheckAllowed.
  Reconciliation(std::shared_ptr<const LeasingParts> parts, std::shared_ptr<Flight> flight,
                 OperationRecord& record, OperationRequests& requests, bool overtaken);

  // `send`: the request is allowed and recorded as SENT, and goes out now. Otherwise an earlier one
  // is looked after.
  boost::asio::awaitable<Settled> Run(bool send);

 private:
  // Whether it is still written down that a request goes out now; it is written anew where not.
  boost::asio::awaitable<bool> MayGoOut();
  // Sends the request. Its end, when nothing has to be looked after.
  boost::asio::awaitable<std::optional<Settled>> Send();
  // Records that the outcome isn't known, once.
  boost::asio::awaitable<void> MarkUnknown();
  // Everything is as it was before, and callers want it as it is now: a price may have changed.
  bool MayRepeat(const LookResult& look) const;
  // Whether everything is as it was before.
  bool NothingHappened(const LookResult& look) const;
  // Whether the request may go out again now; if so, it does.
  bool MayResend();

  // What a look shows after a request. Where one was lost: that nothing was done, only when it is
  // too `late` for the request to arrive; nothing while it can't be told. Otherwise the provider
  // has answered, with a refusal, and the look shows whether that is true: a lease that was not
  // there before is this operation's, and one that is gone was ended.
  std::optional<Settled> Judge(const LookResult& look, bool late) const;

  // Whether a caller waits until the next request may come, by the latest answer, and for its own.
  bool IsAllowedInTime() const;
  // Waits as long as the answer asked for, or as long as the pause. False: no caller has the
  // time.
  boost::asio::awaitable<bool> RestUntilAllowed();
  // Until the next look; not past the time at which the request may come again.
  boost::asio::awaitable<void> Pause();
  void LengthenPause();

  const std::shared_ptr<const LeasingParts> parts_;
  const std::shared_ptr<Flight> flight_;
  OperationRecord& record_;
  OperationRequests& requests_;
  const bool overtaken_;

  std::string cause_ = "the gateway was restarted";  // of not knowing the outcome, in words
  // What the provider told the latest request that is not the outcome yet: OK for nothing.
  Settled refused_;
  // The latest request came too early, by whoever has answered it; and when the next may come, if
  // that was said.
  bool is_early_ = false;
  std::optional<TimePoint> allowed_at_;
  // A request may have arrived that nobody has answered, or may still arrive.
  bool lost_ = false;
  TimePoint lost_at_;
  std::chrono::milliseconds pause_;
  int resends_ = 0;
  bool rested_ = false;  // since the latest request; nothing is sent again before another look
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_RECONCILIATION_H_
