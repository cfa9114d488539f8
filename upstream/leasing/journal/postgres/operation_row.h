#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_OPERATION_ROW_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_OPERATION_ROW_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "leasegateway/v1/resources.pb.h"
#include "upstream/leasing/journal/operation_journal.h"
#include "upstream/postgres/database.h"

namespace leasegateway {

// A row of lease_gateway.operation, as the journal's statements select it.
struct OperationRow {
  OperationJournal::Record record;
  std::int64_t attempt = 0;      // of the latest write
  std::int64_t create_time = 0;  // µs
  bool is_owned = false;         // by somebody, alive or not
};

// The columns of a row that DecodeRow reads; what a statement selects besides comes after them.
inline constexpr int kRowColumns = 15;

// JOURNAL_UNAVAILABLE for one that can't be parsed or contradicts its columns. What is left of
// `send_until` counts from now, so the row must have just come.
absl::StatusOr<OperationRow> DecodeRow(const postgres::Rows& rows, int row);

// For the column `operation`: without the times that have columns of their own.
std::string EncodeOperation(v1::Operation operation);
// Adds kind, state, phone_number, lease_id, caller, and `bytes`, the operation's, to the
// parameters.
void AddContents(const v1::Operation& operation, const std::string& bytes, postgres::Query& query);

// JOURNAL_UNAVAILABLE, with RetryInfo. Callers see it: the message names no host.
absl::Status DatabaseUnavailable(std::string_view message);
// Too many tries met those of others.
absl::Status ContendedError();
// For what the database or DecodeRow returned; it goes to the log where only that says why.
absl::Status FailedStatement(const absl::Status& status);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_OPERATION_ROW_H_
