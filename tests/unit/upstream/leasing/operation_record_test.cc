#include "upstream/leasing/operation_record.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "tests/support/leasing_fixture.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::milliseconds kWindow{1'000};

class OperationRecordTest : public testing::Test {
 protected:
  template <typename T>
  static asio::awaitable<void> Await(asio::awaitable<T> running, std::optional<T>* result) {
    *result = co_await std::move(running);
  }
  template <typename T>
  T Get(asio::awaitable<T> running) {
    std::optional<T> result;
    asio::co_spawn(asio::make_strand(io_), Await(std::move(running), &result), asio::detached);
    FakeTime::Run(io_);
    return *std::move(result);
  }
  static OperationJournal::Entry Intent(const std::string& fingerprint) {
    OperationJournal::Entry entry;
    entry.fingerprint = fingerprint;
    entry.operation.set_request_id(kId);
    entry.operation.set_kind(v1::OPERATION_KIND_LEASE);
    return entry;
  }
  static v1::Number Number() {
    v1::Number number;
    *number.mutable_pricing()->mutable_monthly_rate() = Usd(5);
    return number;
  }
  v1::OperationState state() const { return record_.operation().state(); }
  v1::OperationState written() const { return journal_->entries.at(kId).operation.state(); }

  asio::io_context io_;
  std::shared_ptr<MemoryJournal> journal_ = std::make_shared<MemoryJournal>();
  OperationRecord record_{journal_};
};

TEST_F(OperationRecordTest, GoesThroughItsStates) {
  EXPECT_FALSE(Get(record_.Begin(Intent("x"), false, true))->existed);
  EXPECT_EQ(written(), v1::OPERATION_STATE_INTENDED);
  EXPECT_TRUE(Get(record_.MarkSent(kNumber, Number(), kWindow)).ok());
  EXPECT_EQ(written(), v1::OPERATION_STATE_SENT);
  EXPECT_EQ(record_.operation().phone_number(), kNumber);
  EXPECT_EQ(record_.operation().price().monthly_rate().units(), 5);
  EXPECT_TRUE(Get(record_.MarkUnknown()).ok());
  EXPECT_EQ(written(), v1::OPERATION_STATE_UNKNOWN);
  const auto failed = record_.Concluded(NotSent(absl::AbortedError("no")), {});
  EXPECT_EQ(state(), v1::OPERATION_STATE_UNKNOWN) << "before it is written";
  EXPECT_TRUE(Get(record_.Conclude(failed, {})).ok());
  EXPECT_EQ(written(), v1::OPERATION_STATE_FAILED);
  EXPECT_TRUE(record_.operation().has_error());
  EXPECT_TRUE(Get(record_.MarkIntended()).ok());
  EXPECT_EQ(written(), v1::OPERATION_STATE_INTENDED);
  EXPECT_FALSE(record_.operation().has_error());
}

TEST_F(OperationRecordTest, ChangeThatCanNotBeWrittenIsNotMade) {
  ASSERT_TRUE(Get(record_.Begin(Intent("x"), false, true)).ok());
  journal_->fail_updates = 1;
  EXPECT_EQ(ReasonOf(Get(record_.MarkSent(kNumber, Number(), kWindow))),
            reason::kJournalUnavailable);
  EXPECT_EQ(state(), v1::OPERATION_STATE_INTENDED);
  EXPECT_EQ(record_.operation().phone_number(), "");
}

TEST_F(OperationRecordTest, TakesOverWhatTheJournalHasOfTheSameArguments) {
  ASSERT_TRUE(Get(record_.Begin(Intent("x"), false, true)).ok());
  ASSERT_TRUE(Get(record_.MarkSent(kNumber, Number(), kWindow)).ok());
  OperationRecord again(journal_);
  EXPECT_TRUE(Get(again.Begin(Intent("x"), false, true))->existed);
  EXPECT_EQ(again.operation().state(), v1::OPERATION_STATE_SENT);
  OperationRecord other(journal_);
  EXPECT_EQ(ReasonOf(Get(other.Begin(Intent("y"), false, true)).status()),
            reason::kRequestIdReused);
}

}  // namespace
}  // namespace leasegateway
