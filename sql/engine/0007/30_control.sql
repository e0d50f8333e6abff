-- pgbackfill, engine: the start and the end of a run, as they were, with a limit for each group

create or replace function backfill.create_run(
    p_task text, p_options jsonb, p_where text, p_max_jobs bigint, p_retry_failed boolean,
    p_batch_size integer, p_delay_ms integer, p_source text,
    p_found bigint, p_found_new bigint, p_found_again bigint, p_exact boolean)
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_id bigint := nextval(pg_get_serial_sequence('backfill.run', 'id'));
    v_where text := nullif(btrim(p_where), '');
    v_limit record := backfill.group_limit(p_task, p_options);
    v_lane bigint := case when v_where is null and v_limit.limit_by is null then 0 else v_id end;
begin
    insert into backfill.run (id, task, options, where_sql, lane, max_jobs, retry_failed, batch_size, delay_ms, source,
                              found, found_new, found_again, found_exact, limit_by, limit_each)
    overriding system value
    values (v_id, p_task, p_options, v_where, v_lane, p_max_jobs, p_retry_failed,
            p_batch_size, p_delay_ms, p_source, p_found, p_found_new, p_found_again, p_exact, v_limit.limit_by, v_limit.limit_each);
    insert into backfill.sweep (task, lane) values (p_task, v_lane) on conflict do nothing;
    perform backfill.log_event('start', p_task, v_id, jsonb_strip_nulls(jsonb_build_object(
        'where', v_where, 'limit', p_max_jobs, 'limit_by', v_limit.limit_by, 'limit_each', v_limit.limit_each,
        'retry_failed', p_retry_failed, 'source', p_source, 'found', p_found)));
    return v_id;
end $$;
comment on function backfill.create_run(text, jsonb, text, bigint, boolean, integer, integer, text, bigint, bigint, bigint, boolean) is 'Writes the run''s row and its event. Called by start().';

create or replace function backfill.start(
    p_task text, p_options jsonb default '{}', p_where text default null, p_limit bigint default null,
    p_retry_failed boolean default false, p_batch_size integer default null, p_delay_ms integer default null,
    p_source text default 'psql')
returns bigint language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_pending record;
begin
    v_pending := backfill.count_pending(p_task, p_where, p_retry_failed, p_options => p_options);
    return backfill.create_run(p_task, p_options, p_where, p_limit, p_retry_failed, p_batch_size, p_delay_ms,
                               p_source, v_pending.pending, v_pending.unqueued, v_pending.again, v_pending.exact);
end $$;
comment on function backfill.start(text, jsonb, text, bigint, boolean, integer, integer, text) is
    'Starts a run and returns its number; processes join it with join_run(). A condition (p_where) is tried read-only with the caller''s rights. With the options {"limit_by": "user_id", "limit_each": 10} it takes ten rows for each value of that column of the needs view.';

create or replace function backfill.end_run(p_run bigint, p_reason text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run backfill.run;
begin
    update backfill.run r
       set status = 'ended', ended_at = clock_timestamp(),
           -- who ends a run may not be who was told that nothing more is handed out
           exit_reason = case when r.status = 'cancelling' then 'cancelled'
                              when p_reason = 'done' and (r.spent_out is not null or backfill.budget_reason(r.task) is not null) then 'budget'
                              when p_reason = 'done' and exists (select from backfill.sweep s where s.task = r.task and s.lane = r.lane and s.passed_over > 0) then 'limit'
                              else p_reason end
     where r.id = p_run and r.status <> 'ended'
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
comment on function backfill.end_run(bigint, text) is 'Ends a run and gives the jobs of its own lane back to all. One that is done but for rows beyond its limit for each group ended by its limit. Called when its last runner left or was lost.';
