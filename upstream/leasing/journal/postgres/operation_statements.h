#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_OPERATION_STATEMENTS_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_OPERATION_STATEMENTS_H_

#include "upstream/leasing/journal/spending_rules.h"
#include "upstream/postgres/database.h"

namespace leasegateway {

// The journal's SQL. Parameters of all: $1 is this replica's id, $2 the account; of those for one
// operation $3 is its request_id. A row of an operation is what DecodeRow reads.
//
// Each may share its transaction with others, so none waits for a lock that callers compete for: a
// number that is seen to be held is left alone, and what is new is inserted under an advisory lock
// of the transaction that is tried and not waited for. Who doesn't get it tries again. What is left
// is the row of an operation at the moment in which it changes hands.

// $4 fingerprint, $5 kind, $6 state, $7 phone_number, $8 lease_id, $9 caller, $10 operation,
// $11 attempt, $12 of the claim, 0: none. A row, whether it is new, whether its number is claimed
// for it. No row: somebody else is writing it down just now.
extern const postgres::Statement kBeginOperation;

// A row, if there is one.
extern const postgres::Statement kReadOperation;

// $4 the revision that is there, $5 the one that comes, $6 attempt, $7 kind, $8 state,
// $9 phone_number, $10 lease_id, $11 caller, $12 operation, $13 for how many µs a request may be on
// its way, 0: as before, $14 whether it is nobody's instead of ours. How many rows were changed.
// Its claims are kept, or released now, or after $15 µs. What it spends follows, as `step` says,
// whose parameters come next; `within`: only if limits of sums are kept, whose parameters come
// after those, and whose answer comes after the number.
enum class ClaimStep { kKeep, kRelease, kReleaseLater };
const postgres::Statement& UpdateOperation(ClaimStep claims, SpendingStep step, bool within);

// $4 fingerprint, $5 the revision that comes, … $12 as of kUpdateOperation, $13 create_time in µs,
// $14 attempt of the claim, $15 for how many µs a request may be on its way; then those of `step`.
// How many rows were inserted.
const postgres::Statement& RestoreOperation(SpendingStep step);

// $4 the revision that is there, $5 attempt. The row, if it is ours now: it was ours or nobody's,
// or its owner has died.
extern const postgres::Statement kTakeOperation;

// $3 attempt, $4 how many. The rows of open operations that were nobody's, or whose owner had died.
extern const postgres::Statement kAdoptOperations;
// $3 attempt. The rows that such a call has adopted.
extern const postgres::Statement kAdoptedOperations;
// $3 how many. request_id and revision of open operations that are ours, the oldest first.
extern const postgres::Statement kOwnOperations;

// $4 revision, $5 phone_number, $6 attempt of the claim. No row: there is no such operation. Else:
// whether it is ours, its revision and attempt, whether somebody else is claiming just now, whether
// it is granted, who has it (NULL: nobody) and in how many µs it is free (NULL: not known).
extern const postgres::Statement kClaimNumber;

// What a list may be cut down to, in the order of their parameters.
enum ListFilter : unsigned { kOfNumber = 1, kOfState = 2, kOfCaller = 4, kOfKind = 8 };
// $3 before which create_time in µs, and $4 request_id; $5 how many; $6 from which create_time on
// in µs; from $7 on a parameter for each of `filters`. Rows, the newest first.
const postgres::Statement& ListOperations(unsigned filters);

// Of all accounts, without parameters but: $1 µs of retention, $2 how many. How many are gone. The
// latter those of purchases that succeeded, the former other settled ones.
extern const postgres::Statement kPruneOperations;
extern const postgres::Statement kPrunePurchases;
// $1 how many. Claims that are free. How many are gone.
extern const postgres::Statement kPruneClaims;
// No parameters. How many operations are open, and the oldest one's create_time in µs or NULL.
extern const postgres::Statement kCountOpenOperations;

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_OPERATION_STATEMENTS_H_
