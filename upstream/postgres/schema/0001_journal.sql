-- The record of purchases and terminations, and who works on which number.
-- Text is compared by bytes; time is this server's clock_timestamp(), never a replica's clock.

CREATE TABLE lease_gateway.operation (
  account text COLLATE "C" NOT NULL,
  request_id text COLLATE "C" NOT NULL CHECK (request_id <> ''),
  fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32), -- of the arguments
  kind smallint NOT NULL,
  state smallint NOT NULL CHECK (state > 0),
  phone_number text COLLATE "C" NOT NULL,
  lease_id text NOT NULL,
  caller text NOT NULL,
  owner bigint,             -- lease_gateway.replica.id, which alone writes it; NULL: nobody's
  revision bigint NOT NULL CHECK (revision > 0), -- grows with each write: the fencing token
  attempt bigint NOT NULL,  -- at random: tells whose the latest write is, when its answer got lost
  send_until timestamptz,   -- a request to the provider may be on its way until then; NULL: none is
  sender bigint,            -- the replica whose request that is
  create_time timestamptz NOT NULL,
  update_time timestamptz NOT NULL,
  operation bytea NOT NULL -- leasegateway.v1.Operation without the times above
);
CREATE INDEX operation_list ON lease_gateway.operation (account, create_time, request_id);
CREATE INDEX operation_list_state
  ON lease_gateway.operation (account, state, create_time, request_id);
CREATE INDEX operation_list_number
  ON lease_gateway.operation (account, phone_number, create_time, request_id);
CREATE INDEX operation_open
  ON lease_gateway.operation (account, create_time, request_id) WHERE state NOT IN (3, 4);
CREATE INDEX operation_settled ON lease_gateway.operation (update_time) WHERE state IN (3, 4);
-- The last one: of indexes that cost the same, as all do while the table is thought to be empty, the
-- server takes the newest. With an older key it looked for one operation among all of the account.
ALTER TABLE lease_gateway.operation ADD PRIMARY KEY (account, request_id);

-- One operation at a time works on a number.
CREATE TABLE lease_gateway.number_claim (
  account text COLLATE "C" NOT NULL,
  phone_number text COLLATE "C" NOT NULL CHECK (phone_number <> ''),
  request_id text COLLATE "C" NOT NULL,
  revision bigint NOT NULL, -- of the operation, when it was claimed
  attempt bigint NOT NULL,  -- grows with each claim of a replica's
  free_at timestamptz,      -- from then on it can be had by another one; NULL: it is held
  PRIMARY KEY (account, phone_number),
  FOREIGN KEY (account, request_id) REFERENCES lease_gateway.operation ON DELETE CASCADE
);
CREATE INDEX number_claim_operation ON lease_gateway.number_claim (account, request_id);
CREATE INDEX number_claim_free ON lease_gateway.number_claim (free_at) WHERE free_at IS NOT NULL;

-- For people.
CREATE VIEW lease_gateway.operations AS
  SELECT account, request_id,
         CASE kind WHEN 1 THEN 'LEASE' WHEN 2 THEN 'LEASE_ANY' WHEN 3 THEN 'TERMINATE'
                   ELSE kind::text END AS kind,
         CASE state WHEN 1 THEN 'INTENDED' WHEN 2 THEN 'SENT' WHEN 3 THEN 'SUCCEEDED'
                    WHEN 4 THEN 'FAILED' WHEN 5 THEN 'UNKNOWN' ELSE state::text END AS state,
         phone_number, lease_id, caller, owner, revision, send_until, create_time, update_time
    FROM lease_gateway.operation;
