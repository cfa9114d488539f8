#ifndef LEASE_GATEWAY_TESTS_SUPPORT_JOURNAL_ENTRIES_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_JOURNAL_ENTRIES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "leasegateway/v1/resources.pb.h"
#include "upstream/leasing/journal/operation_journal.h"

namespace leasegateway {

inline OperationJournal::Entry MakeEntry(const std::string& id,
                                         const std::string& account = "acme") {
  OperationJournal::Entry entry;
  entry.fingerprint = std::string(32, id.empty() ? '?' : id.back());
  entry.operation.set_account(account);
  entry.operation.set_request_id(id);
  entry.operation.set_kind(v1::OPERATION_KIND_LEASE);
  entry.operation.set_state(v1::OPERATION_STATE_INTENDED);
  entry.operation.set_phone_number("+13059478667");
  entry.operation.set_caller("caller of " + id);
  return entry;
}

inline OperationJournal::Query QueryOf(const std::string& account,
                                       const std::string& phone_number = "",
                                       std::optional<v1::OperationState> state = std::nullopt,
                                       const std::string& after = "", int limit = 100) {
  OperationJournal::Query query;
  query.account = account;
  query.phone_number = phone_number;
  query.state = state;
  query.after = after;
  query.limit = limit;
  return query;
}

inline v1::Operation WithState(v1::Operation operation, v1::OperationState state) {
  operation.set_state(state);
  return operation;
}

inline OperationJournal::Change ChangeTo(v1::Operation operation, std::int64_t revision = 0) {
  OperationJournal::Change change;
  change.operation = std::move(operation);
  change.revision = revision;
  return change;
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_JOURNAL_ENTRIES_H_
