-- Purchases stay for more than a year, so that it can be told who was charged for what; callers see
-- their own. What lists are cut down to has an index each; a caller's name may be too long for one.
CREATE INDEX operation_list_caller
  ON lease_gateway.operation (account, left(caller, 256) COLLATE "C", create_time, request_id);
CREATE INDEX operation_list_kind
  ON lease_gateway.operation (account, kind, create_time, request_id);
-- What is forgotten soon: all that is settled but purchases that succeeded.
CREATE INDEX operation_passing ON lease_gateway.operation (update_time)
  WHERE state = 4 OR state = 3 AND kind NOT IN (1, 2);
-- The key is the newest index again: 0001_journal.sql says why.
ALTER TABLE lease_gateway.number_claim DROP CONSTRAINT number_claim_account_request_id_fkey;
ALTER TABLE lease_gateway.operation DROP CONSTRAINT operation_pkey;
ALTER TABLE lease_gateway.operation ADD PRIMARY KEY (account, request_id);
ALTER TABLE lease_gateway.number_claim
  ADD FOREIGN KEY (account, request_id) REFERENCES lease_gateway.operation ON DELETE CASCADE;
