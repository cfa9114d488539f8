-- The lists of available numbers and leases that replicas share, as a log for each account:
-- upstream/cluster/postgres_lists.h. Small rows that change often stand apart from large contents.

-- The head of each log. Whoever appends holds its row until the commit, so numbers have no gap and
-- who sees one sees those before it.
CREATE TABLE lease_gateway.list_log (
  account  text PRIMARY KEY,
  log_id   bigint NOT NULL,  -- tells a log from one that was made anew
  key      bytea NOT NULL,   -- signs tokens
  sequence bigint NOT NULL,  -- of the latest entry; 0: none
  mark     bigint NOT NULL   -- of that entry
) WITH (fillfactor = 50);

-- What the provider was asked for last, a row a list: 0 numbers, 1 leases.
CREATE TABLE lease_gateway.list_fetch (
  account       text NOT NULL,
  list          smallint NOT NULL,
  fetch_time    timestamptz,                -- when it was asked; NULL: never
  seen          bigint NOT NULL DEFAULT 0,  -- its answer shows the writes up to this entry
  metadata      bytea NOT NULL DEFAULT '',  -- a ResponseMetadata
  whole_at      bigint NOT NULL DEFAULT 0,  -- the newest list_whole, its size, and the size of the
  whole_bytes   bigint NOT NULL DEFAULT 0,  -- differences to it since
  delta_bytes   bigint NOT NULL DEFAULT 0,
  claim_replica bigint NOT NULL DEFAULT 0,  -- who may ask, and until when
  claim_until   timestamptz,
  PRIMARY KEY (account, list)
) WITH (fillfactor = 50);

-- kind: 0 a write, 1 a refresh of the numbers, 2 of the leases. content: as `format` says, 1 is a
-- message of list_log.proto, zstd. NULL where the refresh stands in list_whole.
CREATE TABLE lease_gateway.list_entry (
  account      text NOT NULL,
  sequence     bigint NOT NULL,
  kind         smallint NOT NULL,
  mark         bigint NOT NULL,  -- random: tells entries of one number apart, should one get lost
  writer       bigint,           -- of a write: the replica, and the number there
  writer_count bigint,
  format       smallint NOT NULL,
  content      bytea,
  made_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (account, sequence)
);
ALTER TABLE lease_gateway.list_entry ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX list_entry_writer ON lease_gateway.list_entry (account, writer, writer_count)
  WHERE writer IS NOT NULL;

-- A whole list as of an entry: where reading begins.
CREATE TABLE lease_gateway.list_whole (
  account  text NOT NULL,
  list     smallint NOT NULL,
  sequence bigint NOT NULL,
  format   smallint NOT NULL,
  content  bytea NOT NULL,
  made_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (account, list, sequence)
);
ALTER TABLE lease_gateway.list_whole ALTER COLUMN content SET STORAGE EXTERNAL;
