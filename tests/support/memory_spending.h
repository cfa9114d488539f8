#ifndef LEASE_GATEWAY_TESTS_SUPPORT_MEMORY_SPENDING_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_MEMORY_SPENDING_H_

#include <algorithm>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "upstream/leasing/journal/operation_journal.h"

namespace leasegateway {

// What a journal in memory counts, on a day that has no end. One thread.
struct MemorySpending {
  struct Row {
    std::string account, request_id, caller, phone_number, lease_id;
    SpendingPrice price;
    bool open = true;
    bool ended = false;
  };

  // As OperationJournal::Update. A reservation of the same price needs no room.
  absl::Status Follow(const OperationJournal::Change& change) {
    const v1::Operation& operation = change.operation;
    const SpendingPrice price = PriceOf(operation);
    const auto step = StepOf(operation, change.may_send_for.count() > 0);
    const auto own = std::find_if(rows.begin(), rows.end(), [&](const Row& row) {
      return row.open && row.account == operation.account() &&
             row.request_id == operation.request_id();
    });
    if (step == SpendingStep::kReserve) {
      const bool held = own != rows.end() && own->price.currency == price.currency &&
                        own->price.fee() == price.fee() && own->price.rate() == price.rate();
      std::vector<Row> others = rows;
      if (own != rows.end()) others.erase(others.begin() + (own - rows.begin()));
      if (change.spending && !held) {
        const Spender spender{operation.account(), operation.caller()};
        auto status = CheckSpending(*change.spending, spender, price, Sum(others, spender));
        if (!status.ok()) return status;
      }
      Row row{operation.account(),
              operation.request_id(),
              operation.caller(),
              operation.phone_number(),
              "",
              price};
      rows = std::move(others);
      rows.push_back(std::move(row));
    } else if (step == SpendingStep::kGiveBack && own != rows.end()) {
      rows.erase(own);
    } else if (step == SpendingStep::kSettle && own != rows.end()) {
      if (price.is_known) own->price = price;
      own->open = false;
      own->lease_id = operation.lease_id();
    } else if (step == SpendingStep::kEnd) {
      End(EndedLeaseOf(operation));
    }
    return absl::OkStatus();
  }
  void End(const std::string& lease_id) {
    for (Row& row : rows) row.ended = row.ended || (!row.open && row.lease_id == lease_id);
  }
  static SpendingCounts Sum(const std::vector<Row>& rows, const Spender& spender) {
    SpendingCounts counts;
    for (const Row& row : rows) {
      if (row.caller == spender.caller) Add(row, counts.caller);
      if (row.account == spender.account) Add(row, counts.account);
      if (row.caller == spender.caller && row.account == spender.account) {
        Add(row, counts.caller_on_account);
      }
    }
    return counts;
  }
  std::vector<HeldLease> HeldWithout(const std::vector<std::string>& lease_ids) const {
    std::vector<HeldLease> held;
    for (const Row& row : rows) {
      const bool is_there =
          std::find(lease_ids.begin(), lease_ids.end(), row.lease_id) != lease_ids.end();
      if (!row.open && !row.ended && !is_there) held.push_back({row.lease_id, row.phone_number});
    }
    return held;
  }

  std::vector<Row> rows;

 private:
  static void Add(const Row& row, SpendingUse& use) {
    ++use.purchases_today;
    MoneyUse& money = use.money[row.price.currency];
    money.today += row.price.fee() + row.price.rate();
    if (row.ended) return;
    ++use.live_leases;
    money.per_month += row.price.rate();
  }
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_MEMORY_SPENDING_H_
