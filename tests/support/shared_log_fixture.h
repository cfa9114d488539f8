#ifndef LEASE_GATEWAY_TESTS_SUPPORT_SHARED_LOG_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_SHARED_LOG_FIXTURE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/shared_cache_fixture.h"
#include "tests/support/shared_log.h"
#include "upstream/availability/list_delta.h"

namespace leasegateway {

// Three replicas that share a log in memory.
class CachedAccountLogTest : public SharedCacheTest {
 protected:
  CachedAccountLogTest() {
    log_.now = [this] { return now_; };
    for (std::uint64_t i = 1; i <= 3; ++i) Join();
  }
  ~CachedAccountLogTest() override { StopAll(); }
  Replica& Join() { return Add(std::make_shared<FakeSharedLists>(&log_, replicas_.size() + 1)); }
  Replica& At(std::size_t i) { return *replicas_[i]; }
  static std::chrono::steady_clock::time_point Soon() {
    return std::chrono::steady_clock::now() + std::chrono::seconds(10);
  }

  // By a replica that is none of these.
  void AppendGone(const char* phone_number) { AppendWrite(Write::Effect::kGone, phone_number); }
  void AppendWrite(Write::Effect effect, const char* phone_number) {
    Write write;
    write.effect = effect;
    write.phone_number = phone_number;
    LogEntry& entry = log_.Append(LogEntry::Kind::kWrite, EncodeWrite(write));
    entry.writer = 99;
    entry.writer_count = entry.sequence;
  }
  // Only a whole list of numbers is left, as of now.
  void LoseEntries(const std::vector<std::string>& phone_numbers) {
    v1::ListAvailableNumbersResponse list;
    for (const auto& number : phone_numbers) *list.add_numbers() = LeasableNumber(number);
    const std::string bytes = list.SerializeAsString();
    LogEntry whole;
    whole.kind = LogEntry::Kind::kNumbers;
    whole.sequence = log_.sequence;
    whole.is_whole = true;
    whole.content = EncodeDelta({}, *EntriesOf(bytes));
    log_.wholes = {whole};
    log_.entries.clear();
  }
  void Get(Replica& replica, std::string phone_number) {
    const auto call =
        Start(replica.cache->account().FindNumber(Context(), std::move(phone_number)));
    EXPECT_TRUE(call->result && call->status().ok());
  }

  SharedLog log_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_SHARED_LOG_FIXTURE_H_
