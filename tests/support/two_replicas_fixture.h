#ifndef LEASE_GATEWAY_TESTS_SUPPORT_TWO_REPLICAS_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_TWO_REPLICAS_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/journal_entries.h"
#include "tests/support/postgres_journal_fixture.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

// Two replicas on one database.
class TwoReplicasTest : public testing::Test {
 protected:
  using Owner = OperationJournal::Owner;
  using Record = OperationJournal::Record;
  using Loss = LossyDatabase::Loss;

  template <typename T>
  T Get(boost::asio::awaitable<T> call) {
    return database_.io.Get(std::move(call));
  }
  static OperationJournal::Entry EntryOf(const std::string& id, const std::string& number) {
    auto entry = MakeEntry(id);
    entry.operation.set_phone_number(number);
    return entry;
  }
  absl::StatusOr<OperationJournal::Begun> Begin(JournalReplica& replica, const std::string& id,
                                                const std::string& number = "+1") {
    return Get(replica.journal->Begin(EntryOf(id, number), true));
  }
  Record MustBegin(JournalReplica& replica, const std::string& id,
                   const std::string& number = "+1") {
    auto begun = Begin(replica, id, number);
    EXPECT_TRUE(begun.ok()) << begun.status();
    if (!begun.ok()) return {};
    EXPECT_FALSE(begun->existed);
    return std::move(begun->record);
  }
  static OperationJournal::Change ChangeOf(const Record& record, v1::OperationState state) {
    return ChangeTo(WithState(record.entry.operation, state), record.revision);
  }
  absl::StatusOr<OperationJournal::Updated> Update(JournalReplica& replica,
                                                   OperationJournal::Change change) {
    return Get(replica.journal->Update(std::move(change)));
  }
  absl::StatusOr<OperationJournal::Updated> Update(JournalReplica& replica, const Record& record,
                                                   v1::OperationState state) {
    return Update(replica, ChangeOf(record, state));
  }
  Record MustFind(JournalReplica& replica, const std::string& id) {
    auto found = Get(replica.journal->Find("acme", id));
    EXPECT_TRUE(found.ok() && *found) << found.status();
    return found.ok() && *found ? **std::move(found) : Record();
  }
  Record MustTakeOver(JournalReplica& replica, const std::string& id) {
    return MustTakeOver(replica, MustFind(replica, id));
  }
  // By one who has seen this.
  Record MustTakeOver(JournalReplica& replica, const Record& seen) {
    auto taken =
        Get(replica.journal->TakeOver("acme", seen.entry.operation.request_id(), seen.revision));
    EXPECT_TRUE(taken.ok()) << taken.status();
    return taken.ok() ? *std::move(taken) : Record();
  }
  OperationJournal::Claimed MustClaim(JournalReplica& replica, const Record& record,
                                      const std::string& number) {
    auto claimed = Get(replica.journal->Claim("acme", record.entry.operation.request_id(),
                                              record.revision, number));
    EXPECT_TRUE(claimed.ok()) << claimed.status();
    return claimed.ok() ? *std::move(claimed) : OperationJournal::Claimed();
  }
  std::vector<std::string> AdoptIds(JournalReplica& replica, bool own = false, int limit = 100) {
    const auto records = Get(replica.journal->Adopt("acme", limit, own));
    EXPECT_TRUE(records.ok()) << records.status();
    std::vector<std::string> ids;
    if (!records.ok()) return ids;
    for (const auto& record : *records) ids.push_back(record.entry.operation.request_id());
    return ids;
  }
  // The row as people see it.
  std::string RowOf(const std::string& id, const std::string& columns) {
    const auto rows = database_.Sql(
        "SELECT " + columns + " FROM lease_gateway.operations WHERE request_id = '" + id + "'");
    return rows.empty() ? "none" : rows[0];
  }
  std::string Psql(const std::string& sql) {
    const std::string command =
        PostgresPrograms() + "/psql -XAtc \"" + sql + "\" '" + database_.url() + "'";
    FILE* pipe = popen(command.c_str(), "r");
    std::string output;
    char buffer[256];
    while (pipe != nullptr && fgets(buffer, sizeof(buffer), pipe) != nullptr) output += buffer;
    if (pipe != nullptr) pclose(pipe);
    return output;
  }
  std::string ClaimsOf(const std::string& id) {
    const auto rows = database_.Sql(
        "SELECT coalesce(string_agg(phone_number || CASE WHEN free_at IS NULL THEN '' ELSE "
        "' until' END, ', ' ORDER BY phone_number), '') FROM lease_gateway.number_claim "
        "WHERE request_id = '" +
        id + "'");
    return rows.at(0);
  }
  static void ExpectLost(const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
    EXPECT_EQ(ReasonOf(status), reason::kOwnershipLost);
  }
  static void ExpectUnavailable(const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_EQ(ReasonOf(status), reason::kJournalUnavailable);
    EXPECT_TRUE(RetryDelayOf(status));
  }

  JournalDatabase database_;
  JournalReplica a_{database_, 1};
  JournalReplica b_{database_, 2};
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_TWO_REPLICAS_FIXTURE_H_
