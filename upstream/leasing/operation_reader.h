#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_READER_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_READER_H_

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/call_context.h"
#include "upstream/leasing/journal/operation_journal.h"

namespace leasegateway {

// What callers read of the journal, of one account. Unless a call's context says that it sees all
// operations, those of other callers are not there for it. Awaited on a strand, while this lives;
// fails with JOURNAL_UNAVAILABLE. Thread-safe.
class OperationReader {
 public:
  OperationReader(std::shared_ptr<OperationJournal> journal, std::string account);

  // NOT_FOUND, OPERATION_NOT_FOUND.
  boost::asio::awaitable<absl::StatusOr<v1::Operation>> Get(CallContext context,
                                                            std::string request_id) const;
  // The newest first, 1,000 at most. INVALID_ARGUMENT, INVALID_PAGE_TOKEN, for a token of another
  // account or of other filters.
  boost::asio::awaitable<absl::StatusOr<v1::ListOperationsResponse>> List(
      CallContext context, v1::ListOperationsRequest request) const;
  // INVALID_ARGUMENT, REQUEST_ID_REUSED, when the journal has the context's `request_id` with other
  // arguments, or as another caller's.
  boost::asio::awaitable<absl::Status> CheckUnused(CallContext context,
                                                   std::string fingerprint) const;

 private:
  const std::shared_ptr<OperationJournal> journal_;
  const std::string account_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_READER_H_
