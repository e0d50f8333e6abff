-- Purpose: Whether a run would have anything to do: a row that it would take, or a job that is ready or in hand.
-- Parameters: task, where, retry_failed: as for start
-- Index: the needs view; job by (task, key), job_fresh, job_due, job_solo, job_running
-- Lock order: none
select exists (select from backfill.job where task = %(task)s and state = 'ready' and run_after is null and not solo)
    or exists (select from backfill.job where task = %(task)s and state = 'ready' and run_after is not null)
    or exists (select from backfill.job where task = %(task)s and state = 'ready' and solo)
    or exists (select from backfill.job where task = %(task)s and state = 'running')
    or (select pending > 0 from backfill.count_pending(%(task)s, %(where)s::text, %(retry_failed)s::boolean, 1, p_options => '{}')) as anything
