-- pgbackfill, engine: what the page shows of recent rows
--
-- The last rows of each process are kept beside it, as the end of a log would be: finish() writes one row
-- more for a whole group of results, and no index on backfill.job is needed to find what was done last.
-- Together with the audit this is the activity that a page shows.
--
-- Failures are read from backfill.attempt_error instead, where each has its row anyway: of a process that
-- finishes hundreds a second the last rows alone would lose most of them. Both kinds are numbered alike, so that
-- one number says how far a process's rows are known.
--
-- A task may have a view backfill.activity_<task> with the columns native_key, label (what people call the
-- row), words (what came of it) and skipped (why it needed nothing any more), each null where there is
-- nothing better to say than usual. It is asked for the rows that are shown, by native_key.
--
-- Indexes: runner_recent by primary key and runner_recent_by_task; attempt_error_by_runner; event_by_task.
-- Lock order: finish() as before; after the runner's minute, the runner's row in runner_recent.

create table backfill.runner_recent (
    runner_id bigint primary key references backfill.runner (id) on delete cascade,
    task      text not null,
    seq       bigint not null,
    rows      jsonb not null,
    constraint runner_recent_is_numbered check (seq >= jsonb_array_length(rows)),
    constraint runner_recent_is_short check (jsonb_array_length(rows) <= 20)
);
create index runner_recent_by_task on backfill.runner_recent (task, runner_id);
-- Room for several versions of the row on its page, so that they stay HOT; in the row itself, since what lies
-- outside of it would be written anew each time.
alter table backfill.runner_recent set (fillfactor = 20, toast_tuple_target = 4096);
alter table backfill.runner_recent alter column rows set storage main;
comment on table backfill.runner_recent is 'The last rows that each process was done with; those of processes that are long gone are dropped.';
comment on column backfill.runner_recent.runner_id is 'The process.';
comment on column backfill.runner_recent.task is 'Its task.';
comment on column backfill.runner_recent.seq is 'How many rows it was done with, failed attempts among them: the number of the newest.';
comment on column backfill.runner_recent.rows is 'At most 20 that did not fail, the newest first, each an array: number, seconds since 1970, outcome, key, error class, error message.';

alter table backfill.attempt_error add column number bigint;
create index attempt_error_by_runner on backfill.attempt_error (runner_id, number) where number is not null;
comment on column backfill.attempt_error.number is 'Its number among all rows that the process was done with, as in runner_recent.rows; null: from before these were numbered.';

create function backfill.note_recent(p_runner bigint, p_task text, p_count bigint, p_rows jsonb)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update backfill.runner_recent t
       set seq = t.seq + p_count, rows = jsonb_path_query_array(p_rows || t.rows, '$[0 to 19]')
     where t.runner_id = p_runner;
    if found then
        return;
    end if;
    insert into backfill.runner_recent (runner_id, task, seq, rows) values (p_runner, p_task, p_count, jsonb_path_query_array(p_rows, '$[0 to 19]'));
    -- what a page shows goes back as far as the last twenty processes
    delete from backfill.runner_recent t
     where t.runner_id = any (array(
           select o.runner_id
             from backfill.runner_recent o join backfill.runner r on r.id = o.runner_id
            where o.task = p_task and r.status <> 'live'
              and o.runner_id < (select n.runner_id from backfill.runner_recent n where n.task = p_task order by n.runner_id desc offset 20 limit 1)
            order by o.runner_id for update of o skip locked));
end $$;
comment on function backfill.note_recent(bigint, text, bigint, jsonb) is
    'Counts so many rows that a process was done with, and takes down the last of them that did not fail: at most 20 matter, the newest first, as in runner_recent.rows. Called by finish() and rescue().';

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
    v_recent jsonb;
    v_seq bigint;
    v_at timestamptz;
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
    select case when r.status = 'ended' then 0 else r.lane end, coalesce((select t.seq from backfill.runner_recent t where t.runner_id = p_runner), 0)
      into strict v_lane, v_seq from backfill.run r where r.id = v_runner.run_id;
    -- one time for the whole group, whose rows stand in the order of their numbers
    v_at := clock_timestamp();
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
    ), numbered as (
        -- a row with more to do is not done with
        select n.*, v_seq + row_number() over (partition by n.outcome = 'more' order by n.id) as number from done n
    )
    select count(*), count(*) filter (where d.state = 'ok'), count(*) filter (where d.state = 'nothing_found'),
           count(*) filter (where d.state = 'skipped'), count(*) filter (where d.state = 'failed'), count(*) filter (where d.outcome = 'retry' and d.state = 'ready'),
           count(*) filter (where d.outcome = 'more'),
           coalesce(sum(d.ms), 0), coalesce(sum(d.spend), 0),
           jsonb_agg(jsonb_build_object('key', d.key, 'revision', d.revision, 'result', d.result) order by d.key)
               filter (where d.result is not null and d.state <> 'failed' and d.outcome in ('ok', 'nothing_found', 'more')),
           jsonb_agg(jsonb_build_object('id', d.id, 'number', d.number, 'key', d.key, 'attempt', d.attempt, 'class', d.error_class, 'message', d.error_message, 'retry_at', d.run_after))
               filter (where d.outcome in ('retry', 'failed')),
           jsonb_agg(jsonb_build_object('key', d.key, 'revision', d.revision, 'error_class', d.error_class, 'error_message', d.error_message) order by d.key)
               filter (where d.state = 'failed'),
           jsonb_agg(d.figures) filter (where d.figures is not null),
           -- of a row that needs work no longer nobody has looked what its effects left behind
           array_agg(d.key) filter (where d.outcome in ('ok', 'nothing_found', 'more') or (d.outcome = 'skipped' and d.error_class is distinct from 'not_needed')),
           count(*) filter (where d.spend > 0),
           (select jsonb_agg(jsonb_build_array(n.number, extract(epoch from v_at), n.state, left(n.key, 200), left(n.error_class, 60), left(n.error_message, 200)) order by n.number desc)
              from (select * from numbered m where m.state not in ('ready', 'failed') order by m.number desc limit 20) n)
      into accepted, ok, nothing_found, skipped, failed, retried, v_stepped, v_busy, v_spend, v_apply, v_errors, v_failed, v_figures, v_done, v_paid, v_recent
      from numbered d;
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
        insert into backfill.attempt_error (job_id, task, key, attempt, run_id, runner_id, number, error_class, error_message, at, retry_at)
        select e.id, v_task.name, e.key, e.attempt, v_runner.run_id, p_runner, e.number, e.class, e.message, v_at, e.retry_at
          from jsonb_to_recordset(v_errors) as e (id bigint, number bigint, key text, attempt integer, class text, message text, retry_at timestamptz);
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
    if accepted > v_stepped then
        perform backfill.note_recent(p_runner, v_task.name, accepted - v_stepped, coalesce(v_recent, '[]'));
    end if;
    -- Last, since processes that ask for money wait for what this locks.
    if v_said is not null or (v_done is not null and exists (select from backfill.effect e where e.task = v_task.name and e.state in ('intended', 'answered'))) then
        perform backfill.settle_effects(v_task.name, v_done, v_said);
    end if;
    if v_spend > 0 then
        perform backfill.count_said_spend(v_task.name, v_paid, v_spend);
    end if;
end $$;
comment on function backfill.finish(bigint, jsonb) is
    'Finishes a group of jobs that the runner still holds and applies their results, all or nothing. Each element: id, attempt, outcome (ok, nothing_found, skipped, failed, retry, more), revision, result, error_class, error_message, after (seconds), counts, ms, spend, figures (an array of name, label, amount), effects (what note_effects() takes). A result that is written settles its row''s effects; the group''s last rows are kept for backfill.activity. Returns how many were still the runner''s, by the state they came to; those with more to do are in accepted alone.';

create function backfill.row_words(p_outcome text, p_name text, p_error_class text, p_error_message text, p_words text, p_skipped text)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case p_outcome
        when 'ok' then format('Processed %s - %s', p_name, coalesce(p_words, 'OK'))
        when 'nothing_found' then format('Processed %s - Nothing found', p_name) || coalesce(': ' || p_error_message, '')
        when 'skipped' then format('Skipped %s - %s', p_name, case when p_error_class = 'not_needed' then coalesce(p_skipped, 'Already done') else coalesce(p_error_message, 'Nothing to do') end)
        when 'failed' then format('Failed %s - %s', p_name, coalesce(p_error_message, p_error_class))
        else format('To be tried again: %s - %s', p_name, coalesce(p_error_message, p_error_class)) end
$$;
comment on function backfill.row_words(text, text, text, text, text, text) is
    'The line of the activity log for a row: its outcome, what people call it, its error, and what the task''s own view says of it.';

create function backfill.event_words(p_event backfill.event, p_who text, p_rows text, out part integer, out kind text, out words text)
returns setof record language sql stable set search_path = pg_catalog, pg_temp as $$
    select x.part, x.kind, x.words
      from (select p_event.detail as d,
                   (select coalesce(sum(r.failed), 0) from backfill.runner r where r.run_id = p_event.run_id) as failed,
                   (select coalesce(sum(r.ok + r.nothing_found + r.skipped), 0) from backfill.runner r where r.run_id = p_event.run_id) as good) e
     cross join lateral (values
       (1, 'start', 'control', format('Run %s started by %s', p_event.run_id, p_who) || case e.d ->> 'source' when 'schedule' then ', by a schedule' else '' end),
       (2, 'start', 'info', format('Found %s %s to process', coalesce(nullif(e.d ->> 'found', '0'), 'no'), p_rows)
                            || coalesce(', of which this run takes ' || case when (e.d ->> 'limit')::bigint < (e.d ->> 'found')::bigint then e.d ->> 'limit' end, '')),
       (1, 'end', case when e.d ->> 'exit_reason' = 'done' then 'done' else 'control' end, case e.d ->> 'exit_reason'
           when 'done' then case when e.failed = 0 then 'Backfill completed successfully!'
                                 when e.good = 0 then format('Backfill completed: no row came through, %s failed', e.failed)
                                 else format('Backfill completed successfully! %s failed, which can be retried', e.failed) end
           when 'limit' then format('Run %s stopped at its limit', p_event.run_id)
           when 'max_duration' then format('Run %s stopped: its time is over', p_event.run_id)
           when 'budget' then format('Run %s stopped: its budget is used up', p_event.run_id)
           when 'paused' then format('Run %s stopped: the task is paused', p_event.run_id)
           when 'cancelled' then format('Run %s was cancelled', p_event.run_id)
           when 'interrupted' then format('Run %s was interrupted', p_event.run_id)
           when 'lost' then format('Run %s ended: all its processes died; their rows are ready again', p_event.run_id)
           when 'error' then format('Run %s was stopped by an error', p_event.run_id)
           else format('Run %s ended: %s', p_event.run_id, e.d ->> 'exit_reason') end),
       (1, 'register', 'control', format('Installed at version %s', e.d ->> 'version')),
       (1, 'pause', 'control', 'Paused by ' || p_who || coalesce(': ' || (e.d ->> 'reason'), '')),
       (1, 'resume', 'control', 'Resumed by ' || p_who),
       (1, 'cancel', 'control', format('Run %s cancelled by %s', p_event.run_id, p_who)),
       (1, 'retry', 'control', format('%s failed %s to be tried again', e.d ->> 'reopened', p_rows) || coalesce(' (' || (e.d ->> 'error_class') || ')', '') || ', says ' || p_who),
       (1, 'lost', 'control', format('Process %s on %s is gone; %s %s that it held are tried again', e.d ->> 'pid', e.d ->> 'host', e.d ->> 'jobs', p_rows)),
       (1, 'error', 'control', format('Run %s: ', p_event.run_id) || (e.d ->> 'why')),
       (1, 'hook_failed', 'control', format('The command %s the run failed: ', replace(replace(e.d ->> 'moment', 'before_run', 'before'), 'after_run', 'after')) || (e.d ->> 'error')),
       (1, 'set_window', 'control', format('Works from %s to %s (%s) only, says %s', left(e.d ->> 'opens', 5), left(e.d ->> 'closes', 5), e.d ->> 'zone', p_who)),
       (1, 'clear_window', 'control', 'Works at any time, says ' || p_who),
       (1, 'name_face', 'control', 'Face named by ' || p_who),
       (1, 'leave_face', 'control', 'Face left without a name by ' || p_who),
       (1, 'hold', 'control', 'Waiting: ' || (e.d ->> 'reason')),
       (1, 'hold_over', 'control', format('Guard %s holds nothing up any more', e.d ->> 'guard')),
       (1, 'set', 'control', (select string_agg(format('%s is now %s', c.key, c.value ->> 'to'), ', ' order by c.key) from jsonb_each(e.d) c where jsonb_typeof(c.value) = 'object') || ', says ' || p_who)
       ) as x (part, action, kind, words)
     where x.action = p_event.action and x.words is not null
    union all
    select 1, 'control', upper(left(w.words, 1)) || substr(w.words, 2)
           || coalesce(' ' || coalesce(p_event.detail ->> 'name', p_event.detail ->> 'guard', p_event.detail ->> 'schedule', p_event.detail ->> 'webhook', p_event.detail ->> 'meter', p_event.detail ->> 'per'), '') || ', by ' || p_who
      from (select replace(p_event.action, '_', ' ') as words) w
     where p_event.action not in ('register', 'start', 'end', 'pause', 'resume', 'cancel', 'retry', 'lost', 'error', 'hook_failed', 'set_window', 'clear_window',
                                 'name_face', 'leave_face', 'hold', 'hold_over', 'set')
     order by 1
$$;
comment on function backfill.event_words(backfill.event, text, text) is
    'The lines of the activity log for an event: kind is control, info or done. p_who: who did it; p_rows: what the task''s rows are called.';

create function backfill.rows_name(p_task backfill.task)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(nullif(replace(substring(p_task.binding ->> 'table' from '[^.]*$'), '_', ' '), ''), 'rows')
$$;
comment on function backfill.rows_name(backfill.task) is 'What a task''s rows are called: the name of the application''s table in words, such as payment submissions.';

create function backfill.recent_rows(
    p_task text, p_known jsonb default '{}', p_failures integer default 200,
    out runner bigint, out number bigint, out run bigint, out at timestamptz, out outcome text,
    out key text, out label text, out error_class text, out error_message text, out words text)
returns setof record language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_rows jsonb;
    v_said jsonb := '{}';
begin
    with news as materialized (
        select t.runner_id, t.rows, k.known
          from backfill.runner_recent t
         cross join lateral (select coalesce((p_known ->> t.runner_id::text)::bigint, 0) as known) k
         where t.task = p_task and t.seq > k.known
    ), either as (
        select jsonb_build_array(n.runner_id, e.row -> 0, r.run_id) || (e.row - 0) as row
          from news n
          join backfill.runner r on r.id = n.runner_id
         cross join lateral jsonb_array_elements(n.rows) as e (row)
         where (e.row ->> 0)::bigint > n.known
        union all
        (select jsonb_build_array(f.runner_id, f.number, f.run_id, extract(epoch from f.at), case when f.retry_at is null then 'failed' else 'retried' end,
                                  left(f.key, 200), left(f.error_class, 60), left(f.error_message, 200))
           from news n
          cross join lateral (select e.* from backfill.attempt_error e
                               where e.runner_id = n.runner_id and e.number > n.known order by e.number desc limit p_failures) f
          order by f.at desc, f.number desc limit p_failures)
    )
    select jsonb_agg(e.row) into v_rows from either e;
    if v_rows is null then
        return;
    end if;
    if to_regclass(format('backfill.%I', 'activity_' || p_task)) is not null then
        begin
            execute format(
                'select jsonb_object_agg(w.native_key::text, jsonb_build_array(w.label, w.words, w.skipped)) from backfill.%I w '
                'where w.native_key = any (array(select (x -> 5 #>> ''{}'')::%s from jsonb_array_elements($1) x))',
                'activity_' || p_task, backfill.native_type(p_task))
                into v_said using v_rows;
        exception
            -- the log goes on with the usual words; the view is a DBA's to mend
            when others then raise notice 'backfill.activity_%: %', p_task, sqlerrm;
        end;
    end if;
    return query
        select (x.e ->> 0)::bigint, (x.e ->> 1)::bigint, (x.e ->> 2)::bigint, to_timestamp((x.e ->> 3)::double precision), x.e ->> 4,
               x.e ->> 5, s.said ->> 0, x.e ->> 6, x.e ->> 7,
               backfill.row_words(x.e ->> 4, coalesce(s.said ->> 0, x.e ->> 5), x.e ->> 6, x.e ->> 7, s.said ->> 1, s.said ->> 2)
          from jsonb_array_elements(v_rows) as x (e)
         cross join lateral (select v_said -> (x.e ->> 5) as said) s;
end $$;
comment on function backfill.recent_rows(text, jsonb, integer) is
    'The last rows of a task''s processes, in no order: of each process the last 20 that did not fail, and of all together the last p_failures failed attempts. p_known: the numbers up to which they are known already, by process, such as {"17": 240}; only newer ones come.';

create function backfill.review_counts(out duplicates bigint, out faces bigint)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if to_regclass('backfill.duplicates') is not null then
        execute 'select count(*) from (select from backfill.duplicates d where d.marked is null limit 1000) x' into duplicates;
    end if;
    if to_regclass('backfill.faces_to_review') is not null then
        execute 'select count(*) from (select from backfill.faces_to_review f limit 1000) x' into faces;
    end if;
end $$;
comment on function backfill.review_counts() is 'How many duplicates nobody has confirmed or denied, and how many faces somebody has to name; null where that task is not installed. Counts to 1,000.';

create view backfill.activity as
select r.at, t.name as task, r.run, case when r.outcome = 'retried' then 'retried' else 'row' end as kind, r.key, r.outcome, r.words, r.error_class as error, r.number
  from backfill.task t cross join lateral backfill.recent_rows(t.name) r
union all
select e.at, t.name, e.run_id, w.kind, null, null, w.words, null, e.id * 10 + w.part
  from backfill.task t
 cross join lateral (select x.* from backfill.event x where x.task = t.name order by x.id desc limit 200) e
 cross join lateral backfill.event_words(e::backfill.event, coalesce(e.token, e.who), backfill.rows_name(t)) w;
comment on view backfill.activity is 'What happened last, in words: the last rows of each process, the last 200 failed attempts, and what people and the program did. To be read newest first: order by at desc, number desc.';
comment on column backfill.activity.at is 'When.';
comment on column backfill.activity.task is 'The task.';
comment on column backfill.activity.run is 'The run.';
comment on column backfill.activity.kind is 'row, retried, control (what somebody did), info or done.';
comment on column backfill.activity.key is 'The application row''s key.';
comment on column backfill.activity.outcome is 'What came of the row: ok, nothing_found, skipped, failed, or retried.';
comment on column backfill.activity.words is 'The same in a sentence.';
comment on column backfill.activity.number is 'Order among lines of the same moment and origin.';
comment on column backfill.activity.error is 'Short word for why it failed or was skipped.';
