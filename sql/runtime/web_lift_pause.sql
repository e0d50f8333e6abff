-- Purpose: Forget what a provider said about when to come back.
-- Parameters: name: the rate
-- Index: rate_limit by primary key
-- Lock order: rate_limit row
select backfill.lift_pause(%(name)s)
