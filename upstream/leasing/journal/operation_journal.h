#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_OPERATION_JOURNAL_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_OPERATION_JOURNAL_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "leasegateway/v1/resources.pb.h"

namespace leasegateway {

// The durable record of purchases and terminations. What a function has returned OK for survives
// the loss of the process and of power. All are awaited on a strand and answer there; they fail
// with FAILED_PRECONDITION, JOURNAL_UNAVAILABLE when the record can't be read or written (a full
// disk, a broken file), and then nothing has changed as far as callers may rely on it. Thread-safe.
class OperationJournal {
 public:
  virtual ~OperationJournal() = default;

  struct Entry {
    v1::Operation operation;
    std::string fingerprint;  // of the arguments: 32 bytes
  };

  // Writes down an operation that nobody knows yet, or returns what is there under its account and
  // `request_id`, unchanged, with `existed` set. `create_time` and `update_time` are the journal's.
  struct Begun {
    Entry entry;
    bool existed = false;
  };
  virtual boost::asio::awaitable<absl::StatusOr<Begun>> Begin(Entry entry) = 0;

  // Replaces the operation of the same account and `request_id`. NOT_FOUND when there is none.
  virtual boost::asio::awaitable<absl::Status> Update(v1::Operation operation) = 0;

  // Nothing when nobody knows it.
  virtual boost::asio::awaitable<absl::StatusOr<std::optional<Entry>>> Find(
      std::string account, std::string request_id) = 0;

  // The newest first, by `create_time`, `limit` at most. `after` is the `next` of the page before;
  // empty: from the newest on.
  struct Query {
    std::string account;
    std::string phone_number;  // empty: any
    std::optional<v1::OperationState> state;
    std::string after;
    int limit = 100;
  };
  struct Page {
    std::vector<v1::Operation> operations;
    std::string next;  // empty: there are no more
  };
  virtual boost::asio::awaitable<absl::StatusOr<Page>> List(Query query) = 0;

  // All that are INTENDED, SENT or UNKNOWN, and those that were changed at `changed_since` or
  // later, the oldest first.
  virtual boost::asio::awaitable<absl::StatusOr<std::vector<Entry>>> Unresolved(
      std::chrono::system_clock::time_point changed_since) = 0;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_OPERATION_JOURNAL_H_
