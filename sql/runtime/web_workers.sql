-- Purpose: Workers that serve runs, the live ones first.
-- Parameters: none
-- Index: worker: few rows
-- Lock order: none
select * from backfill.workers order by status <> 'live', worker desc limit 200
