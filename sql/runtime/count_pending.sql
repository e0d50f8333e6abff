-- Purpose: How many rows a run would take.
-- Parameters: task, where, retry_failed, options: as for start
-- Index: the needs view; job by (task, key)
-- Lock order: none
select * from backfill.count_pending(%(task)s, %(where)s::text, %(retry_failed)s::boolean, p_options => %(options)s::jsonb)
