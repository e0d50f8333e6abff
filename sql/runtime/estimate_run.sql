-- Purpose: How many rows a run would take, how long and how much, by what an earlier run did.
-- Parameters: task, where, retry_failed, limit, options: as for start; provider: whom the run would pay, empty for nobody
-- Index: as count_pending; run_by_task; runner_by_run; run_cost and runner_minute by primary key
-- Lock order: none
select * from backfill.estimate_run(%(task)s, %(where)s::text, %(retry_failed)s::boolean, %(limit)s::bigint, %(options)s::jsonb, %(provider)s::text)
