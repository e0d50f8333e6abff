-- rate_prune
-- Purpose: Remove limits of hosts that nobody has asked for in a day.
-- Parameters: none
-- Index: none: reads rate_limit from end to end, once an hour for each process
-- Lock order: rate_limit rows (skip locked)
select backfill.prune_rates() as limits
