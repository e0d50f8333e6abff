-- Purpose: Workers that are there, or were within the last day.
-- Parameters: none
-- Index: worker_live, seat_by_worker
-- Lock order: none
select * from backfill.workers order by status = 'live' desc, worker desc
