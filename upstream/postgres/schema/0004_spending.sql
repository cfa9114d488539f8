-- What purchases take of limits: upstream/leasing/README.md, "Spending". A row each, from its
-- reservation until its lease has ended and its day is over; operations that were settled before
-- this have none. There is no line with an oldest program: one that doesn't count may not buy.
CREATE TABLE lease_gateway.spending (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account      text COLLATE "C" NOT NULL,
  request_id   text COLLATE "C" NOT NULL,
  caller       text COLLATE "C" NOT NULL,
  phone_number text COLLATE "C" NOT NULL,
  lease_id     text COLLATE "C" NOT NULL DEFAULT '', -- once it is bought
  currency     text COLLATE "C" NOT NULL,            -- '': the price is not known
  upfront      bigint NOT NULL CHECK (upfront >= 0), -- billionths
  monthly      bigint NOT NULL CHECK (monthly >= 0), -- billionths
  last_day     bigint,      -- that it counts on, UTC, since 1970; NULL: its outcome is open
  settle_time  timestamptz, -- when it was bought
  end_time     timestamptz  -- NULL: its lease is live, or may be
);
CREATE UNIQUE INDEX spending_open ON lease_gateway.spending (account, request_id)
  WHERE last_day IS NULL;
CREATE INDEX spending_account ON lease_gateway.spending (account, lease_id);
-- A caller may be longer than a key of an index.
CREATE INDEX spending_caller ON lease_gateway.spending (left(caller, 256), account);
CREATE INDEX spending_ended ON lease_gateway.spending (last_day) WHERE end_time IS NOT NULL;

-- Whether what the operation may be buying has such a row; NULL: it began before there were any. A
-- program that runs since before this doesn't write it: it sends no purchase any more, and leaves
-- those that are counted to others.
ALTER TABLE lease_gateway.operation ADD COLUMN counted boolean DEFAULT false;
UPDATE lease_gateway.operation SET counted = NULL WHERE state IN (2, 5);
ALTER TABLE lease_gateway.operation ADD CONSTRAINT operation_counted
  CHECK (kind = 3 OR counted = (state IN (2, 5)));
