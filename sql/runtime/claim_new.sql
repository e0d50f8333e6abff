-- Purpose: Take rows that are new or changed, before all others, and hear how to go on.
-- Parameters: runner: this process's runner id; want: rows at most; after: where its last look ended
--   (0: from the start)
-- Index: arrival_in_order; job by (task, key); the needs view by its native key
-- Lock order: runner row (key share), arrivals (skip locked), sweep row (skip locked), job rows, tally row
select * from backfill.claim_new(%(runner)s, %(want)s, %(after)s)
