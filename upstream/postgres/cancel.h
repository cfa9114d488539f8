#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_CANCEL_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_CANCEL_H_

struct pg_conn;  // libpq's PGconn

namespace leasegateway::postgres {

// Asks the server to end what the session is doing, so that it holds no locks for longer than it
// has a client. libpq does that blocking, over a connection of its own, and a hung server never
// answers: so on a thread that nobody waits for, of which there are a few at most; then it is left
// to the server's statement_timeout.
void CancelInBackground(pg_conn* connection);

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_CANCEL_H_
