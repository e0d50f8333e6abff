-- Purpose: The first rows that a run would take. Run in a read-only transaction.
-- Parameters: task, where, retry_failed, options: as for start; limit: rows at most
-- Index: the needs view by its native key; job by (task, key)
-- Lock order: none
select * from backfill.preview(%(task)s, %(where)s::text, %(retry_failed)s::boolean, %(limit)s, %(options)s::jsonb)
