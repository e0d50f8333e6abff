-- pgbackfill, engine: conditions of runs that a token started
--
-- A condition is evaluated with the rights of the session that sweeps. Where a database user wrote it,
-- that is his own session. What a token asks for has no such user: its runs have only conditions that
-- an option stands for, as the task's own code writes them. The process that sweeps writes the
-- condition anew from the run's options, and hands it over: where the run's is the same, word by word,
-- what is evaluated is the process's own. Anything else is refused, whatever it says.

drop function backfill.discover(bigint, integer);
create function backfill.discover(p_run bigint, p_chunk integer default 1000, p_vouched text default null, out state text, out enqueued bigint)
language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, YMD' as $$
declare
    v_run backfill.run := backfill.known_run(p_run);
    v_version integer;
    v_sweep record;
    v_type text;
    v_source text;
    v_high text;
    v_keys text[] := '{}';
    v_revisions text[] := '{}';
    v_groups text[] := '{}';
    v_again text[] := '{}';
    v_again_revisions text[] := '{}';
    v_looked_at timestamptz;
begin
    enqueued := 0;
    if v_run.token is not null and v_run.where_sql is distinct from p_vouched and v_run.where_sql is not null then
        raise exception 'run % has a condition that is not its task''s own', p_run
            using errcode = 'BF005', hint = 'it is of another version of the task, or of nobody''s; start another run';
    elsif v_run.where_sql is not null and v_run.token is null and v_run.requested_by <> session_user then
        raise exception 'run % has a condition of %''s, which is not evaluated with the rights of %', p_run, v_run.requested_by, session_user
            using errcode = 'BF005', hint = format('let processes of %s work for it, or start a run of your own', v_run.requested_by);
    end if;
    v_type := backfill.native_type(v_run.task);
    v_sweep := backfill.sweep_open(p_run);
    state := v_sweep.state;
    if state <> 'open' then
        return;
    end if;
    select version into strict v_version from backfill.task where name = v_run.task;
    v_source := format('(select * from backfill.%I where (%s' || chr(10) || ')) n',
                       'needs_' || v_run.task, coalesce(v_run.where_sql, 'true'));
    begin
        set local transaction_read_only = on;
        v_high := v_sweep.high;
        if v_sweep.fresh then
            execute format('select n.native_key::text from %s order by n.native_key desc limit 1', v_source) into v_high;
        end if;
        if v_high is not null then
            execute format(
                'select coalesce(array_agg(s.key order by s.native_key), ''{}''), coalesce(array_agg(s.revision order by s.native_key), ''{}''), %4$s '
                'from (select n.key, n.revision, n.native_key%5$s from %1$s '
                'where n.native_key <= $1::%2$s %3$s order by n.native_key limit $3) s',
                v_source, v_type, case when v_sweep.reached is null then '' else format('and n.native_key > $2::%s', v_type) end,
                case when v_run.limit_by is null then '''{}''::text[]' else 'coalesce(array_agg(s.grp order by s.native_key), ''{}'')' end,
                case when v_run.limit_by is null then '' else format(', n.%I::text as grp', v_run.limit_by) end)
                into v_keys, v_revisions, v_groups using v_high, v_sweep.reached, p_chunk;
        end if;
        -- Jobs that are finished although their row was read as needing work. A job and its result
        -- commit together, so a job that finished after the read above must be looked at again with
        -- a newer snapshot: this statement's own. What is still in the view now really needs work.
        v_looked_at := clock_timestamp();
        execute format(
            'select coalesce(array_agg(n.key), ''{}''), coalesce(array_agg(n.revision), ''{}'') '
            'from %s where n.native_key = any (array(select u.key::%s from unnest($1) as u (key)))', v_source, v_type)
            into v_again, v_again_revisions
            using array(select j.key from backfill.job j
                          join unnest(v_keys, v_revisions) as u (key, revision) on j.key = u.key
                         where j.task = v_run.task
                           and backfill.needs_again(j.state, j.error_class, j.revision, j.task_version, u.revision, v_version,
                                                    v_run.retry_failed and j.finished_at < v_run.started_at));
        raise exception using errcode = 'BF000', message = 'leave the read-only block';
    exception when sqlstate 'BF000' then null;
    end;
    if v_run.limit_by is null then
        enqueued := backfill.enqueue(p_run, v_keys, v_revisions, v_again, v_again_revisions, v_looked_at,
                                     v_keys[cardinality(v_keys)], v_high, cardinality(v_keys) < p_chunk);
    else
        enqueued := backfill.enqueue_each(p_run, v_keys, v_revisions, v_groups, v_again, v_again_revisions, v_looked_at,
                                          v_keys[cardinality(v_keys)], v_high, cardinality(v_keys) < p_chunk);
    end if;
end $$;
comment on function backfill.discover(bigint, integer, text) is
    'Reads the next chunk of the needs view and enqueues it, of each group no more than the run''s limit for each. state: open (there may be more), busy (another process is at it) or ended (a whole sweep was made since the run began). p_vouched: the condition that the caller''s own code has for a run with these options; a token''s run is swept with no other.';

create or replace function backfill.join_run(p_run bigint, p_task_version integer, p_host text, p_pid integer, p_direct boolean)
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run backfill.run;
    v_id bigint;
begin
    select * into v_run from backfill.run where id = p_run for share;
    if not found then
        perform backfill.known_run(p_run);
    end if;
    if v_run.status = 'ended' then
        raise exception 'run % has ended (%)', p_run, v_run.exit_reason using errcode = 'BF004', hint = 'start another one: backfill run ' || v_run.task;
    end if;
    -- what discover() evaluates of a token's condition is the caller's own
    if v_run.where_sql is not null and v_run.token is null and v_run.requested_by <> session_user then
        raise exception 'run % has a condition of %''s, which is not evaluated with the rights of %', p_run, v_run.requested_by, session_user
            using errcode = 'BF005', hint = format('let processes of %s work for it, or start a run of your own', v_run.requested_by);
    end if;
    insert into backfill.runner (run_id, task, task_version, host, pid, direct)
    values (p_run, v_run.task, p_task_version, p_host, p_pid, p_direct) returning id into v_id;
    return v_id;
end $$;
