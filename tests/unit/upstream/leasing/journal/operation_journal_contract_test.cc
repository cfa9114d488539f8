#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/journal_engines.h"
#include "tests/support/journal_entries.h"
#include "tests/support/postgres_journal_fixture.h"
#include "upstream/leasing/journal/journal_words.h"
#include "upstream/leasing/journal/operation_journal.h"
#include "upstream/upstream_error.h"

// What every journal does, whatever keeps it.

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using Clock = std::chrono::steady_clock;
using Owner = OperationJournal::Owner;

class OperationJournalContract : public testing::TestWithParam<EngineKind> {
 protected:
  ~OperationJournalContract() override { journal_.reset(); }

  void Reopen() {
    journal_.reset();
    journal_ = engine_->Open();
  }
  template <typename T>
  T Get(asio::awaitable<T> call) {
    return io_.Get(std::move(call));
  }
  OperationJournal::Begun Begin(OperationJournal::Entry entry, bool claim = false) {
    auto begun = Get(journal_->Begin(std::move(entry), claim));
    EXPECT_TRUE(begun.ok()) << begun.status();
    return begun.ok() ? *std::move(begun) : OperationJournal::Begun();
  }
  OperationJournal::Record MustBegin(const std::string& id, const std::string& account = "acme") {
    auto begun = Begin(MakeEntry(id, account));
    EXPECT_FALSE(begun.existed);
    return std::move(begun.record);
  }
  OperationJournal::Record MustFind(const std::string& id) {
    auto found = Get(journal_->Find("acme", id));
    EXPECT_TRUE(found.ok() && *found) << found.status();
    return found.ok() && *found ? **std::move(found) : OperationJournal::Record();
  }
  // The record as it is then.
  OperationJournal::Record MustUpdate(OperationJournal::Record record, v1::OperationState state) {
    record.entry.operation.set_state(state);
    auto updated = Get(journal_->Update(ChangeTo(record.entry.operation, record.revision)));
    EXPECT_TRUE(updated.ok()) << updated.status();
    if (updated.ok()) record.revision = updated->revision;
    return record;
  }
  std::vector<std::string> ListIds(OperationJournal::Query query, std::string* next = nullptr) {
    const auto page = Get(journal_->List(std::move(query)));
    EXPECT_TRUE(page.ok()) << page.status();
    std::vector<std::string> ids;
    if (!page.ok()) return ids;
    for (const auto& operation : page->operations) ids.push_back(operation.request_id());
    if (next != nullptr) *next = page->next;
    return ids;
  }
  std::vector<std::string> AdoptIds(int limit = 100, const std::string& account = "acme",
                                    bool own = false) {
    const auto records = Get(journal_->Adopt(account, limit, own));
    EXPECT_TRUE(records.ok()) << records.status();
    std::vector<std::string> ids;
    if (!records.ok()) return ids;
    for (const auto& record : *records) {
      EXPECT_EQ(record.owner, Owner::kUs);
      EXPECT_LE(record.quiet_at, Clock::now());
      ids.push_back(record.entry.operation.request_id());
    }
    return ids;
  }

  postgres::IoThreads io_;  // callers
  const std::unique_ptr<JournalEngine> engine_ = GetParam().make();
  std::shared_ptr<OperationJournal> journal_ = engine_->Open();
};

// --- operations ---------------------------------------------------------------------------------

TEST_P(OperationJournalContract, OperationIsKeptThroughARestart) {
  const auto written = MustBegin("a");
  EXPECT_EQ(written.owner, Owner::kUs);
  EXPECT_GT(written.entry.operation.create_time().seconds(), 1'700'000'000);
  EXPECT_EQ(written.entry.operation.create_time().SerializeAsString(),
            written.entry.operation.update_time().SerializeAsString());
  Reopen();
  const auto found = MustFind("a");
  EXPECT_EQ(found.entry.operation.SerializeAsString(), written.entry.operation.SerializeAsString());
  EXPECT_EQ(found.entry.fingerprint, std::string(32, 'a'));
  EXPECT_FALSE(Get(journal_->Find("acme", "b"))->has_value());
  EXPECT_FALSE(Get(journal_->Find("other", "a"))->has_value());
}

TEST_P(OperationJournalContract, SecondBeginGetsTheFirstUnchanged) {
  const auto first = MustBegin("a");
  auto other = MakeEntry("a");
  other.fingerprint = std::string(32, 'x');
  other.operation.set_phone_number("+10000000000");
  const auto second = Begin(other, true);
  EXPECT_TRUE(second.existed);
  EXPECT_FALSE(second.claimed);
  EXPECT_EQ(second.record.owner, Owner::kUs);
  EXPECT_EQ(second.record.revision, first.revision);
  EXPECT_EQ(second.record.entry.operation.SerializeAsString(),
            first.entry.operation.SerializeAsString());
  EXPECT_EQ(second.record.entry.fingerprint, std::string(32, 'a'));
  MustBegin("a", "other");
}

TEST_P(OperationJournalContract, OfTwoBeginsAtOnceOneBegins) {
  for (int i = 0; i < 100; ++i) {
    const std::string id = absl::StrCat("id-", i);
    auto one = io_.Start(journal_->Begin(MakeEntry(id), false));
    auto two = io_.Start(journal_->Begin(MakeEntry(id), false));
    const auto a = io_.Get(std::move(one)), b = io_.Get(std::move(two));
    ASSERT_TRUE(a.ok() && b.ok()) << a.status() << b.status();
    EXPECT_NE(a->existed, b->existed);
    EXPECT_EQ(a->record.entry.operation.SerializeAsString(),
              b->record.entry.operation.SerializeAsString());
  }
}

TEST_P(OperationJournalContract, UpdateReplaces) {
  auto record = MustBegin("a");
  auto& operation = record.entry.operation;
  const auto created = operation.create_time();
  operation.set_state(v1::OPERATION_STATE_SENT);
  operation.set_phone_number("+15550000001");
  operation.set_lease_id("lsd_1");
  operation.clear_create_time();
  const auto updated = Get(journal_->Update(ChangeTo(operation, record.revision)));
  ASSERT_TRUE(updated.ok()) << updated.status();
  auto found = MustFind("a");
  EXPECT_EQ(found.owner, Owner::kUs);
  EXPECT_EQ(found.revision, updated->revision);
  EXPECT_EQ(found.entry.operation.lease_id(), "lsd_1");
  EXPECT_EQ(found.entry.operation.create_time().SerializeAsString(), created.SerializeAsString());
  EXPECT_GE(found.entry.operation.update_time().seconds(), created.seconds());
  EXPECT_EQ(found.entry.fingerprint, std::string(32, 'a'));
  EXPECT_THAT(ListIds(QueryOf("acme", "+13059478667")), IsEmpty());
  EXPECT_THAT(ListIds(QueryOf("acme", "+15550000001")), ElementsAre("a"));
  found = MustUpdate(found, v1::OPERATION_STATE_UNKNOWN);
  found = MustUpdate(found, v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(MustFind("a").owner, Owner::kNobody);
}

TEST_P(OperationJournalContract, WhatNobodyHasBegunIsNotFound) {
  const auto updated = Get(journal_->Update(ChangeTo(MakeEntry("b").operation, 1)));
  EXPECT_EQ(updated.status().code(), absl::StatusCode::kNotFound);
  const auto taken = Get(journal_->TakeOver("acme", "b", 1));
  EXPECT_EQ(taken.status().code(), absl::StatusCode::kNotFound);
}

TEST_P(OperationJournalContract, WhatCanNotBeWrittenLeavesNothing) {
  auto bad = MakeEntry("bad");
  bad.fingerprint = "short";
  auto one = io_.Start(journal_->Begin(MakeEntry("one"), false));
  auto two = io_.Start(journal_->Begin(bad, false));
  auto three = io_.Start(journal_->Begin(MakeEntry("three"), false));
  EXPECT_TRUE(io_.Get(std::move(one)).ok());
  EXPECT_FALSE(io_.Get(std::move(two)).ok());
  EXPECT_TRUE(io_.Get(std::move(three)).ok());
  EXPECT_FALSE(Get(journal_->Find("acme", "bad"))->has_value());
}

TEST_P(OperationJournalContract, OneThatMaySendIsToldUntilWhen) {
  const auto record = MustBegin("a");
  auto change =
      ChangeTo(WithState(record.entry.operation, v1::OPERATION_STATE_SENT), record.revision);
  const auto before = Clock::now();
  change.may_send_for = std::chrono::seconds(3);
  const auto updated = Get(journal_->Update(change));
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_GT(updated->send_before, before + std::chrono::seconds(2));
}

// --- owners -------------------------------------------------------------------------------------

TEST_P(OperationJournalContract, SettledOneIsTakenOverWhenItsRequestComesAgain) {
  MustUpdate(MustBegin("a"), v1::OPERATION_STATE_FAILED);
  Reopen();
  const auto begun = Begin(MakeEntry("a"));
  EXPECT_TRUE(begun.existed);
  EXPECT_EQ(begun.record.owner, Owner::kNobody);
  const auto taken = Get(journal_->TakeOver("acme", "a", begun.record.revision));
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(taken->owner, Owner::kUs);
  EXPECT_LE(taken->quiet_at, Clock::now());
  EXPECT_EQ(taken->entry.operation.state(), v1::OPERATION_STATE_FAILED);
  MustUpdate(*taken, v1::OPERATION_STATE_INTENDED);
  EXPECT_EQ(MustFind("a").owner, Owner::kUs);
}

TEST_P(OperationJournalContract, OpenOnesAreAdoptedOnceTheOldestFirst) {
  for (const auto& [id, state] :
       {std::pair("c", v1::OPERATION_STATE_INTENDED), std::pair("x", v1::OPERATION_STATE_SUCCEEDED),
        std::pair("b", v1::OPERATION_STATE_SENT), std::pair("y", v1::OPERATION_STATE_FAILED),
        std::pair("a", v1::OPERATION_STATE_UNKNOWN)}) {
    MustUpdate(MustBegin(id), state);
  }
  MustBegin("z", "other");
  EXPECT_THAT(AdoptIds(), IsEmpty());  // its owner is alive
  EXPECT_THAT(AdoptIds(100, "acme", true), IsEmpty());
  Reopen();
  EXPECT_THAT(AdoptIds(2), ElementsAre("c", "b"));
  EXPECT_THAT(AdoptIds(2), ElementsAre("a"));
  EXPECT_THAT(AdoptIds(2), IsEmpty());
  EXPECT_THAT(AdoptIds(2, "other"), ElementsAre("z"));
  MustUpdate(MustFind("b"), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(MustFind("b").owner, Owner::kNobody);
}

TEST_P(OperationJournalContract, OneThatWasTakenOverIsNotAdopted) {
  for (const char* id : {"a", "b"}) MustBegin(id);
  Reopen();
  const auto taken = Get(journal_->TakeOver("acme", "a", MustFind("a").revision));
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(taken->owner, Owner::kUs);
  EXPECT_THAT(AdoptIds(), ElementsAre("b"));
}

// --- numbers ------------------------------------------------------------------------------------

TEST_P(OperationJournalContract, NumberIsClaimed) {
  const auto begun = Begin(MakeEntry("a"), true);
  EXPECT_TRUE(begun.claimed);
  EXPECT_FALSE(Begin(MakeEntry("a"), true).claimed);
  for (int i = 0; i < 2; ++i) {
    const auto claimed = Get(journal_->Claim("acme", "a", begun.record.revision, "+15550000001"));
    ASSERT_TRUE(claimed.ok()) << claimed.status();
    EXPECT_TRUE(claimed->granted);
  }
}

TEST_P(OperationJournalContract, WaitForAChangeEndsInTimeOrWhenCancelled) {
  MustBegin("a");
  const auto until = Clock::now() + milliseconds(5);
  io_.Get(io_.Start(journal_->AwaitChange("acme", "a", until)));
  EXPECT_GE(Clock::now(), until);
  const auto strand = asio::make_strand(io_.executor());
  asio::cancellation_signal signal;
  auto waiting = asio::co_spawn(
      strand, journal_->AwaitChange("acme", "a", Clock::now() + std::chrono::hours(1)),
      asio::bind_cancellation_slot(signal.slot(), asio::use_future));
  asio::post(strand, [&] { signal.emit(asio::cancellation_type::terminal); });
  io_.Get(std::move(waiting));
}

// --- lists --------------------------------------------------------------------------------------

TEST_P(OperationJournalContract, ListsTheNewestFirstByPages) {
  for (const char* id : {"a", "b", "c", "d", "e"}) MustBegin(id);
  MustBegin("z", "other");
  std::string next;
  EXPECT_THAT(ListIds(QueryOf("acme", "", {}, "", 2), &next), ElementsAre("e", "d"));
  // What is new meanwhile moves nothing, and a position is good for any process.
  MustBegin("f");
  Reopen();
  EXPECT_THAT(ListIds(QueryOf("acme", "", {}, next, 2), &next), ElementsAre("c", "b"));
  EXPECT_THAT(ListIds(QueryOf("acme", "", {}, next, 2), &next), ElementsAre("a"));
  EXPECT_EQ(next, "");
  EXPECT_THAT(ListIds(QueryOf("acme", "", {}, "", 6), &next),
              ElementsAre("f", "e", "d", "c", "b", "a"));
  EXPECT_EQ(next, "");
  EXPECT_THAT(ListIds(QueryOf("acme", "", {}, "", -1), &next), ElementsAre("f"));
  EXPECT_THAT(ListIds(QueryOf("nobody")), IsEmpty());
}

TEST_P(OperationJournalContract, ListsByNumberAndState) {
  for (const char* id : {"a", "b", "c", "d"}) {
    auto record = MustBegin(id);
    record.entry.operation.set_phone_number(*id < 'c' ? "+1" : "+2");
    MustUpdate(record, *id % 2 == 0 ? v1::OPERATION_STATE_SENT : v1::OPERATION_STATE_FAILED);
  }
  EXPECT_THAT(ListIds(QueryOf("acme", "+1")), ElementsAre("b", "a"));
  EXPECT_THAT(ListIds(QueryOf("acme", "", v1::OPERATION_STATE_SENT)), ElementsAre("d", "b"));
  EXPECT_THAT(ListIds(QueryOf("acme", "+2", v1::OPERATION_STATE_SENT)), ElementsAre("d"));
}

TEST_P(OperationJournalContract, ListsByCallerAndKind) {
  int number = 0;
  for (const char* id : {"a", "b", "c", "d", "e", "f"}) {
    auto entry = MakeEntry(id);
    entry.operation.set_caller(number % 2 == 0 ? "orders" : "billing");
    entry.operation.set_kind(number % 3 == 0 ? v1::OPERATION_KIND_TERMINATE
                                             : v1::OPERATION_KIND_LEASE);
    entry.operation.set_phone_number(number < 3 ? "+1" : "+2");
    auto begun = Begin(entry);
    if (number >= 4) MustUpdate(begun.record, v1::OPERATION_STATE_SUCCEEDED);
    ++number;
  }
  auto query = QueryOf("acme");
  query.caller = "orders";
  EXPECT_THAT(ListIds(query), ElementsAre("e", "c", "a"));
  query.kind = v1::OPERATION_KIND_LEASE;
  EXPECT_THAT(ListIds(query), ElementsAre("e", "c"));
  query.phone_number = "+2";
  query.state = v1::OPERATION_STATE_SUCCEEDED;
  EXPECT_THAT(ListIds(query), ElementsAre("e"));
  query = QueryOf("acme");
  query.kind = v1::OPERATION_KIND_TERMINATE;
  EXPECT_THAT(ListIds(query), ElementsAre("d", "a"));
  query.caller = "";
  EXPECT_THAT(ListIds(query), IsEmpty()) << "of nobody, not of any";
  query = QueryOf("other");
  query.caller = "orders";
  EXPECT_THAT(ListIds(query), IsEmpty());
}

TEST_P(OperationJournalContract, ListsByTime) {
  std::map<std::string, std::int64_t> times;
  for (const char* id : {"a", "b", "c", "d"}) {
    times[id] = ToNanos(MustBegin(id).entry.operation.create_time());
    // By the clock that tells the times; one of them has a step of 1 µs.
    while (ToNanos(std::chrono::system_clock::now()) / 1'000 <= times[id] / 1'000) {
    }
  }
  auto query = QueryOf("acme");
  query.start_time = times["b"];
  EXPECT_THAT(ListIds(query), ElementsAre("d", "c", "b"));
  query.end_time = times["d"];
  EXPECT_THAT(ListIds(query), ElementsAre("c", "b"));
  ++query.start_time;
  ++query.end_time;
  EXPECT_THAT(ListIds(query), ElementsAre("d", "c")) << "to the nanosecond";
  query.start_time = times["a"];
  query.end_time = times["d"];
  query.limit = 2;
  std::string next;
  EXPECT_THAT(ListIds(query, &next), ElementsAre("c", "b"));
  query.after = next;
  EXPECT_THAT(ListIds(query, &next), ElementsAre("a"));
  EXPECT_EQ(next, "");
  // Of no time that a journal has.
  query = QueryOf("acme");
  query.start_time = std::numeric_limits<std::int64_t>::max() - 1;
  EXPECT_THAT(ListIds(query), IsEmpty());
  query.start_time = -5;
  query.end_time = 0;
  EXPECT_THAT(ListIds(query), IsEmpty());
}

// The identity of a certificate may be.
TEST_P(OperationJournalContract, CallerMayBeLong) {
  std::string caller;
  for (int i = 0; i < 5'000; ++i) caller += static_cast<char>('a' + i * i % 26);
  for (const char* id : {"a", "b"}) {
    auto entry = MakeEntry(id);
    entry.operation.set_caller(caller + id);
    MustUpdate(Begin(entry).record, v1::OPERATION_STATE_SENT);
  }
  auto query = QueryOf("acme");
  query.caller = caller + "a";
  EXPECT_THAT(ListIds(query), ElementsAre("a"));
  EXPECT_EQ(MustFind("b").entry.operation.caller(), caller + "b");
}

TEST_P(OperationJournalContract, ForeignPositionIsRefused) {
  for (const char* after : {"x", "!!", "MTI", "MTI6", "OmE", "YTph", "MTI6YQ=="}) {
    const auto page = Get(journal_->List(QueryOf("acme", "", std::nullopt, after)));
    EXPECT_EQ(page.status().code(), absl::StatusCode::kInvalidArgument) << after;
    EXPECT_EQ(ReasonOf(page.status()), reason::kInvalidPageToken);
  }
  // Of a time that no journal can have: "-9223372036854775808:a", "9223372036854775806:a".
  EXPECT_THAT(ListIds(QueryOf("acme", "", {}, "LTkyMjMzNzIwMzY4NTQ3NzU4MDg6YQ")), IsEmpty());
  EXPECT_THAT(ListIds(QueryOf("acme", "", {}, "OTIyMzM3MjAzNjg1NDc3NTgwNjph")), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Engines, OperationJournalContract, AllEngines(),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace leasegateway
