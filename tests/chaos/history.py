"""Each write of the journal's rows, which a trigger of the test's own copies: the gateway's schema stays as it is."""

import time

from rights import Written

PREFIX = "gateway-"  # of application_name: tells which replica has written

# Rows come in the order of the writes, for whoever writes a row holds it until the commit.
TABLE = f"""
CREATE SCHEMA chaos;
CREATE TABLE chaos.written (
  seq bigserial PRIMARY KEY, at timestamptz NOT NULL, replica int NOT NULL, request_id text NOT NULL,
  phone_number text NOT NULL, state int NOT NULL, owner bigint, sender bigint, send_until timestamptz);
CREATE FUNCTION chaos.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO chaos.written (at, replica, request_id, phone_number, state, owner, sender, send_until)
  VALUES (clock_timestamp(), substr(current_setting('application_name'), {len(PREFIX) + 1})::int,
          NEW.request_id, NEW.phone_number, NEW.state, NEW.owner, NEW.sender, NEW.send_until);
  RETURN NULL;
END $$;
CREATE TRIGGER chaos_note AFTER INSERT OR UPDATE ON lease_gateway.operation
  FOR EACH ROW EXECUTE FUNCTION chaos.note();
SELECT 1
"""
READ = """
SELECT extract(epoch FROM at)::float, replica, request_id, phone_number, state, owner, sender,
       extract(epoch FROM send_until)::float
  FROM chaos.written WHERE seq > %s ORDER BY seq
"""
LAST = "SELECT coalesce(max(seq), 0) FROM chaos.written"


class History:
    """Functions block."""

    def __init__(self, database):
        self.database = database

    def start(self):
        """Once the gateways have made their schema."""
        self.database.ask(TABLE)

    def last(self):
        return self.database.ask(LAST)[0][0]

    def since(self, seq):
        """What was written after this one, by the monotonic clock."""
        ahead = time.time() - time.monotonic()

        def monotonic(seconds):
            return None if seconds is None else seconds - ahead

        return [Written(monotonic(at), *row, monotonic(send_until))
                for at, *row, send_until in self.database.ask(READ, seq)]
