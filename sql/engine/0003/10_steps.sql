-- pgbackfill, engine: jobs in several steps, and a task that is told of rows that failed
--
-- A computation may say that there is more to do: its result is applied and committed, and the job
-- is ready again at once, or when the wait that it asked for is over. The next step reads its row of the needs view after that commit, so it
-- sees what this step wrote and whatever others have committed meanwhile. No failure is counted,
-- and of a run's limit the job stays one.
--
-- A task may have a function backfill.fail_<task>(jsonb). It is told of the jobs that failed for
-- good, in the transaction that fails them, and can leave a note in the application's tables.

alter table backfill.job
    add column steps smallint not null default 0,
    -- a computation that always wants more fails by this, and so comes to an end
    add constraint job_comes_to_an_end check (steps between 0 and 100);
comment on column backfill.job.steps is 'Steps of a job in several steps that are done, 100 at most; 0 again when it is finished.';

create function backfill.tell_failed(p_task text, p_failed jsonb)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
begin
    if to_regprocedure(format('backfill.%I(jsonb)', 'fail_' || p_task)) is null then
        return;
    end if;
    begin
        execute format('select backfill.%I($1)', 'fail_' || p_task) using p_failed;
    exception
        -- these pass, and the caller tries again
        when lock_not_available or deadlock_detected or serialization_failure or query_canceled then raise;
        -- that a row failed has to be kept, even where the application can't be told
        when others then
            raise warning 'backfill.fail_% raised: %', p_task, sqlerrm;
            perform backfill.log_event('fail_hook_raised', p_task, null, jsonb_build_object('error', sqlerrm, 'sqlstate', sqlstate, 'rows', jsonb_array_length(p_failed)));
    end;
end $$;
comment on function backfill.tell_failed(text, jsonb) is
    'Calls backfill.fail_<task>, where there is one, with the jobs that failed for good: an array of key, revision, error_class, error_message. What it raises becomes an event.';
-- finish() and rescue() call it with their owner's rights
revoke execute on function backfill.tell_failed(text, jsonb) from public;

create or replace function backfill.finish(
    p_runner bigint, p_results jsonb,
    out accepted integer, out ok integer, out nothing_found integer, out skipped integer, out failed integer, out retried integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
declare
    v_runner backfill.runner;
    v_task backfill.task;
    v_lane bigint;
    v_apply jsonb;
    v_errors jsonb;
    v_failed jsonb;
    v_stepped bigint;
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
               case when r.outcome = 'more' then 2147483647
                    when r.outcome is distinct from 'retry' then -1
                    when r.counts is false then 2147483647 else v_task.max_attempts - 2 end as again_up_to
          from jsonb_to_recordset(p_results) as r (
               id bigint, attempt integer, outcome text, revision text, result jsonb, error_class text, error_message text,
               after double precision, counts boolean, ms bigint, spend numeric)
    ), done as (
        update backfill.job j
           set state = case when j.failures <= r.again_up_to then 'ready' when r.outcome = 'retry' then 'failed' else r.outcome end,
               failures = j.failures + r.counted,
               steps = case when j.failures <= r.again_up_to then j.steps + (r.outcome = 'more')::integer else 0 end,
               run_after = case when r.outcome = 'more' then clock_timestamp() + make_interval(secs => coalesce(r.after, 0))
                                when j.failures <= r.again_up_to
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
           count(*) filter (where d.state = 'skipped'), count(*) filter (where d.state = 'failed'), count(*) filter (where d.outcome = 'retry' and d.state = 'ready'),
           count(*) filter (where d.outcome = 'more'),
           coalesce(sum(d.ms), 0), coalesce(sum(d.spend), 0),
           jsonb_agg(jsonb_build_object('key', d.key, 'revision', d.revision, 'result', d.result) order by d.key)
               filter (where d.result is not null and d.state <> 'failed' and d.outcome in ('ok', 'nothing_found', 'more')),
           jsonb_agg(jsonb_build_object('id', d.id, 'key', d.key, 'attempt', d.attempt, 'class', d.error_class, 'message', d.error_message, 'retry_at', d.run_after))
               filter (where d.outcome in ('retry', 'failed')),
           jsonb_agg(jsonb_build_object('key', d.key, 'revision', d.revision, 'error_class', d.error_class, 'error_message', d.error_message) order by d.key)
               filter (where d.state = 'failed')
      into accepted, ok, nothing_found, skipped, failed, retried, v_stepped, v_busy, v_spend, v_apply, v_errors, v_failed
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
    if v_failed is not null then
        perform backfill.tell_failed(v_task.name, v_failed);
    end if;
    update backfill.runner r
       set ok = r.ok + finish.ok, nothing_found = r.nothing_found + finish.nothing_found, skipped = r.skipped + finish.skipped,
           failed = r.failed + finish.failed, retried = r.retried + finish.retried, busy_ms = r.busy_ms + v_busy, spend_usd = r.spend_usd + v_spend
     where r.id = p_runner;
    insert into backfill.runner_minute as m (runner_id, minute, task, finished, failed, busy_ms)
    values (p_runner, date_trunc('minute', clock_timestamp()), v_task.name, accepted - retried - v_stepped, failed, v_busy)
    on conflict (runner_id, minute) do update
       set finished = m.finished + excluded.finished, failed = m.failed + excluded.failed, busy_ms = m.busy_ms + excluded.busy_ms;
end $$;
comment on function backfill.finish(bigint, jsonb) is
    'Finishes a group of jobs that the runner still holds and applies their results, all or nothing. Each element: id, attempt, outcome (ok, nothing_found, skipped, failed, retry, more), revision, result, error_class, error_message, after (seconds), counts, ms, spend. Returns how many were still the runner''s, by the state they came to; those with more to do are in accepted alone.';

create or replace function backfill.rescue(p_grace interval default '3 seconds', out runner_id bigint, out jobs bigint)
returns setof record language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_runner backfill.runner;
    v_task backfill.task;
    v_lane bigint;
    v_run bigint;
    v_why text;
    v_failed jsonb;
begin
    for v_runner in
        select r.* from backfill.runner r join backfill.task t on t.name = r.task
         where r.status = 'live' and r.heartbeat_at < clock_timestamp() - case when r.direct then least(p_grace, t.lease) else t.lease end
         order by r.id for update of r skip locked
    loop
        select * into strict v_task from backfill.task t where t.name = v_runner.task;
        if v_runner.heartbeat_at < clock_timestamp() - v_task.lease then
            v_why := format('its process (pid %s on %s) gave no sign of life for %s', v_runner.pid, v_runner.host, v_task.lease);
        elsif pg_try_advisory_xact_lock(backfill.runner_lock_space(), v_runner.id::integer) then
            v_why := format('its process (pid %s on %s) died', v_runner.pid, v_runner.host);
        else
            continue;
        end if;
        select case when r.status = 'ended' then 0 else r.lane end into strict v_lane from backfill.run r where r.id = v_runner.run_id;
        with orphan as materialized (
            select j.id from backfill.job j
             where j.task = v_runner.task and j.runner_id = v_runner.id and j.state = 'running'
               for update
        ), freed as (
            -- Only a job that was alone in its process is blamed for the crash; the others are
            -- orphans, to be tried alone.
            update backfill.job j
               set failures = j.failures + j.solo::integer,
                   state = case when j.solo and j.failures + 1 >= v_task.max_attempts then 'failed' else 'ready' end,
                   finished_at = case when j.solo and j.failures + 1 >= v_task.max_attempts then clock_timestamp() end,
                   runner_id = case when j.solo and j.failures + 1 >= v_task.max_attempts then j.runner_id end,
                   solo = not (j.solo and j.failures + 1 >= v_task.max_attempts),
                   lane = v_lane,
                   error_class = 'crashed', error_message = v_why || ' while it held this row'
              from orphan o where j.id = o.id
            returning j.id, j.key, j.revision, j.attempt, j.state, j.error_class, j.error_message
        ), noted as (
            insert into backfill.attempt_error (job_id, task, key, attempt, run_id, runner_id, error_class, error_message, retry_at)
            select f.id, v_runner.task, f.key, f.attempt, v_runner.run_id, v_runner.id, f.error_class, f.error_message,
                   case when f.state = 'ready' then clock_timestamp() end from freed f
        )
        select count(*),
               jsonb_agg(jsonb_build_object('key', f.key, 'revision', f.revision, 'error_class', f.error_class, 'error_message', f.error_message) order by f.key)
                   filter (where f.state = 'failed')
          into jobs, v_failed from freed f;
        if v_failed is not null then
            perform backfill.tell_failed(v_runner.task, v_failed);
        end if;
        update backfill.runner r
           set status = 'lost', ended_at = clock_timestamp(), note = v_why, failed = r.failed + coalesce(jsonb_array_length(v_failed), 0)
         where r.id = v_runner.id;
        runner_id := v_runner.id;
        perform backfill.log_event('lost', v_runner.task, v_runner.run_id,
            jsonb_build_object('runner', v_runner.id, 'pid', v_runner.pid, 'host', v_runner.host, 'jobs', jobs, 'why', v_why));
        return next;
    end loop;
    -- A run that nobody works for any more, not even a process that is being started anew, is over.
    for v_run in
        select r.id from backfill.run r join backfill.task t on t.name = r.task
         where r.status <> 'ended'
           and exists (select from backfill.runner w where w.run_id = r.id)
           and not exists (select from backfill.runner w where w.run_id = r.id
                            and (w.status = 'live' or w.ended_at > clock_timestamp() - least(t.lease, interval '10 seconds')))
         order by r.id for update of r skip locked
    loop
        -- seen anew under the run's lock, which a process that joins takes too
        if not exists (select from backfill.runner w where w.run_id = v_run and w.status = 'live') then
            perform backfill.end_run(v_run, 'lost');
        end if;
    end loop;
end $$;
