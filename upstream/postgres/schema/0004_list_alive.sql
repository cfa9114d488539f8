-- oldest_program: 3
-- Entries of a log are committed without waiting for the disk or a standby, so a crash of the server
-- and a standby that takes over may lose the latest. Both empty an unlogged table: a log that is
-- not in this one may have lost some, and gets another log_id before anybody goes on with it. What
-- older versions append is safe by itself, and they read the log_id each time.
CREATE UNLOGGED TABLE lease_gateway.list_alive (
  account text PRIMARY KEY,
  log_id  bigint NOT NULL
);
INSERT INTO lease_gateway.list_alive SELECT account, log_id FROM lease_gateway.list_log;
