#include "upstream/leasing/operation_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/leasing_fixture.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using testing::ElementsAre;
using testing::IsEmpty;

class OperationReaderTest : public testing::Test {
 protected:
  OperationReaderTest() {
    Add("a", "orders");
    Add("b", "billing");
    Add("c", "orders");
  }
  void Add(const std::string& id, const std::string& caller) {
    OperationJournal::Entry entry;
    entry.fingerprint = "x";
    entry.operation.set_request_id(id);
    entry.operation.set_caller(caller);
    journal_->entries[id] = entry;
  }
  static CallContext Of(const std::string& caller, bool sees_all = false) {
    CallContext context;
    context.caller = caller;
    context.sees_all_operations = sees_all;
    return context;
  }
  template <typename T>
  absl::StatusOr<T> Get(asio::awaitable<absl::StatusOr<T>> running) {
    const auto call = std::make_shared<Call<T>>();
    asio::co_spawn(asio::make_strand(io_), Await(std::move(running), call), asio::detached);
    FakeTime::Run(io_);
    return *std::move(call->result);
  }
  static asio::awaitable<absl::StatusOr<bool>> Unused(const OperationReader* reader,
                                                      CallContext context,
                                                      std::string fingerprint) {
    auto checking = reader->CheckUnused(std::move(context), std::move(fingerprint));
    const absl::Status status = co_await std::move(checking);
    if (!status.ok()) co_return status;
    co_return true;
  }
  absl::Status CheckUnused(CallContext context, const std::string& id,
                           const std::string& fingerprint = "x") {
    context.request_id = id;
    return Get(Unused(&reader_, std::move(context), fingerprint)).status();
  }
  std::vector<std::string> ListIds(CallContext context, v1::ListOperationsRequest request = {}) {
    const auto listed = Get(reader_.List(std::move(context), std::move(request)));
    EXPECT_TRUE(listed.ok()) << listed.status();
    std::vector<std::string> ids;
    if (!listed.ok()) return ids;
    for (const auto& operation : listed->operations()) ids.push_back(operation.request_id());
    return ids;
  }

  asio::io_context io_;
  std::shared_ptr<MemoryJournal> journal_ = std::make_shared<MemoryJournal>();
  OperationReader reader_{journal_, "default"};
};

TEST_F(OperationReaderTest, OperationOfAnotherCallerIsNotThere) {
  EXPECT_EQ(Get(reader_.Get(Of("orders"), "a"))->caller(), "orders");
  EXPECT_EQ(Get(reader_.Get(Of("orders", true), "b"))->caller(), "billing");
  // To the letter, but for the name that was asked for.
  const auto others = Get(reader_.Get(Of("orders"), "b")).status();
  journal_->entries.erase("b");
  const auto none = Get(reader_.Get(Of("orders"), "b")).status();
  EXPECT_EQ(ReasonOf(others), reason::kOperationNotFound);
  EXPECT_EQ(others, none);
}

TEST_F(OperationReaderTest, ListHasOnesOwnUnlessAllMayBeSeen) {
  EXPECT_THAT(ListIds(Of("orders")), ElementsAre("a", "c"));
  EXPECT_THAT(ListIds(Of("nobody")), IsEmpty());
  EXPECT_THAT(ListIds(Of("")), IsEmpty());
  EXPECT_THAT(ListIds(Of("nobody", true)), ElementsAre("a", "b", "c"));
  v1::ListOperationsRequest request;
  request.set_caller("billing");
  EXPECT_THAT(ListIds(Of("orders"), request), IsEmpty());
  EXPECT_THAT(ListIds(Of("orders", true), request), ElementsAre("b"));
  EXPECT_THAT(ListIds(Of("billing"), request), ElementsAre("b"));
}

TEST_F(OperationReaderTest, AsksForWhatTheRequestSays) {
  v1::ListOperationsRequest request;
  ListIds(Of("orders", true), request);
  EXPECT_EQ(journal_->queries.back().account, "default");
  EXPECT_EQ(journal_->queries.back().caller, std::nullopt);
  EXPECT_EQ(journal_->queries.back().kind, std::nullopt);
  EXPECT_EQ(journal_->queries.back().start_time, std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(journal_->queries.back().end_time, std::numeric_limits<std::int64_t>::max());
  request.set_kind(v1::OPERATION_KIND_TERMINATE);
  request.mutable_start_time()->set_seconds(5);
  request.mutable_start_time()->set_nanos(7);
  request.mutable_end_time()->set_seconds(6);
  ListIds(Of("orders", true), request);
  EXPECT_EQ(journal_->queries.back().kind, v1::OPERATION_KIND_TERMINATE);
  EXPECT_EQ(journal_->queries.back().start_time, 5'000'000'007);
  EXPECT_EQ(journal_->queries.back().end_time, 6'000'000'000);
  // As far as a Timestamp goes, which is further than the journal's times do.
  request.mutable_start_time()->set_seconds(-62'135'596'800);
  request.mutable_end_time()->set_seconds(253'402'300'799);
  ListIds(Of("orders", true), request);
  EXPECT_EQ(journal_->queries.back().start_time, 0);
  EXPECT_EQ(journal_->queries.back().end_time, std::numeric_limits<std::int64_t>::max());
}

TEST_F(OperationReaderTest, PageTokenIsOfOneAccountAndList) {
  journal_->next = "position";
  v1::ListOperationsRequest request;
  request.set_kind(v1::OPERATION_KIND_LEASE);
  const auto first = Get(reader_.List(Of("orders", true), request));
  ASSERT_TRUE(first.ok());
  const std::string token = first->next_page_token();
  request.set_page_token(token);
  request.set_page_size(7);  // may change from page to page
  ASSERT_TRUE(Get(reader_.List(Of("billing", true), request)).ok());
  EXPECT_EQ(journal_->queries.back().after, "position");

  const auto refused = [&](const OperationReader& reader, const CallContext& context,
                           const v1::ListOperationsRequest& asked) {
    const auto status = Get(reader.List(context, asked)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ReasonOf(status), reason::kInvalidPageToken);
  };
  refused(OperationReader(journal_, "other"), Of("orders", true), request);
  refused(reader_, Of("orders"), request);
  for (const auto& change : std::vector<std::function<void(v1::ListOperationsRequest&)>>{
           [](auto& other) { other.clear_kind(); }, [](auto& other) { other.set_caller("orders"); },
           [](auto& other) { other.set_state(v1::OPERATION_STATE_SENT); },
           [](auto& other) { other.set_phone_number("+12"); },
           [](auto& other) { other.mutable_start_time()->set_seconds(1); },
           [](auto& other) { other.mutable_end_time()->set_seconds(1); },
           [&](auto& other) { other.set_page_token(token.substr(1)); },
           [&](auto& other) { other.set_page_token(token.substr(0, 12)); },
           [&](auto& other) { other.set_page_token("position"); }}) {
    auto other = request;
    change(other);
    SCOPED_TRACE(other.ShortDebugString());
    refused(reader_, Of("orders", true), other);
  }
}

TEST_F(OperationReaderTest, NameOfAnotherCallersRequestIsUsed) {
  EXPECT_TRUE(CheckUnused(Of("orders"), "new").ok());
  EXPECT_TRUE(CheckUnused(Of("orders"), "a").ok());
  EXPECT_TRUE(CheckUnused(Of("orders", true), "b").ok());
  const auto others = CheckUnused(Of("orders"), "b");
  EXPECT_EQ(ReasonOf(others), reason::kRequestIdReused);
  EXPECT_EQ(others, CheckUnused(Of("billing"), "b", "y")) << "nor which of both it is";
}

}  // namespace
}  // namespace leasegateway
