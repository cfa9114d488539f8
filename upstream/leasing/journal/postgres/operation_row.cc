#include "upstream/leasing/journal/postgres/operation_row.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

#include "upstream/leasing/journal/journal_words.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace {

// The columns, in the order of {row}.
enum Column {
  kAccount,
  kRequestId,
  kFingerprint,
  kKind,
  kState,
  kPhoneNumber,
  kLeaseId,
  kCaller,
  kCreateTime,
  kUpdateTime,
  kOperation,
  kRevision,
  kAttempt,
  kOwner,
  kQuietIn,
  kColumnCount
};
static_assert(kColumnCount == kRowColumns);

// The column kOwner.
enum OwnerCode { kOwnerNone, kOwnerUs, kOwnerAlive, kOwnerDead };

OperationJournal::Owner ToOwner(std::int64_t code) {
  switch (code) {
    case kOwnerUs:
      return OperationJournal::Owner::kUs;
    case kOwnerAlive:
      return OperationJournal::Owner::kAnother;
    default:
      return OperationJournal::Owner::kNobody;
  }
}

}  // namespace

absl::StatusOr<OperationRow> DecodeRow(const postgres::Rows& rows, int row) {
  OperationRow decoded;
  auto& record = decoded.record;
  auto& operation = record.entry.operation;
  const std::string_view bytes = rows.Bytes(row, kOperation);
  if (!operation.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      operation.account() != rows.Bytes(row, kAccount) ||
      operation.request_id() != rows.Bytes(row, kRequestId) ||
      operation.kind() != rows.Int(row, kKind) || operation.state() != rows.Int(row, kState) ||
      operation.phone_number() != rows.Bytes(row, kPhoneNumber) ||
      operation.lease_id() != rows.Bytes(row, kLeaseId) ||
      operation.caller() != rows.Bytes(row, kCaller)) {
    spdlog::error(
        "the operation journal: the row of operation {} in lease_gateway.operation is "
        "damaged: its contents contradict its columns",
        std::string(rows.Bytes(row, kRequestId)));
    return JournalError("the operation journal: an entry is damaged",
                        "The operator of the gateway must see to the row that its log names.");
  }
  decoded.create_time = rows.Int(row, kCreateTime);
  SetNanos(decoded.create_time * 1'000, *operation.mutable_create_time());
  SetNanos(rows.Int(row, kUpdateTime) * 1'000, *operation.mutable_update_time());
  record.entry.fingerprint = rows.Bytes(row, kFingerprint);
  record.owner = ToOwner(rows.Int(row, kOwner));
  record.revision = rows.Int(row, kRevision);
  const std::chrono::microseconds quiet_in(rows.Int(row, kQuietIn));
  if (quiet_in > quiet_in.zero()) record.quiet_at = std::chrono::steady_clock::now() + quiet_in;
  decoded.attempt = rows.Int(row, kAttempt);
  decoded.is_owned = rows.Int(row, kOwner) != kOwnerNone;
  return decoded;
}

std::string EncodeOperation(v1::Operation operation) {
  operation.clear_create_time();
  operation.clear_update_time();
  return operation.SerializeAsString();
}

void AddContents(const v1::Operation& operation, const std::string& bytes, postgres::Query& query) {
  query.parameters.emplace_back(std::int64_t{operation.kind()});
  query.parameters.emplace_back(std::int64_t{operation.state()});
  query.parameters.emplace_back(operation.phone_number());
  query.parameters.emplace_back(operation.lease_id());
  query.parameters.emplace_back(operation.caller());
  query.parameters.push_back(postgres::Parameter::Bytes(bytes));
}

absl::Status DatabaseUnavailable(std::string_view message) {
  auto status = JournalError(message,
                             "The operator of the gateway must see to the database that it keeps "
                             "its record of purchases in.");
  SetRetryDelay(status, kDefaultRetryDelay);
  return status;
}

absl::Status ContendedError() {
  return DatabaseUnavailable("the operation journal: other replicas keep writing to the entry");
}

absl::Status FailedStatement(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kFailedPrecondition:  // of a row that was damaged
      return status;
    case absl::StatusCode::kResourceExhausted: {
      auto overloaded = MakeError(absl::StatusCode::kResourceExhausted, reason::kOverloaded,
                                  "too many calls wait for the operation journal already");
      SetRetryDelay(overloaded, std::chrono::milliseconds(500));
      return overloaded;
    }
    case absl::StatusCode::kUnavailable:
      return DatabaseUnavailable("the operation journal: its database is away");
    case absl::StatusCode::kUnknown:
      return DatabaseUnavailable("the operation journal: its database did not answer in time");
    default:
      spdlog::error("the operation journal: {}", std::string(status.message()));
      return DatabaseUnavailable("the operation journal: its database refused a statement");
  }
}

}  // namespace leasegateway
