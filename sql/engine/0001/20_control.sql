-- pgbackfill, engine: what an operator does
--
-- The command line, the page and psql all call these functions, so every way in leaves the same
-- event and obeys the same grants. Functions that write run with their owner's rights and a fixed
-- search_path; those that evaluate a caller's SQL condition run with the caller's rights.

create function backfill.log_event(p_action text, p_task text, p_run bigint default null, p_detail jsonb default '{}')
returns void language sql set search_path = pg_catalog, pg_temp as $$
    insert into backfill.event (action, task, run_id, detail) values (p_action, p_task, p_run, p_detail)
$$;
comment on function backfill.log_event(text, text, bigint, jsonb) is 'Adds a row to the audit. Called by the functions beside it.';

create function backfill.known_task(p_task text)
returns backfill.task language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_task backfill.task;
begin
    select * into v_task from backfill.task where name = p_task;
    if not found then
        raise exception 'no task named % is installed', quote_literal(p_task)
            using errcode = 'BF001',
                  hint = 'installed: ' || coalesce((select string_agg(name, ', ' order by name) from backfill.task), 'none');
    end if;
    return v_task;
end $$;
comment on function backfill.known_task(text) is 'The task''s row, or an error that names the installed ones.';

create function backfill.known_run(p_run bigint)
returns backfill.run language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_run backfill.run;
begin
    select * into v_run from backfill.run where id = p_run;
    if not found then
        raise exception 'there is no run %', p_run using errcode = 'BF002', hint = 'list runs with: select * from backfill.runs';
    end if;
    return v_run;
end $$;
comment on function backfill.known_run(bigint) is 'The run''s row, or an error.';

create function backfill.register_task(
    p_name text, p_version integer, p_summary text,
    p_batch_size integer default 100, p_delay_ms integer default 0, p_binding jsonb default '{}')
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into backfill.task (name, version, summary, batch_size, delay_ms, binding)
    values (p_name, p_version, p_summary, p_batch_size, p_delay_ms, p_binding)
    on conflict (name) do update
       set version = greatest(task.version, excluded.version),
           summary = excluded.summary,
           binding = task.binding || excluded.binding;
    insert into backfill.tally (task) values (p_name) on conflict do nothing;
    insert into backfill.sweep (task, lane) values (p_name, 0) on conflict do nothing;
    perform backfill.log_event('register', p_name, null, jsonb_build_object('version', p_version));
end $$;
comment on function backfill.register_task(text, integer, text, integer, integer, jsonb) is
    'Installs a task or raises its version; a DBA''s own limits and pacing stay. The view needs_<name> and the function apply_<name>(jsonb) are the caller''s to create.';

create function backfill.unregister_task(p_name text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.known_task(p_name);
    delete from backfill.task where name = p_name;
    perform backfill.log_event('unregister', p_name);
end $$;
comment on function backfill.unregister_task(text) is 'Removes a task with its jobs, runs and counters; the audit stays.';

create function backfill.needs_again(
    p_state text, p_error_class text, p_job_revision text, p_job_version integer,
    p_row_revision text, p_version integer, p_retry_failed boolean)
returns boolean language sql immutable as $$
    select p_state in ('ok', 'nothing_found', 'skipped', 'failed')
       and (p_state = 'ok'
            or (p_state = 'skipped' and p_error_class = 'not_needed')
            or (p_state = 'failed' and p_retry_failed)
            or p_job_revision is distinct from p_row_revision
            or p_job_version < p_version)
$$;
comment on function backfill.needs_again(text, text, text, integer, text, integer, boolean) is
    'Whether a finished job whose row stands in the needs view is to be done again: its result is gone from the row, its revision or the task''s version changed, or it failed and the run takes failed ones up.';

create function backfill.pending_sql(p_task text, p_where text default null, p_columns text default 'n.*')
returns text language sql stable set search_path = pg_catalog, pg_temp as $$
    -- parameters of the text: $1 task, $2 version, $3 whether failed jobs count
    -- The condition stands in a subquery of its own, where only the view's columns are in scope,
    -- and ends in a line break, so that a trailing comment can't swallow the parenthesis.
    select format(
        'select %s from (select * from backfill.%I where (%s' || chr(10) || ')) n '
        'left join backfill.job j on j.task = $1 and j.key = n.key '
        'where j.id is null or j.state = ''ready'' '
        'or backfill.needs_again(j.state, j.error_class, j.revision, j.task_version, n.revision, $2, $3)',
        p_columns, 'needs_' || p_task, coalesce(nullif(btrim(p_where), ''), 'true'))
$$;
comment on function backfill.pending_sql(text, text, text) is 'The query for rows that a run would take: in the needs view, and without a job that says otherwise.';

create function backfill.count_pending(
    p_task text, p_where text default null, p_retry_failed boolean default false, p_cap integer default 50000,
    out pending bigint, out exact boolean, out unqueued bigint, out again bigint)
language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, YMD' as $$
declare
    v_task backfill.task := backfill.known_task(p_task);
    v_query text := backfill.pending_sql(p_task, p_where, 'j.state');
    v_plan json;
    v_scale numeric;
begin
    begin
        -- A condition of the caller's is evaluated where the database itself refuses any write;
        -- leaving by an exception gives the transaction its writes back.
        set local transaction_read_only = on;
        execute format('select count(*), count(*) filter (where s.state is distinct from ''ready''), '
                       'count(*) filter (where s.state <> ''ready'') from (%s limit $4) s', v_query)
            into pending, unqueued, again using p_task, v_task.version, p_retry_failed, p_cap + 1;
        exact := pending <= p_cap;
        if not exact then
            execute 'explain (format json) ' || v_query into v_plan using p_task, v_task.version, p_retry_failed;
            v_scale := greatest((v_plan -> 0 -> 'Plan' ->> 'Plan Rows')::numeric / pending, 1);
            pending := pending * v_scale;
            unqueued := unqueued * v_scale;
            again := again * v_scale;
        end if;
        raise exception using errcode = 'BF000', message = 'leave the read-only block';
    exception when sqlstate 'BF000' then null;
    end;
end $$;
comment on function backfill.count_pending(text, text, boolean, integer) is
    'Rows that a run would take: counted up to the cap, beyond it the planner''s estimate (exact = false); of these, rows that are not enqueued yet, and rows that were finished before. Writes nothing, whatever the condition says.';

create function backfill.preview(
    p_task text, p_where text default null, p_retry_failed boolean default false, p_limit integer default 5)
returns table (key text, input jsonb)
language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, YMD' as $$
declare
    v_task backfill.task := backfill.known_task(p_task);
begin
    begin
        set local transaction_read_only = on;
        return query execute format(
            'select p.key, to_jsonb(p) - ''native_key'' from (%s) p order by p.native_key limit $4',
            backfill.pending_sql(p_task, p_where))
            using p_task, v_task.version, p_retry_failed, p_limit;
        raise exception using errcode = 'BF000', message = 'leave the read-only block';
    exception when sqlstate 'BF000' then null;
    end;
end $$;
comment on function backfill.preview(text, text, boolean, integer) is 'The first rows that a run would take, as the computation would get them. Writes nothing, whatever the condition says.';

create function backfill.create_run(
    p_task text, p_options jsonb, p_where text, p_max_jobs bigint, p_retry_failed boolean,
    p_batch_size integer, p_delay_ms integer, p_source text,
    p_found bigint, p_found_new bigint, p_found_again bigint, p_exact boolean)
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_id bigint := nextval(pg_get_serial_sequence('backfill.run', 'id'));
    v_where text := nullif(btrim(p_where), '');
begin
    insert into backfill.run (id, task, options, where_sql, lane, max_jobs, retry_failed, batch_size, delay_ms, source,
                              found, found_new, found_again, found_exact)
    overriding system value
    values (v_id, p_task, p_options, v_where, case when v_where is null then 0 else v_id end, p_max_jobs, p_retry_failed,
            p_batch_size, p_delay_ms, p_source, p_found, p_found_new, p_found_again, p_exact);
    insert into backfill.sweep (task, lane)
    values (p_task, case when v_where is null then 0 else v_id end) on conflict do nothing;
    perform backfill.log_event('start', p_task, v_id, jsonb_strip_nulls(jsonb_build_object(
        'where', v_where, 'limit', p_max_jobs, 'retry_failed', p_retry_failed, 'source', p_source, 'found', p_found)));
    return v_id;
end $$;
comment on function backfill.create_run(text, jsonb, text, bigint, boolean, integer, integer, text, bigint, bigint, bigint, boolean) is 'Writes the run''s row and its event. Called by start().';

create function backfill.start(
    p_task text, p_options jsonb default '{}', p_where text default null, p_limit bigint default null,
    p_retry_failed boolean default false, p_batch_size integer default null, p_delay_ms integer default null,
    p_source text default 'psql')
returns bigint language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_pending record;
begin
    v_pending := backfill.count_pending(p_task, p_where, p_retry_failed);
    return backfill.create_run(p_task, p_options, p_where, p_limit, p_retry_failed, p_batch_size, p_delay_ms,
                               p_source, v_pending.pending, v_pending.unqueued, v_pending.again, v_pending.exact);
end $$;
comment on function backfill.start(text, jsonb, text, bigint, boolean, integer, integer, text) is
    'Starts a run and returns its number; processes join it with join_run(). A condition (p_where) is tried read-only with the caller''s rights.';

create function backfill.pause(p_task text, p_reason text default null)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.known_task(p_task);
    update backfill.task set paused_at = clock_timestamp(), paused_by = session_user, paused_reason = p_reason where name = p_task;
    perform backfill.log_event('pause', p_task, null, jsonb_strip_nulls(jsonb_build_object('reason', p_reason)));
end $$;
comment on function backfill.pause(text, text) is 'Pauses a task: no process gets a job of it from its next claim on.';

create function backfill.resume(p_task text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.known_task(p_task);
    update backfill.task set paused_at = null, paused_by = null, paused_reason = null where name = p_task;
    perform backfill.log_event('resume', p_task);
end $$;
comment on function backfill.resume(text) is 'Takes a pause back; waiting processes go on within seconds.';

create function backfill.end_run(p_run bigint, p_reason text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run backfill.run;
begin
    update backfill.run
       set status = 'ended', ended_at = clock_timestamp(),
           exit_reason = case when status = 'cancelling' then 'cancelled' else p_reason end
     where id = p_run and status <> 'ended'
    returning * into v_run;
    if not found then
        return;
    end if;
    if v_run.lane <> 0 then
        -- waits for a discover() in flight, whose jobs the statement after it then sees
        delete from backfill.sweep where task = v_run.task and lane = v_run.lane;
        update backfill.job set lane = 0
         where id = any (array(
               select id from backfill.job where task = v_run.task and lane = v_run.lane and state = 'ready' and run_after is null and not solo
               union all
               select id from backfill.job where task = v_run.task and lane = v_run.lane and state = 'ready' and run_after is not null
               union all
               select id from backfill.job where task = v_run.task and lane = v_run.lane and state = 'ready' and solo))
           and state = 'ready';
    end if;
    perform backfill.log_event('end', v_run.task, p_run, jsonb_build_object('exit_reason', v_run.exit_reason));
end $$;
comment on function backfill.end_run(bigint, text) is 'Ends a run and gives the jobs of its own lane back to all. Called when its last runner left or was lost.';

create function backfill.open_lane(p_lane bigint)
returns bigint language sql stable set search_path = pg_catalog, pg_temp as $$
    -- a lane's number is that of its run
    select case when exists (select from backfill.run r where r.id = p_lane and r.status <> 'ended') then p_lane else 0 end
$$;
comment on function backfill.open_lane(bigint) is 'The lane that a job is to go back to: its own, or 0 where the run it was reserved for has ended.';

create function backfill.cancel(p_run bigint)
returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run backfill.run;
begin
    select * into v_run from backfill.run where id = p_run for update;
    if not found then
        perform backfill.known_run(p_run);
    end if;
    if v_run.status = 'ended' then
        return 'ended';
    end if;
    update backfill.run set status = 'cancelling' where id = p_run;
    perform backfill.log_event('cancel', v_run.task, p_run);
    if not exists (select from backfill.runner where run_id = p_run and status = 'live') then
        perform backfill.end_run(p_run, 'cancelled');
        return 'ended';
    end if;
    return 'cancelling';
end $$;
comment on function backfill.cancel(bigint) is 'Cancels a run: its processes stop at their next claim, finishing what they hold. Returns the run''s status.';

create function backfill.retry(p_task text, p_error_class text default null, p_keys text[] default null)
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_count bigint;
begin
    perform backfill.known_task(p_task);
    with chosen as materialized (
        select j.id from backfill.job j
         where j.task = p_task and j.state = 'failed'
           and (p_error_class is null or j.error_class = p_error_class)
           and (p_keys is null or j.key = any (p_keys))
         order by j.id for update
    ), reopened as (
        update backfill.job j
           set state = 'ready', failures = 0, run_id = null, runner_id = null, finished_at = null, enqueued_at = now(),
               lane = case when j.lane = 0 then 0 else backfill.open_lane(j.lane) end,
               -- the clock goes on from row to row, so that a claim's scan can go on where it left off
               run_after = clock_timestamp()
          from chosen c
         where j.id = c.id
        returning 1
    )
    select count(*) into v_count from reopened;
    update backfill.tally set failed = failed - v_count where task = p_task;
    perform backfill.log_event('retry', p_task, null, jsonb_strip_nulls(jsonb_build_object(
        'error_class', p_error_class, 'keys', cardinality(p_keys), 'reopened', v_count)));
    return v_count;
end $$;
comment on function backfill.retry(text, text, text[]) is
    'Makes failed jobs ready again, all or those of one error class or of the given keys, with their attempts forgiven; returns how many.';

create function backfill.prune(
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
    perform backfill.log_event('prune', null, null, jsonb_build_object('keep', p_keep::text, 'runs', runs, 'errors', errors));
end $$;
comment on function backfill.prune(interval) is
    'Removes ended runs and failed attempts older than that, and rates older than two hours; the tasks'' numbers stay, jobs and the audit too. Call it from cron now and then.';
