#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_SPENDING_STATEMENTS_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_SPENDING_STATEMENTS_H_

#include <cstdint>
#include <string>

#include "leasegateway/v1/resources.pb.h"
#include "upstream/leasing/journal/spending.h"
#include "upstream/leasing/journal/spending_rules.h"
#include "upstream/postgres/database.h"

namespace leasegateway {

// The SQL of what is spent: parts of the statements that write an operation, and statements of its
// own. An operation and what it spends change in one statement.

// A part of a statement that writes an operation, in a WITH after `changed`, which has a row if it
// was written; $2 is the account, $3 the request_id, $9 the phone_number, $11 the caller, and its
// own parameters begin with the one of that number.
std::string SpendingPart(SpendingStep step, int first);
// As many parameters.
void AddSpending(const v1::Operation& operation, SpendingStep step, postgres::Query& query);

// The parts of a statement that takes a reservation only within limits of sums. The transaction has
// to have run LockLimits in a statement before: what this one sums up is what was committed when
// the locks were had, and nobody who has the same limit to keep adds to it before the commit.
struct SpendingCondition {
  std::string before;     // of a WITH, before `changed`; ends with a comma
  std::string condition;  // of `changed`
  std::string columns;    // see ReadAnswer
};
// After the parameters of kReserve, whose first is `reserve`; its own begin with `first`.
SpendingCondition SpendingWithin(int reserve, int first);
void AddLimits(const SpendingRules& rules, const SpendingPrice& price, postgres::Query& query);

// Waits for the turn of all limits of sums that a purchase has to keep, in an order that is the
// same for all purchases, until the end of the transaction.
postgres::Query LockLimits(const SpendingRules& rules, const Spender& spender,
                           const std::string& currency);

// From the columns of a SpendingCondition, which begin with `column`.
struct SpendingAnswer {
  bool within = false;      // the limits are kept, or it has that reservation already
  bool is_current = false;  // the operation was there, this replica's, at the revision
  SpendingCounts used;
};
SpendingAnswer ReadAnswer(const postgres::Rows& rows, int column, const std::string& currency);

// $1 account, $2 caller. Rows: 0 the caller, 1 the account, 2 both; currency; purchases of today,
// their money; live leases, their money.
extern const postgres::Statement kSumSpending;
// $1 account, $2 ids, one a line, $3 how many µs ago, $4 how many. lease_id, phone_number.
extern const postgres::Statement kHeldLeases;
// $1 account, $2 ids, one a line. How many were live.
extern const postgres::Statement kEndLeases;
// $1 how many. How many are gone that count no more.
extern const postgres::Statement kPruneSpending;

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_SPENDING_STATEMENTS_H_
