-- pgbackfill, engine: what a run's rows add up to, beside their number
--
-- A computation may say figures with its result: bytes stored, outcomes by host. They are counted in
-- the transaction that commits the result, so that they are true of what is in the tables, and by
-- process, so that no two processes write the same row.

create table backfill.run_figure (
    runner_id bigint not null references backfill.runner (id) on delete cascade,
    name      text not null,
    label     text not null default '',
    amount    numeric not null,
    primary key (runner_id, name, label),
    constraint run_figure_name_is_short check (length(name) between 1 and 60),
    constraint run_figure_label_is_short check (length(label) <= 300)
);
comment on table backfill.run_figure is 'Figures of a process''s finished rows, beside their number; summed up by the view run_figures.';
comment on column backfill.run_figure.runner_id is 'The process.';
comment on column backfill.run_figure.name is 'What was counted, such as bytes or stored.';
comment on column backfill.run_figure.label is 'Of what, as kind:thing (host:example.com); empty: of all.';
comment on column backfill.run_figure.amount is 'How many.';

create view backfill.run_figures as
select r.run_id as run, r.task, f.name, f.label, sum(f.amount) as amount
  from backfill.run_figure f
  join backfill.runner r on r.id = f.runner_id
 group by r.run_id, r.task, f.name, f.label;
comment on view backfill.run_figures is 'What the rows of each run add up to, beside their number: bytes, objects, outcomes by host.';
comment on column backfill.run_figures.run is 'The run.';
comment on column backfill.run_figures.task is 'Its task.';
comment on column backfill.run_figures.name is 'What was counted.';
comment on column backfill.run_figures.label is 'Of what, as kind:thing (host:example.com); empty: of all.';
comment on column backfill.run_figures.amount is 'How many.';

-- a vehicle of a hundred pictures, one at a time and each tried more than once
alter table backfill.job
    drop constraint job_comes_to_an_end,
    add constraint job_comes_to_an_end check (steps between 0 and 1000);
comment on column backfill.job.steps is 'Steps of a job in several steps that are done, 1000 at most; 0 again when it is finished.';

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
               after double precision, counts boolean, ms bigint, spend numeric, figures jsonb)
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
           jsonb_agg(d.figures) filter (where d.figures is not null)
      into accepted, ok, nothing_found, skipped, failed, retried, v_stepped, v_busy, v_spend, v_apply, v_errors, v_failed, v_figures
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
end $$;
comment on function backfill.finish(bigint, jsonb) is
    'Finishes a group of jobs that the runner still holds and applies their results, all or nothing. Each element: id, attempt, outcome (ok, nothing_found, skipped, failed, retry, more), revision, result, error_class, error_message, after (seconds), counts, ms, spend, figures (an array of name, label, amount). Returns how many were still the runner''s, by the state they came to; those with more to do are in accepted alone.';
