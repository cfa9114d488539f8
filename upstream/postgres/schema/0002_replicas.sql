-- The processes that share this database: upstream/cluster/heartbeat.h. A row is written once a
-- second and read by a scan of the whole table, which has a row a process: no index but the key, so
-- that an update finds room on its page and leaves the key alone.
CREATE TABLE lease_gateway.replica (
  id          bigint PRIMARY KEY CHECK (id > 0),
  alive_until timestamptz NOT NULL,
  version     text NOT NULL,
  host        text NOT NULL,
  started     timestamptz NOT NULL
) WITH (fillfactor = 50);
