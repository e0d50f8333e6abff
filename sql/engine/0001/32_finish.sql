-- pgbackfill, engine: finish
--
-- One short transaction for a group of results. The fence: only jobs that still carry this runner
-- and this attempt are finished, and only their results are applied; whatever a late process
-- brings for jobs that were taken from it is dropped. Results and states commit together.
--
-- A row of the application that somebody else has locked is waited for only briefly: the process
-- then finishes its neighbours and comes back to it.
--
-- Indexes: job by primary key; runner, run, runner_minute by primary key.
-- Lock order: runner row (no key update: see 33_runners.sql), job rows, then the application's
-- rows in the order of their keys.

create function backfill.retry_delay(p_base interval, p_max interval, p_failures integer, p_after double precision)
returns interval language sql volatile as $$
    -- exponential backoff, the upper half of it at random ("equal jitter"), never before the
    -- server's own Retry-After
    select greatest(make_interval(secs => coalesce(p_after, 0)),
                    least(p_max, p_base * power(2, least(greatest(p_failures - 1, 0), 30))) * (0.5 + random() / 2))
$$;
comment on function backfill.retry_delay(interval, interval, integer, double precision) is
    'Wait before the next attempt after so many failures: base doubled with each, at most max, with jitter, and at least p_after seconds.';

create function backfill.finish(
    p_runner bigint, p_results jsonb,
    out accepted integer, out ok integer, out nothing_found integer, out skipped integer, out failed integer, out retried integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
declare
    v_runner backfill.runner;
    v_task backfill.task;
    v_lane bigint;
    v_apply jsonb;
    v_errors jsonb;
    v_busy bigint;
    v_spend numeric;
begin
    accepted := 0;
    ok := 0;
    nothing_found := 0;
    skipped := 0;
    failed := 0;
    retried := 0;
    select * into v_runner from backfill.runner r where r.id = p_runner for no key update;
    if not found then
        return;
    end if;
    select * into strict v_task from backfill.task t where t.name = v_runner.task;
    select case when r.status = 'ended' then 0 else r.lane end into strict v_lane from backfill.run r where r.id = v_runner.run_id;
    with r as materialized (
        select r.*, case when r.outcome in ('retry', 'failed') and r.counts is not false then 1 else 0 end as counted,
               -- Failures so far with which it is tried again. An attempt that does not count never
               -- makes a job fail, whatever was spent before it.
               case when r.outcome is distinct from 'retry' then -1
                    when r.counts is false then 2147483647 else v_task.max_attempts - 2 end as again_up_to
          from jsonb_to_recordset(p_results) as r (
               id bigint, attempt integer, outcome text, revision text, result jsonb, error_class text, error_message text,
               after double precision, counts boolean, ms bigint, spend numeric)
    ), done as (
        update backfill.job j
           set state = case when j.failures <= r.again_up_to then 'ready' when r.outcome = 'retry' then 'failed' else r.outcome end,
               failures = j.failures + r.counted,
               run_after = case when j.failures <= r.again_up_to
                                then clock_timestamp() + backfill.retry_delay(v_task.backoff_base, v_task.backoff_max, j.failures + r.counted, r.after) end,
               finished_at = case when j.failures > r.again_up_to then clock_timestamp() end,
               runner_id = case when j.failures > r.again_up_to then j.runner_id end,
               lane = v_lane,
               revision = coalesce(r.revision, j.revision), task_version = v_runner.task_version,
               error_class = r.error_class, error_message = r.error_message, solo = false
          from r
         where j.id = r.id and j.runner_id = p_runner and j.attempt = r.attempt and j.state = 'running'
        returning j.id, j.key, j.attempt, j.state, j.run_after, r.outcome, r.revision, r.result, r.error_class, r.error_message, r.ms, r.spend
    )
    select count(*), count(*) filter (where d.state = 'ok'), count(*) filter (where d.state = 'nothing_found'),
           count(*) filter (where d.state = 'skipped'), count(*) filter (where d.state = 'failed'), count(*) filter (where d.state = 'ready'),
           coalesce(sum(d.ms), 0), coalesce(sum(d.spend), 0),
           jsonb_agg(jsonb_build_object('key', d.key, 'revision', d.revision, 'result', d.result) order by d.key)
               filter (where d.result is not null and d.state in ('ok', 'nothing_found')),
           jsonb_agg(jsonb_build_object('id', d.id, 'key', d.key, 'attempt', d.attempt, 'class', d.error_class, 'message', d.error_message, 'retry_at', d.run_after))
               filter (where d.outcome in ('retry', 'failed'))
      into accepted, ok, nothing_found, skipped, failed, retried, v_busy, v_spend, v_apply, v_errors
      from done d;
    if accepted = 0 then
        return;
    end if;
    if v_apply is not null then
        execute format('select backfill.%I($1)', 'apply_' || v_task.name) using v_apply;
    end if;
    if v_errors is not null then
        insert into backfill.attempt_error (job_id, task, key, attempt, run_id, runner_id, error_class, error_message, retry_at)
        select e.id, v_task.name, e.key, e.attempt, v_runner.run_id, p_runner, e.class, e.message, e.retry_at
          from jsonb_to_recordset(v_errors) as e (id bigint, key text, attempt integer, class text, message text, retry_at timestamptz);
    end if;
    update backfill.runner r
       set ok = r.ok + finish.ok, nothing_found = r.nothing_found + finish.nothing_found, skipped = r.skipped + finish.skipped,
           failed = r.failed + finish.failed, retried = r.retried + finish.retried, busy_ms = r.busy_ms + v_busy, spend_usd = r.spend_usd + v_spend
     where r.id = p_runner;
    insert into backfill.runner_minute as m (runner_id, minute, task, finished, failed, busy_ms)
    values (p_runner, date_trunc('minute', clock_timestamp()), v_task.name, accepted - retried, failed, v_busy)
    on conflict (runner_id, minute) do update
       set finished = m.finished + excluded.finished, failed = m.failed + excluded.failed, busy_ms = m.busy_ms + excluded.busy_ms;
end $$;
comment on function backfill.finish(bigint, jsonb) is
    'Finishes a group of jobs that the runner still holds and applies their results, all or nothing. Each element: id, attempt, outcome (ok, nothing_found, skipped, failed, retry), revision, result, error_class, error_message, after (seconds), counts, ms, spend. Returns how many were still the runner''s, by the state they came to.';

create function backfill.release(p_runner bigint, p_keep bigint[] default '{}')
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_task text;
    v_lane bigint;
    v_count bigint;
begin
    select r.task, case when run.status = 'ended' then 0 else run.lane end into v_task, v_lane
      from backfill.runner r join backfill.run on run.id = r.run_id where r.id = p_runner for key share of r;
    with freed as (
        update backfill.job j
           set state = 'ready', runner_id = null, lane = v_lane,
               -- an orphan that was not finished alone is still to be tried alone
               run_after = case when not j.solo then clock_timestamp() end
         where j.task = v_task and j.runner_id = p_runner and j.state = 'running' and j.id <> all (p_keep)
        returning 1
    )
    select count(*) into v_count from freed;
    return v_count;
end $$;
comment on function backfill.release(bigint, bigint[]) is
    'Hands back what a runner claimed, but for the jobs to keep; no attempt is held against them. For a process that stops, and for one that lost the reply to a claim.';
