-- pgbackfill, engine: finish() settles effects, prune() forgets those that are settled
--
-- As they were, with what effects add: see 20_effects.sql for the order of locks.

create function backfill.count_said_spend(p_task text, p_calls bigint, p_usd numeric)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into backfill.spend_month as m (month, provider, operation, region, task, calls, usd)
    values (backfill.utc_month(clock_timestamp()), '', '', '*', p_task, p_calls, p_usd)
    on conflict (month, provider, operation, region, task) do update
       set calls = m.calls + excluded.calls, usd = m.usd + excluded.usd;
    insert into backfill.spend_day as d (task, day, payer, provider, operation, region, calls, usd)
    values (p_task, backfill.utc_day(clock_timestamp()), '', '', '', '*', p_calls, p_usd)
    on conflict (task, day, payer, provider, operation, region) do update
       set calls = d.calls + excluded.calls, usd = d.usd + excluded.usd;
end $$;
comment on function backfill.count_said_spend(text, bigint, numeric) is 'Adds what results said they cost, of tasks that write no effects. Called by finish().';

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
    v_figures jsonb;
    v_said jsonb;
    v_done text[];
    v_paid bigint;
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
               after double precision, counts boolean, ms bigint, spend numeric, figures jsonb, effects jsonb)
    ), done as (
        update backfill.job j
           set state = case when j.failures <= r.again_up_to then 'ready' when r.outcome = 'retry' then 'failed' else r.outcome end,
               -- what got on by a step is neither failing nor what kills its process
               failures = case when r.outcome = 'more' then 0 else j.failures + r.counted end,
               steps = case when j.failures <= r.again_up_to then j.steps + (r.outcome = 'more')::integer else 0 end,
               run_after = case when r.outcome = 'more' then clock_timestamp() + make_interval(secs => coalesce(r.after, 0))
                                when j.failures <= r.again_up_to
                                then clock_timestamp() + backfill.retry_delay(v_task.backoff_base, v_task.backoff_max, j.failures + r.counted, r.after) end,
               finished_at = case when j.failures > r.again_up_to then clock_timestamp() end,
               runner_id = case when j.failures > r.again_up_to then j.runner_id end,
               lane = v_lane,
               revision = coalesce(r.revision, j.revision), task_version = v_runner.task_version,
               error_class = r.error_class, error_message = r.error_message, solo = false, suspects = 1
          from r
         where j.id = r.id and j.runner_id = p_runner and j.attempt = r.attempt and j.state = 'running'
        returning j.id, j.key, j.attempt, j.state, j.run_after, r.outcome, r.revision, r.result, r.error_class, r.error_message, r.ms, r.spend, r.figures
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
               filter (where d.state = 'failed'),
           jsonb_agg(d.figures) filter (where d.figures is not null),
           -- of a row that needs work no longer nobody has looked what its effects left behind
           array_agg(d.key) filter (where d.outcome in ('ok', 'nothing_found', 'more') or (d.outcome = 'skipped' and d.error_class is distinct from 'not_needed')),
           count(*) filter (where d.spend > 0)
      into accepted, ok, nothing_found, skipped, failed, retried, v_stepped, v_busy, v_spend, v_apply, v_errors, v_failed, v_figures, v_done, v_paid
      from done d;
    -- what was charged was charged, whoever has the row now
    select jsonb_agg(s.said) into v_said
      from jsonb_array_elements(p_results) as r (one)
     cross join lateral jsonb_array_elements(case jsonb_typeof(r.one -> 'effects') when 'array' then r.one -> 'effects' end) as s (said);
    if accepted = 0 then
        if v_said is not null then
            perform backfill.settle_effects(v_task.name, '{}', v_said);
        end if;
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
    if v_figures is not null then
        insert into backfill.run_figure as f (runner_id, name, label, amount)
        select p_runner, x.name, coalesce(x.label, ''), sum(x.amount)
          from jsonb_array_elements(v_figures) as job (figures)
         cross join jsonb_to_recordset(job.figures) as x (name text, label text, amount numeric)
         group by x.name, coalesce(x.label, '')
         order by x.name, coalesce(x.label, '')
        on conflict (runner_id, name, label) do update set amount = f.amount + excluded.amount;
    end if;
    update backfill.runner r
       set ok = r.ok + finish.ok, nothing_found = r.nothing_found + finish.nothing_found, skipped = r.skipped + finish.skipped,
           failed = r.failed + finish.failed, retried = r.retried + finish.retried, steps = r.steps + v_stepped,
           busy_ms = r.busy_ms + v_busy, spend_usd = r.spend_usd + v_spend
     where r.id = p_runner;
    insert into backfill.runner_minute as m (runner_id, minute, task, finished, failed, busy_ms)
    values (p_runner, date_trunc('minute', clock_timestamp()), v_task.name, accepted - retried - v_stepped, failed, v_busy)
    on conflict (runner_id, minute) do update
       set finished = m.finished + excluded.finished, failed = m.failed + excluded.failed, busy_ms = m.busy_ms + excluded.busy_ms;
    -- Last, since processes that ask for money wait for what this locks.
    if v_said is not null or (v_done is not null and exists (select from backfill.effect e where e.task = v_task.name and e.state in ('intended', 'answered'))) then
        perform backfill.settle_effects(v_task.name, v_done, v_said);
    end if;
    if v_spend > 0 then
        perform backfill.count_said_spend(v_task.name, v_paid, v_spend);
    end if;
end $$;
comment on function backfill.finish(bigint, jsonb) is
    'Finishes a group of jobs that the runner still holds and applies their results, all or nothing. Each element: id, attempt, outcome (ok, nothing_found, skipped, failed, retry, more), revision, result, error_class, error_message, after (seconds), counts, ms, spend, figures (an array of name, label, amount), effects (what note_effects() takes). A result that is written settles its row''s effects. Returns how many were still the runner''s, by the state they came to; those with more to do are in accepted alone.';

create or replace function backfill.prune(
    p_keep interval default '30 days', out runs bigint, out errors bigint, out minutes bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    with gone as materialized (
        -- a runner that nobody has found dead yet is what leads to the jobs it holds
        select r.id from backfill.run r
         where r.status = 'ended' and r.ended_at < clock_timestamp() - p_keep
           and not exists (select from backfill.runner w where w.run_id = r.id and w.status = 'live')
           for update skip locked
    ), sums as (
        select w.task, sum(w.ok) as ok, sum(w.nothing_found) as nothing_found, sum(w.skipped) as skipped, sum(w.failed) as failed
          from backfill.runner w join gone on gone.id = w.run_id group by w.task
    ), folded as (
        update backfill.tally t
           set ok = t.ok + s.ok, nothing_found = t.nothing_found + s.nothing_found,
               skipped = t.skipped + s.skipped, failed = t.failed + s.failed
          from sums s where t.task = s.task
    ), deleted as (
        delete from backfill.run r using gone where r.id = gone.id returning 1
    )
    select count(*) into runs from deleted;
    delete from backfill.attempt_error e where e.at < clock_timestamp() - p_keep;
    get diagnostics errors = row_count;
    delete from backfill.runner_minute m where m.minute < clock_timestamp() - least(p_keep, interval '2 hours');
    get diagnostics minutes = row_count;
    -- what is unsettled stays until somebody settles it, and what was spent stays for good
    delete from backfill.effect e where e.ended_at < clock_timestamp() - p_keep;
    perform backfill.log_event('prune', null, null, jsonb_build_object('keep', p_keep::text, 'runs', runs, 'errors', errors));
end $$;
comment on function backfill.prune(interval) is
    'Removes ended runs, settled effects and failed attempts older than that, and rates older than two hours; the tasks'' numbers and what they spent stay, jobs and the audit too. Call it from cron now and then.';
