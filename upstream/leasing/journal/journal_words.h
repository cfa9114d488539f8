#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_JOURNAL_WORDS_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_JOURNAL_WORDS_H_

#include <google/protobuf/timestamp.pb.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "leasegateway/v1/resources.pb.h"
#include "upstream/leasing/journal/operation_journal.h"

namespace leasegateway {

// What all journals have in common.

// SUCCEEDED or FAILED.
bool IsSettled(v1::OperationState state);

// For how long purchases that succeeded are kept: who was charged for what in a month can be told
// for a year after it.
inline constexpr std::chrono::hours kPurchaseRetention{24 * 400};

// Nanoseconds since 1970.
std::int64_t ToNanos(const google::protobuf::Timestamp& time);
std::int64_t ToNanos(std::chrono::system_clock::time_point time);
std::chrono::system_clock::time_point FromNanos(std::int64_t nanos);
void SetNanos(std::int64_t nanos, google::protobuf::Timestamp& time);

// Where a page of OperationJournal::List ended: the last operation on it. Its text is `next`.
struct ListPosition {
  std::int64_t create_time =
      std::numeric_limits<std::int64_t>::max();  // ns; the default: the start
  std::string request_id;
};
std::string EncodePosition(const ListPosition& position);
// Empty: the start. INVALID_ARGUMENT, INVALID_PAGE_TOKEN for what EncodePosition never gave out.
absl::StatusOr<ListPosition> DecodePosition(const std::string& text);
// Where a list has to begin: at its `after`, or at its `end_time` if that comes first.
absl::StatusOr<ListPosition> StartOf(const OperationJournal::Query& query);
// Of a query: 1 to 1000 at a time; what is out of that is taken as the nearest.
int PageLimit(int asked);

// FAILED_PRECONDITION, JOURNAL_UNAVAILABLE. Callers see both texts; `advice` says what the operator
// has to see to.
absl::Status JournalError(std::string_view message, std::string_view advice);
// NOT_FOUND: a mistake of the caller's.
absl::Status NoSuchOperation();

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_JOURNAL_WORDS_H_
