-- Purpose: Rows that an estimate is made by, spread over those that a run would take. Run in a read-only transaction.
-- Parameters: task, where, retry_failed: as for start; rows: how many; among: so many of the first
-- Index: the needs view by its native key; job by (task, key)
-- Lock order: none
select * from backfill.sample(%(task)s, %(where)s::text, %(retry_failed)s::boolean, %(rows)s, %(among)s)
